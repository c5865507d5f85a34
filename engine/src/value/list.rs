//! The list value: strings from head to tail.
//!
//! A double-ended queue of boxed strings: both ends and any index in constant time, a change in the
//! middle by moving the pointers of the nearer half. How large Redis' listpack would be is counted
//! along, because OBJECT ENCODING tells by that.

use std::collections::VecDeque;
use std::ops::Range;

use super::memory::{allocation_bytes, index_range, is_sparse};
use super::number;
use super::wire::{DecodeError, Reader, push_bytes, push_varint};
use crate::op::Side;

/// Largest listpack in bytes: Redis' default `list-max-listpack-size` of -2.
const LISTPACK_BYTES_MAX: usize = 8 * 1024;

/// A quicklist that shrinks to this many bytes becomes a listpack again: half the limit, so that a
/// list at the limit does not change at every push and pop.
const LISTPACK_BYTES_RETURN: usize = LISTPACK_BYTES_MAX / 2;

/// A listpack's header and end mark.
const LISTPACK_FRAME_BYTES: usize = 7;

/// What the queue keeps for a value: its fat pointer.
const CELL_BYTES: usize = 16;

/// Strings from head to tail.
#[derive(Debug, Clone, Default)]
pub struct ListValue {
    values: VecDeque<Box<[u8]>>,
    /// Heap bytes of the values, allocator overhead and pointers included.
    values_bytes: usize,
    /// What the values would take in a listpack, without its frame.
    listpack_bytes: usize,
    /// Whether Redis would hold it as a quicklist by now.
    quicklist: bool,
}

/// What LPOS is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionQuery {
    /// Which match to begin with, from 1; negative ones count from the tail. 0 is refused by the
    /// command, and finds nothing here.
    pub rank: i64,
    /// How many matches at the most; 0 for all.
    pub count: usize,
    /// How many values to look at, at the most; 0 for all.
    pub length_max: usize,
}

impl ListValue {
    /// A list without values. It must be given one before it is stored: Redis has no empty lists.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Estimate of the heap bytes held: a function of the content, not of spare capacity.
    pub fn memory_bytes(&self) -> usize {
        self.values_bytes
    }

