//! Does logout everywhere end all of a user's sessions and no later one, in one step?
//!
//! Judged twice: each user's operations together have to be linearizable, and, without any search, intervals must not
//! contradict the promise.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::linear::Operation;
use super::register::operations;
use super::{Judgement, by_object, linear_parts, rest};
use crate::history::{Kind, Pair};
use crate::model::user::{Call, UNSEEN, User};

/// Judges `create`, `revoke_user`, `list`, `count` and `validate` of `[user, ...]`.
pub fn check(pairs: &[Pair<'_>]) -> Result<Judgement> {
    let users = by_object(pairs);
    let mut findings = Vec::new();
    for (user, pairs) in &users {
        by_intervals(user, pairs, &mut findings);
    }
    let parts = users.iter().map(|(user, pairs)| {
        let mut operations = operations(pairs, call);
        merge_unseen(&mut operations);
        (user.clone(), operations)
    });
    Ok(Judgement::of(findings).and(linear_parts(&User, parts)))
}

/// Of unknown creations whose sessions no list showed it does not matter which of them took place, and the search is
/// spared trying each in place of the others.
fn merge_unseen(operations: &mut [Operation<Call>]) {
    let lists = operations.iter().filter_map(|operation| match &operation.call {
        Call::List(sessions) => Some(sessions),
        _ => None,
    });
    let seen: BTreeSet<u64> = lists.flatten().copied().collect();
    for operation in operations.iter_mut().filter(|operation| operation.ended.is_none()) {
        if let Call::Create(session) = &mut operation.call
            && !seen.contains(session)
        {
            *session = UNSEEN;
        }
    }
}

fn call(pair: &Pair<'_>) -> Option<Call> {
    let (asked, seen) = (rest(&pair.invoke.value), pair.answer().map(rest));
    Some(match pair.invoke.f.as_str() {
        "create" => Call::Create(asked.as_u64()?),
        "revoke_user" => Call::RevokeUser(seen.and_then(Value::as_u64)),
        "list" => {
            let mut sessions: Vec<u64> =
                seen?.as_array()?.iter().filter_map(Value::as_u64).collect();
            sessions.sort_unstable();
            Call::List(sessions)
        }
        "count" => Call::Count(seen?.as_u64()?),
        "validate" => Call::Validate { session: asked.as_u64()?, live: seen?.as_bool()? },
        _ => return None,
    })
}

fn by_intervals(user: &str, pairs: &[Pair<'_>], findings: &mut Vec<String>) {
    let of = |f: &'static str| pairs.iter().filter(move |pair| pair.invoke.f == f);
    for created in of("create") {
        let Some(number) = rest(&created.invoke.value).as_u64() else { continue };
        let made = created.done_at();
        // The first logout that began after the session was acknowledged, and has ended.
        let after = |pair: &&Pair<'_>| made.is_some_and(|made| made < pair.invoke.index);
        let ended = of("revoke_user").filter(after).filter_map(Pair::done_at).min();
        for look in pairs {
            let Some(lives) = shows(look, number) else { continue };
            let (began, end) = (look.invoke.index, look.done_at().unwrap_or(u64::MAX));
            let what = format!("the {} on node {} at {began}", look.invoke.f, look.invoke.node);
            if lives && let Some(ended) = ended.filter(|ended| *ended < began) {
                findings.push(format!(
                    "back: {user}'s session {number}, ended at {ended}, is in {what}"
                ));
            }
            let mut logouts = of("revoke_user").filter(|pair| pair.kind() != Kind::Fail);
            let may_have_ended = logouts.any(|pair| {
                pair.invoke.index < end
                    && pair.done_at().is_none_or(|done| done > created.invoke.index)
            });
            if !lives && made.is_some_and(|made| made < began) && !may_have_ended {
                findings.push(format!("lost: {user}'s session {number} is not in {what}"));
            }
        }
    }
}

/// Whether an operation saw a session alive; `None` when it says nothing of it.
fn shows(look: &Pair<'_>, number: u64) -> Option<bool> {
    let seen = look.answer().map(rest)?;
    match look.invoke.f.as_str() {
        "list" => Some(seen.as_array()?.iter().any(|session| session.as_u64() == Some(number))),
        "validate" if rest(&look.invoke.value).as_u64() == Some(number) => seen.as_bool(),
        _ => None,
    }
}
