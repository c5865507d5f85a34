//! A string of an RDB: as it is, an integer in one, two or four bytes, or compressed.

use std::borrow::Cow;

use hallpass_engine::value::number::{format_i64, parse_i64};

use super::cursor::{Cursor, Length};
use super::{RdbError, lzf};

/// An integer of 8 bits.
const INTEGER_8: u8 = 0;
/// An integer of 16 bits, the low ones first.
const INTEGER_16: u8 = 1;
/// An integer of 32 bits, the low ones first.
const INTEGER_32: u8 = 2;
/// A string that LZF compressed: both its lengths, the shorter one first.
const COMPRESSED: u8 = 3;

/// A text longer than this is not looked at for being an integer.
const INTEGER_BYTES_MAX: usize = 11;

/// Takes a string of at most `bytes_max` bytes.
pub(super) fn read<'a>(
    cursor: &mut Cursor<'a>,
    bytes_max: usize,
) -> Result<Cow<'a, [u8]>, RdbError> {
    let integer = match cursor.length()? {
        Length::Plain(length) => {
            let length = usize::try_from(length).map_err(|_| RdbError::Truncated)?;
            let taken = cursor.take(length)?;
            return fits(length, bytes_max).map(|()| taken.into());
        }
        Length::Encoded(INTEGER_8) => i64::from(i8::from_le_bytes(cursor.array()?)),
        Length::Encoded(INTEGER_16) => i64::from(i16::from_le_bytes(cursor.array()?)),
        Length::Encoded(INTEGER_32) => i64::from(i32::from_le_bytes(cursor.array()?)),
        Length::Encoded(COMPRESSED) => {
            let (short, length) = (cursor.plain_length()?, cursor.plain_length()?);
            let compressed = cursor.take(short)?;
            fits(length, bytes_max)?;
            return lzf::expand(compressed, length).map(Cow::Owned);
        }
        Length::Encoded(_) => return Err(RdbError::Malformed("a string in an unknown encoding")),
    };
    let text = format_i64(integer).as_bytes().to_vec();
    fits(text.len(), bytes_max).map(|()| text.into())
}

fn fits(length: usize, bytes_max: usize) -> Result<(), RdbError> {
    if length <= bytes_max { Ok(()) } else { Err(RdbError::ElementTooLong) }
}

/// Appends a string: as an integer where it is one of 32 bits, else as it is. Redis reads it back the
/// same, and makes integers of such strings itself.
pub(super) fn write(text: &[u8], out: &mut Vec<u8>) {
    let integer = if text.len() <= INTEGER_BYTES_MAX { parse_i64(text) } else { None };
    let encoded = |encoding| 0xc0 | encoding;
    if let Some(small) = integer.and_then(|integer| i8::try_from(integer).ok()) {
        out.extend_from_slice(&[encoded(INTEGER_8), small.to_le_bytes()[0]]);
    } else if let Some(short) = integer.and_then(|integer| i16::try_from(integer).ok()) {
        out.push(encoded(INTEGER_16));
        out.extend_from_slice(&short.to_le_bytes());
    } else if let Some(long) = integer.and_then(|integer| i32::try_from(integer).ok()) {
        out.push(encoded(INTEGER_32));
        out.extend_from_slice(&long.to_le_bytes());
    } else {
        write_length(text.len(), out);
        out.extend_from_slice(text);
    }
}

/// Appends a length in the shortest form.
pub(super) fn write_length(length: usize, out: &mut Vec<u8>) {
    if length < 1 << 6 {
        out.push(length as u8);
    } else if length < 1 << 14 {
        out.extend_from_slice(&(1 << 14 | length as u16).to_be_bytes());
    } else if let Ok(length) = u32::try_from(length) {
        out.push(0x80);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}