    /// What OBJECT ENCODING answers under Redis' default limits.
    ///
    /// Redis turns a quicklist back into a listpack once it has come down to one node of half the
    /// limit; nodes are not modelled here, so the same happens as soon as all values together are
    /// that small.
    pub fn encoding(&self) -> &'static str {
        if self.quicklist { "quicklist" } else { "listpack" }
    }

    /// Tells that one command is about to add values of `bytes` bytes in all, as Redis does before
    /// LPUSH: past the listpack's limit the list becomes a quicklist.
    pub fn expect(&mut self, bytes: usize) {
        let listpack_bytes = LISTPACK_FRAME_BYTES + self.listpack_bytes;
        self.quicklist |= listpack_bytes + bytes > LISTPACK_BYTES_MAX;
    }

    /// Adds a value at one end.
    pub fn push(&mut self, side: Side, value: &[u8]) {
        self.expect(value.len());
        self.account(value);
        match side {
            Side::Head => self.values.push_front(value.into()),
            Side::Tail => self.values.push_back(value.into()),
        }
    }

    /// Takes a value off one end.
    pub fn pop(&mut self, side: Side) -> Option<Vec<u8>> {
        let value = match side {
            Side::Head => self.values.pop_front(),
            Side::Tail => self.values.pop_back(),
        }?;
        self.release(&value);
        self.shrunk();
        Some(value.into_vec())
    }

    /// The value at `index`; negative counts from the tail, -1 being the last.
    pub fn get(&self, index: i64) -> Option<&[u8]> {
        self.values.get(self.resolve(index)?).map(AsRef::as_ref)
    }

    /// Replaces the value at `index`; whether there is one.
    pub fn set(&mut self, index: i64, value: &[u8]) -> bool {
        let Some(index) = self.resolve(index) else { return false };
        self.expect(value.len());
        let old = std::mem::replace(&mut self.values[index], value.into());
        self.account(value);
        self.release(&old);
        self.shrunk();
        true
    }

    /// The values from `start` to `stop`, both included; negative ones count from the tail.
    pub fn range(
        &self,
        start: i64,
        stop: i64,
    ) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.values.range(index_range(start, stop, self.len())).map(AsRef::as_ref)
    }

    /// The values from head to tail.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.values.iter().map(AsRef::as_ref)
    }

    /// LTRIM: keeps the values from `start` to `stop`, both included.
    pub fn trim(&mut self, start: i64, stop: i64) {
        let kept = index_range(start, stop, self.len());
        self.discard(kept.end..self.len());
        self.discard(0..kept.start);
        self.shrunk();
    }

    fn discard(&mut self, range: Range<usize>) {
        let bytes: (usize, usize) = self.values.range(range.clone()).fold((0, 0), |sum, value| {
            (sum.0 + value_bytes(value), sum.1 + listpack_entry_bytes(value))
        });
        self.values_bytes -= bytes.0;
        self.listpack_bytes -= bytes.1;
        self.values.drain(range);
    }

    /// LREM: removes values equal to `value`, the first `count` of them when positive, the last when
    /// negative, all when 0. How many were removed.
    pub fn remove(&mut self, count: i64, value: &[u8]) -> usize {
        let total = self.values.iter().filter(|stored| ***stored == *value).count();
        let wanted = match count {
            0 => total,
            _ => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(total),
        };
        if wanted == 0 {
            return 0;
        }
        // From the tail: the matches to leave come first.
        let left_alone = if count < 0 { total - wanted } else { 0 };
        let mut matches = 0;
        self.values.retain(|stored| {
            if **stored != *value {
                return true;
            }
            matches += 1;
            matches <= left_alone || matches > left_alone + wanted
        });
        self.values_bytes -= wanted * value_bytes(value);
        self.listpack_bytes -= wanted * listpack_entry_bytes(value);
        self.shrunk();
        wanted
    }

    /// LINSERT: puts `value` before or after the first value equal to `pivot`; the new length, or None
    /// without such a pivot.
    pub fn insert(&mut self, before: bool, pivot: &[u8], value: &[u8]) -> Option<usize> {
        // Redis converts before it looks for the pivot.
        self.expect(value.len());
        let found = self.values.iter().position(|stored| **stored == *pivot)?;
        self.account(value);
        self.values.insert(if before { found } else { found + 1 }, value.into());
        Some(self.len())
    }

    /// LPOS: the indexes, from the head, of values equal to `value`.
    pub fn positions(&self, value: &[u8], query: PositionQuery) -> Vec<usize> {
        let unless_zero = |number: usize| if number == 0 { usize::MAX } else { number };
        let skipped = match query.rank.unsigned_abs() {
            0 => return Vec::new(),
            rank => usize::try_from(rank - 1).unwrap_or(usize::MAX),
        };
        let matching = |index: &usize| *self.values[*index] == *value;
        let (looked_at, wanted) = (unless_zero(query.length_max), unless_zero(query.count));
        let indexes = 0..self.len();
        if query.rank > 0 {
            indexes.take(looked_at).filter(matching).skip(skipped).take(wanted).collect()
        } else {
            indexes.rev().take(looked_at).filter(matching).skip(skipped).take(wanted).collect()
        }
    }

    fn resolve(&self, index: i64) -> Option<usize> {
        let index = if index < 0 { index.checked_add(self.len() as i64)? } else { index };
        usize::try_from(index).ok().filter(|&index| index < self.len())
    }

    fn account(&mut self, value: &[u8]) {
        self.values_bytes += value_bytes(value);
        self.listpack_bytes += listpack_entry_bytes(value);
    }

    fn release(&mut self, value: &[u8]) {
        self.values_bytes -= value_bytes(value);
        self.listpack_bytes -= listpack_entry_bytes(value);
    }

    fn shrunk(&mut self) {
        self.quicklist &= LISTPACK_FRAME_BYTES + self.listpack_bytes > LISTPACK_BYTES_RETURN;
        if is_sparse(self.values.len(), self.values.capacity()) {
            self.values.shrink_to(2 * self.values.len());
        }
    }

    /// Appends the byte form.
    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.quicklist));
        push_varint(out, self.len() as u64);
        self.values.iter().for_each(|value| push_bytes(out, value));
    }

    /// Reads the byte form.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let quicklist = match reader.byte()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Malformed),
        };
        let mut list = Self { quicklist, ..Self::default() };
        for _ in 0..reader.count(1)? {
            let value = reader.bytes()?;
            list.account(value);
            list.values.push_back(value.into());
        }
        Ok(list)
    }
}

fn value_bytes(value: &[u8]) -> usize {
    CELL_BYTES + allocation_bytes(value.len())
}

/// What a value takes in Redis' listpack: integers in their shortest form, strings behind their length,
/// and the entry's own length once more at its end.
fn listpack_entry_bytes(value: &[u8]) -> usize {
    let encoded = match number::parse_i64(value) {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-32_768..=32_767) => 3,
        Some(-8_388_608..=8_388_607) => 4,
        Some(integer) if i32::try_from(integer).is_ok() => 5,
        Some(_) => 9,
        None => {
            value.len()
                + match value.len() {
                    ..64 => 1,
                    64..4096 => 2,
                    _ => 5,
                }
        }
    };
    encoded
        + match encoded {
            ..=127 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        }
}

#[cfg(test)]
mod tests;
