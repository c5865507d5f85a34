//! A subscriber's mailbox: messages that its connection has not sent yet.
//!
//! Publishers of any thread put messages in, the connection's own thread takes them out. Who finds the box
//! empty tells the connection; who makes it overflow empties it for good, so that a subscriber that does
//! not read never holds more than the configuration allows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::Kind;
use super::doorbell::Doorbell;
use super::message::{Message, translate};
use crate::resp::reply::Protocol;

/// What a message costs beside its bytes.
const MESSAGE_OVERHEAD_BYTES: usize = size_of::<Bytes>();

/// Up to so many bytes the limit is not looked up: Redis does not count its first buffer, either.
const FREE_BYTES: usize = 16 << 10;

/// An emptied queue that had room for more messages than this gives it back.
const KEPT_MESSAGES_MAX: usize = 1024;

/// One subscriber's unsent messages.
#[derive(Debug)]
pub struct Mailbox {
    state: Mutex<State>,
    /// How many subscriptions there are, for others to see.
    pub counts: Counts,
    /// Whom to tell of mail.
    pub(super) doorbell: Option<Arc<Doorbell>>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Bytes>,
    /// What the queue takes, overhead included.
    bytes: usize,
    /// What new messages are encoded in: behind the lock, so that none comes in the old one after a switch.
    protocol: Protocol,
    /// Nothing comes in any more.
    closed: bool,
    /// Whether that is because the limit was passed.
    overflowed: bool,
}

/// Subscriptions of one client, by kind.
#[derive(Debug, Default)]
pub struct Counts {
    channels: AtomicUsize,
    patterns: AtomicUsize,
    shard_channels: AtomicUsize,
}

impl Counts {
    fn of(&self, kind: Kind) -> &AtomicUsize {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::ShardChannel => &self.shard_channels,
        }
    }

    /// How many of one kind.
    pub fn get(&self, kind: Kind) -> usize {
        self.of(kind).load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, kind: Kind, count: usize) {
        self.of(kind).store(count, Ordering::Relaxed);
    }

    /// Whether there are none.
    pub fn is_zero(&self) -> bool {
        [Kind::Channel, Kind::Pattern, Kind::ShardChannel].iter().all(|kind| self.get(*kind) == 0)
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is the only one: the connection has to be told.
    First,
    /// It waits behind others, or the box is closed.
    Waits,
    /// It passed the limit: the box is closed and empty.
    Overflow,
}

impl Mailbox {
    pub(super) fn new(protocol: Protocol, doorbell: Option<Arc<Doorbell>>) -> Self {
        let state =
            State { queue: VecDeque::new(), bytes: 0, protocol, closed: false, overflowed: false };
        Self { state: Mutex::new(state), counts: Counts::default(), doorbell }
    }

    /// Puts a message in. `limit` is the most bytes that may wait, 0 for no limit.
    pub(super) fn push(&self, message: &Message<'_>, limit: impl FnOnce() -> u64) -> Pushed {
        let mut state = self.state.lock();
        if state.closed {
            return Pushed::Waits;
        }
        let bytes = message.bytes(state.protocol);
        state.bytes += bytes.len() + MESSAGE_OVERHEAD_BYTES;
        if state.bytes > FREE_BYTES {
            let limit = limit();
            if limit > 0 && state.bytes as u64 > limit {
                state.overflowed = true;
                state.close();
                return Pushed::Overflow;
            }
        }
        state.queue.push_back(bytes);
        if state.queue.len() == 1 { Pushed::First } else { Pushed::Waits }
    }

    /// Moves messages to `output` until those are `bytes_max` long; whether some are left.
    pub(crate) fn take(&self, bytes_max: usize, output: &mut Vec<u8>) -> bool {
        let begin = output.len();
        let mut state = self.state.lock();
        while output.len() - begin < bytes_max {
            let Some(message) = state.pop() else { break };
            if message.len() > bytes_max {
                // A publisher need not wait until that is copied.
                drop(state);
                output.extend_from_slice(&message);
                return !self.is_empty();
            }
            output.extend_from_slice(&message);
        }
        state.shrink();
        !state.queue.is_empty()
    }

    /// Gives all messages to `write`.
    pub(super) fn take_all(&self, mut write: impl FnMut(&[u8])) {
        let mut state = self.state.lock();
        while let Some(message) = state.pop() {
            write(&message);
        }
        state.shrink();
    }

    /// Whether no mail waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().queue.is_empty()
    }

    /// How many messages wait, and what they take.
    pub fn size(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.queue.len(), state.bytes)
    }

    /// Whether it was closed because it held too much.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.state.lock().overflowed
    }

    /// Empties it; nothing comes in any more.
    pub(super) fn close(&self) {
        self.state.lock().close();
    }

    /// Whether nothing comes in any more: its client is gone, or has read too little.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// What new messages are encoded in.
    pub(crate) fn protocol(&self) -> Protocol {
        self.state.lock().protocol
    }

    /// Whether the client has a subscription.
    pub fn is_in_use(&self) -> bool {
        !self.counts.is_zero()
    }

    pub(super) fn switch_protocol(&self, protocol: Protocol) {
        let mut state = self.state.lock();
        if state.protocol != protocol {
            state.protocol = protocol;
            for message in &mut state.queue {
                *message = translate(message, protocol);
            }
        }
    }
}

impl State {
    fn pop(&mut self) -> Option<Bytes> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.len() + MESSAGE_OVERHEAD_BYTES;
        Some(message)
    }

    fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > KEPT_MESSAGES_MAX {
            self.queue = VecDeque::new();
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.queue = VecDeque::new();
        self.bytes = 0;
    }
}
