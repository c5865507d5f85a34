//! The cluster protocol on the wire: a greeting, then frames both ways.
//!
//! ```text
//! greeting  "HPRC" version u8, then a block (length u32): who calls, whom, and what for
//! answer    a block: who answers, or why not
//! frame     length u32 of what follows  number u64  kind u8  payload
//! ```
//!
//! One connection serves one purpose, so that a snapshot does not stand in a heartbeat's way. Requests
//! carry numbers of the caller's; a reply carries its request's. Lengths are checked before anything is
//! allocated by them.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hallpass_engine::SizeLimits;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::cluster::codec;
use crate::cluster::types::NodeId;

const MAGIC: &[u8; 4] = b"HPRC";
const VERSION: u8 = 1;
/// Longest greeting.
const GREETING_BYTES_MAX: usize = 4096;
/// Longest frame: an entry has at most some MiB, and a few of them travel together.
pub(crate) const FRAME_BYTES_MAX: usize = 256 << 20;
const FRAME_HEAD_BYTES: usize = 8 + 1;

/// What a connection between two nodes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// The stream of log entries from a leader.
    Append,
    /// Heartbeats.
    Heartbeat,
    /// Votes and the transfer of leadership.
    Vote,
    /// Snapshots, in pieces.
    Snapshot,
    /// Submissions for the leader to propose.
    Forward,
    /// Where a read must wait for, clocks, who is who, and broadcasts.
    Ask,
}

/// Who calls whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// The calling node.
    pub(crate) from: NodeId,
    /// The name of its data directory, drawn when that was made.
    pub(crate) directory: u128,
    /// The node it means to call: another may listen at its address.
    pub(crate) to: NodeId,
    /// What for.
    pub(crate) purpose: Purpose,
    /// The limits on sizes, in the order of [`limits_of`]: nodes that refuse different things would not stay
    /// alike.
    pub(crate) limits: Limits,
}

/// Limits on sizes, in bytes.
pub(crate) type Limits = [u64; 5];

/// The limits that all nodes of a cluster share.
pub(crate) fn limits_of(sizes: &SizeLimits) -> Limits {
    [
        sizes.key_bytes_max as u64,
        sizes.value_bytes_max as u64,
        sizes.user_bytes_max as u64,
        sizes.session_bytes_max as u64,
        sizes.meta_bytes_max as u64,
    ]
}

/// The answer to a greeting: the directory of the node that answers, or why it does not serve the caller.
pub(crate) type Welcome = Result<u128, String>;

/// A request's or reply's frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The request's number.
    pub(crate) number: u64,
    /// What is asked, or [`REPLY_OK`] or [`REPLY_ERROR`].
    pub(crate) kind: u8,
    /// The rest.
    pub(crate) payload: Bytes,
}

/// The kind of a reply that carries what was asked for.
pub(crate) const REPLY_OK: u8 = 0;
/// The kind of a reply that carries a text instead.
pub(crate) const REPLY_ERROR: u8 = 1;

