//! EVAL and its kin, and SCRIPT. How a script runs is in [`crate::script`] and in [`crate::dispatch`].

use super::context::LocalContext;
use super::error::CommandError;
use super::help;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, KeyPositions, Run, Scripting};

/// What the rows have in common.
const ROW: CommandSpec =
    CommandSpec { categories: Categories::SCRIPTING, group: "scripting", ..CommandSpec::ROW };

const EVAL: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::NOSCRIPT.with(Flags::STALE).with(Flags::MOVABLEKEYS),
    keys: KeyPositions::counted(2),
    complexity: "Depends on the script that is executed.",
    reply: "What the script returns",
    ..ROW
};

const EVAL_RO: CommandSpec =
    CommandSpec { flags: EVAL.flags.with(Flags::READONLY), since: "7.0.0", ..EVAL };

/// The differences of scripts that may write.
const DIFFERENCE: &str = "Lua's memory and instructions are limited (`script-memory-max`, \
     `script-instructions-max`). There is no `struct` and no `cmsgpack`; the tables of libraries, and `_G`, \
     look empty to `pairs`; patterns are at most 16 KiB long. In a cluster it is refused, and COMMAND \
     INFO does not know it; EVAL_RO runs there.";

/// And of those that may not.
const DIFFERENCE_RO: &str = "As EVAL. In a cluster the script runs on the node that is asked, behind a read \
     barrier, and other clients' writes may take effect between its reads.";

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "eval",
        syntax: "script numkeys [key [key ...]] [arg [arg ...]]",
        summary: "Executes a server-side Lua script.",
        since: "2.6.0",
        difference: DIFFERENCE,
        run: Run::Script(Scripting { by_digest: false, read_only: false }),
        ..EVAL
    },
    CommandSpec {
        name: "eval_ro",
        syntax: "script numkeys [key [key ...]] [arg [arg ...]]",
        summary: "Executes a read-only server-side Lua script.",
        difference: DIFFERENCE_RO,
        run: Run::Script(Scripting { by_digest: false, read_only: true }),
        ..EVAL_RO
    },
    CommandSpec {
        name: "evalsha",
        syntax: "sha1 numkeys [key [key ...]] [arg [arg ...]]",
        summary: "Executes a server-side Lua script by SHA1 digest.",
        since: "2.6.0",
        difference: "As EVAL.",
        run: Run::Script(Scripting { by_digest: true, read_only: false }),
        ..EVAL
    },
    CommandSpec {
        name: "evalsha_ro",
        syntax: "sha1 numkeys [key [key ...]] [arg [arg ...]]",
        summary: "Executes a read-only server-side Lua script by SHA1 digest.",
        difference: "As EVAL_RO.",
        run: Run::Script(Scripting { by_digest: true, read_only: true }),
        ..EVAL_RO
    },
    CommandSpec {
        name: "script",
        arity: -2,
        summary: "A container for Lua scripts management commands.",
        since: "2.6.0",
        complexity: "Depends on subcommand.",
        subcommands: SUBCOMMANDS,
        ..ROW
    },
];

static SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "debug",
        arity: 3,
        flags: Flags::NOSCRIPT,
        syntax: "<YES | SYNC | NO>",
        summary: "Sets the debug mode of server-side Lua scripts.",
        since: "3.2.0",
        reply: "OK",
        difference: "There is no debugger: YES and SYNC are refused.",
        run: Run::Local(debug),
        ..ROW
    },
    CommandSpec {
        name: "exists",
        arity: -3,
        flags: Flags::NOSCRIPT,
        syntax: "sha1 [sha1 ...]",
        summary: "Determines whether server-side Lua scripts exist in the script cache.",
        since: "2.6.0",
        complexity: "O(N) with N being the number of scripts to check.",
        reply: "Array of integers: 1 or 0",
        run: Run::Local(exists),
        ..ROW
    },
    CommandSpec {
        name: "flush",
        arity: -2,
        flags: Flags::NOSCRIPT,
        syntax: "[ASYNC | SYNC]",
        summary: "Removes all server-side Lua scripts from the script cache.",
        since: "2.6.0",
        complexity: "O(N) with N being the number of scripts in cache",
        reply: "OK",
        run: Run::Local(flush),
        ..ROW
    },
    CommandSpec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        summary: "Returns helpful text about the different subcommands.",
        since: "5.0.0",
        reply: "Array of lines",
        run: Run::Local(write_help),
        ..ROW
    },
    CommandSpec {
        name: "kill",
        arity: 2,
        flags: Flags::NOSCRIPT.with(Flags::ALLOW_BUSY),
        summary: "Terminates a server-side Lua script during execution.",
        since: "2.6.0",
        reply: "OK",
        run: Run::Local(kill),
        ..ROW
    },
    CommandSpec {
        name: "load",
        arity: 3,
        flags: Flags::NOSCRIPT.with(Flags::STALE),
        syntax: "script",
        summary: "Loads a server-side Lua script to the script cache.",
        since: "2.6.0",
        complexity: "O(N) with N being the length in bytes of the script body.",
        reply: "Bulk string: the SHA1 digest",
        run: Run::Local(load),
        ..ROW
    },
];

fn debug(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    if request.is(2, "no") {
        context.reply.ok();
        return Ok(());
    }
    if request.is(2, "yes") || request.is(2, "sync") {
        return Err("ERR SCRIPT DEBUG is not supported: there is no debugger".into());
    }
    Err("ERR Use SCRIPT DEBUG YES/SYNC/NO".into())
}

fn exists(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    context.reply.array(request.len() - 2);
    for name in request.words_from(2).iter() {
        context.reply.integer(i64::from(context.server.scripts.find(name).is_some()));
    }
    Ok(())
}

fn flush(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let known = |index| request.is(index, "async") || request.is(index, "sync");
    if request.len() > 3 || (request.len() == 3 && !known(2)) {
        return Err("ERR SCRIPT FLUSH only support SYNC|ASYNC option".into());
    }
    context.server.scripts.flush();
    context.reply.ok();
    Ok(())
}

fn kill(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.server.scripts.kill()?;
    context.reply.ok();
    Ok(())
}

fn load(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let script = context.server.scripts.load(request.word(2))?;
    context.reply.bulk(&script.digest);
    Ok(())
}

fn write_help(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    help::write(
        &mut context.reply,
        "SCRIPT",
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Set the debug mode for subsequent scripts executed.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Return information about the existence of the scripts in the script cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Flush the Lua scripts cache. Very dangerous on replicas.",
            "    When called without the optional mode argument, the behavior is determined by the",
            "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
            "    * ASYNC: Asynchronously flush the scripts cache.",
            "    * SYNC: Synchronously flush the scripts cache.",
            "KILL",
            "    Kill the currently executing Lua script.",
            "LOAD <script>",
            "    Load a script into the scripts cache without executing it.",
        ],
    );
    Ok(())
}
