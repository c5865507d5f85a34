//! Ops on lists.

use super::collection::change;
use crate::engine::Engine;
use crate::key::Key;
use crate::op::{Op, Side};
use crate::outcome::{Outcome, Refusal};
use crate::store::Store;
use crate::store::record::Kind;
use crate::store::scope::{Scope, Spot};
use crate::time::Stamp;
use crate::value::{Collection, ListValue};

/// Applies an op on lists.
pub(super) fn apply(engine: &Engine, op: &Op<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let store = &engine.store;
    match op {
        Op::ListPush { key, values, side, if_exists } => {
            for value in values.iter() {
                engine.check_value(value.len())?;
            }
            let mut scope = Scope::of_key(store, *key, now);
            let bytes = values.iter().map(<[u8]>::len).sum();
            let length = change(&mut scope, key, !if_exists, |list: &mut ListValue| {
                list.expect(bytes);
                values.iter().for_each(|value| list.push(*side, value));
                Ok(list.len())
            })?;
            Ok(Outcome::Integer(length.unwrap_or(0) as i64))
        }
        Op::ListPop { key, count, side } => pop(store, key, *count, *side, now),
        Op::ListTrim { key, start, stop } => {
            let mut scope = Scope::of_key(store, *key, now);
            change(&mut scope, key, false, |list: &mut ListValue| {
                list.trim(*start, *stop);
                Ok(())
            })?;
            Ok(Outcome::Done)
        }
        Op::ListRemove { key, count, value } => {
            let mut scope = Scope::of_key(store, *key, now);
            let removed = change(&mut scope, key, false, |list: &mut ListValue| {
                Ok(list.remove(*count, value))
            })?;
            Ok(Outcome::Integer(removed.unwrap_or(0) as i64))
        }
        Op::ListSet { key, index, value } => {
            engine.check_value(value.len())?;
            let mut scope = Scope::of_key(store, *key, now);
            let set = change(&mut scope, key, false, |list: &mut ListValue| {
                if list.set(*index, value) { Ok(()) } else { Err(Refusal::IndexOutOfRange) }
            })?;
            set.map(|()| Outcome::Done).ok_or(Refusal::NoSuchKey)
        }
        Op::ListInsert { key, before, pivot, value } => {
            engine.check_value(value.len())?;
            let mut scope = Scope::of_key(store, *key, now);
            let length = change(&mut scope, key, false, |list: &mut ListValue| {
                let length = list.insert(*before, pivot, value);
                Ok(length.map_or(Outcome::Nil, |length| Outcome::Integer(length as i64)))
            })?;
            Ok(match length {
                None => Outcome::Integer(0),
                Some(Outcome::Nil) => Outcome::Integer(-1),
                Some(length) => length,
            })
        }
        Op::ListMove { from, to, from_side, to_side } => {
            move_value(store, (*from, *from_side), (*to, *to_side), now)
        }
        _ => Ok(Outcome::Nil),
    }
}

fn pop(
    store: &Store,
    key: &Key<'_>,
    count: Option<u64>,
    side: Side,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of_key(store, *key, now);
    let popped = change(&mut scope, key, false, |list: &mut ListValue| {
        Ok(match count {
            None => list.pop(side).map_or(Outcome::Nil, Outcome::Bytes),
            Some(count) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX).min(list.len());
                Outcome::List((0..count).filter_map(|_| list.pop(side)).collect())
            }
        })
    })?;
    Ok(popped.unwrap_or(Outcome::Nil))
}

fn move_value(
    store: &Store,
    (from, from_side): (Key<'_>, Side),
    (to, to_side): (Key<'_>, Side),
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of(store, &[Spot::Key(from), Spot::Key(to)], None, now);
    if let Some(live) = scope.find(&to)
        && scope.find(&from).is_some()
    {
        Scope::require(live, Kind::Collection)?;
        if !matches!(live.record.as_collection(), Collection::List(_)) {
            return Err(Refusal::WrongType);
        }
    }
    scope.has_room(to.hash)?;
    if from.bytes == to.bytes && from.db == to.db {
        // In place, so that a list of one does not go and come back without its deadline.
        let moved = change(&mut scope, &from, false, |list: &mut ListValue| {
            let value = list.pop(from_side);
            if let Some(value) = &value {
                list.push(to_side, value);
            }
            Ok(value)
        })?;
        return Ok(moved.flatten().map_or(Outcome::Nil, Outcome::Bytes));
    }
    let moved = change(&mut scope, &from, false, |list: &mut ListValue| Ok(list.pop(from_side)))?;
    let Some(value) = moved.flatten() else { return Ok(Outcome::Nil) };
    change(&mut scope, &to, true, |list: &mut ListValue| {
        list.push(to_side, &value);
        Ok(())
    })?;
    Ok(Outcome::Bytes(value))
}
