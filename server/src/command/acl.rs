//! ACL: users and what they may do, over the wire.

use hallpass_engine::Op;
use hallpass_engine::value::number::parse_i64;

use super::context::LocalContext;
use super::error::CommandError;
use super::help;
use super::render;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, Run};
use super::table::{Found, table};
use crate::acl::{DEFAULT_USER, RuleError, User, file, has_spaces, hexadecimal, registers};
use crate::resp::reply::Reply;
use crate::state::ServerState;

/// How many entries LOG shows when nobody says.
const ENTRIES_SHOWN: i64 = 10;

/// The longest password GENPASS makes.
const PASSWORD_BITS_MAX: i64 = 4096;

/// What Redis answers where there is no file; the text is its own.
const NO_FILE: &str = "ERR This Redis instance is not configured to use an ACL file. You may want to specify \
                       users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a \
                       Redis configuration file set) in order to store users in the Redis configuration.";

const ASK: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);

const ROW: CommandSpec = CommandSpec {
    flags: ASK.with(Flags::ADMIN),
    group: "server",
    since: "6.0.0",
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "acl",
    arity: -2,
    flags: Flags::NONE,
    summary: "A container for Access List Control commands.",
    complexity: "Depends on subcommand.",
    subcommands: SUBCOMMANDS,
    ..ROW
}];

static SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "cat",
        arity: -2,
        flags: ASK,
        syntax: "[category]",
        summary: "Lists the ACL categories, or the commands inside a category.",
        complexity: "O(1) since the categories and commands are a fixed set.",
        reply: "Array of names",
        run: Run::Local(cat),
        ..ROW
    },
    CommandSpec {
        name: "deluser",
        arity: -3,
        syntax: "username [username ...]",
        summary: "Deletes ACL users, and terminates their connections.",
        complexity: "O(1) amortized time considering the typical user.",
        reply: "Integer: how many there were",
        run: Run::Register { lower: delete_user, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "dryrun",
        arity: -4,
        syntax: "username command [arg [arg ...]]",
        summary: "Simulates the execution of a command by a user, without executing the command.",
        since: "7.0.0",
        complexity: "O(1).",
        reply: "OK, or the reason why not",
        run: Run::Local(dry_run),
        ..ROW
    },
    CommandSpec {
        name: "genpass",
        arity: -2,
        flags: ASK,
        syntax: "[bits]",
        summary: "Generates a pseudorandom, secure password that can be used to identify ACL users.",
        reply: "Hexadecimal digits",
        run: Run::Local(generate_password),
        ..ROW
    },
    CommandSpec {
        name: "getuser",
        arity: 3,
        syntax: "username",
        summary: "Lists the ACL rules of a user.",
        complexity: "O(N). Where N is the number of password, command and pattern rules that the user has.",
        reply: "Map of flags, passwords' hashes and rules, or null",
        run: Run::Local(get_user),
        ..ROW
    },
    CommandSpec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        summary: "Returns helpful text about the different subcommands.",
        reply: "Array of lines",
        run: Run::Local(acl_help),
        ..ROW
    },
    CommandSpec {
        name: "list",
        arity: 2,
        summary: "Dumps the effective rules in ACL file format.",
        complexity: "O(N). Where N is the number of configured users.",
        reply: "Array of lines",
        run: Run::Local(list),
        ..ROW
    },
    CommandSpec {
        name: "load",
        arity: 2,
        summary: "Reloads the rules from the configured ACL file.",
        complexity: "O(N). Where N is the number of configured users.",
        reply: "OK",
        difference: "A file without a default user leaves it as requirepass has it. In a cluster the file is this \
                     node's, and users changed since go before it.",
        run: Run::Local(load),
        ..ROW
    },
    CommandSpec {
        name: "log",
        arity: -2,
        syntax: "[count | RESET]",
        summary: "Lists recent security events generated due to ACL rules.",
        complexity: "O(N) with N being the number of entries shown.",
        reply: "Array of maps, or OK for RESET",
        run: Run::Local(log),
        ..ROW
    },
    CommandSpec {
        name: "save",
        arity: 2,
        summary: "Saves the effective ACL rules in the configured ACL file.",
        complexity: "O(N). Where N is the number of configured users.",
        reply: "OK",
        run: Run::Local(save),
        ..ROW
    },
    CommandSpec {
        name: "setuser",
        arity: -3,
        syntax: "username [rule [rule ...]]",
        summary: "Creates and modifies an ACL user and its rules.",
        complexity: "O(N). Where N is the number of rules provided.",
        reply: "OK",
        difference: "Selectors, rules in parentheses, are refused. In a cluster the user is changed on all nodes, and \
                     a transaction may change users once.",
        run: Run::Register { lower: set_user, render: |_, _, reply| reply.ok() },
        ..ROW
    },
    CommandSpec {
        name: "users",
        arity: 2,
        summary: "Lists all ACL users.",
        complexity: "O(N). Where N is the number of configured users.",
        reply: "Array of names",
        run: Run::Local(users),
        ..ROW
    },
    CommandSpec {
        name: "whoami",
        arity: 2,
        flags: ASK,
        summary: "Returns the authenticated username of the current connection.",
        reply: "Bulk string",
        run: Run::Local(who_am_i),
        ..ROW
    },
];

