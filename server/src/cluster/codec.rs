//! Bytes for what openraft hands around: votes, log ids, members, small requests; and for log entries.
//!
//! This is the only file that knows bincode. It is unmaintained (RUSTSEC-2025-0141), complete, and does
//! what is wanted here: small records written and read by the same program, behind checksums and
//! length limits of our own. Entries, which are most of the bytes, are laid out by hand so that payloads
//! are never copied:
//!
//! ```text
//! stored     term u64  kind u8 (0 blank, 1 normal, 2 membership)  payload
//! append     head length u32, head (bincode: vote, previous, committed)
//!            entries: index u64, length u32, stored form
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::types::{
    CommittedLeaderId, Entry, EntryPayload, LogId, Membership, Payload, TypeConfig, Vote,
};

/// No record of ours is longer; a length that says otherwise is damage.
pub(crate) const RECORD_BYTES_MAX: usize = 16 << 20;

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    /// A record that bincode does not take.
    #[error("a cluster record does not decode: {0}")]
    Record(#[from] bincode::error::DecodeError),
    /// An entry or request that ends too early or has an unknown kind.
    #[error("a log entry or append request is malformed")]
    Malformed,
}

impl From<CodecError> for std::io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<RECORD_BYTES_MAX>()
}

/// A small record as bytes.
pub(crate) fn encode<T: Serialize>(record: &T) -> Bytes {
    bincode::serde::encode_to_vec(record, configuration())
        .expect("records of this program serialize into memory")
        .into()
}

/// A small record from all of `bytes`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (record, taken) = bincode::serde::decode_from_slice(bytes, configuration())?;
    if taken == bytes.len() { Ok(record) } else { Err(CodecError::Malformed) }
}

/// An entry as the log stores it; its index is the log's own.
pub(crate) fn encode_entry(entry: &Entry) -> Bytes {
    let mut bytes = BytesMut::with_capacity(entry_bytes(entry));
    put_entry(&mut bytes, entry);
    bytes.freeze()
}

fn entry_bytes(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Normal(payload) => payload.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    9 + payload
}

fn put_entry(bytes: &mut BytesMut, entry: &Entry) {
    bytes.put_u64_le(term_of(&entry.log_id));
    match &entry.payload {
        EntryPayload::Blank => bytes.put_u8(BLANK),
        EntryPayload::Normal(payload) => {
            bytes.put_u8(NORMAL);
            bytes.extend_from_slice(&payload.0);
        }
        EntryPayload::Membership(membership) => {
            bytes.put_u8(MEMBERSHIP);
            bytes.extend_from_slice(&encode(membership));
        }
    }
}

/// The entry at `index` from its stored form. A normal payload shares the bytes' memory.
pub(crate) fn decode_entry(index: u64, mut bytes: Bytes) -> Result<Entry, CodecError> {
    if bytes.len() < 9 {
        return Err(CodecError::Malformed);
    }
    let log_id = log_id(bytes.get_u64_le(), index);
    let payload = match bytes.get_u8() {
        BLANK if bytes.is_empty() => EntryPayload::Blank,
        NORMAL => EntryPayload::Normal(Payload(bytes)),
        MEMBERSHIP => EntryPayload::Membership(decode::<Membership>(&bytes)?),
        _ => return Err(CodecError::Malformed),
    };
    Ok(Entry::new(log_id, payload))
}

/// The term of a log id.
pub(crate) fn term_of(log_id: &LogId) -> u64 {
    *log_id.leader_id
}

/// A log id of a term.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId::new(term), index }
}

#[derive(Serialize, Deserialize)]
struct AppendHead {
    vote: Vote,
    previous: Option<LogId>,
    committed: Option<LogId>,
}

/// An append request as bytes.
pub(crate) fn encode_append(request: &AppendEntriesRequest<TypeConfig>) -> Bytes {
    let head = encode(&AppendHead {
        vote: request.vote,
        previous: request.prev_log_id,
        committed: request.leader_commit,
    });
    let length: usize = request.entries.iter().map(|entry| 12 + entry_bytes(entry)).sum();
    let mut bytes = BytesMut::with_capacity(4 + head.len() + length);
    bytes.put_u32_le(head.len() as u32);
    bytes.extend_from_slice(&head);
    for entry in &request.entries {
        bytes.put_u64_le(entry.log_id.index);
        let length_at = bytes.len();
        bytes.put_u32_le(0);
        put_entry(&mut bytes, entry);
        let length = (bytes.len() - length_at - 4) as u32;
        bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }
    bytes.freeze()
}

/// An append request from bytes; its payloads share their memory.
pub(crate) fn decode_append(
    mut bytes: Bytes,
) -> Result<AppendEntriesRequest<TypeConfig>, CodecError> {
    let head = take_block(&mut bytes)?;
    let head: AppendHead = decode(&head)?;
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        if bytes.len() < 8 {
            return Err(CodecError::Malformed);
        }
        let index = bytes.get_u64_le();
        let stored = take_block(&mut bytes)?;
        entries.push(decode_entry(index, stored)?);
    }
    Ok(AppendEntriesRequest {
        vote: head.vote,
        prev_log_id: head.previous,
        entries,
        leader_commit: head.committed,
    })
}

/// Bytes behind their length in 32 bits.
pub(crate) fn take_block(bytes: &mut Bytes) -> Result<Bytes, CodecError> {
    if bytes.len() < 4 {
        return Err(CodecError::Malformed);
    }
    let length = bytes.get_u32_le() as usize;
    if bytes.len() < length {
        return Err(CodecError::Malformed);
    }
    Ok(bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openraft::vote::{RaftLeaderId, RaftVote};

    use super::*;
    use crate::cluster::types::Member;

    fn entries() -> Vec<Entry> {
        let members = BTreeMap::from([
            (1, Member { address: "127.0.0.1:7001".into() }),
            (2, Member { address: "127.0.0.1:7002".into() }),
        ]);
        let membership = Membership::new(vec![members.keys().copied().collect()], members)
            .expect("every voter has an address");
        vec![
            Entry::new(log_id(1, 4), EntryPayload::Blank),
            Entry::new(log_id(7, 5), EntryPayload::Normal(Payload(Bytes::from_static(b"payload")))),
            Entry::new(log_id(7, 6), EntryPayload::Membership(membership)),
        ]
    }

    #[test]
    fn entries_come_back_from_their_stored_form() {
        for entry in entries() {
            let stored = encode_entry(&entry);
            let read = decode_entry(entry.log_id.index, stored.clone()).expect("an entry");
            assert_eq!(read, entry);
            for length in 0..9 {
                assert!(decode_entry(1, stored.slice(..length)).is_err());
            }
        }
    }

    #[test]
    fn append_requests_come_back_and_cut_ones_are_refused() {
        let request = AppendEntriesRequest::<TypeConfig> {
            vote: Vote::from_leader_id(openraft::impls::leader_id_std::LeaderId::new(7, 2), true),
            prev_log_id: Some(log_id(1, 3)),
            entries: entries(),
            leader_commit: Some(log_id(1, 2)),
        };
        let bytes = encode_append(&request);
        let read = decode_append(bytes.clone()).expect("a request");
        assert_eq!(format!("{read:?}"), format!("{request:?}"));
        assert_eq!(read.entries, request.entries);
        let whole = (0..bytes.len()).filter(|&length| decode_append(bytes.slice(..length)).is_ok());
        // Cut between two entries it is a shorter request: frames carry the length.
        assert_eq!(whole.count(), request.entries.len());
    }
}
