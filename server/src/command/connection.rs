//! Commands about the connection itself: PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET. CLIENT is in
//! [`super::client`].

use std::sync::Arc;

use hallpass_engine::DATABASES;
use hallpass_engine::value::number::parse_i64;

use super::context::LocalContext;
use super::error::CommandError;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, Run};
use crate::acl::log::Refused;
use crate::acl::{self, DEFAULT_USER};
use crate::client::{Client, ReplyMode};
use crate::resp::reply::{Protocol, Reply};

/// The version of Redis whose behaviour is promised; clients choose their features by it.
pub const REDIS_VERSION: &str = "7.2.0";

const FREE: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST);
const OPEN: Flags = FREE.with(Flags::NO_AUTH).with(Flags::ALLOW_BUSY);

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "auth",
        arity: -2,
        flags: OPEN.with(Flags::SKIP_SLOWLOG),
        categories: Categories::CONNECTION,
        syntax: "[username] password",
        summary: "Authenticates the connection.",
        complexity: "O(1)",
        group: "connection",
        reply: "OK, or an error",
        run: Run::Local(auth),
        ..CommandSpec::ROW
    },
    CommandSpec {
        name: "echo",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        categories: Categories::CONNECTION,
        syntax: "message",
        summary: "Returns the given string.",
        group: "connection",
        reply: "Bulk string",
        run: Run::Local(echo),
        ..CommandSpec::ROW
    },
    CommandSpec {
        name: "hello",
        arity: -1,
        flags: OPEN.with(Flags::SKIP_SLOWLOG),
        categories: Categories::CONNECTION,
        syntax: "[protover [AUTH username password] [SETNAME clientname]]",
        summary: "Handshakes with the server.",
        since: "6.0.0",
        group: "connection",
        reply: "Map of the server's properties",
        run: Run::Local(hello),
        ..CommandSpec::ROW
    },
    CommandSpec {
        name: "ping",
        arity: -1,
        flags: Flags::FAST,
        categories: Categories::CONNECTION,
        syntax: "[message]",
        summary: "Returns the server's liveliness response.",
        group: "connection",
        reply: "PONG, or the message as a bulk string",
        run: Run::Local(ping),
        ..CommandSpec::ROW
    },
    CommandSpec {
        name: "quit",
        arity: -1,
        flags: OPEN,
        categories: Categories::CONNECTION,
        summary: "Closes the connection.",
        group: "connection",
        reply: "OK",
        run: Run::Local(quit),
        ..CommandSpec::ROW
    },
    CommandSpec {
        name: "reset",
        arity: 1,
        flags: OPEN,
        categories: Categories::CONNECTION,
        summary: "Resets the connection.",
        since: "6.2.0",
        group: "connection",
        reply: "RESET",
        run: Run::Local(reset),
        ..CommandSpec::ROW
    },
    CommandSpec {
        name: "select",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        categories: Categories::CONNECTION,
        syntax: "index",
        summary: "Changes the selected database.",
        group: "connection",
        reply: "OK",
        run: Run::Local(select),
        ..CommandSpec::ROW
    },
];

fn ping(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    match request.len() {
        1 | 2 if context.client.only_listens() => {
            // In the form of a message, which is what such a client waits for.
            context.reply.array(2);
            context.reply.bulk(b"pong");
            context.reply.bulk(request.get(1).unwrap_or_default());
        }
        1 => context.reply.simple("PONG"),
        2 => context.reply.bulk(request.word(1)),
        _ => return Err(CommandError::WrongArity),
    }
    Ok(())
}

fn echo(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    context.reply.bulk(request.word(1));
    Ok(())
}

fn select(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    context.client.db = selected(request)?;
    context.reply.ok();
    Ok(())
}

