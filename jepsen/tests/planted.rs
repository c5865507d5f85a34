//! Can the checker fail, and does it only fail when it should? Valid histories with many unknown outcomes pass;
//! with one stale read, lost write or resurrected session planted in them they do not.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use hallpass_jepsen::checker::linear::{Answer, Model, Operation, check};
use hallpass_jepsen::model::session::{Call, Live, Saved, Session};

const BUDGET_STEPS: u64 = 20_000_000;

/// What a real session did under concurrent clients: each operation takes effect at one moment between its two
/// ends. One in `unknown_each` loses its answer, and half of those never take effect.
fn run(seed: u64, rounds: u64, unknown_each: u64) -> Vec<Operation<Call>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut state: Option<Live> = None;
    let mut operations: Vec<Operation<Call>> = Vec::new();
    // Under way: the operation, and whether it has taken effect.
    let mut open: Vec<(usize, bool)> = Vec::new();
    for place in 0..rounds {
        match random.u8(0..3) {
            0 if open.len() < 5 => {
                let call = draw(&mut random, place as i64, state);
                open.push((operations.len(), false));
                operations.push(Operation { call, invoked: place, ended: None });
            }
            1 if !open.is_empty() => {
                let chosen = random.usize(0..open.len());
                let (at, effected) = &mut open[chosen];
                if !*effected {
                    effect(&mut state, &mut operations[*at].call);
                    *effected = true;
                }
            }
            _ => {
                let Some(chosen) =
                    (0..open.len()).find(|at| open[*at].1 || random.u64(0..unknown_each) == 0)
                else {
                    continue;
                };
                let (at, effected) = open.swap_remove(chosen);
                let call = &mut operations[at].call;
                if effected && random.u64(0..unknown_each) > 0 {
                    operations[at].ended = Some(place);
                } else {
                    forget(call);
                }
            }
        }
    }
    for (at, _) in open {
        forget(&mut operations[at].call);
    }
    let known = |operation: &Operation<Call>| {
        operation.ended.is_some() || !matches!(operation.call, Call::Read(_))
    };
    operations.into_iter().filter(known).collect()
}

fn draw(random: &mut fastrand::Rng, data: i64, state: Option<Live>) -> Call {
    match random.u8(0..12) {
        0..=4 => Call::Read(None),
        5..=7 => Call::Save { data, version: None, seen: None },
        8..=9 => {
            Call::Save { data, version: Some(state.map_or(1, |live| live.version)), seen: None }
        }
        10 => Call::Revoke { seen: None },
        _ => Call::Create { data, seen: None },
    }
}

/// What a session does, said a second time and differently from the model.
fn effect(state: &mut Option<Live>, call: &mut Call) {
    match call {
        Call::Read(seen) => *seen = *state,
        Call::Create { data, seen } => {
            *seen = Some(state.is_none());
            state.get_or_insert(Live { version: 1, data: *data });
        }
        Call::Revoke { seen } => *seen = Some(state.take().is_some()),
        Call::Save { data, version, seen } => {
            *seen = Some(match state {
                Some(live) if version.is_none_or(|version| version == live.version) => {
                    *live = Live { version: live.version + 1, data: *data };
                    Saved::As(live.version)
                }
                Some(live) => Saved::Moved(live.version),
                None => Saved::NoSession,
            });
        }
    }
}

fn forget(call: &mut Call) {
    match call {
        Call::Read(_) => {}
        Call::Create { seen, .. } | Call::Revoke { seen } => *seen = None,
        Call::Save { seen, .. } => *seen = None,
    }
}

fn verdict(operations: &[Operation<Call>]) -> Answer {
    check(&Session, operations, &mut { BUDGET_STEPS })
}

#[test]
fn valid_histories_pass_however_many_outcomes_are_unknown() {
    for seed in 0..300 {
        let operations = if seed % 2 == 0 { run(seed, 150, 4) } else { run(seed, 300, 20) };
        let unknown = operations.iter().filter(|operation| operation.ended.is_none()).count();
        assert!(
            operations.len() > 20 && unknown > 2,
            "seed {seed}: {unknown} of {}",
            operations.len()
        );
        assert_eq!(verdict(&operations), Answer::Linearizable, "seed {seed}");
    }
}

