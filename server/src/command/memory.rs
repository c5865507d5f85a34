//! MEMORY: what keys and the store take.

use std::sync::atomic::Ordering;

use super::context::{LocalContext, ReadContext};
use super::error::CommandError;
use super::help;
use super::request::Request;
use super::spec::{CommandSpec, Flags, KeyPositions, Run};

const ROW: CommandSpec = CommandSpec { group: "server", since: "4.0.0", ..CommandSpec::ROW };

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "memory",
    arity: -2,
    summary: "A container for memory diagnostics commands.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            name: "doctor",
            arity: 2,
            summary: "Outputs a memory problems report.",
            reply: "Text",
            difference: "Only memory near maxmemory is reported.",
            run: Run::Local(doctor),
            ..ROW
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.with(Flags::STALE),
            summary: "Returns helpful text about the different subcommands.",
            reply: "Array of lines",
            run: Run::Local(memory_help),
            ..ROW
        },
        CommandSpec {
            name: "stats",
            arity: 2,
            summary: "Returns details about memory usage.",
            reply: "Map",
            difference: "The fields that describe Redis' allocator are not there.",
            run: Run::Local(statistics),
            ..ROW
        },
        CommandSpec {
            name: "usage",
            arity: -3,
            flags: Flags::READONLY,
            keys: KeyPositions::range(2, 2, 1),
            syntax: "key [SAMPLES count]",
            summary: "Estimates the memory usage of a key.",
            reply: "Integer, or null when the key does not exist",
            difference: "What the value takes in Hallpass, known exactly: SAMPLES changes \
                        nothing.",
            run: Run::Read(usage),
            ..ROW
        },
    ],
    ..ROW
}];

fn usage(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    match request.len() {
        3 => {}
        // Nothing is sampled here, so the count only has to make sense.
        5 if request.is(3, "samples") => {
            if request.integer(4)? < 0 {
                return Err(CommandError::Syntax);
            }
        }
        _ => return Err(CommandError::Syntax),
    }
    context.look(request.key(2), |entry, reply| match entry {
        Some(entry) => reply.integer(entry.memory_bytes() as i64),
        None => reply.null(),
    });
    Ok(())
}

fn doctor(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let statistics = context.server.engine.statistics();
    let limit = context.server.settings.current().maxmemory;
    let text = if limit > 0 && statistics.memory_bytes >= limit / 10 * 9 {
        "The store is within 10 % of maxmemory: writes are refused or sessions ended early soon.\n"
    } else {
        "No memory problem found.\n"
    };
    context.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn statistics(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let server = context.server;
    let statistics = server.engine.statistics();
    let keys: u64 = (0..hallpass_engine::DATABASES).map(|db| server.engine.database(db).keys).sum();
    let entries = keys + statistics.sessions;
    let peak = server.memory_peak.load(Ordering::Relaxed).max(statistics.memory_bytes);
    let fields = [
        ("peak.allocated", peak),
        ("total.allocated", statistics.memory_bytes),
        ("clients.count", server.clients.len() as u64),
        ("keys.count", keys),
        ("sessions.count", statistics.sessions),
        ("users.count", statistics.users),
        ("keys.bytes-per-key", statistics.memory_bytes.checked_div(entries).unwrap_or(0)),
    ];
    context.reply.map(fields.len());
    for (name, value) in fields {
        context.reply.bulk(name.as_bytes());
        context.reply.integer(value as i64);
    }
    Ok(())
}

fn memory_help(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    help::write(
        &mut context.reply,
        "MEMORY",
        &[
            "DOCTOR",
            "    Return memory problems reports.",
            "STATS",
            "    Return information about the memory usage of the server.",
            "USAGE <key> [SAMPLES <count>]",
            "    Return memory in bytes used by <key> and its value. Nested values are",
            "    sampled up to <count> times (default: 5, 0 means sample all).",
        ],
    );
    Ok(())
}
