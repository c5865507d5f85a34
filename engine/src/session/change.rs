//! Changing live sessions: data, metadata, a fresh authentication.
//!
//! All of these find a live record or refuse; none creates one (requirements R13 and R14).

use super::create::expires;
use super::{meta, read};
use crate::engine::Engine;
use crate::key::{SessionHash, Words};
use crate::outcome::{Outcome, Refusal, SessionBrief};
use crate::store::Store;
use crate::store::record::{Kind, Owner, Record, SessionParts};
use crate::store::scope::{Live, Scope};
use crate::time::Stamp;

/// The parts of a live session's record, to make its successor from.
pub(crate) fn parts_of<'a>(record: Record) -> Option<SessionParts<'a>> {
    let (seen, limits) = record.seen();
    Some(SessionParts {
        id: record.session_hash(),
        owner: owner_of(record)?,
        created: record.created(),
        seen,
        authenticated: record.authenticated(),
        limits,
        version: record.version(),
        meta: record.meta(),
        data: record.data(),
    })
}

fn owner_of<'a>(record: Record) -> Option<Owner<'a>> {
    record.alone().map(Owner::Alone).or_else(|| record.user().map(Owner::User))
}

/// Runs `change` on the live session of an id, in a scope that holds its shard.
fn with_session<'a, R>(
    store: &Store,
    id: &SessionHash,
    now: Stamp,
    change: impl FnOnce(&mut Scope<'_>, Live, SessionParts<'a>) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    loop {
        let id = read::resolve(store, id, now).ok_or(Refusal::NoSession)?;
        let mut scope = Scope::of_session(store, &id, now);
        let live = scope.live_session(&id).ok_or(Refusal::NoSession)?;
        if live.record.kind() == Kind::Alias {
            // A rotation with grace came between: look again for what the id stands for now.
            continue;
        }
        let parts = parts_of(live.record).ok_or(Refusal::NoSession)?;
        return change(&mut scope, live, parts);
    }
}

fn store_parts(scope: &mut Scope<'_>, live: Live, parts: &SessionParts<'_>) {
    let record = Record::session(&scope.store.arena, parts);
    scope.replace(live, record);
}

/// SESSION.TOUCH while a snapshot is being taken: under the write guard, so that it stays out of it.
pub(super) fn touch(store: &Store, id: &SessionHash, now: Stamp) -> Result<(), Refusal> {
    with_session(store, id, now, |scope, live, _| {
        scope.shard(live.shard).before_change(live.slot);
        read::touch_record(live.record, now);
        Ok(())
    })
}

/// SESSION.SET: a save is also a touch.
pub(crate) fn save(
    store: &Store,
    id: &SessionHash,
    data: &[u8],
    version: Option<u32>,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    with_session(store, id, now, |scope, live, parts| {
        if version.is_some_and(|expected| expected != parts.version) {
            return Err(Refusal::VersionMismatch(parts.version));
        }
        let version = parts.version.wrapping_add(1);
        let seen = parts.seen.max(now);
        store_parts(scope, live, &SessionParts { seen, version, data, ..parts });
        Ok(Outcome::Integer(i64::from(version)))
    })
}

/// SESSION.META: also a touch, but the data's version stays.
pub(crate) fn meta(
    engine: &Engine,
    id: &SessionHash,
    fields: Words<'_>,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    with_session(&engine.store, id, now, |scope, live, parts| {
        let meta = meta::with_fields(parts.meta, fields)
            .filter(|meta| meta.len() <= engine.sizes.meta_bytes_max)
            .ok_or(Refusal::MetaTooLong)?;
        let seen = parts.seen.max(now);
        let version = parts.version;
        store_parts(scope, live, &SessionParts { meta: &meta, seen, ..parts });
        Ok(Outcome::Integer(i64::from(version)))
    })
}

/// SESSION.REAUTH: both limits begin anew (requirement R9).
pub(crate) fn reauthenticate(
    store: &Store,
    id: &SessionHash,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    with_session(store, id, now, |scope, live, parts| {
        let limits = scope.shard(live.shard).limits_of(live.record);
        let (handle, created) = (parts.id, parts.created);
        store_parts(scope, live, &SessionParts { authenticated: now, seen: now, ..parts });
        let expires = expires(limits, now, now);
        Ok(Outcome::Session(SessionBrief { handle, created, expires }))
    })
}
