//! One running server of a comparison: a peer, on a core of its own, that answers.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hallpass_benches::client::Connection;
use hallpass_benches::error::{Error, Result};
use hallpass_benches::process::{Process, free_ports};

use crate::peer::Peer;

/// How long a server may take to answer its first request.
const START_MAX: Duration = Duration::from_secs(10);

/// A server process that dies with this value.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    port: u16,
}

impl Server {
    /// Starts `peer` on `core`; what it prints goes to a file in `logs`.
    pub(crate) fn start(peer: &Peer, core: usize, logs: &Path) -> Result<Self> {
        let port = free_ports(1)?[0];
        let log = logs.join(format!("{}.log", peer.name));
        let core = core.to_string();
        let process = Process::start(&peer.program, peer.arguments(port), Some(&core), &log)?;
        let mut server = Self { process, port };
        server.wait_until_ready(peer, log)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, peer: &Peer, log: PathBuf) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            if answers(self.port) {
                return Ok(());
            }
            if self.process.has_ended()? {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Error::NotReady { server: peer.name.clone(), port: self.port, log })
    }

    /// The port on the loopback interface.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

fn answers(port: u16) -> bool {
    let reply = Connection::open(port).and_then(|mut connection| connection.ask("PING"));
    reply.is_ok_and(|reply| reply.starts_with('+'))
}
