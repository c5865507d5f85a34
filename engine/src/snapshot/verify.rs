//! Checking a snapshot without an engine: a node does so before it empties its store for it.

use super::RestoreError;
use super::entry::Entry;
use super::framing::{Framing, Sink};
use crate::engine::SizeLimits;
use crate::key::DATABASES;
use crate::register::{REGISTER_NAME_BYTES_MAX, REGISTER_VALUE_BYTES_MAX};
use crate::rule::registry;
use crate::time::Stamp;
use crate::value::{Collection, ValueSeed};

/// Reads a snapshot and stores nothing: what it finds no fault with, an empty engine with the same limits
/// takes, unless a key or session is in it twice, which no engine writes.
pub struct Verifier {
    framing: Framing,
    checker: Checker,
}

struct Checker(SizeLimits);

impl Verifier {
    /// A verifier for an engine with these limits.
    pub fn new(sizes: &SizeLimits) -> Self {
        Self { framing: Framing::new(), checker: Checker(*sizes) }
    }

    /// Checks the next bytes, a piece of any length. Holds one block at the most.
    ///
    /// # Errors
    /// A [`RestoreError`] that says what is wrong; it stays wrong.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.framing.feed(bytes, &mut self.checker)
    }

    /// The end of the bytes: the stamp the snapshot was taken at, if they were a whole one.
    ///
    /// # Errors
    /// What was wrong with it; [`RestoreError::Truncated`] when its end is not there.
    pub fn finish(self) -> Result<Stamp, RestoreError> {
        self.framing.finish()
    }
}

impl Sink for Checker {
    fn begin(&mut self, _: u64) {}

    fn entry(&mut self, entry: &Entry<'_>, _: Stamp, at: usize) -> Result<(), RestoreError> {
        check(entry, &self.0, at)?;
        if let Entry::Plain { value, is_collection: true, .. } = entry {
            Collection::decode(value, ValueSeed::default())
                .map_err(|_| RestoreError::Damaged(at))?;
        }
        Ok(())
    }
}

/// Whether an engine with these limits may hold the entry.
pub(super) fn check(entry: &Entry<'_>, sizes: &SizeLimits, at: usize) -> Result<(), RestoreError> {
    let fits = match entry {
        Entry::Plain { db, key, owner, value, is_collection, .. } => {
            if *db >= DATABASES {
                return Err(RestoreError::Damaged(at));
            }
            // The limit on values bounds each string and element, so not a collection's whole form.
            let value_bytes_max = if *is_collection { usize::MAX } else { sizes.value_bytes_max };
            key.len() <= sizes.key_bytes_max
                && value.len() <= value_bytes_max
                && owner.is_none_or(|(name, _)| name.len() <= sizes.user_bytes_max)
        }
        Entry::Session(session) => {
            session.data.len() <= sizes.session_bytes_max
                && session.meta.len() <= sizes.meta_bytes_max
                && session.user.len() <= sizes.user_bytes_max
        }
        Entry::Rules(rules) => {
            registry::decode(rules).ok_or(RestoreError::Damaged(at))?;
            true
        }
        Entry::Register { name, value } => {
            name.len() <= REGISTER_NAME_BYTES_MAX && value.len() <= REGISTER_VALUE_BYTES_MAX
        }
        Entry::Alias { .. } | Entry::Registers { .. } => true,
    };
    if fits { Ok(()) } else { Err(RestoreError::OverLimit(at)) }
}