fn malformed(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Sends the greeting.
pub(crate) async fn send_greeting(
    stream: &mut (impl AsyncWrite + Unpin),
    greeting: &Greeting,
) -> io::Result<()> {
    let block = codec::encode(greeting);
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(MAGIC);
    bytes.put_u8(VERSION);
    put_block(&mut bytes, &block);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Reads the greeting of whoever connected.
pub(crate) async fn read_greeting(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Greeting> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    if &head[..4] != MAGIC {
        return Err(malformed("the caller does not speak the cluster protocol".to_owned()));
    }
    if head[4] != VERSION {
        let text =
            format!("cluster protocol version {}; this node speaks version {VERSION}", head[4]);
        return Err(malformed(text));
    }
    let block = read_block(stream).await?;
    Ok(codec::decode(&block)?)
}

/// Answers a greeting.
pub(crate) async fn send_welcome(
    stream: &mut (impl AsyncWrite + Unpin),
    welcome: &Welcome,
) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    put_block(&mut bytes, &codec::encode(welcome));
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Reads the answer to a greeting.
pub(crate) async fn read_welcome(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Welcome> {
    let block = read_block(stream).await?;
    Ok(codec::decode(&block)?)
}

fn put_block(bytes: &mut BytesMut, block: &[u8]) {
    bytes.put_u32_le(block.len() as u32);
    bytes.extend_from_slice(block);
}

async fn read_block(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u32_le().await? as usize;
    if length > GREETING_BYTES_MAX {
        return Err(malformed(format!(
            "a greeting of {length} bytes; at most {GREETING_BYTES_MAX}"
        )));
    }
    let mut block = vec![0; length];
    stream.read_exact(&mut block).await?;
    Ok(block)
}

/// Appends a frame's head to `output`; the payload follows it.
pub(crate) fn put_head(output: &mut BytesMut, number: u64, kind: u8, payload_bytes: usize) {
    output.reserve(4 + FRAME_HEAD_BYTES + payload_bytes);
    output.put_u32_le((FRAME_HEAD_BYTES + payload_bytes) as u32);
    output.put_u64_le(number);
    output.put_u8(kind);
}

/// Appends a whole frame to `output`.
pub(crate) fn put_frame(output: &mut BytesMut, number: u64, kind: u8, payload: &[u8]) {
    put_head(output, number, kind, payload.len());
    output.extend_from_slice(payload);
}

/// Reads frames off a stream.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: R,
    input: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of `stream`.
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, input: BytesMut::with_capacity(16 << 10) }
    }

    /// The next frame; `None` when the other side closed between two frames.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return if self.input.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// A frame that is there already.
    pub(crate) fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some(head) = self.input.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if !(FRAME_HEAD_BYTES..=FRAME_BYTES_MAX).contains(&length) {
            return Err(malformed(format!("a frame of {length} bytes")));
        }
        if self.input.len() < 4 + length {
            // Room for what is on its way, doubled at most: a length is only a promise.
            let missing = (4 + length - self.input.len()).min(self.input.len().max(64 << 10));
            self.input.reserve(missing);
            return Ok(None);
        }
        self.input.advance(4);
        let mut frame = self.input.split_to(length).freeze();
        let number = frame.get_u64_le();
        let kind = frame.get_u8();
        Ok(Some(Frame { number, kind, payload: frame }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_through_in_pieces_of_any_size() {
        let mut sent = BytesMut::new();
        for number in 0..5_u8 {
            let payload = vec![number; 100 * usize::from(number)];
            put_frame(&mut sent, u64::from(number), number, &payload);
        }
        for piece in [1, 7, 13, 4096] {
            let chunks = sent.chunks(piece).map(Bytes::copy_from_slice).collect::<Vec<_>>();
            let (mut writer, reader) = tokio::io::duplex(64);
            let writing = tokio::spawn(async move {
                for chunk in chunks {
                    writer.write_all(&chunk).await.expect("the reader is there");
                }
            });
            let mut reader = FrameReader::new(reader);
            for number in 0..5_u8 {
                let frame = reader.next().await.expect("no error").expect("a frame");
                assert_eq!((frame.number, frame.kind), (u64::from(number), number));
                assert_eq!(frame.payload.len(), 100 * usize::from(number));
            }
            assert_eq!(reader.next().await.expect("a clean end"), None);
            writing.await.expect("the writer ends");
        }
    }

    #[tokio::test]
    async fn impossible_lengths_and_strangers_are_refused() {
        for length in [0_u32, 8, u32::MAX] {
            let bytes = length.to_le_bytes();
            let error =
                FrameReader::new(&bytes[..]).next().await.expect_err("an impossible length");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let http = b"GET / HTTP/1.1\r\n";
        assert!(read_greeting(&mut &http[..]).await.is_err());
        let later = b"HPRC\x09\0\0\0\0";
        let error = read_greeting(&mut &later[..]).await.expect_err("a later version");
        assert!(error.to_string().contains("version 9"), "{error}");
    }

    #[tokio::test]
    async fn greetings_come_back() {
        let greeting = Greeting {
            from: 1,
            directory: u128::MAX - 5,
            to: 2,
            purpose: Purpose::Vote,
            limits: [1, 2, 3, 4, 5],
        };
        let mut sent = Vec::new();
        send_greeting(&mut sent, &greeting).await.expect("memory takes it");
        assert_eq!(read_greeting(&mut &sent[..]).await.expect("a greeting"), greeting);
        let mut sent = Vec::new();
        send_welcome(&mut sent, &Err("no".to_owned())).await.expect("memory takes it");
        assert_eq!(read_welcome(&mut &sent[..]).await.expect("an answer"), Err("no".to_owned()));
    }
}
