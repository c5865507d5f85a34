//! A client of one node: sends one command, waits for its answer, and records what became of it.
//!
//! An operation ends `ok`, `fail` or `info` and is never tried again. What was not sent has not happened: `fail`. What was
//! sent and not answered, or answered `CLUSTERDOWN`, may have happened: `info`, except that a read which nobody saw
//! may as well not have been, so it is `fail`. After `info` the process is over and the client goes on as another one.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::history::recorder::Recorder;
use crate::history::{Kind, Process};

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// A reply longer than this is not from a session store.
const BULK_BYTES_MAX: usize = 64 << 20;

/// What a server answers, in RESP2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`.
    Simple(String),
    /// `-ERR ...`.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// A string, or nil.
    Bulk(Option<String>),
    /// An array, or nil.
    Array(Option<Vec<Reply>>),
}

impl Reply {
    /// Nil, as a string or an array.
    pub fn is_nil(&self) -> bool {
        matches!(self, Reply::Bulk(None) | Reply::Array(None))
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Reply::Bulk(Some(text)) | Reply::Simple(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an integer, or of a string that is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            Reply::Integer(number) => Some(*number),
            other => other.text()?.parse().ok(),
        }
    }

    /// The items of an array.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(Some(items)) => items,
            _ => &[],
        }
    }

    /// A field of a map, which RESP2 writes as an array of names and values.
    pub fn field(&self, name: &str) -> Option<&Reply> {
        let found = self.items().chunks_exact(2).find(|pair| pair[0].text() == Some(name));
        found.map(|pair| &pair[1])
    }
}

/// A connection to one node.
#[derive(Debug)]
pub struct Connection {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects; each answer may take `patience`.
    pub fn open(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let writer = TcpStream::connect_timeout(&address, CONNECT_PATIENCE.min(patience))?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(patience))?;
        writer.set_write_timeout(Some(patience))?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Self { writer, reader })
    }

    /// Sends a command and returns its answer.
    pub fn call(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            // Writing to a string cannot fail.
            let _written = write!(request, "${}\r\n{word}\r\n", word.len());
        }
        self.writer.write_all(request.as_bytes())?;
        self.read()
    }

    fn read(&mut self) -> io::Result<Reply> {
        let broken = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let Some((kind, rest)) = line.split_at_checked(1) else {
            return Err(broken("an empty line"));
        };
        let number = || rest.parse::<i64>().map_err(|_| broken(line));
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Reply::Bulk(None),
                Ok(length) if length > BULK_BYTES_MAX => return Err(broken("too long")),
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.reader.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bulk(Some(String::from_utf8_lossy(&bytes).into_owned()))
                }
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Reply::Array(None),
                Ok(length) => {
                    Reply::Array(Some((0..length).map(|_| self.read()).collect::<Result<_, _>>()?))
                }
            },
            _ => return Err(broken(line)),
        })
    }
}

/// Whether a command changes anything: what an unknown end means depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Read,
    /// It changes something.
    Write,
}

/// What an answer comes to.
#[derive(Clone, Debug)]
pub enum End {
    /// It happened; this is the value of its line.
    Ok(Value),
    /// It was refused and has changed nothing.
    Fail(String),
}

impl End {
    /// For an answer that the workload does not expect.
    pub fn strange(reply: &Reply) -> Self {
        End::Fail(format!("unexpected answer: {reply:?}"))
    }
}

/// A client that records what it does.
#[derive(Debug)]
pub struct Client {
    recorder: Arc<Recorder>,
    process: u64,
    /// How many numbers lie between a process and its successor.
    stride: u64,
    node: u64,
    address: SocketAddr,
    patience: Duration,
    connection: Option<Connection>,
}

impl Client {
    /// A client of `node`. Its process numbers are `process`, `process + stride` and so on.
    pub fn new(
        recorder: Arc<Recorder>,
        (process, stride): (u64, u64),
        (node, address): (u64, SocketAddr),
        patience: Duration,
    ) -> Self {
        Self { recorder, process, stride, node, address, patience, connection: None }
    }

    /// The node it asks.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// When the run began is time 0.
    pub fn elapsed(&self) -> Duration {
        self.recorder.elapsed()
    }

    /// Does an operation and records both its ends; what came back, if it happened for certain.
    pub fn perform(
        &mut self,
        f: &str,
        value: Value,
        effect: Effect,
        words: &[&str],
        read: impl FnOnce(&Reply) -> End,
    ) -> Option<Value> {
        let process = Process::Client(self.process);
        self.recorder.record(process, Kind::Invoke, f, value.clone(), self.node, None);
        let (kind, value, error) = match self.ask(words, effect) {
            Ok(reply) => match read(&reply) {
                End::Ok(value) => (Kind::Ok, value, None),
                End::Fail(why) => (Kind::Fail, value, Some(why)),
            },
            Err((kind, why)) => (kind, value, Some(why)),
        };
        self.recorder.record(process, kind, f, value.clone(), self.node, error);
        if kind == Kind::Info {
            self.process += self.stride;
        }
        (kind == Kind::Ok).then_some(value)
    }

    fn ask(&mut self, words: &[&str], effect: Effect) -> Result<Reply, (Kind, String)> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address, self.patience)
                .map_err(|error| (Kind::Fail, format!("not sent: {error}")))?,
        };
        let unknown = if effect == Effect::Read { Kind::Fail } else { Kind::Info };
        let connection = self.connection.insert(connection);
        match connection.call(words) {
            Ok(Reply::Error(text)) if text.starts_with("CLUSTERDOWN") => Err((unknown, text)),
            Ok(Reply::Error(text)) if text.starts_with("LOADING") => Err((Kind::Fail, text)),
            Ok(reply) => Ok(reply),
            Err(error) => {
                // A later answer on this connection would be taken for another operation's.
                self.connection = None;
                Err((unknown, error.to_string()))
            }
        }
    }
}
