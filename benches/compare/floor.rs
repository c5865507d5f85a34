//! The limit: a server that does what any server on sockets must do, and nothing else.
//!
//! One thread, one epoll loop. It finds where each request ends, answers `GET` and `GETEX` with a
//! constant of 500 bytes and everything else with `+OK`, one read and one write for each batch.
//! It stores nothing. No server that uses a socket for each client gets below it on one core, so
//! the ratio floor / server says how much is left to win.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::pin::Pin;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than the largest batch of requests: one read takes it all.
const INPUT_BYTES: usize = 64 * 1024;
const EVENTS_MAX: usize = 256;
const VALUE_BYTES: usize = 500;
/// Epoll data of the listener; connections use their index.
const LISTENER: u64 = u64::MAX;

/// One client.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// The start of a request cut by the end of a read.
    cut: Vec<u8>,
    /// Replies the socket would not take yet; nothing is read until it has.
    unsent: Vec<u8>,
}

/// What lies at the start of the input.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    /// A complete request of so many bytes.
    Complete { length: usize, wants_value: bool },
    /// More must be read.
    Cut,
    /// Not RESP.
    Bad,
}

/// The server's state.
#[derive(Debug)]
pub(crate) struct Floor {
    listener: TcpListener,
    poll: OwnedFd,
    connections: Vec<Option<Connection>>,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The constant answer to a read.
    value: Vec<u8>,
}

impl Floor {
    /// Listens on `port` of the loopback interface.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&poll, &listener, data, epoll::EventFlags::IN)?;
        Ok(Self {
            listener,
            poll,
            connections: Vec::new(),
            input: vec![0; INPUT_BYTES],
            output: Vec::with_capacity(INPUT_BYTES),
            value: constant_value(),
        })
    }

    /// Serves until the process is killed.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                if event.data.u64() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let index = event.data.u64() as usize;
                let Some(connection) = self.connections.get_mut(index).and_then(Option::take)
                else {
                    continue;
                };
                // A client that is gone, or talks nonsense, is dropped and thereby closed.
                self.connections[index] = self.attend(connection, index).ok();
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let free = self.connections.iter().position(Option::is_none);
            let index = free.unwrap_or(self.connections.len());
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&self.poll, &stream, data, epoll::EventFlags::IN)?;
            let connection = Connection { stream, cut: Vec::new(), unsent: Vec::new() };
            match free {
                Some(index) => self.connections[index] = Some(connection),
                None => self.connections.push(Some(connection)),
            }
        }
    }

    fn attend(&mut self, mut connection: Connection, index: usize) -> io::Result<Connection> {
        if !connection.unsent.is_empty() {
            let unsent = std::mem::take(&mut connection.unsent);
            self.send(&mut connection, &unsent, index, true)?;
            return Ok(connection);
        }
        let kept = connection.cut.len();
        self.input[..kept].copy_from_slice(&connection.cut);
        connection.cut.clear();
        let length = match connection.stream.read(&mut self.input[kept..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => kept + length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => kept,
            Err(error) => return Err(error),
        };
        self.output.clear();
        let consumed = answer(&self.input[..length], &self.value, &mut self.output)?;
        connection.cut.extend_from_slice(&self.input[consumed..length]);
        if connection.cut.len() == INPUT_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        if !self.output.is_empty() {
            let output = std::mem::take(&mut self.output);
            let sent = self.send(&mut connection, &output, index, false);
            self.output = output;
            sent?;
        }
        Ok(connection)
    }

    fn send(
        &self,
        connection: &mut Connection,
        bytes: &[u8],
        index: usize,
        waited: bool,
    ) -> io::Result<()> {
        let sent = match connection.stream.write(bytes) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        connection.unsent.extend_from_slice(&bytes[sent..]);
        let waits = !connection.unsent.is_empty();
        if waits != waited {
            let flags = if waits { epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(&self.poll, &connection.stream, data, flags)?;
        }
        Ok(())
    }
}

/// The answer to each read.
fn constant_value() -> Vec<u8> {
    let mut value = format!("${VALUE_BYTES}\r\n").into_bytes();
    value.resize(value.len() + VALUE_BYTES, b'x');
    value.extend_from_slice(b"\r\n");
    value
}

/// Appends the answers to all complete requests to `output`; says how far they reach.
fn answer(input: &[u8], value: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
    let mut consumed = 0;
    while consumed < input.len() {
        match next_request(&input[consumed..]) {
            Request::Complete { length, wants_value } => {
                output.extend_from_slice(if wants_value { value } else { b"+OK\r\n" });
                consumed += length;
            }
            Request::Cut => break,
            Request::Bad => return Err(ErrorKind::InvalidData.into()),
        }
    }
    Ok(consumed)
}

/// Measures the request at the start of `input`.
fn next_request(input: &[u8]) -> Request {
    let Some((arguments, mut at)) = header(input, 0, b'*') else {
        return cut_or_bad(input, 0, b'*');
    };
    let mut wants_value = false;
    for argument in 0..arguments {
        let Some((length, start)) = header(input, at, b'$') else {
            return cut_or_bad(input, at, b'$');
        };
        let end = start + length;
        if argument == 0 {
            wants_value = matches!(input.get(start..end), Some(b"GET" | b"GETEX"));
        }
        at = end + 2;
    }
    if at > input.len() { Request::Cut } else { Request::Complete { length: at, wants_value } }
}

/// A number between `kind` and a line end: its value and where the next thing starts.
fn header(input: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let (first, rest) = input.get(at..)?.split_first()?;
    if *first != kind {
        return None;
    }
    let mut value = 0_usize;
    for (index, byte) in rest.iter().enumerate().take(8) {
        if *byte == b'\r' {
            return Some((value, at + index + 3));
        }
        value = value * 10 + usize::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    None
}

/// A header that could not be read is cut if all there is of it could still become one.
fn cut_or_bad(input: &[u8], at: usize, kind: u8) -> Request {
    let rest = input.get(at..).unwrap_or_default();
    let digits = rest.get(1..).unwrap_or_default();
    let could_be = rest.first().is_none_or(|first| *first == kind)
        && digits.len() < 8
        && digits.iter().all(u8::is_ascii_digit);
    if could_be { Request::Cut } else { Request::Bad }
}

/// The same on tokio's `current_thread` runtime: what a runtime costs over a bare loop.
pub(crate) fn serve_on_tokio(port: u16) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A client that is gone, or talks nonsense, ends its own task and nothing else.
            drop(tokio::spawn(attend_on_tokio(stream)));
        }
    })
}

