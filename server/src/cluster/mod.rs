//! The cluster: one log that every node applies in the same order.
//!
//! A write goes `dispatch -> propose -> raft -> log, network -> state -> engine` and its outcome back to
//! who waits; a read passes `read` and looks at the engine. Reading order: `node` (how a node is put
//! together), `entry` and `origins` (what is in the log, exactly once), `propose`, `waiting` and `post`
//! (writes), `lease`, `leadership` and `read` (reads), `state` and `snapshot` (the state
//! machine), `log_store` over `log` over `disk`, `network` and `service` (peers), `identity`, `arrival`,
//! `skew` and `permit` (who may vote and lead), `broadcast` (what goes beside the log).
//!
//! Nothing outside this folder names a type of openraft, and nothing inside knows commands or RESP.

mod arrival;
mod blocking;
mod broadcast;
pub mod clock;
mod codec;
pub mod disk;
mod entry;
mod identity;
mod indexer;
mod keeper;
mod leadership;
mod lease;
pub mod log;
mod log_store;
mod membership;
pub mod mutant;
mod network;
pub mod node;
mod onlooker;
mod origins;
mod permit;
mod post;
mod propose;
mod read;
mod service;
#[cfg(feature = "simulation")]
pub mod simulation;
mod skew;
mod snapshot;
mod state;
mod touch;
mod types;
mod waiting;

#[cfg(test)]
mod full_disk_tests;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod snapshot_crash_tests;
#[cfg(test)]
mod storage_tests;

/// The Raft of this store.
type Raft = openraft::Raft<types::TypeConfig, state::StateMachine>;

/// Where peers connect.
pub(crate) use self::network::TcpListener as PeerListener;
pub use self::node::{Cluster, ClusterConfig, ClusterError, ClusterStatus, MemberStatus, Parts};
pub(crate) use self::onlooker::{Onlooker, Submitter};
pub(crate) use self::post::Post;
pub use self::waiting::Unavailable;
