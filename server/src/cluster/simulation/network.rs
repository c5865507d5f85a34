//! A network in memory whose every byte is late, held back or lost with its connection, by a seed.
//!
//! Connections are streams, as with TCP: what is sent arrives once and in order, or the connection ends.
//! A lost packet is a late one, with everything behind it. A cut holds back what goes one way between
//! two nodes, greetings too, until it is mended. A node whose process ends resets its connections; one
//! that loses power is silent until it is back. Time is the simulator's: [`Network::deliver`] does what is
//! due.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::io::ReadBuf;

use crate::cluster::types::NodeId;

/// Bytes on their way in one direction of a connection; past it, writers wait.
const WINDOW_BYTES: usize = 256 << 10;
/// How long a greeting, or a packet of a mended link, takes at the most to be sent again.
const RETRY_MILLIS: u64 = 200;

/// How late what is sent arrives.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Milliseconds that a packet takes.
    pub delay_millis: Range<u64>,
    /// Of a thousand packets so many are lost once and sent again.
    pub lost_permille: u64,
    /// Milliseconds that this costs.
    pub again_millis: Range<u64>,
}

/// Which way nothing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The node that is not heard,
    pub from: u64,
    /// by this one.
    pub to: u64,
}

/// Something that arrived, for a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The connection's number.
    pub connection: u64,
    /// Who sent it.
    pub from: u64,
    /// Who has it now.
    pub to: u64,
    /// What it is: `call`, `welcome`, `data`, `end` or `reset`.
    pub what: &'static str,
    /// How many bytes.
    pub bytes: usize,
    /// Their hash.
    pub hash: u64,
}

/// The end of a connection that called, or the one that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Calling,
    Called,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Calling => Self::Called,
            Self::Called => Self::Calling,
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A handle to the network; clones share it.
#[derive(Clone, Debug)]
pub struct Network {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    random: Rng,
    now_millis: u64,
    weather: Weather,
    hosts: BTreeMap<NodeId, Host>,
    cuts: Vec<Cut>,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
}

#[derive(Debug)]
struct Host {
    address: String,
    powered: bool,
    listening: bool,
    /// The host's own time may be ahead of the others': it is about to stand still for so long.
    ahead_until_millis: u64,
    callers: VecDeque<(u64, NodeId)>,
    accepting: Option<Waker>,
    sync_millis: Range<u64>,
}

#[derive(Debug)]
struct Connection {
    hosts: [NodeId; 2],
    welcomed: bool,
    wires: [Wire; 2],
    ends: [EndState; 2],
}

/// One direction: from the end of its index to the other.
#[derive(Debug, Default)]
struct Wire {
    on_their_way: VecDeque<(u64, Packet)>,
    bytes_on_their_way: usize,
    arrived: VecDeque<Bytes>,
    last_due_millis: u64,
    finishing: bool,
    finished: bool,
    held: bool,
}

#[derive(Debug, Default)]
struct EndState {
    closed: bool,
    reset: bool,
    reading: Option<Waker>,
    writing: Option<Waker>,
}

