use super::*;

fn user(rules: &str) -> User {
    User::parse(b"alice", rules.as_bytes(), false).unwrap()
}

fn shown(rules: &str) -> String {
    String::from_utf8(user(rules).describe()).unwrap()
}

fn refused(rules: &str) -> String {
    User::parse(b"alice", rules.as_bytes(), false).unwrap_err().to_string()
}

#[test]
fn rules_are_shown_as_redis_shows_them() {
    for (rules, expected) in [
        ("", "off sanitize-payload resetchannels -@all"),
        ("on nopass allkeys allchannels allcommands", "on nopass sanitize-payload ~* &* +@all"),
        ("+@all -@write -GET", "off sanitize-payload resetchannels +@all -@write -get"),
        ("+get +set -get", "off sanitize-payload resetchannels -@all +set -get"),
        ("+config|get +config", "off sanitize-payload resetchannels -@all +config"),
        ("+config -config|set", "off sanitize-payload resetchannels -@all +config -config|set"),
        ("+@read -@all +@hash", "off sanitize-payload resetchannels -@all +@hash"),
        ("+select|0 +SELECT|1", "off sanitize-payload resetchannels -@all +select|0 +select|1"),
        (
            "%R~a %W~a %r~b %w~c %RW~d ~e &ch",
            "off sanitize-payload ~a %R~b %W~c ~d ~e resetchannels &ch -@all",
        ),
        ("on ~x +get reset", "off sanitize-payload resetchannels -@all"),
        ("skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all"),
        (
            ">a",
            "off sanitize-payload \
             #ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb resetchannels -@all",
        ),
        (">a <a", "off sanitize-payload resetchannels -@all"),
    ] {
        assert_eq!(shown(rules), expected, "{rules}");
        assert_eq!(user(&shown(rules)), user(rules), "what is shown makes the same user: {rules}");
    }
}

#[test]
fn a_later_rule_counts_more() {
    let allows = |rules: &str, command: &str| {
        let entry = table().by_full_name(command.as_bytes()).unwrap();
        user(rules).commands.allow(entry.index)
    };
    assert!(allows("+@all -@write +set", "set"));
    assert!(!allows("+@all +set -@write", "set"));
    assert!(allows("+@slow", "config|set"), "a container's category reaches its subcommands");
    assert!(allows("+config|get", "config|get") && !allows("+config|get", "config|set"));
    assert!(!allows("+config -config|set", "config|set"));
    assert!(!user("+@all -get").may_do_everything());
    assert!(user("+@all ~* &*").may_do_everything());
}

#[test]
fn bad_rules_are_refused_in_the_words_of_redis() {
    for (rules, expected) in [
        ("+nope", "Unknown command or category name in ACL"),
        ("-@nope", "Unknown command or category name in ACL"),
        ("-select|0", "Unknown command or category name in ACL"),
        ("+config|nope", "Unknown command or category name in ACL"),
        ("+config|get|a", "Allowing first-arg of a subcommand is not supported"),
        ("+select|", "Syntax error"),
        ("nonsense", "Syntax error"),
        ("%~a", "Syntax error"),
        ("%RR~a", "Syntax error"),
        ("%R", "Syntax error"),
        ("<nobody", "The password you are trying to remove from the user does not exist"),
        (
            "#12",
            "The password hash must be exactly 64 characters and contain only lowercase hexadecimal \
             characters",
        ),
        ("(~a", "selectors are not supported by this server: give the user one set of rules"),
    ] {
        assert_eq!(refused(rules), expected, "{rules}");
    }
    assert!(refused("allkeys ~a").starts_with("Adding a pattern after the * pattern (or the 'all"));
    assert!(refused("&* &a").contains("Try 'resetchannels' to start with an empty list of chan"));
    let mut alice = user("");
    assert_eq!(alice.apply(b"~a b", false), Err(RuleError::Syntax));
    assert_eq!(alice.apply(b"&a\0b", false), Err(RuleError::Syntax));
}
