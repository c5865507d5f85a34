//! Opening a log: what the files say, what a power loss tore, and what is damage.
//!
//! A power loss may tear only what was not synced: the last write to the last segment, of which any
//! blocks may be there and others not. So at the first record that is not sound there are two cases:
//!
//! * Anything shows that the file was durable beyond that place: the next segment exists (it is begun
//!   only when this one is durable to its end), or a later sound record header says so by its *since
//!   synced*. Then bytes changed that had been acknowledged, and the log **refuses to open**.
//! * Nothing does. Then the damage lies in the last write, none of which need have been acknowledged: all
//!   from there on is **cut**, and what was cut is reported.
//!
//! What no file can show is a bit that flipped in the very last write after it was acknowledged; it looks
//! like a torn one. A log that was closed ends with a mark, so there even that is seen.
//!
//! Zeros to the end of a file are room that was reserved, and no record begins with them: they are cut off
//! and nothing is missing.
//!
//! Of segments that were being removed any may be left: those before a gap go, if the purge covers it.

use std::sync::Arc;

use super::error::OpenError;
use super::format::{
    ALIGNMENT, Decoded, Kind, RECORD_HEADER_BYTES, Record, RecordHeader, SEGMENT_HEADER_BYTES,
    SegmentHeader, segment_name, segment_number,
};
use super::index::{Effect, Index, Position};
use super::writer::{Active, Stream, Writer, Written, io_error};
use super::{LogOptions, Segments};
use crate::cluster::disk::{Disk, DiskFile};

/// A log as its files say it is.
pub(super) struct Recovery {
    pub(super) writer: Writer,
    pub(super) stream: Stream,
    pub(super) index: Index,
    pub(super) segments: Segments,
    pub(super) torn_bytes: u64,
}

/// The first place where a segment is not sound, and why.
struct Damage {
    offset: u64,
    what: String,
}

struct Replay<'a> {
    /// Whether the newest segment did not end where its file ended.
    unfinished: bool,
    disk: &'a dyn Disk,
    stream: Stream,
    index: Index,
    /// The file and length of the segment read last.
    last: Option<(Arc<dyn DiskFile>, u64)>,
    segments: Segments,
    torn_bytes: u64,
}

/// Reads the log in a directory, mends what a power loss tore, and makes ready to append.
pub(super) fn recover(disk: &Arc<dyn Disk>, options: &LogOptions) -> Result<Recovery, OpenError> {
    let (stray, run) = find_segments(&**disk)?;
    let mut replay = Replay::new(&**disk);
    for (place, segment) in run.iter().enumerate() {
        let next = match run.get(place + 1) {
            Some(next) => Some(replay.read_header(*next)?),
            None => None,
        };
        let last = place + 1 == run.len();
        replay.segment(*segment, last, next.flatten(), place == 0)?;
    }
    if let Some(first) = run.first() {
        replay.check_beginning(*first)?;
    }
    finish(disk, options, replay, &stray)
}

/// The segments' numbers: those before a gap, and the run without gaps up to the newest.
fn find_segments(disk: &dyn Disk) -> Result<(Vec<u32>, Vec<u32>), OpenError> {
    let names = disk.list().map_err(|error| io_error(disk, "list", "", error))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let gap = numbers
        .windows(2)
        .rposition(|pair| pair.first().map(|low| low + 1) != pair.last().copied());
    let run = numbers.split_off(gap.map_or(0, |place| place + 1));
    Ok((numbers, run))
}

/// Makes the mended state durable and the log ready to append.
fn finish(
    disk: &Arc<dyn Disk>,
    options: &LogOptions,
    replay: Replay<'_>,
    stray: &[u32],
) -> Result<Recovery, OpenError> {
    let Replay { stream, mut index, last, mut segments, torn_bytes, unfinished, .. } = replay;
    let newest = segments.last_key_value().map(|(number, _)| *number);
    let active = if let (Some(number), Some((file, bytes))) = (newest, last) {
        // What a process left unsynced when it died can be read here, but is not durable yet.
        let name = segment_name(number);
        file.sync_data().map_err(|error| io_error(&**disk, "sync", &name, error))?;
        let synced = disk.sync_directory();
        synced.map_err(|error| io_error(&**disk, "sync the directory of", &name, error))?;
        Active { number, file, bytes }
    } else {
        let active = Writer::create_first(&**disk, 1)?;
        segments.insert(active.number, Arc::clone(&active.file));
        active
    };
    let mut writer = Writer::new(Arc::clone(disk), options, active, stream.clone());
    // The bytes that were cut away may still be on the platter: nothing is written over their place. And what
    // ends in reserved room may have lost records of its own head there, which the next segment has again.
    if torn_bytes > 0 || unfinished {
        let mut written = Written::default();
        writer.begin_segment(&mut written)?;
        writer.flush(&mut written)?;
        segments.extend(written.opened);
        for effect in written.effects {
            index.apply(effect);
        }
    }
    writer.remove(stray)?;
    Ok(Recovery { writer, stream, index, segments, torn_bytes })
}

