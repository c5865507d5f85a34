//! The systems that are compared: Hallpass in memory, on one disk, as three nodes, and Redis in the ways that
//! promise something of a write.
//!
//! A system is one or several processes and a port to talk to. Who leads may change while others are
//! measured: where to talk to is asked anew each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use hallpass_benches::client::{Connection, info};
use hallpass_benches::cluster::{Cluster, NODES, wait_for};
use hallpass_benches::error::{Context, Error, Result};
use hallpass_benches::process::{Process, free_ports};

use crate::options::Options;

/// A sweep that has freed nothing for so long is over.
const SWEEP_LOOK_EVERY: Duration = Duration::from_millis(50);
/// A measurement that met an election is made again, at most so often in all.
const ATTEMPTS: usize = 3;

/// What a system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Hallpass without a log: what the machine can do with this load.
    Memory,
    /// Hallpass with `--data-dir`.
    OneNode,
    /// Three nodes, asked at their leader.
    Leader,
    /// The same three, asked at a follower.
    Follower,
    /// Redis that syncs before it answers.
    RedisAlways,
    /// Redis with a replica, and `WAIT 1` after each batch.
    RedisWait,
}

impl Kind {
    /// Its name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "Hallpass, memory only",
            Self::OneNode => "Hallpass, one node",
            Self::Leader => "Hallpass, three: leader",
            Self::Follower => "Hallpass, three: follower",
            Self::RedisAlways => "Redis, appendfsync always",
            Self::RedisWait => "Redis, replica, WAIT 1",
        }
    }

    /// Whether it is Redis.
    pub(crate) fn is_redis(self) -> bool {
        matches!(self, Self::RedisAlways | Self::RedisWait)
    }
}

#[derive(Debug)]
enum Processes {
    Own(Vec<Process>),
    Shared(Rc<Cluster>),
}

/// A system that runs.
#[derive(Debug)]
pub(crate) struct System {
    /// What it is.
    pub(crate) kind: Kind,
    port: u16,
    processes: Processes,
}

impl System {
    /// Where to talk to.
    pub(crate) fn port(&self) -> Result<u16> {
        self.node().map(|(port, _)| port)
    }

    /// The port, and in a cluster the node.
    fn node(&self) -> Result<(u16, usize)> {
        let Processes::Shared(cluster) = &self.processes else { return Ok((self.port, 1)) };
        let leader = cluster.leader()?;
        let node = if self.kind == Kind::Leader { leader } else { leader % NODES + 1 };
        Ok((cluster.ports()[node - 1], node))
    }

    /// Processor time of all its processes.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        match &self.processes {
            Processes::Own(processes) => processes.iter().map(Process::cpu_time).sum(),
            Processes::Shared(cluster) => (1..=NODES).map(|node| cluster.cpu_time(node)).sum(),
        }
    }

    /// Processor time of the process that is talked to.
    pub(crate) fn own_cpu_time(&self) -> Result<Duration> {
        match &self.processes {
            Processes::Own(processes) => {
                processes.first().map_or(Ok(Duration::ZERO), Process::cpu_time)
            }
            Processes::Shared(cluster) => cluster.cpu_time(self.node()?.1),
        }
    }

    /// Removes everything it holds, and waits until the memory of it has been swept.
    pub(crate) fn clear(&self) -> Result<()> {
        let answer = Connection::open(self.port()?).and_then(|mut to| to.ask("FLUSHALL"));
        match answer.context("FLUSHALL")? {
            reply if reply.starts_with("+OK") => {}
            reply => return Err(Error::Refused(reply)),
        }
        if self.kind.is_redis() {
            return Ok(());
        }
        let mut before = self.info("memory", "used_memory")?;
        loop {
            std::thread::sleep(SWEEP_LOOK_EVERY);
            let now = self.info("memory", "used_memory")?;
            if now >= before {
                return Ok(());
            }
            before = now;
        }
    }

    /// A number from what it says of itself.
    pub(crate) fn info(&self, section: &str, field: &str) -> Result<u64> {
        info(self.port()?, section, field)
            .ok_or_else(|| Error::Refused(format!("INFO {section} without {field}")))
    }
}

/// Measures again where it failed, as it does when another node came to lead meanwhile.
pub(crate) fn patiently<T>(measure: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match measure() {
            Ok(measured) => return Ok(measured),
            Err(error) => eprintln!("{error}; once more"),
        }
    }
    measure()
}

