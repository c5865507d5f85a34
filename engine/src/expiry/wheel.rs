//! A hierarchical timing wheel threaded through a shard's slots, re-filed lazily.
//!
//! Five levels of 64 buckets; a bucket of the lowest spans 128 ms, one of the highest 25 days. An entry
//! is filed by the deadline it had then. Moving a deadline later writes nothing here: when the bucket
//! comes due the true deadline is read from the record, and the entry is reclaimed or filed anew. Moving
//! a deadline sooner files it anew at once. What lies past the last level waits in its farthest bucket
//! and is filed again from there.
//!
//! Lists are doubly linked through the slots (six bytes an entry), so taking an entry out is O(1).

use crate::store::record::Record;
use crate::store::slots::{NONE, SLOTS_MAX, Slots};
use crate::time::Stamp;

const LEVELS: usize = 5;
const BUCKETS: usize = 64;
const BUCKET_BITS: u32 = BUCKETS.trailing_zeros();
/// Log2 of the lowest level's bucket in milliseconds.
const TICK_BITS: u32 = 7;

/// The wheel's list heads and how far it has turned.
pub(crate) struct Wheel {
    heads: [[u32; BUCKETS]; LEVELS],
    /// One bit a bucket that is not empty.
    filled: [u64; LEVELS],
    /// Every tick before this one has been worked off.
    tick: u64,
    /// One bit a level whose present bucket is being brought down.
    falling: u8,
}

/// What there is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This slot's bucket is due; it was taken out of its list.
    Due(u32),
    /// A slot was filed anew.
    Filed,
    /// All that is due has been handed out.
    Nothing,
}