impl<'a> Replay<'a> {
    fn new(disk: &'a dyn Disk) -> Self {
        Self {
            unfinished: false,
            disk,
            stream: Stream::default(),
            index: Index::default(),
            last: None,
            segments: Segments::new(),
            torn_bytes: 0,
        }
    }

    /// A segment's header, if it is sound.
    fn read_header(&self, segment: u32) -> Result<Option<SegmentHeader>, OpenError> {
        let name = segment_name(segment);
        let failed = |action, error| io_error(self.disk, action, &name, error);
        let file = self.disk.open(&name).map_err(|error| failed("open", error))?;
        let bytes = file.bytes().map_err(|error| failed("measure", error))?;
        if bytes < SEGMENT_HEADER_BYTES as u64 {
            return Ok(None);
        }
        let mut header = [0; SEGMENT_HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(|error| failed("read", error))?;
        match SegmentHeader::decode(&header) {
            Decoded::Sound(header) => Ok(Some(header)),
            Decoded::Unsupported(_) | Decoded::Damaged => Ok(None),
        }
    }

    /// Replays one segment. All but the last must be sound to the end that the next one's header names.
    fn segment(
        &mut self,
        segment: u32,
        last: bool,
        next: Option<SegmentHeader>,
        first: bool,
    ) -> Result<(), OpenError> {
        let name = segment_name(segment);
        let failed = |action, error| io_error(self.disk, action, &name, error);
        let file = self.disk.open(&name).map_err(|error| failed("open", error))?;
        let length = file.bytes().map_err(|error| failed("measure", error))?;
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0).map_err(|error| failed("read", error))?;
        let mut damage = self.replay(segment, &bytes, first)?;
        let mut used = length;
        if let Some(found) = &damage
            && found.offset >= SEGMENT_HEADER_BYTES as u64
            && bytes.iter().skip(found.offset as usize).all(|byte| *byte == 0)
        {
            used = found.offset;
            damage = None;
        }
        let damage = damage.or_else(|| {
            let promised = next.map_or(used, |header| header.previous_bytes);
            let what = format!("it is {used} bytes long, and was {promised} when it was ended");
            (promised != used).then(|| Damage { offset: promised.min(used), what })
        });
        self.segments.insert(segment, Arc::clone(&file));
        let Some(Damage { offset, what }) = damage else {
            self.unfinished = used < length;
            if self.unfinished {
                file.truncate(used).map_err(|error| failed("truncate", error))?;
            }
            self.last = Some((file, used));
            return Ok(());
        };
        if !last {
            let what = format!("{what}, although a later segment follows");
            return Err(self.damaged(segment, offset, what));
        }
        if let Some(proof) = proof_of_sync(segment, &bytes, offset) {
            let what = format!("{what}, although the record at {proof} was written after its sync");
            return Err(self.damaged(segment, offset, what));
        }
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        self.torn_bytes += written.next_multiple_of(ALIGNMENT as u64).min(length) - offset;
        self.cut(segment, file, offset, first)
    }

    /// Cuts a torn tail off; a file of which not even the header is whole goes entirely.
    fn cut(
        &mut self,
        segment: u32,
        file: Arc<dyn DiskFile>,
        offset: u64,
        first: bool,
    ) -> Result<(), OpenError> {
        let name = segment_name(segment);
        let failed = |action, error| io_error(self.disk, action, &name, error);
        if offset >= SEGMENT_HEADER_BYTES as u64 {
            file.truncate(offset).map_err(|error| failed("truncate", error))?;
            self.last = Some((file, offset));
            return Ok(());
        }
        // Others are removed only when this one's beginning is durable.
        if first && segment > 1 {
            let what = "its header is not sound, although earlier segments were removed";
            return Err(self.damaged(segment, 0, what.to_owned()));
        }
        self.segments.remove(&segment);
        self.disk.remove(&name).map_err(|error| failed("remove", error))?;
        let synced = self.disk.sync_directory();
        synced.map_err(|error| failed("sync the directory of", error))?;
        Ok(())
    }

