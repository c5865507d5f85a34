//! The Hallpass server: the engine behind the Redis protocol.
//!
//! A request flows `socket -> net -> resp -> dispatch -> command -> engine` and its reply back the
//! same way, on one thread. Read [`dispatch`] first: it is where the protocol's side and the engine's
//! side meet, and nothing else may connect them. A server that keeps a log has [`cluster`] between
//! `dispatch` and the engine.

pub mod acl;
pub mod client;
mod client_memory;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod config;
pub mod dispatch;
pub mod embedded;
pub mod error;
mod gate;
pub mod keyspace;
pub mod log;
mod maintenance;
pub mod metrics;
mod net;
pub mod node;
pub mod notify;
pub mod pause;
pub mod pubsub;
mod raft_thread;
pub mod random;
pub mod rdb;
pub mod resp;
pub mod script;
mod server;
pub mod session_id;
pub mod shutdown;
pub mod slow_log;
pub mod state;
mod tracking;
pub mod transaction;

pub use embedded::Embedded;
pub use error::StartError;
pub use hallpass_engine::glob;
pub use node::Node;
pub use server::Server;
