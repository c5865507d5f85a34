//! The configuration: values, where they come from, and what is said about a bad one.
//!
//! Each setting is one row of [`settings::SETTINGS`]. From that table come `--help` and the flags
//! ([`arguments`]), the keys of the TOML file ([`file`]), and CONFIG GET and SET. Flags win over the
//! file, the file over the defaults.

pub mod arguments;
pub mod file;
pub mod rewrite;
pub mod settings;
pub mod value;

use std::path::PathBuf;

use hallpass_engine::{Eviction, SizeLimits};

/// What the server does, all of it. Field by field this is the table in [`settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen on.
    pub bind: String,
    /// The port; 0 for any free one.
    pub port: u64,
    /// Connection threads; 0 for one a core.
    pub threads: u64,
    /// The password clients have to give; empty for none.
    pub requirepass: String,
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
    /// What happens at the memory limit.
    pub maxmemory_policy: String,
    /// The longest argument in bytes.
    pub proto_max_bulk_len: u64,
    /// The most bytes of requests a connection may have waiting.
    pub client_query_buffer_limit: u64,
    /// The most bytes of replies a connection may have waiting: hard, soft, soft seconds.
    pub client_output_buffer_limit: value::OutputLimit,
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
    /// The file the settings were read from.
    pub file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        let mut config = Self {
            bind: String::new(),
            port: 0,
            threads: 0,
            requirepass: String::new(),
            maxclients: 0,
            timeout: 0,
            tcp_keepalive: 0,
            tcp_backlog: 0,
            maxmemory: 0,
            maxmemory_policy: String::new(),
            proto_max_bulk_len: 0,
            client_query_buffer_limit: 0,
            client_output_buffer_limit: value::OutputLimit::default(),
            key_bytes_max: 0,
            user_bytes_max: 0,
            session_bytes_max: 0,
            meta_bytes_max: 0,
            session_import: false,
            shards: 0,
            slowlog_log_slower_than: 0,
            slowlog_max_len: 0,
            shutdown_timeout: 0,
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
        Ok(())
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
