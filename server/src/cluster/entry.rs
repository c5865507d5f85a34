//! What a log entry's payload holds: a stamp, and the submissions that the leader packed together.
//!
//! ```text
//! version u8  stamp u64
//! submissions, one after the other to the end:
//!     node varint  incarnation varint  serial varint  settled varint  ops length varint  ops
//! ```
//!
//! A *submission* is what one connection had to change at one time: ops applied one after the other at
//! one stamp, with nothing in between. Node, incarnation and serial name it for good, so that a
//! submission that was sent again and lies in the log twice is applied once; every serial up to
//! `settled` was answered or given up, and is not to be applied any more.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hallpass_engine::Stamp;

use super::types::NodeId;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 8;
/// The most that a submission's head takes: five varints.
const SUBMISSION_HEAD_BYTES_MAX: usize = 5 * 10;

/// Who submitted: a node, and which of its starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    /// The node.
    pub(crate) node: NodeId,
    /// Counts the node's starts; kept on its disk, so a later start has a larger one.
    pub(crate) incarnation: u64,
}

/// Ops that are applied together, and their name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Submission {
    /// Who submitted it.
    pub(crate) origin: Origin,
    /// Counts the submissions of the origin, from 1.
    pub(crate) serial: u64,
    /// Serials up to here are not awaited any more.
    pub(crate) settled: u64,
    /// The ops, encoded by the engine's codec.
    pub(crate) ops: Bytes,
}

/// Why bytes are no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    /// Written by a later version.
    #[error(
        "a log entry of format version {0}; this program reads version {VERSION}: finish the upgrade"
    )]
    Version(u8),
    /// Not what the encoder writes.
    #[error("a log entry is malformed {0} bytes before its end")]
    Malformed(usize),
}

/// Packs submissions into a payload.
#[derive(Debug)]
pub(crate) struct Packer {
    bytes: BytesMut,
}

impl Packer {
    /// A payload stamped `now`, with nothing in it yet.
    pub(crate) fn new(now: Stamp) -> Self {
        let mut bytes = BytesMut::with_capacity(1024);
        bytes.put_u8(VERSION);
        bytes.put_u64_le(now.millis());
        Self { bytes }
    }

    /// Where submissions are put.
    pub(crate) fn submissions(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// How long the payload is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The payload.
    pub(crate) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// Reads a payload: its stamp, and its submissions one by one.
#[derive(Debug)]
pub(crate) struct Unpacker {
    rest: Bytes,
}

impl Unpacker {
    /// Opens a payload and gives its stamp.
    pub(crate) fn open(payload: Bytes) -> Result<(Stamp, Self), EntryError> {
        let mut rest = payload;
        if rest.len() < HEADER_BYTES {
            return Err(EntryError::Malformed(rest.len()));
        }
        let version = rest.get_u8();
        if version != VERSION {
            return Err(EntryError::Version(version));
        }
        let stamp = Stamp::from_millis(rest.get_u64_le());
        Ok((stamp, Self { rest }))
    }

    /// The next submission; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Submission>, EntryError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let left = self.rest.len();
        take_submission(&mut self.rest).map(Some).ok_or(EntryError::Malformed(left))
    }
}

/// Writes one submission, as it lies in a payload and in a forwarded request.
pub(crate) fn put_submission(
    bytes: &mut BytesMut,
    origin: Origin,
    serial: u64,
    settled: u64,
    ops: &[u8],
) {
    bytes.reserve(SUBMISSION_HEAD_BYTES_MAX + ops.len());
    put_varint(bytes, origin.node);
    put_varint(bytes, origin.incarnation);
    put_varint(bytes, serial);
    put_varint(bytes, settled);
    put_varint(bytes, ops.len() as u64);
    bytes.extend_from_slice(ops);
}

/// Whether bytes are submissions, one after the other to the end.
pub(crate) fn are_submissions(bytes: &Bytes) -> bool {
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        if take_submission(&mut rest).is_none() {
            return false;
        }
    }
    true
}

/// Reads one submission; its ops share the bytes' memory.
pub(crate) fn take_submission(bytes: &mut Bytes) -> Option<Submission> {
    let node = take_varint(bytes)?;
    let incarnation = take_varint(bytes)?;
    let serial = take_varint(bytes)?;
    let settled = take_varint(bytes)?;
    let length = usize::try_from(take_varint(bytes)?).ok()?;
    if length > bytes.len() {
        return None;
    }
    let ops = bytes.split_to(length);
    Some(Submission { origin: Origin { node, incarnation }, serial, settled, ops })
}

/// Writes an unsigned number, seven bits a byte, the lowest first.
pub(crate) fn put_varint(bytes: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        bytes.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.put_u8(number as u8);
}

/// Reads what [`put_varint`] wrote; `None` when the bytes end first or the number has more than 64 bits.
pub(crate) fn take_varint(bytes: &mut Bytes) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        if bytes.is_empty() {
            return None;
        }
        let byte = bytes.get_u8();
        if shift == 63 && byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(serial: u64, ops: &'static [u8]) -> Submission {
        let origin = Origin { node: 3, incarnation: 300 };
        Submission { origin, serial, settled: serial / 2, ops: Bytes::from_static(ops) }
    }

    fn payload(submissions: &[Submission]) -> Bytes {
        let mut packer = Packer::new(Stamp::from_millis(1_700_000_000_123));
        for Submission { origin, serial, settled, ops } in submissions {
            put_submission(packer.submissions(), *origin, *serial, *settled, ops);
        }
        packer.finish()
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let submissions =
            [submission(1, b""), submission(u64::MAX, b"some ops"), submission(7, b"x")];
        let (stamp, mut unpacker) = Unpacker::open(payload(&submissions)).expect("a payload");
        assert_eq!(stamp.millis(), 1_700_000_000_123);
        for submission in &submissions {
            assert_eq!(unpacker.next().as_ref(), Ok(&Some(submission.clone())));
        }
        assert_eq!(unpacker.next(), Ok(None));
    }

    #[test]
    fn a_payload_that_was_cut_is_refused_wherever_it_was_cut() {
        let whole = payload(&[submission(1 << 40, b"twelve bytes")]);
        for length in 0..whole.len() {
            let read =
                Unpacker::open(whole.slice(..length)).and_then(|(_, mut unpacker)| unpacker.next());
            let nothing = length == HEADER_BYTES;
            assert_eq!(read == Ok(None), nothing, "cut to {length}: {read:?}");
            assert!(nothing || read.is_err(), "cut to {length}: {read:?}");
        }
    }

    #[test]
    fn submissions_on_their_own_are_told_from_anything_else() {
        let submissions =
            payload(&[submission(1, b"ops"), submission(2, b"")]).slice(HEADER_BYTES..);
        assert!(are_submissions(&submissions) && are_submissions(&Bytes::new()));
        assert!(!are_submissions(&submissions.slice(..submissions.len() - 1)));
        assert!(!are_submissions(&submissions.slice(1..)));
    }

    #[test]
    fn a_later_version_is_named() {
        let mut bytes = payload(&[]).to_vec();
        bytes[0] = 9;
        assert_eq!(Unpacker::open(bytes.into()).err(), Some(EntryError::Version(9)));
    }

    #[test]
    fn numbers_of_more_than_64_bits_are_refused() {
        let mut bytes =
            Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]);
        assert_eq!(take_varint(&mut bytes), None);
        let mut bytes =
            Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(take_varint(&mut bytes), Some(u64::MAX));
    }
}
