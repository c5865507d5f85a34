//! The values behind hash, set, sorted set and list keys, and the numbers in string values.
//!
//! Pure data structures with the behaviour of Redis 7.2: no I/O, no clock, no randomness (where a
//! choice is random the caller passes a seed), and one order of elements on every machine, so that
//! nodes applying the same operations hold the same values. A value's byte form carries all of its
//! state, encoding and order included. Strings are kept in records and have no type here.

mod collection;
mod hash;
mod list;
mod memory;
pub mod number;
mod packed;
mod random;
mod seed;
mod set;
pub mod sorted;
mod wire;

pub use collection::{Collection, Kind};
pub use hash::{Fields, HashValue};
pub use list::{ListValue, PositionQuery};
pub use number::{IncrementError, LongDouble};
pub use seed::ValueSeed;
pub use set::{Member, Members, SetValue};
pub use sorted::SortedValue;
pub use wire::DecodeError;

/// Most entries of a listpack, for sets and sorted sets: the default of Redis'
/// `*-max-listpack-entries`; also the most fields of a packed hash.
const LISTPACK_ENTRIES_MAX: usize = 128;

/// Longest element of a listpack: the default of `*-max-listpack-value`.
const LISTPACK_ELEMENT_BYTES_MAX: usize = 64;

/// Up to this many entries a removal keeps the order of the others; above it would cost too much.
const ORDERED_REMOVAL_ENTRIES_MAX: usize = 128;
