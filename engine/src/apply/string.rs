//! String ops.

use crate::engine::Engine;
use crate::key::{Key, Words};
use crate::op::{Condition, Deadline, Op};
use crate::outcome::{Outcome, Refusal};
use crate::session::create::look_once_when_many;
use crate::store::Store;
use crate::store::record::{Kind, Record};
use crate::store::scope::{Live, Scope, Spot};
use crate::time::Stamp;
use crate::user::shard::UserName;
use crate::value::{LongDouble, number};

/// SET and everything that lowers to it.
pub(super) fn set(engine: &Engine, op: &Op<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let Op::Set { key, value, deadline, condition, owner, get } = op else {
        return Ok(Outcome::Nil);
    };
    engine.check_value(value.len())?;
    let store = &engine.store;
    let owner_name = owner.map(|name| UserName::new(&store.seed, name));
    let mut scope = match owner_name {
        Some(name) => Scope::of(store, &[Spot::Key(*key)], Some(name), now),
        None => Scope::of_key(store, *key, now),
    };
    let live = scope.find(key);
    let old = match (get, live) {
        (true, Some(live)) => Some(Outcome::Bytes(string_of(live)?.to_vec())),
        (true, None) => Some(Outcome::Nil),
        (false, _) => None,
    };
    match (condition, live.is_some()) {
        (Condition::IfAbsent, true) | (Condition::IfPresent, false) => {
            return Ok(old.unwrap_or(Outcome::Skipped));
        }
        _ => {}
    }
    let deadline = match deadline {
        Deadline::Clear => Stamp::NEVER,
        Deadline::At(at) => *at,
        Deadline::After(millis) => now.plus_millis(*millis),
        Deadline::Keep => live.map_or(Stamp::NEVER, |live| live.record.deadline()),
    };
    if deadline.alive_at(now) {
        put(&mut scope, key, live, (value, deadline), owner_name)?;
        if let Some(name) = owner_name {
            look_once_when_many(&mut scope, name);
        }
    } else if let Some(live) = live {
        // Redis does the same: a deadline in the past deletes.
        scope.remove(live);
    }
    Ok(old.unwrap_or(Outcome::Done))
}

/// Stores a string under a key, in place where its record can stay.
fn put(
    scope: &mut Scope<'_>,
    key: &Key<'_>,
    live: Option<Live>,
    (value, deadline): (&[u8], Stamp),
    owner: Option<UserName<'_>>,
) -> Result<(), Refusal> {
    let store = scope.store;
    match live {
        Some(live) if owner.is_none() && !live.record.owned() => {
            if live.record.kind() == Kind::String {
                let now = scope.now;
                let shard = scope.shard(live.shard);
                shard.before_change(live.slot);
                if live.record.overwrite_value(value) {
                    shard.set_deadline(live.slot, live.record, deadline, now);
                    scope.written(live);
                    return Ok(());
                }
            }
            let record = Record::string(&store.arena, key, value, deadline, None);
            scope.replace(live, record);
            Ok(())
        }
        Some(live) if is_of(live, owner) => {
            // In its place in the user's index, too: the user is not without entries meanwhile.
            let record = Record::string(&store.arena, key, value, deadline, live.record.user());
            scope.replace(live, record);
            scope.note_deadline(record);
            Ok(())
        }
        live => {
            if let Some(live) = live {
                scope.remove(live);
            } else {
                scope.has_room(key.hash)?;
            }
            let owner = owner.map(|name| scope.user(name));
            let record = Record::string(&store.arena, key, value, deadline, owner);
            let live = scope.insert(key.hash, record);
            if let Some(owner) = owner {
                let location = scope.location(live);
                scope.link(owner, location, deadline);
            }
            Ok(())
        }
    }
}

fn is_of(live: Live, owner: Option<UserName<'_>>) -> bool {
    let present = live.record.owner_name();
    present.is_some() && present == owner.map(|name| name.bytes)
}

/// Changes a string, keeping deadline and owner; creates it when it is absent.
fn rewrite(
    scope: &mut Scope<'_>,
    key: &Key<'_>,
    live: Option<Live>,
    value: &[u8],
) -> Result<(), Refusal> {
    let Some(live) = live else { return put(scope, key, None, (value, Stamp::NEVER), None) };
    scope.shard(live.shard).before_change(live.slot);
    if live.record.overwrite_value(value) {
        scope.written(live);
    } else {
        let (deadline, owner) = (live.record.deadline(), live.record.user());
        let record = Record::string(&scope.store.arena, key, value, deadline, owner);
        scope.replace(live, record);
    }
    Ok(())
}

fn string_of<'a>(live: Live) -> Result<&'a [u8], Refusal> {
    Scope::require(live, Kind::String).map(|live| live.record.value())
}

fn find_string(scope: &mut Scope<'_>, key: &Key<'_>) -> Result<Option<Live>, Refusal> {
    scope.find(key).map(|live| Scope::require(live, Kind::String)).transpose()
}

