//! One entry of a snapshot as bytes.
//!
//! ```text
//! kind u8 | fields by kind; numbers are varints (LEB128), byte strings have their length before them
//!   0 string      database key deadline owner value
//!   1 collection  database key deadline owner collection
//!   2 session     hash[16] user generation created seen authenticated idle lifetime version meta data
//!   3 alias       hash[16] hash[16] created deadline
//!   4 rules       index rules and what is to be indexed: once, in front of all others
//!   5 register    name value
//!   6 registers   version
//! owner: 0, or 1 user generation.  deadline: milliseconds, 2^44 - 1 for never
//! ```

use crate::key::SessionHash;
use crate::op::Limits;
use crate::rule::fence::Fence;
use crate::session::limits::LimitsTable;
use crate::store::record::{Kind, Record};
use crate::time::Stamp;
use crate::varint;

/// The kind of the entry that is no record.
const RULES: u8 = 4;
/// The mark of a register.
const REGISTER: u8 = 5;
/// The mark of what registers have in common.
const REGISTERS: u8 = 6;

/// An entry read back, borrowed from the snapshot's bytes.
pub(crate) enum Entry<'a> {
    Plain {
        db: u8,
        key: &'a [u8],
        deadline: Stamp,
        owner: Option<(&'a [u8], u64)>,
        value: &'a [u8],
        is_collection: bool,
    },
    Session(SessionEntry<'a>),
    Alias {
        id: SessionHash,
        stands_for: SessionHash,
        /// When that session began.
        created: Stamp,
        deadline: Stamp,
    },
    Rules(&'a [u8]),
    Register {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// What they have in common.
    Registers {
        version: u64,
    },
}

/// A session read back.
pub(crate) struct SessionEntry<'a> {
    pub(crate) id: SessionHash,
    pub(crate) user: &'a [u8],
    pub(crate) generation: u64,
    pub(crate) created: Stamp,
    pub(crate) seen: Stamp,
    pub(crate) authenticated: Stamp,
    pub(crate) limits: Limits,
    pub(crate) version: u32,
    pub(crate) meta: &'a [u8],
    pub(crate) data: &'a [u8],
}

impl Entry<'_> {
    /// The generation of its user, 0 without one: never past what the store had drawn.
    pub(super) fn generation(&self) -> u64 {
        match self {
            Self::Plain { owner, .. } => owner.map_or(0, |(_, generation)| generation),
            Self::Session(session) => session.generation,
            Self::Alias { .. }
            | Self::Rules(_)
            | Self::Register { .. }
            | Self::Registers { .. } => 0,
        }
    }
}

/// Appends a record.
pub(crate) fn encode(record: Record, limits: &LimitsTable, out: &mut Vec<u8>) {
    out.push(record.kind() as u8);
    match record.kind() {
        Kind::String | Kind::Collection => {
            out.push(record.db());
            varint::push_bytes(out, record.key_bytes());
            varint::push(out, record.deadline().millis());
            match record.owner_parts() {
                None => out.push(0),
                Some((name, generation)) => {
                    out.push(1);
                    varint::push_bytes(out, name);
                    varint::push(out, generation);
                }
            }
            if record.kind() == Kind::Collection {
                let mut encoded = Vec::new();
                record.as_collection().encode_into(&mut encoded);
                varint::push_bytes(out, &encoded);
            } else {
                varint::push_bytes(out, record.value());
            }
        }
        Kind::Session => {
            let (seen, number) = record.seen();
            let limits = limits.get(number);
            out.extend_from_slice(&record.session_hash().0);
            let (name, generation) = record.owner_parts().unwrap_or_default();
            varint::push_bytes(out, name);
            varint::push(out, generation);
            varint::push(out, record.created().millis());
            varint::push(out, seen.millis());
            varint::push(out, record.authenticated().millis());
            varint::push(out, u64::from(limits.idle_seconds));
            varint::push(out, u64::from(limits.lifetime_seconds));
            varint::push(out, u64::from(record.version()));
            varint::push_bytes(out, record.meta());
            varint::push_bytes(out, record.data());
        }
        Kind::Alias => {
            out.extend_from_slice(&record.session_hash().0);
            out.extend_from_slice(&record.stands_for().0);
            varint::push(out, record.created().millis());
            varint::push(out, record.deadline().millis());
        }
    }
}

/// Appends the fence that a dead record stands for.
pub(crate) fn encode_fence(fence: &Fence, out: &mut Vec<u8>) {
    out.push(Kind::Alias as u8);
    out.extend_from_slice(&fence.id.0);
    out.extend_from_slice(&fence.mark().0);
    varint::push(out, Stamp::NEVER.millis());
    varint::push(out, fence.until.millis());
}

/// Appends the rules.
pub(crate) fn encode_rules(rules: &[u8], out: &mut Vec<u8>) {
    out.push(RULES);
    varint::push_bytes(out, rules);
}

/// Appends a register.
pub(super) fn encode_register(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.push(REGISTER);
    varint::push_bytes(out, name);
    varint::push_bytes(out, value);
}

/// Appends what registers have in common.
pub(super) fn encode_registers(version: u64, out: &mut Vec<u8>) {
    out.push(REGISTERS);
    varint::push(out, version);
}

/// Takes one entry off the front; `None` when the bytes are not one.
pub(crate) fn decode<'a>(rest: &mut &'a [u8]) -> Option<Entry<'a>> {
    let kind = take::<1>(rest)?[0];
    Some(match kind {
        0 | 1 => Entry::Plain {
            db: take::<1>(rest)?[0],
            key: varint::take_bytes(rest)?,
            deadline: take_stamp(rest)?,
            owner: match take::<1>(rest)?[0] {
                0 => None,
                1 => Some((varint::take_bytes(rest)?, varint::take(rest)?)),
                _ => return None,
            },
            value: varint::take_bytes(rest)?,
            is_collection: kind == 1,
        },
        2 => Entry::Session(SessionEntry {
            id: SessionHash(take(rest)?),
            user: varint::take_bytes(rest)?,
            generation: varint::take(rest)?,
            created: take_stamp(rest)?,
            seen: take_stamp(rest)?,
            authenticated: take_stamp(rest)?,
            limits: Limits {
                idle_seconds: u32::try_from(varint::take(rest)?).ok()?,
                lifetime_seconds: u32::try_from(varint::take(rest)?).ok()?,
            },
            version: u32::try_from(varint::take(rest)?).ok()?,
            meta: varint::take_bytes(rest)?,
            data: varint::take_bytes(rest)?,
        }),
        3 => Entry::Alias {
            id: SessionHash(take(rest)?),
            stands_for: SessionHash(take(rest)?),
            created: take_stamp(rest)?,
            deadline: take_stamp(rest)?,
        },
        RULES => Entry::Rules(varint::take_bytes(rest)?),
        REGISTER => {
            Entry::Register { name: varint::take_bytes(rest)?, value: varint::take_bytes(rest)? }
        }
        REGISTERS => Entry::Registers { version: varint::take(rest)? },
        _ => return None,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

fn take_stamp(rest: &mut &[u8]) -> Option<Stamp> {
    let millis = varint::take(rest)?;
    (millis <= Stamp::NEVER.millis()).then(|| Stamp::from_millis(millis))
}
