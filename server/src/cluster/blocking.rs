//! Work that keeps a thread: on one of tokio's for such, so that Raft's goes on.
//!
//! A simulation has no other threads: there the work is done at once, some time later.

use std::io;

/// Does `work` elsewhere and waits for it.
#[cfg(not(feature = "simulation"))]
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Does `work` here, after a while.
#[cfg(feature = "simulation")]
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    super::simulation::blocking_delay().await;
    Ok(work())
}
