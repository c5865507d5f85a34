//! Ops on hashes.

use super::collection::change;
use crate::engine::Engine;
use crate::op::Op;
use crate::outcome::{Outcome, Refusal};
use crate::store::scope::Scope;
use crate::time::Stamp;
use crate::value::{HashValue, IncrementError, LongDouble};

/// Applies an op on a hash.
pub(super) fn apply(engine: &Engine, op: &Op<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let store = &engine.store;
    match op {
        Op::HashSet { key, pairs, if_absent } => {
            for (field, value) in pairs.pairs() {
                engine.check_value(field.len().max(value.len()))?;
            }
            let mut scope = Scope::of_key(store, *key, now);
            let bytes = pairs.iter().map(<[u8]>::len).sum();
            let added = change(&mut scope, key, true, |hash: &mut HashValue| {
                hash.expect(pairs.len() / 2, bytes);
                let added = pairs.pairs().filter(|(field, value)| match if_absent {
                    true => hash.insert_if_absent(field, value),
                    false => hash.insert(field, value),
                });
                let added = added.count();
                // HSET writes what is there, too.
                Ok(if *if_absent && added == 0 { Outcome::Nil } else { count(Some(added)) })
            })?;
            Ok(added.filter(|added| *added != Outcome::Nil).unwrap_or(count(None)))
        }
        Op::HashDelete { key, fields } => {
            let mut scope = Scope::of_key(store, *key, now);
            let removed = change(&mut scope, key, false, |hash: &mut HashValue| {
                Ok(fields.iter().filter(|field| hash.remove(field)).count())
            })?;
            Ok(count(removed))
        }
        Op::HashIncrement { key, field, by } => {
            let mut scope = Scope::of_key(store, *key, now);
            let new = change(&mut scope, key, true, |hash: &mut HashValue| {
                hash.increment_by(field, *by).map(Outcome::Integer).map_err(refusal)
            })?;
            Ok(new.unwrap_or(Outcome::Nil))
        }
        Op::HashIncrementFloat { key, field, by } => {
            let by = LongDouble::parse(by).ok_or(Refusal::NotAFloat)?;
            let mut scope = Scope::of_key(store, *key, now);
            let new = change(&mut scope, key, true, |hash: &mut HashValue| {
                let text = hash.increment_by_float(field, by).map_err(refusal)?;
                Ok(Outcome::Bytes(text.into_bytes()))
            })?;
            Ok(new.unwrap_or(Outcome::Nil))
        }
        _ => Ok(Outcome::Nil),
    }
}

fn count(count: Option<usize>) -> Outcome {
    Outcome::Integer(count.unwrap_or(0) as i64)
}

fn refusal(error: IncrementError) -> Refusal {
    match error {
        IncrementError::NotAnInteger => Refusal::HashValueNotAnInteger,
        IncrementError::NotAFloat => Refusal::HashValueNotAFloat,
        IncrementError::Overflow => Refusal::Overflow,
        IncrementError::NotFinite => Refusal::NotFinite,
    }
}
