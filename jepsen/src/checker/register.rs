//! Are sessions and plain keys linearizable, each by itself?

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::linear::Operation;
use super::{Judgement, by_object, linear_parts, rest};
use crate::history::{Kind, Pair};
use crate::model::register::{self, Register};
use crate::model::session::{self, Live, Saved, Session};

/// Judges `[key, ...]` operations: keys that begin with `s` are sessions, others plain keys.
pub fn check(pairs: &[Pair<'_>]) -> Result<Judgement> {
    let (sessions, keys): (Vec<_>, Vec<_>) =
        by_object(pairs).into_iter().partition(|(key, _)| key.starts_with("\"s"));
    let of_sessions = sessions.into_iter().map(|(key, pairs)| {
        let mut operations = operations(&pairs, session_call);
        merge_unseen_saves(&mut operations);
        (key, operations)
    });
    let of_keys = keys.into_iter().map(|(key, pairs)| {
        let mut operations = operations(&pairs, register_call);
        merge_unseen_writes(&mut operations);
        (key, operations)
    });
    Ok(linear_parts(&Session, of_sessions).and(linear_parts(&Register, of_keys)))
}

/// What stands for all data that nobody ever saw.
const UNSEEN: i64 = -1;

/// Data is written once only and looked at by nothing but reads. So of unknown writes whose data was never read it does
/// not matter which of them wrote, and the search is spared trying each in place of the others.
fn merge_unseen_saves(operations: &mut [Operation<session::Call>]) {
    let seen: BTreeSet<i64> = operations
        .iter()
        .filter_map(|operation| match operation.call {
            session::Call::Read(Some(live)) => Some(live.data),
            _ => None,
        })
        .collect();
    for operation in operations.iter_mut().filter(|operation| operation.ended.is_none()) {
        if let session::Call::Save { data, .. } | session::Call::Create { data, .. } =
            &mut operation.call
            && !seen.contains(data)
        {
            *data = UNSEEN;
        }
    }
}

/// The same for plain keys, where an exchange reads, too.
fn merge_unseen_writes(operations: &mut [Operation<register::Call>]) {
    let seen: BTreeSet<i64> = operations
        .iter()
        .filter_map(|operation| match operation.call {
            register::Call::Read(seen) => seen,
            register::Call::Exchange { old, .. } => old.flatten(),
            _ => None,
        })
        .collect();
    for operation in operations.iter_mut().filter(|operation| operation.ended.is_none()) {
        match &mut operation.call {
            register::Call::Write(data) if !seen.contains(data) => *data = UNSEEN,
            register::Call::Exchange { new, .. } if !seen.contains(new) => *new = UNSEEN,
            _ => {}
        }
    }
}

/// What may have happened: without what has certainly not, and without reads that nobody saw.
pub(super) fn operations<C>(
    pairs: &[Pair<'_>],
    call: impl Fn(&Pair<'_>) -> Option<C>,
) -> Vec<Operation<C>> {
    let happened = pairs.iter().filter(|pair| pair.kind() != Kind::Fail);
    let operation = |pair: &Pair<'_>| {
        let call = call(pair)?;
        Some(Operation { call, invoked: pair.invoke.index, ended: pair.done_at() })
    };
    happened.filter_map(operation).collect()
}

fn number(value: &Value, name: &str) -> Option<i64> {
    value.get(name).and_then(Value::as_i64)
}

fn live(value: &Value) -> Option<Live> {
    Some(Live { version: number(value, "version")? as u64, data: number(value, "data")? })
}

fn session_call(pair: &Pair<'_>) -> Option<session::Call> {
    let (asked, seen) = (rest(&pair.invoke.value), pair.answer().map(rest));
    let yes = |name: &str| seen.and_then(|seen| seen.get(name)).and_then(Value::as_bool);
    Some(match pair.invoke.f.as_str() {
        "create" => session::Call::Create { data: number(asked, "data")?, seen: yes("made") },
        "read" => session::Call::Read(live(seen?)),
        "revoke" => session::Call::Revoke { seen: yes("lived") },
        "save" => {
            let saved = |seen: &Value| match (number(seen, "saved"), number(seen, "moved")) {
                (Some(version), _) => Saved::As(version as u64),
                (_, Some(version)) => Saved::Moved(version as u64),
                _ => Saved::NoSession,
            };
            let version = number(asked, "version").map(|version| version as u64);
            session::Call::Save { data: number(asked, "data")?, version, seen: seen.map(saved) }
        }
        _ => return None,
    })
}

fn register_call(pair: &Pair<'_>) -> Option<register::Call> {
    let (asked, seen) = (rest(&pair.invoke.value), pair.answer().map(rest));
    Some(match pair.invoke.f.as_str() {
        "read" => register::Call::Read(seen?.as_i64()),
        "write" => register::Call::Write(asked.as_i64()?),
        "exchange" => {
            let old = seen.map(|seen| number(seen, "old"));
            register::Call::Exchange { new: number(asked, "new")?, old }
        }
        _ => return None,
    })
}
