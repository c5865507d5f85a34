//! The thread that keeps the log: Raft and everything around it, on a runtime of its own.
//!
//! Connections' threads hand over what they have and wait; nothing of theirs runs here, so a burst of
//! commands does not delay a heartbeat.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::acl;
use crate::cluster::clock::SystemClock;
use crate::cluster::disk::{Disk, RealDisk, VolatileDisk};
use crate::cluster::log::LogOptions;
use crate::cluster::node::ENTRIES_KEPT;
use crate::cluster::{Cluster, ClusterConfig, ClusterError, Parts, PeerListener};
use crate::config::Config;
use crate::error::StartError;
use crate::net::tls::PeerTls;
use crate::pubsub::everywhere;
use crate::state::ServerState;

/// Set in the environment, it holds unsynced bytes in this process' memory: `kill -9` is then a power loss.
/// With the value `torn`, syncs take a moment, and dying in one leaves half of it. For tests of what the log promises.
const VOLATILE_DISK: &str = "HALLPASS_VOLATILE_DISK";
/// How long a sync takes that can be torn.
const TORN_SYNC: Duration = Duration::from_millis(2);

/// The running thread. Dropping it stops the node and waits for that.
#[derive(Debug)]
pub(crate) struct RaftThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RaftThread {
    /// Starts the node that the settings describe; `None` when they describe none.
    pub(crate) fn start(server: &Arc<ServerState>) -> Result<Option<Self>, StartError> {
        let config = server.settings.current();
        if config.data_dir.is_empty() {
            return Ok(None);
        }
        let (disk, log_disk) = (open_disk(&config, "")?, open_disk(&config, "log")?);
        let (stop, stopped) = oneshot::channel();
        let (started, starting) = mpsc::channel();
        let server_of_thread = Arc::clone(server);
        let run = move || run(&server_of_thread, (disk, log_disk), &started, stopped);
        let builder = std::thread::Builder::new().name("hallpass-raft".into());
        let thread = builder.spawn(run).map_err(StartError::Thread)?;
        let started = starting.recv().map_err(|_| {
            StartError::Thread(std::io::Error::other("the log's thread ended while it started"))
        })?;
        let running = Self { stop: Some(stop), thread: Some(thread) };
        started.map(|()| Some(running))
    }
}

impl Drop for RaftThread {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ended = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            crate::log::line(format_args!("the log's thread panicked"));
        }
    }
}

fn open_disk(config: &Config, part: &str) -> Result<Arc<dyn Disk>, StartError> {
    let directory = Path::new(&config.data_dir).join(part);
    if let Some(kind) = std::env::var_os(VOLATILE_DISK) {
        let disk = if kind == "torn" {
            VolatileDisk::tearing(&directory, TORN_SYNC)
        } else {
            VolatileDisk::open(&directory)
        };
        return Ok(Arc::new(disk.map_err(ClusterError::from)?));
    }
    let disk = RealDisk::open(&directory);
    Ok(Arc::new(disk.map_err(|source| unusable(&directory, source))?))
}

fn unusable(directory: &Path, source: std::io::Error) -> StartError {
    StartError::DataDirectory { directory: directory.display().to_string(), source }
}

fn run(
    server: &Arc<ServerState>,
    (disk, log_disk): (Arc<dyn Disk>, Arc<dyn Disk>),
    started: &mpsc::Sender<Result<(), StartError>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(StartError::Thread(error)))),
    };
    // Before the log is applied: it may hold users.
    let follower = Arc::downgrade(server);
    server.keyspace.follow_registers(Box::new(move || {
        if let Some(server) = follower.upgrade() {
            acl::registers::follow(&server);
        }
    }));
    runtime.block_on(async {
        let node = match start(server, disk, log_disk).await {
            Ok(node) => node,
            Err(error) => return drop(started.send(Err(error))),
        };
        // Before anybody can send a command: the server is not listening yet.
        let _first = server.cluster.set(Arc::clone(&node));
        let hearer = Arc::downgrade(server);
        node.hear(Box::new(move |message| {
            if let Some(server) = hearer.upgrade() {
                everywhere::hear(&server, message);
            }
        }));
        if started.send(Ok(())).is_ok() {
            let _asked = stopped.await;
        }
        node.stop().await;
    });
    // What Raft left behind: reads of the disk, at most.
    runtime.shutdown_timeout(Duration::from_secs(1));
}

async fn start(
    server: &Arc<ServerState>,
    disk: Arc<dyn Disk>,
    log_disk: Arc<dyn Disk>,
) -> Result<Arc<Cluster>, StartError> {
    let config = server.settings.current();
    let listener = match config.cluster_port {
        0 => None,
        port => Some(listen(&config, port as u16).await?),
    };
    let failed = Arc::downgrade(server);
    let parts = Parts {
        disk,
        log_disk,
        engine: Arc::clone(&server.engine),
        clock: Arc::new(SystemClock::default()),
        draw: u128::from(crate::random::from_system()) << 64
            | u128::from(crate::random::from_system()),
        listener,
        tls: PeerTls::from_config(&config)?,
        fatal: Arc::new(move |reason| {
            let Some(server) = failed.upgrade() else { return };
            // The first reason is the one that matters.
            let _first = server.failure.set(reason);
            server.begin_shutdown();
        }),
    };
    Ok(Cluster::start(cluster_config(&config), parts).await?)
}

async fn listen(config: &Config, port: u16) -> Result<PeerListener, StartError> {
    let host = config.bind.split_whitespace().next().unwrap_or("127.0.0.1");
    let host = match host.trim_start_matches('-') {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    PeerListener::bind((host, port)).await.map_err(|error| StartError::Address {
        host: format!("{host}:{port}"),
        reason: error.to_string(),
    })
}

fn cluster_config(config: &Config) -> ClusterConfig {
    // Checked when the settings were read.
    let mut initial = config.initial_nodes().unwrap_or_default();
    let address = initial.get(&config.node_id).cloned().unwrap_or_default();
    if initial.is_empty() && config.cluster_port == 0 {
        initial.insert(config.node_id, String::new());
    }
    ClusterConfig {
        node: config.node_id,
        address,
        initial,
        leases: config.read_mode == "lease",
        heartbeat: Duration::from_millis(config.heartbeat_interval),
        election: Duration::from_millis(config.election_timeout),
        patience: Duration::from_millis(config.cluster_timeout),
        clock_skew_max: Duration::from_millis(config.clock_skew_max),
        snapshot_bytes: config.snapshot_bytes,
        rules: config.index.clone(),
        entries_kept: ENTRIES_KEPT,
        log: LogOptions::default(),
    }
}
