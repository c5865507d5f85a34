//! Ops on keys whatever they hold.

use crate::engine::Engine;
use crate::key::{DATABASES, Key, Words};
use crate::op::{ExpireCondition, Fingerprint, Op};
use crate::outcome::{Outcome, Refusal};
use crate::store::Store;
use crate::store::record::{Kind, Record};
use crate::store::scope::{Live, Scope, Spot};
use crate::time::Stamp;
use crate::value::{Collection, ListValue};

/// DEL and UNLINK.
pub(super) fn delete(store: &Store, db: u8, keys: Words<'_>, now: Stamp) -> Outcome {
    if keys.len() == 1 {
        let key = Key::new(&store.seed, db, keys.at(0));
        let mut scope = Scope::of_key(store, key, now);
        let live = scope.find(&key);
        if let Some(live) = live {
            scope.remove(live);
        }
        return Outcome::Integer(i64::from(live.is_some()));
    }
    let keys: Vec<Key<'_>> = keys.iter().map(|key| Key::new(&store.seed, db, key)).collect();
    let spots: Vec<Spot<'_>> = keys.iter().map(|key| Spot::Key(*key)).collect();
    let mut scope = Scope::of(store, &spots, None, now);
    let mut deleted = 0;
    for key in &keys {
        if let Some(live) = scope.find(key) {
            scope.remove(live);
            deleted += 1;
        }
    }
    Outcome::Integer(deleted)
}

/// EXPIRE and its kin.
pub(super) fn expire(
    store: &Store,
    key: Key<'_>,
    at: Stamp,
    condition: ExpireCondition,
    now: Stamp,
) -> Outcome {
    let mut scope = Scope::of_key(store, key, now);
    let Some(live) = scope.find(&key) else { return Outcome::Flag(false) };
    let old = live.record.deadline();
    // Redis: without a deadline a key counts as infinitely far away, which is what NEVER is.
    let refused = (condition.if_none && !old.is_never())
        || (condition.if_some && old.is_never())
        || (condition.if_later && at <= old)
        || (condition.if_sooner && at >= old);
    if refused {
        return Outcome::Flag(false);
    }
    if at.alive_at(now) {
        scope.set_deadline(live, at);
    } else {
        scope.remove(live);
    }
    Outcome::Flag(true)
}

/// PERSIST.
pub(super) fn persist(store: &Store, key: Key<'_>, now: Stamp) -> Outcome {
    let mut scope = Scope::of_key(store, key, now);
    match scope.find(&key) {
        Some(live) if !live.record.deadline().is_never() => {
            scope.set_deadline(live, Stamp::NEVER);
            Outcome::Flag(true)
        }
        _ => Outcome::Flag(false),
    }
}

/// RENAME and RENAMENX.
pub(super) fn rename(
    store: &Store,
    from: Key<'_>,
    to: Key<'_>,
    if_absent: bool,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of(store, &[Spot::Key(from), Spot::Key(to)], None, now);
    let source = match scope.find(&from) {
        Some(source) => source,
        // MOVE of a key that is not there is no error; RENAME stays within one database.
        None if from.db != to.db => return Ok(Outcome::Flag(false)),
        None => return Err(Refusal::NoSuchKey),
    };
    if from.bytes == to.bytes && from.db == to.db {
        return Ok(if if_absent { Outcome::Flag(false) } else { Outcome::Done });
    }
    let target = scope.find(&to);
    if if_absent && target.is_some() {
        return Ok(Outcome::Flag(false));
    }
    scope.has_room(to.hash)?;
    if let Some(target) = target {
        scope.remove(target);
    }
    duplicate(&mut scope, source, &to, true);
    scope.remove(source);
    Ok(if if_absent { Outcome::Flag(true) } else { Outcome::Done })
}

