//! Is what has a deadline there until then, and gone from then on?
//!
//! An object lives for a stated time from some moment between the two ends of its creation, so a look that ended before
//! the earliest deadline has to see it, and one that began after the latest must not. [`TOLERANCE`] is allowed
//! on both sides: nodes and harness read one machine's clock, in milliseconds.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{Judgement, object, rest};
use crate::history::Pair;

/// How far from its deadline, on either side, an object may be seen or missed.
pub const TOLERANCE: Duration = Duration::from_millis(20);

/// When an object was made, as a place in the history, and between which moments its deadline lies.
#[derive(Clone, Copy)]
struct Life {
    made: u64,
    earliest: u64,
    latest: u64,
}

/// Judges `create [object, milliseconds]` and `read [object, live]`.
pub fn check(pairs: &[Pair<'_>]) -> Result<Judgement> {
    let tolerance = TOLERANCE.as_nanos() as u64;
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.invoke.f == "create" && pair.done_at().is_some()) {
        let (Some(millis), Some(end)) = (rest(&pair.invoke.value).as_u64(), pair.end) else {
            continue;
        };
        let life = millis * 1_000_000;
        let (earliest, latest) = (pair.invoke.time + life, end.time + life);
        lives.insert(
            object(&pair.invoke.value).to_string(),
            Life { made: end.index, earliest, latest },
        );
    }
    let mut findings = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.invoke.f == "read") {
        let name = object(&pair.invoke.value).to_string();
        let (Some(seen), Some(end)) = (pair.answer().map(rest).and_then(Value::as_bool), pair.end)
        else {
            continue;
        };
        let Some(Life { made, earliest, latest }) = lives.get(&name).copied() else { continue };
        let millis = |nanos: u64| nanos as f64 / 1e6;
        let at = format!("for the read on node {} at {}", pair.invoke.node, pair.invoke.index);
        if seen && pair.invoke.time > latest + tolerance {
            let late = millis(pair.invoke.time - latest);
            findings.push(format!("late: {name} lives {late:.1} ms after its deadline {at}"));
        }
        if !seen && made < pair.invoke.index && end.time + tolerance < earliest {
            let early = millis(earliest - end.time);
            findings.push(format!("early: {name} is gone {early:.1} ms before its deadline {at}"));
        }
    }
    Ok(Judgement::of(findings))
}
