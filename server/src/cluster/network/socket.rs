//! The sockets of the cluster protocol: tokio's.
//!
//! Named here and nowhere else, so that a simulated network can stand in for them.

pub(crate) use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
pub(crate) use tokio::net::{TcpListener, TcpStream};
