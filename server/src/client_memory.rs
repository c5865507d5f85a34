//! The memory of all clients together: past `maxmemory-clients` the largest are closed until it fits.
//!
//! Whoever asked for CLIENT NO-EVICT stays, and counts. Looked at by the maintenance thread, so the limit may be
//! passed for a moment; what a single client may pile up has limits of its own.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::client::ClientShared;
use crate::state::ServerState;

/// Closes the largest clients while all together take too much.
pub(crate) fn keep_within_limit(server: &ServerState) {
    let Some(limit) = server.settings.current().client_memory_max() else { return };
    let sized = |client: Arc<ClientShared>| (client.memory_bytes(), client);
    // Those on their way out give back what they take.
    let staying = server.clients.list().into_iter().filter(|client| !client.is_killed());
    let mut clients: Vec<_> = staying.map(sized).collect();
    let mut total: u64 = clients.iter().map(|(bytes, _)| bytes).sum();
    if total <= limit {
        return;
    }
    clients.sort_by_key(|(bytes, _)| Reverse(*bytes));
    for (bytes, client) in clients {
        if total <= limit {
            return;
        }
        if !client.published().no_evict {
            server.metrics.evicted_clients.fetch_add(1, Ordering::Relaxed);
            client.kill();
            total -= bytes;
        }
    }
}
