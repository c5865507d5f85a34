//! COMMAND: the command table as clients may read it. Everything here comes from the rows.

use super::context::LocalContext;
use super::error::CommandError;
use super::help;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, KeyPositions, Run, Scripting};
use super::table::{Entry, Found};
use crate::glob;
use crate::resp::reply::Reply;

const ROW: CommandSpec = CommandSpec {
    flags: Flags::LOADING.with(Flags::STALE),
    categories: Categories::CONNECTION,
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands",
    group: "server",
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "command",
    arity: -1,
    summary: "Returns detailed information about all commands.",
    reply: "Array with the details of each command",
    subcommands: SUBCOMMANDS,
    run: Run::Local(all),
    ..ROW
}];

static SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "count",
        arity: 2,
        summary: "Returns a count of commands.",
        complexity: "O(1)",
        reply: "Integer",
        run: Run::Local(count),
        ..ROW
    },
    CommandSpec {
        name: "docs",
        arity: -2,
        syntax: "[command-name [command-name ...]]",
        summary: "Returns documentary information about one, multiple or all commands.",
        since: "7.0.0",
        reply: "Map from names to maps",
        difference: "The texts are Hallpass' own, and there are no argument trees.",
        run: Run::Local(docs),
        ..ROW
    },
    CommandSpec {
        name: "getkeys",
        arity: -3,
        syntax: "command [arg [arg ...]]",
        summary: "Extracts the key names from an arbitrary command.",
        complexity: "O(N) where N is the number of arguments to the command",
        reply: "Array of keys",
        run: Run::Local(get_keys),
        ..ROW
    },
    CommandSpec {
        name: "help",
        arity: 2,
        summary: "Returns helpful text about the different subcommands.",
        since: "5.0.0",
        complexity: "O(1)",
        reply: "Array of lines",
        run: Run::Local(command_help),
        ..ROW
    },
    CommandSpec {
        name: "info",
        arity: -2,
        syntax: "[command-name [command-name ...]]",
        summary: "Returns information about one, multiple or all commands.",
        reply: "Array with the details of each command, null for one that does not exist",
        run: Run::Local(info),
        ..ROW
    },
    CommandSpec {
        name: "list",
        arity: -2,
        syntax: "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        summary: "Returns a list of command names.",
        since: "7.0.0",
        reply: "Array of names",
        run: Run::Local(list),
        ..ROW
    },
];

fn all(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let entries = context.server.table.entries();
    context.reply.array(entries.len());
    for entry in entries {
        write_details(&mut context.reply, entry);
    }
    Ok(())
}

fn count(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.reply.integer(context.server.table.entries().len() as i64);
    Ok(())
}

fn info(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    if request.len() == 2 {
        return all(context, request);
    }
    let names = request.words_from(2);
    context.reply.array(names.len());
    for name in names.iter() {
        match context.server.table.by_full_name(name) {
            Some(entry) if runs_here(context, entry) => write_details(&mut context.reply, entry),
            _ => context.reply.null(),
        }
    }
    Ok(())
}

/// Whether this server runs a command: a cluster runs no scripts that write.
fn runs_here(context: &LocalContext<'_>, entry: &Entry) -> bool {
    context.server.cluster.get().is_none()
        || !matches!(entry.spec.run, Run::Script(Scripting { read_only: false, .. }))
}

fn docs(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let table = context.server.table;
    let entries: Vec<&Entry> = if request.len() == 2 {
        table.entries().iter().collect()
    } else {
        request.words_from(2).iter().filter_map(|name| table.by_full_name(name)).collect()
    };
    context.reply.map(entries.len());
    for entry in entries {
        context.reply.bulk(entry.full_name.as_bytes());
        write_docs(&mut context.reply, entry);
    }
    Ok(())
}

fn list(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let filter = match request.len() {
        2 => None,
        5 if request.is(2, "filterby") => Some(request.word(4)),
        _ => return Err(CommandError::Syntax),
    };
    let keep = |entry: &Entry| match filter {
        None => true,
        // There are no modules, so none of their commands either.
        Some(_) if request.is(3, "module") => false,
        Some(category) if request.is(3, "aclcat") => entry
            .spec
            .categories_all()
            .names()
            .any(|name| name.as_bytes().eq_ignore_ascii_case(category)),
        Some(pattern) => glob::matches_ignoring_case(pattern, entry.full_name.as_bytes()),
    };
    let known = ["module", "aclcat", "pattern"]
        .into_iter()
        .any(|kind| request.len() == 2 || request.is(3, kind));
    if !known {
        return Err(CommandError::Syntax);
    }
    let open = context.reply.open_array();
    let mut written = 0;
    for entry in context.server.table.entries() {
        for entry in std::iter::once(entry).chain(&entry.subcommands).filter(|entry| keep(entry)) {
            context.reply.bulk(entry.full_name.as_bytes());
            written += 1;
        }
    }
    context.reply.close_array(open, written);
    Ok(())
}

