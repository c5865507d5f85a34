//! What an op came to. Expected refusals are values, not errors: a caller renders them, a log replays
//! them, and the same op on the same state gives the same outcome on every node.

use crate::key::SessionHash;
use crate::time::Stamp;

/// The result of one [`crate::Op`]; each op says which of these it gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It happened; there is nothing to tell.
    Done,
    /// A condition kept it from happening.
    Skipped,
    /// Nothing there.
    Nil,
    /// A count, a length or a version.
    Integer(i64),
    /// A score.
    Float(f64),
    /// Whether it happened.
    Flag(bool),
    /// A value.
    Bytes(Vec<u8>),
    /// Values.
    List(Vec<Vec<u8>>),
    /// Members with scores.
    ScoredList(Vec<(Vec<u8>, f64)>),
    /// A session that was made, rotated or re-authenticated.
    Session(SessionBrief),
    /// It was refused; the store is unchanged.
    Refused(Refusal),
}

/// What a caller is told of a session it just made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBrief {
    /// The hash of its id, which is its handle.
    pub handle: SessionHash,
    /// When the session began; a rotation keeps it.
    pub created: Stamp,
    /// When it ends if nobody touches it; [`Stamp::NEVER`] without limits.
    pub expires: Stamp,
}

/// Why an op was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key holds another kind of value.
    WrongType,
    /// The value is no 64-bit integer.
    NotAnInteger,
    /// The value is no number.
    NotAFloat,
    /// The integer would leave the range of 64 bits.
    Overflow,
    /// The sum would be not a number or infinite.
    NotFinite,
    /// The hash field is no 64-bit integer.
    HashValueNotAnInteger,
    /// The hash field is no number.
    HashValueNotAFloat,
    /// A score would become not a number (infinity minus infinity).
    ScoreNotANumber,
    /// There is no such key.
    NoSuchKey,
    /// There is such a key already, and it is not to be replaced.
    KeyExists,
    /// The bytes of a whole value are none.
    Malformed,
    /// The list has no such index.
    IndexOutOfRange,
    /// A string would grow past the configured maximum.
    StringTooLong,
    /// A session's metadata would grow past the configured maximum.
    MetaTooLong,
    /// Source and destination are the same object.
    SameKey,
    /// `maxmemory` is reached and the policy evicts nothing (more).
    OutOfMemory,
    /// There would be more registers, or larger ones, than an engine holds.
    TooManyRegisters,
    /// A shard has no free slot left.
    TooManyEntries,
    /// There is no live session under this id.
    NoSession,
    /// The session's version is another one; the present one is given.
    VersionMismatch(u32),
    /// A session of this id exists already; creating never overwrites (requirement R2).
    SessionExists,
    /// The key was ended a moment ago, and its rule answers writes with this.
    Revoked,
    /// There are as many index rules as there may be.
    TooManyRules,
    /// The user has as many sessions as the cap allows; how many is given.
    SessionLimit(u32),
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
