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

/// The indexes that a scan step visits: up to `count` just below `cursor`, or below the end when the
/// cursor is 0 (a new scan) or beyond it. The range's start is the next cursor.
pub(super) fn scan_step(length: usize, cursor: u64, count: usize) -> Range<usize> {
    let end = match usize::try_from(cursor) {
        Ok(cursor) if cursor != 0 => cursor.min(length),
        _ => length,
    };
    end.saturating_sub(count.max(1))..end
}
