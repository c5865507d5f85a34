//! Writing a snapshot: fix the instant under all locks, then go through the shards slice by slice.
//!
//! What changes meanwhile is written to the side by the shards themselves ([`super::image`]). A slice
//! holds one shard for as long as [`SLICE_SLOTS`] entries or one block take.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::image::{Instant, ShardImage};
use super::{BLOCK_BYTES, MAGIC, VERSION};
use crate::engine::Engine;
use crate::time::Stamp;
use crate::varint;

/// How many slots are written under one guard.
const SLICE_SLOTS: u32 = 256;

/// A snapshot being written. One at a time for each engine.
pub struct Snapshot<'e> {
    engine: &'e Engine,
    shard: usize,
    block: Vec<u8>,
    entries: u64,
    done: bool,
}

impl<'e> Snapshot<'e> {
    /// Fixes the instant and writes the header to `out`. `None` while another snapshot is in progress.
    pub fn begin(engine: &'e Engine, now: Stamp, out: &mut Vec<u8>) -> Option<Self> {
        let store = &engine.store;
        let users: Vec<_> = store.users.iter().map(|users| users.lock()).collect();
        let mut shards: Vec<_> = store.shards.iter().map(|cell| cell.lock.write()).collect();
        let mut current = store.snapshot_instant.lock();
        if current.is_some() {
            return None;
        }
        let instant =
            Arc::new(Instant { now, epoch: store.epoch(), retired: Mutex::new(Vec::new()) });
        for shard in &mut shards {
            shard.image = Some(Box::new(ShardImage::new(Arc::clone(&instant), &shard.slots)));
        }
        *current = Some(instant);
        let generations = store.generations.load(Ordering::Relaxed);
        drop((current, shards, users));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let mut header = Vec::new();
        varint::push(&mut header, now.millis());
        varint::push(&mut header, generations);
        close_block(&mut header, out);
        Some(Self { engine, shard: 0, block: Vec::new(), entries: 0, done: false })
    }

    /// Appends about one block to `out`; whether there is more to come.
    pub fn write_slice(&mut self, out: &mut Vec<u8>) -> bool {
        while !self.done {
            let Some(cell) = self.engine.store.shards.get(self.shard) else {
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
            let mut closed = self.close_full_block(out);
            if !more {
                let (side, entries) = image.map_or_else(Default::default, |image| image.finish());
                self.entries += entries;
                self.shard += 1;
                for part in side {
                    self.block.extend_from_slice(&part);
                    closed |= self.close_full_block(out);
                }
            }
            if closed {
                return true;
            }
        }
        false
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

impl Drop for Snapshot<'_> {
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
