//! Ops while there are rules: what a key under one costs more than another.
//!
//! With the stripes of its keys held, an op on such keys first reaps what lies dead under them, then is
//! turned away where a fence stands, then is applied as ever, and last sees to it that owner and index say
//! what the value says and that what it ended is fenced.

use std::sync::Arc;

use smallvec::SmallVec;

use super::fence::{self, Fence};
use super::registry::{Rules, Stripes};
use super::{FenceReply, Rule};
use crate::apply::run;
use crate::engine::{Config, Engine};
use crate::key::{Key, SessionHash, Words};
use crate::op::Op;
use crate::outcome::{Outcome, Refusal};
use crate::session::create::look_once_when_many;
use crate::store::Store;
use crate::store::record::{Kind, Record};
use crate::store::scope::{Scope, Spot};
use crate::time::Stamp;
use crate::user::shard::{Held, UserName};

/// What an op does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Writes to it, and may make it.
    Makes,
    /// Writes to what is there.
    Changes,
    /// May end it.
    Ends,
    /// Reads it or moves it away.
    Source,
}

/// A key of an op with the rule that decides about it.
struct Ruled<'a> {
    key: Key<'a>,
    role: Role,
    rule: Arc<Rule>,
}

type RuledKeys<'a> = SmallVec<[Ruled<'a>; 2]>;

/// Applies an op in a store that has rules.
#[cold]
pub(crate) fn apply(engine: &Engine, op: &Op<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let registry = &engine.store.rules;
    match op {
        Op::SessionRevokeUser { user, .. } => {
            let _held = registry.hold_all();
            for job in &mut registry.jobs().list {
                job.revoked.insert(user.to_vec());
            }
            run(engine, op, now)
        }
        Op::SessionRevokeAll => {
            let _held = registry.hold_all();
            for job in &mut registry.jobs().list {
                job.revoked_all = true;
            }
            run(engine, op, now)
        }
        Op::SessionRevokeOwned { user, ids } => revoke_owned(engine, op, (user, ids), now),
        Op::Flush { db } => {
            let _held = registry.hold_all();
            if let Some(db) = db {
                fence::take_down(&engine.store, *db);
            }
            run(engine, op, now)
        }
        Op::RuleSet { .. } | Op::RuleDelete { .. } | Op::RuleIndex { .. } => run(engine, op, now),
        _ => {
            let (_held, keys) = hold(engine, op);
            if keys.is_empty() { run(engine, op, now) } else { on_keys(engine, op, &keys, now) }
        }
    }
}

/// The keys of an op that are under a rule, with their stripes held.
fn hold<'e, 'a>(engine: &'e Engine, op: &Op<'a>) -> (Stripes<'e>, RuledKeys<'a>) {
    let registry = &engine.store.rules;
    loop {
        let rules = registry.rules();
        let keys = ruled_keys(&engine.store, &rules, op);
        if keys.is_empty() {
            return (Stripes::new(), keys);
        }
        let held = registry.hold(keys.iter().map(|ruled| &ruled.key));
        // Rules change with all stripes held: from here on these are the ones.
        if Arc::ptr_eq(&rules, &registry.rules()) {
            return (held, keys);
        }
    }
}

fn ruled_keys<'a>(store: &Store, rules: &Rules, op: &Op<'a>) -> RuledKeys<'a> {
    let mut keys = RuledKeys::new();
    for_each_key(store, op, |key, role| {
        if let Some(rule) = rules.of_key(key.bytes) {
            keys.push(Ruled { key, role, rule: Arc::clone(rule) });
        }
    });
    keys
}

