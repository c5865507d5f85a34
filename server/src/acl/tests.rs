use hallpass_engine::Words;

use super::*;
use crate::command::table::{Found, table};

/// Whether a user with these rules may have this request.
fn check(rules: &str, request: &str) -> Result<(), Denied> {
    let user = User::parse(b"alice", rules.as_bytes(), false).unwrap();
    let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
    let words = Words::from_slices(&words);
    let second = (words.len() > 1).then(|| words.at(1));
    let Found::Command(entry) = table().find(words.at(0), second) else { panic!("{request}") };
    user.check(entry, words)
}

#[test]
fn commands_are_checked_with_their_subcommands_and_first_arguments() {
    assert_eq!(check("+get ~*", "get a"), Ok(()));
    assert_eq!(check("+get ~*", "set a 1"), Err(Denied::Command));
    assert_eq!(check("", "auth a b"), Ok(()), "anybody may say who it is");
    assert_eq!(check("+config|get", "config get port"), Ok(()));
    assert_eq!(check("+config|get", "config set port 1"), Err(Denied::Command));
    assert_eq!(check("+select|0", "SELECT 0"), Ok(()));
    assert_eq!(check("+select|0", "select 1"), Err(Denied::Command));
    assert_eq!(check("+@session", "session.list u"), Ok(()));
    assert_eq!(check("+@all -@session", "session.list u"), Err(Denied::Command));
}

#[test]
fn keys_are_checked_for_what_is_done_with_them() {
    let rules = "+@all %R~r:* %W~w:* ~b:*";
    for (request, expected) in [
        ("get r:1", Ok(())),
        ("get w:1", Err(Denied::Key(1))),
        ("set w:1 x", Ok(())),
        ("set r:1 x", Err(Denied::Key(1))),
        ("set w:1 x GET", Err(Denied::Key(1))),
        ("set b:1 x GET", Ok(())),
        ("incr w:1", Err(Denied::Key(1))),
        ("exists w:1 r:1", Ok(())),
        ("exists w:1 x", Err(Denied::Key(2))),
        ("copy r:1 w:1", Ok(())),
        ("copy w:1 r:1", Err(Denied::Key(1))),
        ("rename b:1 w:1", Ok(())),
        ("rename r:1 w:1", Err(Denied::Key(1))),
        ("sinterstore w:1 r:1 b:1", Ok(())),
        ("sinterstore w:1 r:1 w:2", Err(Denied::Key(3))),
        ("sintercard 2 r:1 w:1", Err(Denied::Key(3))),
        ("mset w:1 1 w:2 2", Ok(())),
        ("mset w:1 1 r:2 2", Err(Denied::Key(3))),
        ("object encoding w:1", Ok(())),
        ("ping", Ok(())),
    ] {
        assert_eq!(check(rules, request), expected, "{request}");
    }
}

#[test]
fn channels_are_matched_and_patterns_have_to_be_the_same() {
    let rules = "+@all &news.*";
    for (request, expected) in [
        ("publish news.a x", Ok(())),
        ("publish other x", Err(Denied::Channel(1))),
        ("subscribe news.a other", Err(Denied::Channel(2))),
        ("psubscribe news.*", Ok(())),
        ("psubscribe news.a*", Err(Denied::Channel(1))),
        ("spublish news.a x", Ok(())),
        ("ssubscribe other", Err(Denied::Channel(1))),
        ("unsubscribe other", Ok(())),
    ] {
        assert_eq!(check(rules, request), expected, "{request}");
    }
}
