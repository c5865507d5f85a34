//! Three nodes on this machine, each a process that the kernel ends with this one, however that happens.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Result;
use super::client::Connection;

/// How many there are.
pub(crate) const NODES: usize = 3;
/// How long a node may take to start, to catch up, and the cluster to have a leader.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The nodes, numbered from 1.
pub(crate) struct Cluster {
    server: PathBuf,
    folder: PathBuf,
    flags: Vec<String>,
    ports: Vec<u16>,
    initial: String,
    peer_ports: Vec<u16>,
    processes: Vec<Option<Child>>,
}

/// What a node says of itself.
struct Status {
    leads: bool,
    applied: u64,
    last_log: u64,
}

impl Cluster {
    /// Starts three new nodes.
    pub(crate) fn start(server: &Path, folder: &Path, flags: &[String]) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let ports = free_ports(2 * NODES)?;
        let (ports, peer_ports) = ports.split_at(NODES);
        let initial: Vec<String> =
            (1..).zip(peer_ports).map(|(node, port)| format!("{node}=127.0.0.1:{port}")).collect();
        let mut cluster = Self {
            server: server.to_owned(),
            folder: folder.to_owned(),
            flags: flags.to_vec(),
            ports: ports.to_vec(),
            initial: initial.join(","),
            peer_ports: peer_ports.to_vec(),
            processes: (0..NODES).map(|_| None).collect(),
        };
        for node in 1..=NODES {
            cluster.restart(node)?;
        }
        Ok(cluster)
    }

    /// Where clients reach the nodes.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.ports.clone()
    }

    /// Starts a node on what its directory holds.
    pub(crate) fn restart(&mut self, node: usize) -> Result<()> {
        let log = self.folder.join(format!("{node}.log"));
        let output = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&self.server)
            .args(["--port", &self.ports[node - 1].to_string(), "--threads", "1"])
            .args(["--cluster-port", &self.peer_ports[node - 1].to_string()])
            .args(["--node-id", &node.to_string(), "--initial-cluster", &self.initial])
            .arg("--data-dir")
            .arg(self.folder.join(node.to_string()))
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|error| format!("setpriv (package util-linux): {error}"))?;
        self.processes[node - 1] = Some(process);
        wait_for(&format!("node {node} to answer (see {})", log.display()), || self.status(node))
            .map(drop)
    }

    /// Kills a node, and waits for its end.
    pub(crate) fn kill(&mut self, node: usize) -> Result<()> {
        let Some(mut process) = self.processes[node - 1].take() else { return Ok(()) };
        process.kill().and_then(|()| process.wait()).map(drop).map_err(|error| error.to_string())
    }

    /// The node that leads, once one does.
    pub(crate) fn leader(&self) -> Result<usize> {
        wait_for("a leader", || {
            (1..=NODES).find(|node| self.status(*node).is_some_and(|status| status.leads))
        })
    }

    /// Waits until a node has applied what the leader has in its log.
    pub(crate) fn wait_until_caught_up(&self, node: usize) -> Result<()> {
        let leader = self.leader()?;
        let last = self.status(leader).map_or(0, |status| status.last_log);
        wait_for(&format!("node {node} to catch up"), || {
            self.status(node).filter(|status| status.applied >= last)
        })
        .map(drop)
    }

    fn status(&self, node: usize) -> Option<Status> {
        let text = Connection::open(self.ports[node - 1]).ok()?.ask("INFO replication").ok()?;
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("")
        };
        Some(Status {
            leads: field("raft_role") == "leader",
            applied: field("raft_applied").parse().ok()?,
            last_log: field("raft_last_log").parse().ok()?,
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().flatten() {
            // Already dead is as good as killed.
            process.kill().ok();
            process.wait().ok();
        }
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("waited {PATIENCE:?} in vain for {what}"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Ports nobody listens on at this moment.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let bound = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: std::io::Result<Vec<TcpListener>> = (0..count).map(bound).collect();
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let ports = listeners.and_then(|listeners| listeners.iter().map(port).collect());
    ports.map_err(|error: std::io::Error| format!("no free port: {error}"))
}