/// MSET and MSETNX.
pub(super) fn set_many(
    engine: &Engine,
    db: u8,
    pairs: Words<'_>,
    if_none_exist: bool,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let store = &engine.store;
    for (_, value) in pairs.pairs() {
        engine.check_value(value.len())?;
    }
    let spots: Vec<Spot<'_>> =
        pairs.pairs().map(|(key, _)| Spot::Key(Key::new(&store.seed, db, key))).collect();
    let mut scope = Scope::of(store, &spots, None, now);
    let keys =
        || spots.iter().filter_map(|spot| if let Spot::Key(key) = spot { Some(key) } else { None });
    if if_none_exist && keys().any(|key| scope.find(key).is_some()) {
        return Ok(Outcome::Flag(false));
    }
    for key in keys() {
        scope.has_room(key.hash)?;
    }
    for (key, (_, value)) in keys().zip(pairs.pairs()) {
        let live = scope.find(key);
        put(&mut scope, key, live, (value, Stamp::NEVER), None)?;
    }
    Ok(if if_none_exist { Outcome::Flag(true) } else { Outcome::Done })
}

/// APPEND.
pub(super) fn append(
    engine: &Engine,
    key: Key<'_>,
    value: &[u8],
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of_key(&engine.store, key, now);
    let live = find_string(&mut scope, &key)?;
    let old = live.map_or(&[][..], |live| live.record.value());
    engine.check_value(old.len() + value.len())?;
    let joined = [old, value].concat();
    rewrite(&mut scope, &key, live, &joined)?;
    Ok(Outcome::Integer(joined.len() as i64))
}

/// SETRANGE.
pub(super) fn set_range(
    engine: &Engine,
    key: Key<'_>,
    offset: u64,
    value: &[u8],
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of_key(&engine.store, key, now);
    let live = find_string(&mut scope, &key)?;
    let old = live.map_or(&[][..], |live| live.record.value());
    if value.is_empty() {
        return Ok(Outcome::Integer(old.len() as i64));
    }
    let offset = usize::try_from(offset).map_err(|_| Refusal::StringTooLong)?;
    let end = offset.checked_add(value.len()).ok_or(Refusal::StringTooLong)?;
    engine.check_value(end)?;
    let mut changed = old.to_vec();
    changed.resize(end.max(old.len()), 0);
    changed[offset..end].copy_from_slice(value);
    rewrite(&mut scope, &key, live, &changed)?;
    Ok(Outcome::Integer(changed.len() as i64))
}

/// INCR, DECR and their kin.
pub(super) fn increment(
    engine: &Engine,
    key: Key<'_>,
    by: i64,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of_key(&engine.store, key, now);
    let live = find_string(&mut scope, &key)?;
    let old = match live {
        Some(live) => number::parse_i64(live.record.value()).ok_or(Refusal::NotAnInteger)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Refusal::Overflow)?;
    rewrite(&mut scope, &key, live, number::format_i64(new).as_bytes())?;
    Ok(Outcome::Integer(new))
}

/// INCRBYFLOAT.
pub(super) fn increment_float(
    engine: &Engine,
    key: Key<'_>,
    by: &[u8],
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of_key(&engine.store, key, now);
    let live = find_string(&mut scope, &key)?;
    let by = LongDouble::parse(by).ok_or(Refusal::NotAFloat)?;
    let old = match live {
        Some(live) => LongDouble::parse(live.record.value()).ok_or(Refusal::NotAFloat)?,
        None => LongDouble::ZERO,
    };
    let sum = old.add(by).finite().ok_or(Refusal::NotFinite)?.to_string();
    rewrite(&mut scope, &key, live, sum.as_bytes())?;
    Ok(Outcome::Bytes(sum.into_bytes()))
}

/// GETDEL.
pub(super) fn get_delete(store: &Store, key: Key<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of_key(store, key, now);
    let Some(live) = find_string(&mut scope, &key)? else { return Ok(Outcome::Nil) };
    let value = live.record.value().to_vec();
    scope.remove(live);
    Ok(Outcome::Bytes(value))
}

/// GETEX.
pub(super) fn get_expire(
    store: &Store,
    key: Key<'_>,
    deadline: Deadline,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of_key(store, key, now);
    let Some(live) = find_string(&mut scope, &key)? else { return Ok(Outcome::Nil) };
    let value = live.record.value().to_vec();
    let deadline = match deadline {
        Deadline::Keep => return Ok(Outcome::Bytes(value)),
        Deadline::Clear if live.record.deadline().is_never() => return Ok(Outcome::Bytes(value)),
        Deadline::Clear => Stamp::NEVER,
        Deadline::At(at) => at,
        Deadline::After(millis) => now.plus_millis(millis),
    };
    if deadline.alive_at(now) {
        scope.set_deadline(live, deadline);
    } else {
        scope.remove(live);
    }
    Ok(Outcome::Bytes(value))
}
