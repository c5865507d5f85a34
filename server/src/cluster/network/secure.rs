//! A connection between two nodes as the protocol sees it: plain, or under TLS.
//!
//! Without TLS this is the socket and a branch. With it both sides show a certificate, and each has to be for
//! the host in its node's address: the caller checks whom it reached, the called one, once the greeting has
//! said who calls, the caller. A peer whose address is not known yet, as before a new node has the
//! list of members, needs a certificate of the authority only.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::time::Instant;
use tokio_rustls::TlsStream;

use super::socket::{OwnedReadHalf, OwnedWriteHalf, TcpStream};
use crate::net::tls::{self, PeerTls};

/// The same refusal is written to the log once in so long: a peer calls again and again.
const REPEAT_AFTER: Duration = Duration::from_secs(10);

/// How connections to peers are made and taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Security {
    tls: Option<PeerTls>,
    /// What was said last, and when.
    said: Arc<Mutex<Option<(String, Instant)>>>,
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The half of a connection that is read from.
#[derive(Debug)]
pub(crate) enum Reading {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

/// The half of a connection that is written to.
#[derive(Debug)]
pub(crate) enum Writing {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
}

impl Security {
    /// TLS, or none.
    pub(crate) fn new(tls: Option<PeerTls>) -> Self {
        Self { tls, said: Arc::default() }
    }

    /// Secures a connection that was made to the node at `address`.
    pub(crate) async fn connected(&self, stream: TcpStream, address: &str) -> io::Result<Stream> {
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(stream)) };
        let host = tls::host_of(address).map_err(io::Error::other)?;
        let stream = Box::pin(tls.connector.connect(host, stream)).await;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream?))))
    }

    /// Secures a connection that was accepted.
    pub(crate) async fn accepted(&self, stream: TcpStream) -> io::Result<Stream> {
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(stream)) };
        let stream = Box::pin(tls.acceptor.accept(stream)).await;
        Ok(Stream::Tls(Box::new(TlsStream::Server(stream?))))
    }

    /// Writes to the log why a connection is not used, unless it has just done so.
    pub(crate) fn refuse(&self, text: String) {
        if self.tls.is_none() {
            return;
        }
        let mut said = self.said.lock();
        let again =
            said.as_ref().is_some_and(|(last, at)| *last == text && at.elapsed() < REPEAT_AFTER);
        if !again {
            crate::log::line(format_args!("{text}"));
            *said = Some((text, Instant::now()));
        }
    }
}

impl Stream {
    /// Whether the peer's certificate is for the host of this address; without TLS it needs none.
    pub(crate) fn is_for(&self, address: &str) -> Result<(), String> {
        let Stream::Tls(stream) = self else { return Ok(()) };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = certificates.first().ok_or("it shows no certificate")?;
        tls::is_for(certificate, address)
    }

    /// Its two halves.
    pub(crate) fn into_split(self) -> (Reading, Writing) {
        match self {
            Stream::Plain(stream) => {
                let (reading, writing) = stream.into_split();
                (Reading::Plain(reading), Writing::Plain(writing))
            }
            Stream::Tls(stream) => {
                let (reading, writing) = tokio::io::split(*stream);
                (Reading::Tls(reading), Writing::Tls(writing))
            }
        }
    }
}

/// Hands a call on to whichever stream it is.
macro_rules! either {
    ($self:expr, $kind:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            $kind::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            $kind::Tls($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

macro_rules! reads {
    ($kind:ident) => {
        impl AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                either!(self, $kind, stream => stream.poll_read(context, buffer))
            }
        }
    };
}

macro_rules! writes {
    ($kind:ident) => {
        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                either!(self, $kind, stream => stream.poll_write(context, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                parts: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                either!(self, $kind, stream => stream.poll_write_vectored(context, parts))
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $kind::Plain(stream) => stream.is_write_vectored(),
                    $kind::Tls(stream) => stream.is_write_vectored(),
                }
            }

            fn poll_flush(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                either!(self, $kind, stream => stream.poll_flush(context))
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                either!(self, $kind, stream => stream.poll_shutdown(context))
            }
        }
    };
}

reads!(Stream);
reads!(Reading);
writes!(Stream);
writes!(Writing);

#[cfg(test)]
mod tests;
