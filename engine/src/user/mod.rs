//! Users: whose sessions there are, kept by the engine so that the index cannot drift.
//!
//! A user exists while it has sessions. [`record`] is one incarnation of it, [`sessions`] the set of its
//! sessions, [`shard`] the tables by name, with revoked incarnations waiting for the sweep.

pub(crate) mod record;
pub(crate) mod sessions;
pub(crate) mod shard;
