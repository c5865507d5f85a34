//! Numbers as Redis reads and writes them: integers, doubles, and the long doubles of INCRBYFLOAT.
//!
//! Clients compare these texts byte for byte, so each function follows one of Redis 7.2's: `parse_i64`
//! is `string2ll`, `parse_f64` is `string2d`, `format_f64` is `d2string`, and [`LongDouble`] is the
//! x87 number behind `string2ld` and `ld2string`. C's `strtod` decides what is a number at all; the
//! grammar is in `literal`.

use std::borrow::Cow;

use thiserror::Error;

use literal::{Digits, Literal};

mod big;
mod literal;
mod long_double;

pub use long_double::LongDouble;

/// Why an increment was refused. The server words it by command family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IncrementError {
    /// What is stored is not an integer in range: `value is not an integer or out of range`, or
    /// `hash value is not an integer`.
    #[error("the stored value is not an integer")]
    NotAnInteger,
    /// What is stored is not a number: `value is not a valid float`, or `hash value is not a float`.
    #[error("the stored value is not a number")]
    NotAFloat,
    /// The sum leaves 64 bits: `increment or decrement would overflow`.
    #[error("increment or decrement would overflow")]
    Overflow,
    /// The sum is no finite number: `increment would produce NaN or Infinity`.
    #[error("increment would produce NaN or Infinity")]
    NotFinite,
}

/// Longest text of a 64-bit integer: `-9223372036854775808`.
const INTEGER_BYTES_MAX: usize = 20;

/// Reads an integer as `string2ll` does: decimal, no `+`, no spaces, no leading zero, no `-0`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    if text == b"0" {
        return Some(0);
    }
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, text),
    };
    if digits.first().is_none_or(|first| !matches!(first, b'1'..=b'9'))
        || digits.len() >= INTEGER_BYTES_MAX
    {
        return None;
    }
    // At most 19 digits: they fit an unsigned word.
    let mut number = 0u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    if negative { 0i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() }
}

/// The text of an integer, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct IntegerText {
    bytes: [u8; INTEGER_BYTES_MAX],
    start: u8,
}

impl IntegerText {
    /// The digits, with a `-` before a negative number.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

/// Writes an integer without the formatting machinery and without an allocation.
pub fn format_i64(number: i64) -> IntegerText {
    let mut text = IntegerText { bytes: [0; INTEGER_BYTES_MAX], start: INTEGER_BYTES_MAX as u8 };
    let mut rest = number.unsigned_abs();
    let mut put = |byte| {
        text.start -= 1;
        text.bytes[usize::from(text.start)] = byte;
    };
    loop {
        put(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        put(b'-');
    }
    text
}

/// Reads a double as `string2d` does: what C's `strtod` takes, whole and without leading space. That
/// includes hexadecimal (`0x1p-3`) and `inf`; NaN, and a number too large or too small for a double,
/// are refused.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let literal = Literal::parse(text)?;
    let number = double(&literal);
    let lost = match literal.digits {
        Digits::Infinity => false,
        _ => number.is_infinite() || (number == 0.0 && literal.has_nonzero_digit()),
    };
    (!lost).then_some(number)
}

/// Reads a score bound's number as ZRANGEBYSCORE does: by `strtod` alone, so leading space is fine, an
/// empty text is 0, what is too large is infinite, and the text ends at a NUL.
pub(super) fn parse_bound(text: &[u8]) -> Option<f64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte))?;
    Literal::parse(&text[start..]).map(|literal| double(&literal))
}

/// The double nearest to a literal: infinite when too large, zero when too small.
fn double(literal: &Literal<'_>) -> f64 {
    let magnitude = match &literal.digits {
        Digits::Infinity => f64::INFINITY,
        // The literal's grammar is a part of what `parse` takes.
        Digits::Decimal { text, .. } => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(f64::INFINITY),
        Digits::Hexadecimal { .. } => {
            let (mantissa, exponent) = literal.binary();
            let (mantissa, exponent) = literal::round(mantissa, exponent, false, 53, -1074);
            mantissa as f64 * power_of_two(exponent)
        }
    };
    if literal.negative { -magnitude } else { magnitude }
}

/// 2 to the `exponent`, from -1074 (the smallest a double holds); infinite above 1023.
fn power_of_two(exponent: i64) -> f64 {
    match exponent {
        ..-1074 => 0.0,
        -1074..-1022 => f64::from_bits(1 << (exponent + 1074)),
        -1022..=1023 => f64::from_bits(((exponent + 1023) as u64) << 52),
        _ => f64::INFINITY,
    }
}

/// Writes a double as `d2string` does in Redis 7.2: an integer of up to 62 bits in full, anything else in
/// the shortest digits that read back the same, `1e+20` beyond the digits by seven places, `1e-7` from
/// seven zeros on.
///
/// Redis takes its digits from Grisu2, which in about one case in a thousand writes a digit more than
/// the shortest; this function never does.
#[expect(clippy::float_cmp, reason = "exactly the doubles that are integers")]
pub fn format_f64(number: f64) -> Cow<'static, str> {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.into();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.into();
    }
    let integer = number as i64;
    // 2^62: the limit of `double2ll`.
    if number.abs() <= 4_611_686_018_427_387_904.0 && integer as f64 == number {
        return integer.to_string().into();
    }
    shortest(number).into()
}

/// Lays out the shortest digits as fpconv does.
fn shortest(number: f64) -> String {
    // "d.ddde-x": the digits, and the exponent of the first.
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let count = digits.len() as i64;
    let exponent: i64 = exponent.parse().unwrap_or_default();
    // The number is 0.digits... or digits × 10^scale.
    let scale = exponent - (count - 1);
    let size = exponent.abs();
    let mut out = String::with_capacity(25);
    if number < 0.0 {
        out.push('-');
    }
    if scale >= 0 && size < count + 7 {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', scale as usize));
    } else if scale < 0 && (scale > -7 || size < 4) {
        let point = count + scale;
        if point <= 0 {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', point.unsigned_abs() as usize));
            out.push_str(&digits);
        } else {
            let (whole, fraction) = digits.split_at(point as usize);
            out.push_str(whole);
            out.push('.');
            out.push_str(fraction);
        }
    } else {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        out.push_str(if exponent < 0 { "e-" } else { "e+" });
        out.push_str(&size.to_string());
    }
    out
}

#[cfg(test)]
mod tests;
