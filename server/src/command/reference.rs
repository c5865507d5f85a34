//! The reference page of all commands, `docs/commands.md`, written from the table.
//!
//! Whoever changes a row runs `cargo run -p hallpass-server --example commands_reference` and puts the
//! output there; a test compares the two.

use std::fmt::Write as _;

use super::spec::CommandSpec;
use super::table::{Entry, table};

/// The groups in the order they are shown, with their headings.
const GROUPS: [(&str, &str); 11] = [
    ("session", "Sessions"),
    ("string", "Strings"),
    ("generic", "Keys"),
    ("hash", "Hashes"),
    ("set", "Sets"),
    ("sorted-set", "Sorted sets"),
    ("list", "Lists"),
    ("connection", "Connection"),
    ("server", "Server"),
    ("transactions", "Transactions"),
    ("cluster", "Cluster"),
];

const INTRODUCTION: &str = "\
# Commands

This page is generated from the command table: `cargo run -p hallpass-server --example commands_reference > docs/commands.md`.

Commands that Redis has behave as in Redis 7.2, replies and error texts included; where one does not, its entry says so under
*Difference*. A command that is not on this page answers `ERR unknown command`. Reply shapes are those of RESP3; in RESP2 a map is
an array of keys and values in turn, a set an array, a double a bulk string.

These differences concern all commands:

- A deadline past the year 2527 is kept as none: TTL then answers -1.
- A key may be `key-bytes-max` long, at most 65535 bytes; a longer one is refused with an error that names the setting.
- Commands that only look at a key never move it in an eviction order: with `volatile-ttl`, what ends soonest is evicted.
- Some words are checked before the key is looked at where Redis does it the other way round. Only a request that is wrong in two
  ways can tell, by which of its errors is answered.
- Redis keys live in 16 databases. Sessions live beside them: SCAN, KEYS and DBSIZE do not see them, FLUSHALL ends them, FLUSHDB
  does not.
";

const SESSIONS: &str = "\
Hallpass' own. A session id is a secret of 43 characters that only SESSION.CREATE and SESSION.ROTATE answer; a handle is the session's
public name of 22 characters, which cannot be turned into the id. Times in replies are milliseconds since the Unix epoch.

Errors begin with a word that programs can rely on: `NOSESSION` (over, or never was), `VERSION` (the session has moved on; the present
version follows), `SESSIONEXISTS` (an imported id is taken), `SESSIONLIMIT` (LIMIT ... REJECT), `ERR` for words that make no sense.
";

/// The page.
pub fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for (group, heading) in GROUPS {
        let mut entries: Vec<&Entry> =
            table().entries().iter().filter(|entry| entry.spec.group == group).collect();
        if entries.is_empty() {
            continue;
        }
        entries.sort_by_key(|entry| entry.spec.name);
        let _ = writeln!(page, "\n## {heading}\n");
        if group == "session" {
            let _ = writeln!(page, "{SESSIONS}");
        }
        for entry in entries {
            describe(&mut page, entry);
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn describe(page: &mut String, entry: &Entry) {
    if entry.subcommands.is_empty() {
        return describe_row(page, entry.spec, &entry.full_name);
    }
    for subcommand in &entry.subcommands {
        describe_row(page, subcommand.spec, &subcommand.full_name);
    }
}

fn describe_row(page: &mut String, spec: &CommandSpec, full_name: &str) {
    let name = full_name.to_ascii_uppercase().replace('|', " ");
    let _ = writeln!(page, "### {name}\n");
    let syntax = if spec.syntax.is_empty() { "" } else { " " };
    let _ = writeln!(page, "    {name}{syntax}{}\n", spec.syntax);
    let _ = writeln!(page, "{}\n", spec.summary);
    let _ = writeln!(page, "- Reply: {}", spec.reply);
    let _ = writeln!(page, "- Complexity: {}", spec.complexity);
    let _ = writeln!(page, "- Since: {}", spec.since);
    if !spec.difference.is_empty() {
        let _ = writeln!(page, "- *Difference*: {}", spec.difference);
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> impl Iterator<Item = (&'static str, &'static CommandSpec)> {
        table().entries().iter().flat_map(|entry| {
            let whole = (entry.spec.name, entry.spec);
            let parts = entry.subcommands.iter().map(|sub| (&*sub.full_name, sub.spec));
            std::iter::once(whole).chain(parts)
        })
    }

    #[test]
    fn every_row_is_documented() {
        for (name, spec) in rows() {
            assert_eq!(spec.name, spec.name.to_ascii_lowercase(), "{name}");
            let known = GROUPS.iter().any(|(group, _)| *group == spec.group);
            assert!(known, "{name}: the page has no place for the group {:?}", spec.group);
            if !spec.subcommands.is_empty() {
                continue;
            }
            for text in [spec.summary, spec.reply, spec.since, spec.complexity] {
                assert!(!text.is_empty(), "{name} lacks a text");
                assert!(!text.contains("  "), "{name} has a gap in a text: {text}");
            }
            let required = spec.arity.unsigned_abs() > 1 + u16::from(name.contains('|'));
            assert!(!required || !spec.syntax.is_empty(), "{name} lacks its syntax");
        }
    }

    #[test]
    fn the_page_is_current() {
        let stored = include_str!("../../../docs/commands.md");
        assert!(
            stored == page(),
            "run: cargo run -p hallpass-server --example commands_reference > docs/commands.md"
        );
    }
}
