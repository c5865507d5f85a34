//! The load: one thread, many connections, each sending a batch and waiting for all its replies.
//!
//! Built to cost less than the servers it measures: requests are encoded beforehand, a batch is one
//! write straight from their buffer, and replies are only walked over. What it costs is reported
//! beside what the server costs, so that a reader sees which of the two was the limit.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::error::{Context, Error, Result};
use crate::reply::{Counts, ReplyScanner, bulk_strings};
use crate::server::{Server, own_cpu_time};
use crate::workload::Requests;

/// More than the largest answer to one batch: one read takes it all.
const INPUT_BYTES: usize = 128 * 1024;
/// A server that says nothing for so long has failed.
const SILENCE_MAX: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
const EVENTS_MAX: usize = 256;

/// One connection and the batch in flight on it.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    scanner: ReplyScanner,
    /// Replies still to come.
    waiting: usize,
    /// What the socket would not take yet of the batch.
    unsent: Range<usize>,
    /// Whether epoll reports room in the socket, which only a batch that did not fit needs.
    awaits_room: bool,
}

/// Connections to one server.
pub(crate) struct Generator {
    connections: Vec<Connection>,
    poll: OwnedFd,
    events: Vec<epoll::Event>,
    input: Vec<u8>,
}

/// When a connection that has had some of its replies sends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sending {
    /// When it has had all of them: the next batch goes out whole.
    Batch,
    /// At once, as many as it has had: requests trickle, and servers see small batches.
    Stream,
}

impl Sending {
    /// In words.
    pub(crate) fn explained(self) -> &'static str {
        match self {
            Self::Batch => "whole batches",
            Self::Stream => "a request for each reply",
        }
    }

    /// Bytes taken by one read. A streaming client reads as little as libevent's do, which is what
    /// makes it trickle.
    fn read_bytes(self) -> usize {
        match self {
            Self::Batch => INPUT_BYTES,
            Self::Stream => 4096,
        }
    }
}

/// Which requests come next.
#[derive(Debug)]
struct Feed<'a> {
    requests: &'a Requests,
    sending: Sending,
    pipeline: usize,
    next: usize,
    /// Begin again at the end.
    endless: bool,
}

impl Feed<'_> {
    fn take(&mut self, wanted: usize) -> Range<usize> {
        let count = self.requests.len();
        if self.endless && self.next + wanted > count {
            self.next = 0;
        }
        let batch = self.next..count.min(self.next + wanted);
        self.next = batch.end;
        batch
    }
}

/// How the load is put on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Requests in flight on a connection.
    pub(crate) pipeline: usize,
    /// When more are sent.
    pub(crate) sending: Sending,
    /// For how long.
    pub(crate) window: Window,
}

/// How long to warm up, then to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Not counted: caches, socket buffers and branch predictors settle.
    pub(crate) warm_up: Duration,
    /// Counted.
    pub(crate) measured: Duration,
}

/// What one measurement saw.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Measurement {
    /// Requests answered.
    pub(crate) requests: usize,
    /// Requests a second.
    pub(crate) throughput: f64,
    /// Time the server's threads spent on a core, for each request.
    pub(crate) server_cpu_us: f64,
    /// The same of the generator.
    pub(crate) generator_cpu_us: f64,
    /// Share of the wall time the server was on its core.
    pub(crate) server_busy: f64,
    /// The same of the generator.
    pub(crate) generator_busy: f64,
    /// Reads that found nothing; there should be none.
    pub(crate) nils: usize,
}

/// Clocks and counters at one moment.
#[derive(Debug)]
struct Sample {
    at: Instant,
    server: Duration,
    generator: Duration,
    counts: Counts,
}

impl Sample {
    fn take(server: &Server, counts: Counts) -> Result<Self> {
        let (at, generator) = (Instant::now(), own_cpu_time()?);
        Ok(Self { at, server: server.cpu_time()?, generator, counts })
    }

