//! Why a server does not start: one line each.

use std::net::SocketAddr;

use crate::cluster::ClusterError;
use crate::cluster::mutant::MutantError;
use crate::net::tls::TlsError;
use crate::net::unix_socket::SocketFileError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The users that the settings describe.
    #[error("{0}")]
    Users(String),
    /// `bind` names no address.
    #[error("bind: at least one address is needed")]
    NoAddress,
    /// `bind` names something that is no address.
    #[error("bind: '{host}' cannot be listened on: {reason}")]
    Address {
        /// What was given.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The port is taken, or may not be used.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The data directory, or what it holds, cannot be used.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The data directory cannot be made or opened.
    #[error("data-dir: {directory}: {source}")]
    DataDirectory {
        /// Which directory.
        directory: String,
        /// Why.
        source: std::io::Error,
    },
    /// A bug was to be planted that this build does not have.
    #[error(transparent)]
    Mutant(#[from] MutantError),
    /// The Unix socket cannot be made.
    #[error(transparent)]
    UnixSocket(#[from] SocketFileError),
    /// A file of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No thread or no event queue could be made.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}
