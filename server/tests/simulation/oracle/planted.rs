//! Small histories that say of themselves whether a correct store could have them: the judge's own test.

use std::collections::BTreeSet;

use super::{ClockErrors, judge};
use crate::clock::BEGINNING_MILLIS;
use crate::history::{Action, Answer, Moment, Record, Seen};

const LOOK: Action = Action::Look { session: 0 };
const REVOKE: Action = Action::Revoke { session: 0 };

fn asked(action: Action, asked: Moment, answered: Option<(Moment, Answer)>) -> Record {
    Record { node: 1, action, asked, answered }
}

fn create(session: u32, from: Moment, to: Moment, lifetime_seconds: u32) -> Record {
    let expires = BEGINNING_MILLIS + to + u64::from(lifetime_seconds) * 1000;
    let action = Action::Create { session, user: 0, lifetime_seconds, cap: None };
    asked(action, from, Some((to, Answer::Made { expires })))
}

fn look(from: Moment, to: Moment, alive: bool) -> Record {
    let session = alive.then_some(Seen { user: 0, value: 0, version: 1 });
    asked(LOOK, from, Some((to, Answer::Seen { at: BEGINNING_MILLIS + to, session })))
}

fn revoke(from: Moment, to: Option<Moment>) -> Record {
    asked(REVOKE, from, to.map(|to| (to, Answer::Number(1))))
}

fn logout(from: Moment, to: Moment) -> Record {
    asked(Action::RevokeUser { user: 0, except: None }, from, Some((to, Answer::Number(1))))
}

fn set(value: u64, from: Moment, to: Option<Moment>) -> Record {
    asked(Action::Set { key: 0, value }, from, to.map(|to| (to, Answer::Done)))
}

fn get(value: Option<u64>, from: Moment, to: Moment) -> Record {
    asked(Action::Get { key: 0 }, from, Some((to, Answer::Stored(value))))
}

fn increment(number: i64, from: Moment, to: Moment) -> Record {
    asked(Action::Increment { counter: 0 }, from, Some((to, Answer::Number(number))))
}

fn count(number: i64, from: Moment, to: Moment) -> Record {
    asked(Action::Count { counter: 0 }, from, Some((to, Answer::Number(number))))
}

fn list(sessions: &[u32], count: u64, from: Moment, to: Moment) -> Record {
    let sessions: BTreeSet<u32> = sessions.iter().copied().collect();
    let at = BEGINNING_MILLIS + to;
    asked(Action::List { user: 0 }, from, Some((to, Answer::Listed { at, sessions, count })))
}

fn histories() -> Vec<(&'static str, bool, Vec<Record>)> {
    vec![
        (
            "a revoked session is gone",
            true,
            vec![
                create(0, 1, 2, 0),
                look(3, 4, true),
                revoke(5, Some(7)),
                look(6, 6, true),
                look(8, 9, false),
            ],
        ),
        (
            "a revoked session is seen",
            false,
            vec![create(0, 1, 2, 0), revoke(5, Some(6)), look(7, 8, true)],
        ),
        (
            "a revoke without an answer may happen or not",
            true,
            vec![create(0, 1, 2, 0), revoke(5, None), look(7, 8, true), look(9, 10, false)],
        ),
        (
            "a session comes back",
            false,
            vec![create(0, 1, 2, 0), revoke(5, None), look(7, 8, false), look(9, 10, true)],
        ),
        ("a session is lost", false, vec![create(0, 1, 2, 0), look(7, 8, false)]),
        (
            "a logout ends what was there",
            false,
            vec![create(0, 1, 2, 0), logout(3, 4), look(5, 6, true)],
        ),
        (
            "a logout spares what came after",
            false,
            vec![logout(1, 2), create(0, 3, 4, 0), look(5, 6, false)],
        ),
        (
            "a session that survived a logout is lost",
            false,
            vec![create(0, 1, 4, 0), logout(2, 3), look(5, 6, true), look(7, 8, false)],
        ),
        (
            "a session expires",
            true,
            vec![create(0, 1, 2, 1), look(900, 901, true), look(1002, 1003, false)],
        ),
        (
            "a session outlives its deadline",
            false,
            vec![create(0, 1, 2, 1), look(1500, 1501, true)],
        ),
        ("a session ends early", false, vec![create(0, 1, 2, 1), look(900, 901, false)]),
        ("a list lacks a session", false, vec![create(0, 1, 2, 0), list(&[], 0, 3, 4)]),
        ("a count is not the list's", false, vec![create(0, 1, 2, 0), list(&[0], 2, 3, 4)]),
        (
            "a write is overwritten",
            true,
            vec![set(1, 1, Some(2)), set(2, 3, None), get(Some(1), 4, 5), get(Some(2), 6, 7)],
        ),
        (
            "a read is stale",
            false,
            vec![set(1, 1, Some(2)), set(2, 3, Some(4)), get(Some(1), 5, 6)],
        ),
        ("a write is lost", false, vec![set(1, 1, Some(2)), get(None, 3, 4)]),
        (
            "reads go back",
            false,
            vec![set(1, 1, Some(2)), set(2, 3, None), get(Some(2), 4, 5), get(Some(1), 6, 7)],
        ),
        ("increments count", true, vec![increment(1, 1, 4), increment(2, 2, 5), count(2, 6, 7)]),
        ("an increment happens twice", false, vec![increment(1, 1, 2), count(2, 3, 4)]),
        ("an increment is lost", false, vec![increment(1, 1, 2), increment(1, 3, 4)]),
    ]
}

/// The judge is right about each history.
pub(crate) fn check() -> Result<(), String> {
    for (name, possible, records) in histories() {
        let wrongs = judge(&records, ClockErrors { least: -100, most: 100 });
        if wrongs.is_empty() != possible {
            return Err(format!("{name}: {wrongs:?}"));
        }
    }
    Ok(())
}
