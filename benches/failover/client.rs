//! A client that goes to the next node when one does not answer, and tries again until it is acknowledged.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Result;

/// A node that has not answered for so long is left for the next one.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// After so long the client gives up, and the measurement with it.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause before the next node is tried.
const PAUSE: Duration = Duration::from_millis(2);

/// One connection.
pub(crate) struct Connection {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to a node on this machine.
    pub(crate) fn open(port: u16) -> std::io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let writer = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(ANSWER_MAX))?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Self { writer, reader })
    }

    /// Sends a line and returns the reply: its first line, and for text what follows.
    pub(crate) fn ask(&mut self, line: &str) -> std::io::Result<String> {
        self.writer.write_all(format!("{line}\r\n").as_bytes())?;
        let mut reply = String::new();
        if self.reader.read_line(&mut reply)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let length = reply.strip_prefix('$').and_then(|rest| rest.trim_end().parse::<usize>().ok());
        if let Some(length) = length {
            let mut text = vec![0; length + 2];
            self.reader.read_exact(&mut text)?;
            reply = String::from_utf8_lossy(&text).into_owned();
        }
        Ok(reply)
    }
}

/// The client.
pub(crate) struct Retrying {
    ports: Vec<u16>,
    node: usize,
    connection: Option<Connection>,
    written: u64,
}

impl Retrying {
    /// A client of the nodes on these ports, which begins with node `first`, from 1.
    pub(crate) fn new(ports: Vec<u16>, first: usize) -> Self {
        Self { ports, node: first - 1, connection: None, written: 0 }
    }

    /// Writes until it is acknowledged; how many attempts that took.
    pub(crate) fn write(&mut self) -> Result<u64> {
        self.written += 1;
        let line = format!("SET failover {}", self.written);
        let deadline = Instant::now() + PATIENCE;
        for attempt in 1.. {
            match self.attempt(&line) {
                Ok(reply) if reply.starts_with("+OK") => return Ok(attempt),
                Ok(reply) if !reply.starts_with("-CLUSTERDOWN") => return Err(reply),
                _ if Instant::now() > deadline => break,
                _ => {}
            }
            self.connection = None;
            self.node = (self.node + 1) % self.ports.len();
            std::thread::sleep(PAUSE);
        }
        Err(format!("no node acknowledged a write within {PATIENCE:?}"))
    }

    fn attempt(&mut self, line: &str) -> std::io::Result<String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(self.ports[self.node])?),
        };
        connection.ask(line)
    }
}
