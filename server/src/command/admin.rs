//! Commands about the server as a whole: its size, its time, emptying it, stopping it; and those of
//! Redis' that have one fixed answer here (ROLE, WAIT, CLUSTER, DEBUG).

use hallpass_engine::Op;

use super::connection::REDIS_VERSION;
use super::context::{LocalContext, LowerContext, ReadContext};
use super::error::CommandError;
use super::render;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, Run};

const ROW: CommandSpec = CommandSpec { group: "server", ..CommandSpec::ROW };

const FREE: Flags = Flags::LOADING.with(Flags::STALE);

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "cluster",
        arity: -2,
        flags: FREE,
        syntax: "subcommand",
        summary: "Answers that this is no Redis Cluster.",
        since: "3.0.0",
        group: "cluster",
        reply: "Error",
        difference: "Every subcommand answers that cluster support is disabled.",
        run: Run::Local(cluster),
        ..ROW
    },
    CommandSpec {
        name: "dbsize",
        arity: 1,
        flags: Flags::READONLY.with(Flags::FAST),
        categories: Categories::KEYSPACE,
        summary: "Returns the number of keys in the database.",
        reply: "Integer",
        difference: "Sessions are not counted.",
        run: Run::Read(database_size),
        ..ROW
    },
    CommandSpec {
        name: "debug",
        arity: -2,
        flags: FREE.with(Flags::ADMIN).with(Flags::NOSCRIPT),
        syntax: "subcommand",
        summary: "Answers that debugging commands are not allowed.",
        reply: "Error",
        difference: "Every subcommand is refused, as Redis does by default.",
        run: Run::Local(debug),
        ..ROW
    },
    CommandSpec {
        name: "flushall",
        arity: -1,
        flags: Flags::WRITE,
        categories: Categories::KEYSPACE.with(Categories::DANGEROUS),
        syntax: "[ASYNC | SYNC]",
        summary: "Removes all keys from all databases, and all sessions.",
        complexity: "O(N) where N is the total number of keys in all databases",
        reply: "OK",
        difference: "Sessions are ended, too.",
        run: Run::Write { lower: lower_flush_all, render: render::done },
        ..ROW
    },
    CommandSpec {
        name: "flushdb",
        arity: -1,
        flags: Flags::WRITE,
        categories: Categories::KEYSPACE.with(Categories::DANGEROUS),
        syntax: "[ASYNC | SYNC]",
        summary: "Removes all keys from the current database.",
        complexity: "O(N) where N is the number of keys in the selected database",
        reply: "OK",
        run: Run::Write { lower: lower_flush_database, render: render::done },
        ..ROW
    },
    CommandSpec {
        name: "lolwut",
        arity: -1,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "[VERSION version]",
        summary: "Displays the version, and a pass.",
        since: "5.0.0",
        reply: "Text",
        run: Run::Local(lolwut),
        ..ROW
    },
    CommandSpec {
        name: "role",
        arity: 1,
        flags: FREE.with(Flags::NOSCRIPT).with(Flags::FAST),
        categories: Categories::ADMIN.with(Categories::DANGEROUS),
        summary: "Returns the replication role.",
        since: "2.8.12",
        reply: "Array: master, offset, replicas",
        run: Run::Local(role),
        ..ROW
    },
    CommandSpec {
        name: "shutdown",
        arity: -1,
        flags: FREE
            .with(Flags::ADMIN)
            .with(Flags::NOSCRIPT)
            .with(Flags::NO_MULTI)
            .with(Flags::ALLOW_BUSY),
        syntax: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
        summary: "Stops the server: connections are answered and closed first.",
        reply: "Nothing; the connection is closed",
        run: Run::Local(shutdown),
        ..ROW
    },
    CommandSpec {
        name: "time",
        arity: 1,
        flags: FREE.with(Flags::FAST),
        summary: "Returns the server time.",
        since: "2.6.0",
        reply: "Array: seconds since the epoch, microseconds",
        run: Run::Local(time),
        ..ROW
    },
    CommandSpec {
        name: "wait",
        arity: 3,
        flags: Flags::BLOCKING,
        categories: Categories::CONNECTION,
        syntax: "numreplicas timeout",
        summary: "Returns how many replicas have the connection's writes: always none.",
        since: "3.0.0",
        group: "generic",
        reply: "Integer",
        difference: "There are no replicas yet, so none ever acknowledges.",
        run: Run::Local(wait),
        ..ROW
    },
];

fn cluster(_context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    Err("ERR This instance has cluster support disabled".into())
}

fn debug(_context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    Err("ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you \
         can run it from a local connection, otherwise you need to set this option in the \
         configuration file, and then restart the server."
        .into())
}

fn database_size(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let keys = context.engine.database(request.db()).keys;
    context.reply.integer(keys as i64);
    Ok(())
}

/// ASYNC and SYNC come to the same: memory is reclaimed in the background either way.
fn check_flush_mode(request: &Request<'_>) -> Result<(), CommandError> {
    match request.len() {
        1 => Ok(()),
        2 if request.is(1, "async") || request.is(1, "sync") => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

fn lower_flush_all<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    check_flush_mode(request)?;
    Ok(Op::Flush { db: None })
}

fn lower_flush_database<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    check_flush_mode(request)?;
    Ok(Op::Flush { db: Some(request.db()) })
}

fn lolwut(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let text = format!(
        "+---------------------+\n|  H A L L   P A S S  |\n|  admit one, briefly |\n+---------------------+\n\
         Redis ver. {REDIS_VERSION}\n"
    );
    context.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn role(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.reply.array(3);
    context.reply.bulk(b"master");
    context.reply.integer(0);
    context.reply.array(0);
    Ok(())
}

fn shutdown(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let options = ["nosave", "save", "now", "force", "abort"];
    let known = |index| options.iter().any(|option| request.is(index, option));
    if !(1..request.len()).all(known) {
        return Err(CommandError::Syntax);
    }
    if (1..request.len()).any(|index| request.is(index, "abort")) {
        // A stop begins at once, so there is never one to abort.
        return Err("ERR No shutdown in progress.".into());
    }
    context.client.closing = true;
    context.server.begin_shutdown();
    Ok(())
}

fn time(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let micros = crate::clock::wall_micros();
    context.reply.array(2);
    context.reply.bulk_integer((micros / 1_000_000) as i64);
    context.reply.bulk_integer((micros % 1_000_000) as i64);
    Ok(())
}

fn wait(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    request.integer(1)?;
    let timeout =
        request.integer(2).map_err(|_| "ERR timeout is not an integer or out of range")?;
    if timeout < 0 {
        return Err("ERR timeout is negative".into());
    }
    // There are no replicas to wait for, and waiting would not change that.
    context.reply.integer(0);
    Ok(())
}
