//! Ops on sorted sets.

use super::collection::{Effect, change};
use crate::engine::Engine;
use crate::key::Key;
use crate::op::{Op, SortedAddOptions, SortedRange};
use crate::outcome::{Outcome, Refusal};
use crate::store::scope::Scope;
use crate::time::Stamp;
use crate::value::SortedValue;
use crate::value::sorted::Added;

/// Applies an op on a sorted set.
pub(super) fn apply(engine: &Engine, op: &Op<'_>, now: Stamp) -> Result<Outcome, Refusal> {
    let store = &engine.store;
    match op {
        Op::SortedAdd { key, members, options } => add(engine, key, members, *options, now),
        Op::SortedRemove { key, members } => {
            let mut scope = Scope::of_key(store, *key, now);
            let removed = change(&mut scope, key, false, |sorted: &mut SortedValue| {
                Ok(members.iter().filter(|member| sorted.remove(member)).count())
            })?;
            Ok(Outcome::Integer(removed.unwrap_or(0) as i64))
        }
        Op::SortedRemoveRange { key, range } => {
            let mut scope = Scope::of_key(store, *key, now);
            let removed = change(&mut scope, key, false, |sorted: &mut SortedValue| {
                Ok(match *range {
                    SortedRange::Rank(start, stop) => sorted.remove_by_rank(start, stop),
                    SortedRange::Score(lower, upper) => sorted.remove_by_score(lower, upper),
                    SortedRange::Lex(lower, upper) => sorted.remove_by_lex(lower, upper),
                })
            })?;
            Ok(Outcome::Integer(removed.unwrap_or(0) as i64))
        }
        Op::SortedPop { key, count, end } => {
            let mut scope = Scope::of_key(store, *key, now);
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            let popped = change(&mut scope, key, false, |sorted: &mut SortedValue| {
                Ok(sorted.pop(*end, count))
            })?;
            Ok(Outcome::ScoredList(popped.unwrap_or_default()))
        }
        _ => Ok(Outcome::Nil),
    }
}

/// What ZADD did.
struct AddedMany {
    new: i64,
    changed: i64,
    last: Added,
}

impl Effect for AddedMany {
    fn is_change(&self) -> bool {
        self.new + self.changed > 0
    }
}

/// ZADD and ZINCRBY.
fn add(
    engine: &Engine,
    key: &Key<'_>,
    members: &[(f64, &[u8])],
    options: SortedAddOptions,
    now: Stamp,
) -> Result<Outcome, Refusal> {
    for (_, member) in members {
        engine.check_value(member.len())?;
    }
    let mut scope = Scope::of_key(&engine.store, *key, now);
    // XX never makes a key.
    let result = change(&mut scope, key, !options.if_present, |sorted: &mut SortedValue| {
        let (mut new, mut changed, mut last) = (0, 0, Added::Skipped);
        for &(score, member) in members {
            last = sorted.add(member, score, options).map_err(|_| Refusal::ScoreNotANumber)?;
            match last {
                Added::New(_) => new += 1,
                Added::Changed(_) => changed += 1,
                Added::Same(_) | Added::Skipped => {}
            }
        }
        Ok(AddedMany { new, changed, last })
    })?;
    let AddedMany { new, changed, last } =
        result.unwrap_or(AddedMany { new: 0, changed: 0, last: Added::Skipped });
    Ok(if options.increment {
        last.score().map_or(Outcome::Nil, Outcome::Float)
    } else if options.report_changed {
        Outcome::Integer(new + changed)
    } else {
        Outcome::Integer(new)
    })
}