fn cat(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    match request.len() {
        2 => {
            context.reply.bulks(Categories::NAMES.iter().map(|name| name.as_bytes()));
            return Ok(());
        }
        3 => {}
        _ => return Err(unknown_form(request)),
    }
    let name = String::from_utf8_lossy(request.word(2));
    let category = Categories::find(&name)
        .ok_or_else(|| CommandError::from(format!("ERR Unknown category '{name}'")))?;
    let all = table().entries().iter();
    let all = all.flat_map(|entry| std::iter::once(entry).chain(&entry.subcommands));
    let names: Vec<&[u8]> = all
        .filter(|entry| entry.spec.categories_all().has(category))
        .map(|entry| entry.full_name.as_bytes())
        .collect();
    context.reply.bulks(names.into_iter());
    Ok(())
}

/// Redis' answer to a subcommand with too many words.
fn unknown_form(request: &Request<'_>) -> CommandError {
    let name = String::from_utf8_lossy(request.word(1));
    format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try ACL HELP.")
        .into()
}

fn set_user<'a>(server: &ServerState, request: &Request<'a>) -> Result<Op<'a>, CommandError> {
    let name = request.word(2);
    if has_spaces(name) {
        return Err("ERR Usernames can't contain spaces or null characters".into());
    }
    let all_channels = server.settings.current().acl_allows_channels();
    let users = server.acl.users();
    let mut user = match users.get(name) {
        Some(user) => User::clone(user),
        None => User::new(name, all_channels),
    };
    for rule in request.words_from(3).iter() {
        user.apply(rule, all_channels).map_err(|error| bad_rule(rule, error))?;
    }
    Ok(registers::set(&users, &user))
}

fn bad_rule(rule: &[u8], error: RuleError) -> CommandError {
    let why = error.to_string();
    let parts: [&[u8]; 4] = [b"ERR Error in ACL SETUSER modifier '", rule, b"': ", why.as_bytes()];
    CommandError::Raw(parts.concat())
}

fn delete_user<'a>(server: &ServerState, request: &Request<'a>) -> Result<Op<'a>, CommandError> {
    let names: Vec<&[u8]> = request.words_from(2).iter().collect();
    if names.contains(&DEFAULT_USER) {
        return Err("ERR The 'default' user cannot be removed".into());
    }
    Ok(registers::delete(server, &server.acl.users(), &names))
}

fn get_user(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let users = context.server.acl.users();
    let reply = &mut context.reply;
    let Some(user) = users.get(request.word(2)) else {
        reply.null();
        return Ok(());
    };
    reply.map(6);
    reply.bulk(b"flags");
    let flags: Vec<&str> = user.flags().collect();
    reply.set(flags.len());
    for flag in flags {
        reply.bulk(flag.as_bytes());
    }
    reply.bulk(b"passwords");
    reply.array(user.passwords.len());
    user.passwords.iter().for_each(|password| reply.bulk(hexadecimal(password).as_bytes()));
    reply.bulk(b"commands");
    reply.bulk(user.commands.describe().as_bytes());
    reply.bulk(b"keys");
    reply.bulk(&user.keys.describe());
    reply.bulk(b"channels");
    reply.bulk(&user.channels.describe());
    reply.bulk(b"selectors");
    reply.array(0);
    Ok(())
}

fn list(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let users = context.server.acl.users();
    context.reply.array(users.iter().len());
    for user in users.iter() {
        context.reply.bulk(&[b"user ", &*user.name, b" ", &user.describe()].concat());
    }
    Ok(())
}

fn users(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let users = context.server.acl.users();
    context.reply.bulks(users.iter().map(|user| &*user.name));
    Ok(())
}

fn who_am_i(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.reply.bulk(&context.client.user.name);
    Ok(())
}

fn load(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let config = context.server.settings.current();
    if config.aclfile.is_empty() {
        return Err(NO_FILE.into());
    }
    let loaded = file::load(&config).map_err(|error| CommandError::from(format!("ERR {error}")))?;
    let server = context.server;
    if server.cluster.get().is_none() {
        server.engine.apply(&registers::forget(&server.engine.registers()), context.now);
    }
    registers::reconfigure(server, |users| *users = loaded);
    context.client.follow_users(&context.server.acl);
    context.reply.ok();
    Ok(())
}

