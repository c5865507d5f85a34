//! The simulated network's sockets: what `tokio::net` has, as far as the cluster uses it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::here;
use super::network::{Network, Side};
use crate::cluster::types::NodeId;

/// One end of a connection. Dropping it closes it.
#[derive(Debug)]
struct End {
    network: Network,
    connection: u64,
    side: Side,
}

impl End {
    fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.network.poll_read(self.connection, self.side, context, buffer)
    }

    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.network.poll_write(self.connection, self.side, context, bytes)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.network.close(self.connection, self.side);
    }
}

/// As `tokio::net::TcpListener`.
#[derive(Debug)]
pub struct TcpListener {
    network: Network,
    node: NodeId,
}

impl TcpListener {
    /// A node's listener; it has one at a time.
    pub fn of(network: &Network, node: u64) -> Self {
        network.listen(node);
        Self { network: network.clone(), node }
    }

    /// A simulated node is given its listener; it cannot bind one.
    #[allow(clippy::unused_async, reason = "as the real one")]
    pub(crate) async fn bind<A>(_address: A) -> io::Result<Self> {
        Err(io::Error::other("built for simulation: there are no sockets"))
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (connection, from) =
            poll_fn(|context| self.network.poll_accept(self.node, context)).await;
        let end = End { network: self.network.clone(), connection, side: Side::Called };
        // An address for messages: nodes call each other by names.
        let address = SocketAddr::from(([10, 0, 0, from as u8], 0));
        Ok((TcpStream { end: Arc::new(end) }, address))
    }
}

/// As `tokio::net::TcpStream`.
#[derive(Debug)]
pub(crate) struct TcpStream {
    end: Arc<End>,
}

impl TcpStream {
    pub(crate) async fn connect(address: &str) -> io::Result<Self> {
        let (network, node) =
            here().ok_or_else(|| io::Error::other("built for simulation: there are no sockets"))?;
        let connection = network.call(node, address)?;
        let end = Arc::new(End { network, connection, side: Side::Calling });
        poll_fn(|context| end.network.poll_connected(connection, context)).await?;
        Ok(Self { end })
    }

    #[allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "as the real one")]
    pub(crate) fn set_nodelay(&self, _nodelay: bool) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        (OwnedReadHalf { end: Arc::clone(&self.end) }, OwnedWriteHalf { end: self.end })
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.end.poll_read(context, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.end.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.network.finish(self.end.connection, self.end.side);
        Poll::Ready(Ok(()))
    }
}

/// As `tokio::net::tcp::OwnedReadHalf`.
#[derive(Debug)]
pub(crate) struct OwnedReadHalf {
    end: Arc<End>,
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.end.poll_read(context, buffer)
    }
}

/// As `tokio::net::tcp::OwnedWriteHalf`: dropping it ends what is written.
#[derive(Debug)]
pub(crate) struct OwnedWriteHalf {
    end: Arc<End>,
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.end.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.network.finish(self.end.connection, self.end.side);
        Poll::Ready(Ok(()))
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        self.end.network.finish(self.end.connection, self.end.side);
    }
}
