//! The sweep: reclaims expired and revoked entries in slices, so that no reader waits for more than a
//! slice, however many expire at once.
//!
//! It changes nothing that anyone can see. An expired plain key goes at once; an owned entry has to
//! leave its user's set too, so it is noted under the key shard's lock and reclaimed through a scope
//! that holds its user first.

use crate::engine::Swept;
use crate::expiry::wheel::Next;
use crate::key::{Key, SessionHash};
use crate::observe::Change;
use crate::rule::fence;
use crate::store::Store;
use crate::store::record::Record;
use crate::store::scope::{Scope, Spot};
use crate::store::shard::deadline_of;
use crate::time::Stamp;
use crate::user::sessions::Location;

/// How many entries are looked at under one guard.
const SLICE: usize = 128;

/// An owned entry whose deadline has passed, by name: it may be gone or changed when it is reclaimed.
enum Owned {
    Key(u8, Vec<u8>),
    Session(SessionHash),
}

impl Owned {
    fn of(record: Record) -> Self {
        if record.in_session_space() {
            Self::Session(record.session_hash())
        } else {
            Self::Key(record.db(), record.key_bytes().to_vec())
        }
    }
}

/// Sweeps every shard until about `entries_max` entries were looked at, and gives memory back.
pub(crate) fn sweep(store: &Store, now: Stamp, entries_max: usize) -> Swept {
    let swept = sweep_shards(store, now, entries_max);
    store.arena.give_back();
    swept
}

fn sweep_shards(store: &Store, now: Stamp, entries_max: usize) -> Swept {
    let mut swept = Swept::default();
    let mut looked_at = 0;
    for shard in 0..store.shards.len() {
        loop {
            let (expired, looked, more) = expire_slice(store, shard, now);
            swept.expired += expired;
            looked_at += looked;
            if !more {
                break;
            }
            if looked_at >= entries_max {
                swept.more = true;
                return swept;
            }
        }
    }
    for users in 0..store.users.len() {
        while let Some((revoked, looked)) = revoke_slice(store, users, now) {
            swept.revoked += revoked;
            looked_at += looked;
            if looked_at >= entries_max {
                swept.more = true;
                return swept;
            }
        }
    }
    swept
}

/// Works off one slice of what is due in a shard: how many expired, how many were looked at, and whether
/// more is due.
fn expire_slice(store: &Store, index: usize, now: Stamp) -> (u64, usize, bool) {
    let mut owned: Vec<Owned> = Vec::new();
    let (mut expired, mut looked, mut more) = (0, 0, true);
    // Freed when the guard is gone: a collection may take long.
    let mut dead = Vec::new();
    let mut freed = 0;
    {
        let mut guard = store.shards[index].lock.write();
        let shard = &mut *guard;
        while looked < SLICE {
            let limits = &shard.limits;
            let next =
                shard.wheel.next_due(&mut shard.slots, now, |record| deadline_of(limits, record));
            if next == Next::Nothing {
                more = false;
                break;
            }
            looked += 1;
            let Next::Due(slot) = next else { continue };
            let Some(record) = shard.slots.get(slot) else { continue };
            let deadline = shard.deadline_of(record);
            if deadline.alive_at(now) {
                shard.wheel.file(&mut shard.slots, slot, deadline, now);
            } else if record.owned() {
                // Filed again for now, so that it is found again should the reclaiming not come to it.
                shard.wheel.file(&mut shard.slots, slot, now.plus_millis(1000), now);
                owned.push(Owned::of(record));
            } else if let Some(record) = shard.take_slot(slot) {
                store.observed.tell(Change::Expired, record);
                freed += crate::store::shard::Shard::cost_bytes(record);
                dead.push(record);
                shard.expired_total += 1;
                expired += 1;
            }
        }
        // Still under the guard: a flush, which holds all of them, sets the account to zero.
        store.account(-(freed as i64));
    }
    for record in dead {
        store.free(record);
    }
    for entry in owned {
        expired += u64::from(reclaim(store, &entry, now));
    }
    (expired, looked, more)
}

/// Reclaims an owned entry if it is still there and still dead.
fn reclaim(store: &Store, entry: &Owned, now: Stamp) -> bool {
    match entry {
        Owned::Key(db, name) => {
            let key = Key::new(&store.seed, *db, name);
            if store.rules.active() {
                return fence::leave(store, &key, now);
            }
            Scope::of(store, &[Spot::Key(key)], None, now).reap_key(&key)
        }
        Owned::Session(id) => Scope::of(store, &[Spot::Session(*id)], None, now).reap_session(id),
    }
}

/// Reclaims everything whose deadline is not after `now`, to the millisecond.
pub(crate) fn reclaim_expired(store: &Store, now: Stamp) {
    while sweep(store, now, usize::MAX).more {}
    for index in 0..store.shards.len() {
        // What is due within the wheel's present tick is still filed.
        let due: Vec<Owned> = {
            let shard = store.shards[index].lock.read();
            let slots = shard.wheel.due_within_tick(&shard.slots);
            let records = slots.into_iter().filter_map(|slot| shard.slots.get(slot));
            let dead = records.filter(|&record| !shard.deadline_of(record).alive_at(now));
            dead.filter(|record| record.owned()).map(Owned::of).collect()
        };
        for entry in due {
            reclaim(store, &entry, now);
        }
    }
}

/// Reclaims one slice of revoked sessions, and how many were looked at; `None` when the shard has none.
fn revoke_slice(store: &Store, index: usize, now: Stamp) -> Option<(u64, usize)> {
    let mut scope = Scope::of_user_shard(store, index);
    let stale = scope.take_stale_alone(index, SLICE);
    if !stale.is_empty() {
        let reclaim = |location: &Location| {
            let slot = location.slot();
            scope.with_shard(location.shard(), |scope| scope.reclaim_stale_alone(index, slot))
        };
        return Some((stale.iter().map(reclaim).map(u64::from).sum(), stale.len()));
    }
    let user = scope.next_revoked(index)?;
    let locations: Vec<_> = user.sessions().after(0).take(SLICE).collect();
    let mut revoked = 0;
    for location in locations {
        if store.rules.active() {
            fence::leave_at(store, location, now);
        }
        revoked += scope.with_shard(location.shard(), |scope| {
            u64::from(scope.reclaim_revoked(location.slot(), user))
        });
    }
    if user.sessions().is_empty() {
        scope.drop_revoked(index, user);
    }
    Some((revoked, revoked as usize))
}
