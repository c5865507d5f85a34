//! INFO: the server's state as text, in sections, with the names Redis' tools look for.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use hallpass_engine::{DATABASES, Stamp};

use super::connection::REDIS_VERSION;
use super::context::LocalContext;
use super::error::CommandError;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, Run};
use crate::pubsub::Space;
use crate::state::ServerState;

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "info",
    arity: -1,
    flags: Flags::LOADING.with(Flags::STALE),
    categories: Categories::DANGEROUS,
    syntax: "[section [section ...]]",
    summary: "Returns information and statistics about the server.",
    group: "server",
    reply: "Text: sections of name:value lines",
    difference: "A section Sessions comes in addition; fields about what Hallpass does not \
                have are not there.",
    run: Run::Local(info),
    ..CommandSpec::ROW
}];

/// A section: its name, whether INFO without arguments shows it, and what writes it.
struct Section {
    name: &'static str,
    by_default: bool,
    write: fn(&mut Page<'_>),
}

const SECTIONS: &[Section] = &[
    Section { name: "Server", by_default: true, write: server },
    Section { name: "Clients", by_default: true, write: clients },
    Section { name: "Memory", by_default: true, write: memory },
    Section { name: "Persistence", by_default: true, write: persistence },
    Section { name: "Stats", by_default: true, write: statistics },
    Section { name: "Replication", by_default: true, write: replication },
    Section { name: "CPU", by_default: true, write: processor },
    Section { name: "Commandstats", by_default: false, write: commands },
    Section { name: "Errorstats", by_default: true, write: errors },
    Section { name: "Cluster", by_default: true, write: cluster },
    Section { name: "Sessions", by_default: true, write: sessions },
    Section { name: "Keyspace", by_default: true, write: keyspace },
];

/// What sections are written on.
struct Page<'a> {
    text: String,
    server: &'a ServerState,
    now: Stamp,
}

impl Page<'_> {
    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{name}:{value}\r\n");
    }
}

fn info(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let asked = |section: &&Section| {
        let named = |index| {
            request.is(index, "all")
                || request.is(index, "everything")
                || (request.is(index, "default") && section.by_default)
                || request.word(index).eq_ignore_ascii_case(section.name.as_bytes())
        };
        if request.len() == 1 { section.by_default } else { (1..request.len()).any(named) }
    };
    let mut page = Page { text: String::new(), server: context.server, now: context.now };
    for section in SECTIONS.iter().filter(asked) {
        if !page.text.is_empty() {
            page.text.push_str("\r\n");
        }
        let _ = write!(page.text, "# {}\r\n", section.name);
        (section.write)(&mut page);
    }
    context.reply.verbatim("txt", page.text.as_bytes());
    Ok(())
}

fn server(page: &mut Page<'_>) {
    let server = page.server;
    let config = server.settings.current();
    let uptime = page.now.millis_since(server.started) / 1000;
    page.line("redis_version", REDIS_VERSION);
    page.line("hallpass_version", env!("CARGO_PKG_VERSION"));
    page.line("redis_git_sha1", "00000000");
    page.line("redis_git_dirty", 0);
    page.line("redis_build_id", 0);
    page.line("redis_mode", "standalone");
    page.line("os", std::env::consts::OS);
    page.line("arch_bits", usize::BITS);
    page.line("process_id", std::process::id());
    page.line("run_id", &server.run_id);
    page.line("tcp_port", server.port.load(Ordering::Relaxed));
    page.line("server_time_usec", crate::clock::wall_micros());
    page.line("uptime_in_seconds", uptime);
    page.line("uptime_in_days", uptime / 86_400);
    page.line("hz", 10);
    page.line("configured_hz", 10);
    page.line("io_threads_active", u8::from(config.thread_count() > 1));
    page.line("threads", config.thread_count());
    let file = config.file.as_ref().map(|path| path.display().to_string());
    page.line("config_file", file.unwrap_or_default());
}