fn for_each_key<'a>(store: &Store, op: &Op<'a>, mut visit: impl FnMut(Key<'a>, Role)) {
    let key_of = |db: u8, name: &'a [u8]| Key::new(&store.seed, db, name);
    match op {
        Op::Set { key, .. }
        | Op::Append { key, .. }
        | Op::SetRange { key, .. }
        | Op::Increment { key, .. }
        | Op::IncrementFloat { key, .. }
        | Op::Restore { key, .. }
        | Op::HashSet { key, .. }
        | Op::HashIncrement { key, .. }
        | Op::HashIncrementFloat { key, .. }
        | Op::SetAdd { key, .. }
        | Op::SortedAdd { key, .. }
        | Op::ListPush { key, .. } => visit(*key, Role::Makes),
        Op::HashDelete { key, .. }
        | Op::SetRemove { key, .. }
        | Op::SetPop { key, .. }
        | Op::SortedRemove { key, .. }
        | Op::SortedRemoveRange { key, .. }
        | Op::SortedPop { key, .. }
        | Op::ListPop { key, .. }
        | Op::ListTrim { key, .. }
        | Op::ListRemove { key, .. }
        | Op::ListSet { key, .. }
        | Op::ListInsert { key, .. } => visit(*key, Role::Changes),
        Op::GetDelete { key }
        | Op::GetExpire { key, .. }
        | Op::Expire { key, .. }
        | Op::Persist { key } => visit(*key, Role::Ends),
        Op::Delete { db, keys } => keys.iter().for_each(|key| visit(key_of(*db, key), Role::Ends)),
        Op::SetMany { db, pairs, .. } => {
            pairs.pairs().for_each(|(key, _)| visit(key_of(*db, key), Role::Makes));
        }
        Op::Rename { from, to, .. }
        | Op::Copy { from, to, .. }
        | Op::SetMove { from, to, .. }
        | Op::ListMove { from, to, .. } => {
            visit(*from, Role::Source);
            visit(*to, Role::Makes);
        }
        Op::SetStore { destination, sources, .. } => {
            sources.iter().for_each(|name| visit(key_of(destination.db, name), Role::Source));
            visit(*destination, Role::Makes);
        }
        // The rest is about sessions, or changes nothing.
        _ => {}
    }
}

/// Applies an op to keys under rules, whose stripes are held.
fn on_keys(
    engine: &Engine,
    op: &Op<'_>,
    keys: &RuledKeys<'_>,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let store = &engine.store;
    let mut fenced: SmallVec<[&[u8]; 2]> = SmallVec::new();
    for Ruled { key, role, .. } in keys {
        fence::leave(store, key, now);
        if *role != Role::Makes {
            continue;
        }
        match fence::standing(store, key, now) {
            Some(FenceReply::Error) => return Err(Refusal::Revoked),
            Some(FenceReply::Ok) => fenced.push(key.bytes),
            None => {}
        }
    }
    if !fenced.is_empty() {
        return turn_away(engine, op, &fenced, now);
    }
    let may_end = |role: Role| role == Role::Ends || matches!(op, Op::Set { .. });
    let owned: SmallVec<[bool; 2]> =
        keys.iter().map(|ruled| may_end(ruled.role) && is_owned(store, &ruled.key, now)).collect();
    let outcome = match (op, keys.first()) {
        (Op::Set { key, value, deadline, condition, get, .. }, Some(ruled)) => {
            let user = ruled.rule.source.user_in_string(value, engine.sizes.user_bytes_max);
            let (key, deadline, condition) = (*key, *deadline, *condition);
            let owner = user.as_deref();
            let owned = Op::Set { key, value, deadline, condition, owner, get: *get };
            run(engine, &owned, now)?
        }
        _ => run(engine, op, now)?,
    };
    for (Ruled { key, role, rule }, owned) in keys.iter().zip(owned) {
        if owned && !is_live(store, key, now) {
            fence::raise(store, &fence_of(key, rule, now), now);
        } else if matches!(role, Role::Makes | Role::Changes) {
            settle(engine, key, Some(rule), now);
        }
    }
    Ok(outcome)
}

/// The fence of a key that ends now.
pub(super) fn fence_of(key: &Key<'_>, rule: &Rule, now: Stamp) -> Fence {
    let until = now.plus_millis(rule.fence_millis);
    Fence { id: fence::id_of(key.db, key.bytes), db: key.db, until, reply: rule.fence_reply }
}

fn with_live<R>(
    store: &Store,
    key: &Key<'_>,
    now: Stamp,
    look: impl FnOnce(Record) -> R,
) -> Option<R> {
    let shard = store.read(key.hash);
    let record = shard.find_key(key)?.record;
    shard.is_live(record, store.epoch(), now).then(|| look(record))
}

fn is_live(store: &Store, key: &Key<'_>, now: Stamp) -> bool {
    with_live(store, key, now, |_| ()).is_some()
}

fn is_owned(store: &Store, key: &Key<'_>, now: Stamp) -> bool {
    with_live(store, key, now, Record::owned) == Some(true)
}

/// The user in a plain record.
pub(super) fn user_in(rule: &Rule, record: Record, bytes_max: usize) -> Option<Vec<u8>> {
    match record.kind() {
        Kind::Collection => rule.source.user_in_collection(record.as_collection(), bytes_max),
        _ => rule.source.user_in_string(record.value(), bytes_max),
    }
}

