//! Keeping below `maxmemory`: what needs memory is refused, or what ends soonest makes room.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::Eviction;
use crate::key::{Key, SessionHash};
use crate::outcome::Refusal;
use crate::rule::fence;
use crate::store::Store;
use crate::store::scope::{Scope, Spot};
use crate::time::Stamp;

/// How many shards one round looks at, from where the last one stopped.
const SHARDS_A_ROUND: usize = 8;
/// How many entries of a shard are compared.
const ENTRIES_A_SHARD: usize = 16;
/// How many rounds may go by without anything to evict: each shard was looked at.
const ROUNDS_MAX: usize = 64;

enum Victim {
    Key(u8, Vec<u8>),
    Session(SessionHash),
}

/// Sees to it that memory is below `bytes_max`; how many entries were evicted.
pub(crate) fn make_room(
    store: &Store,
    (bytes_max, eviction): (u64, Eviction),
    cursor: &AtomicUsize,
    now: Stamp,
) -> Result<u64, Refusal> {
    let over = || bytes_max > 0 && store.used_bytes() >= bytes_max;
    let (mut evicted, mut fruitless) = (0, 0);
    while over() {
        if eviction == Eviction::Never || fruitless == ROUNDS_MAX {
            return Err(Refusal::OutOfMemory);
        }
        match soonest(store, cursor) {
            Some(victim) => {
                evict(store, &victim, now);
                evicted += 1;
                fruitless = 0;
            }
            None => fruitless += 1,
        }
    }
    Ok(evicted)
}

/// Of some shards' soonest entries the soonest.
fn soonest(store: &Store, cursor: &AtomicUsize) -> Option<Victim> {
    let count = store.shards.len().min(SHARDS_A_ROUND);
    let start = cursor.fetch_add(count, Ordering::Relaxed);
    let mut best: Option<(Stamp, Victim)> = None;
    for step in 0..count {
        let shard = store.shards[(start + step) % store.shards.len()].lock.read();
        for slot in shard.wheel.soonest(&shard.slots, ENTRIES_A_SHARD) {
            let Some(record) = shard.slots.get(slot) else { continue };
            let deadline = shard.deadline_of(record);
            if record.is_fence() {
                continue;
            }
            if deadline.is_never() || best.as_ref().is_some_and(|(best, _)| *best <= deadline) {
                continue;
            }
            let victim = if record.in_session_space() {
                Victim::Session(record.session_hash())
            } else {
                Victim::Key(record.db(), record.key_bytes().to_vec())
            };
            best = Some((deadline, victim));
        }
    }
    best.map(|(_, victim)| victim)
}

fn evict(store: &Store, victim: &Victim, now: Stamp) {
    match victim {
        Victim::Key(db, name) => {
            let key = Key::new(&store.seed, *db, name);
            if store.rules.active() {
                fence::leave(store, &key, now);
            }
            let mut scope = Scope::of(store, &[Spot::Key(key)], None, now);
            if let Some(live) = scope.find(&key) {
                scope.evict(live);
            }
        }
        Victim::Session(id) => {
            let mut scope = Scope::of(store, &[Spot::Session(*id)], None, now);
            if let Some(live) = scope.find_session(id) {
                scope.evict(live);
            }
        }
    }
}
