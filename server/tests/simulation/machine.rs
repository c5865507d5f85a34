//! One simulated machine: a node of the cluster, its runtime, its disks and its clocks.
//!
//! A node's tasks run only in [`Machine::tick`], for one millisecond of their own time. Ending its process
//! is dropping the runtime; a power loss takes what the disks had not synced. Standing still comes in
//! three kinds: stopped (its clocks go on), suspended (only the steady clock does, as on a machine that
//! sleeps), and stopped in the middle of a read, between looking and answering.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use hallpass_engine::{Config, Engine, HashSeed, SizeLimits};
use hallpass_server::cluster::disk::{Remains, SimulatedDisk};
use hallpass_server::cluster::log::{LogOptions, WriterMode};
use hallpass_server::cluster::simulation::{self, Network, TcpListener, enter};
use hallpass_server::cluster::{Cluster, ClusterConfig, ClusterError, Parts};
use tokio::runtime::{Builder, Runtime};

use crate::clock::{SkewedClock, Time};

/// How long leaders are heard from at the least, and when followers stand.
const HEARTBEAT: Duration = Duration::from_millis(80);
const ELECTION: Duration = Duration::from_millis(400);
/// How long a request waits.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How wrong a leader's wall clock may be.
const CLOCK_SKEW_MAX: Duration = Duration::from_millis(500);

type Starting = Arc<Mutex<Option<Result<Arc<Cluster>, ClusterError>>>>;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is killed: what it wrote stays written, if not synced.
    Killed,
    /// The power goes, and with it what was not synced.
    PowerLoss(Remains),
}

/// How a machine stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stillness {
    /// The process is stopped; the machine's clocks go on.
    Stopped,
    /// The machine sleeps: the clock that timers go by sleeps, too.
    Suspended,
}

/// One machine.
pub(crate) struct Machine {
    pub(crate) node: u64,
    pub(crate) clock: Arc<SkewedClock>,
    pub(crate) disks: [SimulatedDisk; 2],
    /// Whether a fault of the disk was asked for since the last start: the node may then give up.
    pub(crate) disk_faulty: bool,
    time: Time,
    network: Network,
    initial: BTreeMap<u64, String>,
    address: String,
    snapshot_bytes: u64,
    draw: Rng,
    running: Option<Running>,
    still_until: u64,
    catch_up_millis: u64,
    /// Whether it stands still in the middle of a read, having gone ahead of the others' time.
    interrupted: bool,
}

struct Running {
    runtime: Runtime,
    starting: Starting,
    cluster: Option<Arc<Cluster>>,
    fatal: Arc<Mutex<Option<String>>>,
}

/// What every machine is made with.
pub(crate) struct Site<'a> {
    pub(crate) time: &'a Time,
    pub(crate) network: &'a Network,
    pub(crate) initial: &'a BTreeMap<u64, String>,
    pub(crate) snapshot_bytes: u64,
}

impl Machine {
    /// A machine that is off.
    pub(crate) fn new(
        node: u64,
        address: String,
        clock: SkewedClock,
        site: &Site<'_>,
        seed: u64,
    ) -> Self {
        let initial = if site.initial.contains_key(&node) {
            site.initial.clone()
        } else {
            // Added later: it waits to be told.
            BTreeMap::new()
        };
        Self {
            node,
            clock: Arc::new(clock),
            disks: [SimulatedDisk::new(seed), SimulatedDisk::new(!seed)],
            disk_faulty: false,
            time: site.time.clone(),
            network: site.network.clone(),
            initial,
            address,
            snapshot_bytes: site.snapshot_bytes,
            draw: Rng::with_seed(seed),
            running: None,
            still_until: 0,
            catch_up_millis: 0,
            interrupted: false,
        }
    }

    /// Whether its process runs, if perhaps it stands still.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The time for everybody but the machine.
    pub(crate) fn now(&self) -> u64 {
        self.time.now()
    }

    /// Whether it runs and does not stand still.
    pub(crate) fn is_awake(&self) -> bool {
        self.is_running() && self.time.now() >= self.still_until
    }

    /// Whether its process may be ended now: what it did in the others' future is not to be undone.
    pub(crate) fn may_end(&self) -> bool {
        self.is_running() && (self.is_awake() || !self.interrupted)
    }

