//! SLOWLOG: the log of slow commands over the wire.

use hallpass_engine::value::number::parse_i64;

use super::context::LocalContext;
use super::error::CommandError;
use super::help;
use super::request::Request;
use super::spec::{CommandSpec, Flags, Run};

/// How many entries GET shows when nobody says.
const ENTRIES_SHOWN: usize = 10;

const ROW: CommandSpec = CommandSpec {
    flags: Flags::ADMIN.with(Flags::LOADING).with(Flags::STALE),
    group: "server",
    since: "2.2.12",
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "slowlog",
    arity: -2,
    flags: Flags::NONE,
    summary: "A container for slow log commands.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            name: "get",
            arity: -2,
            syntax: "[count]",
            summary: "Returns the slow log's entries.",
            complexity: "O(N) where N is the number of entries returned",
            reply: "Array of entries: id, time, microseconds, words, address, name",
            run: Run::Local(get),
            ..ROW
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.with(Flags::STALE),
            summary: "Show helpful text about the different subcommands.",
            since: "6.2.0",
            reply: "Array of lines",
            run: Run::Local(slow_log_help),
            ..ROW
        },
        CommandSpec {
            name: "len",
            arity: 2,
            summary: "Returns the number of entries in the slow log.",
            reply: "Integer",
            run: Run::Local(len),
            ..ROW
        },
        CommandSpec {
            name: "reset",
            arity: 2,
            summary: "Clears all entries from the slow log.",
            complexity: "O(N) where N is the number of entries in the slowlog",
            reply: "OK",
            run: Run::Local(reset),
            ..ROW
        },
    ],
    ..ROW
}];

fn get(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let count = match request.len() {
        2 => ENTRIES_SHOWN,
        3 => match parse_i64(request.word(2)) {
            Some(-1) => usize::MAX,
            Some(count) if count >= 0 => count as usize,
            _ => return Err("ERR count should be greater than or equal to -1".into()),
        },
        _ => return Err(CommandError::WrongArity),
    };
    let entries = context.server.slow_log.newest(count);
    let reply = &mut context.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.at_seconds as i64);
        reply.integer(entry.micros as i64);
        reply.bulks(entry.words.iter().map(Vec::as_slice));
        reply.bulk(entry.address.as_bytes());
        reply.bulk(entry.name.as_bytes());
    }
    Ok(())
}

fn len(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.reply.integer(context.server.slow_log.len() as i64);
    Ok(())
}

fn reset(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.server.slow_log.clear();
    context.reply.ok();
    Ok(())
}

fn slow_log_help(
    context: &mut LocalContext<'_>,
    _request: &Request<'_>,
) -> Result<(), CommandError> {
    help::write(
        &mut context.reply,
        "SLOWLOG",
        &[
            "GET [<count>]",
            "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
            "    Entries are made of:",
            "    id, timestamp, time in microseconds, arguments array, client IP and port,",
            "    client name",
            "LEN",
            "    Return the length of the slowlog.",
            "RESET",
            "    Reset the slowlog.",
        ],
    );
    Ok(())
}
