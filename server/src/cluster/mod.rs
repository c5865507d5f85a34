//! What makes a store outlive its process: the log of everything that changes it, and the disk below.
//!
//! [`log`] keeps one ordered stream of records and says when they are durable; [`disk`] is what it, and
//! the snapshots, need of a directory. Both are synchronous and know nothing of Raft: votes, entries
//! and markers are bytes to them.

pub mod disk;
pub mod log;