    /// Replays the records of a segment up to the first that is not sound.
    fn replay(
        &mut self,
        segment: u32,
        bytes: &[u8],
        first: bool,
    ) -> Result<Option<Damage>, OpenError> {
        let header = match SegmentHeader::decode(bytes) {
            Decoded::Sound(header) => header,
            Decoded::Unsupported(version) => return Err(self.unsupported(segment, 0, version)),
            Decoded::Damaged => return Ok(Some(damage(0, "the segment's header is not sound"))),
        };
        if header.segment != segment {
            let what = format!("it is segment {} under another's name", header.segment);
            return Err(self.damaged(segment, 0, what));
        }
        if first {
            self.stream.next = header.next_index;
            self.index = Index::starting_at(header.next_index);
        } else if header.next_index != self.stream.next {
            let what = format!(
                "it begins at entry {}, and the segments before end at {}",
                header.next_index, self.stream.next
            );
            return Err(self.damaged(segment, 0, what));
        }
        let mut offset = SEGMENT_HEADER_BYTES;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let header = match RecordHeader::decode(segment, offset as u64, rest) {
                Decoded::Sound(header) => header,
                Decoded::Unsupported(version) => {
                    return Err(self.unsupported(segment, offset as u64, version));
                }
                Decoded::Damaged => {
                    return Ok(Some(damage(offset, "a record's header is not sound")));
                }
            };
            let after = rest.get(RECORD_HEADER_BYTES..).unwrap_or_default();
            let Some(payload) = header.payload(after) else {
                return Ok(Some(damage(offset, "a record's payload is not sound")));
            };
            self.record(segment, offset, &header, payload)?;
            offset += header.record_bytes();
        }
        Ok(None)
    }

    fn record(
        &mut self,
        segment: u32,
        offset: usize,
        header: &RecordHeader,
        payload: &[u8],
    ) -> Result<(), OpenError> {
        let index = header.index;
        match header.kind {
            Kind::Entry => {
                let empty = self.index.first() == self.index.next();
                let anywhere = empty && self.stream.purged.is_none();
                if index != self.stream.next && !anywhere {
                    let what = format!("it has entry {index} where {} is due", self.stream.next);
                    return Err(self.damaged(segment, offset as u64, what));
                }
                let payload_bytes = header.payload_bytes;
                let position = Position { segment, offset: offset as u32, payload_bytes };
                self.index.apply(Effect::Entry { index, position });
                self.stream.next = index.saturating_add(1);
                return Ok(());
            }
            Kind::Truncate => self.index.apply(Effect::Truncate { index }),
            Kind::Purge => self.index.apply(Effect::Purge { index }),
            Kind::Vote | Kind::Committed | Kind::Mark => {}
        }
        self.stream.apply(&Record::of(header, payload));
        Ok(())
    }

    /// Whether everything before the first segment that is left was purged.
    fn check_beginning(&self, first: u32) -> Result<(), OpenError> {
        if first == 1 || self.segments.is_empty() {
            return Ok(());
        }
        if self.stream.purged.is_none() {
            let what = "no purge marker follows its header, although earlier segments were removed";
            let offset = SEGMENT_HEADER_BYTES as u64;
            return Err(self.damaged(first, offset, what.to_owned()));
        }
        let (expected, found) = (self.stream.after_purge(), self.index.first());
        if expected >= found {
            return Ok(());
        }
        let what = format!(
            "entries {expected} to {} were in segments before {}",
            found - 1,
            segment_name(first)
        );
        Err(OpenError::Missing { directory: self.disk.directory().to_owned(), what })
    }

    fn damaged(&self, segment: u32, offset: u64, what: String) -> OpenError {
        let file = self.disk.directory().join(segment_name(segment));
        OpenError::Damaged { file, offset, what }
    }

    fn unsupported(&self, segment: u32, offset: u64, version: u16) -> OpenError {
        let file = self.disk.directory().join(segment_name(segment));
        OpenError::Unsupported { file, offset, version }
    }
}

fn damage(offset: usize, what: &str) -> Damage {
    Damage { offset: offset as u64, what: what.to_owned() }
}

/// A sound record header after `damage` that was written when the file was durable beyond it.
fn proof_of_sync(segment: u32, bytes: &[u8], damage: u64) -> Option<u64> {
    let start = (damage as usize).next_multiple_of(ALIGNMENT);
    (start..bytes.len()).step_by(ALIGNMENT).map(|place| place as u64).find(|place| {
        let rest = bytes.get(*place as usize..).unwrap_or_default();
        match RecordHeader::decode(segment, *place, rest) {
            Decoded::Sound(header) => place.saturating_sub(u64::from(header.since_synced)) > damage,
            Decoded::Unsupported(_) | Decoded::Damaged => false,
        }
    })
}
