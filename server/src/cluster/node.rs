//! A node: everything in this folder, put together, started and stopped.
//!
//! A node runs on the tokio runtime that starts it; its handle, [`Cluster`], may be used from any
//! thread. Nothing here opens a client's port: this is what lies between dispatch and engine.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallpass_engine::{Engine, SessionHash, Stamp};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::arrival::arrive;
use super::broadcast::{Broadcasts, Hearer};
use super::clock::NodeClock;
use super::codec::encode;
use super::disk::{DirectoryLock, Disk, LockError};
use super::entry::Origin;
use super::identity::{IdentityError, IdentityStore};
use super::indexer::Indexer;
use super::keeper::Keeper;
use super::leadership::{Leadership, watch_raft};
use super::lease::Lease;
use super::log::{Log, LogOptions, OpenError};
use super::log_store::LogStore;
use super::membership::{self, Change};
use super::mutant::{self, Mutant};
use super::network::frame::{Purpose, limits_of};
use super::network::link::{CallError, Identity, Link};
use super::network::raft::Network;
use super::network::secure::Security;
use super::network::urgency::Urgency;
use super::network::{TcpListener, kind};
use super::onlooker::Onlooker;
use super::permit::permit;
use super::post::Post;
use super::propose::Proposer;
use super::read::{ReadSources, Reads};
use super::service::Peers;
use super::skew::{ClockWatch, Skew};
use super::snapshot::SnapshotStore;
use super::state::{Progress, StateMachine};
use super::touch::Touches;
use super::types::NodeId;
use super::waiting::{Answer, Unavailable, Waiting};
use super::{Raft, network};
use crate::gate::{Gate, Inside};
use crate::net::tls::PeerTls;

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// This node's number.
    pub node: u64,
    /// Where peers reach this node, host and port; empty for a node that has none.
    pub address: String,
    /// The nodes a new cluster begins with, this one included, and their addresses.
    pub initial: BTreeMap<u64, String>,
    /// Whether the leader answers reads under a lease, or asks a majority for each.
    pub leases: bool,
    /// How often a leader is heard from.
    pub heartbeat: Duration,
    /// A follower that hears nothing for so long, or up to twice that, stands for election.
    pub election: Duration,
    /// How long a request waits for the cluster before it is answered with an error.
    pub patience: Duration,
    /// A node whose wall clock is further off than this does not lead; zero for as far as it likes.
    pub clock_skew_max: Duration,
    /// A snapshot is taken when so many bytes were logged since the last, or as many as the store holds.
    pub snapshot_bytes: u64,
    /// The index rules of the configuration file.
    pub rules: Vec<hallpass_engine::Rule>,
    /// Entries that a snapshot covers and the log keeps all the same, for followers that are a little late.
    pub entries_kept: u64,
    /// How the log is kept.
    pub log: LogOptions,
}

/// See [`ClusterConfig::entries_kept`].
pub const ENTRIES_KEPT: u64 = 1000;

impl ClusterConfig {
    /// A cluster of this one node, without a port: how Hallpass is durable on one machine.
    pub fn alone(node: u64) -> Self {
        Self {
            node,
            address: String::new(),
            initial: BTreeMap::from([(node, String::new())]),
            leases: true,
            heartbeat: Duration::from_millis(80),
            election: Duration::from_millis(400),
            patience: Duration::from_millis(1500),
            clock_skew_max: Duration::from_millis(500),
            snapshot_bytes: 64 << 20,
            rules: Vec::new(),
            entries_kept: ENTRIES_KEPT,
            log: LogOptions::default(),
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The directory is in use, or cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory's log cannot be used.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The directory is not this node's, or says nothing usable.
    #[error("the data directory {directory}: {source}")]
    Identity {
        /// Which directory.
        directory: String,
        /// Why.
        source: IdentityError,
    },
    /// The directory's snapshot cannot be used, or the disk fails.
    #[error("the data directory {directory}: {source}")]
    Storage {
        /// Which directory.
        directory: String,
        /// Why.
        source: io::Error,
    },
    /// The log does not go on where the snapshot ends.
    #[error(
        "the data directory {directory}: the log begins after entry {purged}, which a snapshot was to cover, but {covered}: restore the node from the others, under a new number"
    )]
    Gap {
        /// Which directory.
        directory: String,
        /// The last entry that is not in the log any more.
        purged: u64,
        /// What there is of a snapshot.
        covered: String,
    },
    /// The node is not named among the initial ones.
    #[error("node {0} is not in initial-cluster: name it there, with its address")]
    NotInitial(u64),
    /// A peer does not take this node for what it says it is.
    #[error("{0}")]
    Refused(String),
    /// Raft did not start.
    #[error("the node did not start: {0}")]
    Raft(String),
}