/// Sees to it that a live key belongs to whom its value says, or without a rule to nobody; whether it had
/// to. Its stripe is held.
pub(super) fn settle(engine: &Engine, key: &Key<'_>, rule: Option<&Rule>, now: Stamp) -> bool {
    let store = &engine.store;
    let user = with_live(store, key, now, |record| {
        let user = rule.and_then(|rule| user_in(rule, record, engine.sizes.user_bytes_max));
        (record.owner_name() != user.as_deref()).then_some(user)
    });
    let Some(Some(user)) = user else { return false };
    let name = user.as_deref().map(|user| UserName::new(&store.seed, user));
    let mut scope = Scope::of(store, &[Spot::Key(*key)], name, now);
    let Some(live) = scope.find(key) else { return false };
    scope.give(live, key, name);
    if let Some(name) = name {
        look_once_when_many(&mut scope, name);
    }
    true
}

/// Answers an op as if the fenced keys were absent and it had written to them, without doing so.
fn turn_away(
    engine: &Engine,
    op: &Op<'_>,
    fenced: &[&[u8]],
    now: Stamp,
) -> Result<Outcome, Refusal> {
    match op {
        Op::SetMany { db, pairs, if_none_exist } => {
            let kept: Vec<&[u8]> = pairs
                .pairs()
                .filter(|(key, _)| !fenced.contains(key))
                .flat_map(|(key, value)| [key, value])
                .collect();
            let pairs = Words::from_slices(&kept);
            let op = Op::SetMany { db: *db, pairs, if_none_exist: *if_none_exist };
            // The stripes are held, and nothing that is left is fenced.
            let keys = ruled_keys(&engine.store, &engine.store.rules.rules(), &op);
            on_keys(engine, &op, &keys, now)
        }
        Op::Rename { from, if_absent, .. } => {
            if !is_live(&engine.store, from, now) {
                return run(engine, op, now);
            }
            let name = [from.bytes];
            let op = Op::Delete { db: from.db, keys: Words::from_slices(&name) };
            run(engine, &op, now)?;
            Ok(if *if_absent { Outcome::Flag(true) } else { Outcome::Done })
        }
        Op::Copy { from, .. } => Ok(Outcome::Flag(is_live(&engine.store, from, now))),
        Op::SetMove { from, member, .. } => {
            let member = [*member];
            let op = Op::SetRemove { key: *from, members: Words::from_slices(&member) };
            Ok(Outcome::Flag(run(engine, &op, now)? == Outcome::Integer(1)))
        }
        Op::ListMove { from, from_side, .. } => {
            run(engine, &Op::ListPop { key: *from, count: None, side: *from_side }, now)
        }
        // What it would come to depends on sets that stand elsewhere; nobody keeps a session in one.
        Op::SetStore { .. } => Err(Refusal::Revoked),
        _ => {
            let seed = engine.store.seed;
            let config = Config { seed, shards: 1, threads: 1, sizes: engine.sizes };
            run(&Engine::new(&config), op, now)
        }
    }
}

/// SESSION.REVOKEHANDLE: sessions by their handles, and the user's keys by theirs.
fn revoke_owned(
    engine: &Engine,
    op: &Op<'_>,
    (user, ids): (&[u8], &[SessionHash]),
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let store = &engine.store;
    let _held = store.rules.hold_all();
    let Outcome::Integer(sessions) = run(engine, op, now)? else { return Ok(Outcome::Nil) };
    let rules = store.rules.rules();
    let mut ended = 0;
    for (db, name) in keys_of_handles(store, user, ids, now) {
        let key = Key::new(&store.seed, db, &name);
        let rule = rules.of_key(&name);
        {
            let mut scope = Scope::of(store, &[Spot::Key(key)], None, now);
            let Some(live) = scope.find(&key) else { continue };
            scope.remove(live);
        }
        ended += 1;
        if let Some(rule) = rule {
            fence::raise(store, &fence_of(&key, rule, now), now);
        }
    }
    Ok(Outcome::Integer(sessions + ended))
}

/// The keys of a user that have one of these handles.
fn keys_of_handles(
    store: &Store,
    user: &[u8],
    ids: &[SessionHash],
    now: Stamp,
) -> Vec<(u8, Vec<u8>)> {
    let name = UserName::new(&store.seed, user);
    let users = store.lock_users(name.hash);
    // Who has nothing but a session has no key.
    let Some(Held::User(user)) = users.find(store, name) else { return Vec::new() };
    let epoch = store.epoch();
    let named = user.sessions().after(0).filter_map(|location| {
        let shard = store.shards.get(location.shard())?.lock.read();
        let record = shard.slots.get(location.slot())?;
        let is_key = !record.in_session_space() && shard.is_live(record, epoch, now);
        let found = is_key && ids.contains(&fence::id_of(record.db(), record.key_bytes()));
        found.then(|| (record.db(), record.key_bytes().to_vec()))
    });
    named.collect()
}
