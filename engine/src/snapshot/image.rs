//! One shard's part of a snapshot in progress: what is still to be written, and what changed meanwhile.
//!
//! A snapshot begins by giving every shard an image under all shards' locks, which fixes its instant.
//! Slots are then written in slices, shard by shard. Before a record that is not written yet changes or
//! goes, its shard writes it to the side, so the snapshot shows the state of its instant while writers
//! never wait for more than a slice. Only what reads extend (`Touch::Now`) may show up although
//! it came later, as it needs no write guard: it would never bring back what had ended.
//!
//! What is written to the side is handed on a few kilobytes at a time and leaves memory with the next
//! slice that is written.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{BLOCK_BYTES, entry};
use crate::rule::fence::Fence;
use crate::rule::registry::Registry;
use crate::session::limits::LimitsTable;
use crate::store::record::Record;
use crate::store::shard::deadline_of;
use crate::store::slots::Slots;
use crate::time::Stamp;

/// A shard hands on what it wrote to the side when it is this long.
const SIDE_BYTES: usize = 16 << 10;

/// What decides whether a record was live at the snapshot's instant.
pub(crate) struct Instant {
    pub(crate) now: Stamp,
    pub(crate) epoch: u32,
    /// Addresses of the incarnations that were logged out after the instant.
    pub(crate) retired: Mutex<Vec<u64>>,
    /// What a dead record may stand for.
    rules: Arc<Registry>,
    /// What shards wrote to the side, until the next slice takes it. Nothing is locked below it.
    pub(crate) side: Mutex<Vec<Vec<u8>>>,
}

impl Instant {
    pub(crate) fn new(now: Stamp, epoch: u32, rules: Arc<Registry>) -> Self {
        Self { now, epoch, rules, retired: Mutex::default(), side: Mutex::default() }
    }

    /// The fence that a record stood for which was dead.
    fn fence_left_by(&self, record: Record) -> Option<Fence> {
        if !self.rules.active() {
            return None;
        }
        let fence = self.rules.fence_left_by(record, self.epoch);
        fence.filter(|fence| fence.until.alive_at(self.now))
    }

    fn was_live(&self, limits: &LimitsTable, record: Record) -> bool {
        deadline_of(limits, record).alive_at(self.now)
            && (record.alive_in(self.epoch)
                || record.user().is_some_and(|user| self.retired.lock().contains(&user.address())))
    }
}

/// A shard's part of a snapshot.
pub(crate) struct ShardImage {
    instant: Arc<Instant>,
    /// Slots below this one are done.
    cursor: u32,
    /// Slots from this one on did not exist.
    end: u32,
    /// One bit a slot that is written to the side already, or was empty and is filled since.
    done: Vec<u64>,
    /// What was written to the side last, until it is worth handing on.
    side: Vec<u8>,
    entries: u64,
}

impl ShardImage {
    pub(crate) fn new(instant: Arc<Instant>, slots: &Slots) -> Self {
        let end = slots.len();
        // Zeros from the system, so that a snapshot begins in the same time however much there is.
        let done = vec![0; end as usize / 64 + 1];
        Self { instant, cursor: 0, end, done, side: Vec::new(), entries: 0 }
    }

    /// A record was put into a slot that was empty: the snapshot is not to show it.
    pub(crate) fn filled(&mut self, slot: u32) {
        if slot < self.end {
            self.set_done(slot);
        }
    }

    /// Writes a record to the side if the snapshot still needs it; called before it changes.
    pub(crate) fn preserve(&mut self, slot: u32, record: Record, limits: &LimitsTable) {
        if slot < self.cursor || slot >= self.end || self.is_done(slot) {
            return;
        }
        self.set_done(slot);
        let mut side = std::mem::take(&mut self.side);
        self.write(record, limits, &mut side);
        if side.len() >= SIDE_BYTES {
            self.instant.side.lock().push(side);
        } else {
            self.side = side;
        }
    }

    /// Writes the next `count` slots, fewer when they fill a block; whether there are more.
    pub(crate) fn write_slots(
        &mut self,
        slots: &Slots,
        limits: &LimitsTable,
        count: u32,
        out: &mut Vec<u8>,
    ) -> bool {
        let stop = self.cursor.saturating_add(count).min(self.end);
        while self.cursor < stop && out.len() < BLOCK_BYTES {
            let slot = self.cursor;
            if !self.is_done(slot)
                && let Some(record) = slots.get(slot)
            {
                self.write(record, limits, out);
            }
            self.cursor += 1;
        }
        self.cursor < self.end
    }

    /// What was written to the side and not handed on, and how many entries this image has in all.
    pub(crate) fn finish(self) -> (Vec<u8>, u64) {
        (self.side, self.entries)
    }

    fn write(&mut self, record: Record, limits: &LimitsTable, out: &mut Vec<u8>) {
        if self.instant.was_live(limits, record) {
            entry::encode(record, limits, out);
            self.entries += 1;
        } else if let Some(fence) = self.instant.fence_left_by(record) {
            entry::encode_fence(&fence, out);
            self.entries += 1;
        }
    }

    fn set_done(&mut self, slot: u32) {
        self.done[slot as usize / 64] |= 1 << (slot % 64);
    }

    fn is_done(&self, slot: u32) -> bool {
        self.done[slot as usize / 64] >> (slot % 64) & 1 == 1
    }
}