/// What a node knows of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// This node.
    pub node: u64,
    /// The leader, if one is known.
    pub leader: Option<u64>,
    /// The term.
    pub term: u64,
    /// The last entry applied here.
    pub applied: u64,
    /// The last entry in this node's log.
    pub last_log: u64,
    /// The last entry covered by a snapshot.
    pub snapshot: u64,
    /// Whether this node may answer reads on its own.
    pub lease: bool,
    /// By how many milliseconds, at least, this node's wall clock is ahead of the middle one of all.
    pub clock_ahead_millis: i64,
    /// Whether that is too far for this node to lead.
    pub clock_outlier: bool,
    /// Members: number, address, whether it has a vote, and on the leader how far it has the log.
    pub members: Vec<MemberStatus>,
}

/// A member, as [`ClusterStatus`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its number.
    pub node: u64,
    /// Where it is reached.
    pub address: String,
    /// Whether it has a vote.
    pub voter: bool,
    /// The last entry it is known to have; known to the leader only.
    pub matched: Option<u64>,
}

/// A running node.
pub struct Cluster {
    config: ClusterConfig,
    raft: Raft,
    engine: Arc<Engine>,
    gate: Arc<Gate>,
    lease: Arc<Lease>,
    reads: Reads,
    sources: Arc<ReadSources>,
    proposer: Proposer,
    waiting: Arc<Waiting>,
    progress: Arc<Progress>,
    leadership: watch::Receiver<Leadership>,
    log: Arc<Log>,
    own: Identity,
    pub(super) skew: Arc<Skew>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    touches: Arc<Touches>,
    broadcasts: Arc<Broadcasts>,
    runtime: Handle,
    _lock: DirectoryLock,
}

/// A change of the cluster that is being made; it ends well, or with a text that says why not.
pub type Changing = oneshot::Receiver<Result<(), String>>;

/// How long a change may take on the leader.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);

/// What a node is given to run on.
pub struct Parts {
    /// Where identity and snapshots are kept.
    pub disk: Arc<dyn Disk>,
    /// Where the log is kept: a directory of its own.
    pub log_disk: Arc<dyn Disk>,
    /// An empty engine, without a memory limit: what nodes apply must not depend on one.
    pub engine: Arc<Engine>,
    /// The clocks.
    pub clock: Arc<dyn NodeClock>,
    /// 128 random bits: a new directory's name.
    pub draw: u128,
    /// Where peers connect; `None` for a node without peers.
    pub listener: Option<TcpListener>,
    /// TLS for the connections between peers.
    pub tls: Option<PeerTls>,
    /// Told when the node cannot go on: its disk failed, or a peer refuses it.
    pub fatal: Fatal,
}

/// Whom to tell that a node cannot go on, and why.
pub type Fatal = Arc<dyn Fn(String) + Send + Sync>;

