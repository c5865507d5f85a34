//! Cursors of SCAN and its kin: 64-bit numbers that a client hands back as it got them.

use super::error::CommandError;
use super::request::{Request, c_string};
use crate::glob;
use crate::resp::reply::Reply;

/// How many elements a scan visits when it is not told.
const COUNT_DEFAULT: usize = 10;

/// What SCAN, HSCAN, SSCAN and ZSCAN have in common.
pub(super) struct ScanOptions<'a> {
    /// Where to go on; 0 to begin.
    pub(super) cursor: u64,
    /// How many elements to visit, about.
    pub(super) count: usize,
    /// Which type, for SCAN.
    pub(super) kind: Option<&'a [u8]>,
    pattern: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// Reads the options from `index` on. Only SCAN has `TYPE`. The cursor was read before, because
    /// HSCAN and its kin look at the key between the two.
    pub(super) fn parse(
        cursor: u64,
        request: &Request<'a>,
        mut index: usize,
        has_type: bool,
    ) -> Result<Self, CommandError> {
        let mut options = Self { cursor, count: COUNT_DEFAULT, kind: None, pattern: None };
        while index < request.len() {
            let Some(word) = request.get(index + 1) else { return Err(CommandError::Syntax) };
            if request.is(index, "count") {
                let count = request.integer(index + 1)?;
                if count < 1 {
                    return Err(CommandError::Syntax);
                }
                options.count = count as usize;
            } else if request.is(index, "match") {
                options.pattern = Some(word);
            } else if request.is(index, "type") && has_type {
                options.kind = Some(word);
            } else {
                return Err(CommandError::Syntax);
            }
            index += 2;
        }
        Ok(options)
    }

    /// Whether an element of this name was asked for.
    pub(super) fn wants(&self, name: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches_everything(pattern) || glob::matches(pattern, name))
    }
}

/// Reads a cursor as Redis does, with `strtoul`: a sign is taken, and nothing is 0.
pub(super) fn parse(word: &[u8]) -> Result<u64, CommandError> {
    let word = c_string(word);
    let (negative, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() && !word.is_empty() {
        return Err("ERR invalid cursor".into());
    }
    let mut cursor = 0u64;
    for digit in digits {
        cursor = digit
            .is_ascii_digit()
            .then(|| cursor.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
            .flatten()
            .ok_or("ERR invalid cursor")?;
    }
    Ok(if negative { cursor.wrapping_neg() } else { cursor })
}

/// Writes the reply of a scan: the next cursor, then `count` replies that are written already.
pub(super) fn write_page(next: u64, count: usize, written: &[u8], reply: &mut Reply<'_>) {
    reply.array(2);
    reply.bulk(next.to_string().as_bytes());
    reply.array(count);
    reply.append(written);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_strtoul_reads_them() {
        for (word, expect) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("007", Some(7)),
            ("+7", Some(7)),
            ("7\0x", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            (" 1", None),
            ("1x", None),
            ("-", None),
            ("abc", None),
        ] {
            assert_eq!(parse(word.as_bytes()).ok(), expect, "{word:?}");
        }
    }
}
