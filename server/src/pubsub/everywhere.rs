//! Publishing to the subscribers of all nodes of a cluster.
//!
//! The message goes to this node's subscribers at once and to the other nodes as a broadcast: the space (1
//! byte), the length of the channel's name (4 bytes), the name, and the rest.

use bytes::{BufMut, Bytes, BytesMut};

use super::Space;
use crate::state::ServerState;

/// Publishes a message on all nodes; how many receive it on this one.
pub fn publish(server: &ServerState, space: Space, channel: &[u8], payload: &[u8]) -> usize {
    let receivers = server.pubsub.publish(&server.settings, space, channel, payload);
    if let Some(cluster) = server.cluster.get() {
        cluster.broadcast(|| encode(space, channel, payload));
    }
    receivers
}

/// Publishes here what another node has broadcast.
pub(crate) fn hear(server: &ServerState, message: &[u8]) {
    if let Some((space, channel, payload)) = decode(message) {
        server.pubsub.publish(&server.settings, space, channel, payload);
    }
}

fn encode(space: Space, channel: &[u8], payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + channel.len() + payload.len());
    bytes.put_u8(u8::from(space == Space::Shard));
    bytes.put_u32_le(channel.len() as u32);
    bytes.extend_from_slice(channel);
    bytes.extend_from_slice(payload);
    bytes.freeze()
}

/// `None` for what a later version may send.
fn decode(message: &[u8]) -> Option<(Space, &[u8], &[u8])> {
    let (space, rest) = message.split_first()?;
    let space = match space {
        0 => Space::Common,
        1 => Space::Shard,
        _ => return None,
    };
    let (length, rest) = rest.split_first_chunk()?;
    let (channel, payload) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((space, channel, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        for (space, channel, payload) in
            [(Space::Common, "news", "hello"), (Space::Shard, "", ""), (Space::Common, "a", "")]
        {
            let (channel, payload) = (channel.as_bytes(), payload.as_bytes());
            let bytes = encode(space, channel, payload);
            assert_eq!(decode(&bytes), Some((space, channel, payload)));
        }
        for wrong in [&b""[..], b"\x02\0\0\0\0", b"\0\x05\0\0\0news", b"\0\0\0"] {
            assert_eq!(decode(wrong), None);
        }
    }
}
