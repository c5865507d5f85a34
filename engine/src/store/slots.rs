//! Slots: the numbers records are known by, 12 bytes each.
//!
//! A slot holds a record's address and the two links of the timing wheel's list it is filed in. Its
//! number stays the same for the entry's life, whatever happens to record and table, so a scan can walk
//! slots and a user's index can name sessions by them.
//!
//! ```text
//! 6 bytes address (low 3 bits: how many pairs of cache lines to prefetch)  3 bytes next  3 bytes previous
//! ```
//!
//! Slots lie in chunks that never move, each an eighth of those before it or less: growing copies nothing,
//! and a twentieth of the memory is unused on average.
//!
//! A free slot has address 0 and links to the next free one. A previous link at or above
//! [`SLOTS_MAX`] names the wheel bucket the slot is the head of.

#![allow(unsafe_code)] // to say that a slot may be zero

use std::sync::Arc;

use super::arena::Arena;
use super::block::{Block, Zeroed};
use super::record::Record;

/// No slot.
pub(crate) const NONE: u32 = 0x00ff_ffff;
/// How many slots a shard can have; numbers from here on name wheel buckets.
pub(crate) const SLOTS_MAX: u32 = NONE - 512;

const LINE_PAIR_BYTES: usize = 128;
const LINES_MASK: u64 = 0b111;

/// The first chunks have so many slots; eight later ones each twice as many.
const CHUNK_SLOTS: u32 = 32;
const CHUNKS_ALIKE: u32 = 8;

#[derive(Clone, Copy)]
struct Slot([u8; 12]);

// SAFETY: zero bytes are a free slot; it is aligned to a byte.
unsafe impl Zeroed for Slot {}

/// A shard's slots.
pub(crate) struct Slots {
    chunks: Vec<Block<Slot>>,
    arena: Arc<Arena>,
    /// Slots that were used at some time.
    length: u32,
    free: u32,
    free_count: u32,
}

impl Slot {
    fn first(self) -> u64 {
        let [a, b, c, d, e, f, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    fn set_first(&mut self, word: u64) {
        self.0[..6].copy_from_slice(&word.to_le_bytes()[..6]);
    }

    fn next(self) -> u32 {
        let [_, _, _, _, _, _, a, b, c, ..] = self.0;
        u32::from_le_bytes([a, b, c, 0])
    }

    fn set_next(&mut self, next: u32) {
        self.0[6..9].copy_from_slice(&next.to_le_bytes()[..3]);
    }

    fn previous(self) -> u32 {
        let [.., a, b, c] = self.0;
        u32::from_le_bytes([a, b, c, 0])
    }

    fn set_previous(&mut self, previous: u32) {
        self.0[9..].copy_from_slice(&previous.to_le_bytes()[..3]);
    }
}

fn word_of(record: Record) -> u64 {
    let pairs = record.size_bytes().div_ceil(LINE_PAIR_BYTES) as u64;
    record.address() | pairs.min(LINES_MASK)
}

/// In which chunk a slot is, and where.
#[inline]
fn place_of(slot: u32) -> (usize, usize) {
    const FIRST: u32 = CHUNK_SLOTS * CHUNKS_ALIKE;
    let number = slot + FIRST;
    let doubled = number.ilog2() - FIRST.ilog2();
    let chunk = (number >> (doubled + CHUNK_SLOTS.ilog2())) - CHUNKS_ALIKE + doubled * CHUNKS_ALIKE;
    (chunk as usize, (number & ((CHUNK_SLOTS << doubled) - 1)) as usize)
}

impl Slots {
    pub(crate) fn new(arena: &Arc<Arena>) -> Self {
        Self { chunks: Vec::new(), arena: Arc::clone(arena), length: 0, free: 0, free_count: 0 }
    }

    /// How many slots there are, free ones included.
    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    #[inline]
    fn slot(&self, slot: u32) -> Option<&Slot> {
        let (chunk, place) = place_of(slot);
        self.chunks.get(chunk)?.get(place)
    }

    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        let (chunk, place) = place_of(slot);
        &mut self.chunks[chunk][place]
    }

    /// Whether another record finds a slot.
    pub(crate) fn has_room(&self) -> bool {
        self.free_count > 0 || self.len() < SLOTS_MAX
    }

    /// The record in a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<Record> {
        let word = self.slot(slot)?.first();
        Record::from_address(word & !LINES_MASK)
    }

