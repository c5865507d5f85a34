//! One running server: started on a core of its own, watched through `/proc`, ended for certain.
//!
//! The process is made by `setpriv` and `taskset`, which replace themselves by the server: its id is
//! the child's, it never runs off its core, and the kernel kills it when this program dies, however
//! that happens (Ctrl-C, a panic, SIGKILL). While this program lives, `Drop` kills it by its id.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};
use crate::peer::Peer;

/// How long a server may take to answer its first request.
const START_MAX: Duration = Duration::from_secs(10);

/// A server process that dies with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts `peer` on `core`; what it prints goes to a file in `logs`.
    pub(crate) fn start(peer: &Peer, core: usize, logs: &Path) -> Result<Self> {
        let port = free_port()?;
        let log = logs.join(format!("{}.log", peer.name));
        let output = File::create(&log).context(format!("creating {}", log.display()))?;
        let errors = output.try_clone().context("sharing a log file")?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "--cpu-list", &core.to_string()])
            .arg(&peer.program)
            .args(peer.arguments(port))
            .current_dir(logs)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .context("starting a server through setpriv (package util-linux)")?;
        let mut server = Self { child, port };
        server.wait_until_ready(peer, log)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, peer: &Peer, log: PathBuf) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            if answers(self.port) {
                return Ok(());
            }
            if self.child.try_wait().context("watching a server")?.is_some() {
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

    /// Time its threads have spent on a core, as the scheduler counts it.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let tasks = self.tasks();
        let mut total = Duration::ZERO;
        for task in fs::read_dir(&tasks).context(tasks.as_str())? {
            let path = task.context(tasks.as_str())?.path().join("schedstat");
            // A thread that ended meanwhile takes its share with it; peers keep theirs.
            total += scheduled(&path).unwrap_or_default();
        }
        Ok(total)
    }

    /// Where the kernel tells about its threads.
    pub(crate) fn tasks(&self) -> String {
        format!("/proc/{}/task", self.child.id())
    }

    /// Memory it holds in RAM, as the kernel counts it.
    pub(crate) fn resident_bytes(&self) -> Result<usize> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).context(path.as_str())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        kilobytes.map(|count| count * 1024).ok_or(Error::Stalled("has ended"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Time the calling thread has spent on a core.
pub(crate) fn own_cpu_time() -> Result<Duration> {
    scheduled(Path::new("/proc/thread-self/schedstat")).context("reading own schedstat")
}

fn scheduled(path: &Path) -> std::io::Result<Duration> {
    let text = fs::read_to_string(path)?;
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr().context("finding a free port")?.port())
}

fn answers(port: u16) -> bool {
    let ping = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        Ok(first[0])
    };
    matches!(ping(), Ok(b'+'))
}