    /// The node, once it has started.
    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.running.as_ref()?.cluster.as_ref()
    }

    /// Starts the node's process.
    pub(crate) fn start(&mut self) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without threads");
        self.network.start(self.node);
        self.network.run_ahead(self.node, 0);
        self.clock.forget();
        (self.still_until, self.catch_up_millis, self.interrupted) = (0, 0, false);
        let fatal = Arc::new(Mutex::new(None));
        let reason = Arc::clone(&fatal);
        let engine = Engine::new(&Config {
            // Where things lie may differ from node to node; what is there may not.
            seed: HashSeed::new(self.node, 7),
            shards: 4,
            threads: 1,
            sizes: SizeLimits::default(),
        });
        let [disk, log_disk] = self.disks.clone();
        let parts = Parts {
            disk: Arc::new(disk),
            log_disk: Arc::new(log_disk),
            engine: Arc::new(engine),
            clock: Arc::clone(&self.clock) as _,
            draw: u128::from(self.draw.u64(..)),
            tls: None,
            listener: Some(TcpListener::of(&self.network, self.node)),
            fatal: Arc::new(move |why| {
                reason.lock().expect("one thread").get_or_insert(why);
            }),
        };
        let (config, starting) = (self.config(), Starting::default());
        let started = Arc::clone(&starting);
        enter(&self.network, self.node);
        runtime.spawn(async move {
            let result = simulation::start(config, parts).await;
            *started.lock().expect("one thread") = Some(result);
        });
        self.running = Some(Running { runtime, starting, cluster: None, fatal });
    }

    fn config(&self) -> ClusterConfig {
        ClusterConfig {
            node: self.node,
            address: self.address.clone(),
            initial: self.initial.clone(),
            leases: true,
            heartbeat: HEARTBEAT,
            election: ELECTION,
            patience: PATIENCE,
            clock_skew_max: CLOCK_SKEW_MAX,
            snapshot_bytes: self.snapshot_bytes,
            entries_kept: 20,
            rules: Vec::new(),
            log: LogOptions {
                segment_bytes_max: 8 << 10,
                tail_bytes_max: 4 << 10,
                reserved_bytes: 4 << 10,
                writer: WriterMode::Manual,
            },
        }
    }

    /// Ends the node's process.
    pub(crate) fn end(&mut self, end: End) {
        let remains = match end {
            End::Killed => Remains::Everything,
            End::PowerLoss(remains) => remains,
        };
        // First the disks: what the process would still write on its way out must not arrive.
        self.disks = self.disks.each_ref().map(|disk| disk.crash(remains));
        self.disk_faulty = false;
        self.network.stop(self.node, matches!(end, End::PowerLoss(_)));
        enter(&self.network, self.node);
        self.running = None;
    }

    /// Lets the machine stand still.
    pub(crate) fn stand_still(&mut self, millis: u64, how: Stillness) {
        if !self.is_awake() {
            return;
        }
        self.still_until = self.clock.stand_still(millis);
        self.network.run_ahead(self.node, self.still_until);
        if how == Stillness::Stopped {
            self.catch_up_millis = millis;
        }
    }

    /// What a read calls, in the middle, to be stopped there.
    pub(crate) fn interruption(&self, millis: u64) -> impl Fn() + Send + use<> {
        let (clock, network, node) = (Arc::clone(&self.clock), self.network.clone(), self.node);
        move || {
            network.run_ahead(node, clock.stand_still(millis));
            // Its first step moves the clock, which is all that is wanted of it.
            let _pending = tokio::time::advance(Duration::from_millis(millis)).now_or_never();
        }
    }

    /// Spawns a client's request on the node.
    pub(crate) fn spawn(&self, request: impl Future<Output = ()> + Send + 'static) {
        if let Some(running) = &self.running {
            enter(&self.network, self.node);
            running.runtime.spawn(request);
        }
    }

    /// Lets the node run for a millisecond. An error is why it cannot go on.
    pub(crate) fn tick(&mut self) -> Result<(), String> {
        if !self.is_awake() {
            return Ok(());
        }
        let Some(running) = &mut self.running else { return Ok(()) };
        enter(&self.network, self.node);
        let behind = std::mem::take(&mut self.catch_up_millis);
        running.runtime.block_on(async {
            if behind > 0 {
                tokio::time::advance(Duration::from_millis(behind)).await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        });
        // A read that was interrupted has let the node's time run ahead.
        self.interrupted = self.clock.local() > self.time.now();
        self.still_until = self.still_until.max(self.clock.local());
        match running.starting.lock().expect("one thread").take() {
            Some(Ok(cluster)) => running.cluster = Some(cluster),
            Some(Err(error)) => return Err(format!("did not start: {error}")),
            None => {}
        }
        match running.fatal.lock().expect("one thread").take() {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }
}