/// Data is written once only, so a save that lies wholly between another save and a read hides the other from it.
#[test]
fn a_stale_read_is_seen() {
    let mut planted = 0;
    for seed in 0..300 {
        let operations = run(seed, 150, 12);
        let saves: Vec<(u64, u64, Live)> = operations.iter().filter_map(saved).collect();
        let old_and_new = |first: &(u64, u64, Live), second: &(u64, u64, Live)| first.1 < second.0;
        for at in 0..operations.len() {
            let (Call::Read(Some(_)), invoked) = (operations[at].call, operations[at].invoked)
            else {
                continue;
            };
            let hidden = saves.iter().rev().find(|first| {
                saves.iter().any(|second| old_and_new(first, second) && second.1 < invoked)
            });
            let Some((_, _, stale)) = hidden else { continue };
            let mut operations = operations.clone();
            operations[at].call = Call::Read(Some(*stale));
            let answer = verdict(&operations);
            assert!(
                matches!(answer, Answer::Not { .. }),
                "seed {seed}, read at {invoked}: {answer:?}"
            );
            planted += 1;
        }
    }
    assert!(planted > 500, "only {planted} anomalies could be planted");
}

fn saved(operation: &Operation<Call>) -> Option<(u64, u64, Live)> {
    match operation.call {
        Call::Save { data, seen: Some(Saved::As(version)), .. } => {
            operation.ended.map(|ended| (operation.invoked, ended, Live { version, data }))
        }
        _ => None,
    }
}

/// Appends operations that follow one another; the last is what a broken store would say.
fn follow(seed: u64, calls: &[Call]) -> Answer {
    let mut operations = run(seed, 200, 10);
    for (step, call) in calls.iter().enumerate() {
        let invoked = 1000 + 2 * step as u64;
        operations.push(Operation { call: *call, invoked, ended: Some(invoked + 1) });
    }
    verdict(&operations)
}

#[test]
fn a_lost_write_is_seen() {
    for seed in 0..100 {
        let revoke = |seen| Call::Revoke { seen };
        // Ended and made again, so that what follows does not depend on what is unknown.
        let ended =
            |lived| vec![revoke(Some(lived)), Call::Create { data: 7001, seen: Some(true) }];
        let lived = [true, false]
            .into_iter()
            .find(|lived| follow(seed, &ended(*lived)) == Answer::Linearizable);
        let mut calls = ended(lived.unwrap());
        calls.push(Call::Save { data: 7002, version: Some(1), seen: Some(Saved::As(2)) });
        assert_eq!(follow(seed, &calls), Answer::Linearizable);
        calls.push(Call::Read(Some(Live { version: 1, data: 7001 })));
        assert!(matches!(follow(seed, &calls), Answer::Not { .. }), "seed {seed}");
    }
}

#[test]
fn a_resurrected_session_is_seen() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let base = run(seed, 200, 10);
        let ending = [
            Call::Create { data: 7001, seen: None },
            Call::Revoke { seen: None },
            Call::Read(None),
        ];
        let mut operations = base.clone();
        // No creation is unknown, or one of them might explain a session that is there again.
        operations.retain(|operation| {
            operation.ended.is_some() || !matches!(operation.call, Call::Create { .. })
        });
        if verdict(&operations) != Answer::Linearizable {
            continue;
        }
        for (step, call) in ending.iter().enumerate() {
            let invoked = 1000 + 2 * step as u64;
            // The first two came to something, nobody knows what: as unknown as can be, and yet over.
            operations.push(Operation { call: *call, invoked, ended: Some(invoked + 1) });
        }
        assert_eq!(verdict(&operations), Answer::Linearizable, "seed {seed}");
        let back = Live { version: random.u64(1..4), data: 7001 };
        operations.last_mut().unwrap().call = Call::Read(Some(back));
        assert!(matches!(verdict(&operations), Answer::Not { .. }), "seed {seed}");
    }
}

#[test]
fn a_spent_budget_is_not_a_pass() {
    let operations = run(1, 300, 4);
    assert_eq!(check(&Session, &operations, &mut 10), Answer::Unknown);
    assert_eq!(Session.step(&None, &Call::Read(None)), Some(None));
}
