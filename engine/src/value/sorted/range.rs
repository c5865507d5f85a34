//! Ranges of a sorted set: by rank, by score and by member, read in either direction or removed.
//!
//! Every range comes down to a range of ranks: the bounds are found by binary search, LIMIT narrows the
//! ranks, and an iterator walks them.

use std::ops::Range;

use super::order::Slots;
use super::{Form, Large, LexBound, ScoreBound, SortedValue};
use crate::op::SortedEnd;
use crate::value::memory::index_range;

/// LIMIT: how many entries of a range to skip and how many to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many to skip; a negative number skips all, as in Redis.
    pub offset: i64,
    /// How many to give at the most; a negative number for all.
    pub count: i64,
}

impl Window {
    /// The whole range.
    pub const ALL: Self = Self { offset: 0, count: -1 };

    /// What is left of a range of ranks that is read in the given direction.
    fn narrow(self, ranks: Range<usize>, reverse: bool) -> Range<usize> {
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX).min(ranks.len());
        let count = usize::try_from(self.count).unwrap_or(usize::MAX).min(ranks.len() - offset);
        if reverse {
            let end = ranks.end - offset;
            end - count..end
        } else {
            let start = ranks.start + offset;
            start..start + count
        }
    }
}

impl SortedValue {
    /// All entries in order.
    pub fn iter(&self) -> Entries<'_> {
        self.entries(0..self.len(), false)
    }

    /// ZRANGE by index, both ends included; negative ones count from the end. With `reverse` (ZREVRANGE)
    /// index 0 is the highest entry and the walk goes down.
    pub fn range_by_rank(&self, start: i64, stop: i64, reverse: bool) -> Entries<'_> {
        let ranks = index_range(start, stop, self.len());
        let length = self.len();
        let ranks = if reverse { length - ranks.end..length - ranks.start } else { ranks };
        self.entries(ranks, reverse)
    }

    /// ZRANGEBYSCORE, or with `reverse` ZREVRANGEBYSCORE: entries with scores between the bounds, from
    /// the lowest up or from the highest down. `lower` is the lower bound in either case.
    pub fn range_by_score(
        &self,
        lower: ScoreBound,
        upper: ScoreBound,
        window: Window,
        reverse: bool,
    ) -> Entries<'_> {
        self.entries(window.narrow(self.score_ranks(lower, upper), reverse), reverse)
    }

    /// ZRANGEBYLEX, or with `reverse` ZREVRANGEBYLEX: entries with members between the bounds. It means
    /// something only when all scores are equal; otherwise which entries come is not specified.
    pub fn range_by_lex(
        &self,
        lower: LexBound<'_>,
        upper: LexBound<'_>,
        window: Window,
        reverse: bool,
    ) -> Entries<'_> {
        self.entries(window.narrow(self.lex_ranks(lower, upper), reverse), reverse)
    }

    /// ZCOUNT: how many entries have scores between the bounds.
    pub fn count_by_score(&self, lower: ScoreBound, upper: ScoreBound) -> usize {
        self.score_ranks(lower, upper).len()
    }

    /// ZLEXCOUNT: how many entries have members between the bounds, all scores being equal.
    pub fn count_by_lex(&self, lower: LexBound<'_>, upper: LexBound<'_>) -> usize {
        self.lex_ranks(lower, upper).len()
    }

    /// ZREMRANGEBYRANK; how many were removed.
    pub fn remove_by_rank(&mut self, start: i64, stop: i64) -> usize {
        self.remove_ranks(index_range(start, stop, self.len()))
    }

    /// ZREMRANGEBYSCORE; how many were removed.
    pub fn remove_by_score(&mut self, lower: ScoreBound, upper: ScoreBound) -> usize {
        self.remove_ranks(self.score_ranks(lower, upper))
    }

    /// ZREMRANGEBYLEX; how many were removed.
    pub fn remove_by_lex(&mut self, lower: LexBound<'_>, upper: LexBound<'_>) -> usize {
        self.remove_ranks(self.lex_ranks(lower, upper))
    }

    /// ZPOPMIN and ZPOPMAX: takes up to `count` entries off one end, that end's own first.
    pub fn pop(&mut self, end: SortedEnd, count: usize) -> Vec<(Vec<u8>, f64)> {
        let (length, count) = (self.len(), count.min(self.len()));
        let (ranks, reverse) = match end {
            SortedEnd::Lowest => (0..count, false),
            SortedEnd::Highest => (length - count..length, true),
        };
        let popped = self.entries(ranks.clone(), reverse);
        let popped = popped.map(|(member, score)| (member.to_vec(), score)).collect();
        self.remove_ranks(ranks);
        popped
    }

    fn score_ranks(&self, lower: ScoreBound, upper: ScoreBound) -> Range<usize> {
        let start = self.partition(|_, score| !lower.admits_from(score));
        let end = self.partition(|_, score| upper.admits_to(score));
        start..end.max(start)
    }

    fn lex_ranks(&self, lower: LexBound<'_>, upper: LexBound<'_>) -> Range<usize> {
        let start = self.partition(|member, _| !lower.admits_from(member));
        let end = self.partition(|member, _| upper.admits_to(member));
        start..end.max(start)
    }

    /// The rank of the first entry for which `precedes` is false.
    fn partition(&self, precedes: impl Fn(&[u8], f64) -> bool) -> usize {
        match &self.form {
            Form::Small(entries) => entries.partition_point(|entry| precedes(&entry.1, entry.0)),
            Form::Large(large) => {
                let order = &large.order;
                order.rank(order.partition(|slot| precedes(large.member(*slot), slot.score)))
            }
        }
    }

    fn remove_ranks(&mut self, ranks: Range<usize>) -> usize {
        let count = ranks.len();
        let members_bytes: usize = self
            .entries(ranks.clone(), false)
            .map(|(member, _)| self.entry_bytes(member.len()))
            .sum();
        self.entries_bytes -= members_bytes;
        match &mut self.form {
            Form::Small(entries) => drop(entries.drain(ranks)),
            Form::Large(large) => large.remove_ranks(ranks),
        }
        count
    }

    fn entries(&self, ranks: Range<usize>, reverse: bool) -> Entries<'_> {
        let form = match &self.form {
            Form::Small(entries) => EntriesForm::Small(entries.get(ranks).unwrap_or(&[]).iter()),
            Form::Large(large) => EntriesForm::Large(large, large.order.slots(ranks)),
        };
        Entries { form, reverse }
    }
}

