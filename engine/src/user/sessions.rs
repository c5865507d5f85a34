//! The set of one user's sessions, in one word when it is small.
//!
//! Sessions are named by where their record is: shard and slot in 32 bits, stable for the session's
//! life. The word itself holds one; up to 33 lie in an array of just their number, whose length is in the
//! word too; more in a B-tree, so that adding and removing stays logarithmic for a user with a hundred
//! thousand. Iteration is in ascending order of the names, so a name is a cursor. Arrays lie in the arena,
//! which is why whoever drops a set clears it first.

#![allow(unsafe_code)] // a leaf: the tagged word below

use std::collections::BTreeSet;
use std::ptr::NonNull;

use crate::store::arena::Arena;
use crate::time::Stamp;

/// Where a session's record is: shard in the upper 8 bits, slot in the lower 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Location(u32);

impl Location {
    pub(crate) fn new(shard: usize, slot: u32) -> Self {
        debug_assert!(shard < 256 && slot < 1 << 24);
        Self((shard as u32) << 24 | slot)
    }

    pub(crate) fn shard(self) -> usize {
        (self.0 >> 24) as usize
    }

    pub(crate) fn slot(self) -> u32 {
        self.0 & 0x00ff_ffff
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// Up to this many sessions lie in an array.
const FEW_MAX: usize = 33;
/// An array grows by this many entries: the steps of the arena.
const FEW_STEP: usize = 2;

const TAG_MASK: u64 = 0b11;
/// Where an array's length is in the word, above its address.
const LENGTH_SHIFT: u32 = 48;
const ADDRESS_MASK: u64 = ((1 << LENGTH_SHIFT) - 1) & !TAG_MASK;
const TAG_ONE: u64 = 1;
const TAG_FEW: u64 = 2;
const TAG_MANY: u64 = 3;

/// A user's sessions: zero when empty, otherwise a location, or a tagged pointer to more.
#[derive(Debug, Default)]
pub(crate) struct SessionSet(u64);

#[derive(Debug)]
struct Many {
    sessions: BTreeSet<Location>,
    /// No session of the set ends before this: until then counting needs no look at them.
    all_live_until: Stamp,
}

/// What the word says.
enum Shape<'a> {
    Empty,
    One(Location),
    /// Ascending.
    Few(&'a [Location]),
    Many(&'a Many),
}

impl SessionSet {
    /// How many sessions are in the set.
    pub(crate) fn len(&self) -> usize {
        match self.shape() {
            Shape::Empty => 0,
            Shape::One(_) => 1,
            Shape::Few(few) => few.len(),
            Shape::Many(many) => many.sessions.len(),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Adds a session that ends at `expires` if nobody touches it.
    pub(crate) fn insert(&mut self, arena: &Arena, location: Location, expires: Stamp) {
        if let Some(many) = self.many_mut() {
            many.sessions.insert(location);
            many.all_live_until = many.all_live_until.min(expires);
            return;
        }
        let mut sessions = self.after(0).collect::<smallvec::SmallVec<[Location; FEW_MAX + 1]>>();
        if let Err(position) = sessions.binary_search(&location) {
            sessions.insert(position, location);
            self.replace_with(arena, &sessions);
        }
    }

    /// Takes a session out; whether it was there.
    pub(crate) fn remove(&mut self, arena: &Arena, location: Location) -> bool {
        if let Some(many) = self.many_mut() {
            let removed = many.sessions.remove(&location);
            // Half of the array's reach, so that a user at the brink does not go back and forth.
            if many.sessions.len() <= FEW_MAX / 2 {
                let rest = many.sessions.iter().copied().collect::<Vec<_>>();
                self.replace_with(arena, &rest);
            }
            return removed;
        }
        let mut sessions = self.after(0).collect::<smallvec::SmallVec<[Location; FEW_MAX + 1]>>();
        let Ok(position) = sessions.binary_search(&location) else { return false };
        sessions.remove(position);
        self.replace_with(arena, &sessions);
        true
    }

    /// The sessions whose number is at least `from`, in ascending order.
    pub(crate) fn after(&self, from: u32) -> impl Iterator<Item = Location> + use<'_> {
        let from = Location(from);
        let (one, few, many) = match self.shape() {
            Shape::Empty => (None, &[][..], None),
            Shape::One(location) => (Some(location), &[][..], None),
            Shape::Few(few) => (None, few, None),
            Shape::Many(many) => (None, &[][..], Some(many.sessions.range(from..))),
        };
        let small = one.into_iter().chain(few.iter().copied()).filter(move |&at| at >= from);
        small.chain(many.into_iter().flatten().copied())
    }

    /// Until when all sessions are known to be live; `None` where looking at each is cheap.
    pub(crate) fn all_live_until(&self) -> Option<Stamp> {
        match self.shape() {
            Shape::Many(many) => Some(many.all_live_until),
            _ => None,
        }
    }

    /// Whether the last session added made the set one of many, of which nothing is known yet.
    pub(crate) fn has_just_become_many(&self) -> bool {
        matches!(self.shape(), Shape::Many(many)
            if many.sessions.len() == FEW_MAX + 1 && many.all_live_until == Stamp::default())
    }

    /// Notes what a look at all sessions showed: none ends before `until`.
    pub(crate) fn set_all_live_until(&mut self, until: Stamp) {
        if let Some(many) = self.many_mut() {
            many.all_live_until = until;
        }
    }

    /// Notes that an entry of the set now ends at `deadline`, which may be sooner than before.
    pub(crate) fn note_deadline(&mut self, deadline: Stamp) {
        if let Some(many) = self.many_mut() {
            many.all_live_until = many.all_live_until.min(deadline);
        }
    }

    /// Bytes held beyond the word, about: the same for the same number of sessions.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self.len() {
            0 | 1 => 0,
            few @ 2..=FEW_MAX => few_bytes(few),
            many => 64 + many * 9,
        }
    }

    fn shape(&self) -> Shape<'_> {
        match self.0 & TAG_MASK {
            TAG_ONE => Shape::One(Location((self.0 >> 32) as u32)),
            TAG_FEW => {
                let start = self.pointer::<Location>();
                let length = (self.0 >> LENGTH_SHIFT) as usize;
                // SAFETY: the array holds that many locations; it is owned by this set and only replaced
                // through `&mut self`.
                let few = unsafe { std::slice::from_raw_parts(start.as_ptr(), length) };
                Shape::Few(few)
            }
            // SAFETY: the tag says that the word is a leaked box of this type, owned by this set.
            TAG_MANY => Shape::Many(unsafe { self.pointer::<Many>().as_ref() }),
            _ => Shape::Empty,
        }
    }

    fn many_mut(&mut self) -> Option<&mut Many> {
        // SAFETY: as in `shape`, and `&mut self` makes this the only reference.
        (self.0 & TAG_MASK == TAG_MANY).then(|| unsafe { self.pointer::<Many>().as_mut() })
    }

    fn pointer<T>(&self) -> NonNull<T> {
        let address = (self.0 & ADDRESS_MASK) as usize;
        NonNull::new(std::ptr::with_exposed_provenance_mut(address))
            .expect("a tagged word holds a pointer")
    }

    /// Makes the set hold exactly `sessions`, which ascend.
    fn replace_with(&mut self, arena: &Arena, sessions: &[Location]) {
        match sessions {
            [] => self.clear(arena),
            [one] => {
                self.clear(arena);
                self.0 = u64::from(one.0) << 32 | TAG_ONE;
            }
            few if few.len() <= FEW_MAX => self.hold_few(arena, few),
            many => {
                self.clear(arena);
                let many = Many {
                    sessions: many.iter().copied().collect(),
                    // Nothing is known yet: the first count will look at them all.
                    all_live_until: Stamp::default(),
                };
                self.0 = Box::into_raw(Box::new(many)).expose_provenance() as u64 | TAG_MANY;
            }
        }
    }

    fn hold_few(&mut self, arena: &Arena, few: &[Location]) {
        let bytes = few_bytes(few.len());
        let held = if let Shape::Few(held) = self.shape() { few_bytes(held.len()) } else { 0 };
        let start = if held == bytes {
            self.pointer::<Location>()
        } else {
            self.clear(arena);
            arena.allocate(bytes).cast()
        };
        // SAFETY: the array has room for so many locations; `few` is the caller's.
        unsafe { std::ptr::copy_nonoverlapping(few.as_ptr(), start.as_ptr(), few.len()) };
        let address = start.as_ptr().expose_provenance() as u64;
        self.0 = address | (few.len() as u64) << LENGTH_SHIFT | TAG_FEW;
    }

    /// Takes every session out.
    pub(crate) fn clear(&mut self, arena: &Arena) {
        match self.0 & TAG_MASK {
            TAG_FEW => {
                // SAFETY: the array came from this arena, by `hold_few`, with the size of its length.
                unsafe { arena.free(self.pointer(), few_bytes(self.len())) };
            }
            // SAFETY: the box was leaked into the word by `replace_with`.
            TAG_MANY => drop(unsafe { Box::from_raw(self.pointer::<Many>().as_ptr()) }),
            _ => {}
        }
        self.0 = 0;
    }
}

fn few_bytes(length: usize) -> usize {
    length.next_multiple_of(FEW_STEP) * size_of::<Location>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_like_a_sorted_set_at_every_size() {
        let arena = Arena::new();
        let mut set = SessionSet::default();
        let mut model = BTreeSet::new();
        let mut state = 1_u32;
        for step in 0..2000_usize {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let location = Location(state >> 8 & 0x7f);
            // Grows at first, shrinks later, so that all shapes are passed in both directions.
            if (state >> 20) % 1000 > step as u32 / 2 {
                set.insert(&arena, location, Stamp::NEVER);
                model.insert(location);
            } else {
                assert_eq!(set.remove(&arena, location), model.remove(&location));
            }
            assert_eq!(set.len(), model.len());
            assert!(set.after(0).eq(model.iter().copied()));
            assert!(set.after(40).eq(model.range(Location(40)..).copied()));
        }
        for location in model {
            assert!(set.remove(&arena, location));
        }
        assert!(set.is_empty());
    }
}
