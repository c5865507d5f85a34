//! Version 1 of the log on disk: bytes to records and back, and how each proves where it belongs.
//!
//! ```text
//! segment  header, then records, each padded with zeros to a multiple of four bytes
//! header   "HALLPLOG"  version u16  0 u16  segment u32  next index u64  previous bytes u64  CRC u32
//! record   payload bytes u32  payload CRC u32  since synced u32  kind u8  version u8  0 u16
//!          index u64  CRC u32, then the payload
//! ```
//!
//! Numbers are little-endian, checksums CRC-32C. A header's checksum covers the segment's number and the
//! header's own offset, so bytes left over from another place or file are never taken for a record. *Since
//! synced* is how far before the record the file was known to be durable when the record was written:
//! what recovery tells a torn tail from damage by. Files are named `segment-0000000001.log` and so on.

use bytes::Bytes;

use crate::cluster::mutant::{self, Mutant};

/// The version written, of segments and of records.
pub(super) const VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"HALLPLOG";
pub(super) const SEGMENT_HEADER_BYTES: usize = 36;
pub(super) const RECORD_HEADER_BYTES: usize = 28;
/// Records begin at multiples of this.
pub(super) const ALIGNMENT: usize = 4;

const NAME_PREFIX: &str = "segment-";
const NAME_SUFFIX: &str = ".log";

/// The name of a segment's file; names sort as numbers do.
pub(super) fn segment_name(segment: u32) -> String {
    format!("{NAME_PREFIX}{segment:010}{NAME_SUFFIX}")
}

/// The segment a file's name says it is, if it is one.
pub(super) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(NAME_PREFIX)?.strip_suffix(NAME_SUFFIX)?;
    let number = digits.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// What a segment's file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) segment: u32,
    /// The index that an entry would have had that was appended when the segment was made.
    pub(super) next_index: u64,
    /// The previous segment's length, all of it durable then.
    pub(super) previous_bytes: u64,
}

/// What the bytes of a header are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded<T> {
    Sound(T),
    /// The checksum is right, but this version is not ours.
    Unsupported(u16),
    Damaged,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &self.segment.to_le_bytes());
        put(&mut bytes, 16, &self.next_index.to_le_bytes());
        put(&mut bytes, 24, &self.previous_bytes.to_le_bytes());
        let checksum = crc32c::crc32c(bytes.get(..32).unwrap_or_default());
        put(&mut bytes, 32, &checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Decoded<Self> {
        Self::parse(bytes).unwrap_or(Decoded::Damaged)
    }

    fn parse(bytes: &[u8]) -> Option<Decoded<Self>> {
        let checksum = crc32c::crc32c(bytes.get(..32)?);
        if bytes.get(..8)? != MAGIC || checksum != u32_at(bytes, 32)? {
            return None;
        }
        let version = u16_at(bytes, 8)?;
        if version != VERSION {
            return Some(Decoded::Unsupported(version));
        }
        Some(Decoded::Sound(Self {
            segment: u32_at(bytes, 12)?,
            next_index: u64_at(bytes, 16)?,
            previous_bytes: u64_at(bytes, 24)?,
        }))
    }
}

/// What a record does to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The payload is the vote.
    Vote = 1,
    /// The payload is the entry at the index.
    Entry = 2,
    /// Entries from the index on are gone.
    Truncate = 3,
    /// Entries through the index are gone; the payload is the caller's marker.
    Purge = 4,
    /// The payload says what is committed.
    Committed = 5,
    /// Nothing, but all before it is known to be durable.
    Mark = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let kinds =
            [Self::Vote, Self::Entry, Self::Truncate, Self::Purge, Self::Committed, Self::Mark];
        kinds.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A record, as it is queued and as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Vote(Bytes),
    Entry { index: u64, payload: Bytes },
    Truncate { index: u64 },
    Purge { index: u64, marker: Bytes },
    Committed(Bytes),
    Mark,
}