    /// Address and number of cache lines of the record in a slot, for prefetching.
    pub(crate) fn address_and_lines(&self, slot: u32) -> (u64, u32) {
        let word = self.slot(slot).map_or(0, |slot| slot.first());
        (word & !LINES_MASK, 2 * (word & LINES_MASK) as u32)
    }

    /// The address of the slot itself, for prefetching.
    pub(crate) fn slot_address(&self, slot: u32) -> *const u8 {
        self.slot(slot).map_or(std::ptr::null(), |slot| slot.0.as_ptr())
    }

    /// Puts a record into a free slot. Panics without room: ask [`Slots::has_room`] first.
    pub(crate) fn insert(&mut self, record: Record) -> u32 {
        let slot = if self.free_count > 0 {
            let slot = self.free;
            self.free = self.next(slot);
            self.free_count -= 1;
            slot
        } else {
            assert!(self.len() < SLOTS_MAX, "room was asked for before");
            let (chunk, place) = place_of(self.length);
            if place == 0 {
                let doubled = chunk as u32 / CHUNKS_ALIKE;
                let slots = (CHUNK_SLOTS << doubled) as usize;
                self.chunks.push(Block::new(&self.arena, slots));
            }
            self.length += 1;
            self.length - 1
        };
        let place = self.slot_mut(slot);
        place.set_first(word_of(record));
        place.set_next(NONE);
        place.set_previous(NONE);
        slot
    }

    /// Puts another record into a used slot and returns the old one.
    pub(crate) fn replace(&mut self, slot: u32, record: Record) -> Record {
        let old = self.get(slot).expect("a used slot");
        self.slot_mut(slot).set_first(word_of(record));
        old
    }

    /// Takes the record out and frees the slot, which is in no list any more.
    pub(crate) fn remove(&mut self, slot: u32) -> Record {
        let old = self.get(slot).expect("a used slot");
        let free = self.free;
        let place = self.slot_mut(slot);
        place.set_first(0);
        place.set_next(free);
        self.free = slot;
        self.free_count += 1;
        old
    }

    /// The used slots from `from` on.
    pub(crate) fn used_from(&self, from: u32) -> impl Iterator<Item = (u32, Record)> + use<'_> {
        (from..self.len()).filter_map(|slot| Some((slot, self.get(slot)?)))
    }

    /// The next slot in a wheel list.
    pub(crate) fn next(&self, slot: u32) -> u32 {
        self.slot(slot).map_or(NONE, |slot| slot.next())
    }

    /// The previous slot in a wheel list, or the bucket; [`NONE`] when it is in no list.
    pub(crate) fn previous(&self, slot: u32) -> u32 {
        self.slot(slot).map_or(NONE, |slot| slot.previous())
    }

    /// Links a slot into a wheel list.
    pub(crate) fn set_next(&mut self, slot: u32, next: u32) {
        self.slot_mut(slot).set_next(next);
    }

    /// Links a slot into a wheel list.
    pub(crate) fn set_previous(&mut self, slot: u32, previous: u32) {
        self.slot_mut(slot).set_previous(previous);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_each_other_without_a_gap() {
        let (mut next, mut chunk, mut slots) = (0, 0, CHUNK_SLOTS as usize);
        for slot in 0..200_000 {
            assert_eq!(place_of(slot), (chunk, next), "slot {slot}");
            next += 1;
            if next == slots {
                (chunk, next) = (chunk + 1, 0);
                slots = (CHUNK_SLOTS as usize) << (chunk / CHUNKS_ALIKE as usize);
            }
        }
        assert!(place_of(SLOTS_MAX).0 < 140);
    }
}
