//! Reads entries back from segment files, with as few reads as their places allow.
//!
//! Each record is verified as at recovery, so what a disk changed after that is an error, not an entry.
//! Payloads are slices of the buffer they were read into.

use std::sync::Arc;

use bytes::Bytes;

use super::error::LogError;
use super::format::{Decoded, Kind, RECORD_HEADER_BYTES, RecordHeader, padded, segment_name};
use super::index::Position;
use super::writer::io_error;
use crate::cluster::disk::{Disk, DiskFile};

/// Bytes between two entries that are read along rather than skipped.
const GAP_BYTES_MAX: u64 = 4096;
/// A read is not made longer than this by further entries.
const READ_BYTES_MAX: u64 = 1 << 20;

/// An entry to be read: its index, where it is, and the open file.
pub(super) struct Wanted {
    pub(super) index: u64,
    pub(super) position: Position,
    pub(super) file: Arc<dyn DiskFile>,
}

impl Wanted {
    fn start(&self) -> u64 {
        u64::from(self.position.offset)
    }

    fn end(&self) -> u64 {
        let payload = padded(self.position.payload_bytes as usize);
        self.start() + (RECORD_HEADER_BYTES + payload) as u64
    }
}

/// Reads the entries in their order and adds them to `entries`.
pub(super) fn read_entries(
    disk: &dyn Disk,
    wanted: &[Wanted],
    entries: &mut Vec<(u64, Bytes)>,
) -> Result<(), LogError> {
    for run in wanted.chunk_by(|one, other| {
        one.position.segment == other.position.segment
            && other.start().checked_sub(one.end()).is_some_and(|gap| gap <= GAP_BYTES_MAX)
    }) {
        let mut rest = run;
        while let Some(first) = rest.first() {
            let start = first.start();
            let together = rest.iter().take_while(|entry| entry.end() - start <= READ_BYTES_MAX);
            let (now, later) = rest.split_at(together.count().max(1));
            read_run(disk, now, entries)?;
            rest = later;
        }
    }
    Ok(())
}

/// Reads entries that lie close together in one file.
fn read_run(
    disk: &dyn Disk,
    run: &[Wanted],
    entries: &mut Vec<(u64, Bytes)>,
) -> Result<(), LogError> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
    let start = first.start();
    let mut buffer = vec![0; (last.end() - start) as usize];
    first
        .file
        .read_exact_at(&mut buffer, start)
        .map_err(|error| io_error(disk, "read", &segment_name(first.position.segment), error))?;
    let buffer = Bytes::from(buffer);
    for entry in run {
        let record = buffer.slice((entry.start() - start) as usize..(entry.end() - start) as usize);
        if !is_sound(entry, &record) {
            let file = disk.directory().join(segment_name(entry.position.segment));
            return Err(LogError::Damaged { file, offset: entry.start(), index: entry.index });
        }
        let end = RECORD_HEADER_BYTES + entry.position.payload_bytes as usize;
        entries.push((entry.index, record.slice(RECORD_HEADER_BYTES..end)));
    }
    Ok(())
}

fn is_sound(entry: &Wanted, record: &[u8]) -> bool {
    match RecordHeader::decode(entry.position.segment, entry.start(), record) {
        Decoded::Sound(header) => {
            header.kind == Kind::Entry
                && header.index == entry.index
                && header.payload_bytes == entry.position.payload_bytes
                && record
                    .get(RECORD_HEADER_BYTES..)
                    .is_some_and(|after| header.payload(after).is_some())
        }
        Decoded::Unsupported(_) | Decoded::Damaged => false,
    }
}
