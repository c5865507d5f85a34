//! Each workload's judge on small histories: what keeps the promise passes, each way to break it is found.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use hallpass_jepsen::checker::{Verdict, check};
use hallpass_jepsen::history::{History, Kind, NEMESIS, Op, Process};
use serde_json::{Value, json};

/// A history written line by line: process, kind, what, value. A line takes a millisecond.
fn history(lines: &[(u64, Kind, &str, Value)]) -> History {
    let op = |(index, (process, kind, f, value)): (usize, &(u64, Kind, &str, Value))| Op {
        index: index as u64,
        time: index as u64 * 1_000_000,
        process: Process::Client(*process),
        kind: *kind,
        f: (*f).to_owned(),
        value: value.clone(),
        node: 1,
        error: None,
    };
    History { ops: lines.iter().enumerate().map(op).collect() }
}

/// Operations one after the other, each with its answer.
fn sequence(steps: &[(&'static str, Value, Value)]) -> Vec<(u64, Kind, &'static str, Value)> {
    let lines = |(f, asked, seen): &(&'static str, Value, Value)| {
        [(0, Kind::Invoke, *f, asked.clone()), (0, Kind::Ok, *f, seen.clone())]
    };
    steps.iter().flat_map(lines).collect()
}

#[track_caller]
fn expect(workload: &str, lines: &[(u64, Kind, &'static str, Value)], finding: &str) {
    let judgement = check(workload, &history(lines)).unwrap();
    let found = judgement.findings.join("; ");
    if finding.is_empty() {
        assert_eq!(judgement.verdict, Verdict::Valid, "{found}");
    } else {
        assert_eq!(judgement.verdict, Verdict::Invalid);
        assert!(found.contains(finding), "{finding} is not in: {found}");
    }
}

#[test]
fn a_set_keeps_what_was_acknowledged_and_nothing_else() {
    let create = |number: u64| ("create", json!(["u", number]), json!(["u", number]));
    let list = |seen: &[u64]| ("list", json!(["u", null]), json!(["u", seen]));
    let judge = |steps: &[_], finding: &str| expect("set", &sequence(steps), finding);
    judge(&[create(1), create(2), list(&[2, 1])], "");
    judge(&[create(1), create(2), list(&[2])], "lost: session 1");
    judge(&[create(1), list(&[1, 2])], "unexpected: nobody made session 2");
    judge(&[create(1), list(&[1, 1])], "twice");
    let validate = |live: bool| ("validate", json!(["u", 1]), json!(["u", live]));
    judge(&[create(1), validate(true)], "");
    judge(&[create(1), validate(false)], "lost: session 1");
    // Of an unknown creation both is right, and of one that failed neither.
    for (kind, finding) in [(Kind::Info, ""), (Kind::Fail, "unexpected")] {
        let mut lines = vec![(1, Kind::Invoke, "create", json!(["u", 9]))];
        lines.push((1, kind, "create", json!(["u", 9])));
        expect("set", &[&lines[..], &sequence(&[list(&[])])].concat(), "");
        expect("set", &[&lines[..], &sequence(&[list(&[9])])].concat(), finding);
    }
}

#[test]
fn a_revoked_session_stays_away() {
    let create = ("create", json!([1, null]), json!([1, null]));
    let revoke = |lived: bool| ("revoke", json!([1, null]), json!([1, lived]));
    let look = |f: &'static str, live: bool| (f, json!([1, null]), json!([1, live]));
    let judge = |steps: &[_], finding: &str| expect("revoke", &sequence(steps), finding);
    let (read, save) = (|live| look("read", live), |live| look("save", live));
    judge(&[create.clone(), read(true), save(true), revoke(true), read(false), save(false)], "");
    judge(&[create.clone(), revoke(true), revoke(false)], "");
    judge(&[create.clone(), revoke(true), read(true)], "back: session 1");
    judge(&[create.clone(), revoke(true), save(true)], "back: session 1");
    judge(&[create.clone(), read(false)], "lost: session 1");
    judge(&[create.clone(), revoke(false)], "lost: session 1");
    judge(&[create.clone(), revoke(true), revoke(true)], "twice: session 1");
    // A look under way while the session is revoked may see either.
    for live in [true, false] {
        let mut lines = sequence(std::slice::from_ref(&create));
        lines.push((1, Kind::Invoke, "read", json!([1, null])));
        lines.extend(sequence(&[revoke(true)]));
        lines.push((1, Kind::Ok, "read", json!([1, live])));
        expect("revoke", &lines, "");
    }
    // After a revoke of unknown outcome, too, and then either.
    for live in [true, false] {
        let mut lines = sequence(std::slice::from_ref(&create));
        lines.push((1, Kind::Invoke, "revoke", json!([1, null])));
        lines.push((1, Kind::Info, "revoke", json!([1, null])));
        lines.extend(sequence(&[read(live)]));
        expect("revoke", &lines, "");
    }
}

#[test]
fn logout_everywhere_ends_all_or_none() {
    let create = |number: u64| ("create", json!(["u", number]), json!(["u", number]));
    let list = |seen: &[u64]| ("list", json!(["u", null]), json!(["u", seen]));
    let count = |seen: u64| ("count", json!(["u", null]), json!(["u", seen]));
    let logout = |ended: u64| ("revoke_user", json!(["u", null]), json!(["u", ended]));
    let validate = |number: u64, live| ("validate", json!(["u", number]), json!(["u", live]));
    let judge = |steps: &[_], finding: &str| expect("logout_everywhere", &sequence(steps), finding);
    let two = [create(1), create(2)];
    let after = |steps: &[_]| [&two[..], steps].concat();
    judge(&after(&[list(&[2, 1]), count(2), logout(2), list(&[]), create(3), list(&[3])]), "");
    judge(&after(&[logout(2), list(&[1])]), "back: \"u\"'s session 1");
    judge(&after(&[logout(2), validate(2, true)]), "back: \"u\"'s session 2");
    judge(&after(&[logout(2), create(3), validate(3, false)]), "lost: \"u\"'s session 3");
    judge(&after(&[list(&[1])]), "lost: \"u\"'s session 2");
    judge(&after(&[count(1)]), "not linearizable");
    judge(&after(&[logout(1)]), "not linearizable");
    // A list that began before the logout may show what a look that ends sooner no longer finds: a search that took
    // the list for a later one once found no order.
    let mut lines = sequence(&two);
    lines.push((1, Kind::Invoke, "list", json!(["u", null])));
    lines.push((2, Kind::Invoke, "revoke_user", json!(["u", null])));
    lines.extend(sequence(&[validate(1, false)]));
    lines.push((2, Kind::Ok, "revoke_user", json!(["u", 2])));
    lines.push((1, Kind::Ok, "list", json!(["u", [1, 2]])));
    expect("logout_everywhere", &lines, "");
    // A list during the logout shows both or neither.
    for (seen, finding) in [(&[1, 2][..], ""), (&[], ""), (&[2], "not linearizable")] {
        let mut lines = sequence(&two);
        lines.push((1, Kind::Invoke, "list", json!(["u", null])));
        lines.extend(sequence(&[logout(2)]));
        lines.push((1, Kind::Ok, "list", json!(["u", seen])));
        expect("logout_everywhere", &lines, finding);
    }
}

#[test]
fn a_deadline_is_kept_on_both_sides() {
    // Made between 0 and 1 ms, so gone between 40 and 41 ms; 20 ms are allowed.
    let create = ("create", json!(["k", 40]), json!(["k", 40]));
    for (at, live, finding) in [
        (10, true, ""),
        (10, false, "early: \"k\" is gone"),
        (30, false, ""),
        (50, true, ""),
        (70, true, "late: \"k\" lives"),
        (70, false, ""),
    ] {
        let mut lines = sequence(std::slice::from_ref(&create));
        while lines.len() < at {
            lines.extend(sequence(&[("other", json!(["x", null]), json!(["x", null]))]));
        }
        lines.extend(sequence(&[("read", json!(["k", null]), json!(["k", live]))]));
        expect("ttl", &lines, finding);
    }
}

#[test]
fn a_wrong_clock_excuses_what_it_touches_and_nothing_else() {
    let create = ("create", json!(["k", 40]), json!(["k", 40]));
    let nemesis = |index: u64, value: Value| Op {
        index,
        time: index * 1_000_000,
        process: NEMESIS,
        kind: Kind::Info,
        f: "clock-skew".into(),
        value,
        node: 0,
        error: None,
    };
    let skew = json!({"begins": "wrong", "since": 2_000_000, "skew_millis": 100});
    // Gone between 40 and 41 ms, or seen, at 145 or 175 ms. The clock is wrong from 2 ms on, or was right again,
    // and the log's time with it, before the object was made.
    for (made_at, right_at, seen_after, verdict) in [
        (4, 400, 140, Verdict::Valid),
        (4, 400, 170, Verdict::Invalid),
        (220, 10, 90, Verdict::Invalid),
        (200, 10, 90, Verdict::Valid),
    ] {
        let other = ("other", json!(["x", null]), json!(["x", null]));
        let fill = |lines: &mut Vec<_>, until: usize| {
            while lines.len() < until {
                lines.extend(sequence(std::slice::from_ref(&other)));
            }
        };
        let mut lines = Vec::new();
        fill(&mut lines, made_at);
        lines.extend(sequence(std::slice::from_ref(&create)));
        fill(&mut lines, made_at + seen_after);
        lines.extend(sequence(&[("read", json!(["k", null]), json!(["k", true]))]));
        fill(&mut lines, 500);
        let mut history = history(&lines);
        for (place, value) in [(3, skew.clone()), (right_at, json!({"ends": "wrong"}))] {
            history.ops.insert(place as usize, nemesis(place, value));
        }
        let judgement = check("ttl", &history).unwrap();
        assert_eq!(judgement.verdict, verdict, "made at {made_at}: {:?}", judgement.findings);
    }
}

#[test]
fn a_register_is_linearizable_or_not() {
    let create = ("create", json!(["s0", {"data": 1}]), json!(["s0", {"made": true}]));
    let read = |version: u64, data: u64| {
        ("read", json!(["s0", null]), json!(["s0", {"version": version, "data": data}]))
    };
    let save =
        |seen: Value| ("save", json!(["s0", {"data": 2, "version": 1}]), json!(["s0", seen]));
    let judge = |steps: &[_], finding: &str| expect("register", &sequence(steps), finding);
    judge(&[create.clone(), read(1, 1), save(json!({"saved": 2})), read(2, 2)], "");
    judge(&[create.clone(), save(json!({"saved": 2})), read(1, 1)], "\"s0\" is not linearizable");
    judge(&[create.clone(), save(json!({"saved": 3}))], "not linearizable");
    judge(&[save(json!({"missing": true})), create.clone(), read(1, 1)], "");
    judge(&[create.clone(), save(json!({"missing": true}))], "not linearizable");
    judge(&[create, save(json!({"moved": 1}))], "not linearizable");
    let exchange =
        |old: Value| ("exchange", json!(["k1", {"new": 5}]), json!(["k1", {"new": 5, "old": old}]));
    let write = ("write", json!(["k1", 4]), json!(["k1", 4]));
    judge(&[exchange(json!(null))], "");
    judge(&[write.clone(), exchange(json!(4))], "");
    judge(&[write, exchange(json!(null))], "\"k1\" is not linearizable");
}
