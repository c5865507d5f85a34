//! Calling a peer: one connection for each purpose, opened when it is needed and shared by all calls.
//!
//! Every call has a deadline, and a connection that fails fails all calls on it at once: a caller learns
//! within its deadline that there is no answer, never later. Requests are written in the order of their
//! calls; whatever waits is written together.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::frame::{
    self, FrameReader, Greeting, Limits, Purpose, REPLY_ERROR, REPLY_OK, read_welcome,
    send_greeting,
};
use super::secure::{Reading, Security, Stream, Writing};
use super::socket::{TcpStream, prepare};
use crate::cluster::identity::IdentityStore;
use crate::cluster::types::NodeId;

/// How long connecting and greeting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// With more than this waiting, the rest is written in the next round.
const WRITE_BYTES: usize = 1 << 20;
/// Calls that may wait to be written; past it, calls wait for room.
const CALLS_WAITING_MAX: usize = 1024;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The peer cannot be reached.
    #[error("node {node} at {address} cannot be reached: {source}")]
    Unreachable {
        /// The peer.
        node: NodeId,
        /// Its address.
        address: String,
        /// What the connection says.
        source: io::Error,
    },
    /// One of the two does not take the other for what it says it is.
    #[error("no connection to node {node}: {reason}")]
    Refused {
        /// The peer.
        node: NodeId,
        /// What it says.
        reason: String,
    },
    /// The connection ended before the answer came.
    #[error("the connection to node {0} ended")]
    Closed(NodeId),
    /// The deadline passed.
    #[error("node {0} did not answer in time")]
    Timeout(NodeId),
    /// The peer answered with an error.
    #[error("node {node} answers: {text}")]
    Remote {
        /// The peer.
        node: NodeId,
        /// The error.
        text: String,
    },
}

/// Who this node is towards its peers, and whom it knows.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Its number.
    pub(crate) node: NodeId,
    /// Its data directory's name, and its peers'.
    pub(crate) known: Arc<IdentityStore>,
    /// Its limits on sizes.
    pub(crate) limits: Limits,
    /// Whether connections are under TLS, and with which certificate.
    pub(crate) security: Security,
}

/// One peer's connection of one purpose.
#[derive(Debug)]
pub(crate) struct Link {
    own: Identity,
    node: NodeId,
    address: String,
    purpose: Purpose,
    /// The open connection, if any. An async lock: whoever finds none opens it, the others wait.
    open: tokio::sync::Mutex<Option<Open>>,
}

/// The way into an open connection.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    calls: mpsc::Sender<Call>,
}

#[derive(Debug)]
struct Call {
    kind: u8,
    payload: Bytes,
    answer: oneshot::Sender<Answer>,
}

type Answer = Result<Bytes, String>;
type Waiting = Arc<Mutex<Option<BTreeMap<u64, oneshot::Sender<Answer>>>>>;

impl Link {
    /// A link that is not connected yet.
    pub(crate) fn new(own: Identity, node: NodeId, address: String, purpose: Purpose) -> Self {
        Self { own, node, address, purpose, open: tokio::sync::Mutex::default() }
    }

    /// Whom it calls.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Where.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Asks and waits for the answer, at most for `patience`.
    pub(crate) async fn call(
        &self,
        kind: u8,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Bytes, CallError> {
        let asking = async {
            let open = self.open().await?;
            self.answer_of(open.ask(kind, payload).await).await
        };
        timeout(patience, asking).await.unwrap_or(Err(CallError::Timeout(self.node)))
    }

    /// The answer to a request that was sent with [`Open::ask`].
    pub(crate) async fn answer_of(
        &self,
        answer: Option<oneshot::Receiver<Answer>>,
    ) -> Result<Bytes, CallError> {
        let closed = CallError::Closed(self.node);
        match answer.ok_or(CallError::Closed(self.node))?.await {
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(text)) => Err(CallError::Remote { node: self.node, text }),
            Err(_) => Err(closed),
        }
    }

