//! The order of a large sorted set: its entries by (score, member), with ranks.
//!
//! A sequence of sorted chunks of at most [`CHUNK_ENTRIES_MAX`] entries. Finding a place is two binary
//! searches; a change moves entries of one chunk; a rank is a walk over the chunks' lengths, some 2 500
//! of them for a million entries. Entries name their member by its index in the map of
//! [`SortedValue`](super::SortedValue), so each member's bytes are kept once.
//!
//! Invariant: no chunk is empty, and neighbours together hold more than half a chunk's maximum.

use std::ops::Range;

/// Entries of a chunk before it is split: 8 KiB, moved within a microsecond.
const CHUNK_ENTRIES_MAX: usize = 512;

/// What a rebuilt order fills its chunks with: room for some insertions before the first split.
const CHUNK_ENTRIES_FILL: usize = 384;

/// One entry: a score, and where the member is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slot {
    pub(super) score: f64,
    pub(super) member: u32,
}

/// A place between entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    chunk: usize,
    offset: usize,
}

/// Slots in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Order {
    chunks: Vec<Vec<Slot>>,
    length: usize,
}

impl Order {
    /// From slots that are in order already.
    pub(super) fn from_sorted(slots: &[Slot]) -> Self {
        let chunks = slots.chunks(CHUNK_ENTRIES_FILL).map(<[Slot]>::to_vec).collect();
        Self { chunks, length: slots.len() }
    }

