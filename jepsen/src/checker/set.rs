//! Is every session there that was acknowledged, and none that nobody made?
//!
//! A list of a user's sessions has to hold each session whose creation had ended before the list was asked for, and
//! may hold those under way or of unknown outcome; nothing else, and nothing twice. Nothing ends sessions here.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::{Judgement, object, rest};
use crate::history::{Kind, Pair};

/// Judges `create [user, number]`, `list [user, numbers]` and `validate [user, {session, live}]`.
pub fn check(pairs: &[Pair<'_>]) -> Result<Judgement> {
    let mut made: BTreeMap<(String, u64), Pair<'_>> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.invoke.f == "create") {
        if let Some(number) = rest(&pair.invoke.value).as_u64() {
            made.insert((object(&pair.invoke.value).to_string(), number), *pair);
        }
    }
    let mut findings = Vec::new();
    for pair in pairs {
        let Some(seen) = pair.answer().map(rest) else { continue };
        let user = object(&pair.invoke.value).to_string();
        match pair.invoke.f.as_str() {
            "list" => list(&made, &user, pair, seen, &mut findings),
            "validate" => {
                let number = rest(&pair.invoke.value).as_u64().unwrap_or_default();
                let acknowledged = made.get(&(user, number)).and_then(Pair::done_at);
                let before = acknowledged.is_some_and(|done| done < pair.invoke.index);
                if before && seen.as_bool() == Some(false) {
                    let (node, at) = (pair.invoke.node, pair.invoke.index);
                    findings.push(format!(
                        "lost: session {number} is not valid on node {node} at {at}"
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(Judgement::of(findings))
}

fn list(
    made: &BTreeMap<(String, u64), Pair<'_>>,
    user: &str,
    pair: &Pair<'_>,
    seen: &Value,
    findings: &mut Vec<String>,
) {
    let place = format!("in {user}'s list of node {} at {}", pair.invoke.node, pair.invoke.index);
    let mut numbers: Vec<u64> =
        seen.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    numbers.sort_unstable();
    if numbers.windows(2).any(|two| two[0] == two[1]) {
        findings.push(format!("twice: a session is there twice {place}"));
    }
    let end = pair.done_at().unwrap_or(u64::MAX);
    for number in &numbers {
        let origin = made.get(&(user.to_owned(), *number));
        let possible =
            origin.is_some_and(|origin| origin.kind() != Kind::Fail && origin.invoke.index < end);
        if !possible {
            findings.push(format!("unexpected: nobody made session {number} {place}"));
        }
    }
    for ((of, number), origin) in made {
        let acknowledged = origin.done_at().is_some_and(|done| done < pair.invoke.index);
        if of == user && acknowledged && numbers.binary_search(number).is_err() {
            findings.push(format!("lost: session {number} is not {place}"));
        }
    }
}