impl Record {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Vote(_) => Kind::Vote,
            Self::Entry { .. } => Kind::Entry,
            Self::Truncate { .. } => Kind::Truncate,
            Self::Purge { .. } => Kind::Purge,
            Self::Committed(_) => Kind::Committed,
            Self::Mark => Kind::Mark,
        }
    }

    pub(super) fn index(&self) -> u64 {
        match self {
            Self::Entry { index, .. } | Self::Truncate { index } | Self::Purge { index, .. } => {
                *index
            }
            Self::Vote(_) | Self::Committed(_) | Self::Mark => 0,
        }
    }

    pub(super) fn payload(&self) -> Bytes {
        match self {
            Self::Vote(payload)
            | Self::Entry { payload, .. }
            | Self::Purge { marker: payload, .. }
            | Self::Committed(payload) => payload.clone(),
            Self::Truncate { .. } | Self::Mark => Bytes::new(),
        }
    }

    /// The record that a sound header and its payload are.
    pub(super) fn of(header: &RecordHeader, payload: &[u8]) -> Self {
        let index = header.index;
        let payload = Bytes::copy_from_slice(payload);
        match header.kind {
            Kind::Vote => Self::Vote(payload),
            Kind::Entry => Self::Entry { index, payload },
            Kind::Truncate => Self::Truncate { index },
            Kind::Purge => Self::Purge { index, marker: payload },
            Kind::Committed => Self::Committed(payload),
            Kind::Mark => Self::Mark,
        }
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) payload_bytes: u32,
    pub(super) payload_checksum: u32,
    pub(super) since_synced: u32,
    pub(super) kind: Kind,
    pub(super) index: u64,
}

impl RecordHeader {
    /// The header's bytes for one place in one segment.
    pub(super) fn encode(&self, segment: u32, offset: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        put(&mut bytes, 0, &self.payload_bytes.to_le_bytes());
        put(&mut bytes, 4, &self.payload_checksum.to_le_bytes());
        put(&mut bytes, 8, &self.since_synced.to_le_bytes());
        put(&mut bytes, 12, &[self.kind as u8, VERSION as u8]);
        put(&mut bytes, 16, &self.index.to_le_bytes());
        let checksum = header_checksum(segment, offset, bytes.get(..24).unwrap_or_default());
        put(&mut bytes, 24, &checksum.to_le_bytes());
        bytes
    }

    /// The header at the beginning of `bytes`, which stand at `offset` in the segment.
    pub(super) fn decode(segment: u32, offset: u64, bytes: &[u8]) -> Decoded<Self> {
        Self::parse(segment, offset, bytes).unwrap_or(Decoded::Damaged)
    }

    fn parse(segment: u32, offset: u64, bytes: &[u8]) -> Option<Decoded<Self>> {
        let kind = *bytes.get(12)?;
        // Quick for the zeros of a hole; the checksum would say the same.
        if kind == 0 {
            return None;
        }
        if header_checksum(segment, offset, bytes.get(..24)?) != u32_at(bytes, 24)? {
            return None;
        }
        let version = u16::from(*bytes.get(13)?);
        if version != VERSION {
            return Some(Decoded::Unsupported(version));
        }
        Some(Decoded::Sound(Self {
            payload_bytes: u32_at(bytes, 0)?,
            payload_checksum: u32_at(bytes, 4)?,
            since_synced: u32_at(bytes, 8)?,
            kind: Kind::of(kind)?,
            index: u64_at(bytes, 16)?,
        }))
    }

    /// The payload, from the bytes that follow the header, if it is whole and its padding zero.
    pub(super) fn payload<'a>(&self, after: &'a [u8]) -> Option<&'a [u8]> {
        let bytes = self.payload_bytes as usize;
        let payload = after.get(..bytes)?;
        let padding = after.get(bytes..padded(bytes))?;
        let sound = crc32c::crc32c(payload) == self.payload_checksum;
        let sound = sound && padding.iter().all(|byte| *byte == 0);
        (sound || mutant::planted(Mutant::TornTailAccepted)).then_some(payload)
    }

    /// Length of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + padded(self.payload_bytes as usize)
    }
}

/// A payload's length with its padding.
pub(super) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

fn header_checksum(segment: u32, offset: u64, bytes: &[u8]) -> u32 {
    let mut place = [0; 12];
    put(&mut place, 0, &segment.to_le_bytes());
    put(&mut place, 4, &offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
}

/// Copies a field to its place, which is within the header.
fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(offset..offset + field.len()) {
        place.copy_from_slice(field);
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().copied().map(u64::from_le_bytes)
}
