//! Any value that is not a string.

use super::HashValue;

/// A hash, set, sorted set or list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Collection {
    /// Fields with values.
    Hash(HashValue),
}
