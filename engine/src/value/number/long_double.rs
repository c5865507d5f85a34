//! The 80-bit number in which Redis on x86-64 does INCRBYFLOAT and HINCRBYFLOAT.
//!
//! With 64 bits of mantissa, 3.0 + 1.2 comes out as 4.2 and 1234.1 + 0.1 as 1234.19999999999999996:
//! neither doubles nor exact decimals print the same. So the format itself is computed here in integers:
//! reading rounds the decimal correctly, addition rounds once, and writing is C's `%.17Lf` with trailing
//! zeros cut, each to the last bit as the hardware and glibc do it.

use std::fmt;

use super::big::Big;
use super::literal::{Digits, Literal, round};

/// Bits of the mantissa.
const PRECISION: u32 = 64;
/// Exponent of the lowest bit of the smallest number: 2^-16382 with 63 bits after the point.
const EXPONENT_MIN: i64 = -16_445;
/// Exponent of the lowest bit of the largest number.
const EXPONENT_MAX: i64 = 16_320;
/// Texts of this many bytes and more are refused, as by Redis' `MAX_LONG_DOUBLE_CHARS`.
const TEXT_BYTES_LIMIT: usize = 5 * 1024;
/// Digits that `%.17Lf` writes after the point.
const FRACTION_DIGITS: usize = 17;
const FRACTION_SCALE: u128 = 10u128.pow(FRACTION_DIGITS as u32);
/// Powers of ten up to this fit, with 64 bits of digits shifted to the top, a 128-bit division that
/// leaves at least two bits beyond the precision.
const SHORT_POWER_MAX: i64 = 18;

/// An x87 extended-precision number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Magnitude {
    /// mantissa × 2^exponent; not necessarily normalised.
    Finite {
        mantissa: u64,
        exponent: i64,
    },
    Infinite,
    NotANumber,
}

impl LongDouble {
    /// Zero: what an absent key or field counts as.
    pub const ZERO: Self =
        Self { negative: false, magnitude: Magnitude::Finite { mantissa: 0, exponent: 0 } };

    /// Reads a number as Redis' `string2ld` does: what C's `strtold` takes, whole, without leading
    /// space. Infinity is a number here (its use is refused later); NaN, and what is too large or too
    /// small for the format, are not.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_LIMIT {
            return None;
        }
        let literal = Literal::parse(text)?;
        let magnitude = match &literal.digits {
            Digits::Infinity => Magnitude::Infinite,
            _ if !literal.has_nonzero_digit() => Magnitude::Finite { mantissa: 0, exponent: 0 },
            Digits::Decimal { whole, fraction, exponent, .. } => {
                let (mantissa, exponent, sticky) = from_decimal(whole, fraction, *exponent)?;
                in_range(mantissa, exponent, sticky)?
            }
            Digits::Hexadecimal { .. } => {
                let (mantissa, exponent) = literal.binary();
                in_range(mantissa, exponent, false)?
            }
        };
        Some(Self { negative: literal.negative, magnitude })
    }

    /// The number itself when it is neither infinite nor NaN.
    pub fn finite(self) -> Option<Self> {
        matches!(self.magnitude, Magnitude::Finite { .. }).then_some(self)
    }

    /// The sum, rounded once.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "one operation does not make arithmetic")]
    pub fn add(self, other: Self) -> Self {
        match (self.magnitude, other.magnitude) {
            (
                Magnitude::Finite { mantissa, exponent },
                Magnitude::Finite { mantissa: other_mantissa, exponent: other_exponent },
            ) => add_finite(
                (self.negative, mantissa, exponent),
                (other.negative, other_mantissa, other_exponent),
            ),
            (Magnitude::NotANumber, _) | (_, Magnitude::NotANumber) => {
                Self { negative: false, magnitude: Magnitude::NotANumber }
            }
            (Magnitude::Infinite, Magnitude::Infinite) if self.negative != other.negative => {
                Self { negative: false, magnitude: Magnitude::NotANumber }
            }
            (Magnitude::Infinite, _) => self,
            (_, Magnitude::Infinite) => other,
        }
    }
}

/// mantissa × 2^exponent as this format holds it, if it does.
fn in_range(mantissa: u128, exponent: i64, sticky: bool) -> Option<Magnitude> {
    let (mantissa, exponent) = round(mantissa, exponent, sticky, PRECISION, EXPONENT_MIN);
    let top = exponent - i64::from(mantissa.leading_zeros());
    (mantissa != 0 && top <= EXPONENT_MAX).then_some(Magnitude::Finite { mantissa, exponent })
}

