//! RDB, the format in which Redis writes values: what DUMP answers and RESTORE takes.
//!
//! [`read_value`] reads a value from a [`Cursor`] over bytes at hand, in any encoding up to RDB version 11
//! (Redis 7.2); [`write_value`] writes the few encodings that every Redis since 4.0 reads. [`payload`] puts
//! a value into the frame of DUMP. Reading order: `cursor`, `string`, then `read` and the packed forms it
//! takes apart (`listpack`, `ziplist`, `intset`, `zipmap`).
//!
//! What is read may be hostile. Nothing here panics, nothing is allocated by a length that the bytes at
//! hand do not back, and a value that is no value is refused as a whole. No I/O: whoever reads a file or a
//! socket gathers bytes and, at [`RdbError::Truncated`], begins the value again with more of them. Absent:
//! streams and modules, which are refused by name.

mod crc64;
mod cursor;
mod intset;
mod listpack;
mod lzf;
pub mod payload;
mod read;
mod string;
mod write;
mod ziplist;
mod zipmap;

pub use crc64::crc64;
pub use cursor::Cursor;
pub use read::{Limits, Value, read_value};
pub use write::{kind_of, write_value};

use thiserror::Error;

/// The last version of the format that is read: Redis 7.2's.
pub const VERSION_MAX: u16 = 11;

/// The bytes that say how a value is written. They stand in front of it: in DUMP at once, in a file with
/// the key in between.
pub mod kind {
    /// A string.
    pub const STRING: u8 = 0;
    /// A list, one string after the other.
    pub const LIST: u8 = 1;
    /// A set, one string after the other.
    pub const SET: u8 = 2;
    /// A sorted set with scores as text.
    pub const SORTED_TEXT: u8 = 3;
    /// A hash, field and value in turn.
    pub const HASH: u8 = 4;
    /// A sorted set with scores as doubles.
    pub const SORTED: u8 = 5;
    /// A module's value, in the form of unstable versions.
    pub const MODULE_OLD: u8 = 6;
    /// A module's value.
    pub const MODULE: u8 = 7;
    /// A hash as one zipmap.
    pub const HASH_ZIPMAP: u8 = 9;
    /// A list as one ziplist.
    pub const LIST_ZIPLIST: u8 = 10;
    /// A set as one array of integers.
    pub const SET_INTSET: u8 = 11;
    /// A sorted set as one ziplist.
    pub const SORTED_ZIPLIST: u8 = 12;
    /// A hash as one ziplist.
    pub const HASH_ZIPLIST: u8 = 13;
    /// A list as ziplists.
    pub const LIST_ZIPLISTS: u8 = 14;
    /// A stream, as of Redis 5.
    pub const STREAM: u8 = 15;
    /// A hash as one listpack.
    pub const HASH_LISTPACK: u8 = 16;
    /// A sorted set as one listpack.
    pub const SORTED_LISTPACK: u8 = 17;
    /// A list as listpacks and single strings.
    pub const LIST_LISTPACKS: u8 = 18;
    /// A stream, as of Redis 7.0.
    pub const STREAM_2: u8 = 19;
    /// A set as one listpack.
    pub const SET_LISTPACK: u8 = 20;
    /// A stream, as of Redis 7.2.
    pub const STREAM_3: u8 = 21;
}

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RdbError {
    /// They end within the value.
    #[error("the value is cut short")]
    Truncated,
    /// Bytes follow the value.
    #[error("bytes follow the value")]
    Trailing,
    /// A part is not what the format allows there.
    #[error("{0}")]
    Malformed(&'static str),
    /// No kind of value up to version 11 has this number.
    #[error("kind {0} is unknown")]
    UnknownKind(u8),
    /// A kind of value that this store does not have.
    #[error("{0} are not supported")]
    Unsupported(&'static str),
    /// A field or member occurs twice.
    #[error("an element is repeated")]
    Duplicate,
    /// A collection without elements.
    #[error("a collection without elements")]
    Empty,
    /// A string or element is longer than allowed.
    #[error("an element is longer than allowed")]
    ElementTooLong,
    /// All elements together are larger than allowed.
    #[error("the value is larger than allowed")]
    ValueTooLarge,
    /// The payload was written by a later version.
    #[error("version {0} of the format; version {VERSION_MAX} is the last that is read")]
    Version(u16),
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
}
