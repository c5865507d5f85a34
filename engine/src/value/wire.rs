//! The byte form that values share: length prefixes, counts, and the error of a decode gone wrong.
//!
//! Lengths and counts are LEB128 varints, so a short field costs one byte of prefix. The same form is
//! kept in memory by [`Packed`](super::packed::Packed) and written to snapshots by each value's
//! `encode_into`. The [`Reader`] never panics and never allocates by a count it has not seen backed by
//! bytes: what it reads may be a damaged file.

use thiserror::Error;

/// Why bytes are not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the value is cut short")]
    Truncated,
    /// Bytes follow the end of the value.
    #[error("bytes follow the value")]
    Trailing,
    /// A length, count or flag is outside what the form allows.
    #[error("a length, count or flag is out of range")]
    Malformed,
    /// The first byte names no kind of value.
    #[error("unknown kind of value {0}")]
    UnknownKind(u8),
    /// A field or member occurs twice, or elements are not in their order.
    #[error("an element is repeated or out of order")]
    Disordered,
    /// A score is not a number.
    #[error("a score is not a number")]
    NotANumber,
    /// A collection without elements: an empty one does not exist in Redis.
    #[error("a collection without elements")]
    Empty,
}

/// Longest varint of a u64: ten groups of seven bits.
const VARINT_BYTES_MAX: usize = 10;

/// How many bytes [`push_varint`] writes for `number`.
pub(super) fn varint_bytes(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends `number` as a varint.
pub(super) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed number: the sign moves to the lowest bit, so that small negatives stay short.
pub(super) fn push_signed(out: &mut Vec<u8>, number: i64) {
    push_varint(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends `bytes` behind their length.
pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A cursor over bytes that may be damaged.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for group in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth group has room for one bit.
            if group == VARINT_BYTES_MAX - 1 && bits > 1 {
                return Err(DecodeError::Malformed);
            }
            number |= bits << (7 * group);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(DecodeError::Malformed)
    }

    pub(super) fn signed(&mut self) -> Result<i64, DecodeError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A count of elements of at least `element_bytes_min` bytes each: one that the remaining bytes
    /// cannot hold is refused here, before anything is allocated for it.
    pub(super) fn count(&mut self, element_bytes_min: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)?;
        match count.checked_mul(element_bytes_min) {
            Some(bytes) if bytes <= self.remaining() => Ok(count),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// Exactly `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)?;
        self.take(length)
    }

    pub(super) fn double(&mut self) -> Result<f64, DecodeError> {
        let mut raw = [0u8; 8];
        raw.copy_from_slice(self.take(8)?);
        Ok(f64::from_bits(u64::from_le_bytes(raw)))
    }

    /// The end of the bytes, or an error when some are left.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_come_back() {
        for shift in 0..64 {
            for number in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                push_varint(&mut out, number);
                assert_eq!(out.len(), varint_bytes(number), "{number}");
                assert_eq!(Reader::new(&out).varint(), Ok(number));
            }
        }
        for number in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_signed(&mut out, number);
            assert_eq!(Reader::new(&out).signed(), Ok(number));
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(DecodeError::Malformed));
        assert_eq!(Reader::new(&[5, b'a']).bytes(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[9, 0, 0]).count(1), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0]).finish(), Err(DecodeError::Trailing));
    }
}