    /// The open connection, or a new one.
    pub(crate) async fn open(&self) -> Result<Open, CallError> {
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_ref().filter(|open| !open.calls.is_closed()) {
            return Ok(open.clone());
        }
        let connected = timeout(CONNECT_TIMEOUT, self.connect()).await;
        let stream = connected.unwrap_or_else(|_| {
            Err(CallError::Unreachable {
                node: self.node,
                address: self.address.clone(),
                source: io::ErrorKind::TimedOut.into(),
            })
        })?;
        let (reader, writer) = stream.into_split();
        let (calls, waiting_calls) = mpsc::channel(CALLS_WAITING_MAX);
        let waiting: Waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let writing = tokio::spawn(write_calls(writer, waiting_calls, Arc::clone(&waiting)));
        tokio::spawn(async move {
            read_answers(reader, waiting).await;
            // The writer is told, too, so that the next call finds a closed connection and opens another.
            writing.abort();
        });
        Ok(open.insert(Open { calls }).clone())
    }

    async fn connect(&self) -> Result<Stream, CallError> {
        let unreachable = |source| CallError::Unreachable {
            node: self.node,
            address: self.address.clone(),
            source,
        };
        let security = &self.own.security;
        let insecure = |error: io::Error| {
            security.refuse(format!("node {} at {}: {error}", self.node, self.address));
            unreachable(error)
        };
        let socket = TcpStream::connect(self.address.as_str()).await.map_err(unreachable)?;
        prepare(&socket).map_err(unreachable)?;
        let mut stream = security.connected(socket, &self.address).await.map_err(insecure)?;
        let greeting = Greeting {
            from: self.own.node,
            directory: self.own.known.directory(),
            to: self.node,
            purpose: self.purpose,
            limits: self.own.limits,
        };
        send_greeting(&mut stream, &greeting).await.map_err(unreachable)?;
        // A certificate that is not taken comes out here: the caller's side of the handshake is over by then.
        match read_welcome(&mut stream).await.map_err(insecure)? {
            // Called or calling, a peer is who it was before, or it is not talked to.
            Ok(directory) => self.own.known.meet(self.node, directory).map(|()| stream),
            Err(reason) => Err(reason),
        }
        .map_err(|reason| CallError::Refused { node: self.node, reason })
    }
}

impl Open {
    /// Sends a request; the receiver gets its answer, or closes when the connection does. `None` when it
    /// has closed already.
    pub(crate) async fn ask(&self, kind: u8, payload: Bytes) -> Option<oneshot::Receiver<Answer>> {
        let (answer, receiver) = oneshot::channel();
        self.calls.send(Call { kind, payload, answer }).await.ok()?;
        Some(receiver)
    }
}

/// Writes calls as they come, until the connection fails or nobody can call any more.
async fn write_calls(mut writer: Writing, mut calls: mpsc::Receiver<Call>, waiting: Waiting) {
    let mut number = 0;
    let mut output = BytesMut::new();
    'writing: while let Some(call) = calls.recv().await {
        let mut next = Some(call);
        while let Some(call) = next {
            number += 1;
            match waiting.lock().as_mut() {
                Some(waiting) => waiting.insert(number, call.answer),
                None => break 'writing,
            };
            frame::put_frame(&mut output, number, call.kind, &call.payload);
            next = if output.len() < WRITE_BYTES { calls.try_recv().ok() } else { None };
        }
        if writer.write_all(&output).await.is_err() || writer.flush().await.is_err() {
            break;
        }
        output.clear();
    }
    // Whoever still waits learns that no answer will come.
    waiting.lock().take();
}

/// Hands answers to whoever asked, until the connection fails.
async fn read_answers(reader: Reading, waiting: Waiting) {
    let mut reader = FrameReader::new(reader);
    while let Ok(Some(frame)) = reader.next().await {
        let asked = match waiting.lock().as_mut() {
            Some(waiting) => waiting.remove(&frame.number),
            None => return,
        };
        let Some(asked) = asked else { break };
        let answer = match frame.kind {
            REPLY_OK => Ok(frame.payload),
            REPLY_ERROR => Err(String::from_utf8_lossy(&frame.payload).into_owned()),
            _ => break,
        };
        // Who asked may have given up meanwhile.
        let _gone = asked.send(answer);
    }
    waiting.lock().take();
}
