//! The sorted set: members with scores, in the order of (score, member).
//!
//! A small one is a sorted vector; a large one is a map from member to score and an `Order` beside
//! it. The form follows what OBJECT ENCODING reports (listpack, skiplist), is sticky, and travels in
//! snapshots. Ranges are in `range`.
//!
//! Invariant: map and order hold the same entries, and no score is NaN.

use std::cmp::Ordering;

use indexmap::IndexMap;
use thiserror::Error;

use super::memory::{self, allocation_bytes};
use super::random;
use super::seed::ValueSeed;
use super::wire::{DecodeError, Reader, push_bytes, push_varint};
use super::{LISTPACK_ELEMENT_BYTES_MAX, LISTPACK_ENTRIES_MAX};
use crate::op::SortedAddOptions;
use order::{Order, Slot};

mod bound;
mod order;
mod range;

pub use bound::{LexBound, ScoreBound};
pub use range::{Entries, Window};

/// First byte of the byte form.
const FORM_SMALL: u8 = 0;
const FORM_LARGE: u8 = 1;

/// What a small set keeps for an entry beside the member's bytes.
const SMALL_CELL_BYTES: usize = 24;

/// The same for a large one: the map's cell, score included, and a slot in a chunk two thirds full.
const LARGE_CELL_BYTES: usize = 8 + 16 + 8 + 12 + 24;

type Map = IndexMap<Box<[u8]>, f64, ValueSeed>;

/// Members with scores.
#[derive(Debug, Clone)]
pub struct SortedValue {
    form: Form,
    /// Heap bytes of the entries in the present form.
    entries_bytes: usize,
    seed: ValueSeed,
}

#[derive(Debug, Clone)]
enum Form {
    Small(Vec<(f64, Box<[u8]>)>),
    Large(Box<Large>),
}

#[derive(Debug, Clone)]
struct Large {
    map: Map,
    order: Order,
}

/// A score that is not a number: Redis' error `resulting score is not a number (NaN)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("resulting score is not a number (NaN)")]
pub struct NotANumber;

/// What ZADD did with a member. All but `Skipped` carry the score it has now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Added {
    /// It is new.
    New(f64),
    /// Its score is another one now.
    Changed(f64),
    /// It had that score already.
    Same(f64),
    /// An option (NX, XX, GT, LT) kept it as it was.
    Skipped,
}

impl Added {
    /// The score the member has now, unless an option intervened: what ZADD INCR answers.
    pub fn score(self) -> Option<f64> {
        match self {
            Self::New(score) | Self::Changed(score) | Self::Same(score) => Some(score),
            Self::Skipped => None,
        }
    }
}

/// The order of entries. Both zeros are equal, as in Redis.
fn compare(left: (f64, &[u8]), right: (f64, &[u8])) -> Ordering {
    let by_score = left.0.partial_cmp(&right.0).unwrap_or(Ordering::Equal);
    by_score.then_with(|| left.1.cmp(right.1))
}

