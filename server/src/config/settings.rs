//! The settings: one flat table, one row each. To add a setting, add a field to
//! [`Config`] and a row here; flag, file key, CONFIG and `--help` follow.

use super::Config;
use super::value::{
    OutputLimit, OutputLimits, parse_boolean, parse_octal, parse_output_limits, parse_signed,
    parse_size, parse_size_or_percentage,
};
use crate::notify::Events;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name: flag, key in the file, and what CONFIG GET shows. Redis' name where Redis has it.
    pub name: &'static str,
    /// What stands for the value in `--help`.
    pub value_name: &'static str,
    /// The default, as a user would write it.
    pub default: &'static str,
    /// What it does: one line.
    pub doc: &'static str,
    /// Whether CONFIG SET may change it.
    pub mutable: bool,
    /// The field and what it takes.
    pub kind: Kind,
}

/// A reference to a field for reading, and one for writing.
type Field<T> = (fn(&Config) -> &T, fn(&mut Config) -> &mut T);

/// What a setting takes, and where it is kept.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number within bounds.
    Number(Field<u64>, u64, u64),
    /// A whole number that may be negative.
    Signed(Field<i64>, i64, i64),
    /// A size within bounds.
    Size(Field<u64>, u64, u64),
    /// A size, or a percentage of `maxmemory`.
    SizeOrPercentage(Field<i64>),
    /// A file's permissions.
    Octal(Field<u64>),
    /// Yes or no.
    Boolean(Field<bool>),
    /// Any text.
    Text(Field<String>),
    /// One of these words.
    Choice(Field<String>, &'static [&'static str]),
    /// Output limits.
    Output(Field<OutputLimits>),
    /// Classes of events, by their letters.
    Events(Field<Events>),
    /// What Redis has and Hallpass shows only, always as its default.
    Shown,
}

/// The two accessors of a field.
macro_rules! field {
    ($name:ident) => {
        (|config| &config.$name, |config| &mut config.$name)
    };
}

impl Setting {
    /// The row named `name`, in any case.
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
    }

    /// Whether it is about TLS.
    pub fn is_of_tls(&self) -> bool {
        self.name.starts_with("tls-")
    }

    /// The value in `config`, as CONFIG GET shows it.
    pub fn show(&self, config: &Config) -> String {
        match self.kind {
            Kind::Number((get, _), ..) | Kind::Size((get, _), ..) => get(config).to_string(),
            Kind::Signed((get, _), ..) => get(config).to_string(),
            Kind::SizeOrPercentage((get, _)) => match *get(config) {
                percentage @ ..0 => format!("{}%", -percentage),
                size => size.to_string(),
            },
            Kind::Octal((get, _)) => format!("{:o}", get(config)),
            Kind::Boolean((get, _)) => if *get(config) { "yes" } else { "no" }.to_owned(),
            Kind::Text((get, _)) | Kind::Choice((get, _), _) => get(config).clone(),
            Kind::Output((get, _)) => {
                let OutputLimits { normal, replica, pubsub } = get(config);
                // Redis shows the older name of replicas.
                [("normal", normal), ("slave", replica), ("pubsub", pubsub)]
                    .map(|(class, limit)| {
                        let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
                        format!("{class} {hard_bytes} {soft_bytes} {soft_seconds}")
                    })
                    .join(" ")
            }
            Kind::Events((get, _)) => get(config).show(),
            Kind::Shown => self.default.to_owned(),
        }
    }

    /// Writes a value into `config`; the error says what is wrong with it, in Redis' words where it
    /// has any.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Number((_, field), least, most) => {
                let value = parse_signed(text).ok_or(NO_INTEGER)?;
                // No bound is beyond what a signed number holds.
                *field(config) = within(value, least as i64, most as i64)? as u64;
            }
            Kind::Signed((_, field), least, most) => {
                let value = parse_signed(text).ok_or(NO_INTEGER)?;
                *field(config) = within(value, least, most)?;
            }
            Kind::Size((_, field), least, most) => {
                let value = parse_size(text).ok_or("argument must be a memory value")?;
                *field(config) = within(value, least, most)?;
            }
            Kind::SizeOrPercentage((_, field)) => {
                *field(config) = parse_size_or_percentage(text)
                    .ok_or("argument must be a memory or percent value")?;
            }
            Kind::Octal((_, field)) => {
                *field(config) = parse_octal(text).ok_or("argument couldn't be parsed as octal")?;
            }
            Kind::Boolean((_, field)) => {
                *field(config) = parse_boolean(text).ok_or("argument must be 'yes' or 'no'")?;
            }
            Kind::Text((_, field)) => text.clone_into(field(config)),
            Kind::Choice((_, field), choices) => {
                let lower = text.to_ascii_lowercase();
                if !choices.contains(&lower.as_str()) {
                    return Err(format!(
                        "argument(s) must be one of the following: {}",
                        choices.join(", ")
                    ));
                }
                *field(config) = lower;
            }
            Kind::Output((_, field)) => {
                parse_output_limits(text, field(config))?;
            }
            Kind::Events((_, field)) => {
                let wrong = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
                *field(config) = Events::parse(text).ok_or(wrong)?;
            }
            Kind::Shown if text == self.default => {}
            Kind::Shown => return Err("it cannot be changed in this server".to_owned()),
        }
        Ok(())
    }
}

