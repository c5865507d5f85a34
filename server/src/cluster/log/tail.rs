//! The newest entries, in memory: those not written yet, and as many more as fit into a bound.
//!
//! This is what makes an entry readable at once, and what replication reads from while followers keep
//! up. What is not on disk yet is never let go, whatever the bound.

use std::collections::VecDeque;

use bytes::Bytes;

/// Consecutive entries up to the newest.
#[derive(Debug)]
pub(super) struct Tail {
    first: u64,
    entries: VecDeque<Bytes>,
    /// Of the payloads together.
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    /// No entries, the next of which has the index `first`.
    pub(super) fn starting_at(first: u64, bytes_max: usize) -> Self {
        Self { first, entries: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(super) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, index: u64) -> Option<&Bytes> {
        let place = index.checked_sub(self.first)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// Adds the entry that comes next; the first one of an empty tail may have any index.
    pub(super) fn push(&mut self, index: u64, payload: Bytes) {
        if self.entries.is_empty() {
            self.first = index;
        }
        assert_eq!(index, self.next(), "entries are appended in order");
        self.bytes += payload.len();
        self.entries.push_back(payload);
    }

    /// Drops the entries from `index` on; it is then the next.
    pub(super) fn truncate(&mut self, index: u64) {
        while self.next() > index
            && let Some(payload) = self.entries.pop_back()
        {
            self.bytes -= payload.len();
        }
        self.first = self.first.min(index);
    }

    /// Drops the entries below `index`.
    pub(super) fn advance(&mut self, index: u64) {
        while self.first < index
            && let Some(payload) = self.entries.pop_front()
        {
            self.bytes -= payload.len();
            self.first += 1;
        }
        self.first = self.first.max(index);
    }

    /// Drops the oldest entries below `written` until the rest fits into the bound.
    pub(super) fn shrink(&mut self, written: u64) {
        while self.bytes > self.bytes_max
            && self.first < written
            && let Some(payload) = self.entries.pop_front()
        {
            self.bytes -= payload.len();
            self.first += 1;
        }
    }
}