/// COPY.
pub(super) fn copy(
    store: &Store,
    from: Key<'_>,
    to: Key<'_>,
    replace: bool,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    if from.bytes == to.bytes && from.db == to.db {
        return Err(Refusal::SameKey);
    }
    let mut scope = Scope::of(store, &[Spot::Key(from), Spot::Key(to)], None, now);
    let Some(source) = scope.find(&from) else { return Ok(Outcome::Flag(false)) };
    let target = scope.find(&to);
    if target.is_some() && !replace {
        return Ok(Outcome::Flag(false));
    }
    scope.has_room(to.hash)?;
    if let Some(target) = target {
        scope.remove(target);
    }
    duplicate(&mut scope, source, &to, false);
    Ok(Outcome::Flag(true))
}

/// RESTORE.
pub(super) fn restore(engine: &Engine, op: &Op<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let Op::Restore { key, value, is_collection, deadline, replace } = op else {
        return Ok(Outcome::Nil);
    };
    let store = &engine.store;
    // Read before the shard is locked: a large collection takes a while.
    let collection = if *is_collection {
        let read = Collection::decode(value, store.seed.values());
        let collection = read.map_err(|_| Refusal::Malformed)?;
        engine.check_value(collection.longest_bytes())?;
        Some(collection)
    } else {
        engine.check_value(value.len())?;
        None
    };
    let mut scope = Scope::of_key(store, *key, now);
    let live = scope.find(key);
    if live.is_some() && !replace {
        return Err(Refusal::KeyExists);
    }
    let deadline = deadline.map_or(Stamp::NEVER, |due| due.stamp(now));
    let stays = deadline.alive_at(now);
    match live {
        Some(live) => scope.remove(live),
        None if stays => scope.has_room(key.hash)?,
        None => {}
    }
    if stays {
        let arena = &store.arena;
        let record = match collection {
            Some(collection) => {
                Record::collection(arena, key, Box::new(collection), deadline, None)
            }
            None => Record::string(arena, key, value, deadline, None),
        };
        scope.insert(key.hash, record);
    }
    Ok(Outcome::Done)
}

/// Puts an entry's value, deadline and owner under another key, which is free. With `moving` the source
/// is about to go, so a collection is handed over instead of copied.
fn duplicate(scope: &mut Scope<'_>, source: Live, to: &Key<'_>, moving: bool) {
    let arena = &scope.store.arena;
    let (deadline, owner) = (source.record.deadline(), source.record.user());
    let record = if source.record.kind() == Kind::Collection {
        let collection = if moving {
            // The source keeps an empty list until it is removed in this step; its cost goes
            // from the account here and with the source's record.
            scope.shard(source.shard).before_change(source.slot);
            let taken = std::mem::replace(
                source.record.as_collection_mut(),
                Collection::List(ListValue::new()),
            );
            scope.account(-(taken.memory_bytes() as i64));
            scope.account(source.record.as_collection().memory_bytes() as i64);
            taken
        } else {
            source.record.as_collection().clone()
        };
        Record::collection(arena, to, Box::new(collection), deadline, owner)
    } else {
        Record::string(arena, to, source.record.value(), deadline, owner)
    };
    let live = scope.insert(to.hash, record);
    if let Some(owner) = owner {
        let location = scope.location(live);
        scope.link(owner, location, deadline);
    }
}

/// What guards a transaction in a log.
pub(super) fn unchanged(engine: &Engine, keys: &[(Key<'_>, Fingerprint)], now: Stamp) -> Outcome {
    Outcome::Flag(keys.iter().all(|(key, was)| engine.fingerprint(*key, now) == *was))
}

/// FLUSHDB and FLUSHALL.
pub(super) fn flush(store: &Store, db: Option<u8>) -> Outcome {
    match db {
        None => store.clear_all(),
        Some(db) => {
            assert!(db < DATABASES, "there are {DATABASES} databases");
            Scope::of_everything(store, Stamp::default())
                .remove_all(|record| !record.in_session_space() && record.db() == db);
            store.observed.tell_flushed(Some(db));
        }
    }
    Outcome::Done
}
