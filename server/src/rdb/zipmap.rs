//! A zipmap, what small hashes were before Redis 2.6: field and value in turn, each behind its length, a
//! value with unused bytes behind it.
//!
//! ```text
//! pairs u8 (254: not known) | length, field, length, unused u8, value, unused bytes ... | 0xff
//! ```

use super::RdbError;
use super::cursor::Cursor;

const END: u8 = 0xff;
/// Stands for four bytes with the length; as a number of pairs, for not knowing it.
const LONG: u8 = 0xfe;

const BROKEN: RdbError = RdbError::Malformed("a zipmap is broken");

/// Visits the pairs of a zipmap that fills `bytes`.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), RdbError>,
) -> Result<(), RdbError> {
    let mut cursor = Cursor::new(bytes);
    let mut step = || -> Result<(), RdbError> {
        let count = cursor.byte()?;
        let mut seen = 0_usize;
        while let Some(length) = length(&mut cursor)? {
            let field = cursor.take(length)?;
            let length = self::length(&mut cursor)?.ok_or(BROKEN)?;
            let unused = cursor.byte()?;
            let value = cursor.take(length)?;
            cursor.take(unused.into())?;
            visit(field, value)?;
            seen += 1;
        }
        if count < LONG && seen != usize::from(count) {
            return Err(BROKEN);
        }
        cursor.finish()
    };
    step().map_err(|error| match error {
        RdbError::Truncated | RdbError::Trailing => BROKEN,
        other => other,
    })
}

/// Takes a length; `None` at the end.
fn length(cursor: &mut Cursor<'_>) -> Result<Option<usize>, RdbError> {
    Ok(match cursor.byte()? {
        END => None,
        LONG => Some(u32::from_le_bytes(cursor.array()?) as usize),
        short => Some(usize::from(short)),
    })
}
