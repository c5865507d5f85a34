//! The keyed hasher of hashes, sets and sorted sets.
//!
//! Fields and members are chosen by clients, so the tables that hold them use SipHash-1-3 under a key
//! that clients do not know: colliding names cannot be prepared in advance. The order of iteration never
//! depends on the key (indexmap keeps insertion order), so nodes may each have their own.

use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// The key of the hash function, given once when a value is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValueSeed {
    /// First half of the key.
    pub low: u64,
    /// Second half of the key.
    pub high: u64,
}

impl ValueSeed {
    /// A key from its two halves; a server draws them from the operating system at start.
    pub fn new(low: u64, high: u64) -> Self {
        Self { low, high }
    }
}

impl BuildHasher for ValueSeed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.low, self.high)
    }
}
