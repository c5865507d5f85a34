//! Refusals of commands, with the texts of Redis 7.2: clients parse them.
//!
//! A [`CommandError`] is cheap to make and to carry; its text is written once, by the dispatcher, which
//! knows the command's name.

use std::borrow::Cow;

use hallpass_engine::Refusal;
use hallpass_engine::value::number::format_i64;

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The engine refused.
    Refused(Refusal),
    /// The words make no sense together.
    Syntax,
    /// A word is no 64-bit integer.
    NotAnInteger,
    /// A word is no number.
    NotAFloat,
    /// An integer lies outside of what the command takes.
    OutOfRange,
    /// An integer that may not be negative is, or is none.
    OutOfRangePositive,
    /// A time to live or deadline that cannot be.
    InvalidExpire,
    /// The number of words does not fit the command.
    WrongArity,
    /// A container has no such subcommand.
    UnknownSubcommand(Box<str>),
    /// A key, value or name is longer than the configuration allows; the setting's name is given.
    TooLong(&'static str),
    /// Authentication is needed first.
    NoAuth,
    /// A subscriber that speaks RESP2 may not send this.
    OnlyListens,
    /// Any other text, its code included.
    Text(Cow<'static, str>),
    /// A text that repeats what the client sent, whatever bytes those are.
    Raw(Vec<u8>),
}

impl From<Refusal> for CommandError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<&'static str> for CommandError {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for CommandError {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl CommandError {
    /// Appends the text of the error, code first; `command` is the full name, such as `client|list`.
    pub fn write_text(&self, command: &str, text: &mut Vec<u8>) {
        let fixed: &str = match self {
            Self::Refused(refusal) => return write_refusal(*refusal, text),
            Self::Syntax => "ERR syntax error",
            Self::NotAnInteger => "ERR value is not an integer or out of range",
            Self::NotAFloat => "ERR value is not a valid float",
            Self::OutOfRange => "ERR value is out of range",
            Self::OutOfRangePositive => "ERR value is out of range, must be positive",
            Self::NoAuth => "NOAUTH Authentication required.",
            Self::Text(fixed) => fixed,
            Self::Raw(bytes) => return text.extend_from_slice(bytes),
            Self::InvalidExpire => {
                return extend(text, &["ERR invalid expire time in '", command, "' command"]);
            }
            Self::WrongArity => {
                return extend(
                    text,
                    &["ERR wrong number of arguments for '", command, "' command"],
                );
            }
            Self::OnlyListens => {
                return extend(
                    text,
                    &[
                        "ERR Can't execute '",
                        command,
                        "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
                         allowed in this context",
                    ],
                );
            }
            Self::UnknownSubcommand(name) => {
                let upper = command.to_ascii_uppercase();
                return extend(
                    text,
                    &["ERR unknown subcommand '", name, "'. Try ", &upper, " HELP."],
                );
            }
            Self::TooLong(setting) => {
                return extend(text, &["ERR argument is longer than '", setting, "' allows"]);
            }
        };
        text.extend_from_slice(fixed.as_bytes());
    }
}

fn extend(text: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        text.extend_from_slice(part.as_bytes());
    }
}

fn write_refusal(refusal: Refusal, text: &mut Vec<u8>) {
    let fixed = match refusal {
        Refusal::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
        Refusal::NotAnInteger => "ERR value is not an integer or out of range",
        Refusal::NotAFloat => "ERR value is not a valid float",
        Refusal::Overflow => "ERR increment or decrement would overflow",
        Refusal::NotFinite => "ERR increment would produce NaN or Infinity",
        Refusal::HashValueNotAnInteger => "ERR hash value is not an integer",
        Refusal::HashValueNotAFloat => "ERR hash value is not a float",
        Refusal::ScoreNotANumber => "ERR resulting score is not a number (NaN)",
        Refusal::NoSuchKey => "ERR no such key",
        Refusal::KeyExists => "BUSYKEY Target key name already exists.",
        Refusal::Malformed => "ERR Bad data format",
        Refusal::IndexOutOfRange => "ERR index out of range",
        Refusal::MetaTooLong => "ERR argument is longer than 'meta-bytes-max' allows",
        Refusal::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        Refusal::SameKey => "ERR source and destination objects are the same",
        Refusal::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
        Refusal::TooManyRegisters => "ERR there is no room for more users or rules",
        Refusal::TooManyEntries => "ERR no room for another key: a shard of the store is full",
        Refusal::NoSession => "NOSESSION no such session",
        Refusal::SessionExists => "SESSIONEXISTS a session with this id exists already",
        Refusal::VersionMismatch(version) => {
            text.extend_from_slice(b"VERSION the session has moved on to version ");
            return text.extend_from_slice(format_i64(version.into()).as_bytes());
        }
        Refusal::Revoked => "REVOKED the session of this key was ended a moment ago",
        Refusal::TooManyRules => "ERR there are as many index rules as there may be",
        Refusal::SessionLimit(sessions) => {
            text.extend_from_slice(b"SESSIONLIMIT the user has as many sessions as allowed: ");
            return text.extend_from_slice(format_i64(sessions.into()).as_bytes());
        }
    };
    text.extend_from_slice(fixed.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_redis() {
        let cases: [(CommandError, &str, &str); 6] = [
            (CommandError::WrongArity, "get", "ERR wrong number of arguments for 'get' command"),
            (
                CommandError::WrongArity,
                "client|setname",
                "ERR wrong number of arguments for 'client|setname' command",
            ),
            (
                CommandError::UnknownSubcommand("x".into()),
                "client",
                "ERR unknown subcommand 'x'. Try CLIENT HELP.",
            ),
            (CommandError::InvalidExpire, "set", "ERR invalid expire time in 'set' command"),
            (
                Refusal::WrongType.into(),
                "get",
                "WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            (
                Refusal::VersionMismatch(7).into(),
                "session.set",
                "VERSION the session has moved on to version 7",
            ),
        ];
        for (error, command, expected) in cases {
            let mut text = Vec::new();
            error.write_text(command, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }
}
