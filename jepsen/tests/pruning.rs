//! The search over a user's sessions leaves out what its model calls doomed: on random histories, right and wrong ones,
//! that must never change a verdict.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use hallpass_jepsen::checker::linear::{Answer, Model, Operation, check};
use hallpass_jepsen::model::user::{Call, User};

/// The same object, which dooms nothing.
struct Patient;

impl Model for Patient {
    type State = Vec<u64>;
    type Call = Call;

    fn initial(&self) -> Self::State {
        User.initial()
    }

    fn step(&self, state: &Self::State, call: &Call) -> Option<Self::State> {
        User.step(state, call)
    }
}

/// An operation under way, and whether it has taken effect.
struct Open {
    at: usize,
    done: bool,
}

/// Operations that overlap, each of which takes effect at some moment between its two ends, if it ends.
fn draw(random: &mut fastrand::Rng) -> Vec<Operation<Call>> {
    let mut operations: Vec<Operation<Call>> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut state = Vec::new();
    for place in 0..random.u64(10..50) {
        if open.len() < 5 && random.u8(0..3) == 0 {
            let session = random.u64(0..=operations.len() as u64);
            let call = match random.u8(0..10) {
                0..=3 => Call::Create(operations.len() as u64),
                4 => Call::RevokeUser(None),
                5..=6 => Call::List(Vec::new()),
                7 => Call::Count(0),
                _ => Call::Validate { session, live: false },
            };
            open.push(Open { at: operations.len(), done: false });
            operations.push(Operation { call, invoked: place, ended: None });
        } else if !open.is_empty() {
            let chosen = random.usize(0..open.len());
            let Open { at, done } = open[chosen];
            if done {
                operations[at].ended = Some(place);
                open.swap_remove(chosen);
            } else {
                answer(&mut operations[at].call, &state);
                state = User.step(&state, &operations[at].call).unwrap();
                open[chosen].done = true;
            }
        }
    }
    // Reads that nobody saw say nothing, and a logout without an answer says so.
    operations.retain_mut(|operation| match (&mut operation.call, operation.ended) {
        (Call::RevokeUser(seen), None) => {
            *seen = None;
            true
        }
        (Call::Create(_), _) | (_, Some(_)) => true,
        _ => false,
    });
    operations
}

/// What the object would answer.
fn answer(call: &mut Call, state: &[u64]) {
    match call {
        Call::Create(_) => {}
        Call::RevokeUser(seen) => *seen = Some(state.len() as u64),
        Call::List(seen) => *seen = state.to_vec(),
        Call::Count(seen) => *seen = state.len() as u64,
        Call::Validate { session, live } => *live = state.contains(session),
    }
}

/// Makes one answer wrong, as likely as not.
fn spoil(operations: &mut [Operation<Call>], random: &mut fastrand::Rng) {
    if operations.is_empty() {
        return;
    }
    match &mut operations[random.usize(0..operations.len())].call {
        Call::Create(_) => {}
        Call::RevokeUser(seen) => *seen = seen.map(|seen| seen + 1),
        Call::List(seen) => drop(seen.pop()),
        Call::Count(seen) => *seen += 1,
        Call::Validate { live, .. } => *live = !*live,
    }
}

#[test]
fn what_is_doomed_is_never_missed() {
    let mut random = fastrand::Rng::with_seed(0xd00d);
    let mut seen = [0, 0];
    for round in 0..20_000 {
        let mut operations = draw(&mut random);
        let spoilt = round % 2 == 1;
        if spoilt {
            spoil(&mut operations, &mut random);
        }
        let expected = check(&Patient, &operations, &mut 10_000_000);
        let answer = check(&User, &operations, &mut 10_000_000);
        let linearizable = |answer| matches!(answer, Answer::Linearizable);
        assert_eq!(linearizable(answer), linearizable(expected), "round {round}: {operations:?}");
        assert!(spoilt || linearizable(answer), "round {round} is right: {operations:?}");
        assert!(![expected, answer].contains(&Answer::Unknown), "round {round}");
        seen[usize::from(linearizable(expected))] += 1;
    }
    assert!(seen.iter().all(|rounds| *rounds > 2000), "the draw is lopsided: {seen:?}");
}
