//! The frame of a snapshot, read piece by piece: header, blocks, end mark.
//!
//! Bytes come in as they come, in pieces of any size. A block is held until it is whole and its checksum
//! is right; only then are its entries decoded and handed to a [`Sink`]. So what is held is one block,
//! which is longer than [`BLOCK_BYTES`] by one entry at the most, and nothing is allocated by a length
//! that bytes have not backed.

use super::entry::{self, Entry};
use super::{BLOCK_BYTES, MAGIC, RestoreError, VERSION};
use crate::time::Stamp;
use crate::varint;

/// Where the entries of a snapshot go.
pub(super) trait Sink {
    /// The header was read: how many generations the store had drawn.
    fn begin(&mut self, generations: u64);
    /// An entry was read. `at` is where it stands, for the error.
    fn entry(&mut self, entry: &Entry<'_>, now: Stamp, at: usize) -> Result<(), RestoreError>;
}

/// What the next piece is.
#[derive(Clone, Copy)]
enum Part {
    Magic,
    Version,
    /// Length and checksum of a block.
    Head,
    Block {
        start: usize,
        length: usize,
        checksum: u32,
    },
    /// The count of entries behind the end mark.
    Count {
        start: usize,
        checksum: u32,
    },
    Nothing,
    Failed(RestoreError),
}

/// How far the reading of a snapshot has come.
pub(super) struct Framing {
    next: Part,
    /// The beginning of the next part, while it is not whole.
    pending: Vec<u8>,
    /// Offset of the next part.
    at: usize,
    /// Stamp and generations, once the header was read.
    header: Option<(Stamp, u64)>,
    entries: u64,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self { next: Part::Magic, pending: Vec::new(), at: 0, header: None, entries: 0 }
    }

    /// Takes the next bytes. After an error every call gives that error again.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), RestoreError> {
        let result = self.feed_parts(bytes, sink);
        if let Err(error) = result {
            self.next = Part::Failed(error);
        }
        result
    }

    /// The end of the bytes: the stamp, if they were a whole snapshot.
    pub(super) fn finish(self) -> Result<Stamp, RestoreError> {
        let end = self.at + self.pending.len();
        match (self.next, self.header) {
            (Part::Failed(error), _) => Err(error),
            (Part::Nothing, Some((stamp, _))) => Ok(stamp),
            (Part::Magic, _) => Err(RestoreError::NotASnapshot),
            _ => Err(RestoreError::Truncated(end)),
        }
    }

    fn feed_parts(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<(), RestoreError> {
        while !bytes.is_empty() {
            let missing = self.needed()? - self.pending.len();
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            bytes = rest;
            if taken.len() < missing {
                self.pending.extend_from_slice(taken);
            } else if self.pending.is_empty() {
                self.part(taken, sink)?;
            } else {
                self.pending.extend_from_slice(taken);
                let mut part = std::mem::take(&mut self.pending);
                self.part(&part, sink)?;
                part.clear();
                part.shrink_to(2 * BLOCK_BYTES);
                self.pending = part;
            }
        }
        Ok(())
    }

    /// How long the next part is.
    fn needed(&self) -> Result<usize, RestoreError> {
        match self.next {
            Part::Magic => Ok(MAGIC.len()),
            Part::Version => Ok(2),
            Part::Head | Part::Count { .. } => Ok(8),
            Part::Block { length, .. } => Ok(length),
            Part::Nothing => Err(RestoreError::Damaged(self.at)),
            Part::Failed(error) => Err(error),
        }
    }

    /// Reads a whole part.
    fn part(&mut self, part: &[u8], sink: &mut impl Sink) -> Result<(), RestoreError> {
        let damaged = RestoreError::Damaged(self.at);
        self.next = match self.next {
            Part::Magic if part == MAGIC => Part::Version,
            Part::Magic => return Err(RestoreError::NotASnapshot),
            Part::Version => match part.try_into().map(u16::from_le_bytes) {
                Ok(VERSION) => Part::Head,
                Ok(version) => return Err(RestoreError::Version(version)),
                Err(_) => return Err(damaged),
            },
            Part::Head => {
                let (length, checksum) = part.split_first_chunk::<4>().ok_or(damaged)?;
                let length = u32::from_le_bytes(*length) as usize;
                let checksum = u32::from_le_bytes(checksum.try_into().map_err(|_| damaged)?);
                match (length, self.at) {
                    (0, start) => Part::Count { start, checksum },
                    (_, start) => Part::Block { start, length, checksum },
                }
            }
            Part::Block { start, checksum, .. } => {
                if crc32fast::hash(part) != checksum {
                    return Err(RestoreError::Damaged(start));
                }
                self.block(part, sink)?;
                Part::Head
            }
            Part::Count { start, checksum } => {
                let count = part.try_into().map(u64::from_le_bytes).map_err(|_| damaged)?;
                if crc32fast::hash(part) != checksum {
                    return Err(RestoreError::Damaged(start));
                }
                if self.header.is_none() || count != self.entries {
                    return Err(damaged);
                }
                Part::Nothing
            }
            Part::Nothing | Part::Failed(_) => return Err(damaged),
        };
        self.at += part.len();
        Ok(())
    }

    /// Reads a block whose checksum is right: the header's, or one of entries.
    fn block(&mut self, mut block: &[u8], sink: &mut impl Sink) -> Result<(), RestoreError> {
        let end = self.at + block.len();
        let Some((stamp, generations)) = self.header else {
            let damaged = RestoreError::Damaged(end);
            let stamp = Stamp::from_millis(varint::take(&mut block).ok_or(damaged)?);
            let generations = varint::take(&mut block).filter(|count| *count < 1 << 48);
            let generations = generations.ok_or(damaged)?;
            self.header = Some((stamp, generations));
            sink.begin(generations);
            return Ok(());
        };
        while !block.is_empty() {
            let at = end - block.len();
            let entry = entry::decode(&mut block).ok_or(RestoreError::Damaged(at))?;
            if entry.generation() > generations {
                return Err(RestoreError::Damaged(at));
            }
            sink.entry(&entry, stamp, at)?;
            self.entries += 1;
        }
        Ok(())
    }
}
