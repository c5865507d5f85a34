//! Random choice from a seed that the caller drew.
//!
//! The engine draws no randomness of its own: an operation that chooses (SPOP) carries the seed, so
//! every node that applies it chooses alike. The generator is splitmix64 (Steele, Lea, Flood 2014): one
//! word of state, and any seed is a good one. It is no secret: nothing that guards access may use it.

use std::ops::Range;

use hashbrown::HashSet;

/// A splitmix64 generator.
#[derive(Debug, Clone)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// An index below `length`, which must not be 0. The high half of a 128-bit product: its bias is
    /// below length / 2^64.
    pub(super) fn below(&mut self, length: usize) -> usize {
        ((u128::from(self.next()) * length as u128) >> 64) as usize
    }
}

/// Indexes chosen from `0..length` as HRANDFIELD, SRANDMEMBER and ZRANDMEMBER read their count: positive
/// for that many different ones at most (all of them in order when there are no more), negative for
/// exactly that many with repetition. Repetitions are drawn one by one: a client may ask for any number.
pub(super) fn choose(seed: u64, length: usize, count: i64) -> Choice {
    let mut random = Random::new(seed);
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 && length > 0 {
        return Choice::Repeating { random, length, remaining: wanted };
    }
    if wanted >= length {
        return Choice::All(0..length);
    }
    // Floyd's sampling: `wanted` draws whatever the length. The hash set only answers membership.
    let mut chosen = Vec::with_capacity(wanted);
    let mut seen = HashSet::with_capacity(wanted);
    for top in length - wanted..length {
        let draw = random.below(top + 1);
        let index = if seen.insert(draw) { draw } else { top };
        seen.insert(index);
        chosen.push(index);
    }
    Choice::Distinct(chosen.into_iter())
}

/// Chosen indexes.
#[derive(Debug, Clone)]
pub(super) enum Choice {
    All(Range<usize>),
    Distinct(std::vec::IntoIter<usize>),
    Repeating { random: Random, length: usize, remaining: usize },
}

impl Iterator for Choice {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Self::All(range) => range.next(),
            Self::Distinct(chosen) => chosen.next(),
            Self::Repeating { random, length, remaining } => {
                *remaining = remaining.checked_sub(1)?;
                Some(random.below(*length))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // First outputs for seed 1234567 as published with the algorithm.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    fn chosen(seed: u64, length: usize, count: i64) -> Vec<usize> {
        choose(seed, length, count).collect()
    }

    #[test]
    fn counts_are_read_as_redis_reads_them() {
        assert!(chosen(1, 0, 5).is_empty());
        assert!(chosen(1, 0, -5).is_empty());
        assert!(chosen(1, 5, 0).is_empty());
        assert_eq!(chosen(1, 3, 7), [0, 1, 2]);
        assert_eq!(chosen(1, 3, -70).len(), 70);
        assert!(chosen(1, 3, -70).iter().all(|&index| index < 3));
        assert_eq!(choose(1, 3, i64::MIN).take(9).count(), 9);
        for seed in 0..200 {
            let mut indexes = chosen(seed, 20, 10);
            assert_eq!(indexes, chosen(seed, 20, 10));
            indexes.sort_unstable();
            indexes.dedup();
            assert_eq!(indexes.len(), 10);
            assert!(indexes.iter().all(|&index| index < 20));
        }
    }

    #[test]
    fn every_index_is_about_equally_likely() {
        let mut hits = [0u32; 8];
        for seed in 0..8000 {
            for index in choose(seed, 8, 2) {
                hits[index] += 1;
            }
        }
        assert!(hits.iter().all(|&hit| (1800..2200).contains(&hit)), "{hits:?}");
    }
}
