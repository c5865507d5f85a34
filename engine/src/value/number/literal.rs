//! The grammar of C's `strtod`, in the C locale, for a text that must be a number from end to end.
//!
//! `[+-]` then `inf` or `infinity` (any case), decimal digits with at most one point and an optional
//! exponent, or `0x` and the same in hexadecimal with an optional binary exponent. Every place where
//! Redis reads a number refuses NaN, so NaN is no number here.

/// Exponents saturate here: far beyond any number's range, far below an overflow of the arithmetic.
const EXPONENT_MAX: i64 = 1 << 40;

/// A number as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Literal<'a> {
    pub(super) negative: bool,
    pub(super) digits: Digits<'a>,
}

/// What follows the sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Digits<'a> {
    Infinity,
    /// `whole.fraction` × 10^exponent; `text` is all of it.
    Decimal {
        text: &'a [u8],
        whole: &'a [u8],
        fraction: &'a [u8],
        exponent: i64,
    },
    /// `whole.fraction` in base 16, × 2^exponent.
    Hexadecimal {
        whole: &'a [u8],
        fraction: &'a [u8],
        exponent: i64,
    },
}

impl<'a> Literal<'a> {
    /// Reads all of `text`, or nothing.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, rest) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        let digits = match rest {
            _ if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") => {
                Digits::Infinity
            }
            [b'0', b'x' | b'X', hexadecimal @ ..] => {
                let (whole, fraction, exponent) =
                    split(hexadecimal, u8::is_ascii_hexdigit, [b'p', b'P'])?;
                Digits::Hexadecimal { whole, fraction, exponent }
            }
            _ => {
                let (whole, fraction, exponent) = split(rest, u8::is_ascii_digit, [b'e', b'E'])?;
                Digits::Decimal { text: rest, whole, fraction, exponent }
            }
        };
        Some(Self { negative, digits })
    }

    /// Whether the number written is other than zero.
    pub(super) fn has_nonzero_digit(&self) -> bool {
        match self.digits {
            Digits::Infinity => true,
            Digits::Decimal { whole, fraction, .. }
            | Digits::Hexadecimal { whole, fraction, .. } => {
                whole.iter().chain(fraction).any(|&digit| digit != b'0')
            }
        }
    }

    /// A hexadecimal literal's magnitude as mantissa × 2^exponent. Digits beyond the mantissa's room
    /// leave their trace in its lowest bit, which is all that rounding needs of them.
    pub(super) fn binary(&self) -> (u128, i64) {
        let Digits::Hexadecimal { whole, fraction, exponent } = self.digits else {
            return (0, 0);
        };
        let mut mantissa = 0u128;
        let mut exponent = exponent - 4 * fraction.len() as i64;
        for digit in whole.iter().chain(fraction) {
            let value = u128::from((*digit as char).to_digit(16).unwrap_or_default());
            if mantissa >> 120 == 0 {
                mantissa = (mantissa << 4) | value;
            } else {
                mantissa |= u128::from(value != 0);
                exponent += 4;
            }
        }
        (mantissa, exponent)
    }
}

/// Splits `whole[.fraction][mark[sign]digits]`; at least one digit must stand before the mark, and one
/// after it.
fn split(text: &[u8], is_digit: fn(&u8) -> bool, marks: [u8; 2]) -> Option<(&[u8], &[u8], i64)> {
    let digits_at =
        |from: &[u8]| from.iter().position(|byte| !is_digit(byte)).unwrap_or(from.len());
    let (whole, mut rest) = text.split_at(digits_at(text));
    let mut fraction: &[u8] = &[];
    if let [b'.', after @ ..] = rest {
        (fraction, rest) = after.split_at(digits_at(after));
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let Some((mark, rest)) = rest.split_first() else { return Some((whole, fraction, 0)) };
    if !marks.contains(mark) {
        return None;
    }
    let (negative, digits) = match rest.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits
        .iter()
        .fold(0i64, |exponent, digit| (exponent * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    Some((whole, fraction, if negative { -exponent } else { exponent }))
}

/// Rounds mantissa × 2^exponent to `precision` bits and an exponent of at least `exponent_min`, to
/// nearest, ties to even. `sticky` says that a little more than the mantissa was meant; the mantissa
/// must then have at least two bits beyond the precision.
pub(super) fn round(
    mantissa: u128,
    exponent: i64,
    sticky: bool,
    precision: u32,
    exponent_min: i64,
) -> (u64, i64) {
    let bits = i64::from(128 - mantissa.leading_zeros());
    let shift = (bits - i64::from(precision)).max(exponent_min - exponent);
    if mantissa == 0 || shift > 128 {
        return (0, exponent_min);
    }
    if shift <= 0 {
        return (mantissa as u64, exponent);
    }
    let half = 1u128 << (shift - 1);
    let mut kept = mantissa.checked_shr(shift as u32).unwrap_or(0);
    let lost = mantissa ^ kept.checked_shl(shift as u32).unwrap_or(0);
    if lost > half || (lost == half && (sticky || kept & 1 == 1)) {
        kept += 1;
    }
    // Rounding up may carry into one bit more than the word has.
    match u64::try_from(kept) {
        Ok(kept) => (kept, exponent + shift),
        Err(_) => (1 << 63, exponent + shift + 1),
    }
}
