//! Rotation: a new id for a live session, the old one dead in the same step (requirement R4).
//!
//! Both ids' shards are held while one record goes and the other comes, so there is no instant at which
//! both or neither work. With a grace the old id stays as an alias of the new one: it reads and changes
//! the same session, is neither counted nor listed, and dies with it.

use super::change::parts_of;
use super::create::{expires, insert_parts};
use super::read;
use crate::key::SessionHash;
use crate::outcome::{Outcome, Refusal, SessionBrief};
use crate::store::Store;
use crate::store::record::{Kind, Owner, Record, SessionParts};
use crate::store::scope::{Scope, Spot};
use crate::time::Stamp;
use crate::user::shard::UserName;

/// SESSION.ROTATE.
pub(crate) fn rotate(
    store: &Store,
    id: &SessionHash,
    new_id: &SessionHash,
    grace_millis: u64,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let (mut scope, id, old) = loop {
        let id = read::resolve(store, id, now).ok_or(Refusal::NoSession)?;
        let mut scope = Scope::of(store, &[Spot::Session(id), Spot::Session(*new_id)], None, now);
        let old = scope.find_session(&id).ok_or(Refusal::NoSession)?;
        // An alias here means that another rotation came between: look again.
        if old.record.kind() == Kind::Session {
            break (scope, id, old);
        }
    };
    if scope.find_session(new_id).is_some() {
        return Err(Refusal::SessionExists);
    }
    scope.has_room(new_id.hash())?;
    let limits = scope.shard(old.shard).limits_of(old.record);
    let number = scope.acquire_limits(new_id.hash(), limits).ok_or(Refusal::TooManyEntries)?;
    let parts = parts_of(old.record).ok_or(Refusal::NoSession)?;
    let seen = parts.seen.max(now);
    let parts = SessionParts { id: *new_id, limits: number, seen, ..parts };
    let created = parts.created;
    // The new one comes before the old one goes, so that the user keeps its place in the index.
    if let Owner::Alone(alone) = parts.owner {
        let new = scope.insert(new_id.hash(), Record::session(&store.arena, &parts));
        scope.succeed_alone(old, new, UserName::new(&store.seed, alone.name));
    } else {
        insert_parts(&mut scope, &parts, limits);
        scope.remove(old);
    }
    let expires = expires(limits, seen, parts.authenticated);
    let brief = SessionBrief { handle: *new_id, created, expires };
    if grace_millis > 0 {
        let deadline = now.plus_millis(grace_millis);
        let stands_for = (*new_id, created);
        let alias = Record::alias(&store.arena, id, stands_for, deadline);
        scope.insert(id.hash(), alias);
    }
    Ok(Outcome::Session(brief))
}