/// A decimal as mantissa × 2^exponent and whether something was cut off; None far out of range.
fn from_decimal(whole: &[u8], fraction: &[u8], exponent: i64) -> Option<(u128, i64, bool)> {
    let is_zero = |digit: &&u8| **digit == b'0';
    let all = || whole.iter().chain(fraction);
    let leading = all().take_while(is_zero).count();
    let trailing = all().rev().take_while(is_zero).count();
    let count = whole.len() + fraction.len() - leading - trailing;
    let digits = || all().skip(leading).take(count).copied();
    let power = exponent - fraction.len() as i64 + trailing as i64;
    // Beyond 10^4932 and below 10^-4951 there is nothing.
    if !(-5000..5000).contains(&(power + count as i64)) {
        return None;
    }
    if count <= 19 && (-SHORT_POWER_MAX..=0).contains(&power) {
        let number = digits().fold(0u128, |number, digit| number * 10 + u128::from(digit - b'0'));
        let shift = number.leading_zeros();
        let divisor = 10u128.pow(power.unsigned_abs() as u32);
        let shifted = number << shift;
        return Some((shifted / divisor, -i64::from(shift), !shifted.is_multiple_of(divisor)));
    }
    let mut number = Big::from_digits(digits());
    let mut divisor = Big::from_digits(std::iter::once(b'1'));
    let scaled = if power >= 0 { &mut number } else { &mut divisor };
    scaled.multiply_by_power_of_ten(power.unsigned_abs() as usize);
    Some(number.divide(&divisor))
}

/// Adds signed finite numbers, each (negative, mantissa, exponent).
fn add_finite(left: (bool, u64, i64), right: (bool, u64, i64)) -> LongDouble {
    if left.1 == 0 || right.1 == 0 {
        let (negative, mantissa, exponent) = if right.1 == 0 { left } else { right };
        // Of two zeros only a pair of negatives is negative.
        let negative = negative && (mantissa != 0 || (left.0 && right.0));
        return LongDouble { negative, magnitude: Magnitude::Finite { mantissa, exponent } };
    }
    let normalised = |(negative, mantissa, exponent): (bool, u64, i64)| {
        let shift = mantissa.leading_zeros();
        (negative, mantissa << shift, exponent - i64::from(shift))
    };
    let (left, right) = (normalised(left), normalised(right));
    let (large, small) =
        if (left.2, left.1) >= (right.2, right.1) { (left, right) } else { (right, left) };
    // The larger one takes bits 63 to 126: one bit above for a carry, 63 below for the smaller one.
    let wide = u128::from(large.1) << 63;
    let distance = u32::try_from(large.2 - small.2).unwrap_or(u32::MAX);
    let unshifted = u128::from(small.1) << 63;
    let shifted = unshifted.checked_shr(distance).unwrap_or(0);
    let sticky = shifted.checked_shl(distance) != Some(unshifted);
    let sum = if large.0 == small.0 {
        wide + shifted
    } else {
        // What was shifted out is taken off too: borrow one, and `sticky` stands for the change.
        wide - shifted - u128::from(sticky)
    };
    let (mantissa, exponent) = round(sum, large.2 - 63, sticky, PRECISION, EXPONENT_MIN);
    let magnitude =
        if mantissa != 0 && exponent - i64::from(mantissa.leading_zeros()) > EXPONENT_MAX {
            Magnitude::Infinite
        } else {
            Magnitude::Finite { mantissa, exponent }
        };
    LongDouble { negative: large.0 && mantissa != 0, magnitude }
}

/// Redis' human form: `%.17Lf` without trailing zeros, and no minus before a zero.
impl fmt::Display for LongDouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let (mantissa, exponent) = match self.magnitude {
            Magnitude::Finite { mantissa, exponent } => (mantissa, exponent),
            Magnitude::Infinite => return write!(formatter, "{sign}inf"),
            Magnitude::NotANumber => return formatter.write_str("nan"),
        };
        if mantissa == 0 {
            return formatter.write_str("0");
        }
        if exponent > 0 {
            let digits = Big::from_binary(mantissa, exponent as usize).into_digits();
            return write!(formatter, "{sign}{digits}");
        }
        let scaled = shifted_right_to_even(u128::from(mantissa) * FRACTION_SCALE, -exponent);
        let (whole, fraction) = (scaled / FRACTION_SCALE, scaled % FRACTION_SCALE);
        if scaled == 0 {
            return formatter.write_str("0");
        }
        if fraction == 0 {
            return write!(formatter, "{sign}{whole}");
        }
        let digits = format!("{fraction:017}");
        write!(formatter, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// number ÷ 2^shift, to nearest, ties to even.
fn shifted_right_to_even(number: u128, shift: i64) -> u128 {
    match shift {
        0 => number,
        1..128 => {
            let (kept, half) = (number >> shift, 1u128 << (shift - 1));
            let lost = number & ((half << 1).wrapping_sub(1));
            kept + u128::from(lost > half || (lost == half && kept & 1 == 1))
        }
        // A scaled mantissa has at most 121 bits: less than half of the last place.
        _ => 0,
    }
}