fn clients(page: &mut Page<'_>) {
    let server = page.server;
    page.line("connected_clients", server.clients.len());
    page.line("cluster_connections", 0);
    page.line("maxclients", server.settings.current().maxclients);
    page.line("blocked_clients", 0);
    page.line("tracking_clients", server.keyspace.tracking().client_count());
}

fn memory(page: &mut Page<'_>) {
    let server = page.server;
    let config = server.settings.current();
    let used = server.engine.statistics().memory_bytes;
    let peak = server.memory_peak.fetch_max(used, Ordering::Relaxed).max(used);
    let resident = resident_bytes();
    page.line("used_memory", used);
    page.line("used_memory_human", human(used));
    page.line("used_memory_rss", resident);
    page.line("used_memory_rss_human", human(resident));
    page.line("used_memory_peak", peak);
    page.line("used_memory_peak_human", human(peak));
    page.line("used_memory_dataset", used);
    page.line("used_memory_lua", 0);
    page.line("maxmemory", config.maxmemory);
    page.line("maxmemory_human", human(config.maxmemory));
    page.line("maxmemory_policy", &config.maxmemory_policy);
    page.line("mem_fragmentation_ratio", format!("{:.2}", resident as f64 / used.max(1) as f64));
}

fn persistence(page: &mut Page<'_>) {
    for name in ["loading", "async_loading", "rdb_changes_since_last_save"] {
        page.line(name, 0);
    }
    page.line("rdb_bgsave_in_progress", 0);
    page.line("rdb_last_save_time", page.server.started.millis() / 1000);
    page.line("rdb_last_bgsave_status", "ok");
    page.line("aof_enabled", 0);
    page.line("aof_rewrite_in_progress", 0);
    page.line("aof_last_write_status", "ok");
}

fn statistics(page: &mut Page<'_>) {
    let server = page.server;
    let metrics = &server.metrics;
    let engine = server.engine.statistics();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let calls = metrics
        .sum(|thread| thread.commands.iter().map(|command| command.calls.get()).sum::<u64>());
    page.line("total_connections_received", metrics.sum(|thread| thread.connections.get()));
    page.line("total_commands_processed", calls);
    page.line("total_net_input_bytes", metrics.sum(|thread| thread.input_bytes.get()));
    page.line("total_net_output_bytes", metrics.sum(|thread| thread.output_bytes.get()));
    page.line("rejected_connections", load(&metrics.rejected_connections));
    page.line("expired_keys", engine.expired_total);
    page.line("evicted_keys", engine.evicted_total);
    page.line("evicted_clients", load(&metrics.evicted_clients));
    page.line("keyspace_hits", metrics.sum(|thread| thread.hits.get()));
    page.line("keyspace_misses", metrics.sum(|thread| thread.misses.get()));
    page.line("pubsub_channels", server.pubsub.channel_count(Space::Common));
    page.line("pubsub_patterns", server.pubsub.pattern_count());
    page.line("pubsubshard_channels", server.pubsub.channel_count(Space::Shard));
    let tracking = server.keyspace.tracking();
    let (keys, items) = tracking.table_size();
    page.line("tracking_total_keys", keys);
    page.line("tracking_total_items", items);
    page.line("tracking_total_prefixes", tracking.prefix_count());
    page.line("total_error_replies", metrics.sum(|thread| thread.errors.get()));
    page.line(
        "client_query_buffer_limit_disconnections",
        load(&metrics.query_limit_disconnections),
    );
    page.line(
        "client_output_buffer_limit_disconnections",
        load(&metrics.output_limit_disconnections),
    );
}

