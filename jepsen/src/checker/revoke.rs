//! Does a revoked session stay away, and does a session live until it is revoked?
//!
//! Sessions are made once, under ids of the server's own, and nothing else than a revoke ends them here. Judged by
//! intervals alone, without a search: what ended before something else began, came before it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::{Judgement, object, rest};
use crate::history::{Kind, Pair};

/// What is known of one session.
#[derive(Default)]
struct Known<'a> {
    created: Option<u64>,
    revokes: Vec<Pair<'a>>,
    looks: Vec<Pair<'a>>,
}

/// Judges `create`, `revoke`, `read` and `save` of `[session, ...]`. What `read` and `save` saw is whether it lives.
pub fn check(pairs: &[Pair<'_>]) -> Result<Judgement> {
    let mut sessions: BTreeMap<u64, Known<'_>> = BTreeMap::new();
    for pair in pairs {
        let Some(number) = object(&pair.invoke.value).as_u64() else { continue };
        let known = sessions.entry(number).or_default();
        match pair.invoke.f.as_str() {
            "create" => known.created = pair.done_at(),
            "revoke" if pair.kind() != Kind::Fail => known.revokes.push(*pair),
            "read" | "save" => known.looks.push(*pair),
            _ => {}
        }
    }
    let mut findings = Vec::new();
    for (number, known) in sessions {
        judge(number, &known, &mut findings);
    }
    Ok(Judgement::of(findings))
}

fn judge(number: u64, known: &Known<'_>, findings: &mut Vec<String>) {
    let revoked = known.revokes.iter().filter_map(Pair::done_at).min();
    let attempted = known.revokes.iter().map(|pair| pair.invoke.index).min();
    let created_before = |at: u64| known.created.is_some_and(|done| done < at);
    let attempted_before = |at: u64| attempted.is_some_and(|attempted| attempted < at);
    for look in &known.looks {
        let Some(live) = look.answer().map(rest).and_then(Value::as_bool) else { continue };
        let (began, ended) = (look.invoke.index, look.done_at().unwrap_or(u64::MAX));
        let what = format!("{} on node {} at {began}", look.invoke.f, look.invoke.node);
        if live && let Some(revoked) = revoked.filter(|revoked| *revoked < began) {
            findings.push(format!(
                "back: session {number}, revoked at {revoked}, lives for the {what}"
            ));
        }
        if !live && created_before(began) && !attempted_before(ended) {
            findings.push(format!("lost: session {number}, never revoked, is gone for the {what}"));
        }
    }
    let answered = |lived: bool| {
        let saw =
            move |pair: &&Pair<'_>| pair.answer().map(rest).and_then(Value::as_bool) == Some(lived);
        known.revokes.iter().filter(saw).collect::<Vec<_>>()
    };
    if let [_, second, ..] = answered(true)[..] {
        findings.push(format!(
            "twice: session {number} was alive for the revoke at {}, too",
            second.invoke.index
        ));
    }
    for empty in answered(false) {
        let ended = empty.done_at().unwrap_or(u64::MAX);
        let mut others =
            known.revokes.iter().filter(|pair| pair.invoke.index != empty.invoke.index);
        if created_before(empty.invoke.index) && !others.any(|other| other.invoke.index < ended) {
            let at = empty.invoke.index;
            findings.push(format!("lost: session {number} was gone for its first revoke, at {at}"));
        }
    }
}
