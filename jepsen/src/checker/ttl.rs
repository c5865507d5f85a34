//! Is what has a deadline there until then, and gone from then on?
//!
//! An object lives for a stated time from some moment between the two ends of its creation, so a look that ended before
//! the earliest deadline has to see it, and one that began after the latest must not. [`TOLERANCE`] is allowed
//! on both sides: nodes and harness read one machine's clock, in milliseconds.
//!
//! While a node's clock is wrong, the log's time may be: a leader whose clock is ahead expires things that much too
//! early, and once it is right again time stands still for as long, so that what is made then lives too long. An
//! object that was made, or looked at, while that may be so is allowed the clock's error on both sides, too.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{Judgement, object, rest};
use crate::history::{History, NEMESIS, Pair};

/// How far from its deadline, on either side, an object may be seen or missed.
pub const TOLERANCE: Duration = Duration::from_millis(20);

/// When its making began, when it was made, as a place in the history, and between which moments its deadline lies.
#[derive(Clone, Copy)]
struct Life {
    began: u64,
    made: u64,
    earliest: u64,
    latest: u64,
}

/// After its clock was set right, a node may not have looked for so long.
const SETTLING: Duration = Duration::from_millis(100);

/// A time during which the log's time may be wrong, and by how much.
struct Wrong {
    from: u64,
    until: u64,
    nanos: u64,
}

/// The times of wrong clocks, as whoever set them wrong noted them.
fn wrong_times(history: &History) -> Vec<Wrong> {
    let mut times: Vec<Wrong> = Vec::new();
    for op in history.ops.iter().filter(|op| op.process == NEMESIS) {
        let number = |name: &str| op.value.get(name).and_then(Value::as_u64);
        if let Some(millis) = number("skew_millis") {
            let from = number("since").unwrap_or_default();
            times.push(Wrong { from, until: u64::MAX, nanos: millis * 1_000_000 });
        } else if let Some(last) = times.last_mut().filter(|last| last.until == u64::MAX) {
            last.until = op.time + last.nanos + SETTLING.as_nanos() as u64;
        }
    }
    times
}

/// Judges `create [object, milliseconds]` and `read [object, live]`, with what a nemesis noted of clocks.
pub fn check(pairs: &[Pair<'_>], history: &History) -> Result<Judgement> {
    let times = wrong_times(history);
    let tolerance_of = |from: u64, until: u64| {
        let meanwhile = times.iter().filter(|wrong| wrong.from < until && from < wrong.until);
        TOLERANCE.as_nanos() as u64 + meanwhile.map(|wrong| wrong.nanos).sum::<u64>()
    };
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.invoke.f == "create" && pair.done_at().is_some()) {
        let (Some(millis), Some(end)) = (rest(&pair.invoke.value).as_u64(), pair.end) else {
            continue;
        };
        let life = millis * 1_000_000;
        let (earliest, latest) = (pair.invoke.time + life, end.time + life);
        lives.insert(
            object(&pair.invoke.value).to_string(),
            Life { began: pair.invoke.time, made: end.index, earliest, latest },
        );
    }
    let mut findings = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.invoke.f == "read") {
        let name = object(&pair.invoke.value).to_string();
        let (Some(seen), Some(end)) = (pair.answer().map(rest).and_then(Value::as_bool), pair.end)
        else {
            continue;
        };
        let Some(Life { began, made, earliest, latest }) = lives.get(&name).copied() else {
            continue;
        };
        let tolerance = tolerance_of(began, end.time);
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