fn save(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let config = context.server.settings.current();
    if config.aclfile.is_empty() {
        return Err(NO_FILE.into());
    }
    if let Err(error) = file::save(&config.aclfile, &context.server.acl.users()) {
        crate::log::line(format_args!("saving the users to {}: {error}", config.aclfile));
        return Err(
            "ERR There was an error trying to save the ACLs. Please check the server logs for \
                    more information"
                .into(),
        );
    }
    context.reply.ok();
    Ok(())
}

fn generate_password(
    context: &mut LocalContext<'_>,
    request: &Request<'_>,
) -> Result<(), CommandError> {
    let bits = match request.len() {
        2 => 256,
        3 => request.integer(2)?,
        _ => return Err(unknown_form(request)),
    };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive \
             number up to {PASSWORD_BITS_MAX}"
        )
        .into());
    }
    let digits = (bits as usize).div_ceil(4);
    let mut bytes = vec![0; digits.div_ceil(2)];
    crate::random::fill(&mut bytes);
    let mut password = hexadecimal(&bytes);
    password.truncate(digits);
    context.reply.bulk(password.as_bytes());
    Ok(())
}

fn dry_run(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let users = context.server.acl.users();
    let user = users.get(request.word(2)).ok_or_else(|| {
        CommandError::Raw([b"ERR User '", request.word(2), b"' not found"].concat())
    })?;
    let words = request.words_from(3);
    let second = (words.len() > 1).then(|| words.at(1));
    let Found::Command(entry) = context.server.table.find(words.at(0), second) else {
        return Err(CommandError::Raw([b"ERR Command '", words.at(0), b"' not found"].concat()));
    };
    if !entry.spec.accepts(words.len()) {
        let name = &entry.full_name;
        return Err(format!("ERR wrong number of arguments for '{name}' command").into());
    }
    match user.check(entry, words) {
        Ok(()) => context.reply.ok(),
        Err(denied) => context.reply.bulk(&denied.text(user, entry, words, true)),
    }
    Ok(())
}

fn log(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let count = match request.len() {
        2 => ENTRIES_SHOWN,
        3 if request.is(2, "reset") => {
            context.server.acl.log.clear();
            context.reply.ok();
            return Ok(());
        }
        3 => parse_i64(request.word(2)).ok_or(CommandError::NotAnInteger)?,
        _ => return Err(unknown_form(request)),
    };
    let entries = context.server.acl.log.newest(usize::try_from(count).unwrap_or(0));
    context.reply.array(entries.len());
    for entry in entries {
        write_refusal(context, &entry);
    }
    Ok(())
}

fn write_refusal(context: &mut LocalContext<'_>, entry: &crate::acl::log::Entry) {
    let age_millis = context.now.millis_since(entry.updated);
    let reply: &mut Reply<'_> = &mut context.reply;
    reply.map(10);
    reply.bulk(b"count");
    reply.integer(entry.count as i64);
    let texts: [(&[u8], &[u8]); 4] = [
        (b"reason", entry.refused.reason.as_bytes()),
        (b"context", entry.refused.context.as_bytes()),
        (b"object", &entry.refused.object),
        (b"username", &entry.refused.user),
    ];
    for (name, text) in texts {
        reply.bulk(name);
        reply.bulk(text);
    }
    reply.bulk(b"age-seconds");
    reply.double(age_millis as f64 / 1000.0);
    reply.bulk(b"client-info");
    reply.bulk(entry.client.as_bytes());
    let numbers: [(&[u8], u64); 3] = [
        (b"entry-id", entry.id),
        (b"timestamp-created", entry.created.millis()),
        (b"timestamp-last-updated", entry.updated.millis()),
    ];
    for (name, number) in numbers {
        reply.bulk(name);
        reply.integer(number as i64);
    }
}

fn acl_help(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    help::write(
        &mut context.reply,
        "ACL",
        &[
            "CAT [<category>]",
            "    List all commands that belong to <category>, or all command categories",
            "    when no category is specified.",
            "DELUSER <username> [<username> ...]",
            "    Delete a list of users.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Returns whether the user can execute the given command without executing the command.",
            "GETUSER <username>",
            "    Get the user's details.",
            "GENPASS [<bits>]",
            "    Generate a secure 256-bit user password. The optional `bits` argument can",
            "    be used to specify a different size.",
            "LIST",
            "    Show users details in config file format.",
            "LOAD",
            "    Reload users from the ACL file.",
            "LOG [<count> | RESET]",
            "    Show the ACL log entries.",
            "SAVE",
            "    Save the current config to the ACL file.",
            "SETUSER <username> <attribute> [<attribute> ...]",
            "    Create or modify a user with the specified attributes.",
            "USERS",
            "    List all the registered usernames.",
            "WHOAMI",
            "    Return the current connection username.",
        ],
    );
    Ok(())
}
