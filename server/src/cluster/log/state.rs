//! What callers see of a log, and what waits for its writer: everything behind the one lock.
//!
//! Two views differ by what is queued. Callers see every call at once: bounds, vote, tail. The index
//! follows what is durable. An entry leaves the tail only when the index has it *and* no truncation is
//! on its way, for the index may still hold the entry that the truncation is about to replace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::error::LogError;
use super::format::Record;
use super::index::{Effect, Index};
use super::read::Wanted;
use super::tail::Tail;
use super::writer::{Stream, Written};
use crate::cluster::disk::DiskFile;

/// The open segments by number.
pub(super) type Segments = BTreeMap<u32, Arc<dyn DiskFile>>;

/// What is called when an operation is durable, or will never be.
pub(super) type Done = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// What the log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Batches written: all that waited at a time, made durable together.
    pub batches: u64,
    /// Syncs of data. One a batch, and one for each segment ended within it.
    pub syncs: u64,
    /// Records written.
    pub records: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Records of the last batch.
    pub last_batch_records: u64,
    /// Records of the largest batch.
    pub largest_batch_records: u64,
    /// How long the last batch's syncs took.
    pub last_sync: Duration,
    /// How long the slowest batch's syncs took.
    pub slowest_sync: Duration,
    /// How long all syncs took together.
    pub sync_total: Duration,
    /// Segment files in use.
    pub segments: u64,
    /// Payload bytes of the entries held in memory.
    pub tail_bytes: u64,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) records: Vec<Record>,
    pub(super) completions: Vec<Done>,
}

pub(super) struct State {
    /// What callers see.
    pub(super) view: Stream,
    /// The first entry's index; `view.next` when there is none.
    pub(super) first: u64,
    pub(super) tail: Tail,
    /// What is durable.
    pub(super) index: Index,
    pub(super) segments: Segments,
    pub(super) queue: Queue,
    /// Whether the queue lacks the view's commit marker.
    committed_waits: bool,
    /// Truncations queued or being written.
    truncates_waiting: usize,
    /// The first failure: every later call gets it.
    pub(super) failure: Option<LogError>,
    pub(super) closing: bool,
    pub(super) statistics: Statistics,
}

impl State {
    pub(super) fn new(
        stream: Stream,
        index: Index,
        segments: Segments,
        tail_bytes_max: usize,
    ) -> Self {
        Self {
            first: index.first(),
            tail: Tail::starting_at(stream.next, tail_bytes_max),
            view: stream,
            index,
            segments,
            queue: Queue::default(),
            committed_waits: false,
            truncates_waiting: 0,
            failure: None,
            closing: false,
            statistics: Statistics::default(),
        }
    }

    /// Queues an entry and makes it readable.
    pub(super) fn append(&mut self, index: u64, payload: Bytes) {
        if self.first == self.view.next && self.view.purged.is_none() {
            // A log that is empty and was never purged may begin anywhere.
            self.first = index;
        } else {
            assert_eq!(index, self.view.next, "entries are appended without gaps");
        }
        self.tail.push(index, payload.clone());
        self.enqueue(Record::Entry { index, payload });
    }

    pub(super) fn truncate(&mut self, index: u64) {
        assert!(
            index >= self.view.after_purge(),
            "entry {index} was purged and cannot be truncated"
        );
        if index >= self.view.next {
            return;
        }
        self.tail.truncate(index);
        self.first = self.first.min(index);
        self.truncates_waiting += 1;
        self.enqueue(Record::Truncate { index });
    }

    pub(super) fn purge(&mut self, index: u64, marker: Bytes) {
        let next = index.saturating_add(1);
        if next <= self.view.after_purge() {
            return;
        }
        self.enqueue(Record::Purge { index, marker });
        self.first = self.first.max(next);
        self.tail.advance(next);
    }

    /// Notes the commit marker, to be written with the next batch.
    pub(super) fn commit(&mut self, committed: Bytes) {
        self.view.committed = Some(committed);
        self.committed_waits = true;
    }

    pub(super) fn enqueue(&mut self, record: Record) {
        self.view.apply(&record);
        self.queue.records.push(record);
    }

    /// Takes all that waits. The commit marker goes along, and alone only when the log closes.
    pub(super) fn take(&mut self) -> Queue {
        let mut queue = std::mem::take(&mut self.queue);
        let alone = queue.records.is_empty();
        if self.committed_waits && (!alone || self.closing) {
            self.committed_waits = false;
            queue.records.extend(self.view.committed.clone().map(Record::Committed));
        }
        queue
    }

    /// Whether a batch would have anything to do.
    pub(super) fn has_work(&self) -> bool {
        !self.queue.records.is_empty() || !self.queue.completions.is_empty()
    }

    /// Takes over what a batch made durable; returns the segments that nothing needs any more.
    pub(super) fn apply(&mut self, records: &[Record], written: Written) -> Vec<u32> {
        let truncates = records.iter().filter(|record| matches!(record, Record::Truncate { .. }));
        self.truncates_waiting -= truncates.count();
        self.segments.extend(written.opened);
        let mut purged = false;
        for effect in written.effects {
            purged |= matches!(effect, Effect::Purge { .. });
            self.index.apply(effect);
        }
        if self.truncates_waiting == 0 {
            self.tail.shrink(self.index.next());
        }
        let statistics = &mut self.statistics;
        let count = records.len() as u64;
        statistics.batches += 1;
        statistics.syncs += written.syncs;
        statistics.records += count;
        statistics.bytes += written.bytes;
        statistics.last_batch_records = count;
        statistics.largest_batch_records = statistics.largest_batch_records.max(count);
        statistics.last_sync = written.sync_time;
        statistics.slowest_sync = statistics.slowest_sync.max(written.sync_time);
        statistics.sync_total += written.sync_time;
        if purged { self.take_unneeded() } else { Vec::new() }
    }

    /// Takes the segments below the first entry's, or all but the newest when there is no entry. Without
    /// a purge none go, for its marker is what shows that they are not missing.
    pub(super) fn take_unneeded(&mut self) -> Vec<u32> {
        if self.view.purged.is_none() {
            return Vec::new();
        }
        let newest = self.segments.last_key_value().map_or(0, |(number, _)| *number);
        let needed = self.index.first_segment().unwrap_or(newest);
        let kept = self.segments.split_off(&needed);
        std::mem::replace(&mut self.segments, kept).into_keys().collect()
    }

    /// The entries from `index` to `end` that fit into `bytes_max`, but at least one: first those to be
    /// read from files, then those at hand.
    pub(super) fn find(
        &self,
        index: u64,
        end: u64,
        bytes_max: u64,
    ) -> (Vec<Wanted>, Vec<(u64, Bytes)>) {
        let (mut on_disk, mut at_hand) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for index in index.max(self.first)..end.min(self.view.next) {
            let payload = self.tail.get(index);
            let position = if payload.is_none() { self.index.get(index) } else { None };
            bytes += match (payload, position) {
                (Some(payload), _) => payload.len() as u64,
                (None, Some(position)) => u64::from(position.payload_bytes),
                (None, None) => unreachable!("entry {index} is neither in memory nor on disk"),
            };
            if bytes > bytes_max && !(on_disk.is_empty() && at_hand.is_empty()) {
                break;
            }
            if let Some(payload) = payload {
                at_hand.push((index, payload.clone()));
            } else if let Some(position) = position
                && let Some(file) = self.segments.get(&position.segment)
            {
                on_disk.push(Wanted { index, position, file: Arc::clone(file) });
            }
        }
        (on_disk, at_hand)
    }
}
