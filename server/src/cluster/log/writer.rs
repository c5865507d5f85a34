//! Writes records to segments: one vectored write and one sync for all that was waiting.
//!
//! The writer knows the stream of records up to what it last wrote, so that it can begin each new
//! segment with the vote, the commit marker and the purge marker of that moment; the purge marker comes
//! last, so that a head without it is known to be torn. A segment is begun only when the one before is
//! durable to its end, and removed only when a durable purge covers all that still counts in it.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::LogOptions;
use super::error::LogError;
use super::format::{
    RECORD_HEADER_BYTES, Record, RecordHeader, SegmentHeader, VERSION, padded, segment_name,
};
use super::index::{Effect, Position};
use crate::clock::Clock;
use crate::cluster::disk::{Disk, DiskFile};
use crate::cluster::mutant;

/// Payloads from this size on are written from where they are; smaller ones are copied together.
const COPIED_BYTES_MAX: usize = 4096;
/// The buffer's memory is given back when a batch made it larger than this.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;

/// The state that records add up to, as far as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    pub(super) purged: Option<(u64, Bytes)>,
    /// The index of the entry that comes next.
    pub(super) next: u64,
}

impl Stream {
    /// The index that would be the first entry's: the one after what was purged.
    pub(super) fn after_purge(&self) -> u64 {
        self.purged.as_ref().map_or(0, |(index, _)| index.saturating_add(1))
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(vote.clone()),
            Record::Committed(committed) => self.committed = Some(committed.clone()),
            Record::Entry { index, .. } => self.next = index.saturating_add(1),
            Record::Truncate { index } => self.next = self.next.min(*index),
            Record::Purge { index, marker } => {
                self.purged = Some((*index, marker.clone()));
                self.next = self.next.max(index.saturating_add(1));
            }
            Record::Mark => {}
        }
    }
}

/// The segment that is appended to.
pub(super) struct Active {
    pub(super) number: u32,
    pub(super) file: Arc<dyn DiskFile>,
    /// Its length, all of it durable unless something failed.
    pub(super) bytes: u64,
}

/// What a batch came to.
#[derive(Default)]
pub(super) struct Written {
    pub(super) effects: Vec<Effect>,
    /// Segments begun on the way.
    pub(super) opened: Vec<(u32, Arc<dyn DiskFile>)>,
    pub(super) bytes: u64,
    pub(super) syncs: u64,
    /// How long the syncs of data took together.
    pub(super) sync_time: Duration,
}

/// The one place that appends to a log's files.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    clock: Clock,
    segment_bytes_max: u64,
    /// How much room is reserved at a time.
    reserve_bytes: u64,
    active: Active,
    /// Length of what the active segment began with; until more follows it is not left for another.
    head_bytes: u64,
    /// Up to where room is reserved in the active segment; past what it can hold when there is none to be had.
    reserved_bytes: u64,
    /// Whether the active segment's name is durable.
    named: bool,
    stream: Stream,
    pending: Pending,
}

/// Bytes to be written at once: runs of one buffer, and payloads too large to copy.
#[derive(Default)]
struct Pending {
    scratch: Vec<u8>,
    parts: Vec<Part>,
    bytes: u64,
}

enum Part {
    Scratch(Range<usize>),
    Payload(Bytes),
}

