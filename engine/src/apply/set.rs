//! Ops on sets.

use super::collection::{change, put};
use crate::engine::Engine;
use crate::key::{Key, Words};
use crate::op::{Combination, Op};
use crate::outcome::{Outcome, Refusal};
use crate::store::Store;
use crate::store::record::Kind;
use crate::store::scope::{Scope, Spot};
use crate::time::Stamp;
use crate::value::{Collection, SetValue};

/// Applies an op on sets.
pub(super) fn apply(engine: &Engine, op: &Op<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let store = &engine.store;
    match op {
        Op::SetAdd { key, members } => {
            for member in members.iter() {
                engine.check_value(member.len())?;
            }
            let mut scope = Scope::of_key(store, *key, now);
            let added = change(&mut scope, key, true, |set: &mut SetValue| {
                if set.is_empty() && !members.is_empty() {
                    set.expect(members.len(), members.at(0));
                }
                Ok(members.iter().filter(|member| set.insert(member)).count())
            })?;
            Ok(Outcome::Integer(added.unwrap_or(0) as i64))
        }
        Op::SetRemove { key, members } => {
            let mut scope = Scope::of_key(store, *key, now);
            let removed = change(&mut scope, key, false, |set: &mut SetValue| {
                Ok(members.iter().filter(|member| set.remove(member)).count())
            })?;
            Ok(Outcome::Integer(removed.unwrap_or(0) as i64))
        }
        Op::SetPop { key, count, seed } => {
            let mut scope = Scope::of_key(store, *key, now);
            let popped = change(&mut scope, key, false, |set: &mut SetValue| {
                Ok(match count {
                    Some(count) => Outcome::List(
                        set.pop_many(*seed, usize::try_from(*count).unwrap_or(usize::MAX)),
                    ),
                    None => set.pop(*seed).map_or(Outcome::Nil, Outcome::Bytes),
                })
            })?;
            let nothing = if count.is_some() { Outcome::List(Vec::new()) } else { Outcome::Nil };
            Ok(popped.unwrap_or(nothing))
        }
        Op::SetMove { from, to, member } => move_member(store, *from, *to, member, now),
        Op::SetStore { destination, sources, combination } => {
            store_combined(store, *destination, *sources, *combination, now)
        }
        _ => Ok(Outcome::Nil),
    }
}

fn move_member(
    store: &Store,
    from: Key<'_>,
    to: Key<'_>,
    member: &[u8],
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let mut scope = Scope::of(store, &[Spot::Key(from), Spot::Key(to)], None, now);
    if scope.find(&from).is_none() {
        return Ok(Outcome::Flag(false));
    }
    // Both kinds are looked at before anything moves.
    set_of(&mut scope, &from)?;
    set_of(&mut scope, &to)?;
    scope.has_room(to.hash)?;
    if from.bytes == to.bytes {
        let held = set_of(&mut scope, &from)?.is_some_and(|set| set.contains(member));
        return Ok(Outcome::Flag(held));
    }
    let removed = change(&mut scope, &from, false, |set: &mut SetValue| Ok(set.remove(member)))?;
    if removed == Some(true) {
        change(&mut scope, &to, true, |set: &mut SetValue| Ok(set.insert(member)))?;
    }
    Ok(Outcome::Flag(removed == Some(true)))
}

fn store_combined(
    store: &Store,
    destination: Key<'_>,
    sources: Words<'_>,
    combination: Combination,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    let keys: Vec<Key<'_>> =
        sources.iter().map(|name| Key::new(&store.seed, destination.db, name)).collect();
    let mut spots: Vec<Spot<'_>> = keys.iter().map(|key| Spot::Key(*key)).collect();
    spots.push(Spot::Key(destination));
    let mut scope = Scope::of(store, &spots, None, now);
    let mut sets = Vec::with_capacity(keys.len());
    for key in &keys {
        sets.push(set_of(&mut scope, key)?);
    }
    let seed = store.seed.values();
    let combined = match combination {
        Combination::Intersection => {
            let members = SetValue::intersection(&sets, usize::MAX);
            SetValue::from_members(members, seed)
        }
        Combination::Union => SetValue::union(&sets, seed),
        Combination::Difference => SetValue::difference(&sets, seed),
    };
    scope.has_room(destination.hash)?;
    if let Some(live) = scope.find(&destination) {
        scope.remove(live);
    }
    let size = combined.len();
    put(&mut scope, &destination, Collection::Set(combined));
    Ok(Outcome::Integer(size as i64))
}

/// The set of a key in a scope, if there is one.
fn set_of<'a>(scope: &mut Scope<'_>, key: &Key<'_>) -> Result<Option<&'a SetValue>, Refusal> {
    let Some(live) = scope.find(key) else { return Ok(None) };
    Scope::require(live, Kind::Collection)?;
    match live.record.as_collection() {
        Collection::Set(set) => Ok(Some(set)),
        _ => Err(Refusal::WrongType),
    }
}