async fn attend_on_tokio(mut stream: tokio::net::TcpStream) -> io::Result<()> {
    let value = constant_value();
    let (mut input, mut kept) = (vec![0; INPUT_BYTES], 0);
    let mut output = Vec::with_capacity(INPUT_BYTES);
    loop {
        // By poll_read and not try_read: after a read that does not fill the buffer it knows
        // that there is no more, and spares the system call that would say so.
        let mut buffer = ReadBuf::new(&mut input[kept..]);
        poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut buffer)).await?;
        let length = kept + buffer.filled().len();
        if length == kept {
            return Ok(());
        }
        output.clear();
        let consumed = answer(&input[..length], &value, &mut output)?;
        input.copy_within(consumed..length, 0);
        kept = length - consumed;
        let mut unsent = &output[..];
        while !unsent.is_empty() {
            let write = poll_fn(|context| Pin::new(&mut stream).poll_write(context, unsent));
            unsent = &unsent[write.await?..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_measured_wherever_it_is_cut() {
        let get = b"*2\r\n$3\r\nGET\r\n$4\r\nname\r\n";
        for cut in 0..get.len() {
            assert_eq!(next_request(&get[..cut]), Request::Cut, "cut at {cut}");
        }
        let whole = Request::Complete { length: get.len(), wants_value: true };
        assert_eq!(next_request(get), whole);
        let twice = [&get[..], get].concat();
        assert_eq!(next_request(&twice), whole);
    }

    #[test]
    fn only_reads_get_a_value() {
        let set = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
        let complete = Request::Complete { length: set.len(), wants_value: false };
        assert_eq!(next_request(set), complete);
    }

    #[test]
    fn nonsense_is_bad() {
        for input in [&b"GET x\r\n"[..], b"*x\r\n", b"*1\r\n+OK\r\n", b"*123456789\r\n"] {
            assert_eq!(next_request(input), Request::Bad, "{input:?}");
        }
    }
}
