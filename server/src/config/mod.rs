//! The configuration: values, where they come from, and what is said about a bad one.
//!
//! Each setting is one row of [`settings::SETTINGS`]. From that table come `--help` and the flags
//! ([`arguments`]), the keys of the TOML file ([`mod@file`]), and CONFIG GET and SET. Flags win over the
//! file, the file over the defaults.

pub mod arguments;
pub mod file;
mod index;
pub mod rewrite;
pub mod settings;
pub mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

use hallpass_engine::{Eviction, Rule, SizeLimits};

use crate::notify::Events;

/// What the server does, all of it. Field by field this is the table in [`settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen on; one that begins with `-` may fail.
    pub bind: String,
    /// The port; 0 for none when there is another way in, otherwise for any free one.
    pub port: u64,
    /// The port for clients that speak TLS; 0 for none.
    pub tls_port: u64,
    /// The Unix socket's path; empty for none.
    pub unixsocket: String,
    /// The Unix socket's permissions; 0 to leave what the process gives to new files.
    pub unixsocketperm: u64,
    /// Whether clients of other machines are turned away while there is no password.
    pub protected_mode: bool,
    /// Connection threads; 0 for one a core.
    pub threads: u64,
    /// The password clients have to give; empty for none.
    pub requirepass: String,
    /// The file with users; empty for none.
    pub aclfile: String,
    /// The most entries of ACL LOG.
    pub acllog_max_len: u64,
    /// What channels a new user may name.
    pub acl_pubsub_default: String,
    /// The most clients at a time.
    pub maxclients: u64,
    /// After how many idle seconds a client is closed; 0 for never.
    pub timeout: u64,
    /// Seconds between TCP keep-alive probes; 0 for none.
    pub tcp_keepalive: u64,
    /// The listen queue's length.
    pub tcp_backlog: u64,
    /// The memory limit in bytes; 0 for none.
    pub maxmemory: u64,
    /// The memory limit of all clients in bytes, or negative in percent of `maxmemory`; 0 for none.
    pub maxmemory_clients: i64,
    /// What happens at the memory limit.
    pub maxmemory_policy: String,
    /// The longest argument in bytes.
    pub proto_max_bulk_len: u64,
    /// The most bytes of requests a connection may have waiting.
    pub client_query_buffer_limit: u64,
    /// The most bytes of replies a connection may have waiting: hard, soft, soft seconds.
    pub client_output_buffer_limit: value::OutputLimits,
    /// Which events of keys are told to subscribers.
    pub notify_keyspace_events: Events,
    /// The most keys that are noted for clients that track; 0 for no limit.
    pub tracking_table_max_keys: u64,
    /// The longest key in bytes.
    pub key_bytes_max: u64,
    /// The longest user name in bytes.
    pub user_bytes_max: u64,
    /// The most data a session may hold, in bytes.
    pub session_bytes_max: u64,
    /// The most metadata a session may hold, in bytes.
    pub meta_bytes_max: u64,
    /// Whether SESSION.CREATE takes ids from outside.
    pub session_import: bool,
    /// Shards of the store; 0 to choose by the number of threads.
    pub shards: u64,
    /// Commands slower than this many microseconds are logged; negative for none.
    pub slowlog_log_slower_than: i64,
    /// The most entries of the slow log.
    pub slowlog_max_len: u64,
    /// How long a stop waits for clients to take their replies, in seconds.
    pub shutdown_timeout: u64,
    /// Where log and snapshots are kept; empty to keep everything in memory only.
    pub data_dir: String,
    /// This node's number in its cluster.
    pub node_id: u64,
    /// The port peers connect to; 0 for none.
    pub cluster_port: u64,
    /// The nodes a new cluster begins with: `1=host:port,2=host:port,...`.
    pub initial_cluster: String,
    /// How reads are made linearizable.
    pub read_mode: String,
    /// A touch is logged when it is later than the last logged one by the idle limit divided by this.
    pub touch_slack: u64,
    /// The time between a leader's heartbeats, in milliseconds.
    pub heartbeat_interval: u64,
    /// After so many milliseconds without a leader, or up to twice as many, a node stands for election.
    pub election_timeout: u64,
    /// How long a request waits for the cluster, in milliseconds.
    pub cluster_timeout: u64,
    /// A node whose clock is off by more milliseconds does not lead; 0 for no limit.
    pub clock_skew_max: u64,
    /// Whether the nodes of a cluster talk to each other under TLS.
    pub tls_cluster: bool,
    /// The file with this node's certificate.
    pub tls_cert_file: String,
    /// The file with its key.
    pub tls_key_file: String,
    /// The file with the authorities that are trusted.
    pub tls_ca_cert_file: String,
    /// Whether clients have to show a certificate.
    pub tls_auth_clients: String,
    /// The versions of TLS that clients may speak; empty for all there are.
    pub tls_protocols: String,
    /// After how many milliseconds of a script others are told that the server is busy.
    pub busy_reply_threshold: u64,
    /// The most instructions of a script; 0 for no limit.
    pub script_instructions_max: u64,
    /// The most memory of a script, in bytes; 0 for no limit.
    pub script_memory_max: u64,
    /// Bytes of log after which a snapshot is taken, or as many as the store holds if that is more.
    pub snapshot_bytes: u64,
    /// The index rules of the file.
    pub index: Vec<Rule>,
    /// Users that the file describes: name and rules.
    pub users: Vec<(String, String)>,
    /// The file the settings were read from.
    pub file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        let mut config = Self {
            bind: String::new(),
            port: 0,
            tls_port: 0,
            unixsocket: String::new(),
            unixsocketperm: 0,
            protected_mode: false,
            threads: 0,
            requirepass: String::new(),
            aclfile: String::new(),
            acllog_max_len: 0,
            acl_pubsub_default: String::new(),
            maxclients: 0,
            timeout: 0,
            tcp_keepalive: 0,
            tcp_backlog: 0,
            maxmemory: 0,
            maxmemory_clients: 0,
            maxmemory_policy: String::new(),
            proto_max_bulk_len: 0,
            client_query_buffer_limit: 0,
            notify_keyspace_events: Events::default(),
            tracking_table_max_keys: 0,
            client_output_buffer_limit: value::OutputLimits::default(),
            key_bytes_max: 0,
            user_bytes_max: 0,
            session_bytes_max: 0,
            meta_bytes_max: 0,
            session_import: false,
            shards: 0,
            busy_reply_threshold: 0,
            script_instructions_max: 0,
            script_memory_max: 0,
            slowlog_log_slower_than: 0,
            slowlog_max_len: 0,
            shutdown_timeout: 0,
            data_dir: String::new(),
            node_id: 0,
            cluster_port: 0,
            initial_cluster: String::new(),
            read_mode: String::new(),
            touch_slack: 0,
            heartbeat_interval: 0,
            election_timeout: 0,
            cluster_timeout: 0,
            clock_skew_max: 0,
            tls_cluster: false,
            tls_cert_file: String::new(),
            tls_key_file: String::new(),
            tls_ca_cert_file: String::new(),
            tls_auth_clients: String::new(),
            tls_protocols: String::new(),
            snapshot_bytes: 0,
            index: Vec::new(),
            users: Vec::new(),
            file: None,
        };
        for setting in settings::SETTINGS {
            // The defaults stand in the table, once, as a user would write them.
            if let Err(error) = setting.set(&mut config, setting.default) {
                panic!("the default of {} is wrong: {error}", setting.name);
            }
        }
        config
    }
}

