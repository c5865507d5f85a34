//! OBJECT: what can be told about how a value is kept.
//!
//! Encodings are the names Redis uses, by Redis' rules on size and content. Access times and counts
//! are not kept: a read stores nothing, which is what makes it cheap. OBJECT FREQ answers what Redis
//! answers without an LFU policy; OBJECT IDLETIME answers an error instead of a made-up number.

use hallpass_engine::{Entry, Value};

use crate::command::context::{LocalContext, ReadContext};
use crate::command::error::CommandError;
use crate::command::request::Request;
use crate::command::spec::{Categories, CommandSpec, Flags, KeyPositions, Run};
use crate::resp::reply::Reply;

const SUBCOMMAND: CommandSpec = CommandSpec {
    group: "generic",
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    keys: KeyPositions::range(2, 2, 1),
    syntax: "key",
    since: "2.2.3",
    ..CommandSpec::ROW
};

/// The row of OBJECT.
pub(super) const OBJECT: CommandSpec = CommandSpec {
    name: "object",
    arity: -2,
    syntax: "subcommand [argument ...]",
    summary: "Tells how a value is kept.",
    since: "2.2.3",
    group: "generic",
    reply: "As the subcommand says",
    subcommands: &[
        CommandSpec {
            name: "encoding",
            summary: "The representation of a value, by Redis' rules on size and content.",
            complexity: "O(1)",
            reply: "Bulk string, or null without the key",
            difference: "A string is described by its content alone: one that APPEND or \
                        SETRANGE has changed is not raw for that reason.",
            run: Run::Read(|context, request| {
                describe(context, request, |entry, reply| {
                    reply.bulk(encoding(entry.value).as_bytes());
                    Ok(())
                })
            }),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "freq",
            since: "4.0.0",
            summary: "An error: access frequencies are not tracked.",
            reply: "Error, or null without the key",
            run: Run::Read(|context, request| {
                describe(context, request, |_, _| {
                    Err("ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
                         Please note that when switching between policies at runtime LRU and LFU \
                         data will take some time to adjust."
                        .into())
                })
            }),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.with(Flags::STALE),
            keys: KeyPositions::NONE,
            syntax: "",
            since: "6.2.0",
            summary: "Lists the subcommands.",
            reply: "Array of simple strings",
            run: Run::Local(help),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "idletime",
            summary: "An error: access times are not kept.",
            reply: "Error, or null without the key",
            difference: "Redis answers seconds since the last access.",
            run: Run::Read(|context, request| {
                describe(context, request, |_, _| {
                    Err("ERR access times are not kept, so there is no idle time to tell".into())
                })
            }),
            ..SUBCOMMAND
        },
        CommandSpec {
            name: "refcount",
            summary: "How many places refer to a value: one.",
            reply: "Integer 1, or null without the key",
            difference: "Redis answers 2147483647 for the small integers it shares.",
            run: Run::Read(|context, request| {
                describe(context, request, |_, reply| {
                    reply.integer(1);
                    Ok(())
                })
            }),
            ..SUBCOMMAND
        },
    ],
    run: Run::Container,
    ..CommandSpec::ROW
};

fn describe(
    context: &mut ReadContext<'_>,
    request: &Request<'_>,
    tell: impl FnOnce(Entry<'_>, &mut Reply<'_>) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    context.look(request.key(2), |entry, reply| {
        if let Some(entry) = entry {
            return tell(entry, reply);
        }
        reply.null();
        Ok(())
    })
}

fn encoding(value: Value<'_>) -> &'static str {
    match value {
        Value::String(value) => super::string_encoding(value),
        Value::Collection(collection) => collection.encoding(),
    }
}

fn help(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    const LINES: [&str; 11] = [
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    The representation of the key's value.",
        "FREQ <key>",
        "    An error: access frequencies are not tracked.",
        "IDLETIME <key>",
        "    An error: access times are not kept.",
        "REFCOUNT <key>",
        "    How many places refer to the key's value.",
        "HELP",
        "    Prints this help.",
    ];
    context.reply.array(LINES.len());
    for line in LINES {
        context.reply.simple(line);
    }
    Ok(())
}
