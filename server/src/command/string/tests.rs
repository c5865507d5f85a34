//! What SET, GETEX and their kin make of their words. What they answer is for the conformance cases.

use hallpass_engine::{HashSeed, SizeLimits, Stamp, Words};

use super::*;
use crate::command::request::Subject;

const NOW: Stamp = Stamp::from_millis(1_000_000);

/// Lowers the words of `line`, which single spaces separate, and hands the op or error to `check`.
fn lowered<R>(
    lower: for<'a> fn(&LowerContext<'_>, &Request<'a>) -> Result<Op<'a>, CommandError>,
    line: &str,
    check: impl FnOnce(Result<Op<'_>, CommandError>) -> R,
) -> R {
    let sizes = SizeLimits {
        key_bytes_max: 100,
        value_bytes_max: 10,
        user_bytes_max: 100,
        session_bytes_max: 100,
        meta_bytes_max: 100,
    };
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let seed = HashSeed::new(1, 2);
    let request = Request::new(Words::from_slices(&words), &seed, 0, Subject::Unknown);
    check(lower(&LowerContext { now: NOW, sizes: &sizes, session_import: false }, &request))
}

/// Deadline, condition and GET of a SET.
fn set(options: &str) -> Result<(Deadline, Condition, bool), CommandError> {
    lowered(lower_set, format!("SET k v {options}").trim_end(), |op| match op? {
        Op::Set { deadline, condition, get, .. } => Ok((deadline, condition, get)),
        other => panic!("SET became {other:?}"),
    })
}

fn at(millis: u64) -> Deadline {
    Deadline::At(Stamp::from_millis(millis))
}

fn after(millis: u64) -> Deadline {
    Deadline::After(millis)
}

#[test]
fn set_takes_its_options_in_any_order_and_case() {
    let (clear, always) = (Deadline::Clear, Condition::Always);
    for (options, expect) in [
        ("", (clear, always, false)),
        ("EX 5", (after(5000), always, false)),
        ("px 5 nx", (after(5), Condition::IfAbsent, false)),
        ("XX GET EXAT 5", (at(5000), Condition::IfPresent, true)),
        ("get pxat 7 NX", (at(7), Condition::IfAbsent, true)),
        ("KEEPTTL keepttl", (Deadline::Keep, always, false)),
        ("EX 5 EX 6", (after(6000), always, false)),
        ("NX NX GET GET", (clear, Condition::IfAbsent, true)),
    ] {
        assert_eq!(set(options), Ok(expect), "{options}");
    }
}

#[test]
fn set_refuses_what_redis_refuses() {
    use CommandError::{InvalidExpire, NotAnInteger, Syntax};
    for (options, expect) in [
        ("NX XX", Syntax),
        ("EX 5 PX 5", Syntax),
        ("EX 5 KEEPTTL", Syntax),
        ("KEEPTTL PXAT 5", Syntax),
        ("EX", Syntax),
        ("PERSIST", Syntax),
        ("EX NX", NotAnInteger),
        ("EX 0", InvalidExpire),
        ("PXAT -1", InvalidExpire),
        ("EX 9223372036854776", InvalidExpire),
        ("PX 9223372036854775807", InvalidExpire),
    ] {
        assert_eq!(set(options), Err(expect), "{options}");
    }
}

#[test]
fn values_past_the_limit_are_refused() {
    let too_long = Err(CommandError::Refused(Refusal::StringTooLong));
    assert_eq!(lowered(lower_set, "SET k 0123456789a", |op| op.map(drop)), too_long);
    assert_eq!(lowered(lower_append, "APPEND k 0123456789a", |op| op.map(drop)), too_long);
}

#[test]
fn getex_sets_keeps_or_removes_the_deadline() {
    let getex = |options: &str| {
        lowered(lower_getex, format!("GETEX k {options}").trim_end(), |op| match op? {
            Op::GetExpire { deadline, .. } => Ok(deadline),
            other => panic!("GETEX became {other:?}"),
        })
    };
    assert_eq!(getex(""), Ok(Deadline::Keep));
    assert_eq!(getex("PERSIST"), Ok(Deadline::Clear));
    assert_eq!(getex("px 1"), Ok(after(1)));
    assert_eq!(getex("PERSIST EX 1"), Err(CommandError::Syntax));
    assert_eq!(getex("KEEPTTL"), Err(CommandError::Syntax));
    assert_eq!(getex("EX 0"), Err(CommandError::InvalidExpire));
}

#[test]
fn the_most_negative_decrement_has_no_opposite() {
    let error = "ERR decrement would overflow".into();
    let lowest = "DECRBY k -9223372036854775808";
    assert_eq!(lowered(lower_decrby, lowest, |op| op.map(drop)), Err(error));
}

#[test]
fn getrange_takes_what_redis_takes() {
    for (start, end, expect) in [
        (0, 3, "This"),
        (-3, -1, "ing"),
        (0, -1, "This is a string"),
        (10, 100, "string"),
        (-100, 3, "This"),
        (-1, -100, ""),
        (0, -100, "T"),
        (5, 1, ""),
        (100, 200, ""),
        (i64::MIN, i64::MAX, "This is a string"),
    ] {
        let value = "This is a string";
        assert_eq!(&value[string_range(value.len(), start, end)], expect, "{start} {end}");
    }
    assert_eq!(string_range(0, 0, -1), 0..0);
}
