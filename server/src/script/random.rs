//! `math.random` as Redis has it: the generator of `drand48`, the same on every platform.

use std::cell::Cell;

/// The largest number drawn, and what fractions are of.
const MOST: u64 = i32::MAX as u64;

/// A generator.
#[derive(Debug, Default)]
pub(super) struct Random(Cell<u64>);

impl Random {
    pub(super) fn seed(&self, seed: u32) {
        self.0.set(u64::from(seed) << 16 | 0x330e);
    }

    /// A number of 31 bits.
    fn next(&self) -> u64 {
        let next = self.0.get().wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & ((1 << 48) - 1);
        self.0.set(next);
        next >> 17
    }

    /// At least 0 and less than 1.
    pub(super) fn fraction(&self) -> f64 {
        (self.next() % MOST) as f64 / MOST as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of Redis 7.0 after `math.randomseed(5)`.
    #[test]
    fn numbers_are_those_of_redis() {
        let random = Random::default();
        random.seed(5);
        let upto = |most: f64| (random.fraction() * most).floor() as i64 + 1;
        assert_eq!((upto(1000.0), upto(1000.0)), (525, 273));
        assert!((random.fraction() - 0.788_599_468_669_2).abs() < 1e-12);
    }
}
