//! The checker against verdicts of other origin: the 102 labelled etcd histories of `todc-utils`, and that crate's own
//! checker on small random histories.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use hallpass_jepsen::checker::linear::{Answer, Operation, check};
use hallpass_jepsen::model::register::{Call, Register};
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::etcd::{EtcdOperation, EtcdSpecification, EtcdStatus};

/// The labelled histories that are linearizable; all others are not. Source: lt.cc of ahorn/linearizability-checker.
const LINEARIZABLE: [u32; 23] =
    [2, 5, 7, 18, 25, 31, 38, 45, 48, 49, 51, 53, 56, 67, 75, 76, 80, 87, 92, 98, 100, 101, 102];

/// Where cargo keeps the sources of the crate that brings the histories.
fn histories() -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--manifest-path", manifest])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let found = packages.iter().find(|package| package["name"] == "todc-utils").unwrap();
    let manifest = PathBuf::from(found["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().join("tests/linearizability/etcd")
}

/// Reads Jepsen's log of a run against etcd.
fn parse(log: &str) -> Vec<Operation<Call>> {
    let mut operations: Vec<Option<Operation<Call>>> = Vec::new();
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, line) in log.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["INFO", "jepsen.util", "-", process, kind, f, value @ ..] = &words[..] else {
            continue;
        };
        if *process == ":nemesis" {
            continue;
        }
        let number = |word: &str| word.trim_matches(['[', ']']).parse::<i64>().ok();
        let first = value.first().and_then(|word| number(word));
        let call = match *f {
            ":read" => Call::Read(first),
            ":write" => Call::Write(first.unwrap_or_default()),
            ":cas" => {
                let to = value.get(1).and_then(|word| number(word)).unwrap_or_default();
                Call::CompareAndSet { from: first.unwrap_or_default(), to, held: None }
            }
            other => panic!("unknown operation {other}"),
        };
        let place = place as u64;
        if *kind == ":invoke" {
            open.insert(process, operations.len());
            operations.push(Some(Operation { call, invoked: place, ended: None }));
            continue;
        }
        let at = open.remove(process).unwrap();
        let operation = operations[at].as_mut().unwrap();
        match (*kind, &mut operation.call) {
            (":ok", Call::Read(seen)) => *seen = first,
            (":ok", Call::CompareAndSet { held, .. }) => *held = Some(true),
            (":fail", Call::CompareAndSet { held, .. }) => *held = Some(false),
            (":ok", _) => {}
            (":info", Call::Read(_)) | (":fail", _) => operations[at] = None,
            (":info", _) => continue,
            other => panic!("unknown line {other:?}"),
        }
        if let Some(operation) = &mut operations[at] {
            operation.ended = Some(place);
        }
    }
    let unread = |operation: &Operation<Call>| {
        operation.ended.is_none() && matches!(operation.call, Call::Read(_))
    };
    operations.into_iter().flatten().filter(|operation| !unread(operation)).collect()
}

#[test]
fn the_labelled_etcd_histories_get_their_verdicts() {
    let directory = histories();
    let mut checked = 0;
    for number in 0..=102 {
        if number == 95 {
            // etcd did not start in this run, so it has no label.
            continue;
        }
        let log = std::fs::read_to_string(directory.join(format!("etcd_{number:03}.log"))).unwrap();
        let answer = check(&Register, &parse(&log), &mut 50_000_000);
        let linearizable = match answer {
            Answer::Linearizable => true,
            Answer::Not { .. } => false,
            Answer::Unknown => panic!("history {number}: the budget was spent"),
        };
        assert_eq!(linearizable, LINEARIZABLE.contains(&number), "history {number}");
        checked += 1;
    }
    assert_eq!(checked, 102);
}

/// A history as the other checker takes it.
type Actions = Vec<(usize, Action<EtcdOperation>)>;

/// A small history that nobody vouches for: results are drawn, not computed.
fn draw(random: &mut fastrand::Rng) -> (Vec<Operation<Call>>, Actions) {
    let (mut ours, mut theirs, mut at_the_end) = (Vec::new(), Vec::new(), Vec::new());
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut process = 0;
    for place in 0..random.u64(4..22) {
        if open.is_empty() || (open.len() < 4 && random.bool()) {
            let (from, to) = (random.i64(1..3), random.i64(1..3));
            let call = match random.u8(0..3) {
                0 => Call::Read((from < 2).then_some(to)),
                1 => Call::Write(to),
                _ => Call::CompareAndSet { from, to, held: Some(random.bool()) },
            };
            theirs.push((process, Action::Call(translate(&call, false))));
            open.push((process, ours.len()));
            ours.push(Operation { call, invoked: place, ended: None });
            process += 1;
            continue;
        }
        let (process, at) = open.swap_remove(random.usize(0..open.len()));
        finish(&mut ours[at], process, Some(place), &mut theirs);
    }
    for (process, at) in open {
        // Their reads have no unknown outcome; they all come back after everything else.
        let known = matches!(ours[at].call, Call::Read(_)).then_some(1000 + at as u64);
        let target = if known.is_some() { &mut theirs } else { &mut at_the_end };
        finish(&mut ours[at], process, known, target);
    }
    theirs.append(&mut at_the_end);
    (ours, theirs)
}

fn finish(
    operation: &mut Operation<Call>,
    process: usize,
    ended: Option<u64>,
    theirs: &mut Actions,
) {
    operation.ended = ended;
    if let (None, Call::CompareAndSet { held, .. }) = (ended, &mut operation.call) {
        *held = None;
    }
    theirs.push((process, Action::Response(translate(&operation.call, ended.is_none()))));
}

fn translate(call: &Call, unknown: bool) -> EtcdOperation {
    let status = if unknown { EtcdStatus::Unknown } else { EtcdStatus::Okay };
    match *call {
        Call::Read(seen) => EtcdOperation::Read(status, seen.map(|seen| seen as u32)),
        Call::Write(new) | Call::Exchange { new, .. } => EtcdOperation::Write(status, new as u32),
        Call::CompareAndSet { from, to, held } => {
            let status = if held == Some(false) { EtcdStatus::Fail } else { status };
            EtcdOperation::CompareAndSwap(status, (from as u32, to as u32))
        }
    }
}

#[test]
fn small_random_histories_get_the_verdict_of_another_checker() {
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut seen = [0, 0];
    for round in 0..20_000 {
        let (ours, theirs) = draw(&mut random);
        let expected =
            WGLChecker::<EtcdSpecification>::is_linearizable(History::from_actions(theirs));
        let answer = check(&Register, &ours, &mut 10_000_000);
        assert_eq!(answer == Answer::Linearizable, expected, "round {round}: {ours:?}");
        assert_ne!(answer, Answer::Unknown);
        seen[usize::from(expected)] += 1;
    }
    assert!(seen.iter().all(|rounds| *rounds > 2000), "the draw is lopsided: {seen:?}");
}
