//! A listpack: strings and integers one after the other in one piece of bytes, each followed by its own
//! length so that it can be read backwards.
//!
//! ```text
//! bytes u32, elements u16 (65535: not known) | element ... | 0xff
//! ```

use super::RdbError;
use super::cursor::Cursor;
use super::ziplist::Element;

const END: u8 = 0xff;
/// The number of elements when there are this many or more.
const COUNT_UNKNOWN: u16 = u16::MAX;

const BROKEN: RdbError = RdbError::Malformed("a listpack is broken");

/// Visits the elements of a listpack that fills `bytes`.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    visit: &mut dyn FnMut(Element<'a>) -> Result<(), RdbError>,
) -> Result<(), RdbError> {
    let mut cursor = Cursor::new(bytes);
    // What a listpack lacks is broken and not cut short: more bytes would not mend it.
    let mut step = || -> Result<(), RdbError> {
        let total = u32::from_le_bytes(cursor.array()?);
        let count = u16::from_le_bytes(cursor.array()?);
        if usize::try_from(total) != Ok(bytes.len()) {
            return Err(BROKEN);
        }
        let mut seen = 0_usize;
        loop {
            let start = cursor.position();
            let first = cursor.byte()?;
            if first == END {
                break;
            }
            let element = element(&mut cursor, first)?;
            skip_length(&mut cursor, start)?;
            visit(element)?;
            seen += 1;
        }
        if count != COUNT_UNKNOWN && seen != usize::from(count) {
            return Err(BROKEN);
        }
        cursor.finish()
    };
    step().map_err(|error| match error {
        RdbError::Truncated | RdbError::Trailing => BROKEN,
        other => other,
    })
}

fn element<'a>(cursor: &mut Cursor<'a>, first: u8) -> Result<Element<'a>, RdbError> {
    let length = match first {
        0..=0x7f => return Ok(Element::Integer(first.into())),
        0x80..=0xbf => usize::from(first & 0x3f),
        0xc0..=0xdf => {
            let raw = u16::from(first & 0x1f) << 8 | u16::from(cursor.byte()?);
            // Thirteen bits with a sign.
            return Ok(Element::Integer(i64::from((raw << 3) as i16 >> 3)));
        }
        0xe0..=0xef => usize::from(first & 0x0f) << 8 | usize::from(cursor.byte()?),
        0xf0 => u32::from_le_bytes(cursor.array()?) as usize,
        0xf1 => return Ok(Element::Integer(i16::from_le_bytes(cursor.array()?).into())),
        0xf2 => {
            let [low, middle, high] = cursor.array()?;
            return Ok(Element::Integer((i32::from_le_bytes([0, low, middle, high]) >> 8).into()));
        }
        0xf3 => return Ok(Element::Integer(i32::from_le_bytes(cursor.array()?).into())),
        0xf4 => return Ok(Element::Integer(i64::from_le_bytes(cursor.array()?))),
        _ => return Err(BROKEN),
    };
    cursor.take(length).map(Element::Text)
}

/// Takes the length of the element that began at `start`: seven bits a byte, the high ones first, all but
/// the first marked.
fn skip_length(cursor: &mut Cursor<'_>, start: usize) -> Result<(), RdbError> {
    let length = cursor.position() - start;
    let bytes = match length {
        ..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    for at in (0..bytes).rev() {
        let marked = if at + 1 < bytes { 0x80 } else { 0 };
        if cursor.byte()? != (length >> (7 * at)) as u8 & 0x7f | marked {
            return Err(BROKEN);
        }
    }
    Ok(())
}
