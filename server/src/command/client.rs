//! CLIENT: what a connection says of itself, and what it may learn of and do to others.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hallpass_engine::Stamp;
use hallpass_engine::value::number::parse_i64;

use super::connection::check_name;
use super::context::LocalContext;
use super::error::CommandError;
use super::help;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, Run};
use super::tracking;
use crate::acl::Users;
use crate::client::{ClientShared, ReplyMode};
use crate::pubsub::Kind;
use crate::state::ServerState;
use crate::tracking::Tracker;

const ANYBODY: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
const ADMIN: Flags = ANYBODY.with(Flags::ADMIN);

/// What all rows of this file have in common.
const ROW: CommandSpec = CommandSpec {
    flags: ANYBODY,
    categories: Categories::CONNECTION,
    group: "connection",
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "client",
    arity: -2,
    flags: Flags::NONE,
    categories: Categories::NONE,
    summary: "A container for client connection commands.",
    since: "2.4.0",
    complexity: "Depends on subcommand.",
    subcommands: SUBCOMMANDS,
    ..ROW
}];

static SUBCOMMANDS: &[CommandSpec] = &[
    tracking::CACHING,
    CommandSpec {
        name: "getname",
        arity: 2,
        summary: "Returns the name of the connection.",
        since: "2.6.9",
        reply: "Bulk string, or null without a name",
        run: Run::Local(get_name),
        ..ROW
    },
    tracking::GETREDIR,
    CommandSpec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        summary: "Returns helpful text about the different subcommands.",
        since: "5.0.0",
        reply: "Array of lines",
        run: Run::Local(client_help),
        ..ROW
    },
    CommandSpec {
        name: "id",
        arity: 2,
        summary: "Returns the unique client ID of the connection.",
        since: "5.0.0",
        reply: "Integer",
        run: Run::Local(id),
        ..ROW
    },
    CommandSpec {
        name: "info",
        arity: 2,
        summary: "Returns information about the connection.",
        since: "6.2.0",
        reply: "Text: one line",
        run: Run::Local(info),
        ..ROW
    },
    CommandSpec {
        name: "kill",
        arity: -3,
        flags: ADMIN,
        syntax: "ip:port | <[ID client-id] | [TYPE NORMAL | MASTER | REPLICA | PUBSUB] | \
                 [USER username] | [ADDR ip:port] | [LADDR ip:port] | [SKIPME YES | NO] ...>",
        summary: "Terminates open connections.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections",
        reply: "OK for the old form, otherwise how many were closed",
        run: Run::Local(kill),
        ..ROW
    },
    CommandSpec {
        name: "list",
        arity: -2,
        flags: ADMIN,
        syntax: "[TYPE NORMAL | MASTER | REPLICA | PUBSUB] [ID client-id [client-id ...]]",
        summary: "Lists open connections.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections",
        reply: "Text: one line for each connection",
        run: Run::Local(list),
        ..ROW
    },
    CommandSpec {
        name: "no-evict",
        arity: 3,
        flags: ADMIN,
        syntax: "ON | OFF",
        summary: "Sets the client eviction mode of the connection.",
        since: "7.0.0",
        reply: "OK",
        difference: "Nothing changes: clients are not evicted.",
        run: Run::Local(no_evict),
        ..ROW
    },
    CommandSpec {
        name: "no-touch",
        arity: 3,
        syntax: "ON | OFF",
        summary: "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
        since: "7.2.0",
        reply: "OK",
        difference: "Nothing changes: no access times are kept.",
        run: Run::Local(no_touch),
        ..ROW
    },
    CommandSpec {
        name: "pause",
        arity: -3,
        flags: ADMIN,
        syntax: "timeout [WRITE | ALL]",
        summary: "Suspends commands processing.",
        since: "3.0.0",
        reply: "OK",
        run: Run::Local(pause),
        ..ROW
    },
    CommandSpec {
        name: "reply",
        arity: 3,
        syntax: "ON | OFF | SKIP",
        summary: "Instructs the server whether to reply to commands.",
        since: "3.2.0",
        reply: "OK for ON, otherwise nothing",
        run: Run::Local(reply_mode),
        ..ROW
    },
    CommandSpec {
        name: "setinfo",
        arity: 4,
        syntax: "<LIB-NAME libname | LIB-VER libver>",
        summary: "Sets information specific to the client or connection.",
        since: "7.2.0",
        reply: "OK",
        run: Run::Local(set_info),
        ..ROW
    },
    CommandSpec {
        name: "setname",
        arity: 3,
        syntax: "connection-name",
        summary: "Sets the connection name.",
        since: "2.6.9",
        reply: "OK",
        run: Run::Local(set_name),
        ..ROW
    },
    tracking::TRACKING,
    tracking::TRACKINGINFO,
    CommandSpec {
        name: "unpause",
        arity: 2,
        flags: ADMIN,
        summary: "Resumes processing commands from paused clients.",
        since: "6.2.0",
        reply: "OK",
        run: Run::Local(unpause),
        ..ROW
    },
];