fn within<T: PartialOrd + std::fmt::Display>(value: T, least: T, most: T) -> Result<T, String> {
    if value < least || value > most {
        return Err(format!("argument must be between {least} and {most} inclusive"));
    }
    Ok(value)
}

const NO_INTEGER: &str = "argument couldn't be parsed into an integer";

const GIGABYTE: u64 = 1 << 30;

/// All settings, as `--help` lists them.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "port",
        value_name: "PORT",
        default: "6379",
        doc: "TCP port to listen on; 0 for none, or for any free one without tls-port and unixsocket",
        mutable: false,
        kind: Kind::Number(field!(port), 0, 65_535),
    },
    Setting {
        name: "bind",
        value_name: "ADDRESS",
        default: "127.0.0.1",
        doc: "addresses to listen on, separated by spaces; * for all; -ADDRESS may be missing",
        mutable: false,
        kind: Kind::Text(field!(bind)),
    },
    Setting {
        name: "tls-port",
        value_name: "PORT",
        default: "0",
        doc: "TCP port for clients that speak TLS; 0 for none",
        mutable: false,
        kind: Kind::Number(field!(tls_port), 0, 65_535),
    },
    Setting {
        name: "unixsocket",
        value_name: "PATH",
        default: "",
        doc: "Unix socket to listen on; empty for none",
        mutable: false,
        kind: Kind::Text(field!(unixsocket)),
    },
    Setting {
        name: "unixsocketperm",
        value_name: "MODE",
        default: "0",
        doc: "permissions of the Unix socket, as in 700; 0 leaves them to the umask",
        mutable: false,
        kind: Kind::Octal(field!(unixsocketperm)),
    },
    Setting {
        name: "protected-mode",
        value_name: "yes|no",
        default: "yes",
        doc: "turn clients of other machines away while there is no password",
        mutable: true,
        kind: Kind::Boolean(field!(protected_mode)),
    },
    Setting {
        name: "threads",
        value_name: "N",
        default: "0",
        doc: "connection threads; 0 for one a core",
        mutable: false,
        kind: Kind::Number(field!(threads), 0, 1024),
    },
    Setting {
        name: "requirepass",
        value_name: "PASSWORD",
        default: "",
        doc: "password clients have to give with AUTH; empty for none",
        mutable: true,
        kind: Kind::Text(field!(requirepass)),
    },
    Setting {
        name: "aclfile",
        value_name: "FILE",
        default: "",
        doc: "file with users, a line each; ACL SAVE and ACL LOAD write and read it",
        mutable: false,
        kind: Kind::Text(field!(aclfile)),
    },
    Setting {
        name: "acllog-max-len",
        value_name: "N",
        default: "128",
        doc: "most entries of ACL LOG",
        mutable: true,
        kind: Kind::Number(field!(acllog_max_len), 0, 1_000_000),
    },
    Setting {
        name: "acl-pubsub-default",
        value_name: "RULE",
        default: "resetchannels",
        doc: "channels a new user may use before a rule says so: resetchannels or allchannels",
        mutable: true,
        kind: Kind::Choice(field!(acl_pubsub_default), &["allchannels", "resetchannels"]),
    },
    Setting {
        name: "maxclients",
        value_name: "N",
        default: "10000",
        doc: "most clients at a time",
        mutable: true,
        kind: Kind::Number(field!(maxclients), 1, 1_000_000),
    },
    Setting {
        name: "timeout",
        value_name: "SECONDS",
        default: "0",
        doc: "close a client that was idle for so long; 0 for never",
        mutable: true,
        kind: Kind::Number(field!(timeout), 0, 2_147_483_647),
    },
    Setting {
        name: "tcp-keepalive",
        value_name: "SECONDS",
        default: "300",
        doc: "time between TCP keep-alive probes; 0 for none",
        mutable: true,
        kind: Kind::Number(field!(tcp_keepalive), 0, 32_767),
    },
    Setting {
        name: "tcp-backlog",
        value_name: "N",
        default: "511",
        doc: "length of the queue of connections that wait to be accepted",
        mutable: false,
        kind: Kind::Number(field!(tcp_backlog), 1, 65_535),
    },
    Setting {
        name: "maxmemory",
        value_name: "BYTES",
        default: "0",
        doc: "memory for data, as in 100mb; 0 for no limit",
        mutable: true,
        kind: Kind::Size(field!(maxmemory), 0, u64::MAX),
    },
    Setting {
        name: "maxmemory-policy",
        value_name: "POLICY",
        default: "noeviction",
        doc: "at the limit: noeviction refuses writes, volatile-ttl ends what would end soonest",
        mutable: true,
        kind: Kind::Choice(field!(maxmemory_policy), &["noeviction", "volatile-ttl"]),
    },
    Setting {
        name: "proto-max-bulk-len",
        value_name: "BYTES",
        default: "512mb",
        doc: "longest argument of a request, and longest string",
        mutable: true,
        kind: Kind::Size(field!(proto_max_bulk_len), 1 << 20, GIGABYTE),
    },
    Setting {
        name: "maxmemory-clients",
        value_name: "BYTES",
        default: "0",
        doc: "memory of all clients together, or as in 5% a part of maxmemory; past it the largest are \
              closed; 0 for no limit",
        mutable: true,
        kind: Kind::SizeOrPercentage(field!(maxmemory_clients)),
    },
    Setting {
        name: "client-query-buffer-limit",
        value_name: "BYTES",
        default: "1gb",
        doc: "most bytes of requests a connection may have waiting",
        mutable: true,
        kind: Kind::Size(field!(client_query_buffer_limit), 1 << 20, 3 * GIGABYTE),
    },
    Setting {
        name: "client-output-buffer-limit",
        value_name: "LIMITS",
        default: "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
        doc: "close a client with more unsent output: CLASS HARD SOFT SOFT-SECONDS ..., normal, \
              replica (of which there are none) or pubsub; \
              0 for no limit",
        mutable: true,
        kind: Kind::Output(field!(client_output_buffer_limit)),
    },
    Setting {
        name: "notify-keyspace-events",
        value_name: "LETTERS",
        default: "",
        doc: "events told to subscribers: K and E for the channels, A or g$lshzxe for the classes, n for new \
              keys, m for missed ones; empty for none",
        mutable: true,
        kind: Kind::Events(field!(notify_keyspace_events)),
    },
    Setting {
        name: "tracking-table-max-keys",
        value_name: "N",
        default: "1000000",
        doc: "most keys noted for clients that track, of 256 bytes on average; 0 for no limit",
        mutable: true,
        kind: Kind::Number(field!(tracking_table_max_keys), 0, i64::MAX as u64),
    },
    Setting {
        name: "key-bytes-max",
        value_name: "BYTES",
        default: "65535",
        doc: "longest key",
        mutable: false,
        kind: Kind::Size(field!(key_bytes_max), 1, 65_535),
    },
    Setting {
        name: "user-bytes-max",
        value_name: "BYTES",
        default: "1024",
        doc: "longest user name of a session",
        mutable: false,
        kind: Kind::Size(field!(user_bytes_max), 1, 65_535),
    },
    Setting {
        name: "session-bytes-max",
        value_name: "BYTES",
        default: "1mb",
        doc: "most data a session may hold",
        mutable: false,
        kind: Kind::Size(field!(session_bytes_max), 1, (16 << 20) - 1),
    },
    Setting {
        name: "meta-bytes-max",
        value_name: "BYTES",
        default: "4kb",
        doc: "most metadata a session may hold",
        mutable: false,
        kind: Kind::Size(field!(meta_bytes_max), 1, 65_535),
    },
    Setting {
        name: "session-import",
        value_name: "yes|no",
        default: "no",
        doc: "let SESSION.CREATE take ids made elsewhere",
        mutable: true,
        kind: Kind::Boolean(field!(session_import)),
    },
    Setting {
        name: "shards",
        value_name: "N",
        default: "0",
        doc: "shards of the store, a power of two; 0 to choose by the number of threads",
        mutable: false,
        kind: Kind::Number(field!(shards), 0, 256),
    },
    Setting {
        name: "slowlog-log-slower-than",
        value_name: "MICROSECONDS",
        default: "10000",
        doc: "put slower commands into the slow log; negative for none",
        mutable: true,
        kind: Kind::Signed(field!(slowlog_log_slower_than), -1, i64::MAX),
    },
    Setting {
        name: "slowlog-max-len",
        value_name: "N",
        default: "128",
        doc: "most entries of the slow log",
        mutable: true,
        kind: Kind::Number(field!(slowlog_max_len), 0, 1_000_000),
    },
    Setting {
        name: "busy-reply-threshold",
        value_name: "MILLISECONDS",
        default: "5000",
        doc: "when a script has run for so long, others are answered BUSY instead of waiting",
        mutable: true,
        kind: Kind::Number(field!(busy_reply_threshold), 0, i64::MAX as u64),
    },
    Setting {
        name: "lua-time-limit",
        value_name: "MILLISECONDS",
        default: "5000",
        doc: "the older name of busy-reply-threshold",
        mutable: true,
        kind: Kind::Number(field!(busy_reply_threshold), 0, i64::MAX as u64),
    },
    Setting {
        name: "script-instructions-max",
        value_name: "N",
        default: "1000000000",
        doc: "instructions of Lua after which a script is ended; 0 for no limit, but not in a cluster",
        mutable: true,
        kind: Kind::Number(field!(script_instructions_max), 0, i64::MAX as u64),
    },
    Setting {
        name: "script-memory-max",
        value_name: "BYTES",
        default: "128mb",
        doc: "memory a script may use for its variables; 0 for no limit",
        mutable: true,
        kind: Kind::Size(field!(script_memory_max), 0, 1 << 40),
    },
    Setting {
        name: "shutdown-timeout",
        value_name: "SECONDS",
        default: "10",
        doc: "how long a stop waits for clients to take their replies",
        mutable: true,
        kind: Kind::Number(field!(shutdown_timeout), 0, 86_400),
    },
    Setting {
        name: "data-dir",
        value_name: "DIR",
        default: "",
        doc: "directory for log and snapshots; empty to keep everything in memory only",
        mutable: false,
        kind: Kind::Text(field!(data_dir)),
    },
    Setting {
        name: "node-id",
        value_name: "N",
        default: "1",
        doc: "number of this node in its cluster; never used again for another data-dir",
        mutable: false,
        kind: Kind::Number(field!(node_id), 1, i64::MAX as u64),
    },
    Setting {
        name: "cluster-port",
        value_name: "PORT",
        default: "0",
        doc: "TCP port for the other nodes, on the first address of bind; 0 for none",
        mutable: false,
        kind: Kind::Number(field!(cluster_port), 0, 65_535),
    },
    Setting {
        name: "initial-cluster",
        value_name: "NODES",
        default: "",
        doc: "nodes a new cluster begins with: 1=host:port,2=host:port,3=host:port",
        mutable: false,
        kind: Kind::Text(field!(initial_cluster)),
    },
    Setting {
        name: "read-mode",
        value_name: "MODE",
        default: "lease",
        doc: "how reads are made linearizable: lease trusts the speed of clocks, quorum asks each time",
        mutable: false,
        kind: Kind::Choice(field!(read_mode), &["lease", "quorum"]),
    },
    Setting {
        name: "touch-slack",
        value_name: "N",
        default: "16",
        doc: "log a touch when it moves the deadline by more than an Nth of the idle limit; 0 logs each",
        mutable: false,
        kind: Kind::Number(field!(touch_slack), 0, 1_000_000),
    },
    Setting {
        name: "heartbeat-interval",
        value_name: "MILLISECONDS",
        default: "80",
        doc: "time between heartbeats of the leader",
        mutable: false,
        kind: Kind::Number(field!(heartbeat_interval), 10, 60_000),
    },
    Setting {
        name: "election-timeout",
        value_name: "MILLISECONDS",
        default: "400",
        doc: "without a leader for so long, or up to twice, a node stands for election",
        mutable: false,
        kind: Kind::Number(field!(election_timeout), 50, 600_000),
    },
    Setting {
        name: "cluster-timeout",
        value_name: "MILLISECONDS",
        default: "1500",
        doc: "how long a request waits for the cluster before it is answered CLUSTERDOWN",
        mutable: false,
        kind: Kind::Number(field!(cluster_timeout), 10, 600_000),
    },
    Setting {
        name: "clock-skew-max",
        value_name: "MILLISECONDS",
        default: "500",
        doc: "a node whose clock is further from the others' does not lead; 0 for no limit",
        mutable: false,
        kind: Kind::Number(field!(clock_skew_max), 0, 86_400_000),
    },
    Setting {
        name: "tls-cluster",
        value_name: "yes|no",
        default: "no",
        doc: "TLS between the nodes of a cluster, both sides with a certificate",
        mutable: false,
        kind: Kind::Boolean(field!(tls_cluster)),
    },
    Setting {
        name: "tls-cert-file",
        value_name: "FILE",
        default: "",
        doc: "this node's certificate in PEM, and those between it and the authority",
        mutable: true,
        kind: Kind::Text(field!(tls_cert_file)),
    },
    Setting {
        name: "tls-key-file",
        value_name: "FILE",
        default: "",
        doc: "the certificate's key in PEM",
        mutable: true,
        kind: Kind::Text(field!(tls_key_file)),
    },
    Setting {
        name: "tls-ca-cert-file",
        value_name: "FILE",
        default: "",
        doc: "certificates in PEM of the authorities that sign those of clients and other nodes",
        mutable: true,
        kind: Kind::Text(field!(tls_ca_cert_file)),
    },
    Setting {
        name: "tls-auth-clients",
        value_name: "yes|no|optional",
        default: "yes",
        doc: "whether clients on tls-port have to show a certificate; optional checks one that is shown",
        mutable: true,
        kind: Kind::Choice(field!(tls_auth_clients), &["no", "yes", "optional"]),
    },
    Setting {
        name: "tls-protocols",
        value_name: "VERSIONS",
        default: "",
        doc: "versions of TLS for clients, of TLSv1.2 and TLSv1.3; empty for both",
        mutable: true,
        kind: Kind::Text(field!(tls_protocols)),
    },
    Setting {
        name: "snapshot-bytes",
        value_name: "BYTES",
        default: "64mb",
        doc: "take a snapshot after so much log, or after as much as the store holds",
        mutable: false,
        kind: Kind::Size(field!(snapshot_bytes), 1 << 16, u64::MAX),
    },
    shown("databases", "16", "numbered databases"),
    shown("save", "", "Redis' dump points: there are none"),
    shown("appendonly", "no", "Redis' append-only file: there is none"),
    shown("cluster-enabled", "no", "Redis Cluster: not this"),
    shown("hash-max-listpack-entries", "512", "fields up to which a hash is packed"),
    shown("hash-max-listpack-value", "64", "longest field or value of a packed hash"),
    shown("set-max-intset-entries", "512", "members up to which a set of integers is packed"),
    shown("set-max-listpack-entries", "128", "members up to which a set is packed"),
    shown("set-max-listpack-value", "64", "longest member of a packed set"),
    shown("zset-max-listpack-entries", "128", "members up to which a sorted set is packed"),
    shown("zset-max-listpack-value", "64", "longest member of a packed sorted set"),
    shown("list-max-listpack-size", "-2", "size up to which a list is packed"),
];

