//! Writing a snapshot: fix the instant under all locks, then go through the shards slice by slice.
//!
//! What changes meanwhile is written to the side by the shards themselves ([`super::image`]) and taken
//! up by the next slice. A slice holds one shard for as long as [`SLICE_SLOTS`] entries or one block
//! take.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::image::{Instant, ShardImage};
use super::{BLOCK_BYTES, MAGIC, VERSION, entry};
use crate::engine::Engine;
use crate::time::Stamp;
use crate::varint;

/// How many slots are written under one guard.
const SLICE_SLOTS: u32 = 256;

/// A snapshot being written. One at a time for each engine.
///
/// It shows the state at the instant it began. In a cluster the state after log entry N is wanted, so
/// the thread that applies entries calls [`Snapshot::begin`] between N and N + 1, with the stamp of N:
/// that takes every lock for a moment that does not grow with the store. Then it goes on applying, while
/// another thread calls [`Snapshot::write_slice`] until nothing is left and writes what it is given to a
/// file. A slice holds one shard for a few hundred entries or one block. What changed before it was
/// written is kept in memory until the next slice, so memory is bounded by how much is changed between
/// two slices, and a writer that stops calling holds on to at most one copy of what the store was.
///
/// Every op that was applied after the instant stays out, [`crate::Op::SessionTouch`] included; touches by
/// reads (`Touch::Now`), which no replicated node makes, may show up.
pub struct Snapshot<E: Deref<Target = Engine>> {
    engine: E,
    instant: Arc<Instant>,
    shard: usize,
    block: Vec<u8>,
    entries: u64,
    done: bool,
}

impl<E: Deref<Target = Engine>> Snapshot<E> {
    /// Fixes the instant and writes the header to `out`; `engine` is given by reference or in an `Arc`.
    /// `None` while another snapshot is in progress.
    pub fn begin(engine: E, now: Stamp, out: &mut Vec<u8>) -> Option<Self> {
        let store = &engine.store;
        let users: Vec<_> = store.users.iter().map(|users| users.lock()).collect();
        let mut shards: Vec<_> = store.shards.iter().map(|cell| cell.lock.write()).collect();
        let mut current = store.snapshot_instant.lock();
        if current.is_some() {
            return None;
        }
        let instant = Arc::new(Instant::new(now, store.epoch(), Arc::clone(&store.rules)));
        for shard in &mut shards {
            shard.image = Some(Box::new(ShardImage::new(Arc::clone(&instant), &shard.slots)));
        }
        *current = Some(Arc::clone(&instant));
        let generations = store.generations.load(Ordering::Relaxed);
        let rules = store.rules.encode();
        let registers = store.registers.lock().clone();
        drop((current, shards, users));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let mut header = Vec::new();
        varint::push(&mut header, now.millis());
        varint::push(&mut header, generations);
        close_block(&mut header, out);
        let (mut block, mut entries) = (Vec::new(), 0);
        if !rules.is_empty() {
            entry::encode_rules(&rules, &mut block);
            entries += 1;
        }
        if registers.version() > 0 {
            entry::encode_registers(registers.version(), &mut block);
            entries += 1;
        }
        for (name, value) in registers.iter() {
            entry::encode_register(name, value, &mut block);
            entries += 1;
            if block.len() >= BLOCK_BYTES {
                close_block(&mut block, out);
            }
        }
        Some(Self { engine, instant, shard: 0, block, entries, done: false })
    }

    /// Appends about one block to `out`, and whatever was written to the side since the last slice;
    /// whether there is more to come.
    pub fn write_slice(&mut self, out: &mut Vec<u8>) -> bool {
        let mut closed = self.write_side(out);
        while !self.done {
            let Some(cell) = self.engine.store.shards.get(self.shard) else {
                self.write_side(out);
                self.end(out);
                return false;
            };
            let mut guard = cell.lock.write();
            let shard = &mut *guard;
            let more = shard.image.as_mut().is_some_and(|image| {
                image.write_slots(&shard.slots, &shard.limits, SLICE_SLOTS, &mut self.block)
            });
            let image = if more { None } else { shard.image.take() };
            drop(guard);
            if !more {
                let (side, entries) = image.map_or_else(Default::default, |image| image.finish());
                self.entries += entries;
                self.shard += 1;
                closed |= self.append(&side, out);
            }
            closed |= self.close_full_block(out);
            if closed {
                return true;
            }
        }
        false
    }

    /// Writes what shards have put aside; whether it closed a block.
    fn write_side(&mut self, out: &mut Vec<u8>) -> bool {
        let parts = std::mem::take(&mut *self.instant.side.lock());
        let mut closed = false;
        for part in parts {
            closed |= self.append(&part, out);
        }
        closed
    }

    /// Appends what was written to the side, to the next block if it would make this one too long;
    /// whether it closed one.
    fn append(&mut self, side: &[u8], out: &mut Vec<u8>) -> bool {
        let closes = self.block.len() + side.len() > BLOCK_BYTES;
        if closes {
            close_block(&mut self.block, out);
        }
        self.block.extend_from_slice(side);
        closes
    }

    fn close_full_block(&mut self, out: &mut Vec<u8>) -> bool {
        let full = self.block.len() >= BLOCK_BYTES;
        if full {
            close_block(&mut self.block, out);
        }
        full
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        close_block(&mut self.block, out);
        let count = self.entries.to_le_bytes();
        out.extend_from_slice(&0_u32.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&count).to_le_bytes());
        out.extend_from_slice(&count);
        self.done = true;
    }
}

impl<E: Deref<Target = Engine>> Drop for Snapshot<E> {
    fn drop(&mut self) {
        for cell in self.engine.store.shards.get(self.shard..).unwrap_or_default() {
            cell.lock.write().image = None;
        }
        *self.engine.store.snapshot_instant.lock() = None;
    }
}

fn close_block(block: &mut Vec<u8>, out: &mut Vec<u8>) {
    if !block.is_empty() {
        let length = u32::try_from(block.len()).expect("one entry is shorter than 4 GiB");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
        out.append(block);
    }
}

/// A whole snapshot as bytes: for tests and small stores. `None` while another one is in progress.
pub fn to_bytes(engine: &Engine, now: Stamp) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut snapshot = Snapshot::begin(engine, now, &mut out)?;
    while snapshot.write_slice(&mut out) {}
    Some(out)
}
