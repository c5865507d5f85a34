//! The sockets of the cluster protocol: tokio's.
//!
//! Named here and nowhere else, so that a simulated network can stand in for them.

use std::io;

#[cfg(feature = "simulation")]
pub(crate) use crate::cluster::simulation::socket::{
    OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream,
};
#[cfg(not(feature = "simulation"))]
pub(crate) use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(not(feature = "simulation"))]
pub(crate) use tokio::net::{TcpListener, TcpStream};

/// Sends without delay, and closes when the peer's machine is gone. Without that a connection that was cut
/// off stays as it is for as long as the cut lasted once more: until the next of ever rarer repetitions.
#[cfg(not(feature = "simulation"))]
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    use std::time::Duration;

    use socket2::{SockRef, TcpKeepalive};

    /// What was sent and is not acknowledged after so long, the peer's machine will not get.
    const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(2);
    /// A connection on which nothing happens is tried after so long, and as often.
    const IDLE_MAX: Duration = Duration::from_secs(5);

    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(IDLE_MAX).with_interval(IDLE_MAX))
}

/// The simulated network has its own rules for connections that are cut off.
#[cfg(feature = "simulation")]
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}
