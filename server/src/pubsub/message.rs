//! A message's bytes: encoded when the first receiver of a protocol needs them, shared by the others.

use std::cell::OnceCell;

use bytes::Bytes;

use crate::resp::reply::{Protocol, Reply};

/// What a receiver is told to have happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// A message on a channel.
    Channel,
    /// A message on a channel that matches this pattern.
    Pattern(&'a [u8]),
    /// A message on a shard channel.
    Shard,
    /// What was read of these keys is no longer true; of all keys, without any.
    Invalidated(Option<&'a [&'a [u8]]>),
    /// The client that was to be told of changes is gone.
    RedirectionBroken(u64),
}

/// Where a client that speaks RESP2 expects to be told of changes.
const INVALIDATIONS: &[u8] = b"__redis__:invalidate";

/// One message as receivers of one kind get it.
#[derive(Debug)]
pub(super) struct Message<'a> {
    event: Event<'a>,
    channel: &'a [u8],
    payload: &'a [u8],
    resp2: OnceCell<Bytes>,
    resp3: OnceCell<Bytes>,
}

impl<'a> Message<'a> {
    pub(super) fn new(event: Event<'a>, channel: &'a [u8], payload: &'a [u8]) -> Self {
        Self { event, channel, payload, resp2: OnceCell::new(), resp3: OnceCell::new() }
    }

    /// The bytes for a receiver that speaks `protocol`.
    pub(super) fn bytes(&self, protocol: Protocol) -> Bytes {
        let cell = match protocol {
            Protocol::Resp2 => &self.resp2,
            Protocol::Resp3 => &self.resp3,
        };
        cell.get_or_init(|| self.encode(protocol)).clone()
    }

    fn encode(&self, protocol: Protocol) -> Bytes {
        let mut bytes = Vec::with_capacity(64 + self.channel.len() + self.payload.len());
        let mut reply = Reply::new(&mut bytes, protocol);
        match self.event {
            Event::Channel => {
                reply.push(3);
                reply.bulk(b"message");
            }
            Event::Shard => {
                reply.push(3);
                reply.bulk(b"smessage");
            }
            Event::Pattern(pattern) => {
                reply.push(4);
                reply.bulk(b"pmessage");
                reply.bulk(pattern);
            }
            Event::Invalidated(keys) => {
                write_invalidation(&mut reply, keys);
                return Bytes::from(bytes);
            }
            Event::RedirectionBroken(client) => {
                reply.push(2);
                reply.bulk(b"tracking-redir-broken");
                reply.integer(client as i64);
                return Bytes::from(bytes);
            }
        }
        reply.bulk(self.channel);
        reply.bulk(self.payload);
        Bytes::from(bytes)
    }
}

fn write_invalidation(reply: &mut Reply<'_>, keys: Option<&[&[u8]]>) {
    if reply.protocol() == Protocol::Resp3 {
        reply.push(2);
        reply.bulk(b"invalidate");
    } else {
        reply.push(3);
        reply.bulk(b"message");
        reply.bulk(INVALIDATIONS);
    }
    match keys {
        Some(keys) => {
            reply.array(keys.len());
            for key in keys {
                reply.bulk(key);
            }
        }
        None => reply.null(),
    }
}

/// The same message for a receiver that has switched protocols: only the mark of a push differs.
pub(super) fn translate(message: &Bytes, protocol: Protocol) -> Bytes {
    let mut bytes = message.to_vec();
    if let Some(mark) = bytes.first_mut() {
        *mark = if protocol == Protocol::Resp3 { b'>' } else { b'*' };
    }
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_arrays_in_resp2_and_pushes_in_resp3() {
        let message = Message::new(Event::Pattern(b"n*"), b"news", b"hi");
        let rest = "4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n";
        let (resp2, resp3) = (message.bytes(Protocol::Resp2), message.bytes(Protocol::Resp3));
        assert_eq!(resp2, format!("*{rest}"));
        assert_eq!(resp3, format!(">{rest}"));
        assert_eq!(translate(&resp2, Protocol::Resp3), resp3);
        assert_eq!(translate(&resp3, Protocol::Resp2), resp2);
        let again = message.bytes(Protocol::Resp2);
        assert_eq!(again.as_ptr(), resp2.as_ptr(), "receivers share the bytes");
    }
}