fn get_keys(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let words = request.words_from(2);
    let second = (words.len() > 1).then(|| words.at(1));
    let Found::Command(entry) = context.server.table.find(words.at(0), second) else {
        return Err("ERR Invalid command specified".into());
    };
    if entry.spec.keys == KeyPositions::NONE {
        return Err("ERR The command has no key arguments".into());
    }
    if !entry.spec.accepts(words.len()) {
        return Err("ERR Invalid number of arguments specified for command".into());
    }
    let positions: Vec<usize> =
        entry.spec.keys.of(words).ok_or("ERR Invalid arguments specified for command")?.collect();
    context.reply.bulks(positions.iter().map(|position| words.at(*position)));
    Ok(())
}

/// The details of COMMAND INFO: ten fields.
fn write_details(reply: &mut Reply<'_>, entry: &Entry) {
    let spec = entry.spec;
    reply.array(10);
    reply.bulk(entry.full_name.as_bytes());
    reply.integer(spec.arity.into());
    let movable = if spec.keys.counted_by > 0 { Flags::MOVABLEKEYS } else { Flags::NONE };
    write_names(reply, "", spec.flags.with(movable).names());
    for position in [spec.keys.first, spec.keys.last, spec.keys.step] {
        reply.integer(position.into());
    }
    write_names(reply, "@", spec.categories_all().names());
    // Tips: none.
    reply.set(0);
    write_key_specification(reply, spec);
    reply.array(entry.subcommands.len());
    for subcommand in &entry.subcommands {
        write_details(reply, subcommand);
    }
}

fn write_names(reply: &mut Reply<'_>, prefix: &str, names: impl Iterator<Item = &'static str>) {
    let names: Vec<_> = names.collect();
    reply.set(names.len());
    for name in names {
        reply.simple(&format!("{prefix}{name}"));
    }
}

/// Where the keys are, in the form that Redis 7 has for it.
fn write_key_specification(reply: &mut Reply<'_>, spec: &CommandSpec) {
    let keys = spec.keys;
    if keys == KeyPositions::NONE {
        reply.set(0);
        return;
    }
    reply.set(1);
    reply.map(3);
    reply.bulk(b"flags");
    let access: &[&str] = if spec.flags.has(Flags::WRITE) {
        &["RW", "update"]
    } else if spec.flags.has(Flags::PUBSUB) {
        // A shard channel is spread as keys are, and is none.
        &["not_key"]
    } else {
        &["RO", "access"]
    };
    write_names(reply, "", access.iter().copied());
    let counted = keys.counted_by > 0;
    reply.bulk(b"begin_search");
    write_typed(reply, "index", &[("index", if counted { keys.counted_by } else { keys.first })]);
    reply.bulk(b"find_keys");
    if counted {
        let fields = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
        write_typed(reply, "keynum", &fields);
    } else {
        let last = if keys.last < 0 { keys.last } else { keys.last - keys.first };
        write_typed(reply, "range", &[("lastkey", last), ("keystep", keys.step), ("limit", 0)]);
    }
}

fn write_typed(reply: &mut Reply<'_>, kind: &str, fields: &[(&str, i16)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.integer((*value).into());
    }
}

fn write_docs(reply: &mut Reply<'_>, entry: &Entry) {
    let spec = entry.spec;
    let fields = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group),
        ("complexity", spec.complexity),
    ];
    let container = !entry.subcommands.is_empty();
    reply.map(fields.len() + usize::from(container));
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if container {
        reply.bulk(b"subcommands");
        reply.map(entry.subcommands.len());
        for subcommand in &entry.subcommands {
            reply.bulk(subcommand.full_name.as_bytes());
            write_docs(reply, subcommand);
        }
    }
}

fn command_help(
    context: &mut LocalContext<'_>,
    _request: &Request<'_>,
) -> Result<(), CommandError> {
    help::write(
        &mut context.reply,
        "COMMAND",
        &[
            "(no subcommand)",
            "    Return details about all Redis commands.",
            "COUNT",
            "    Return the total number of commands in this Redis server.",
            "LIST",
            "    Return a list of all commands in this Redis server.",
            "INFO [<command-name> ...]",
            "    Return details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "DOCS [<command-name> ...]",
            "    Return documentation details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "GETKEYS <full-command>",
            "    Return the keys from a full Redis command.",
        ],
    );
    Ok(())
}
