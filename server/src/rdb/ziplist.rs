//! A ziplist, what Redis had before listpacks: strings and integers one after the other, each behind the
//! length of the one before it.
//!
//! ```text
//! bytes u32, offset of the last element u32, elements u16 (65535: not known) | element ... | 0xff
//! ```

use std::borrow::Cow;

use hallpass_engine::value::number::format_i64;

use super::RdbError;
use super::cursor::Cursor;

const HEAD_BYTES: usize = 10;
const END: u8 = 0xff;
/// A length in front of an element that stands for four bytes with the length.
const LENGTH_LONG: u8 = 0xfe;
/// The number of elements when there are this many or more.
const COUNT_UNKNOWN: u16 = u16::MAX;

const BROKEN: RdbError = RdbError::Malformed("a ziplist is broken");

/// An element of a ziplist or listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    /// A number, which stands for its decimal text.
    Integer(i64),
    /// A string.
    Text(&'a [u8]),
}

impl<'a> Element<'a> {
    /// The string.
    pub(super) fn text(self) -> Cow<'a, [u8]> {
        match self {
            Self::Integer(integer) => format_i64(integer).as_bytes().to_vec().into(),
            Self::Text(text) => text.into(),
        }
    }
}

/// Visits the elements of a ziplist that fills `bytes`.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    visit: &mut dyn FnMut(Element<'a>) -> Result<(), RdbError>,
) -> Result<(), RdbError> {
    let mut cursor = Cursor::new(bytes);
    let mut step = || -> Result<(), RdbError> {
        let total = u32::from_le_bytes(cursor.array()?);
        let last = u32::from_le_bytes(cursor.array()?);
        let count = u16::from_le_bytes(cursor.array()?);
        if usize::try_from(total) != Ok(bytes.len()) {
            return Err(BROKEN);
        }
        let (mut seen, mut before, mut tail) = (0_usize, 0, HEAD_BYTES);
        loop {
            let start = cursor.position();
            let first = cursor.byte()?;
            if first == END {
                break;
            }
            let length = match first {
                LENGTH_LONG => u32::from_le_bytes(cursor.array()?) as usize,
                short => usize::from(short),
            };
            if length != before {
                return Err(BROKEN);
            }
            visit(element(&mut cursor)?)?;
            (seen, before, tail) = (seen + 1, cursor.position() - start, start);
        }
        let counted = count == COUNT_UNKNOWN || seen == usize::from(count);
        if !counted || usize::try_from(last) != Ok(tail) {
            return Err(BROKEN);
        }
        cursor.finish()
    };
    step().map_err(|error| match error {
        RdbError::Truncated | RdbError::Trailing => BROKEN,
        other => other,
    })
}

fn element<'a>(cursor: &mut Cursor<'a>) -> Result<Element<'a>, RdbError> {
    let first = cursor.byte()?;
    let length = match first {
        0..=0x3f => usize::from(first),
        0x40..=0x7f => usize::from(first & 0x3f) << 8 | usize::from(cursor.byte()?),
        0x80..=0xbf => u32::from_be_bytes(cursor.array()?) as usize,
        0xc0 => return Ok(Element::Integer(i16::from_le_bytes(cursor.array()?).into())),
        0xd0 => return Ok(Element::Integer(i32::from_le_bytes(cursor.array()?).into())),
        0xe0 => return Ok(Element::Integer(i64::from_le_bytes(cursor.array()?))),
        0xf0 => {
            let [low, middle, high] = cursor.array()?;
            return Ok(Element::Integer((i32::from_le_bytes([0, low, middle, high]) >> 8).into()));
        }
        0xfe => return Ok(Element::Integer(i8::from_le_bytes(cursor.array()?).into())),
        // 0 to 12, one more in the encoding.
        0xf1..=0xfd => return Ok(Element::Integer(i64::from(first & 0x0f) - 1)),
        _ => return Err(BROKEN),
    };
    cursor.take(length).map(Element::Text)
}
