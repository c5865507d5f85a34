//! Counters: each increment happens at most once, and once it is answered exactly once.
//!
//! An answered increment says which one it was. That orders all of them, so it is enough to hold each
//! pair of moments against their numbers.

use std::collections::BTreeMap;

use crate::history::{Action, Answer, Record};

/// A counter's increments, and what its readers were shown.
type Requests<'a> = (Vec<&'a Record>, Vec<(i64, &'a Record)>);

pub(super) fn judge(records: &[Record], wrongs: &mut Vec<String>) {
    let mut counters: BTreeMap<u8, Requests<'_>> = BTreeMap::new();
    for record in records {
        match (&record.action, record.answer()) {
            (Action::Increment { counter }, answer) => {
                let (increments, seen) = counters.entry(*counter).or_default();
                increments.push(record);
                if let Some(Answer::Number(number)) = answer {
                    seen.push((*number, record));
                }
            }
            (Action::Count { counter }, Some(Answer::Number(number))) => {
                counters.entry(*counter).or_default().1.push((*number, record));
            }
            _ => {}
        }
    }
    for (counter, (increments, seen)) in counters {
        judge_counter(counter, &increments, &seen, wrongs);
    }
}

fn judge_counter(
    counter: u8,
    increments: &[&Record],
    seen: &[(i64, &Record)],
    wrongs: &mut Vec<String>,
) {
    let is_increment = |record: &Record| matches!(record.action, Action::Increment { .. });
    let mut numbers: BTreeMap<i64, &Record> = BTreeMap::new();
    for (number, record) in seen.iter().filter(|(_, record)| is_increment(record)) {
        if let Some(other) = numbers.insert(*number, record) {
            wrongs.push(format!("counter {counter}: one number twice: {other:?} and {record:?}"));
        }
    }
    for (number, record) in seen {
        let begun = increments.iter().filter(|other| other.asked <= record.ended()).count();
        if *number > begun as i64 {
            wrongs.push(format!("counter {counter}: {begun} increments were begun: {record:?}"));
        }
        let ended = increments.iter().filter(|other| other.ended() < record.asked).count();
        if *number < ended as i64 {
            wrongs.push(format!("counter {counter}: {ended} increments had ended: {record:?}"));
        }
        for (other_number, other) in seen {
            // An increment is the moment its number appears: what ends before it has seen less.
            let less = other_number < number || (other_number == number && !is_increment(record));
            if other.ended() < record.asked && !less {
                wrongs.push(format!("counter {counter} ran back: {other:?}, then {record:?}"));
            }
        }
    }
}