/// The database that a SELECT names.
pub(crate) fn selected(request: &Request<'_>) -> Result<u8, CommandError> {
    let index = request.integer(1)?;
    match u8::try_from(index) {
        Ok(db) if db < DATABASES => Ok(db),
        _ if i32::try_from(index).is_err() => {
            Err("ERR value is out of range, value must between -2147483648 and 2147483647".into())
        }
        _ => Err("ERR DB index is out of range".into()),
    }
}

fn quit(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.client.closing = true;
    context.reply.ok();
    Ok(())
}

fn reset(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let client: &mut Client = context.client;
    context.server.keyspace.untrack(&context.server.engine, client);
    context.server.pubsub.unsubscribe_all(client);
    client.write_mail(&mut context.reply);
    client.db = 0;
    client.switch_protocol(Protocol::Resp2);
    client.reply_mode = ReplyMode::On;
    client.no_evict = false;
    client.no_touch = false;
    client.transaction = None;
    client.watch = None;
    client.forget_user(&context.server.acl.users());
    client.shared.names.lock().name = Box::default();
    context.reply.simple("RESET");
    Ok(())
}

fn auth(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let (user, password) = match request.len() {
        2 => (None, request.word(1)),
        3 => (Some(request.word(1)), request.word(2)),
        _ => return Err(CommandError::Syntax),
    };
    if user.is_none() && context.server.acl.users().default_user().any_password {
        return Err("ERR AUTH <password> called without any password configured for the default \
                    user. Are you sure your configuration is correct?"
            .into());
    }
    authenticate(context, request, user.unwrap_or(DEFAULT_USER), password)?;
    context.reply.ok();
    Ok(())
}

fn authenticate(
    context: &mut LocalContext<'_>,
    request: &Request<'_>,
    name: &[u8],
    password: &[u8],
) -> Result<(), CommandError> {
    let users = context.server.acl.users();
    if let Some(user) = users.get(name).filter(|user| user.accepts(password)) {
        context.client.become_user(Arc::clone(user));
        return Ok(());
    }
    let refused = Refused {
        reason: "auth",
        context: if context.client.transaction.is_some() { "multi" } else { "toplevel" },
        object: request.word(0).to_vec(),
        user: name.into(),
    };
    acl::log::note(context.server, context.client, refused, context.now);
    Err("WRONGPASS invalid username-password pair or user is disabled.".into())
}

fn hello(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let mut protocol = context.client.protocol;
    if let Some(version) = request.get(1) {
        protocol = match parse_i64(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
            None => {
                return Err("ERR Protocol version is not an integer or out of range".into());
            }
        };
    }
    let mut credentials = None;
    let mut name = None;
    let mut index = 2;
    while index < request.len() {
        let more = request.len() - 1 - index;
        if request.is(index, "auth") && more >= 2 {
            credentials = Some((request.word(index + 1), request.word(index + 2)));
            index += 3;
        } else if request.is(index, "setname") && more >= 1 {
            name = Some(request.word(index + 1));
            check_name(request.word(index + 1), "Client names")?;
            index += 2;
        } else {
            let option = String::from_utf8_lossy(request.word(index)).into_owned();
            return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(context, request, user, password)?;
    }
    if !context.client.authenticated {
        return Err(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise \
                    the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the \
                    client and select the RESP protocol version at the same time"
                .into(),
        );
    }
    if let Some(name) = name {
        context.client.shared.names.lock().name = String::from_utf8_lossy(name).into();
    }
    context.client.switch_protocol(protocol);
    let id = context.client.shared.id;
    write_hello(&mut context.reply.in_protocol(protocol), id);
    Ok(())
}

fn write_hello(reply: &mut Reply<'_>, id: u64) {
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(reply.protocol().number());
    reply.bulk(b"id");
    reply.integer(id as i64);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

/// Refuses names that would break the line of CLIENT LIST; `what` begins the error.
pub(super) fn check_name(name: &[u8], what: &str) -> Result<(), CommandError> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(());
    }
    Err(format!("ERR {what} cannot contain spaces, newlines or special characters.").into())
}