fn tick_of(stamp: Stamp) -> u64 {
    stamp.millis() >> TICK_BITS
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { heads: [[NONE; BUCKETS]; LEVELS], filled: [0; LEVELS], tick: 0, falling: 0 }
    }

    /// The bucket for a deadline: the lowest level on which it lies less than a turn ahead.
    fn bucket_for(&self, deadline: Stamp) -> (usize, usize) {
        let due = tick_of(deadline).max(self.tick);
        for level in 0..LEVELS {
            let shift = BUCKET_BITS * level as u32;
            if (due >> shift) - (self.tick >> shift) < BUCKETS as u64 {
                return (level, (due >> shift) as usize % BUCKETS);
            }
        }
        let shift = BUCKET_BITS * (LEVELS as u32 - 1);
        (LEVELS - 1, ((self.tick >> shift) as usize + BUCKETS - 1) % BUCKETS)
    }

    /// Files a slot that is in no list. A slot without a deadline is not filed.
    pub(crate) fn file(&mut self, slots: &mut Slots, slot: u32, deadline: Stamp, now: Stamp) {
        if self.filled.iter().all(|&filled| filled == 0) {
            // Nothing is waiting, so the wheel may be turned to the present however long it stood still.
            self.tick = self.tick.max(tick_of(now));
            self.falling = 0;
        }
        self.link(slots, slot, deadline);
    }

    fn link(&mut self, slots: &mut Slots, slot: u32, deadline: Stamp) {
        debug_assert_eq!(slots.previous(slot), NONE, "filed once");
        if deadline.is_never() {
            return;
        }
        let (level, bucket) = self.bucket_for(deadline);
        let head = self.heads[level][bucket];
        slots.set_next(slot, head);
        slots.set_previous(slot, SLOTS_MAX + (level * BUCKETS + bucket) as u32);
        if head != NONE {
            slots.set_previous(head, slot);
        }
        self.heads[level][bucket] = slot;
        self.filled[level] |= 1 << bucket;
    }

    /// Takes a slot out of the list it is in, if any.
    pub(crate) fn unfile(&mut self, slots: &mut Slots, slot: u32) {
        let previous = slots.previous(slot);
        if previous == NONE {
            return;
        }
        let next = slots.next(slot);
        if next != NONE {
            slots.set_previous(next, previous);
        }
        if previous >= SLOTS_MAX {
            let number = (previous - SLOTS_MAX) as usize;
            let (level, bucket) = (number / BUCKETS, number % BUCKETS);
            self.heads[level][bucket] = next;
            if next == NONE {
                self.filled[level] &= !(1 << bucket);
            }
        } else {
            slots.set_next(previous, next);
        }
        slots.set_next(slot, NONE);
        slots.set_previous(slot, NONE);
    }

    /// Sees to it that a slot whose deadline moved from `old` to `new` is filed no later than `new`.
    pub(crate) fn refile(
        &mut self,
        slots: &mut Slots,
        slot: u32,
        (old, new): (Stamp, Stamp),
        now: Stamp,
    ) {
        if slots.previous(slot) == NONE {
            self.file(slots, slot, new, now);
        } else if new < old {
            self.unfile(slots, slot);
            self.file(slots, slot, new, now);
        }
    }

    /// The next step towards `now`, which looks at one record at the most: a bucket that comes down from a
    /// higher level may hold all of a shard, and no guard is to be held for that long. A slot that is due
    /// the caller reclaims or files anew.
    pub(crate) fn next_due(
        &mut self,
        slots: &mut Slots,
        now: Stamp,
        deadline_of: impl Fn(Record) -> Stamp,
    ) -> Next {
        let now_tick = tick_of(now);
        loop {
            if self.falling != 0 {
                if self.bring_down(slots, &deadline_of) {
                    return Next::Filed;
                }
                continue;
            }
            let bucket = self.tick as usize % BUCKETS;
            let head = self.heads[0][bucket];
            if head != NONE && self.tick < now_tick {
                self.unfile(slots, head);
                return Next::Due(head);
            }
            if self.tick >= now_tick {
                return Next::Nothing;
            }
            self.advance(now_tick);
        }
    }

    /// The slots in the bucket of the present tick, some of which may be due within it.
    pub(crate) fn due_within_tick(&self, slots: &Slots) -> Vec<u32> {
        let mut due = Vec::new();
        let mut slot = self.heads[0][self.tick as usize % BUCKETS];
        while slot != NONE {
            due.push(slot);
            slot = slots.next(slot);
        }
        due
    }

    /// The filed slots in the order of their buckets, soonest first, as far as they are told apart.
    pub(crate) fn soonest(&self, slots: &Slots, count: usize) -> Vec<u32> {
        let mut found = Vec::new();
        for level in 0..LEVELS {
            let position = (self.tick >> (BUCKET_BITS * level as u32)) as usize;
            for step in 0..BUCKETS {
                let mut slot = self.heads[level][(position + step) % BUCKETS];
                while slot != NONE {
                    if found.len() == count {
                        return found;
                    }
                    found.push(slot);
                    slot = slots.next(slot);
                }
            }
        }
        found
    }

    /// Steps to the next tick at which something lies on any level; higher levels' buckets are to be
    /// brought down then.
    fn advance(&mut self, now_tick: u64) {
        let mut next = now_tick;
        for (level, &filled) in self.filled.iter().enumerate() {
            let shift = BUCKET_BITS * level as u32;
            let position = self.tick >> shift;
            let ahead = filled.rotate_right((position as u32 + 1) % BUCKETS as u32);
            if ahead != 0 {
                next = next.min((position + 1 + u64::from(ahead.trailing_zeros())) << shift);
            }
        }
        self.tick = next;
        for level in 1..LEVELS {
            if self.tick.is_multiple_of(1 << (BUCKET_BITS * level as u32)) {
                self.falling |= 1 << level;
            }
        }
    }

    /// Files one slot of a bucket that is to be brought down anew, by what its deadline has become; whether
    /// there was one. Nothing is filed into such a bucket meanwhile: what is due so soon goes lower.
    fn bring_down(&mut self, slots: &mut Slots, deadline_of: &impl Fn(Record) -> Stamp) -> bool {
        // From the top, so that what comes down one level goes on down where it is due sooner.
        let level = self.falling.ilog2() as usize;
        let bucket = (self.tick >> (BUCKET_BITS * level as u32)) as usize % BUCKETS;
        let slot = self.heads[level][bucket];
        if slot == NONE {
            self.falling &= !(1 << level);
            return false;
        }
        self.unfile(slots, slot);
        if let Some(record) = slots.get(slot) {
            self.link(slots, slot, deadline_of(record));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::key::{HashSeed, Key};
    use crate::store::arena::Arena;

    const START: Stamp = Stamp::from_millis(1_700_000_000_000);

    // A bucket that came down from a higher level was filed anew in one go, under the shard's write guard:
    // in a shard of forty thousand entries readers waited for all of them.
    #[test]
    #[allow(unsafe_code)] // to free what the test allocated
    fn a_step_looks_at_one_record_however_many_come_down_together() {
        let (arena, seed) = (Arc::new(Arena::new()), HashSeed::new(1, 2));
        let (mut slots, mut wheel) = (Slots::new(&arena), Wheel::new());
        let deadline = START.plus_millis(100_000_000);
        let count = 500_u32;
        for number in 0..count {
            let name = number.to_le_bytes();
            let key = Key::new(&seed, 0, &name);
            let slot = slots.insert(Record::string(&arena, &key, b"", deadline, None));
            wheel.file(&mut slots, slot, deadline, START);
        }
        let (mut due, mut filed) = (0, 0);
        loop {
            let looks = std::cell::Cell::new(0);
            let deadline_of = |record: Record| {
                looks.set(looks.get() + 1);
                record.deadline()
            };
            let next = wheel.next_due(&mut slots, deadline.plus_millis(1000), deadline_of);
            assert!(looks.get() <= 1);
            match next {
                Next::Due(slot) => {
                    due += 1;
                    let record = slots.remove(slot);
                    // SAFETY: it was just taken out, and came from this arena.
                    unsafe { record.free(&arena) };
                }
                Next::Filed => filed += 1,
                Next::Nothing => break,
            }
        }
        assert_eq!(due, count, "all come due");
        assert!(filed >= 2 * count, "through two levels at least");
    }
}