    /// The place before the first slot for which `precedes` is false. It must be true for a prefix of
    /// the order and false for the rest.
    pub(super) fn partition(&self, precedes: impl Fn(&Slot) -> bool) -> Position {
        let chunk = self.chunks.partition_point(|chunk| chunk.last().is_some_and(&precedes));
        let offset = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(&precedes));
        Position { chunk, offset }
    }

    /// How many slots stand before `position`.
    pub(super) fn rank(&self, position: Position) -> usize {
        self.chunks[..position.chunk].iter().map(Vec::len).sum::<usize>() + position.offset
    }

    /// The place before the slot of that rank; the end for ranks beyond.
    fn position(&self, rank: usize) -> Position {
        let mut rest = rank;
        for (chunk, slots) in self.chunks.iter().enumerate() {
            if rest < slots.len() {
                return Position { chunk, offset: rest };
            }
            rest -= slots.len();
        }
        Position { chunk: self.chunks.len(), offset: 0 }
    }

    /// The slot after `position`.
    pub(super) fn get(&self, position: Position) -> Option<Slot> {
        self.chunks.get(position.chunk)?.get(position.offset).copied()
    }

    /// The slot of that rank.
    pub(super) fn at(&self, rank: usize) -> Option<Slot> {
        self.get(self.position(rank))
    }

    /// The slot after `position`, to change where its member is.
    pub(super) fn get_mut(&mut self, position: Position) -> Option<&mut Slot> {
        self.chunks.get_mut(position.chunk)?.get_mut(position.offset)
    }

    /// Puts a slot at `position`, which must be its place.
    pub(super) fn insert(&mut self, position: Position, slot: Slot) {
        let Position { mut chunk, mut offset } = position;
        // The end: behind the last slot of the last chunk.
        if chunk == self.chunks.len() && chunk > 0 {
            chunk -= 1;
            offset = self.chunks[chunk].len();
        }
        if self.chunks.is_empty() {
            self.chunks.push(Vec::new());
        }
        if self.chunks[chunk].len() >= CHUNK_ENTRIES_MAX {
            // Appending in order, as timestamps do, leaves full chunks behind, not half full ones.
            let at_end = chunk + 1 == self.chunks.len() && offset == CHUNK_ENTRIES_MAX;
            let middle = if at_end { CHUNK_ENTRIES_MAX } else { CHUNK_ENTRIES_MAX / 2 };
            let upper = self.chunks[chunk].split_off(middle);
            self.chunks.insert(chunk + 1, upper);
            if offset > middle || at_end {
                chunk += 1;
                offset -= middle;
            }
        }
        self.chunks[chunk].insert(offset, slot);
        self.length += 1;
    }

    /// Takes out the slot after `position`.
    pub(super) fn remove(&mut self, position: Position) -> Option<Slot> {
        self.get(position)?;
        let slot = self.chunks[position.chunk].remove(position.offset);
        self.length -= 1;
        self.tidy(position.chunk);
        Some(slot)
    }

    /// Takes out the slots of these ranks.
    pub(super) fn drain(&mut self, ranks: Range<usize>) -> Vec<Slot> {
        let mut drained = Vec::with_capacity(ranks.len());
        let Position { chunk: first, mut offset } = self.position(ranks.start);
        let mut chunk = first;
        while drained.len() < ranks.len()
            && let Some(slots) = self.chunks.get_mut(chunk)
        {
            let end = slots.len().min(offset + ranks.len() - drained.len());
            drained.extend(slots.drain(offset..end));
            (chunk, offset) = (chunk + 1, 0);
        }
        self.length -= drained.len();
        // All chunks between the first and the last touched are empty now.
        let mut index = 0;
        self.chunks.retain(|slots| {
            index += 1;
            !(first..chunk).contains(&(index - 1)) || !slots.is_empty()
        });
        self.tidy(first);
        drained
    }

    /// Removes the chunk when it is empty, and joins the ones around it where two are small together.
    fn tidy(&mut self, chunk: usize) {
        if self.chunks.get(chunk).is_some_and(Vec::is_empty) {
            self.chunks.remove(chunk);
        }
        let mut left = chunk.saturating_sub(1);
        while left <= chunk + 1
            && let (Some(lower), Some(upper)) = (self.chunks.get(left), self.chunks.get(left + 1))
        {
            if lower.len() + upper.len() <= CHUNK_ENTRIES_MAX / 2 {
                let upper = self.chunks.remove(left + 1);
                self.chunks[left].extend(upper);
            } else {
                left += 1;
            }
        }
    }

    /// The slots of these ranks, from either end.
    pub(super) fn slots(&self, ranks: Range<usize>) -> Slots<'_> {
        let end = ranks.end.min(self.length);
        let start = ranks.start.min(end);
        Slots {
            chunks: &self.chunks,
            front: self.position(start),
            back: self.position(end),
            remaining: end - start,
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.length, self.chunks.iter().map(Vec::len).sum::<usize>());
        assert!(self.chunks.iter().all(|chunk| (1..=CHUNK_ENTRIES_MAX).contains(&chunk.len())));
        for pair in self.chunks.windows(2) {
            assert!(pair[0].len() + pair[1].len() > CHUNK_ENTRIES_MAX / 2);
        }
    }
}

/// Some of the slots, in order.
#[derive(Debug, Clone)]
pub(super) struct Slots<'a> {
    chunks: &'a [Vec<Slot>],
    /// The place before the next slot.
    front: Position,
    /// The place after the last one.
    back: Position,
    remaining: usize,
}

impl Iterator for Slots<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        self.remaining = self.remaining.checked_sub(1)?;
        if self.front.offset == self.chunks.get(self.front.chunk)?.len() {
            self.front = Position { chunk: self.front.chunk + 1, offset: 0 };
        }
        let slot = *self.chunks.get(self.front.chunk)?.get(self.front.offset)?;
        self.front.offset += 1;
        Some(slot)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl DoubleEndedIterator for Slots<'_> {
    fn next_back(&mut self) -> Option<Slot> {
        self.remaining = self.remaining.checked_sub(1)?;
        if self.back.offset == 0 {
            let chunk = self.back.chunk.checked_sub(1)?;
            self.back = Position { chunk, offset: self.chunks.get(chunk)?.len() };
        }
        self.back.offset -= 1;
        self.chunks.get(self.back.chunk)?.get(self.back.offset).copied()
    }
}

#[cfg(test)]
mod tests;
