//! The sockets of the cluster protocol: tokio's.
//!
//! Named here and nowhere else, so that a simulated network can stand in for them.

#[cfg(feature = "simulation")]
pub(crate) use crate::cluster::simulation::socket::{
    OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream,
};
#[cfg(not(feature = "simulation"))]
pub(crate) use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(not(feature = "simulation"))]
pub(crate) use tokio::net::{TcpListener, TcpStream};