impl Cluster {
    /// Starts a node on the present runtime, over a disk and an empty engine.
    ///
    /// Returns when the node has recovered what its directory holds and serves its peers. It may have no
    /// leader yet.
    pub async fn start(config: ClusterConfig, parts: Parts) -> Result<Arc<Self>, ClusterError> {
        let Parts { disk, log_disk, engine, clock, draw, listener, tls, fatal } = parts;
        let directory = disk.directory().display().to_string();
        let storage = |source| ClusterError::Storage { directory: directory.clone(), source };
        let lock = disk.lock()?;
        let identity = IdentityStore::open(Arc::clone(&disk), config.node, draw)
            .map_err(|source| ClusterError::Identity { directory: directory.clone(), source })?;
        let identity = Arc::new(identity);
        let limits = limits_of(engine.sizes());
        let own = Identity {
            node: config.node,
            known: Arc::clone(&identity),
            limits,
            security: Security::new(tls),
        };
        let (log, recovered) = Log::open(log_disk, config.log.clone())?;
        let log = Arc::new(log);
        #[cfg(feature = "simulation")]
        super::simulation::keep_writing(&log, &config.log);
        let snapshots = Arc::new(SnapshotStore::open(Arc::clone(&disk)).map_err(storage)?);
        let snapshot = snapshots.current().map_err(storage)?.and_then(|(meta, _)| meta.last_log_id);
        if let Some((purged, _)) = &recovered.purged
            && snapshot.as_ref().is_none_or(|last| last.index < *purged)
        {
            let covered = snapshot.map_or_else(
                || "there is none".to_owned(),
                |last| format!("the snapshot ends at entry {}", last.index),
            );
            return Err(ClusterError::Gap { directory, purged: *purged, covered });
        }
        let empty = recovered.vote.is_none()
            && recovered.entries.is_none()
            && recovered.purged.is_none()
            && snapshot.is_none();

        let origin = Origin { node: config.node, incarnation: identity.starts() };
        let waiting = Arc::new(Waiting::new(origin));
        let (progress, gate) = (Arc::new(Progress::default()), Arc::new(Gate::default()));
        let state = StateMachine::new(
            Arc::clone(&engine),
            Arc::clone(&gate),
            Arc::clone(&waiting),
            Arc::clone(&progress),
            Arc::clone(&snapshots),
        );
        let promise = config.election * 2;
        let urgency = Arc::new(Urgency::default());
        let raft = openraft::Raft::build(
            config.node,
            Arc::new(raft_config(&config)?),
            Network::new(own.clone(), Arc::clone(&urgency)),
            LogStore::new(Arc::clone(&log), Arc::clone(&urgency)),
            state,
        )
        .await
        .map_err(|error| ClusterError::Raft(error.to_string()))?;

        let lease = Arc::new(Lease::new(Arc::clone(&clock), promise));
        let (leadership_sender, leadership) = watch::channel(Leadership::default());
        let sources = Arc::new(ReadSources {
            raft: raft.clone(),
            own: own.clone(),
            clock: Arc::clone(&clock),
            lease: Arc::clone(&lease),
            progress: Arc::clone(&progress),
            leadership: leadership.clone(),
            leases: config.leases,
        });
        let (reads, answering) = Reads::new(Arc::clone(&sources));
        let (proposer, proposing) = Proposer::new(
            raft.clone(),
            own.clone(),
            Arc::clone(&clock),
            Arc::clone(&waiting),
            Arc::clone(&progress),
            leadership.clone(),
        );
        raft.run();

        // Raft's own state is asked: its metrics say nothing yet.
        let own_node = config.node;
        let alone = raft
            .with_raft_state(move |state| {
                state.membership_state.effective().voter_ids().eq([own_node])
            })
            .await
            .map_err(|error| ClusterError::Raft(error.to_string()))?;
        let holds = if empty || alone { Duration::ZERO } else { promise };
        let skew = Arc::new(Skew::new(config.clock_skew_max));
        let broadcasts = Arc::new(Broadcasts::default());
        let peers = Arc::new(Peers {
            raft: raft.clone(),
            own: own.clone(),
            skew: Arc::clone(&skew),
            initial: config.initial.clone(),
            clock: Arc::clone(&clock),
            proposer: proposer.clone(),
            reads: Arc::clone(&sources),
            snapshots,
            urgency,
            broadcasts: Arc::clone(&broadcasts),
            holds_votes_until: clock.elapsed() + holds,
        });
        let mut tasks = vec![
            tokio::spawn(answering),
            tokio::spawn(proposing.run()),
            tokio::spawn(watch_raft(
                raft.clone(),
                config.node,
                Arc::clone(&log),
                Arc::clone(&lease),
                Arc::clone(&progress),
                leadership_sender,
                Arc::clone(&fatal),
            )),
        ];
        if let Some(listener) = listener {
            tasks.push(tokio::spawn(network::accept::accept(
                listener,
                own.security.clone(),
                peers,
            )));
        }
        let begins = empty && !config.initial.is_empty();
        if begins && !config.initial.contains_key(&config.node) {
            return Err(ClusterError::NotInitial(config.node));
        }
        if begins || !identity.settled() {
            let arriving = arrive(raft.clone(), own.clone(), config.clone(), begins);
            tasks.push(tokio::spawn(async move {
                if let Err(error) = arriving.await {
                    fatal(error.to_string());
                }
            }));
        }
        let clocks = ClockWatch {
            raft: raft.clone(),
            own: own.clone(),
            clock: Arc::clone(&clock),
            skew: Arc::clone(&skew),
            lease: Arc::clone(&lease),
            leadership: leadership.clone(),
            every: config.election * 2,
        };
        tasks.push(tokio::spawn(clocks.run()));
        let touches = Arc::new(Touches::default());
        tasks.push(tokio::spawn(Arc::clone(&touches).run(proposer.clone(), config.patience)));
        tasks.push(tokio::spawn(Arc::clone(&broadcasts).run(raft.clone(), own.clone())));
        let indexer = Indexer {
            own: config.node,
            engine: Arc::clone(&engine),
            proposer: proposer.clone(),
            progress: Arc::clone(&progress),
            leadership: leadership.clone(),
            patience: config.patience,
            rules: config.rules.clone(),
        };
        tasks.push(tokio::spawn(indexer.run()));
        let keeper = Keeper {
            raft: raft.clone(),
            own: config.node,
            engine: Arc::clone(&engine),
            clock,
            progress: Arc::clone(&progress),
            leadership: leadership.clone(),
            snapshot_bytes: config.snapshot_bytes,
            identity,
            skew: Arc::clone(&skew),
            stands_from: holds,
            patience_with_others: config.election * 10,
        };
        tasks.push(tokio::spawn(keeper.run()));
        Ok(Arc::new(Self {
            config,
            raft,
            engine,
            gate,
            lease,
            reads,
            sources,
            proposer,
            waiting,
            progress,
            leadership,
            log,
            own,
            skew,
            tasks: Mutex::new(tasks),
            touches,
            broadcasts,
            runtime: Handle::current(),
            _lock: lock,
        }))
    }

