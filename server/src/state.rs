//! What all threads of one server share.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hallpass_engine::{Engine, HashSeed, Observer, Op, SizeLimits, Stamp};
use parking_lot::RwLock;

use crate::acl::Acl;
use crate::client::{Client, Clients};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::command::table::{Table, table};
use crate::config::Config;
use crate::gate::Gate;
use crate::keyspace::Keyspace;
use crate::metrics::{Metrics, SharedCounters};
use crate::net::client_tls::ClientTls;
use crate::pause::Pause;
use crate::pubsub::PubSub;
use crate::script::Scripts;
use crate::slow_log::SlowLog;

/// The shared state of a running server.
pub struct ServerState {
    /// The store.
    pub engine: Arc<Engine>,
    /// Who is told when keys change.
    pub keyspace: Arc<Keyspace>,
    /// Counts what the thread reads that applies the log.
    counters_of_log: OnceLock<SharedCounters>,
    /// What every request passes that a memory-only server runs, and a transaction closes.
    pub(crate) gate: Gate,
    /// The log that every change goes through, for a server that keeps one.
    pub cluster: OnceLock<Arc<Cluster>>,
    /// Why the server stops, when it is not asked to.
    pub failure: OnceLock<String>,
    /// All commands.
    pub table: &'static Table,
    /// The settings.
    pub settings: Arc<Settings>,
    /// Users and what they may do.
    pub acl: Acl,
    /// The clocks.
    pub clock: Clock,
    /// Who is connected.
    pub clients: Clients,
    /// The counters.
    pub metrics: Metrics,
    /// SLOWLOG.
    pub slow_log: SlowLog,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Scripts, those in the cache and those that run.
    pub scripts: Arc<Scripts>,
    /// Who listens to what.
    pub pubsub: Arc<PubSub>,
    /// When the server started.
    pub started: Stamp,
    /// 40 random hexadecimal digits, new with each start.
    pub run_id: Box<str>,
    /// Limits on sizes: as configured at the start.
    pub sizes: SizeLimits,
    /// The port in use, once there is one.
    pub port: AtomicU16,
    /// Whether the store has outgrown the processor's caches, so that prefetching pays.
    pub prefetch: AtomicBool,
    /// The largest amount of memory the store has held.
    pub memory_peak: AtomicU64,
    /// How clients speak TLS, if they may.
    pub(crate) client_tls: ClientTls,
    /// Set when the server is to stop: by SHUTDOWN, a signal, or the embedding program.
    pub shutdown: crate::shutdown::Shutdown,
}

/// The settings in effect, replaced as a whole by CONFIG SET.
#[derive(Debug)]
pub struct Settings {
    current: RwLock<Arc<Config>>,
    generation: AtomicU64,
}

/// A connection's copy of the settings, refreshed when they have changed.
#[derive(Debug)]
pub struct SettingsView {
    config: Arc<Config>,
    generation: u64,
}

impl Settings {
    fn new(config: Config) -> Self {
        Self { current: RwLock::new(Arc::new(config)), generation: AtomicU64::new(0) }
    }

    /// The settings as they are now.
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.read())
    }

    /// Changes the settings in one step; nothing changes when `change` fails.
    pub fn change<E>(&self, change: impl FnOnce(&mut Config) -> Result<(), E>) -> Result<(), E> {
        let mut current = self.current.write();
        let mut config = Config::clone(&current);
        change(&mut config)?;
        *current = Arc::new(config);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Has all connections look around before their next batch: at the settings, and who they are.
    pub fn announce(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// A copy for a connection.
    pub fn view(&self) -> SettingsView {
        // The generation first: a change in between makes the copy look old, never new.
        let generation = self.generation.load(Ordering::Acquire);
        SettingsView { config: self.current(), generation }
    }
}

impl SettingsView {
    /// The settings, read anew when they have changed, and the client's user with them: one load of a
    /// shared line otherwise.
    #[inline]
    pub fn refresh(&mut self, server: &ServerState, client: &mut Client) -> &Config {
        if self.generation != server.settings.generation.load(Ordering::Acquire) {
            *self = server.settings.view();
            client.follow_users(&server.acl);
        }
        &self.config
    }

    /// The settings as of the last refresh.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl ServerState {
    /// The counters of the thread that applies the log: only it may add to them.
    pub(crate) fn counters_of_log(&self) -> &SharedCounters {
        self.counters_of_log.get_or_init(|| self.metrics.add_thread())
    }

    /// Begins the stop and lets every connection see it.
    pub fn begin_shutdown(&self) {
        self.shutdown.begin();
        self.scripts.end();
        for client in self.clients.list() {
            client.wake();
        }
    }

    /// The state of a server with an empty store.
    pub fn new(config: Config) -> Self {
        let clock = Clock::new();
        let started = clock.now();
        let table = table();
        let sizes = config.sizes();
        let engine = Arc::new(Engine::new(&hallpass_engine::Config {
            seed: HashSeed::new(crate::random::from_system(), crate::random::from_system()),
            shards: config.shard_count(),
            threads: config.thread_count(),
            sizes,
        }));
        let pubsub = Arc::new(PubSub::default());
        let events = config.notify_keyspace_events;
        let settings = Arc::new(Settings::new(config.clone()));
        let acl = Acl::new(&config);
        let keyspace = Arc::new(Keyspace::new(&pubsub, &settings));
        engine.observe(Arc::clone(&keyspace) as Arc<dyn Observer>);
        keyspace.notify(&engine, events);
        if config.data_dir.is_empty() {
            engine.set_memory_limit(config.maxmemory, config.eviction());
            for rule in &config.index {
                engine.apply(&Op::RuleSet { rule: Box::new(rule.clone()) }, started);
            }
        }
        Self {
            engine,
            keyspace,
            counters_of_log: OnceLock::new(),
            gate: Gate::default(),
            cluster: OnceLock::new(),
            failure: OnceLock::new(),
            table,
            acl,
            settings,
            clock,
            clients: Clients::default(),
            metrics: Metrics::new(table.len()),
            slow_log: SlowLog::default(),
            pause: Pause::default(),
            scripts: Arc::default(),
            pubsub,
            started,
            run_id: draw_run_id(),
            sizes,
            port: AtomicU16::new(0),
            prefetch: AtomicBool::new(false),
            memory_peak: AtomicU64::new(0),
            client_tls: ClientTls::default(),
            shutdown: crate::shutdown::Shutdown::default(),
        }
    }
}

/// 40 random hexadecimal digits.
fn draw_run_id() -> Box<str> {
    let words = [crate::random::from_system(), crate::random::from_system()];
    let tail = crate::random::from_system() as u32;
    format!("{:016x}{:016x}{tail:08x}", words[0], words[1]).into()
}

impl std::fmt::Debug for ServerState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ServerState").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}
