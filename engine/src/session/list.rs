//! Listing and counting a user's sessions.
//!
//! The user's shard is held throughout, so no session of the user comes or goes meanwhile; the key
//! shards are looked at one after the other, as the lock order allows. What has expired is still in the
//! set until the sweep, so each session's deadline is asked (promise 3) — except where the set knows
//! that none of them can have passed.

use crate::engine::{KeyView, UserEntry};
use crate::key::SessionHash;
use crate::rule::fence;
use crate::session::read::view;
use crate::store::Store;
use crate::store::record::{Kind, Record};
use crate::time::Stamp;
use crate::user::record::UserRecord;
use crate::user::sessions::Location;
use crate::user::shard::{Held, UserName};

/// A live session of a user, as far as choosing among them needs it.
pub(crate) struct LiveSession {
    pub(crate) location: Location,
    pub(crate) id: SessionHash,
    pub(crate) created: Stamp,
}

/// The live sessions of a user. The caller holds the user's shard and no key shard.
pub(crate) fn live_sessions(store: &Store, user: UserRecord, now: Stamp) -> Vec<LiveSession> {
    let epoch = store.epoch();
    let mut live = Vec::new();
    for location in user.sessions().after(0) {
        let shard = store.shards[location.shard()].lock.read();
        if let Some(record) = shard.slots.get(location.slot())
            && record.kind() == Kind::Session
            && shard.is_live(record, epoch, now)
        {
            let (id, created) = (record.session_hash(), record.created());
            live.push(LiveSession { location, id, created });
        }
    }
    live
}

/// Whether any entry of a user is live: mostly the first one looked at. The caller holds the user's
/// shard and no key shard.
pub(crate) fn any_live(store: &Store, held: Held, now: Stamp) -> bool {
    let is_live = |location: Location| with_live_at(store, location, now, |_| ()).is_some();
    match held {
        Held::Alone(location) => is_live(location),
        Held::User(user) => {
            user.sessions().all_live_until().is_some_and(|until| until.alive_at(now))
                || user.sessions().after(0).any(is_live)
        }
    }
}

/// The generation of a user that has a live entry. The caller holds the user's shard and no key shard.
pub(crate) fn live_generation(store: &Store, held: Held, now: Stamp) -> Option<u64> {
    match held {
        Held::Alone(location) => {
            with_live_at(store, location, now, Record::alone)?.map(|user| user.generation)
        }
        Held::User(user) => any_live(store, held, now).then(|| user.generation()),
    }
}

/// Looks at the record at a location if it is live.
fn with_live_at<R>(
    store: &Store,
    location: Location,
    now: Stamp,
    look: impl FnOnce(Record) -> R,
) -> Option<R> {
    let shard = store.shards[location.shard()].lock.read();
    let record = shard.slots.get(location.slot())?;
    shard.is_live(record, store.epoch(), now).then(|| look(record))
}

/// How many entries of a user are live. The caller holds the user's shard and no key shard.
///
/// For a user with many, the set keeps the time until which none of them can end unless it is taken out:
/// until then the answer is the set's size, at no cost (promise 2). Afterwards each is looked at once and
/// the time is set anew, which touches have moved on meanwhile.
pub(crate) fn live_count(store: &Store, user: UserRecord, now: Stamp) -> u64 {
    if user.sessions().all_live_until().is_some_and(|until| until.alive_at(now)) {
        return user.sessions().len() as u64;
    }
    let epoch = store.epoch();
    let (mut count, mut until) = (0, Stamp::NEVER);
    let mut all_live = true;
    for location in user.sessions().after(0) {
        let shard = store.shards[location.shard()].lock.read();
        if let Some(record) = shard.slots.get(location.slot()) {
            if shard.is_live(record, epoch, now) {
                count += 1;
                until = until.min(shard.deadline_of(record));
            } else {
                all_live = false;
            }
        }
    }
    // With dead ones still in the set its size would be wrong, so the next count looks again.
    user.sessions().set_all_live_until(if all_live { until } else { Stamp::default() });
    count
}

/// See [`crate::Engine::session_count`].
pub(crate) fn count(store: &Store, user: &[u8], now: Stamp) -> u64 {
    let name = UserName::new(&store.seed, user);
    let users = store.lock_users(name.hash);
    match users.find(store, name) {
        None => 0,
        Some(Held::User(user)) => live_count(store, user, now),
        Some(held) => u64::from(any_live(store, held, now)),
    }
}

/// See [`crate::Engine::entries_of`]. `visit` says whether the entry counts.
pub(crate) fn visit(
    store: &Store,
    user: &[u8],
    (cursor, count): (u64, usize),
    now: Stamp,
    mut visit: impl FnMut(UserEntry<'_>) -> bool,
) -> u64 {
    let name = UserName::new(&store.seed, user);
    let users = store.lock_users(name.hash);
    let Some(held) = users.find(store, name) else { return 0 };
    let epoch = store.epoch();
    let Ok(from) = u32::try_from(cursor) else { return 0 };
    let mut visited = 0;
    let (alone, several) = match held {
        Held::Alone(location) => (Some(location).filter(|at| at.number() >= from), None),
        Held::User(user) => (None, Some(user.sessions().after(from))),
    };
    for location in alone.into_iter().chain(several.into_iter().flatten()) {
        if visited >= count.max(1) {
            return u64::from(location.number());
        }
        let shard = store.shards[location.shard()].lock.read();
        if let Some(record) = shard.slots.get(location.slot())
            && shard.is_live(record, epoch, now)
        {
            let entry = if record.kind() == Kind::Session {
                UserEntry::Session(view(&shard, record))
            } else {
                let (db, key) = (record.db(), record.key_bytes());
                let (handle, expires) = (fence::id_of(db, key), record.deadline());
                UserEntry::Key(KeyView { handle, db, key, expires })
            };
            visited += usize::from(visit(entry));
        }
    }
    0
}