    fn until(&self, end: &Self) -> Measurement {
        let requests = end.counts.replies - self.counts.replies;
        let wall_us = micros(end.at - self.at);
        let server_us = micros(end.server.saturating_sub(self.server));
        let generator_us = micros(end.generator.saturating_sub(self.generator));
        Measurement {
            requests,
            throughput: requests as f64 / wall_us * 1e6,
            server_cpu_us: server_us / requests as f64,
            generator_cpu_us: generator_us / requests as f64,
            server_busy: server_us / wall_us,
            generator_busy: generator_us / wall_us,
            nils: end.counts.nils - self.counts.nils,
        }
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

impl Generator {
    /// Opens `count` connections to a server.
    pub(crate) fn connect(server: &Server, count: usize) -> Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create")?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()))
                .context("connecting to a server")?;
            stream.set_nodelay(true).context("TCP_NODELAY")?;
            stream.set_nonblocking(true).context("O_NONBLOCK")?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&poll, &stream, data, epoll::EventFlags::IN).context("epoll_ctl")?;
            let scanner = ReplyScanner::new();
            connections.push(Connection {
                stream,
                scanner,
                waiting: 0,
                unsent: 0..0,
                awaits_room: false,
            });
        }
        let events = Vec::with_capacity(EVENTS_MAX);
        Ok(Self { connections, poll, events, input: vec![0; INPUT_BYTES] })
    }

    /// Sends each request once and waits for all replies.
    pub(crate) fn send_all(&mut self, requests: &Requests, pipeline: usize) -> Result<Counts> {
        let sending = Sending::Batch;
        let mut feed = Feed { requests, sending, pipeline, next: 0, endless: false };
        let mut counts = Counts::default();
        self.begin(&mut feed)?;
        while counts.replies < requests.len() {
            self.turn(&mut feed, &mut counts)?;
        }
        Ok(counts)
    }

    /// Keeps every connection busy for the window and says what that cost.
    pub(crate) fn saturate(
        &mut self,
        requests: &Requests,
        shape: Shape,
        server: &Server,
    ) -> Result<Measurement> {
        let Shape { pipeline, sending, window } = shape;
        let mut feed = Feed { requests, sending, pipeline, next: 0, endless: true };
        let mut counts = Counts::default();
        let started = Instant::now();
        self.begin(&mut feed)?;
        while started.elapsed() < window.warm_up {
            self.turn(&mut feed, &mut counts)?;
        }
        let first = Sample::take(server, counts)?;
        while first.at.elapsed() < window.measured {
            self.turn(&mut feed, &mut counts)?;
        }
        let last = Sample::take(server, counts)?;
        Ok(first.until(&last))
    }

    fn begin(&mut self, feed: &mut Feed<'_>) -> Result<()> {
        for index in 0..self.connections.len() {
            let connection = &mut self.connections[index];
            connection.send_next(feed, &self.poll, index)?;
        }
        Ok(())
    }

    /// Waits for sockets, takes what they bring, and sends what they have room for.
    fn turn(&mut self, feed: &mut Feed<'_>, counts: &mut Counts) -> Result<()> {
        if self.wait(SILENCE_MAX)? == 0 {
            return Err(Error::Stalled("stopped answering"));
        }
        for event in &self.events {
            let index = event.data.u64() as usize;
            let connection = &mut self.connections[index];
            connection.make_room(*event, feed.requests, &self.poll)?;
            let input = &mut self.input[..feed.sending.read_bytes()];
            if connection.receive(input, counts)? > 0 {
                connection.send_next(feed, &self.poll, index)?;
            }
        }
        Ok(())
    }

    /// Waits no longer than `longest`, takes what sockets bring, and calls `answered` with each
    /// connection that has had all its replies.
    pub(crate) fn poll(
        &mut self,
        requests: &Requests,
        longest: Timespec,
        counts: &mut Counts,
        mut answered: impl FnMut(usize),
    ) -> Result<()> {
        self.wait(longest)?;
        for event in &self.events {
            let index = event.data.u64() as usize;
            let connection = &mut self.connections[index];
            connection.make_room(*event, requests, &self.poll)?;
            if connection.receive(&mut self.input, counts)? > 0 && connection.waiting == 0 {
                answered(index);
            }
        }
        Ok(())
    }

    /// Sends some of `requests` on one connection.
    pub(crate) fn send(
        &mut self,
        connection: usize,
        requests: &Requests,
        batch: Range<usize>,
    ) -> Result<()> {
        self.connections[connection].send(requests, batch, &self.poll, connection)
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    fn wait(&mut self, longest: Timespec) -> Result<usize> {
        self.events.clear();
        match epoll::wait(&self.poll, spare_capacity(&mut self.events), Some(&longest)) {
            Ok(count) => Ok(count),
            Err(error) => Err(error).context("epoll_wait"),
        }
    }
}

impl Connection {
    /// Sends what did not fit before, if the socket says that there is room.
    fn make_room(
        &mut self,
        event: epoll::Event,
        requests: &Requests,
        poll: &OwnedFd,
    ) -> Result<()> {
        let flags = event.flags;
        if flags.contains(epoll::EventFlags::OUT) {
            return self.flush(requests, poll, event.data.u64() as usize);
        }
        Ok(())
    }

