//! Creating sessions, with a cap on how many a user may have.

use super::{list, meta};
use crate::key::SessionHash;
use crate::op::{Cap, Limits, Op};
use crate::outcome::{Outcome, Refusal, SessionBrief};
use crate::store::Store;
use crate::store::record::{Owner, Record, SessionParts};
use crate::store::scope::{Scope, Spot};
use crate::store::shard::{absolute_deadline, idle_deadline};
use crate::time::Stamp;
use crate::user::shard::UserName;

/// SESSION.CREATE.
pub(crate) fn create(store: &Store, op: &Op<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let Op::SessionCreate { id, user, limits, data, meta: fields, cap } = op else {
        return Ok(Outcome::Nil);
    };
    let meta = meta::with_fields(&[], *fields).ok_or(Refusal::MetaTooLong)?;
    let name = UserName::new(&store.seed, user);
    if let Some(cap) = cap {
        return create_capped(store, op, name, *cap, &meta, now);
    }
    let mut scope = Scope::of(store, &[Spot::Session(*id)], Some(name), now);
    let outcome = insert(&mut scope, *id, name, *limits, data, &meta)?;
    look_once_when_many(&mut scope, name);
    Ok(outcome)
}

/// A user who has just got many sessions: looks once until when they live, while that is cheap, so that
/// no count and no logout everywhere has to later, when they are a hundred thousand (promise 2).
pub(crate) fn look_once_when_many(scope: &mut Scope<'_>, name: UserName<'_>) {
    if let Some(user) = scope.find_record(name)
        && user.sessions().has_just_become_many()
    {
        scope.release_shards();
        list::live_count(scope.store, user, scope.now);
    }
}

/// With a cap, the user's shard is held from counting to inserting, so concurrent logins of the same
/// user take turns and the cap is exact (requirement R12).
fn create_capped(
    store: &Store,
    op: &Op<'_>,
    name: UserName<'_>,
    cap: Cap,
    meta: &[u8],
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let Op::SessionCreate { id, limits, data, .. } = op else { return Ok(Outcome::Nil) };
    // The sessions a user has lie in any shard, and shards are held one at a time below users; so the
    // scope holds the user only, and the new session's shard is looked at and let go before.
    let mut scope = Scope::of(store, &[Spot::Session(*id)], Some(name), now);
    scope.release_shards();
    if is_taken(store, id, now) {
        return Err(Refusal::SessionExists);
    }
    if let Some(user) = scope.find_record(name) {
        let mut live = list::live_sessions(store, user, now);
        let room = cap.sessions_max.max(1) as usize;
        if live.len() >= room {
            if !cap.evict {
                return Err(Refusal::SessionLimit(cap.sessions_max));
            }
            live.sort_unstable_by_key(|session| (session.created, session.id));
            for oldest in live.iter().take(live.len() + 1 - room) {
                scope.with_shard(oldest.location.shard(), |scope| {
                    if let Some(found) = scope.find_session(&oldest.id) {
                        scope.remove(found);
                    }
                });
            }
            scope.retire_if_dead(name);
        }
    }
    let outcome = scope.with_shard(store.shard_of(id.hash()), |scope| {
        insert(scope, *id, name, *limits, data, meta)
    })?;
    look_once_when_many(&mut scope, name);
    Ok(outcome)
}

fn is_taken(store: &Store, id: &SessionHash, now: Stamp) -> bool {
    let shard = store.read(id.hash());
    shard.find_session(id).is_some_and(|found| shard.is_live(found.record, store.epoch(), now))
}

/// Puts a new session in, in a scope that holds its shard and its user.
fn insert(
    scope: &mut Scope<'_>,
    id: SessionHash,
    name: UserName<'_>,
    limits: Limits,
    data: &[u8],
    meta: &[u8],
) -> Result<Outcome, Refusal> {
    if !scope.may_reap(&id) || scope.find_session(&id).is_some() {
        return Err(Refusal::SessionExists);
    }
    scope.has_room(id.hash())?;
    let number = scope.acquire_limits(id.hash(), limits).ok_or(Refusal::TooManyEntries)?;
    let owner = scope.owner_of_another(name);
    let now = scope.now;
    let parts = SessionParts {
        id,
        owner,
        created: now,
        seen: now,
        authenticated: now,
        limits: number,
        version: 1,
        meta,
        data,
    };
    let brief = insert_parts(scope, &parts, limits);
    Ok(Outcome::Session(brief))
}

/// Puts a session record in and lists it; limits are acquired and the id is free.
pub(crate) fn insert_parts(
    scope: &mut Scope<'_>,
    parts: &SessionParts<'_>,
    limits: Limits,
) -> SessionBrief {
    let record = Record::session(&scope.store.arena, parts);
    let live = scope.insert(parts.id.hash(), record);
    let location = scope.location(live);
    let expires = expires(limits, parts.seen, parts.authenticated);
    match parts.owner {
        Owner::User(user) => scope.link(user, location, expires),
        Owner::Alone(alone) => {
            scope.link_alone(UserName::new(&scope.store.seed, alone.name), location);
        }
    }
    SessionBrief { handle: parts.id, created: parts.created, expires }
}

/// When a session ends if nobody touches it.
pub(crate) fn expires(limits: Limits, seen: Stamp, authenticated: Stamp) -> Stamp {
    idle_deadline(limits, seen).min(absolute_deadline(limits, authenticated))
}
