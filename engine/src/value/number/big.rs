//! Whole numbers of any size: just what converting long doubles from and to decimal takes.
//!
//! Long doubles reach 10^4932, so a conversion that is right to the last bit goes through integers of
//! up to some 16 500 bits. Speed matters little here: short decimals never come this way.

use std::cmp::Ordering;
use std::fmt::Write;

/// Base of the decimal conversions: the largest power of ten in a limb.
const CHUNK: u32 = 1_000_000_000;
const CHUNK_DIGITS: usize = 9;

/// A whole number; limbs from the lowest, without leading zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Big {
    limbs: Vec<u32>,
}

impl Big {
    /// From decimal digits.
    pub(super) fn from_digits(digits: impl Iterator<Item = u8>) -> Self {
        let mut big = Self { limbs: Vec::new() };
        let (mut chunk, mut base) = (0u32, 1u32);
        for digit in digits {
            chunk = chunk * 10 + u32::from(digit - b'0');
            base *= 10;
            if base == CHUNK {
                big.multiply_add(CHUNK, chunk);
                (chunk, base) = (0, 1);
            }
        }
        big.multiply_add(base, chunk);
        big
    }

    /// mantissa × 2^shift.
    pub(super) fn from_binary(mantissa: u64, shift: usize) -> Self {
        let limbs = vec![mantissa as u32, (mantissa >> 32) as u32];
        Self { limbs }.shifted_left(shift)
    }

    /// Multiplies by 10^exponent.
    pub(super) fn multiply_by_power_of_ten(&mut self, exponent: usize) {
        for _ in 0..exponent / CHUNK_DIGITS {
            self.multiply_add(CHUNK, 0);
        }
        self.multiply_add(10u32.pow((exponent % CHUNK_DIGITS) as u32), 0);
    }

    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.limbs {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.limbs.push(carry as u32);
        }
    }

    /// How many bits the number has.
    pub(super) fn bits(&self) -> usize {
        self.limbs.last().map_or(0, |last| 32 * self.limbs.len() - last.leading_zeros() as usize)
    }

    /// The number × 2^shift.
    pub(super) fn shifted_left(&self, shift: usize) -> Self {
        let bits = shift % 32;
        let mut limbs = vec![0; shift / 32];
        let mut carry = 0u64;
        for &limb in &self.limbs {
            carry |= u64::from(limb) << bits;
            limbs.push(carry as u32);
            carry >>= 32;
        }
        limbs.push(carry as u32);
        Self { limbs }.trimmed()
    }

    fn trimmed(mut self) -> Self {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
        self
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.limbs.iter_mut().rev() {
            let low = *limb & 1;
            *limb = (*limb >> 1) | (carry << 31);
            carry = low;
        }
        if self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    fn at_least(&self, other: &Self) -> bool {
        let by_size = self.limbs.len().cmp(&other.limbs.len());
        by_size.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()))
            != Ordering::Less
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = 0;
        for (index, limb) in self.limbs.iter_mut().enumerate() {
            let taken = i64::from(other.limbs.get(index).copied().unwrap_or(0)) + borrow;
            let difference = i64::from(*limb) - taken;
            *limb = difference as u32;
            borrow = i64::from(difference < 0);
        }
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    /// self ÷ divisor as mantissa × 2^exponent, the mantissa of at least 80 bits, and whether there is a
    /// remainder. Neither number may be zero.
    pub(super) fn divide(&self, divisor: &Self) -> (u128, i64, bool) {
        // Scale so that the quotient has 80 or 81 bits, then divide bit by bit.
        let scale = 80 + divisor.bits() as i64 - self.bits() as i64;
        let mut rest = self.shifted_left(scale.max(0) as usize);
        let mut step = divisor.shifted_left((-scale).max(0) as usize + 81);
        let mut quotient = 0u128;
        for _ in 0..=81 {
            quotient <<= 1;
            if rest.at_least(&step) {
                rest.subtract(&step);
                quotient |= 1;
            }
            step.halve();
        }
        (quotient, -scale, !rest.limbs.is_empty())
    }

    /// The decimal digits.
    pub(super) fn into_digits(mut self) -> String {
        let mut chunks = Vec::new();
        while !self.limbs.is_empty() {
            let mut rest = 0u64;
            for limb in self.limbs.iter_mut().rev() {
                rest = (rest << 32) | u64::from(*limb);
                *limb = (rest / u64::from(CHUNK)) as u32;
                rest %= u64::from(CHUNK);
            }
            chunks.push(rest);
            while self.limbs.last() == Some(&0) {
                self.limbs.pop();
            }
        }
        let mut chunks = chunks.into_iter().rev();
        let mut digits = chunks.next().unwrap_or(0).to_string();
        for chunk in chunks {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{chunk:09}");
        }
        digits
    }
}
