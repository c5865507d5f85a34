//! The reference pages and what keeps them true: `docs/commands.md` is written from the command table,
//! `docs/configuration.md` names every setting, and every command is exercised by some test.
//!
//! `HALLPASS_WRITE_DOCS=1 cargo test -p hallpass-server --test reference` writes the command page anew.

use hallpass_server::command::spec::CommandSpec;
use hallpass_server::command::table::{Entry, table};
use hallpass_server::config::{Config, file, settings};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn page(name: &str) -> String {
    fs::read_to_string(workspace().join("docs").join(name)).expect("the page is there")
}

/// The groups in the order of the page, with their titles.
const GROUPS: &[(&str, &str)] = &[
    ("session", "Sessions"),
    ("index", "Index rules"),
    ("cluster", "The cluster"),
    ("generic", "Keys"),
    ("string", "Strings"),
    ("hash", "Hashes"),
    ("set", "Sets"),
    ("sorted-set", "Sorted sets"),
    ("list", "Lists"),
    ("pubsub", "Publish and subscribe"),
    ("transactions", "Transactions"),
    ("scripting", "Scripts"),
    ("connection", "Connections"),
    ("server", "Server"),
    ("cluster", "Cluster"),
];

const INTRODUCTION: &str = "\
# Commands

Written from the command table by a test (`server/tests/reference`); edit the rows, not this page. Redis commands
answer as in Redis 7.2, replies and error texts included, but for what stands under *Otherwise than Redis*. A command
that is not on this page answers `ERR unknown command`. Reply shapes are those of RESP3; in RESP2 a map is an array of
keys and values in turn, a set an array, a double a bulk string.

Otherwise than Redis, for all commands:

- A deadline past the year 2527 is kept as none: TTL then answers -1.
- A key may be `key-bytes-max` long, at most 65535 bytes; a longer one is refused with an error that names the setting.
- Access times and counts are not kept, so that a read stores nothing.
- Some words are checked before the key is looked at where Redis does it the other way round. Only a request that is
  wrong in two ways can tell, by which of its errors is answered.
- Sessions live beside the 16 databases: SCAN, KEYS and DBSIZE do not see them, FLUSHALL ends them, FLUSHDB does not.
";

const SESSIONS: &str = "
Hallpass' own. A session id is a secret of 43 characters that only SESSION.CREATE and SESSION.ROTATE answer; a handle is
the session's public name of 22 characters, which cannot be turned into the id. Times in replies are milliseconds since
the Unix epoch.

Errors begin with a word that programs can rely on: `NOSESSION` (over, or never was), `VERSION` (the session has moved
on; its present version follows), `SESSIONEXISTS` (an imported id is taken), `SESSIONLIMIT` (LIMIT with REJECT), `ERR`
for words that make no sense.
";

fn commands_page() -> String {
    let mut groups: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in table().entries() {
        groups.entry(entry.spec.group).or_default().push(entry);
    }
    let mut page = String::from(INTRODUCTION);
    for (group, title) in GROUPS {
        let mut entries = groups.remove(group).unwrap_or_default();
        entries.sort_by_key(|entry| entry.spec.name);
        writeln!(page, "\n## {title}").expect("writing to a string");
        if *group == "session" {
            page.push_str(SESSIONS);
        }
        for entry in entries {
            describe(&mut page, "", entry.spec);
            for subcommand in &entry.subcommands {
                describe(&mut page, entry.spec.name, subcommand.spec);
            }
        }
    }
    assert!(groups.is_empty(), "groups without a title: {:?}", groups.keys());
    page
}

fn describe(page: &mut String, container: &str, spec: &CommandSpec) {
    if !spec.subcommands.is_empty() {
        return;
    }
    let words = [container, spec.name].join(" ").to_uppercase();
    let syntax = format!("{} {}", words.trim(), spec.syntax);
    writeln!(page, "\n### `{}`\n", syntax.trim()).expect("writing to a string");
    writeln!(page, "{}\n", spec.summary).expect("writing to a string");
    if !spec.reply.is_empty() {
        writeln!(page, "- Reply: {}", spec.reply).expect("writing to a string");
    }
    writeln!(page, "- Cost: {}", spec.complexity).expect("writing to a string");
    writeln!(page, "- Since: {}", spec.since).expect("writing to a string");
    if !spec.difference.is_empty() {
        writeln!(page, "- Otherwise than Redis: {}", spec.difference).expect("writing to a string");
    }
}

#[test]
fn the_command_page_is_what_the_table_says() {
    let written = commands_page();
    let path = workspace().join("docs/commands.md");
    if std::env::var_os("HALLPASS_WRITE_DOCS").is_some() {
        fs::write(&path, &written).expect("docs is writable");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == written,
        "docs/commands.md is old: run HALLPASS_WRITE_DOCS=1 cargo test -p hallpass-server --test reference"
    );
}

#[test]
fn every_command_is_documented() {
    for entry in table().entries() {
        for spec in std::iter::once(entry.spec).chain(entry.spec.subcommands) {
            assert!(!spec.summary.is_empty(), "{} has no summary", entry.full_name);
            assert!(!spec.group.is_empty() && !spec.complexity.is_empty(), "{}", entry.full_name);
        }
    }
}

/// Each command and subcommand stands at the beginning of a line of some conformance case.
#[test]
fn every_command_is_exercised() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut lines = String::new();
    for entry in fs::read_dir(folder).expect("the cases") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_some_and(|extension| extension == "case") {
            for line in fs::read_to_string(path).expect("a case file").lines() {
                let line = line.strip_prefix("eventually ").unwrap_or(line);
                let line = line.split_once("> ").map_or(line, |(_, command)| command);
                lines.push_str(&line.to_lowercase());
                lines.push_str(" \n");
            }
        }
    }
    // Ends the server, so it is run by a test of its own: the command line's.
    let elsewhere = ["shutdown"];
    let mut missing = Vec::new();
    for entry in table().entries() {
        let names = std::iter::once(&entry.full_name);
        for name in names.chain(entry.subcommands.iter().map(|sub| &sub.full_name)) {
            let start = format!("{} ", name.replace('|', " "));
            let exercised = lines.lines().any(|line| line.starts_with(&start));
            if !exercised && !elsewhere.contains(&name.as_ref()) {
                missing.push(name.to_string());
            }
        }
    }
    assert!(missing.is_empty(), "no conformance case runs {missing:?}");
}

#[test]
fn every_setting_is_documented() {
    let page = page("configuration.md");
    for setting in settings::SETTINGS {
        if !setting.value_name.is_empty() {
            assert!(page.contains(&format!("`{}`", setting.name)), "{} is missing", setting.name);
        }
    }
}

#[test]
fn the_documented_file_is_accepted() {
    let page = page("configuration.md");
    let mut blocks = 0;
    for block in page.split("```toml\n").skip(1) {
        let text = block.split("```").next().expect("a block ends");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("documented-{blocks}.toml"));
        fs::write(&path, text).expect("the scratch directory is writable");
        let mut config = Config::default();
        file::read(&path, &mut config).expect("the documented file is right");
        config.check().expect("the documented values go together");
        blocks += 1;
    }
    assert!(blocks > 0, "no example file on the page");
}
