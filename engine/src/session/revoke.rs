//! Ending sessions: some, all of a user, all.

use std::sync::atomic::Ordering;

use super::{list, read};
use crate::engine::Engine;
use crate::expiry::sweep;
use crate::key::SessionHash;
use crate::outcome::Outcome;
use crate::store::Store;
use crate::store::record::Kind;
use crate::store::scope::{Live, Scope, Spot};
use crate::time::Stamp;
use crate::user::record::UserRecord;
use crate::user::sessions::Location;
use crate::user::shard::{Held, UserName};

/// SESSION.REVOKE, and with a user SESSION.REVOKEHANDLE: only that user's sessions.
///
/// An alias stands for its session here, too: revoking it ends the session, and with the session every
/// alias. All are ended in one step.
pub(crate) fn revoke(
    store: &Store,
    ids: &[SessionHash],
    user: Option<&[u8]>,
    now: Stamp,
) -> Outcome {
    loop {
        let targets: Vec<SessionHash> =
            ids.iter().filter_map(|id| read::resolve(store, id, now)).collect();
        let spots: Vec<Spot<'_>> = targets.iter().map(|id| Spot::Session(*id)).collect();
        let mut scope = Scope::of(store, &spots, None, now);
        let found: Vec<Live> = targets.iter().filter_map(|id| scope.find_session(id)).collect();
        if found.iter().any(|live| live.record.kind() == Kind::Alias) {
            // A rotation with grace came between: its session is what has to end.
            continue;
        }
        return Outcome::Integer(end_all(&mut scope, &targets, user));
    }
}

fn end_all(scope: &mut Scope<'_>, targets: &[SessionHash], user: Option<&[u8]>) -> i64 {
    let mut revoked = 0;
    for id in targets {
        if let Some(live) = scope.find_session(id)
            && user.is_none_or(|name| live.record.owner_name() == Some(name))
        {
            scope.remove(live);
            revoked += 1;
        }
    }
    revoked
}

/// SESSION.REVOKEUSER: one write ends all; the sweep reclaims the memory (promise 2).
///
/// The user's shard is held, so a login of the same user comes before, and ends, or after, and lives.
pub(crate) fn revoke_user(
    store: &Store,
    user: &[u8],
    except: Option<SessionHash>,
    now: Stamp,
) -> Outcome {
    let name = UserName::new(&store.seed, user);
    let mut scope = Scope::of_user(store, name, now);
    // Drawn whether or not there is a session: whether an expired one was swept must not show, and
    // what else was issued to this user is to end, too.
    let generation = store.generations.fetch_add(1, Ordering::Relaxed) + 1;
    let old = match scope.find_user(name) {
        None => return Outcome::Integer(0),
        Some(Held::User(old)) => old,
        Some(Held::Alone(location)) => {
            let kept = except.and_then(|id| read::resolve(store, &id, now));
            return Outcome::Integer(end_alone(&mut scope, location, kept, (name, generation)));
        }
    };
    let live = list::live_count(store, old, now);
    // With the user held no rotation of a session of this user can come between.
    let except = except.and_then(|id| read::resolve(store, &id, now));
    let kept = except.is_some_and(|id| keep(&mut scope, old, name, id, generation));
    if !kept {
        scope.detach_user(old);
    }
    scope.retire_user(old);
    Outcome::Integer(live as i64 - i64::from(kept))
}

/// Ends the only session of a user, which is as short as marking it, or keeps it; how many were ended.
fn end_alone(
    scope: &mut Scope<'_>,
    location: Location,
    kept: Option<SessionHash>,
    (name, generation): (UserName<'_>, u64),
) -> i64 {
    scope.with_shard(location.shard(), |scope| match scope.at_slot(location.slot()) {
        Some(live) if kept.is_some_and(|id| live.record.is_session(&id)) => {
            scope.leave_alone(live, name, generation);
            0
        }
        _ => {
            scope.remove_slot(location.slot());
            1
        }
    })
}

/// Makes one session of a user all the user has, under the new generation.
fn keep(
    scope: &mut Scope<'_>,
    old: UserRecord,
    name: UserName<'_>,
    id: SessionHash,
    generation: u64,
) -> bool {
    let store = scope.store;
    scope.reserve_alone(name);
    scope.with_shard(store.shard_of(id.hash()), |scope| {
        let Some(live) = scope.live_session(&id) else { return false };
        if live.record.kind() != Kind::Session || live.record.user() != Some(old) {
            return false;
        }
        scope.detach_user(old);
        scope.leave_alone(live, name, generation);
        true
    })
}

/// SESSION.REVOKEALL: one write ends all; the tables of users are put aside for the sweep.
pub(crate) fn revoke_all(engine: &Engine, now: Stamp) -> Outcome {
    // What has expired by now is not counted, so it is reclaimed first.
    sweep::reclaim_expired(&engine.store, now);
    let store = &engine.store;
    let (epoch, mut users) = loop {
        let users: Vec<_> = store.users.iter().map(|users| users.lock()).collect();
        let epoch = store.epoch();
        if !users.iter().any(|users| users.holds_ambiguous(epoch)) {
            break (epoch, users);
        }
        // The last few logouts of everybody came faster than the sweep: it is done now.
        drop(users);
        while sweep::sweep(store, now, usize::MAX).more {}
    };
    let live: u64 = users.iter().map(|users| users.sessions).sum();
    for users in &mut users {
        users.set_aside_all(epoch);
    }
    if store.rules.active() {
        store.rules.note_epoch_ended(epoch, now);
    }
    store.generations.fetch_add(1, Ordering::Relaxed);
    store.epoch.fetch_add(1, Ordering::AcqRel);
    Outcome::Integer(live as i64)
}