fn replication(page: &mut Page<'_>) {
    // Every node takes writes, so to a client each is a master.
    page.line("role", "master");
    page.line("connected_slaves", 0);
    page.line("master_failover_state", "no-failover");
    page.line("master_replid", &page.server.run_id);
    page.line("master_replid2", "0".repeat(40));
    page.line("master_repl_offset", 0);
    page.line("second_repl_offset", -1);
    page.line("repl_backlog_active", 0);
    let Some(cluster) = page.server.cluster.get() else { return };
    let status = cluster.status();
    let leads = status.leader == Some(status.node);
    page.line("raft_node", status.node);
    page.line("raft_role", if leads { "leader" } else { "follower" });
    page.line("raft_leader", status.leader.map_or_else(String::new, |leader| leader.to_string()));
    page.line("raft_term", status.term);
    page.line("raft_applied", status.applied);
    page.line("raft_last_log", status.last_log);
    page.line("raft_snapshot", status.snapshot);
    let log = cluster.log().statistics();
    page.line("raft_log_bytes_written", log.bytes);
    page.line("raft_log_records_written", log.records);
    page.line("raft_log_syncs", log.syncs);
    page.line("raft_members", status.members.len());
    page.line("raft_clock_ahead_millis", status.clock_ahead_millis);
    page.line("raft_clock_outlier", u8::from(status.clock_outlier));
}

fn processor(page: &mut Page<'_>) {
    let (user, system) = processor_seconds();
    page.line("used_cpu_sys", format!("{system:.6}"));
    page.line("used_cpu_user", format!("{user:.6}"));
    page.line("used_cpu_sys_children", "0.000000");
    page.line("used_cpu_user_children", "0.000000");
}

fn commands(page: &mut Page<'_>) {
    let server = page.server;
    let all = server.table.entries().iter();
    for entry in all.flat_map(|entry| std::iter::once(entry).chain(&entry.subcommands)) {
        let sum = |pick: fn(&crate::metrics::CommandCounters) -> u64| {
            server.metrics.sum(|thread| pick(&thread.commands[entry.index]))
        };
        let (calls, nanos) = (sum(|one| one.calls.get()), sum(|one| one.nanos.get()));
        let (rejected, failed) = (sum(|one| one.rejected.get()), sum(|one| one.failed.get()));
        if calls + rejected == 0 {
            continue;
        }
        let each = nanos as f64 / 1000.0 / calls.max(1) as f64;
        let value = format!(
            "calls={calls},usec={},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}",
            nanos / 1000
        );
        page.line(&format!("cmdstat_{}", entry.full_name), value);
    }
}

fn errors(page: &mut Page<'_>) {
    for (code, count) in page.server.metrics.errors() {
        page.line(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn cluster(page: &mut Page<'_>) {
    page.line("cluster_enabled", 0);
}

fn sessions(page: &mut Page<'_>) {
    let engine = page.server.engine.statistics();
    page.line("sessions", engine.sessions);
    page.line("users", engine.users);
    page.line("revoked_unswept", engine.revoked_unswept);
}

fn keyspace(page: &mut Page<'_>) {
    for db in 0..DATABASES {
        let database = page.server.engine.database(db);
        if database.keys > 0 {
            let value = format!("keys={},expires={},avg_ttl=0", database.keys, database.expires);
            page.line(&format!("db{db}"), value);
        }
    }
}

/// A size as people read it, in Redis' form.
fn human(bytes: u64) -> String {
    let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    match units.into_iter().find(|(_, shift)| bytes >= 1 << shift) {
        Some((unit, shift)) => {
            format!("{:.2}{unit}", bytes as f64 / f64::from(1u32 << (shift - 10)) / 1024.0)
        }
        None => format!("{bytes}B"),
    }
}

/// The process' resident memory; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The process' user and system time in seconds; 0 where the system does not say.
fn processor_seconds() -> (f64, f64) {
    // Ticks of 1/100 s on every Linux; the 14th and 15th field, after a name that may hold spaces.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let seconds = |index: usize| {
        fields.get(index).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0) / 100.0
    };
    (seconds(11), seconds(12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_redis_writes_them() {
        for (bytes, text) in
            [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1_188_112, "1.13M"), (3 << 40, "3.00T")]
        {
            assert_eq!(human(bytes), text);
        }
    }
}
