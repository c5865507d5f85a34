//! What can stop a comparison: one enum for the whole program.
//!
//! Every variant says which server or file it is about, because a run starts several of each.

use std::io;
use std::path::PathBuf;

/// Why a comparison could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line does not parse.
    #[error("{0} (see --help)")]
    Usage(String),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A server did not come up.
    #[error("{server} did not answer on port {port}; its output is in {log}")]
    NotReady {
        /// Name of the server.
        server: String,
        /// Port it was told to listen on.
        port: u16,
        /// File with what it printed.
        log: PathBuf,
    },
    /// A server closed a connection or stopped answering in the middle of a measurement.
    #[error("the server {0}")]
    Stalled(&'static str),
    /// A server answered with an error reply.
    #[error("the server answered: {0}")]
    Refused(String),
    /// A server answered something that is not RESP.
    #[error("the server's reply is not RESP: {0:?}")]
    NotResp(String),
    /// Nothing to measure.
    #[error("none of the asked-for servers was found")]
    NoServers,
}

/// Result of everything in this program.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Adds what was being done to an error of the operating system.
pub(crate) trait Context<T> {
    /// `what` is put in front of the system's own words.
    fn context(self, what: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::System { what: what.into(), source: source.into() })
    }
}
