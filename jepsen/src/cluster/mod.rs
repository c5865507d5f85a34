//! A cluster of real processes: started, asked who leads, hurt and mended.

pub mod network;
pub mod node;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::client::{Connection, Reply};
use network::Network;
use node::{CLUSTER_PORT, Node, PORT};

/// Nodes of a cluster.
pub const NODES: u64 = 3;
/// How long an answer about the cluster itself may take.
const STATUS_PATIENCE: Duration = Duration::from_millis(700);

/// What a killed node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nodes sync for real, and a killed one keeps all that it wrote.
    Real,
    /// What was not synced is lost, and nothing waits for the disk of the machine.
    Volatile,
    /// Likewise, and a sync takes a moment: a node that is killed meanwhile leaves half of what it wrote.
    Torn,
}

/// How nodes are started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The server's binary.
    pub server: PathBuf,
    /// Where data and output go.
    pub directory: PathBuf,
    /// What a killed node keeps.
    pub disk: Disk,
    /// Further arguments for every node.
    pub arguments: Vec<String>,
    /// The bug that is planted in every node.
    pub mutant: Option<String>,
}

/// Three nodes and the network between them.
#[derive(Debug)]
pub struct Cluster {
    setup: Setup,
    /// The nodes, by number from 1. Dropped before the network they use.
    nodes: Vec<Node>,
    /// What lies between them.
    pub network: Network,
}

/// What a node says of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// In which term.
    pub term: u64,
    /// How far it has applied the log.
    pub applied: u64,
}

impl Cluster {
    /// Makes the network and starts all nodes, in empty directories.
    pub fn start(setup: Setup) -> Result<Self> {
        let network = Network::new(NODES)?;
        let node = |number| {
            let directory = setup.directory.join(format!("node-{number}"));
            Node::new(number, network.address(number), directory)
        };
        let mut cluster = Self { nodes: (1..=NODES).map(node).collect(), network, setup };
        for number in 1..=NODES {
            cluster.start_node(number)?;
        }
        Ok(cluster)
    }

    /// Starts a node that does not run.
    pub fn start_node(&mut self, number: u64) -> Result<()> {
        let initial: Vec<String> = (1..=NODES)
            .map(|node| format!("{node}={}:{CLUSTER_PORT}", self.network.address(node)))
            .collect();
        let server = self.setup.server.to_string_lossy().into_owned();
        let mut command = self.network.command(number, &server);
        command.args(["--bind", &self.network.address(number).to_string()]);
        // Its clients are in other networks, and have no password.
        command.args(["--protected-mode", "no"]);
        command.args(["--port", &PORT.to_string(), "--cluster-port", &CLUSTER_PORT.to_string()]);
        command.args(["--node-id", &number.to_string(), "--initial-cluster", &initial.join(",")]);
        command.args(["--session-import", "yes", "--threads", "1"]).args(&self.setup.arguments);
        match self.setup.disk {
            Disk::Real => {}
            Disk::Volatile => drop(command.env("HALLPASS_VOLATILE_DISK", "1")),
            Disk::Torn => drop(command.env("HALLPASS_VOLATILE_DISK", "torn")),
        }
        if let Some(mutant) = &self.setup.mutant {
            command.env("HALLPASS_MUTANT", mutant);
        }
        let node = self.node(number);
        command.env("HALLPASS_CLOCK_FILE", node.clock_file());
        command.arg("--data-dir").arg(node.data_directory());
        node.start(command)
    }

    /// A node by its number.
    pub fn node(&mut self, number: u64) -> &mut Node {
        &mut self.nodes[number as usize - 1]
    }

    /// Where clients reach a node.
    pub fn address(&self, number: u64) -> SocketAddr {
        self.nodes[number as usize - 1].address
    }

    /// Where the output of the nodes lies.
    pub fn directory(&self) -> &Path {
        &self.setup.directory
    }

    /// What a node says, if it says anything.
    pub fn status(&self, number: u64) -> Option<Status> {
        let mut connection = Connection::open(self.address(number), STATUS_PATIENCE).ok()?;
        let reply = connection.call(&["RAFT.STATUS"]).ok()?;
        let count = |name| reply.field(name).and_then(Reply::number).map(|number| number as u64);
        Some(Status { leader: count("leader"), term: count("term")?, applied: count("applied")? })
    }

    /// Who leads: the latest that anybody knows of and that agrees.
    pub fn leader(&self) -> Option<u64> {
        let known =
            (1..=NODES).filter_map(|number| self.status(number).map(|status| (number, status)));
        let leading = known.filter(|(number, status)| status.leader == Some(*number));
        leading.max_by_key(|(_, status)| status.term).map(|(number, _)| number)
    }

    /// As [`Cluster::leader`], within a while.
    pub fn await_leader(&self, patience: Duration) -> Result<u64> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(leader) = self.leader() {
                return Ok(leader);
            }
            if Instant::now() > deadline {
                bail!("no leader within {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Mends everything: the network is whole, every node runs and goes on.
    pub fn mend(&mut self) -> Result<()> {
        if self.network.can_drop() {
            self.network.heal()?;
        }
        for number in 1..=NODES {
            if self.node(number).runs() {
                self.node(number).resume()?;
            } else {
                // It may have ended by itself, and then its remains are in the way.
                self.node(number).kill()?;
                self.start_node(number)?;
            }
        }
        Ok(())
    }

    /// How far a node's wall clock is ahead of the harness's, in milliseconds.
    pub fn clock_offset(&self, number: u64) -> Option<i64> {
        let mut connection = Connection::open(self.address(number), STATUS_PATIENCE).ok()?;
        let reply = connection.call(&["TIME"]).ok()?;
        let [seconds, micros] = reply.items() else { return None };
        let shown = seconds.number()? * 1000 + micros.number()? / 1000;
        let here = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(shown - here.as_millis() as i64)
    }

    /// Waits until every node takes writes; how long that took.
    pub fn await_service(&self, patience: Duration) -> Result<Duration> {
        let began = Instant::now();
        let mut left: Vec<u64> = (1..=NODES).collect();
        let mut last = String::new();
        while !left.is_empty() {
            left.retain(|number| match self.write_once(*number) {
                Ok(()) => false,
                Err(why) => {
                    last = format!("node {number}: {why}");
                    true
                }
            });
            if began.elapsed() > patience {
                bail!("not every node serves within {patience:?}; {last}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(began.elapsed())
    }

    fn write_once(&self, number: u64) -> Result<()> {
        let mut connection = Connection::open(self.address(number), Duration::from_secs(2))?;
        let reply = connection.call(&["SET", "jepsen:service", "1"])?;
        if reply != Reply::Simple("OK".into()) {
            bail!("{reply:?}");
        }
        Ok(())
    }

    /// Nodes that ended without being told to.
    pub fn fallen(&mut self) -> Vec<u64> {
        self.nodes.iter_mut().filter_map(|node| (!node.runs()).then_some(node.number)).collect()
    }
}