#[derive(Debug)]
enum Packet {
    Call,
    Welcome,
    Data(Bytes),
    End,
    Reset,
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl Network {
    /// A network of nodes and their addresses, in fair weather.
    pub fn new(seed: u64, addresses: &BTreeMap<u64, String>) -> Self {
        let host = |address: &String| Host {
            address: address.clone(),
            powered: true,
            listening: false,
            ahead_until_millis: 0,
            callers: VecDeque::new(),
            accepting: None,
            sync_millis: 1..3,
        };
        let inner = Inner {
            random: Rng::with_seed(seed),
            now_millis: 0,
            weather: Weather { delay_millis: 1..2, lost_permille: 0, again_millis: 0..1 },
            hosts: addresses.iter().map(|(node, address)| (*node, host(address))).collect(),
            cuts: Vec::new(),
            connections: BTreeMap::new(),
            last_connection: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Changes how late things are, from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.inner.lock().weather = weather;
    }

    /// What goes which way nowhere; what was cut before and is not in it is mended.
    pub fn set_cuts(&self, cuts: Vec<Cut>) {
        self.inner.lock().cuts = cuts;
    }

    /// How many milliseconds a sync of a node's disk takes.
    pub fn set_sync_millis(&self, node: u64, millis: Range<u64>) {
        self.inner.lock().host(node, |host| host.sync_millis = millis);
    }

    /// Lets a node's own time run ahead until the others' has come as far.
    pub fn run_ahead(&self, node: u64, until_millis: u64) {
        self.inner.lock().host(node, |host| host.ahead_until_millis = until_millis);
    }

    /// A node's process has ended: its connections are reset, or with `power` lost simply silent.
    pub fn stop(&self, node: u64, power: bool) {
        let mut inner = self.inner.lock();
        inner.host(node, |host| {
            host.powered = !power;
            host.listening = false;
            host.callers.clear();
            host.accepting = None;
        });
        inner.abandon(node, power);
    }

    /// A node is being started again.
    pub fn start(&self, node: u64) {
        self.inner.lock().host(node, |host| host.powered = true);
    }

    /// Goes on to a time and delivers what is due.
    pub fn deliver(&self, now_millis: u64) -> Vec<Delivery> {
        let mut wakers = Vec::new();
        let mut inner = self.inner.lock();
        inner.now_millis = now_millis;
        let deliveries = inner.deliver(&mut wakers);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        deliveries
    }

    pub(super) fn draw(&self, below: u64) -> u64 {
        self.inner.lock().random.u64(..below)
    }

    pub(super) fn sync_millis(&self, node: NodeId) -> u64 {
        let mut inner = self.inner.lock();
        let range = inner.hosts.get(&node).map_or(1..2, |host| host.sync_millis.clone());
        inner.random.u64(range)
    }

    pub(super) fn listen(&self, node: NodeId) {
        self.inner.lock().host(node, |host| host.listening = true);
    }

    pub(super) fn call(&self, from: NodeId, address: &str) -> io::Result<u64> {
        let mut inner = self.inner.lock();
        let to = inner.hosts.iter().find(|(_, host)| host.address == address);
        let to = to.map(|(node, _)| *node).ok_or(io::ErrorKind::AddrNotAvailable)?;
        inner.last_connection += 1;
        let number = inner.last_connection;
        let connection = Connection {
            hosts: [from, to],
            welcomed: false,
            wires: <[Wire; 2]>::default(),
            ends: <[EndState; 2]>::default(),
        };
        inner.connections.insert(number, connection);
        inner.send(number, Side::Calling, Packet::Call);
        Ok(number)
    }

    pub(super) fn poll_connected(
        &self,
        connection: u64,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.inner.lock();
        let Some(connection) = inner.connections.get_mut(&connection) else {
            return Poll::Ready(Err(reset()));
        };
        let welcomed = connection.welcomed;
        let [end, _] = &mut connection.ends;
        if end.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        if welcomed {
            return Poll::Ready(Ok(()));
        }
        end.reading = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_accept(
        &self,
        node: NodeId,
        context: &mut Context<'_>,
    ) -> Poll<(u64, NodeId)> {
        let mut inner = self.inner.lock();
        let Some(host) = inner.hosts.get_mut(&node) else { return Poll::Pending };
        if let Some(caller) = host.callers.pop_front() {
            return Poll::Ready(caller);
        }
        host.accepting = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_read(
        &self,
        connection: u64,
        side: Side,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.inner.lock();
        let Some(connection) = inner.connections.get_mut(&connection) else {
            return Poll::Ready(Err(reset()));
        };
        let Connection { wires, ends, .. } = connection;
        let (wire, end) = (&mut wires[side.other().index()], &mut ends[side.index()]);
        if end.reset {
            return Poll::Ready(Err(reset()));
        }
        if let Some(bytes) = wire.arrived.front_mut() {
            let taken = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes.split_to(taken));
            if !bytes.has_remaining() {
                wire.arrived.pop_front();
            }
            return Poll::Ready(Ok(()));
        }
        if wire.finished {
            return Poll::Ready(Ok(()));
        }
        end.reading = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_write(
        &self,
        number: u64,
        side: Side,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner.lock();
        let Some(connection) = inner.connections.get_mut(&number) else {
            return Poll::Ready(Err(reset()));
        };
        let Connection { wires, ends, .. } = connection;
        let (wire, end) = (&mut wires[side.index()], &mut ends[side.index()]);
        if end.reset || wire.finishing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW_BYTES.saturating_sub(wire.bytes_on_their_way);
        if room == 0 {
            end.writing = Some(context.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.len().min(room);
        wire.bytes_on_their_way += taken;
        let data = Bytes::copy_from_slice(bytes.get(..taken).unwrap_or_default());
        inner.send(number, side, Packet::Data(data));
        Poll::Ready(Ok(taken))
    }

    /// Nothing more will be written from this side.
    pub(super) fn finish(&self, number: u64, side: Side) {
        let mut inner = self.inner.lock();
        let Some(connection) = inner.connections.get_mut(&number) else { return };
        let wire = &mut connection.wires[side.index()];
        if wire.finishing || connection.ends[side.index()].closed {
            return;
        }
        wire.finishing = true;
        inner.send(number, side, Packet::End);
    }

    /// Nobody holds this end any more.
    pub(super) fn close(&self, number: u64, side: Side) {
        self.finish(number, side);
        let mut inner = self.inner.lock();
        if let Some(connection) = inner.connections.get_mut(&number) {
            connection.ends[side.index()] = EndState { closed: true, ..EndState::default() };
        }
    }
}

impl Inner {
    fn host(&mut self, node: NodeId, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.hosts.get_mut(&node) {
            change(host);
        }
    }

    fn send(&mut self, number: u64, side: Side, packet: Packet) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let from = connection.hosts[side.index()];
        let ahead = self.hosts.get(&from).map_or(0, |host| host.ahead_until_millis);
        let mut due =
            self.now_millis.max(ahead) + self.random.u64(self.weather.delay_millis.clone());
        if self.random.u64(..1000) < self.weather.lost_permille {
            due += self.random.u64(self.weather.again_millis.clone());
        }
        let wire = &mut connection.wires[side.index()];
        due = due.max(wire.last_due_millis).max(self.now_millis + 1);
        wire.last_due_millis = due;
        wire.on_their_way.push_back((due, packet));
    }

    fn abandon(&mut self, node: NodeId, power: bool) {
        let mut resets = Vec::new();
        for (number, connection) in &mut self.connections {
            for side in [Side::Calling, Side::Called] {
                if connection.hosts[side.index()] != node || connection.ends[side.index()].closed {
                    continue;
                }
                connection.ends[side.index()] = EndState { closed: true, ..EndState::default() };
                let wire = &mut connection.wires[side.index()];
                if !power {
                    resets.push((*number, side));
                } else if self.random.bool() {
                    // What had not left the machine.
                    wire.on_their_way.clear();
                }
                wire.finishing = true;
            }
        }
        for (number, side) in resets {
            self.send(number, side, Packet::Reset);
        }
    }

    fn deliver(&mut self, wakers: &mut Vec<Waker>) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            for side in [Side::Calling, Side::Called] {
                while let Some((from, to, packet)) = self.next_due(number, side) {
                    deliveries.push(describe(number, from, to, &packet));
                    self.arrive(number, side, packet, wakers);
                }
            }
        }
        self.connections.retain(|_, connection| {
            let over = |end: &EndState, wire: &Wire| end.closed && wire.on_their_way.is_empty();
            !connection.ends.iter().zip(&connection.wires).all(|(end, wire)| over(end, wire))
        });
        deliveries
    }

    /// The next packet of a wire, if it arrives now.
    fn next_due(&mut self, number: u64, side: Side) -> Option<(NodeId, NodeId, Packet)> {
        let connection = self.connections.get_mut(&number)?;
        let (from, to) = (connection.hosts[side.index()], connection.hosts[side.other().index()]);
        let wire = &mut connection.wires[side.index()];
        if self.cuts.contains(&Cut { from, to }) {
            wire.held = true;
            return None;
        }
        if std::mem::take(&mut wire.held) {
            // The sender tries again when it next does, and everything comes in order.
            let due = self.now_millis + self.random.u64(..RETRY_MILLIS);
            wire.last_due_millis = wire.last_due_millis.max(due);
            for (was_due, _) in &mut wire.on_their_way {
                *was_due = due.max(*was_due);
            }
        }
        let (due, _) = wire.on_their_way.front()?;
        if *due > self.now_millis {
            return None;
        }
        let (_, packet) = wire.on_their_way.pop_front()?;
        if let Packet::Data(bytes) = &packet {
            wire.bytes_on_their_way = wire.bytes_on_their_way.saturating_sub(bytes.len());
        }
        Some((from, to, packet))
    }

    fn arrive(&mut self, number: u64, side: Side, packet: Packet, wakers: &mut Vec<Waker>) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let (from, to) = (connection.hosts[side.index()], connection.hosts[side.other().index()]);
        let Some(host) = self.hosts.get_mut(&to) else { return };
        if !host.powered {
            // Into the void: whoever sent it will hear of it when there is somebody again.
            connection.ends[side.other().index()].closed = true;
            return;
        }
        let Connection { wires, ends, welcomed, .. } = connection;
        let (wire, [calling, called]) = (&mut wires[side.index()], ends);
        let (sender, receiver) = match side {
            Side::Calling => (calling, called),
            Side::Called => (called, calling),
        };
        wakers.extend(sender.writing.take());
        match packet {
            Packet::Call if !host.listening => {
                receiver.closed = true;
                return self.send(number, side.other(), Packet::Reset);
            }
            Packet::Call => {
                host.callers.push_back((number, from));
                wakers.extend(host.accepting.take());
                return self.send(number, side.other(), Packet::Welcome);
            }
            Packet::Data(_) if receiver.closed => {
                return self.send(number, side.other(), Packet::Reset);
            }
            Packet::Welcome => *welcomed = true,
            Packet::Data(bytes) => wire.arrived.push_back(bytes),
            Packet::End => wire.finished = true,
            Packet::Reset => receiver.reset = true,
        }
        wakers.extend(receiver.reading.take());
        if receiver.reset {
            wakers.extend(receiver.writing.take());
        }
    }
}

fn describe(connection: u64, from: NodeId, to: NodeId, packet: &Packet) -> Delivery {
    let (what, data): (_, &[u8]) = match packet {
        Packet::Call => ("call", &[]),
        Packet::Welcome => ("welcome", &[]),
        Packet::Data(bytes) => ("data", bytes),
        Packet::End => ("end", &[]),
        Packet::Reset => ("reset", &[]),
    };
    let mut hasher = crc32fast::Hasher::new();
    hasher.write(data);
    Delivery { connection, from, to, what, bytes: data.len(), hash: Hasher::finish(&hasher) }
}
