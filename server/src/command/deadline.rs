//! Times to live and deadlines as Redis commands write them, turned into absolute stamps.

use hallpass_engine::Stamp;

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

    /// The deadline that `value` stands for, in milliseconds since the epoch; it may lie in the past or
    /// before the epoch. `None` when it leaves the range Redis allows.
    pub fn deadline_millis(self, value: i64, now: Stamp) -> Option<i64> {
        let millis = match self {
            Self::InMillis | Self::AtMillis => value,
            Self::InSeconds | Self::AtSeconds => value.checked_mul(1000)?,
        };
        match self {
            Self::InSeconds | Self::InMillis => millis.checked_add(now.millis() as i64),
            Self::AtSeconds | Self::AtMillis => Some(millis),
        }
    }
}

/// The deadline of a command that stores something (SET, SETEX, GETEX): a positive integer, as the word
/// at `index`, or `ERR invalid expire time in '...' command`.
pub fn positive(
    request: &Request<'_>,
    index: usize,
    when: When,
    now: Stamp,
) -> Result<Stamp, CommandError> {
    let value = request.integer(index)?;
    if value <= 0 {
        return Err(CommandError::InvalidExpire);
    }
    when.deadline_millis(value, now).map(stamp).ok_or(CommandError::InvalidExpire)
}

/// The deadline of EXPIRE and its kin: any integer; one in the past ends the key.
pub fn any(
    request: &Request<'_>,
    index: usize,
    when: When,
    now: Stamp,
) -> Result<Stamp, CommandError> {
    let value = request.integer(index)?;
    when.deadline_millis(value, now).map(stamp).ok_or(CommandError::InvalidExpire)
}

fn stamp(millis: i64) -> Stamp {
    Stamp::from_millis(u64::try_from(millis).unwrap_or(0))
}
