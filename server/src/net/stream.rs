//! A client's byte stream, whatever carries it: TCP, a Unix socket, or TLS over TCP.
//!
//! Nearly all connections are plain, so the plain ways are a compared tag away from the socket, and all that TLS
//! needs is behind a box. Under TLS what was taken may still wait to be sent: see [`Stream::holds_unsent`].

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A socket on its way to the thread that will serve it.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
    /// TCP whose client is to speak TLS.
    Tls(std::net::TcpStream),
}

/// The stream of one connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Before the handshake; without a stream while that is under way.
    Unsecured(Option<TcpStream>),
}

impl Stream {
    /// The stream of a socket that does not block. Has to be called on the thread that serves it.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
            Socket::Unix(stream) => Self::Unix(UnixStream::from_std(stream)?),
            Socket::Tls(stream) => Self::Unsecured(Some(TcpStream::from_std(stream)?)),
        })
    }

    /// Reads what there is into the free part of `input`; 0 bytes are the end.
    #[inline]
    pub(crate) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        input: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => pin!(stream.read_buf(input)).poll(context),
            Self::Unix(stream) => pin!(stream.read_buf(input)).poll(context),
            Self::Tls(stream) => pin!(stream.read_buf(input)).poll(context),
            Self::Unsecured(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Sends what is taken at once; how many bytes were taken.
    #[inline]
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Tls(_) | Self::Unsecured(_) => return self.try_send_secured(bytes),
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }
    }

    fn try_send_secured(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whoever has to wait asks again, with a waker of its own.
        let mut context = Context::from_waker(Waker::noop());
        let mut sent = 0;
        while sent < bytes.len() || self.holds_unsent() {
            match self.poll_send(&mut context, &bytes[sent..]) {
                Poll::Ready(more) => sent += more?,
                Poll::Pending => break,
            }
        }
        Ok(sent)
    }

    /// Sends some of `bytes`, or without any what was taken earlier; how many bytes were taken.
    pub(crate) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) if bytes.is_empty() => {
                Pin::new(stream).poll_flush(context).map_ok(|()| 0)
            }
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unsecured(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Whether bytes were taken that the socket has not got yet.
    #[inline]
    pub(crate) fn holds_unsent(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.get_ref().1.wants_write(),
            _ => false,
        }
    }

    /// Sends a few last bytes, and lets what comes fall until the other side ends, too: a socket that is closed
    /// with unread bytes takes back what its client has not read yet.
    pub(crate) async fn end_with(&mut self, bytes: &[u8]) -> io::Result<()> {
        poll_fn(|context| self.poll_send(context, bytes)).await?;
        match self {
            Self::Tcp(stream) => stream.shutdown().await?,
            Self::Unix(stream) => stream.shutdown().await?,
            Self::Tls(stream) => stream.shutdown().await?,
            Self::Unsecured(_) => return Ok(()),
        }
        let mut ignored = Vec::with_capacity(1024);
        while poll_fn(|context| self.poll_receive(context, &mut ignored)).await? > 0 {
            ignored.clear();
        }
        Ok(())
    }

    /// Says under TLS that no more will come, if that can be said at once: to the other side it is the
    /// difference between an end and a cut.
    pub(crate) fn say_goodbye(&mut self) {
        if let Self::Tls(stream) = self {
            let mut context = Context::from_waker(Waker::noop());
            let _either_way = Pin::new(stream).poll_shutdown(&mut context);
        }
    }
}
