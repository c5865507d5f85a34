//! A client that goes to the next node when one does not answer, and tries again until it is acknowledged.

use std::time::{Duration, Instant};

use hallpass_benches::client::Connection;
use hallpass_benches::error::{Error, Result};

/// After so long the client gives up, and the measurement with it.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause before the next node is tried.
const PAUSE: Duration = Duration::from_millis(2);

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
                Ok(reply) if !reply.starts_with("-CLUSTERDOWN") => {
                    return Err(Error::Refused(reply));
                }
                _ if Instant::now() > deadline => break,
                _ => {}
            }
            self.connection = None;
            self.node = (self.node + 1) % self.ports.len();
            std::thread::sleep(PAUSE);
        }
        Err(Error::Waited { patience: PATIENCE, what: "a write to be acknowledged".to_owned() })
    }

    fn attempt(&mut self, line: &str) -> std::io::Result<String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(self.ports[self.node])?),
        };
        connection.ask(line)
    }
}
