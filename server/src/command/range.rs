//! Inclusive index ranges that count from either end: LRANGE, ZRANGE, GETRANGE.

use std::ops::Range;

/// The positions of a sequence of `length` that `start..=stop` covers, negative numbers counting
/// from its end. What lies outside is cut off.
pub(super) fn index_range(length: usize, start: i64, stop: i64) -> Range<usize> {
    let from_front = |index: i64| {
        if index < 0 { index.saturating_add(length as i64) } else { index }
    };
    let start = from_front(start).max(0);
    let stop = from_front(stop).min(length as i64 - 1);
    if start > stop { 0..0 } else { start as usize..stop as usize + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_sequence() {
        assert_eq!(index_range(5, 0, -1), 0..5);
        assert_eq!(index_range(5, -3, -2), 2..4);
        assert_eq!(index_range(5, -100, 100), 0..5);
        assert_eq!(index_range(5, 3, 1), 0..0);
        assert_eq!(index_range(5, 5, 9), 0..0);
        assert_eq!(index_range(0, 0, -1), 0..0);
        assert_eq!(index_range(5, i64::MIN, i64::MAX), 0..5);
    }
}
