//! Times to live and deadlines as Redis commands write them.
//!
//! What is counted from now stays so until the op is applied, at the log's time: a node whose clock is off
//! then gives a key no more and no less time than any other.

use hallpass_engine::{Due, Stamp};

use super::error::CommandError;
use super::request::Request;

/// How a word says when something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// EX: seconds from now.
    InSeconds,
    /// PX: milliseconds from now.
    InMillis,
    /// EXAT: seconds since the Unix epoch.
    AtSeconds,
    /// PXAT: milliseconds since the Unix epoch.
    AtMillis,
}

impl When {
    /// The meaning of one of the options EX, PX, EXAT and PXAT, in any case.
    pub fn option(word: &[u8]) -> Option<Self> {
        [
            ("ex", Self::InSeconds),
            ("px", Self::InMillis),
            ("exat", Self::AtSeconds),
            ("pxat", Self::AtMillis),
        ]
        .into_iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, when)| when)
    }

    /// The deadline that `value` stands for; it may lie in the past. `None` when it leaves the range Redis
    /// allows, which for a time to live depends on `now`.
    pub fn due(self, value: i64, now: Stamp) -> Option<Due> {
        let millis = match self {
            Self::InMillis | Self::AtMillis => value,
            Self::InSeconds | Self::AtSeconds => value.checked_mul(1000)?,
        };
        let at = match self {
            Self::InSeconds | Self::InMillis => millis.checked_add(now.millis() as i64)?,
            Self::AtSeconds | Self::AtMillis => millis,
        };
        Some(match (self, u64::try_from(millis)) {
            (Self::InSeconds | Self::InMillis, Ok(after)) => Due::After(after),
            _ => Due::At(Stamp::from_millis(u64::try_from(at).unwrap_or(0))),
        })
    }
}

/// The deadline of a command that stores something (SET, SETEX, GETEX): a positive integer, as the word
/// at `index`, or `ERR invalid expire time in '...' command`.
pub fn positive(
    request: &Request<'_>,
    index: usize,
    when: When,
    now: Stamp,
) -> Result<Due, CommandError> {
    let value = request.integer(index)?;
    if value <= 0 {
        return Err(CommandError::InvalidExpire);
    }
    when.due(value, now).ok_or(CommandError::InvalidExpire)
}

/// The deadline of EXPIRE and its kin: any integer; one in the past ends the key.
pub fn any(
    request: &Request<'_>,
    index: usize,
    when: When,
    now: Stamp,
) -> Result<Due, CommandError> {
    let value = request.integer(index)?;
    when.due(value, now).ok_or(CommandError::InvalidExpire)
}
