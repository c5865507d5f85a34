//! From key hash to slot number: buckets of sixteen 4-byte cells, one cache line each.
//!
//! A cell is 8 bits of the hash and 24 bits of slot number, so one line answers most lookups: compare
//! sixteen tags, follow the few that match. A full bucket overflows into the next. The number of buckets
//! need not be a power of two: it grows by a half, which keeps the table 57 to 85 % full and a key at
//! about six bytes. Growing reads every record's hash again; shards are small, so it takes well under a
//! millisecond, and there is no second table to look into.

#![allow(unsafe_code)] // to say that a bucket may be zero

use std::sync::Arc;

use super::arena::Arena;
use super::block::{Block, Zeroed};
use super::slots::NONE;

const CELLS: usize = 16;
const EMPTY: u32 = 0;
const SLOT_BITS: u32 = 24;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;
/// A cell whose key is gone but that searches must pass: no slot has this number.
const TOMBSTONE: u32 = NONE;

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Bucket([u32; CELLS]);

// SAFETY: zero bytes are a bucket of empty cells; it has 64 bytes.
unsafe impl Zeroed for Bucket {}

/// A shard's table.
pub(crate) struct Table {
    buckets: Block<Bucket>,
    arena: Arc<Arena>,
    used: usize,
    tombstones: usize,
}

/// Where a lookup stands: the cell, for changing it.
#[derive(Clone, Copy)]
pub(crate) struct CellAt {
    bucket: usize,
    cell: usize,
}

// Cells keep slot + 1, so that an empty cell is zero and a fresh table is zeroed memory.
fn cell_of(hash: u64, slot: u32) -> u32 {
    tag_of(hash) << SLOT_BITS | (slot + 1)
}

/// Eight bits of the hash that pick neither shard nor bucket.
fn tag_of(hash: u64) -> u32 {
    (hash >> 40) as u32 & 0xff
}

/// The cells that may carry `tag`, as the high bits of sixteen bytes in two words: all that do and, rarely,
/// one behind such a one that does not. Sixteen tags side by side compile to a few vector instructions,
/// and a zero byte is found by the carry it makes.
#[inline]
fn candidates_in(cells: &[u32; CELLS], tag: u32) -> [u64; 2] {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let mut differences = [[0_u8; CELLS / 2]; 2];
    for (difference, cell) in differences.as_flattened_mut().iter_mut().zip(cells) {
        *difference = (cell >> SLOT_BITS) as u8 ^ tag as u8;
    }
    differences.map(|bytes| {
        let word = u64::from_le_bytes(bytes);
        word.wrapping_sub(LOW) & !word & (LOW << 7)
    })
}

impl Table {
    pub(crate) fn new(arena: &Arc<Arena>) -> Self {
        let (buckets, arena) = (Block::new(arena, 1), Arc::clone(arena));
        Self { buckets, arena, used: 0, tombstones: 0 }
    }

    /// The bucket a hash begins at, in a table of `buckets` buckets.
    pub(crate) fn home(hash: u64, buckets: usize) -> usize {
        (((hash & 0xffff_ffff) * buckets as u64) >> 32) as usize
    }

    /// Start and number of the buckets, for prefetching without the lock.
    pub(crate) fn extent(&self) -> (*const u8, usize) {
        (self.buckets.as_ptr().cast(), self.buckets.len())
    }

    /// The slots a hash may stand for, in probing order.
    #[inline]
    pub(crate) fn find(
        &self,
        hash: u64,
        mut matches: impl FnMut(u32) -> bool,
    ) -> Option<(u32, CellAt)> {
        let tag = tag_of(hash);
        let mut bucket = Self::home(hash, self.buckets.len());
        for _ in 0..self.buckets.len() {
            let cells = &self.buckets[bucket].0;
            for (half, mut candidates) in candidates_in(cells, tag).into_iter().enumerate() {
                while candidates != 0 {
                    let cell = half * (CELLS / 2) + candidates.trailing_zeros() as usize / 8;
                    candidates &= candidates - 1;
                    let content = cells[cell & (CELLS - 1)] & SLOT_MASK;
                    if content != EMPTY && content != TOMBSTONE && matches(content - 1) {
                        return Some((content - 1, CellAt { bucket, cell }));
                    }
                }
            }
            // Only a search that fails gets here.
            if cells.contains(&EMPTY) {
                return None;
            }
            bucket = if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 };
        }
        None
    }

    /// Adds a slot under a hash. `hash_of` gives the hash of any slot, for growing.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        let room = self.buckets.len() * CELLS;
        if (self.used + self.tombstones + 1) * 20 > room * 17 {
            // Mostly tombstones: sweep them out. Otherwise grow by a half.
            let buckets = if self.tombstones * 4 > self.used {
                self.buckets.len()
            } else {
                self.buckets.len() + self.buckets.len().div_ceil(2)
            };
            self.rebuild(buckets, hash_of);
        }
        self.place(hash, slot);
        self.used += 1;
    }

    fn place(&mut self, hash: u64, slot: u32) {
        let mut bucket = Self::home(hash, self.buckets.len());
        loop {
            let cells = &mut self.buckets[bucket].0;
            let free = |cell: &u32| *cell == EMPTY || *cell & SLOT_MASK == TOMBSTONE;
            if let Some(cell) = cells.iter_mut().find(|cell| free(cell)) {
                if *cell != EMPTY {
                    self.tombstones -= 1;
                }
                *cell = cell_of(hash, slot);
                return;
            }
            bucket = if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 };
        }
    }

    /// Takes out what [`Table::find`] found.
    pub(crate) fn remove(&mut self, at: CellAt) {
        let cells = &mut self.buckets[at.bucket].0;
        // In a bucket with a hole no search ever went on past it, so nothing needs to be marked.
        let passed = !cells.contains(&EMPTY);
        cells[at.cell] = if passed { TOMBSTONE } else { EMPTY };
        self.tombstones += usize::from(passed);
        self.used -= 1;
    }

    /// Moves every slot into a table of `buckets` buckets.
    fn rebuild(&mut self, buckets: usize, hash_of: impl Fn(u32) -> u64) {
        let old = std::mem::replace(&mut self.buckets, Block::new(&self.arena, buckets));
        self.tombstones = 0;
        for bucket in &*old {
            for cell in bucket.0 {
                let content = cell & SLOT_MASK;
                if content != EMPTY && content != TOMBSTONE {
                    self.place(hash_of(content - 1), content - 1);
                }
            }
        }
    }

    #[cfg(test)]
    fn memory_bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted_through_growth_and_removal() {
        let mut table = Table::new(&Arc::default());
        let hash_of =
            |slot: u32| u64::from(slot).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        let find = |table: &Table, slot: u32| table.find(hash_of(slot), |found| found == slot);
        for round in 0..4 {
            for slot in 0..5000 {
                table.insert(hash_of(slot), slot, hash_of);
            }
            for slot in 0..5000 {
                assert!(find(&table, slot).is_some(), "slot {slot} in round {round}");
            }
            assert!(find(&table, 5001).is_none());
            for slot in 0..5000 {
                let (_, at) = find(&table, slot).expect("still there");
                table.remove(at);
                assert!(find(&table, slot).is_none());
            }
        }
        assert!(table.memory_bytes() < 5000 * 10, "the table did not grow in rounds of reuse");
    }
}