    /// Reads once; says how many replies were completed.
    fn receive(&mut self, input: &mut [u8], counts: &mut Counts) -> Result<usize> {
        let length = match self.stream.read(input) {
            Ok(0) => return Err(Error::Stalled("closed a connection")),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error).context("reading replies"),
        };
        let before = counts.replies;
        self.scanner.feed(&input[..length], counts)?;
        let replies = counts.replies - before;
        self.waiting = self
            .waiting
            .checked_sub(replies)
            .ok_or(Error::Stalled("sent more replies than it was asked for"))?;
        Ok(replies)
    }

    fn send_next(&mut self, feed: &mut Feed<'_>, poll: &OwnedFd, index: usize) -> Result<()> {
        let may_send = self.waiting == 0 || feed.sending == Sending::Stream;
        if !may_send || !self.unsent.is_empty() {
            return Ok(());
        }
        let batch = feed.take(feed.pipeline - self.waiting);
        self.send(feed.requests, batch, poll, index)
    }

    fn send(
        &mut self,
        requests: &Requests,
        batch: Range<usize>,
        poll: &OwnedFd,
        index: usize,
    ) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.waiting += batch.len();
        self.unsent = requests.span(batch);
        self.flush(requests, poll, index)
    }

    fn flush(&mut self, requests: &Requests, poll: &OwnedFd, index: usize) -> Result<()> {
        match self.stream.write(requests.bytes(self.unsent.clone())) {
            Ok(length) => self.unsent.start += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("sending requests"),
        }
        let awaits_room = !self.unsent.is_empty();
        if awaits_room != self.awaits_room {
            self.awaits_room = awaits_room;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, awaits_room);
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(poll, &self.stream, data, flags).context("epoll_ctl")?;
        }
        Ok(())
    }
}

/// Sends `SESSION.CREATE` requests over one connection and returns the ids that came back.
pub(crate) fn create_sessions(port: u16, requests: &Requests) -> Result<Vec<Vec<u8>>> {
    const BATCH: usize = 64;
    let mut stream =
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting to a server")?;
    let silence_max = Duration::from_secs(SILENCE_MAX.tv_sec.unsigned_abs());
    stream.set_read_timeout(Some(silence_max)).context("SO_RCVTIMEO")?;
    let mut ids = Vec::with_capacity(requests.len());
    let (mut scanner, mut counts) = (ReplyScanner::new(), Counts::default());
    let mut input = vec![0; INPUT_BYTES];
    let mut replies = Vec::new();
    for first in (0..requests.len()).step_by(BATCH) {
        let last = requests.len().min(first + BATCH);
        let batch = requests.bytes(requests.span(first..last));
        stream.write_all(batch).context("sending requests")?;
        replies.clear();
        while counts.replies < last {
            let length = stream.read(&mut input).context("reading replies")?;
            if length == 0 {
                return Err(Error::Stalled("closed a connection"));
            }
            scanner.feed(&input[..length], &mut counts)?;
            replies.extend_from_slice(&input[..length]);
        }
        let mut strings = bulk_strings(&replies);
        while let Some(name) = strings.next() {
            if name == b"id" {
                ids.extend(strings.next().map(<[u8]>::to_vec));
            }
        }
    }
    if ids.len() == requests.len() {
        return Ok(ids);
    }
    Err(Error::Refused(format!("{} ids to {} SESSION.CREATE", ids.len(), requests.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn ids_are_taken_from_the_replies() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut requests = Requests::default();
        for _ in 0..100 {
            requests.push(&[b"SESSION.CREATE", b"user"]);
        }
        let request_bytes = requests.bytes(requests.span(0..1)).len();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; request_bytes];
            for id in 0..100 {
                stream.read_exact(&mut request).unwrap();
                let reply = format!("*4\r\n$2\r\nid\r\n$3\r\n{id:03}\r\n$7\r\ncreated\r\n:1\r\n");
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        let ids = create_sessions(port, &requests).unwrap();
        server.join().unwrap();
        assert_eq!(ids.len(), 100);
        assert_eq!(ids[42], b"042");
    }

    #[test]
    fn requests_begin_again_only_when_endless() {
        let mut requests = Requests::default();
        for _ in 0..5 {
            requests.push(&[b"PING"]);
        }
        let sending = Sending::Batch;
        let mut feed = Feed { requests: &requests, sending, pipeline: 2, next: 0, endless: true };
        let ranges: Vec<_> = (0..4).map(|_| feed.take(2)).collect();
        assert_eq!(ranges, [0..2, 2..4, 0..2, 2..4]);
        let mut feed = Feed { endless: false, next: 0, ..feed };
        let ranges: Vec<_> = (0..4).map(|_| feed.take(2)).collect();
        assert_eq!(ranges, [0..2, 2..4, 4..5, 5..5]);
    }
}