/// A row for what CONFIG GET shows and nothing changes.
const fn shown(name: &'static str, default: &'static str, doc: &'static str) -> Setting {
    Setting { name, value_name: "", default, doc, mutable: false, kind: Kind::Shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_accepted_and_shown() {
        let config = Config::default();
        for setting in SETTINGS {
            let mut copy = config.clone();
            setting.set(&mut copy, &setting.show(&config)).unwrap();
            assert_eq!(copy, config, "{}", setting.name);
            assert!(!setting.doc.is_empty() && !setting.doc.ends_with('.'), "{}", setting.name);
        }
        assert_eq!(config.port, 6379);
        assert_eq!(config.proto_max_bulk_len, 512 << 20);
    }

    #[test]
    fn bad_values_are_refused_with_a_reason() {
        let mut config = Config::default();
        let set = |config: &mut Config, name: &str, text: &str| {
            Setting::find(name).unwrap().set(config, text).unwrap_err()
        };
        assert_eq!(
            set(&mut config, "port", "65536"),
            "argument must be between 0 and 65535 inclusive"
        );
        assert_eq!(set(&mut config, "MAXMEMORY", "1x"), "argument must be a memory value");
        assert_eq!(set(&mut config, "session-import", "maybe"), "argument must be 'yes' or 'no'");
        assert!(set(&mut config, "maxmemory-policy", "allkeys-lru").contains("volatile-ttl"));
        assert_eq!(config, Config::default());
    }
}
