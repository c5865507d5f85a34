//! What values cost, and how a scan steps: the arithmetic that several kinds of value share.
//!
//! Memory is estimated from the content alone, never from capacities: nodes that hold the same content
//! must come to the same number, because limits are enforced by it.

use std::ops::Range;

/// A table's own allocation: the map behind its box.
pub(super) const TABLE_BYTES: usize = 80;

/// What indexmap keeps for an entry of two boxed strings: hash, two fat pointers, and its share of the
/// index cells at the average load.
const PAIR_CELL_BYTES: usize = 8 + 16 + 16 + 12;

/// The same for an entry of one boxed string.
const MEMBER_CELL_BYTES: usize = 8 + 16 + 12;

/// Bytes an allocator spends on `bytes` bytes: classes of 16 with a word of overhead; nothing for none.
pub(super) fn allocation_bytes(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16) }
}

/// Heap bytes of a hash table's entry.
pub(super) fn pair_bytes(field_bytes: usize, value_bytes: usize) -> usize {
    PAIR_CELL_BYTES + allocation_bytes(field_bytes) + allocation_bytes(value_bytes)
}

/// Heap bytes of a set table's entry.
pub(super) fn member_bytes(member_bytes: usize) -> usize {
    MEMBER_CELL_BYTES + allocation_bytes(member_bytes)
}

/// Whether a table or queue that once was large should give memory back: shrinking to twice the length
/// then costs less than the removals that led here.
pub(super) fn is_sparse(length: usize, capacity: usize) -> bool {
    capacity > 4 * length + 64
}

/// The indexes that a scan step visits: up to `count` just below `cursor`, or below the end when the
/// cursor is 0 (a new scan) or beyond it. The range's start is the next cursor.
pub(super) fn scan_step(length: usize, cursor: u64, count: usize) -> Range<usize> {
    let end = match usize::try_from(cursor) {
        Ok(cursor) if cursor != 0 => cursor.min(length),
        _ => length,
    };
    end.saturating_sub(count.max(1))..end
}

/// The indexes from `start` to `stop`, both included, as LRANGE and ZRANGE read them: negative ones
/// count from the end, and what lies outside is cut off.
pub(super) fn index_range(start: i64, stop: i64, length: usize) -> Range<usize> {
    let from_end = |index: i64| if index < 0 { index.saturating_add(length as i64) } else { index };
    let start = usize::try_from(from_end(start)).unwrap_or(0);
    let end = match usize::try_from(from_end(stop)) {
        Ok(stop) => stop.saturating_add(1).min(length),
        Err(_) => 0,
    };
    if start < end { start..end } else { 0..0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_ranges_are_cut_as_redis_cuts_them() {
        for (start, stop, expected) in [
            (0, -1, 0..5),
            (-2, -1, 3..5),
            (-100, 1, 0..2),
            (1, 100, 1..5),
            (3, 1, 0..0),
            (5, 9, 0..0),
            (0, -6, 0..0),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 0..0),
        ] {
            assert_eq!(index_range(start, stop, 5), expected, "{start} {stop}");
        }
        assert_eq!(index_range(0, -1, 0), 0..0);
    }

    #[test]
    fn scan_steps_walk_down_to_zero() {
        assert_eq!(scan_step(25, 0, 10), 15..25);
        assert_eq!(scan_step(25, 15, 10), 5..15);
        assert_eq!(scan_step(25, 5, 10), 0..5);
        assert_eq!(scan_step(3, 15, 10), 0..3);
        assert_eq!(scan_step(25, u64::MAX, 0), 24..25);
        assert_eq!(scan_step(0, 7, 10), 0..0);
    }
}
