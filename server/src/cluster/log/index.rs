//! Where each entry on disk is: twelve bytes an entry, in the order of the stream of records.
//!
//! The index follows what has been *written*, one record after the other; what is still queued is in the
//! tail ([`super::tail`]). Entries are consecutive, so an index is a place in a queue.

use std::collections::VecDeque;

/// Where one entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) payload_bytes: u32,
}

/// A record's effect on the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Entry { index: u64, position: Position },
    Truncate { index: u64 },
    Purge { index: u64 },
}

/// The positions of all entries from the first on.
#[derive(Debug, Default)]
pub(super) struct Index {
    first: u64,
    positions: VecDeque<Position>,
}

impl Index {
    /// An index whose next entry is `first`.
    pub(super) fn starting_at(first: u64) -> Self {
        Self { first, positions: VecDeque::new() }
    }

    /// The first entry's index; [`Self::next`] when there is none.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The index that follows the last entry's.
    pub(super) fn next(&self) -> u64 {
        self.first + self.positions.len() as u64
    }

    pub(super) fn get(&self, index: u64) -> Option<Position> {
        let place = index.checked_sub(self.first)?;
        self.positions.get(usize::try_from(place).ok()?).copied()
    }

    /// The segment that holds the first entry.
    pub(super) fn first_segment(&self) -> Option<u32> {
        self.positions.front().map(|position| position.segment)
    }

    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Entry { index, position } => {
                if self.positions.is_empty() {
                    self.first = index;
                }
                assert_eq!(index, self.next(), "entries are written in order");
                self.positions.push_back(position);
            }
            Effect::Truncate { index } => {
                let kept = index.saturating_sub(self.first).min(self.positions.len() as u64);
                self.positions.truncate(kept as usize);
                self.first = self.first.min(index);
            }
            Effect::Purge { index } => {
                let next = index.saturating_add(1);
                let gone = next.saturating_sub(self.first).min(self.positions.len() as u64);
                self.positions.drain(..gone as usize);
                self.first += gone;
                if self.positions.is_empty() {
                    self.first = self.first.max(next);
                }
            }
        }
        // A burst's memory is given back once most of it is gone.
        if self.positions.capacity() > 4096 && self.positions.len() * 4 < self.positions.capacity()
        {
            self.positions.shrink_to(self.positions.len() * 2);
        }
    }
}
