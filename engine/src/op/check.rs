//! What every op must keep to, whoever made it: the limits of the record layout that applying relies on.
//!
//! A server refuses at the door what its configuration does not allow; these are the limits behind
//! that, the same on every node. [`Op::encode`] asserts them and the decoder refuses what breaks one, so
//! nothing that comes out of a log can make applying panic.

use thiserror::Error;

use super::{Op, SortedRange};
use crate::key::{Key, Words};
use crate::rule::RuleFault;
use crate::store::record::DATA_BYTES_MAX;
use crate::value::sorted::ScoreBound;

/// What is wrong with an op that no engine can apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpFault {
    /// A key that no record can hold.
    #[error("a key of {0} bytes; at most 65535 are possible")]
    KeyTooLong(usize),
    /// A user name that no record can hold.
    #[error("a user name of {0} bytes; at most 65535 are possible")]
    UserTooLong(usize),
    /// Session data that no record can hold.
    #[error("session data of {0} bytes; at most {DATA_BYTES_MAX} are possible")]
    DataTooLong(usize),
    /// A name without a value.
    #[error("{0} words, which are not pairs")]
    OddPairs(usize),
    /// A score that is not a number.
    #[error("a score that is not a number")]
    ScoreNotANumber,
    /// A rule that cannot be kept.
    #[error("an index rule that is none: {0}")]
    Rule(RuleFault),
    /// A database there is not.
    #[error("database {0}; there are 16")]
    NoSuchDatabase(u8),
}

impl Op<'_> {
    /// Whether an engine can apply it, whatever its configuration.
    ///
    /// # Errors
    /// The first [`OpFault`] found: applying the op might panic, or do half of it.
    pub fn check(&self) -> Result<(), OpFault> {
        match self {
            Self::Set { key, owner, .. } => {
                owner.map_or(Ok(()), user)?;
                name(key)
            }
            Self::SetMany { db, pairs, .. } => {
                database(*db)?;
                even(*pairs)?;
                pairs.pairs().try_for_each(|(key, _)| key_bytes(key))
            }
            Self::Delete { db, keys } => {
                database(*db)?;
                keys.iter().try_for_each(key_bytes)
            }
            Self::Flush { db } => db.map_or(Ok(()), database),
            Self::Rename { from, to, .. }
            | Self::Copy { from, to, .. }
            | Self::SetMove { from, to, .. }
            | Self::ListMove { from, to, .. } => name(from).and_then(|()| name(to)),
            Self::Unchanged { keys } => keys.iter().try_for_each(|(key, _)| name(key)),
            Self::HashSet { key, pairs, .. } => even(*pairs).and_then(|()| name(key)),
            Self::SetStore { destination, sources, .. } => {
                name(destination)?;
                sources.iter().try_for_each(key_bytes)
            }
            Self::SortedAdd { key, members, .. } => {
                members.iter().try_for_each(|(score, _)| number(*score))?;
                name(key)
            }
            Self::SortedRemoveRange { key, range } => {
                if let SortedRange::Score(lower, upper) = range {
                    bound(lower).and_then(|()| bound(upper))?;
                }
                name(key)
            }
            Self::Restore { key, .. }
            | Self::Append { key, .. }
            | Self::SetRange { key, .. }
            | Self::Increment { key, .. }
            | Self::IncrementFloat { key, .. }
            | Self::GetDelete { key }
            | Self::GetExpire { key, .. }
            | Self::Expire { key, .. }
            | Self::Persist { key }
            | Self::HashDelete { key, .. }
            | Self::HashIncrement { key, .. }
            | Self::HashIncrementFloat { key, .. }
            | Self::SetAdd { key, .. }
            | Self::SetRemove { key, .. }
            | Self::SetPop { key, .. }
            | Self::SortedRemove { key, .. }
            | Self::SortedPop { key, .. }
            | Self::ListPush { key, .. }
            | Self::ListPop { key, .. }
            | Self::ListTrim { key, .. }
            | Self::ListRemove { key, .. }
            | Self::ListSet { key, .. }
            | Self::ListInsert { key, .. } => name(key),
            Self::SessionCreate { user: whose, data: bytes, meta, .. } => {
                user(whose)?;
                data(bytes)?;
                even(*meta)
            }
            Self::SessionSave { data: bytes, .. } => data(bytes),
            Self::SessionMeta { fields, .. } => even(*fields),
            Self::SessionRevokeOwned { user: whose, .. }
            | Self::SessionRevokeUser { user: whose, .. } => user(whose),
            Self::Registers { .. }
            | Self::SessionTouch { .. }
            | Self::SessionReauthenticate { .. }
            | Self::SessionRotate { .. }
            | Self::SessionRevoke { .. }
            | Self::SessionRevokeAll => Ok(()),
            Self::RuleSet { rule } => rule.check().map_err(OpFault::Rule),
            Self::RuleDelete { name } => user(name),
            Self::RuleIndex { keys, .. } => keys.iter().try_for_each(name),
        }
    }
}

fn name(key: &Key<'_>) -> Result<(), OpFault> {
    key_bytes(key.bytes())
}

fn key_bytes(key: &[u8]) -> Result<(), OpFault> {
    u16::try_from(key.len()).map(|_| ()).map_err(|_| OpFault::KeyTooLong(key.len()))
}

fn user(name: &[u8]) -> Result<(), OpFault> {
    u16::try_from(name.len()).map(|_| ()).map_err(|_| OpFault::UserTooLong(name.len()))
}

fn data(bytes: &[u8]) -> Result<(), OpFault> {
    if bytes.len() <= DATA_BYTES_MAX { Ok(()) } else { Err(OpFault::DataTooLong(bytes.len())) }
}

fn even(words: Words<'_>) -> Result<(), OpFault> {
    if words.len().is_multiple_of(2) { Ok(()) } else { Err(OpFault::OddPairs(words.len())) }
}

fn number(score: f64) -> Result<(), OpFault> {
    if score.is_nan() { Err(OpFault::ScoreNotANumber) } else { Ok(()) }
}

fn bound(bound: &ScoreBound) -> Result<(), OpFault> {
    number(bound.score)
}

fn database(db: u8) -> Result<(), OpFault> {
    if db < crate::key::DATABASES { Ok(()) } else { Err(OpFault::NoSuchDatabase(db)) }
}
