//! The grammar of SESSION.CREATE and SESSION.LIST, and that its errors show no argument.

use hallpass_engine::{Cap, HashSeed, Limits, SizeLimits, Stamp, Words};

use super::{CreateOptions, list_range};
use crate::command::context::LowerContext;
use crate::command::error::CommandError;
use crate::command::request::{Request, Subject};

const SIZES: SizeLimits = SizeLimits {
    key_bytes_max: 100,
    value_bytes_max: 100,
    user_bytes_max: 20,
    session_bytes_max: 50,
    meta_bytes_max: 30,
};

/// Runs `check` on a request of the words in `line`, which single spaces separate.
fn with_request<R>(line: &str, check: impl FnOnce(&Request<'_>) -> R) -> R {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let seed = HashSeed::new(1, 2);
    check(&Request::new(Words::from_slices(&words), &seed, 0, Subject::Unknown))
}

fn parse<R>(
    options: &str,
    session_import: bool,
    check: impl FnOnce(Result<CreateOptions<'_>, CommandError>) -> R,
) -> R {
    let context =
        LowerContext { now: Stamp::from_millis(1_000_000), sizes: &SIZES, session_import };
    let line = format!("SESSION.CREATE ada {options}");
    with_request(&line, |request| check(CreateOptions::parse(request, &context)))
}

fn error(options: &str) -> String {
    parse(options, false, |parsed| {
        let mut text = Vec::new();
        parsed.err().expect(options).write_text("session.create", &mut text);
        String::from_utf8(text).unwrap()
    })
}

#[test]
fn options_come_in_any_order_and_case() {
    let line = "limit 3 EVICT Meta ip 10.0.0.1 agent Firefox IDLE 60 data x lifetime 3600";
    parse(line, false, |parsed| {
        let options = parsed.unwrap();
        assert_eq!(options.limits, Limits { idle_seconds: 60, lifetime_seconds: 3600 });
        assert_eq!(options.data, b"x");
        assert_eq!(options.cap, Some(Cap { sessions_max: 3, evict: true }));
        let expect: [&[u8]; 4] = [b"ip", b"10.0.0.1", b"agent", b"Firefox"];
        assert!(options.meta.iter().eq(expect));
        assert!(options.id.is_none());
    });
}

#[test]
fn a_value_in_meta_may_be_an_options_name_but_a_field_ends_it() {
    parse("META kind idle IDLE 5", false, |parsed| {
        let options = parsed.unwrap();
        assert!(options.meta.iter().eq([b"kind".as_slice(), b"idle"]));
        assert_eq!(options.limits.idle_seconds, 5);
    });
}

#[test]
fn presets_are_those_of_nist_and_can_only_be_shortened() {
    let day = 24 * 3600;
    for (line, idle_seconds, lifetime_seconds) in [
        ("PRESET aal1", 0, 30 * day),
        ("PRESET AAL2", 3600, day),
        ("PRESET aal3", 900, day / 2),
        ("IDLE 60 PRESET aal3", 60, day / 2),
        ("PRESET aal1 IDLE 99999999", 99_999_999, 30 * day),
    ] {
        let expect = Limits { idle_seconds, lifetime_seconds };
        parse(line, false, |parsed| assert_eq!(parsed.unwrap().limits, expect, "{line}"));
    }
    assert_eq!(
        error("PRESET aal3 IDLE 901"),
        "ERR IDLE must not exceed the 900 seconds of the PRESET"
    );
}

#[test]
fn errors_say_what_is_right() {
    let idle = "ERR IDLE must be a whole number of seconds from 1 to 4294967295";
    for (line, expect) in [
        ("IDLE", idle),
        ("IDLE 0", idle),
        ("IDLE 1.5", idle),
        ("IDLE 4294967296", idle),
        ("LIFETIME -1", "ERR LIFETIME must be a whole number of seconds from 1 to 4294967295"),
        ("IDLE 5 IDLE 5", "ERR IDLE may be given once"),
        ("PRESET gold", "ERR PRESET must be aal1, aal2 or aal3"),
        ("DATA", "ERR DATA must be followed by the session's data"),
        ("META", "ERR META must be followed by fields, each with its value"),
        ("META a", "ERR META must be followed by fields, each with its value"),
        ("META id x", "ERR META must be followed by fields, each with its value"),
        ("META  x", "ERR the name of a META field must not be empty"),
        ("LIMIT 0 EVICT", "ERR LIMIT must be a whole number of sessions from 1 to 4294967295"),
        ("LIMIT 3", "ERR LIMIT and its number must be followed by EVICT or REJECT"),
        ("LIMIT 3 drop", "ERR LIMIT and its number must be followed by EVICT or REJECT"),
        ("ID x", "ERR ID is for importing sessions and needs the setting session-import"),
        (
            "secret",
            "ERR the options of SESSION.CREATE are IDLE, LIFETIME, PRESET, DATA, META, LIMIT and ID",
        ),
        (
            "DATA aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "ERR argument is longer than 'session-bytes-max' allows",
        ),
        (
            "META field aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "ERR argument is longer than 'meta-bytes-max' allows",
        ),
    ] {
        assert_eq!(error(line), expect, "{line}");
    }
}

#[test]
fn ids_are_taken_only_where_importing_is_allowed() {
    parse("ID abc", true, |parsed| assert_eq!(parsed.unwrap().id, Some(b"abc".as_slice())));
    parse("ID ", true, |parsed| assert!(parsed.is_err()));
    parse(&format!("ID {}", "a".repeat(513)), true, |parsed| assert!(parsed.is_err()));
}

#[test]
fn list_takes_count_and_cursor() {
    for (line, expect) in [
        ("SESSION.LIST ada", Ok((0, 1000))),
        ("SESSION.LIST ada count 2", Ok((0, 2))),
        ("SESSION.LIST ada CURSOR 7 COUNT 2", Ok((7, 2))),
        ("SESSION.LIST ada COUNT 0", Err(())),
        ("SESSION.LIST ada COUNT", Err(())),
        ("SESSION.LIST ada CURSOR x", Err(())),
        ("SESSION.LIST ada ALL", Err(())),
    ] {
        assert_eq!(with_request(line, |request| list_range(request).map_err(drop)), expect);
    }
}