impl<'a> IntoIterator for &'a SortedValue {
    type Item = (&'a [u8], f64);
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}

impl Large {
    fn remove_ranks(&mut self, ranks: Range<usize>) {
        let mut slots = self.order.drain(ranks);
        // From the highest index down, the map's last member is never one that is still to be removed:
        // it has its slot in the order.
        slots.sort_unstable_by_key(|slot| std::cmp::Reverse(slot.member));
        for slot in slots {
            self.remove_from_map(slot);
        }
    }
}

/// Entries of a sorted set in the direction asked for, as (member, score).
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    form: EntriesForm<'a>,
    reverse: bool,
}

#[derive(Debug, Clone)]
enum EntriesForm<'a> {
    Small(std::slice::Iter<'a, (f64, Box<[u8]>)>),
    Large(&'a Large, Slots<'a>),
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.form {
            EntriesForm::Small(entries) => {
                let entry = if self.reverse { entries.next_back() } else { entries.next() };
                entry.map(|entry| (entry.1.as_ref(), entry.0))
            }
            EntriesForm::Large(large, slots) => {
                let slot = if self.reverse { slots.next_back() } else { slots.next() };
                slot.map(|slot| (large.member(slot), slot.score))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.form {
            EntriesForm::Small(entries) => entries.size_hint(),
            EntriesForm::Large(_, slots) => slots.size_hint(),
        }
    }
}

impl ExactSizeIterator for Entries<'_> {}