/// The systems of these kinds, started; Redis where it is found.
pub(crate) fn start(options: &Options, kinds: &[Kind]) -> Result<Vec<System>> {
    let is_found = std::process::Command::new("redis-server").arg("--version").output().is_ok();
    let mut cluster: Option<Rc<Cluster>> = None;
    let mut systems = Vec::new();
    for kind in kinds.iter().copied().filter(|kind| is_found || !kind.is_redis()) {
        let (processes, port) = match kind {
            Kind::Leader | Kind::Follower => {
                let shared = match &cluster {
                    Some(shared) => Rc::clone(shared),
                    None => Rc::clone(cluster.insert(Rc::new(three_nodes(options)?))),
                };
                (Processes::Shared(shared), 0)
            }
            Kind::Memory => own(vec![hallpass(options, "memory", &[])?]),
            Kind::OneNode => own(vec![hallpass(options, "one", &["--data-dir", "one"])?]),
            Kind::RedisAlways => own(vec![redis(options, "always", &ALWAYS)?]),
            Kind::RedisWait => {
                let primary = redis(options, "primary", &NO_LOG)?;
                let of = primary.1.to_string();
                let replica = [&NO_LOG[..], &["--replicaof", "127.0.0.1", &of]].concat();
                let replica = redis(options, "replica", &replica)?;
                wait_for("the replica", || info(primary.1, "replication", "connected_slaves"))?;
                wait_for("the replica's link", || {
                    let state = Connection::open(replica.1).ok()?.ask("INFO replication").ok()?;
                    state.contains("master_link_status:up").then_some(())
                })?;
                own(vec![primary, replica])
            }
        };
        systems.push(System { kind, port, processes });
    }
    Ok(systems)
}

const ALWAYS: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
const NO_LOG: [&str; 4] = ["--appendonly", "no", "--save", ""];

/// What talks to its first process.
fn own(processes: Vec<(Process, u16)>) -> (Processes, u16) {
    let port = processes.first().map_or(0, |(_, port)| *port);
    (Processes::Own(processes.into_iter().map(|(process, _)| process).collect()), port)
}

fn three_nodes(options: &Options) -> Result<Cluster> {
    let folder = options.folder.join("three");
    let cores = Some(options.server_cores.as_str());
    let cluster = Cluster::start(&options.server, &folder, &options.flags, cores)?;
    let leader = cluster.leader()?;
    for node in (1..=NODES).filter(|node| *node != leader) {
        cluster.wait_until_caught_up(node)?;
    }
    Ok(cluster)
}

/// One `hallpass-server` that answers; its data directory, if `flags` name one, is new.
pub(crate) fn hallpass(options: &Options, name: &str, flags: &[&str]) -> Result<(Process, u16)> {
    remove(&options.folder.join(name))?;
    let (process, port) = launch(options, name, flags)?;
    // A write is answered once the node leads.
    wait_for(name, || {
        Connection::open(port).ok()?.ask("SET a b").ok()?.starts_with('+').then_some(())
    })?;
    Ok((process, port))
}

/// The same, on the data there is, and not waited for.
pub(crate) fn launch(options: &Options, name: &str, flags: &[&str]) -> Result<(Process, u16)> {
    let port = free_ports(1)?[0];
    let number = port.to_string();
    let arguments = ["--port", &number, "--threads", "1"].into_iter().chain(flags.iter().copied());
    let arguments = arguments.chain(options.flags.iter().map(String::as_str));
    let log = log(options, name);
    let cores = Some(options.server_cores.as_str());
    Ok((Process::start(&options.server, arguments, cores, &log)?, port))
}

/// One `redis-server` that answers, in a new folder.
pub(crate) fn redis(options: &Options, name: &str, flags: &[&str]) -> Result<(Process, u16)> {
    let folder = options.folder.join(name);
    remove(&folder)?;
    fs::create_dir_all(&folder).context(folder.display().to_string())?;
    let (process, port) = launch_redis(options, name, flags)?;
    wait_for(name, || {
        let reply = Connection::open(port).ok()?.ask("PING").ok()?;
        reply.starts_with("+PONG").then_some(())
    })?;
    Ok((process, port))
}

/// The same, on the data there is, and not waited for.
pub(crate) fn launch_redis(
    options: &Options,
    name: &str,
    flags: &[&str],
) -> Result<(Process, u16)> {
    let port = free_ports(1)?[0];
    let number = port.to_string();
    let own = ["--port", &number, "--bind", "127.0.0.1", "--dir", name];
    let arguments = own.into_iter().chain(flags.iter().copied());
    let program = on_path("redis-server")?;
    let cores = Some(options.server_cores.as_str());
    Ok((Process::start(&program, arguments, cores, &log(options, name))?, port))
}

fn on_path(program: &str) -> Result<PathBuf> {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&directories)
        .map(|each| each.join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| Error::Usage(format!("{program} is not on the PATH")))
}

fn log(options: &Options, name: &str) -> PathBuf {
    options.folder.join(format!("{name}.log"))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).context(folder.display().to_string())?;
    }
    Ok(())
}
