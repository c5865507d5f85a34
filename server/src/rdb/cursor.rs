//! A place in bytes that may be damaged: takes numbers and pieces off the front, and never more than is
//! there.

use super::RdbError;

/// A cursor over bytes at hand.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    length: usize,
}

/// What stands in front of a string or a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// How long it is.
    Plain(u64),
    /// A string in a special encoding, by its number.
    Encoded(u8),
}

impl<'a> Cursor<'a> {
    /// A cursor at the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, length: bytes.len() }
    }

    /// How many bytes were taken.
    pub fn position(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`RdbError::Truncated`], as of all functions here that take something.
    pub fn byte(&mut self) -> Result<u8, RdbError> {
        self.array().map(|[byte]| byte)
    }

    /// Takes `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], RdbError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(RdbError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes as many bytes as the array has.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(RdbError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The end of the bytes, or an error when some are left.
    pub fn finish(&self) -> Result<(), RdbError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RdbError::Trailing) }
    }

    /// Takes a length or the number of an encoding: the first two bits say which, and how long it is.
    pub(super) fn length(&mut self) -> Result<Length, RdbError> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(Length::Plain(match first >> 6 {
            0 => u64::from(low),
            1 => u64::from(low) << 8 | u64::from(self.byte()?),
            2 if low == 0 => u64::from(u32::from_be_bytes(self.array()?)),
            2 if low == 1 => u64::from_be_bytes(self.array()?),
            3 => return Ok(Length::Encoded(low)),
            _ => return Err(RdbError::Malformed("a length in an unknown form")),
        }))
    }

    /// Takes a length that is one.
    pub(super) fn plain_length(&mut self) -> Result<usize, RdbError> {
        match self.length()? {
            // What this machine cannot address is more than there is.
            Length::Plain(length) => usize::try_from(length).map_err(|_| RdbError::Truncated),
            Length::Encoded(_) => Err(RdbError::Malformed("an encoding where a length should be")),
        }
    }

    /// Takes a count of elements of at least one byte each: more than the rest can hold are refused here.
    pub(super) fn count(&mut self) -> Result<usize, RdbError> {
        let count = self.plain_length()?;
        if count <= self.rest.len() { Ok(count) } else { Err(RdbError::Truncated) }
    }
}