    /// Goes inside for reading: while this is held no snapshot is installed and no transaction applied.
    /// `None` while one is.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        self.gate.enter()
    }

    /// The same, when it is possible.
    pub(crate) async fn entered(&self) -> Inside<'_> {
        self.gate.entered().await
    }

    /// The time to read at, when this node may answer reads on its own: to be asked before looking.
    #[inline]
    pub(crate) fn read_at_once(&self) -> Option<Stamp> {
        (self.config.leases && self.lease.holds()).then(|| self.sources.now())
    }

    /// A linearizable read of the engine.
    pub(crate) async fn read<R>(
        &self,
        look: impl Fn(&Engine, Stamp) -> R,
    ) -> Result<R, Unavailable> {
        let now = match self.read_at_once() {
            Some(now) => now,
            None => self.barrier().await?,
        };
        let _inside = self.entered().await;
        Ok(look(&self.engine, now))
    }

    /// Waits until a read that begins now may look at the engine; the time to read at.
    pub(crate) async fn barrier(&self) -> Result<Stamp, Unavailable> {
        if mutant::planted(Mutant::ReadWithoutBarrier) {
            return Ok(self.sources.now());
        }
        self.reads.barrier(self.config.patience).await
    }

    /// Submits encoded ops, which are applied together, and waits for their outcomes.
    pub(crate) async fn submit(&self, ops: Bytes) -> Answer {
        self.proposer.submit(ops, self.config.patience, None, None).await
    }

    /// The same on a thread that runs `post`, through which the outcomes come.
    pub(crate) async fn submit_by(&self, post: &Arc<Post>, ops: Bytes) -> Answer {
        self.proposer.submit(ops, self.config.patience, Some(post), None).await
    }

    /// Submits a transaction, whose ops no reader sees half of: [`Op::Unchanged`](hallpass_engine::Op) and
    /// then the others, which are not applied when a key did change. What `onlooker` sees comes back among
    /// the outcomes.
    pub(crate) async fn submit_transaction(
        &self,
        post: &Arc<Post>,
        ops: Bytes,
        onlooker: Box<dyn Onlooker>,
    ) -> Answer {
        self.proposer.submit(ops, self.config.patience, Some(post), Some(onlooker)).await
    }

    /// Notes sessions whose touch is due: it will be in the log soon, and nobody waits for that.
    pub(crate) fn touch(&self, sessions: &[SessionHash]) {
        self.touches.note(sessions);
    }

    /// Sends a message to all other nodes, which may or may not get it; it is made if there are any.
    pub(crate) fn broadcast(&self, message: impl FnOnce() -> Bytes) {
        self.broadcasts.send(message);
    }

    /// Sets who is told of what other nodes broadcast.
    pub(crate) fn hear(&self, hearer: Hearer) {
        self.broadcasts.hear(hearer);
    }

    /// The engine that the log is applied to.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The largest stamp applied: what is to be swept is what has expired by then.
    pub(crate) fn applied_stamp(&self) -> Stamp {
        self.progress.stamp()
    }

    /// Whether this node's directory has met the others, so that it may vote.
    #[cfg(feature = "simulation")]
    pub(crate) fn is_settled(&self) -> bool {
        self.own.known.settled()
    }

    /// What this node knows of its cluster.
    pub fn status(&self) -> ClusterStatus {
        use openraft::async_runtime::WatchReceiver;
        let leadership = self.leadership.borrow().clone();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = |node: &NodeId| {
            let known = metrics.replication.as_ref()?.get(node)?.as_ref()?;
            Some(known.index)
        };
        let membership = metrics.membership_config.membership();
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        let members = membership.nodes().map(|(node, member)| MemberStatus {
            node: *node,
            address: member.address.clone(),
            voter: voters.contains(node),
            matched: matched(node),
        });
        ClusterStatus {
            node: self.own.node,
            leader: leadership.leader,
            term: leadership.term,
            applied: self.progress.index(),
            last_log: metrics.last_log_index.unwrap_or(0),
            snapshot: metrics.snapshot.map_or(0, |id| id.index),
            lease: self.lease.holds(),
            clock_ahead_millis: self.skew.ahead_millis(),
            clock_outlier: self.skew.is_outlier(),
            members: members.collect(),
        }
    }

    /// Adds a node without a vote.
    pub fn add(self: &Arc<Self>, node: u64, address: &str) -> Changing {
        self.change(Change::Add { node, address: address.to_owned() })
    }

    /// Gives a node a vote.
    pub fn promote(self: &Arc<Self>, node: u64) -> Changing {
        self.change(Change::Promote(node))
    }

    /// Takes a node out.
    pub fn remove(self: &Arc<Self>, node: u64) -> Changing {
        self.change(Change::Remove(node))
    }

    /// Hands leadership to a node.
    pub fn transfer(self: &Arc<Self>, node: u64) -> Changing {
        self.change(Change::Transfer(node))
    }

    /// Begins a change, on the node's own runtime: whoever asks only waits.
    fn change(self: &Arc<Self>, change: Change) -> Changing {
        let (done, changing) = oneshot::channel();
        let cluster = Arc::clone(self);
        self.runtime.spawn(async move {
            // Who asked may have left.
            let _gone = done.send(cluster.change_now(change).await);
        });
        changing
    }

    /// Makes a change, here or on the leader.
    async fn change_now(&self, change: Change) -> Result<(), String> {
        let leadership = self.leadership.borrow().clone();
        match leadership.leader {
            None => Err("no leader is known, so nothing can be changed".to_owned()),
            Some(leader) if leader == self.own.node => {
                permit(&self.raft, &self.own, &self.skew, &change).await?;
                membership::apply(&self.raft, &self.lease, change).await
            }
            Some(leader) => {
                let link = Link::new(self.own.clone(), leader, leadership.address, Purpose::Ask);
                match link.call(kind::MEMBERSHIP, encode(&change), CHANGE_PATIENCE).await {
                    Ok(_) => Ok(()),
                    Err(CallError::Remote { text, .. }) => Err(text),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    }

    /// Counts of the log's syncs, for metrics.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Stops: hands leadership over if there is someone to take it, answers who waits, syncs, lets go of
    /// the directory.
    pub async fn stop(&self) {
        self.hand_over().await;
        self.waiting.stop();
        // An error means that Raft has stopped already.
        let _stopped = self.raft.shutdown().await;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // Gone for certain, and with it what it held: the next start needs the same port.
            let _aborted = task.await;
        }
        self.broadcasts.stop();
    }

    async fn hand_over(&self) {
        let status = self.status();
        if status.leader != Some(self.own.node) {
            return;
        }
        let others =
            status.members.iter().filter(|member| member.voter && member.node != self.own.node);
        let fitness = |member: &&MemberStatus| (self.skew.agrees(member.node), member.matched);
        let Some(successor) = others.max_by_key(fitness) else { return };
        if membership::apply(&self.raft, &self.lease, Change::Transfer(successor.node))
            .await
            .is_err()
        {
            return;
        }
        let mut leadership = self.leadership.clone();
        let own = Some(self.own.node);
        let changed = leadership.wait_for(|known| known.leader.is_some() && known.leader != own);
        // In vain if the others are gone: stopping does not wait for them.
        let _in_time = tokio::time::timeout(self.config.election * 2, changed).await;
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cluster").field("node", &self.own.node).finish_non_exhaustive()
    }
}

fn raft_config(config: &ClusterConfig) -> Result<openraft::Config, ClusterError> {
    let millis = |time: Duration| time.as_millis() as u64;
    let raft = openraft::Config {
        cluster_name: "hallpass".to_owned(),
        heartbeat_interval: millis(config.heartbeat),
        election_timeout_min: millis(config.election),
        election_timeout_max: millis(config.election * 2),
        enable_pre_vote: Some(true),
        // Elections begin when the promises of an earlier start are over: see the keeper.
        enable_elect: false,
        // A leader that lost what it had not synced must not go on in its old term: its followers may hold other
        // entries under the very ids it would give out again.
        enable_leader_restore: Some(false),
        max_payload_entries: 64,
        snapshot_policy: openraft::SnapshotPolicy::Never,
        replication_lag_threshold: 100_000,
        max_in_snapshot_log_to_keep: config.entries_kept,
        purge_batch_size: 256,
        install_snapshot_timeout: 600_000,
        backoff: "50ms".to_owned(),
        ..openraft::Config::default()
    };
    raft.validate().map_err(|error| ClusterError::Raft(error.to_string()))
}