/// What is wrong with a configuration; its text is one line that names the place.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag that does not exist, or lacks its value.
    #[error("{0}; --help lists the flags")]
    Flag(String),
    /// A setting's value.
    #[error("{place}: {message}")]
    Value {
        /// The flag, or file and line.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Config {
    /// Checks what no row can check alone.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.shards != 0 && !self.shards.is_power_of_two() {
            return Err(ConfigError::Value {
                place: "shards".into(),
                message: "argument must be a power of two".into(),
            });
        }
        let wrong =
            |place: &str, message: String| ConfigError::Value { place: place.into(), message };
        let refuse = |place: &str, message: String| Err(wrong(place, message));
        let initial = self.initial_nodes().map_err(|message| wrong("initial-cluster", message))?;
        if self.data_dir.is_empty() && (!initial.is_empty() || self.cluster_port != 0) {
            return refuse("data-dir", "a node of a cluster needs a directory for its log".into());
        }
        if !initial.is_empty() && !initial.contains_key(&self.node_id) {
            let message = format!("node {} (node-id) is not among its nodes", self.node_id);
            return refuse("initial-cluster", message);
        }
        if initial.len() > 1 && self.cluster_port == 0 {
            return refuse("cluster-port", "a node needs a port that its peers connect to".into());
        }
        self.check_client_tls().map_err(|(place, message)| wrong(place, message.into()))?;
        if !self.users.is_empty() && !self.aclfile.is_empty() {
            return refuse("aclfile", "users stand here or in an ACL file, not in both".into());
        }
        let files = [&self.tls_cert_file, &self.tls_key_file, &self.tls_ca_cert_file];
        if self.tls_cluster && files.iter().any(|file| file.is_empty()) {
            let needed = "it needs tls-cert-file, tls-key-file and tls-ca-cert-file";
            return refuse("tls-cluster", needed.into());
        }
        if self.heartbeat_interval * 3 > self.election_timeout {
            let message = "argument must be at least three times heartbeat-interval".into();
            return refuse("election-timeout", message);
        }
        Ok(())
    }

    /// Checks what belongs together for clients that speak TLS: the setting that is wrong, and why.
    pub(crate) fn check_client_tls(&self) -> Result<(), (&'static str, &'static str)> {
        if self.tls_port == 0 {
            return Ok(());
        }
        if self.tls_cert_file.is_empty() || self.tls_key_file.is_empty() {
            return Err(("tls-port", "it needs tls-cert-file and tls-key-file"));
        }
        if self.tls_auth_clients != "no" && self.tls_ca_cert_file.is_empty() {
            let message =
                "'yes' and 'optional' need tls-ca-cert-file; 'no' asks clients for no certificate";
            return Err(("tls-auth-clients", message));
        }
        Ok(())
    }

    /// The port for plain TCP, 0 for any free one; nothing when it is turned off.
    pub fn plain_port(&self) -> Option<u16> {
        let elsewhere = self.tls_port != 0 || !self.unixsocket.is_empty();
        (self.port != 0 || !elsewhere).then_some(self.port as u16)
    }

    /// The nodes a new cluster begins with, by number; the error says what is wrong with the setting.
    pub fn initial_nodes(&self) -> Result<BTreeMap<u64, String>, String> {
        let mut nodes = BTreeMap::new();
        for part in self.initial_cluster.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("'{part}' is not of the form 1=host:port");
            let (number, address) = part.split_once('=').ok_or_else(wrong)?;
            let number: u64 = number.trim().parse().map_err(|_| wrong())?;
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if number == 0 || port.is_none() {
                return Err(wrong());
            }
            if nodes.insert(number, address.trim().to_owned()).is_some() {
                return Err(format!("node {number} is named twice"));
            }
        }
        Ok(nodes)
    }

    /// Whether a new user may name all channels.
    pub fn acl_allows_channels(&self) -> bool {
        self.acl_pubsub_default == "allchannels"
    }

    /// How many connection threads to start.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads as usize,
        }
    }

    /// How many shards the store gets: a power of two, so many that threads seldom meet.
    pub fn shard_count(&self) -> usize {
        match self.shards {
            0 => (self.thread_count() * 16).next_power_of_two().clamp(16, 256),
            shards => shards as usize,
        }
    }

    /// The most memory that all clients may take, if there is a limit.
    pub fn client_memory_max(&self) -> Option<u64> {
        let limit = self.maxmemory_clients;
        let bytes = if limit < 0 {
            let percentage = u128::from(limit.unsigned_abs());
            (u128::from(self.maxmemory) * percentage / 100) as u64
        } else {
            limit as u64
        };
        (bytes > 0).then_some(bytes)
    }

    /// What the engine does at the memory limit.
    pub fn eviction(&self) -> Eviction {
        if self.maxmemory_policy == "volatile-ttl" {
            Eviction::NearestDeadline
        } else {
            Eviction::Never
        }
    }

    /// The limits on sizes.
    pub fn sizes(&self) -> SizeLimits {
        SizeLimits {
            key_bytes_max: self.key_bytes_max as usize,
            // A bulk of the protocol may be longer than what a record holds, by a byte.
            value_bytes_max: (self.proto_max_bulk_len as usize).min(SizeLimits::VALUE_BYTES_LIMIT),
            user_bytes_max: self.user_bytes_max as usize,
            session_bytes_max: self.session_bytes_max as usize,
            meta_bytes_max: self.meta_bytes_max as usize,
        }
    }
}
