//! Maintenance: a thread of its own that sweeps the store, indexes it and looks after clients that are idle or
//! too large.
//!
//! Sweeping frees memory only; what has expired or was revoked is invisible without it. It works in
//! slices, so that no request waits long for a shard, and more often while there is a backlog.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hallpass_engine::Stamp;
use hallpass_engine::rule::IndexCursor;

use crate::client_memory;
use crate::state::ServerState;

/// Between slices with nothing left over.
const IDLE: Duration = Duration::from_millis(100);

/// Between slices of a backlog: the connections get most of the processor.
const BUSY: Duration = Duration::from_millis(1);

/// The most entries of one slice.
const SLICE_ENTRIES_MAX: usize = 4096;

/// How often idle clients are looked for.
const CLIENTS_EVERY_MILLIS: u64 = 1000;

/// With more data than this, most reads miss the processor's caches and prefetching pays.
const PREFETCH_BYTES: u64 = 4 << 20;

/// Runs until the server stops.
pub(crate) fn run(server: &Arc<ServerState>) {
    let mut clients_at = server.clock.now();
    let mut cursor = IndexCursor::default();
    while !server.shutdown.has_begun() {
        let now = server.clock.now();
        // In a cluster, what is swept must be what every node agrees has expired.
        let expired_by = server.cluster.get().map_or(now, |cluster| cluster.applied_stamp());
        let swept = server.engine.sweep(expired_by, SLICE_ENTRIES_MAX);
        let indexes = server.cluster.get().is_none() && index(server, &mut cursor, now);
        let memory = server.engine.memory_bytes();
        server.memory_peak.fetch_max(memory, Ordering::Relaxed);
        let prefetch = memory > PREFETCH_BYTES;
        if server.prefetch.load(Ordering::Relaxed) != prefetch {
            server.prefetch.store(prefetch, Ordering::Relaxed);
        }
        if now.millis_since(clients_at) >= CLIENTS_EVERY_MILLIS {
            clients_at = now;
            close_idle_clients(server, now);
        }
        client_memory::keep_within_limit(server);
        std::thread::park_timeout(if swept.more || indexes { BUSY } else { IDLE });
    }
}

/// Indexes a slice of what was stored before a rule was set; whether there is more. A cluster does it
/// through the log.
fn index(server: &ServerState, cursor: &mut IndexCursor, now: Stamp) -> bool {
    if cursor.begins(&server.engine) {
        // A request that began before the rule was there knows nothing of it: the pass begins after it.
        drop(server.gate.close_soon());
    }
    let Some(slice) = server.engine.index_slice(cursor, now) else { return false };
    if !slice.is_empty() {
        // A stamp of its own: what was applied since `now` must not come after it.
        let _inside = server.gate.enter_soon();
        server.engine.apply(&slice.op(server.engine.seed()), server.clock.now());
    }
    true
}

fn close_idle_clients(server: &ServerState, now: Stamp) {
    let timeout = server.settings.current().timeout;
    if timeout == 0 {
        return;
    }
    for client in server.clients.list() {
        // Who listens may have nothing to say for ever, as in Redis.
        if now.millis_since(client.seen()) > timeout * 1000 && !client.is_subscriber() {
            client.kill();
        }
    }
}
