//! Applying ops: [`apply`] sends each to the file of its kind.
//!
//! Everything here is a function of the store, the op and the given time. A family's functions open the
//! [`Scope`](crate::store::scope::Scope) they need, decide, and change; they return refusals as
//! outcomes. Nothing is changed before everything that can be refused has been looked at.

mod collection;
mod hash;
mod key;
mod list;
mod set;
mod sorted;
mod string;

use crate::engine::Engine;
use crate::op::Op;
use crate::outcome::{Outcome, Refusal};
use crate::rule::{index, write};
use crate::session;
use crate::time::Stamp;

/// Applies one op. See [`Engine::apply`].
pub(crate) fn apply(engine: &Engine, op: &Op<'_>, now: Stamp) -> Outcome {
    if op.may_grow()
        && let Err(refusal) = engine.make_room(now)
    {
        return refusal.into();
    }
    let applied = if engine.store.rules.active() {
        write::apply(engine, op, now)
    } else {
        run(engine, op, now)
    };
    match applied {
        Ok(outcome) => outcome,
        Err(refusal) => refusal.into(),
    }
}

pub(crate) fn run(engine: &Engine, op: &Op<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let store = &engine.store;
    match op {
        Op::Set { .. } => string::set(engine, op, now),
        Op::SetMany { db, pairs, if_none_exist } => {
            string::set_many(engine, *db, *pairs, *if_none_exist, now)
        }
        Op::Append { key, value } => string::append(engine, *key, value, now),
        Op::SetRange { key, offset, value } => string::set_range(engine, *key, *offset, value, now),
        Op::Increment { key, by } => string::increment(engine, *key, *by, now),
        Op::IncrementFloat { key, by } => string::increment_float(engine, *key, by, now),
        Op::GetDelete { key } => string::get_delete(store, *key, now),
        Op::GetExpire { key, deadline } => string::get_expire(store, *key, *deadline, now),

        Op::Delete { db, keys } => Ok(key::delete(store, *db, *keys, now)),
        Op::Expire { key, at, condition } => {
            Ok(key::expire(store, *key, at.stamp(now), *condition, now))
        }
        Op::Persist { key } => Ok(key::persist(store, *key, now)),
        Op::Rename { from, to, if_absent } => key::rename(store, *from, *to, *if_absent, now),
        Op::Copy { from, to, replace } => key::copy(store, *from, *to, *replace, now),
        Op::Restore { .. } => key::restore(engine, op, now),
        Op::Flush { db } => Ok(key::flush(store, *db)),
        Op::Registers { seen, changes } => crate::register::apply(store, *seen, changes),
        Op::Unchanged { keys } => Ok(key::unchanged(engine, keys, now)),

        Op::HashSet { .. }
        | Op::HashDelete { .. }
        | Op::HashIncrement { .. }
        | Op::HashIncrementFloat { .. } => hash::apply(engine, op, now),
        Op::SetAdd { .. }
        | Op::SetRemove { .. }
        | Op::SetPop { .. }
        | Op::SetMove { .. }
        | Op::SetStore { .. } => set::apply(engine, op, now),
        Op::SortedAdd { .. }
        | Op::SortedRemove { .. }
        | Op::SortedRemoveRange { .. }
        | Op::SortedPop { .. } => sorted::apply(engine, op, now),
        Op::ListPush { .. }
        | Op::ListPop { .. }
        | Op::ListTrim { .. }
        | Op::ListRemove { .. }
        | Op::ListSet { .. }
        | Op::ListInsert { .. }
        | Op::ListMove { .. } => list::apply(engine, op, now),

        Op::SessionCreate { .. } => session::create::create(store, op, now),
        Op::SessionSave { id, data, version } => {
            session::change::save(store, id, data, *version, now)
        }
        Op::SessionMeta { id, fields } => session::change::meta(engine, id, *fields, now),
        Op::SessionTouch { id } => Ok(session::read::touch(store, id, now)),
        Op::SessionReauthenticate { id } => session::change::reauthenticate(store, id, now),
        Op::SessionRotate { id, new_id, grace_millis } => {
            session::rotate::rotate(store, id, new_id, *grace_millis, now)
        }
        Op::SessionRevoke { ids } => Ok(session::revoke::revoke(store, ids, None, now)),
        Op::SessionRevokeOwned { user, ids } => {
            Ok(session::revoke::revoke(store, ids, Some(user), now))
        }
        Op::SessionRevokeUser { user, except } => {
            Ok(session::revoke::revoke_user(store, user, *except, now))
        }
        Op::SessionRevokeAll => Ok(session::revoke::revoke_all(engine, now)),

        Op::RuleSet { rule } => index::set(engine, rule, now),
        Op::RuleDelete { name } => Ok(index::delete(engine, name, now)),
        Op::RuleIndex { job, keys, done } => Ok(index::apply(engine, *job, keys, *done, now)),
    }
}