fn id(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.reply.integer(context.client.shared.id as i64);
    Ok(())
}

fn get_name(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    let name = context.client.shared.names.lock().name.clone();
    context.reply.bulk_or_null((!name.is_empty()).then_some(name.as_bytes()));
    Ok(())
}

fn set_name(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let name = request.word(2);
    check_name(name, "Client names")?;
    context.client.shared.names.lock().name = String::from_utf8_lossy(name).into();
    context.reply.ok();
    Ok(())
}

fn set_info(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let option = String::from_utf8_lossy(request.word(2));
    let is_name = request.is(2, "lib-name");
    if !is_name && !request.is(2, "lib-ver") {
        return Err(format!("ERR Unrecognized option '{option}'").into());
    }
    check_name(request.word(3), &option)?;
    let value = String::from_utf8_lossy(request.word(3)).into();
    let mut names = context.client.shared.names.lock();
    if is_name {
        names.library = value;
    } else {
        names.library_version = value;
    }
    drop(names);
    context.reply.ok();
    Ok(())
}

fn info(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.client.publish(context.now);
    let mut text = String::new();
    describe(&mut text, &context.client.shared, context.server, context.now);
    context.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn list(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let mut wanted_type = None;
    let mut wanted_ids: Option<Vec<i64>> = None;
    if request.len() == 4 && request.is(2, "type") {
        wanted_type = Some(client_type(request.word(3))?);
    } else if request.len() > 3 && request.is(2, "id") {
        let parse = |word| parse_i64(word).filter(|id| *id > 0);
        let ids: Option<Vec<i64>> = request.words_from(3).iter().map(parse).collect();
        wanted_ids = Some(ids.ok_or("ERR Invalid client ID")?);
    } else if request.len() != 2 {
        return Err(CommandError::Syntax);
    }
    context.client.publish(context.now);
    let mut text = String::new();
    for client in context.server.clients.list() {
        let by_type = wanted_type.is_none_or(|wanted| wanted == ClientType::of(&client));
        let by_id = wanted_ids.as_ref().is_none_or(|ids| ids.contains(&(client.id as i64)));
        if by_type && by_id {
            describe(&mut text, &client, context.server, context.now);
        }
    }
    context.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The classes of clients Redis has; of the others there are none here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientType {
    Normal,
    PubSub,
    Other,
}

impl ClientType {
    fn of(client: &ClientShared) -> Self {
        if client.is_subscriber() { Self::PubSub } else { Self::Normal }
    }
}

fn client_type(word: &[u8]) -> Result<ClientType, CommandError> {
    let name = String::from_utf8_lossy(word);
    match name.to_ascii_lowercase().as_str() {
        "normal" => Ok(ClientType::Normal),
        "pubsub" => Ok(ClientType::PubSub),
        "master" | "replica" | "slave" => Ok(ClientType::Other),
        _ => Err(format!("ERR Unknown client type '{name}'").into()),
    }
}

/// One line of CLIENT LIST.
pub(crate) fn describe(text: &mut String, client: &ClientShared, server: &ServerState, now: Stamp) {
    let published = client.published();
    let names = client.names.lock().clone();
    let command = published.last_command.and_then(|index| server.table.by_index(index));
    let output = client.output_bytes.load(Ordering::Relaxed);
    let mailbox = client.mailbox.get();
    let listens = |kind| mailbox.map_or(0, |mailbox| mailbox.counts.get(kind));
    let (messages, message_bytes) = mailbox.map_or((0, 0), |mailbox| mailbox.size());
    let queued = published.queued.map_or(-1, i64::from);
    let tracker = server.keyspace.tracking().tracker(client.id);
    let flags = flags_of(client, tracker.as_deref());
    let redirect = tracker.as_ref().map_or(-1, |tracker| tracker.redirect_id() as i64);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub={} \
         multi={queued} qbuf={} qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl={output} oll={messages} \
         omem={message_bytes} tot-mem={} events=r cmd={} user={} redir={redirect} resp={} lib-name={} lib-ver={}",
        client.id,
        client.address,
        client.local_address,
        client.descriptor,
        names.name,
        now.millis_since(client.connected) / 1000,
        now.millis_since(client.seen()) / 1000,
        published.db,
        listens(Kind::Channel),
        listens(Kind::Pattern),
        listens(Kind::ShardChannel),
        client.input_bytes.load(Ordering::Relaxed),
        client.transaction_bytes(),
        client.memory_bytes(),
        command.map_or("NULL", |entry| &*entry.full_name),
        String::from_utf8_lossy(&names.user),
        published.protocol.number(),
        names.library,
        names.library_version,
    );
}

/// The letters of a client's flags, in Redis' order.
fn flags_of(client: &ClientShared, tracker: Option<&Tracker>) -> String {
    let published = client.published();
    let all = [
        (client.is_subscriber(), 'P'),
        (published.queued.is_some(), 'x'),
        (tracker.is_some(), 't'),
        (tracker.is_some_and(Tracker::is_broken), 'R'),
        (tracker.is_some_and(|tracker| tracker.mode.broadcast), 'B'),
        (published.no_evict, 'e'),
        (published.no_touch, 'T'),
    ];
    let flags: String = all.iter().filter(|(is, _)| *is).map(|(_, letter)| *letter).collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}

/// Which clients CLIENT KILL closes.
#[derive(Debug, Default)]
struct Victims {
    id: Option<u64>,
    address: Option<String>,
    local_address: Option<String>,
    client_type: Option<ClientType>,
    user: Option<Box<[u8]>>,
    spare_self: bool,
}

impl Victims {
    /// Reads the options from the third word on.
    fn parse(request: &Request<'_>, users: &Users) -> Result<Self, CommandError> {
        let mut victims = Self { spare_self: true, ..Self::default() };
        if request.len().is_multiple_of(2) {
            for index in (2..request.len()).step_by(2) {
                victims.option(request, index, users)?;
            }
            return Ok(victims);
        }
        Err(CommandError::Syntax)
    }

    fn option(
        &mut self,
        request: &Request<'_>,
        index: usize,
        users: &Users,
    ) -> Result<(), CommandError> {
        let value = request.word(index + 1);
        let text = String::from_utf8_lossy(value);
        if request.is(index, "id") {
            let id = parse_i64(value).filter(|id| *id > 0);
            self.id = Some(id.ok_or("ERR client-id should be greater than 0")? as u64);
        } else if request.is(index, "type") {
            self.client_type = Some(client_type(value)?);
        } else if request.is(index, "addr") {
            self.address = Some(text.into_owned());
        } else if request.is(index, "laddr") {
            self.local_address = Some(text.into_owned());
        } else if request.is(index, "user") {
            if users.get(value).is_none() {
                return Err(format!("ERR No such user '{text}'").into());
            }
            self.user = Some(value.into());
        } else if request.is(index, "skipme") {
            self.spare_self = match text.to_ascii_lowercase().as_str() {
                "yes" => true,
                "no" => false,
                _ => return Err(CommandError::Syntax),
            };
        } else {
            return Err(CommandError::Syntax);
        }
        Ok(())
    }

    fn include(&self, client: &ClientShared, own_id: u64) -> bool {
        let spared = self.spare_self && client.id == own_id;
        !spared
            && self.client_type.is_none_or(|wanted| wanted == ClientType::of(client))
            && self.user.as_ref().is_none_or(|user| *user == client.names.lock().user)
            && self.id.is_none_or(|id| id == client.id)
            && self.address.as_ref().is_none_or(|address| **address == *client.address)
            && self.local_address.as_ref().is_none_or(|local| **local == *client.local_address)
    }
}

fn kill(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let old_form = request.len() == 3;
    let victims = if old_form {
        let address = String::from_utf8_lossy(request.word(2)).into_owned();
        Victims { address: Some(address), ..Victims::default() }
    } else {
        Victims::parse(request, &context.server.acl.users())?
    };
    let own_id = context.client.shared.id;
    let included = |client: &Arc<ClientShared>| victims.include(client, own_id);
    let found: Vec<_> = context.server.clients.list().into_iter().filter(included).collect();
    for client in &found {
        if client.id == own_id {
            // The reply goes out first.
            context.client.closing = true;
        } else {
            client.kill();
        }
    }
    match (old_form, found.len()) {
        (true, 0) => return Err("ERR No such client".into()),
        (true, _) => context.reply.ok(),
        (false, killed) => context.reply.integer(killed as i64),
    }
    Ok(())
}

fn on_or_off(request: &Request<'_>) -> Result<bool, CommandError> {
    match () {
        () if request.is(2, "on") => Ok(true),
        () if request.is(2, "off") => Ok(false),
        () => Err(CommandError::Syntax),
    }
}

fn no_evict(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    context.client.no_evict = on_or_off(request)?;
    context.reply.ok();
    Ok(())
}

fn no_touch(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    context.client.no_touch = on_or_off(request)?;
    context.reply.ok();
    Ok(())
}

fn reply_mode(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    // The dispatcher takes back what is written here when the mode says so.
    if request.is(2, "on") {
        context.client.reply_mode = ReplyMode::On;
        context.reply.ok();
    } else if request.is(2, "off") {
        context.client.reply_mode = ReplyMode::Off;
    } else if request.is(2, "skip") {
        if context.client.reply_mode != ReplyMode::Off {
            context.client.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

fn pause(context: &mut LocalContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let writes_only = match request.len() {
        3 => false,
        4 if request.is(3, "write") => true,
        4 if request.is(3, "all") => false,
        4 => return Err("ERR CLIENT PAUSE mode must be WRITE or ALL".into()),
        _ => return Err(CommandError::Syntax),
    };
    let millis =
        parse_i64(request.word(2)).ok_or("ERR timeout is not an integer or out of range")?;
    let millis = u64::try_from(millis).map_err(|_| "ERR timeout is negative")?;
    context.server.pause.begin(context.now.plus_millis(millis), writes_only);
    context.reply.ok();
    Ok(())
}

fn unpause(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    context.server.pause.end();
    context.reply.ok();
    Ok(())
}

fn client_help(context: &mut LocalContext<'_>, _request: &Request<'_>) -> Result<(), CommandError> {
    help::write(
        &mut context.reply,
        "CLIENT",
        &[
            "CACHING (YES|NO)",
            "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
            "GETREDIR",
            "    Return the client ID we are redirecting to when tracking is enabled.",
            "GETNAME",
            "    Return the name of the current connection.",
            "ID",
            "    Return the ID of the current connection.",
            "INFO",
            "    Return information about the current client connection.",
            "KILL <ip:port>",
            "    Kill connection made from <ip:port>.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Kill connections. Options are:",
            "    * ADDR (<ip:port>|<unixsocket>:0)",
            "      Kill connections made from the specified address",
            "    * LADDR (<ip:port>|<unixsocket>:0)",
            "      Kill connections made to specified local address",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Kill connections by type.",
            "    * USER <username>",
            "      Kill connections authenticated by <username>.",
            "    * SKIPME (YES|NO)",
            "      Skip killing current connection (default: yes).",
            "LIST [options ...]",
            "    Return information about client connections. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Return clients of specified type.",
            "UNPAUSE",
            "    Stop the current client pause, resuming traffic.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Suspend all, or just write, clients for <timeout> milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "    Control the replies sent to the current connection.",
            "SETNAME <name>",
            "    Assign the name <name> to the current connection.",
            "SETINFO <option> <value>",
            "    Set client meta attr. Options are:",
            "    * LIB-NAME: the client lib name.",
            "    * LIB-VER: the client lib version.",
            "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
            "         [OPTIN] [OPTOUT] [NOLOOP]",
            "    Control server assisted client side caching.",
            "TRACKINGINFO",
            "    Report tracking status for the current connection.",
            "NO-EVICT (ON|OFF)",
            "    Protect current client connection from eviction.",
            "NO-TOUCH (ON|OFF)",
            "    Will not touch LRU/LFU stats when this mode is on.",
        ],
    );
    Ok(())
}
