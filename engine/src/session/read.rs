//! Looking at sessions, and touching them on the way.
//!
//! A touch is one atomic store under the shard's read guard: no allocation, no index, no wheel
//! (promise 5).

use super::change;
use super::meta::Meta;
use crate::engine::SessionView;
use crate::key::{Hint, SessionHash, SessionKey};
use crate::outcome::Outcome;
use crate::store::Store;
use crate::store::record::{Kind, Record};
use crate::store::shard::{Shard, absolute_deadline, idle_deadline};
use crate::time::Stamp;

/// How many aliases a lookup follows: each is a rotation whose grace is not over yet.
const ALIASES_MAX: usize = 16;

/// Finds the live session of an id, following aliases, and hands it over under its shard's read guard.
#[inline]
pub(crate) fn with_live<R>(
    store: &Store,
    session: SessionKey,
    now: Stamp,
    read: impl FnOnce(Option<(&Shard, Record)>) -> R,
) -> R {
    let SessionKey { mut id, mut hint } = session;
    let mut created = None;
    for _ in 0..ALIASES_MAX {
        let shard = store.read(id.hash());
        let Some(record) = shard.record_of_session(&id, hint) else { return read(None) };
        if !shard.is_live(record, store.epoch(), now) {
            return read(None);
        }
        if created.is_some_and(|created| created != record.created()) {
            // The session the alias stood for is gone; this one was made later under its id.
            return read(None);
        }
        if record.kind() == Kind::Session {
            return read(Some((&shard, record)));
        }
        created = Some(record.created());
        (id, hint) = (record.stands_for(), Hint::default());
    }
    read(None)
}

/// The id that a live id stands for: itself, or after rotations with grace the present one.
pub(crate) fn resolve(store: &Store, id: &SessionHash, now: Stamp) -> Option<SessionHash> {
    with_live(store, id.into(), now, |live| live.map(|(_, record)| record.session_hash()))
}

/// Moves a live session's idle deadline.
#[inline]
pub(crate) fn touch_record(record: Record, now: Stamp) {
    let (seen, limits) = record.seen();
    if seen < now {
        record.set_seen(now, limits);
    }
}

/// SESSION.TOUCH as an op.
pub(crate) fn touch(store: &Store, id: &SessionHash, now: Stamp) -> Outcome {
    let imaged = with_live(store, id.into(), now, |live| {
        let (shard, record) = live?;
        if shard.image.is_none() {
            touch_record(record, now);
        }
        Some(shard.image.is_some())
    });
    match imaged {
        None => Outcome::Flag(false),
        Some(false) => Outcome::Flag(true),
        // A snapshot in progress has to show what was there before, which needs the write guard.
        Some(true) => Outcome::Flag(change::touch(store, id, now).is_ok()),
    }
}

/// A session record as readers see it.
pub(crate) fn view<'a>(shard: &Shard, record: Record) -> SessionView<'a> {
    let limits = shard.limits_of(record);
    let (seen, _) = record.seen();
    let authenticated = record.authenticated();
    let ends = absolute_deadline(limits, authenticated);
    SessionView {
        handle: record.session_hash(),
        user: record.owner_name().unwrap_or_default(),
        data: record.data(),
        meta: Meta { encoded: record.meta() },
        created: record.created(),
        seen,
        authenticated,
        idle_seconds: limits.idle_seconds,
        expires: idle_deadline(limits, seen).min(ends),
        ends,
        version: record.version(),
    }
}