impl SortedValue {
    /// A sorted set without members. It must be given one before it is stored: Redis has no empty ones.
    pub fn new(seed: ValueSeed) -> Self {
        Self { form: Form::Small(Vec::new()), entries_bytes: 0, seed }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Small(entries) => entries.len(),
            Form::Large(large) => large.map.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimate of the heap bytes held: a function of the content, not of spare capacity.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Small(_) => self.entries_bytes,
            Form::Large(_) => memory::TABLE_BYTES + size_of::<Order>() + self.entries_bytes,
        }
    }

    /// What OBJECT ENCODING answers under Redis' default limits.
    pub fn encoding(&self) -> &'static str {
        match &self.form {
            Form::Small(_) => "listpack",
            Form::Large(_) => "skiplist",
        }
    }

    fn entry_bytes(&self, member_bytes: usize) -> usize {
        let cell_bytes = match &self.form {
            Form::Small(_) => SMALL_CELL_BYTES,
            Form::Large(_) => LARGE_CELL_BYTES,
        };
        cell_bytes + allocation_bytes(member_bytes)
    }

    /// ZSCORE: the score of `member`.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.form {
            Form::Small(entries) => {
                entries.iter().find(|entry| *entry.1 == *member).map(|entry| entry.0)
            }
            Form::Large(large) => large.map.get(member).copied(),
        }
    }

    /// Whether `member` is in the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        self.score(member).is_some()
    }

    /// ZADD of one member: with INCR `score` is added to what it has, NX, XX, GT and LT decide whether
    /// anything happens (GT and LT never keep a new member out). CH is for the caller, who counts.
    ///
    /// # Errors
    /// The resulting score is not a number; the set is unchanged then.
    #[expect(clippy::float_cmp, reason = "a score is changed unless it is the very same")]
    pub fn add(
        &mut self,
        member: &[u8],
        score: f64,
        options: SortedAddOptions,
    ) -> Result<Added, NotANumber> {
        if score.is_nan() {
            return Err(NotANumber);
        }
        let Some(current) = self.score(member) else {
            if options.if_present {
                return Ok(Added::Skipped);
            }
            self.insert_new(member, score);
            return Ok(Added::New(score));
        };
        if options.if_absent {
            return Ok(Added::Skipped);
        }
        let score = if options.increment { current + score } else { score };
        if score.is_nan() {
            return Err(NotANumber);
        }
        if (options.if_less && score >= current) || (options.if_greater && score <= current) {
            return Ok(Added::Skipped);
        }
        if score == current {
            return Ok(Added::Same(score));
        }
        self.move_to(member, current, score);
        Ok(Added::Changed(score))
    }

    /// ZINCRBY: adds to the score of `member` (0 when absent) and returns it.
    ///
    /// # Errors
    /// The resulting score is not a number; the set is unchanged then.
    pub fn increment(&mut self, member: &[u8], by: f64) -> Result<f64, NotANumber> {
        let options = SortedAddOptions { increment: true, ..SortedAddOptions::default() };
        self.add(member, by, options).map(|added| added.score().unwrap_or(by))
    }

    fn insert_new(&mut self, member: &[u8], score: f64) {
        if let Form::Small(entries) = &self.form
            && (entries.len() >= LISTPACK_ENTRIES_MAX || member.len() > LISTPACK_ELEMENT_BYTES_MAX)
        {
            self.become_large();
        }
        self.entries_bytes += self.entry_bytes(member.len());
        match &mut self.form {
            Form::Small(entries) => {
                let place = entries
                    .partition_point(|entry| compare((entry.0, &entry.1), (score, member)).is_lt());
                entries.reserve_exact(1);
                // Redis packs a whole score as an integer, which has no negative zero.
                entries.insert(place, (score + 0.0, member.into()));
            }
            Form::Large(large) => {
                let index = large.map.insert_full(member.into(), score).0;
                let position = large.locate((score, member));
                large.order.insert(position, Slot::new(score, index));
            }
        }
    }

    /// Gives an existing member another score.
    fn move_to(&mut self, member: &[u8], current: f64, score: f64) {
        match &mut self.form {
            Form::Small(entries) => {
                let Some(old) = entries.iter().position(|entry| *entry.1 == *member) else {
                    return;
                };
                let (_, member) = entries.remove(old);
                let place = entries.partition_point(|entry| {
                    compare((entry.0, &entry.1), (score, &member)).is_lt()
                });
                entries.insert(place, (score + 0.0, member));
            }
            Form::Large(large) => {
                let position = large.locate((current, member));
                let Some(slot) = large.order.remove(position) else { return };
                let position = large.locate((score, member));
                large.order.insert(position, Slot { score, ..slot });
                if let Some(stored) = large.map.get_mut(member) {
                    *stored = score;
                }
            }
        }
    }

    /// ZREM of one member; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let removed = match &mut self.form {
            Form::Small(entries) => match entries.iter().position(|entry| *entry.1 == *member) {
                Some(index) => {
                    entries.remove(index);
                    true
                }
                None => false,
            },
            Form::Large(large) => match large.map.get(member).copied() {
                Some(score) => {
                    let position = large.locate((score, member));
                    let slot = large.order.remove(position);
                    slot.is_some_and(|slot| large.remove_from_map(slot).is_some())
                }
                None => false,
            },
        };
        if removed {
            self.entries_bytes -= self.entry_bytes(member.len());
        }
        removed
    }

    /// ZRANK: how many entries stand before `member`.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match &self.form {
            Form::Small(entries) => entries.iter().position(|entry| *entry.1 == *member),
            Form::Large(large) => {
                let score = *large.map.get(member)?;
                Some(large.order.rank(large.locate((score, member))))
            }
        }
    }

    /// ZREVRANK: how many entries stand after `member`.
    pub fn reverse_rank(&self, member: &[u8]) -> Option<usize> {
        self.rank(member).map(|rank| self.len() - 1 - rank)
    }

    /// The entry of that rank.
    pub fn at(&self, rank: usize) -> Option<(&[u8], f64)> {
        match &self.form {
            Form::Small(entries) => entries.get(rank).map(|entry| (entry.1.as_ref(), entry.0)),
            Form::Large(large) => large.order.at(rank).map(|slot| (large.member(slot), slot.score)),
        }
    }

    /// ZSCAN: visits some members and returns the cursor to go on with, 0 at the end. A listpack is
    /// visited whole, in order; a skiplist is walked by its map, from the end to the start for the
    /// reason given at [`HashValue::scan`](super::HashValue::scan).
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        let Form::Large(large) = &self.form else {
            self.iter().for_each(|(member, score)| visit(member, score));
            return 0;
        };
        let range = memory::scan_step(large.map.len(), cursor, count);
        let start = range.start;
        let entries = large.map.get_range(range).into_iter().flatten();
        entries.for_each(|(member, score)| visit(member, *score));
        start as u64
    }

    /// ZRANDMEMBER: up to `count` different entries, or exactly `-count` with repetition when negative.
    /// They are drawn as they are taken, so a caller may stop at any limit of its own.
    pub fn random_entries(&self, seed: u64, count: i64) -> impl Iterator<Item = (&[u8], f64)> {
        random::choose(seed, self.len(), count).filter_map(|rank| self.at(rank))
    }

    fn become_large(&mut self) {
        let Form::Small(entries) = &mut self.form else { return };
        let entries = std::mem::take(entries);
        let mut map = Map::with_capacity_and_hasher(entries.len() + 1, self.seed);
        let mut slots = Vec::with_capacity(entries.len());
        self.entries_bytes += entries.len() * (LARGE_CELL_BYTES - SMALL_CELL_BYTES);
        for (index, (score, member)) in entries.into_iter().enumerate() {
            slots.push(Slot::new(score, index));
            map.insert(member, score);
        }
        let order = Order::from_sorted(&slots);
        self.form = Form::Large(Box::new(Large { map, order }));
    }

    /// Appends the byte form: a small set by rank, a large one in the order of its map, which scans
    /// follow.
    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        let large = matches!(self.form, Form::Large(_));
        out.push(if large { FORM_LARGE } else { FORM_SMALL });
        push_varint(out, self.len() as u64);
        let mut put = |member: &[u8], score: f64| {
            out.extend_from_slice(&score.to_bits().to_le_bytes());
            push_bytes(out, member);
        };
        match &self.form {
            Form::Small(entries) => entries.iter().for_each(|entry| put(&entry.1, entry.0)),
            Form::Large(large) => large.map.iter().for_each(|(member, score)| put(member, *score)),
        }
    }

    /// Reads the byte form.
    pub(super) fn decode(reader: &mut Reader<'_>, seed: ValueSeed) -> Result<Self, DecodeError> {
        let form = reader.byte()?;
        // A score and a member's length: nine bytes at least.
        let count = reader.count(9)?;
        let mut map = Map::with_capacity_and_hasher(count, seed);
        for _ in 0..count {
            let score = reader.double()?;
            if score.is_nan() {
                return Err(DecodeError::NotANumber);
            }
            if map.insert(reader.bytes()?.into(), score).is_some() {
                return Err(DecodeError::Disordered);
            }
        }
        let mut sorted = Self::new(seed);
        match form {
            FORM_SMALL if count > LISTPACK_ENTRIES_MAX => return Err(DecodeError::Malformed),
            FORM_SMALL => {
                let entries: Vec<_> =
                    map.into_iter().map(|(member, score)| (score, member)).collect();
                if entries.iter().any(|entry| entry.1.len() > LISTPACK_ELEMENT_BYTES_MAX) {
                    return Err(DecodeError::Malformed);
                }
                let ascending = entries.is_sorted_by(|left, right| {
                    compare((left.0, &left.1), (right.0, &right.1)).is_lt()
                });
                if !ascending {
                    return Err(DecodeError::Disordered);
                }
                sorted.form = Form::Small(entries);
            }
            FORM_LARGE => {
                let mut slots: Vec<_> = map
                    .values()
                    .enumerate()
                    .map(|(index, score)| Slot::new(*score, index))
                    .collect();
                let mut large = Large { map, order: Order::default() };
                slots.sort_unstable_by(|left, right| {
                    compare((left.score, large.member(*left)), (right.score, large.member(*right)))
                });
                large.order = Order::from_sorted(&slots);
                sorted.form = Form::Large(Box::new(large));
            }
            _ => return Err(DecodeError::Malformed),
        }
        let members_bytes: usize =
            sorted.iter().map(|(member, _)| sorted.entry_bytes(member.len())).sum();
        sorted.entries_bytes = members_bytes;
        Ok(sorted)
    }
}

