//! What one node tells all others beside the log: messages that somebody published.
//!
//! A broadcast reaches each peer at most once and in order, and nobody waits for it. Each peer has a queue
//! and one call under way, which carries all that has gathered meanwhile. What a peer does not take, because it
//! cannot be reached or because more waits than the queue holds, is lost: as Redis does it, and unlike
//! anything that goes through the log. What the bytes mean is the affair of who hears them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Raft;
use super::membership;
use super::network::frame::Purpose;
use super::network::kind;
use super::network::link::{Identity, Link};
use super::types::NodeId;

/// The most bytes that wait for one peer; a longer message reaches no peer.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// A call is closed when it has grown past this.
const CALL_BYTES: usize = 1 << 20;
/// How long a peer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the members are looked at.
const MEMBERS_EVERY: Duration = Duration::from_millis(500);

/// Whom to tell what peers broadcast.
pub(crate) type Hearer = Box<dyn Fn(&[u8]) + Send + Sync>;

/// One node's broadcasts, its own and those it hears.
#[derive(Default)]
pub(crate) struct Broadcasts {
    peers: RwLock<BTreeMap<NodeId, Peer>>,
    hearer: OnceLock<Hearer>,
}

/// The way to one peer; its task ends with it.
struct Peer {
    address: String,
    queue: Arc<Queue>,
    sending: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

/// What waits for one peer.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    some: Notify,
}

#[derive(Default)]
struct Waiting {
    messages: std::collections::VecDeque<Bytes>,
    bytes: usize,
}

impl Broadcasts {
    /// Sets who is told of what peers broadcast; only the first is.
    pub(crate) fn hear(&self, hearer: Hearer) {
        let _first = self.hearer.set(hearer);
    }

    /// Sends a message to all peers; `message` makes it, and is not asked where there are none.
    pub(crate) fn send(&self, message: impl FnOnce() -> Bytes) {
        let peers = self.peers.read();
        if peers.is_empty() {
            return;
        }
        let message = message();
        for peer in peers.values() {
            peer.queue.put(message.clone());
        }
    }

    /// Passes on what a peer has sent.
    pub(crate) fn receive(&self, mut call: Bytes) {
        let Some(hearer) = self.hearer.get() else { return };
        while let Ok(length) = call.try_get_u32_le() {
            if call.len() < length as usize {
                return;
            }
            hearer(&call.split_to(length as usize));
        }
    }

    /// Keeps the ways to the members open, until it is dropped.
    pub(crate) async fn run(self: Arc<Self>, raft: Raft, own: Identity) {
        let mut tick = interval(MEMBERS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let mut members = membership::members(&raft);
            members.remove(&own.node);
            let mut peers = self.peers.write();
            peers.retain(|node, peer| {
                members.get(node).is_some_and(|member| member.address == peer.address)
            });
            for (node, member) in members {
                peers.entry(node).or_insert_with(|| Peer::new(&own, node, member.address));
            }
        }
    }

    /// Ends what sends.
    pub(crate) fn stop(&self) {
        self.peers.write().clear();
    }
}

impl Peer {
    fn new(own: &Identity, node: NodeId, address: String) -> Self {
        let queue = Arc::new(Queue::default());
        let link = Link::new(own.clone(), node, address.clone(), Purpose::Ask);
        let sending = tokio::spawn(Arc::clone(&queue).send(link));
        Self { address, queue, sending }
    }
}

impl Queue {
    fn put(&self, message: Bytes) {
        let mut waiting = self.waiting.lock();
        let bytes = waiting.bytes + message.len();
        if bytes > WAITING_BYTES_MAX {
            return;
        }
        waiting.bytes = bytes;
        waiting.messages.push_back(message);
        let first = waiting.messages.len() == 1;
        drop(waiting);
        if first {
            self.some.notify_one();
        }
    }

    /// The next call; empty when nothing waits.
    fn take(&self) -> Bytes {
        let mut waiting = self.waiting.lock();
        let mut call = BytesMut::new();
        while call.len() < CALL_BYTES
            && let Some(message) = waiting.messages.pop_front()
        {
            waiting.bytes -= message.len();
            call.put_u32_le(message.len() as u32);
            call.extend_from_slice(&message);
        }
        call.freeze()
    }

    fn clear(&self) {
        *self.waiting.lock() = Waiting::default();
    }

    async fn send(self: Arc<Self>, link: Link) {
        loop {
            self.some.notified().await;
            loop {
                let call = self.take();
                if call.is_empty() {
                    break;
                }
                if link.call(kind::BROADCAST, call, PATIENCE).await.is_err() {
                    // Nobody wants old news of a node that comes back.
                    self.clear();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_carries_what_has_gathered_in_order() {
        let queue = Queue::default();
        for text in ["one", "", "three"] {
            queue.put(Bytes::from_static(text.as_bytes()));
        }
        let heard = Arc::new(Mutex::new(Vec::new()));
        let broadcasts = Broadcasts::default();
        let hearing = Arc::clone(&heard);
        broadcasts.hear(Box::new(move |message| hearing.lock().push(message.to_vec())));
        broadcasts.receive(queue.take());
        assert_eq!(*heard.lock(), [b"one".to_vec(), Vec::new(), b"three".to_vec()]);
        assert!(queue.take().is_empty());
        // A call that was cut off.
        broadcasts.receive(Bytes::from_static(&[9, 0, 0, 0, b'x']));
        assert_eq!(heard.lock().len(), 3);
    }

    #[test]
    fn a_queue_holds_so_much_and_loses_the_rest() {
        let queue = Queue::default();
        let message = Bytes::from(vec![b'x'; 10 << 20]);
        for _ in 0..10 {
            queue.put(message.clone());
        }
        let calls = std::iter::from_fn(|| Some(queue.take()).filter(|call| !call.is_empty()));
        assert_eq!(calls.count(), 6);
        assert_eq!(queue.waiting.lock().bytes, 0);
    }
}
