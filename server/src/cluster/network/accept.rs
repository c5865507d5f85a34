//! Serving peers: greets whoever connects, then answers its requests until it leaves.
//!
//! Requests of one connection are answered concurrently and in any order, but for two purposes: appended
//! entries are handed to Raft in the order they came and without waiting for each other's disk, and the
//! pieces of a snapshot are taken one after the other.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frame::{
    Frame, FrameReader, Greeting, Purpose, REPLY_ERROR, REPLY_OK, Welcome, put_frame,
    read_greeting, send_welcome,
};
use super::secure::{Reading, Security, Stream, Writing};
use super::socket::{TcpListener, TcpStream, prepare};
use crate::cluster::types::NodeId;

/// How long a caller may take to say who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait when the process has no descriptor left.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Requests of one connection that may be under way; past it, nothing more is read.
const UNDER_WAY_MAX: usize = 256;

/// A reply: what was asked for, or a text that says why not.
pub(crate) type Reply = Result<Bytes, String>;

/// What a node does for its peers.
pub(crate) trait Service: Send + Sync + 'static {
    /// A snapshot on its way here.
    type Receiving: Send;

    /// Where a node is reached, if that is known here.
    fn address_of(&self, node: NodeId) -> Option<String>;

    /// Whether this node serves a caller, and what it answers to the greeting.
    fn welcome(&self, greeting: &Greeting) -> Welcome;

    /// Answers one request.
    fn answer(
        self: Arc<Self>,
        from: NodeId,
        kind: u8,
        payload: Bytes,
    ) -> impl Future<Output = Reply> + Send;

    /// Appends entries. Called in the order of the requests; may wait for earlier ones' disk writes.
    fn append(self: Arc<Self>, payload: Bytes) -> impl Future<Output = Reply> + Send;

    /// Begins to receive a snapshot.
    fn receive(&self) -> Self::Receiving;

    /// Takes the next piece of a snapshot.
    fn piece(
        self: Arc<Self>,
        receiving: &mut Self::Receiving,
        kind: u8,
        payload: Bytes,
    ) -> impl Future<Output = Reply> + Send;
}

/// Accepts peers until the task is dropped.
pub(crate) async fn accept<S: Service>(listener: TcpListener, security: Security, service: Arc<S>) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let (security, service) = (security.clone(), Arc::clone(&service));
                tokio::spawn(async move {
                    let greeted = timeout(GREETING_TIMEOUT, greeted(stream, &security));
                    match greeted.await {
                        Ok(Ok((stream, greeting))) => {
                            serve(stream, greeting, security, service).await;
                        }
                        // Not a peer, or not one of this cluster's: there is nobody to tell.
                        Ok(Err(error)) => {
                            security.refuse(format!("a peer from {}: {error}", address.ip()));
                        }
                        Err(_) => {}
                    }
                });
            }
            Err(error) => {
                crate::log::line(format_args!("cannot accept a peer's connection: {error}"));
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn greeted(stream: TcpStream, security: &Security) -> io::Result<(Stream, Greeting)> {
    prepare(&stream)?;
    let mut stream = security.accepted(stream).await?;
    let greeting = read_greeting(&mut stream).await?;
    Ok((stream, greeting))
}

async fn serve<S: Service>(
    mut stream: Stream,
    greeting: Greeting,
    security: Security,
    service: Arc<S>,
) {
    let address = service.address_of(greeting.from);
    let genuine = address.map_or(Ok(()), |address| stream.is_for(&address));
    let welcome = match genuine {
        Ok(()) => service.welcome(&greeting),
        Err(reason) => {
            let text = format!("node {} is not who it says it is: {reason}", greeting.from);
            security.refuse(text.clone());
            Err(text)
        }
    };
    let welcomed = welcome.is_ok();
    if send_welcome(&mut stream, &welcome).await.is_err() {
        return;
    }
    if !welcomed {
        return;
    }
    let (reader, writer) = stream.into_split();
    let reader = FrameReader::new(reader);
    // However it ends, the peer sees its connection close and calls again.
    let _ended = match greeting.purpose {
        Purpose::Append => serve_append(reader, writer, service).await,
        Purpose::Snapshot => serve_snapshot(reader, writer, service).await,
        _ => serve_requests(reader, writer, service, greeting.from).await,
    };
}

fn put_reply(output: &mut BytesMut, number: u64, reply: &Reply) {
    match reply {
        Ok(payload) => put_frame(output, number, REPLY_OK, payload),
        Err(text) => put_frame(output, number, REPLY_ERROR, text.as_bytes()),
    }
}

async fn serve_append<S: Service>(
    mut reader: FrameReader<Reading>,
    mut writer: Writing,
    service: Arc<S>,
) -> io::Result<()> {
    let mut under_way = FuturesOrdered::new();
    let mut output = BytesMut::new();
    loop {
        tokio::select! {
            Some((number, reply)) = under_way.next() => {
                put_reply(&mut output, number, &reply);
                writer.write_all(&output).await?;
                writer.flush().await?;
                output.clear();
            }
            frame = reader.next(), if under_way.len() < UNDER_WAY_MAX => {
                let Some(Frame { number, payload, .. }) = frame? else { return Ok(()) };
                let append = Arc::clone(&service).append(payload);
                under_way.push_back(async move { (number, append.await) });
            }
        }
    }
}

async fn serve_snapshot<S: Service>(
    mut reader: FrameReader<Reading>,
    mut writer: Writing,
    service: Arc<S>,
) -> io::Result<()> {
    let mut receiving = service.receive();
    let mut output = BytesMut::new();
    while let Some(Frame { number, kind, payload }) = reader.next().await? {
        let reply = Arc::clone(&service).piece(&mut receiving, kind, payload).await;
        put_reply(&mut output, number, &reply);
        writer.write_all(&output).await?;
        writer.flush().await?;
        output.clear();
    }
    Ok(())
}

async fn serve_requests<S: Service>(
    mut reader: FrameReader<Reading>,
    writer: Writing,
    service: Arc<S>,
    from: NodeId,
) -> io::Result<()> {
    let (replies, waiting) = mpsc::channel(UNDER_WAY_MAX);
    let writing = tokio::spawn(write_replies(writer, waiting));
    while let Some(Frame { number, kind, payload }) = reader.next().await? {
        // A place first: with too much under way, nothing more is read.
        let Ok(place) = replies.clone().reserve_owned().await else { break };
        let answer = Arc::clone(&service).answer(from, kind, payload);
        tokio::spawn(async move {
            place.send((number, answer.await));
        });
    }
    drop(replies);
    writing.await.map_err(io::Error::other)?
}

async fn write_replies(
    mut writer: Writing,
    mut replies: mpsc::Receiver<(u64, Reply)>,
) -> io::Result<()> {
    let mut output = BytesMut::new();
    while let Some((number, reply)) = replies.recv().await {
        put_reply(&mut output, number, &reply);
        while let Ok((number, reply)) = replies.try_recv() {
            put_reply(&mut output, number, &reply);
        }
        writer.write_all(&output).await?;
        writer.flush().await?;
        output.clear();
    }
    Ok(())
}
