//! LATENCY: Redis' log of slow events, which here is always empty.
//!
//! Redis samples only once `latency-monitor-threshold` is set, and answers as here until then. Commands that
//! took long are in SLOWLOG, what commands take on the whole in `INFO commandstats`.

use super::context::LocalContext;
use super::error::CommandError;
use super::help;
use super::request::Request;
use super::spec::{CommandSpec, Flags, Run};

const ROW: CommandSpec = CommandSpec {
    flags: Flags::ADMIN.with(Flags::LOADING).with(Flags::STALE),
    group: "server",
    since: "2.8.13",
    ..CommandSpec::ROW
};

const NEVER_SAMPLED: &str = "Events are never sampled.";

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "latency",
    arity: -2,
    flags: Flags::NONE,
    summary: "A container for latency diagnostics commands.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            name: "doctor",
            arity: 2,
            summary: "Returns a human-readable latency analysis report.",
            reply: "Text",
            difference: NEVER_SAMPLED,
            run: Run::Local(doctor),
            ..ROW
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.with(Flags::STALE),
            summary: "Returns helpful text about the different subcommands.",
            reply: "Array of lines",
            run: Run::Local(latency_help),
            ..ROW
        },
        CommandSpec {
            name: "history",
            arity: 3,
            syntax: "event",
            summary: "Returns timestamp-latency samples for an event.",
            reply: "Array",
            difference: NEVER_SAMPLED,
            run: Run::Local(no_samples),
            ..ROW
        },
        CommandSpec {
            name: "latest",
            arity: 2,
            summary: "Returns the latest latency samples for all events.",
            reply: "Array",
            difference: NEVER_SAMPLED,
            run: Run::Local(no_samples),
            ..ROW
        },
        CommandSpec {
            name: "reset",
            arity: -2,
            syntax: "[event [event ...]]",
            summary: "Resets the latency data for one or more events.",
            reply: "Integer: how many events had samples",
            difference: NEVER_SAMPLED,
            run: Run::Local(|context, _request| {
                context.reply.integer(0);
                Ok(())
            }),
            ..ROW
        },
    ],
    ..ROW
}];

fn no_samples(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.reply.array(0);
    Ok(())
}

fn doctor(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let text = "Events are not sampled. SLOWLOG GET shows slow commands, INFO commandstats what \
                commands take.\n";
    context.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn latency_help(
    context: &mut LocalContext<'_>,
    _request: &Request<'_>,
) -> Result<(), CommandError> {
    help::write(
        &mut context.reply,
        "LATENCY",
        &[
            "DOCTOR",
            "    Return a human readable latency analysis report.",
            "HISTORY <event>",
            "    Return time-latency samples for the <event> class.",
            "LATEST",
            "    Return the latest latency samples for all events.",
            "RESET [<event> ...]",
            "    Reset latency data of one or more <event> classes.",
            "    (default: reset all data for all event classes)",
        ],
    );
    Ok(())
}