impl Slot {
    /// A slot for the member at `index` of the map. Four billion members do not fit a machine's memory
    /// with their bytes, so the limit is asserted, not handled.
    fn new(score: f64, index: usize) -> Self {
        assert!(index < u32::MAX as usize, "a sorted set holds less than 2^32 members");
        Self { score, member: index as u32 }
    }
}

impl Large {
    fn member(&self, slot: Slot) -> &[u8] {
        self.map.get_index(slot.member as usize).map_or(&[], |(member, _)| member)
    }

    /// The place of an entry: before the first that is not less.
    fn locate(&self, entry: (f64, &[u8])) -> order::Position {
        self.order.partition(|slot| match slot.score.partial_cmp(&entry.0) {
            Some(Ordering::Less) => true,
            Some(Ordering::Greater) => false,
            _ => self.member(*slot) < entry.1,
        })
    }

    /// Removes from the map the member of a slot that has left the order. The map's last member takes
    /// its index, so that member's slot is told. Returns how long the member was.
    fn remove_from_map(&mut self, slot: Slot) -> Option<usize> {
        let index = slot.member as usize;
        let last = self.map.len() - 1;
        if index != last {
            let (member, score) = self.map.get_index(last)?;
            let position = self.locate((*score, member));
            self.order.get_mut(position)?.member = slot.member;
        }
        let removed = self.map.swap_remove_index(index).map(|(member, _)| member.len());
        if memory::is_sparse(self.map.len(), self.map.capacity()) {
            self.map.shrink_to(2 * self.map.len());
        }
        removed
    }
}

#[cfg(test)]
mod tests;
