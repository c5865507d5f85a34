//! An intset: integers of one width in ascending order, which Redis keeps small sets of integers as.
//!
//! ```text
//! bytes of an integer u32 (2, 4, 8), integers u32 | integer ...
//! ```

use super::RdbError;
use super::cursor::Cursor;

const BROKEN: RdbError = RdbError::Malformed("an intset is broken");

/// Visits the integers of an intset that fills `bytes`.
pub(super) fn read(
    bytes: &[u8],
    mut visit: impl FnMut(i64) -> Result<(), RdbError>,
) -> Result<(), RdbError> {
    let mut cursor = Cursor::new(bytes);
    let mut head = || Ok::<_, RdbError>([cursor.array()?, cursor.array()?].map(u32::from_le_bytes));
    let [width, count] = head().map_err(|_| BROKEN)?;
    let integers = cursor.rest();
    let width = match width {
        2 | 4 | 8 => width as usize,
        _ => return Err(BROKEN),
    };
    if (count as usize).checked_mul(width) != Some(integers.len()) {
        return Err(BROKEN);
    }
    let mut before = None;
    for raw in integers.chunks_exact(width) {
        // The sign goes to the top, and comes down with the number.
        let mut wide = [0; 8];
        for (to, from) in wide.iter_mut().rev().zip(raw.iter().rev()) {
            *to = *from;
        }
        let integer = i64::from_le_bytes(wide) >> (64 - 8 * width);
        if before.is_some_and(|before| before >= integer) {
            return Err(BROKEN);
        }
        before = Some(integer);
        visit(integer)?;
    }
    Ok(())
}
