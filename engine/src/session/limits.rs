//! The pairs of idle and absolute limit that a shard's sessions use, numbered.
//!
//! A product has a handful of such pairs and millions of sessions, so a record holds a 20-bit number
//! instead of eight bytes. Numbers are counted and used again.

use std::collections::BTreeMap;

use crate::op::Limits;
use crate::store::record::LIMITS_MAX;

/// A shard's numbered limits.
#[derive(Default)]
pub(crate) struct LimitsTable {
    numbers: BTreeMap<Limits, u32>,
    entries: Vec<(Limits, u32)>,
    free: Vec<u32>,
    last: u32,
}

impl LimitsTable {
    /// The number of a pair, counted as used once more; `None` when all numbers are taken.
    pub(crate) fn acquire(&mut self, limits: Limits) -> Option<u32> {
        let number = match self.entries.get(self.last as usize) {
            Some(&(last, count)) if last == limits && count > 0 => self.last,
            _ => match self.numbers.get(&limits) {
                Some(&number) => number,
                None => self.number_for(limits)?,
            },
        };
        self.entries.get_mut(number as usize)?.1 += 1;
        self.last = number;
        Some(number)
    }

    /// Counts one use less.
    pub(crate) fn release(&mut self, number: u32) {
        if let Some((limits, count)) = self.entries.get_mut(number as usize) {
            *count -= 1;
            if *count == 0 {
                self.numbers.remove(limits);
                self.free.push(number);
            }
        }
    }

    /// The pair of a number that is in use.
    pub(crate) fn get(&self, number: u32) -> Limits {
        self.entries.get(number as usize).map_or(Limits::default(), |&(limits, _)| limits)
    }

    /// Whether so many numbers are free that another node, which has swept less, has some, too.
    pub(crate) fn has_margin(&self) -> bool {
        self.entries.len() - self.free.len() < LIMITS_MAX / 16 * 15
    }

    fn number_for(&mut self, limits: Limits) -> Option<u32> {
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = (limits, 0);
                number
            }
            None if self.entries.len() < LIMITS_MAX => {
                self.entries.push((limits, 0));
                self.entries.len() as u32 - 1
            }
            None => return None,
        };
        self.numbers.insert(limits, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_is_left_and_comes_back() {
        let mut table = LimitsTable::default();
        let limits = |idle_seconds| Limits { idle_seconds, lifetime_seconds: 0 };
        let mut count = 0;
        while table.has_margin() {
            assert!(table.acquire(limits(count)).is_some());
            count += 1;
        }
        assert_eq!(count as usize, LIMITS_MAX / 16 * 15);
        assert!(table.acquire(limits(count)).is_some(), "there is more behind the margin");
        table.release(0);
        table.release(1);
        assert!(table.has_margin());
    }
}
