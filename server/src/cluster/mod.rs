//! What makes a store outlive its process: the disk, and what is kept on it.
//!
//! [`disk`] is what a log and snapshots need of a directory; it is synchronous and knows nothing of Raft.

pub mod disk;