impl Writer {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        options: &LogOptions,
        active: Active,
        stream: Stream,
    ) -> Self {
        let pending = Pending::default();
        let LogOptions { segment_bytes_max, reserved_bytes: reserve_bytes, .. } = *options;
        let clock = Clock::new();
        Self {
            disk,
            clock,
            segment_bytes_max,
            reserve_bytes,
            active,
            head_bytes: 0,
            reserved_bytes: 0,
            named: true,
            stream,
            pending,
        }
    }

    /// Makes the first file of a log: a header, durable before anything follows it.
    pub(super) fn create_first(disk: &dyn Disk, number: u32) -> Result<Active, LogError> {
        let name = segment_name(number);
        let failed = |action, source| io_error(disk, action, &name, source);
        let header = SegmentHeader { segment: number, next_index: 0, previous_bytes: 0 }.encode();
        let file = disk.create(&name).map_err(|error| failed("create", error))?;
        file.append(&mut [IoSlice::new(&header)]).map_err(|error| failed("write", error))?;
        file.sync_data().map_err(|error| failed("sync", error))?;
        disk.sync_directory().map_err(|error| failed("sync the directory of", error))?;
        Ok(Active { number, file, bytes: header.len() as u64 })
    }

    /// Writes all records and makes them durable.
    pub(super) fn write(&mut self, records: &[Record]) -> Result<Written, LogError> {
        let mut written = Written::default();
        for record in records {
            let bytes = record_bytes(record);
            let used = self.active.bytes + self.pending.bytes;
            if used + bytes > self.segment_bytes_max && used > self.head_bytes {
                self.begin_segment(&mut written)?;
            }
            self.encode(record, &mut written);
            self.stream.apply(record);
        }
        self.flush(&mut written)?;
        Ok(written)
    }

    /// Ends the active segment and begins the next, which becomes durable with the next flush.
    pub(super) fn begin_segment(&mut self, written: &mut Written) -> Result<(), LogError> {
        self.flush(written)?;
        self.release()?;
        let number = self.active.number + 1;
        let name = segment_name(number);
        let file = self.disk.create(&name).map_err(|error| self.failed("create", error))?;
        written.opened.push((number, Arc::clone(&file)));
        let previous_bytes = self.active.bytes;
        let header =
            SegmentHeader { segment: number, next_index: self.stream.next, previous_bytes };
        self.active = Active { number, file, bytes: 0 };
        self.named = false;
        self.reserved_bytes = 0;
        self.pending.copy(&header.encode());
        let Stream { vote, committed, purged, .. } = self.stream.clone();
        let head = [
            vote.map(Record::Vote),
            committed.map(Record::Committed),
            purged.map(|(index, marker)| Record::Purge { index, marker }),
        ];
        for record in head.iter().flatten() {
            self.encode(record, written);
        }
        self.head_bytes = self.pending.bytes;
        Ok(())
    }

    /// Writes what is pending, and makes it durable with the segment's name.
    pub(super) fn flush(&mut self, written: &mut Written) -> Result<(), LogError> {
        if self.pending.bytes == 0 {
            return Ok(());
        }
        self.reserve();
        let result = self.active.file.append(&mut self.pending.slices());
        result.map_err(|error| self.failed("write", error))?;
        let before = self.clock.ticks();
        if !mutant::skips_sync() {
            self.active.file.sync_data().map_err(|error| self.failed("sync", error))?;
        }
        written.sync_time += Duration::from_nanos(self.clock.nanos(before, self.clock.ticks()));
        if !self.named {
            let result = self.disk.sync_directory();
            result.map_err(|error| self.failed("sync the directory of", error))?;
            self.named = true;
        }
        written.syncs += 1;
        written.bytes += self.pending.bytes;
        self.active.bytes += self.pending.bytes;
        self.pending.clear();
        Ok(())
    }

    /// Reserves room for what is pending and more to come.
    fn reserve(&mut self) {
        let end = self.active.bytes + self.pending.bytes;
        if self.reserve_bytes == 0 || end <= self.reserved_bytes {
            return;
        }
        let ahead = (end + self.reserve_bytes).min(self.segment_bytes_max.max(end));
        // It only saves work: a file system without it, or without room, gets plain appends.
        let reserved = self.active.file.reserve(ahead).is_ok();
        self.reserved_bytes = if reserved { ahead } else { u64::MAX };
    }

    /// Cuts reserved room off the active segment, to be durable with the next sync, if at all: zeros at a
    /// segment's end mean nothing.
    pub(super) fn release(&mut self) -> Result<(), LogError> {
        if std::mem::take(&mut self.reserved_bytes) == 0 {
            return Ok(());
        }
        let result = self.active.file.truncate(self.active.bytes);
        result.map_err(|error| self.failed("truncate", error))
    }

    /// Removes the files of segments, the oldest first.
    pub(super) fn remove(&self, segments: &[u32]) -> Result<(), LogError> {
        for segment in segments {
            let name = segment_name(*segment);
            let result = self.disk.remove(&name);
            result.map_err(|error| io_error(&*self.disk, "remove", &name, error))?;
        }
        if segments.is_empty() {
            return Ok(());
        }
        let result = self.disk.sync_directory();
        result.map_err(|error| self.failed("sync the directory of", error))
    }

    fn encode(&mut self, record: &Record, written: &mut Written) {
        let offset = self.active.bytes + self.pending.bytes;
        let payload = record.payload();
        let header = RecordHeader {
            payload_bytes: payload.len() as u32,
            payload_checksum: crc32c::crc32c(&payload),
            since_synced: self.pending.bytes as u32,
            kind: record.kind(),
            index: record.index(),
        };
        let position = Position {
            segment: self.active.number,
            offset: offset as u32,
            payload_bytes: header.payload_bytes,
        };
        self.pending.copy(&header.encode(self.active.number, offset));
        let padding = padded(payload.len()) - payload.len();
        if payload.len() <= COPIED_BYTES_MAX {
            self.pending.copy(&payload);
        } else {
            self.pending.refer(payload);
        }
        self.pending.copy([0; 3].get(..padding).unwrap_or_default());
        written.effects.extend(match record {
            Record::Entry { index, .. } => Some(Effect::Entry { index: *index, position }),
            Record::Truncate { index } => Some(Effect::Truncate { index: *index }),
            Record::Purge { index, .. } => Some(Effect::Purge { index: *index }),
            Record::Vote(_) | Record::Committed(_) | Record::Mark => None,
        });
    }

    fn failed(&self, action: &'static str, source: io::Error) -> LogError {
        io_error(&*self.disk, action, &segment_name(self.active.number), source)
    }
}

impl Pending {
    fn copy(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = self.scratch.len();
        self.scratch.extend_from_slice(bytes);
        let end = self.scratch.len();
        self.bytes += bytes.len() as u64;
        match self.parts.last_mut() {
            Some(Part::Scratch(range)) if range.end == start => range.end = end,
            _ => self.parts.push(Part::Scratch(start..end)),
        }
    }

    fn refer(&mut self, payload: Bytes) {
        self.bytes += payload.len() as u64;
        self.parts.push(Part::Payload(payload));
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let slices = self.parts.iter().map(|part| match part {
            Part::Scratch(range) => self.scratch.get(range.clone()).unwrap_or_default(),
            Part::Payload(payload) => payload,
        });
        slices.map(IoSlice::new).collect()
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH_BYTES_KEPT);
        self.bytes = 0;
    }
}

/// How long a record is on disk.
fn record_bytes(record: &Record) -> u64 {
    (RECORD_HEADER_BYTES + padded(record.payload().len())) as u64
}

pub(super) fn io_error(
    disk: &dyn Disk,
    action: &'static str,
    name: &str,
    source: io::Error,
) -> LogError {
    let file: PathBuf = disk.directory().join(name);
    LogError::Io { action, file, source: Arc::new(source) }
}

// A record's version is one byte of its header.
const _: () = assert!(VERSION <= u8::MAX as u16);
