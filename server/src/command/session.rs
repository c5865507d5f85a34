//! Sessions: Hallpass' own commands, on the engine's sessions instead of on keys.
//!
//! A session id exists in two places here: the reply to CREATE or ROTATE, and the word a client sends.
//! Everything behind it works with the id's hash, errors never quote an argument, and SLOWLOG shows no
//! argument of this group. Times in replies are milliseconds since the Unix epoch, idle limits seconds.

mod options;

use std::cell::Cell;

use hallpass_engine::{
    Op, Outcome, SessionBrief, SessionHash, SessionView, Stamp, UserEntry, Words,
};

use self::options::{CreateOptions, whole_number};
use super::context::{LowerContext, ReadContext};
use super::cursor;
use super::error::CommandError;
use super::render;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, Run, Subject};
use crate::resp::reply::Reply;
use crate::session_id::{self, Secret};

/// How many sessions LIST shows when it is not told.
const LIST_COUNT_DEFAULT: usize = 1000;

const ROW: CommandSpec = CommandSpec {
    group: "session",
    categories: Categories::SESSION,
    since: "hallpass 0.1",
    arity: -2,
    subject: Subject::Session,
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "session.create",
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "user [IDLE seconds] [LIFETIME seconds] [PRESET aal1 | aal2 | aal3] [DATA bytes] \
                 [META field value [field value ...]] [LIMIT sessions EVICT | REJECT] [ID id]",
        summary: "Starts a session under a new id that only this reply holds. Options come in any \
                  order, each once. META's pairs end at the next option's name, so a field that \
                  is called like one is set with SESSION.META. A preset sets the limits of NIST \
                  SP 800-63B-4, which IDLE and LIFETIME may only shorten.",
        complexity: "O(1); O(N log N) with LIMIT, N being the user's sessions",
        reply: "Map: id, handle, created, expires (-1 for never)",
        subject: Subject::FirstKey,
        run: Run::Mint { lower: lower_create, render: render_made },
        ..ROW
    },
    CommandSpec {
        name: "session.validate",
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "id [NOTOUCH]",
        summary: "Whose session this is; unless NOTOUCH is said, the idle limit starts anew.",
        reply: "Bulk string: the user; null when the session is over or never was",
        run: Run::Read(validate),
        ..ROW
    },
    CommandSpec {
        name: "session.get",
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "id [NOTOUCH]",
        summary: "All about a session; unless NOTOUCH is said, the idle limit starts anew.",
        reply: "Map: user, handle, data, meta (a map), created, seen, authenticated, idle (seconds, \
                0 for none), expires (-1 for never), version; null when the session is over",
        run: Run::Read(get),
        ..ROW
    },
    CommandSpec {
        name: "session.set",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "id data [VERSION version]",
        summary: "Replaces the data of a live session, and of no other; with VERSION only if nobody \
                  else has since.",
        reply: "Integer: the new version. Errors: NOSESSION, VERSION",
        run: Run::Write { lower: lower_set, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "session.meta",
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "id field value [field value ...]",
        summary: "Sets fields of a live session's metadata; an empty value removes the field.",
        complexity: "O(N) where N is the size of the metadata",
        reply: "Integer: the session's version, which only SESSION.SET moves on. Error: NOSESSION",
        run: Run::Write { lower: lower_meta, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "session.touch",
        arity: 2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "id",
        summary: "Starts the idle limit of a live session anew.",
        reply: "Integer: 1 when the session is live, else 0",
        run: Run::Write {
            lower: |_, request| Ok(Op::SessionTouch { id: request.session(1) }),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "session.reauth",
        arity: 2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "id",
        summary: "Records that the user has just authenticated again, and starts both limits anew.",
        reply: "Map: handle, created, expires (-1 for never). Error: NOSESSION",
        run: Run::Write {
            lower: |_, request| Ok(Op::SessionReauthenticate { id: request.session(1) }),
            render: render_reauth,
        },
        ..ROW
    },
    CommandSpec {
        name: "session.rotate",
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "id [GRACE milliseconds]",
        summary: "Gives a live session a new id. The old one dies in the same step, or after GRACE.",
        reply: "Map: id, handle, created, expires (-1 for never). Error: NOSESSION",
        run: Run::Mint { lower: lower_rotate, render: render_made },
        ..ROW
    },
    CommandSpec {
        name: "session.revoke",
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "id [id ...]",
        summary: "Ends sessions.",
        complexity: "O(N) where N is the number of ids",
        reply: "Integer: how many were live",
        run: Run::Write { lower: lower_revoke, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "session.revokehandle",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "user handle [handle ...]",
        summary: "Ends sessions and keys of one user by the handles that SESSION.LIST shows.",
        complexity: "O(N) where N is the number of handles",
        reply: "Integer: how many were live and the user's",
        subject: Subject::FirstKey,
        run: Run::Write { lower: lower_revoke_handle, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "session.revokeuser",
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "user [EXCEPT id]",
        summary: "Logs a user out everywhere, or everywhere else.",
        reply: "Integer: how many sessions were live",
        subject: Subject::FirstKey,
        run: Run::Write { lower: lower_revoke_user, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "session.revokeall",
        arity: 1,
        flags: Flags::WRITE.with(Flags::FAST),
        categories: Categories::SESSION.with(Categories::DANGEROUS),
        summary: "Logs everybody out.",
        reply: "Integer: how many sessions were live",
        subject: Subject::FirstKey,
        run: Run::Write { lower: |_, _| Ok(Op::SessionRevokeAll), render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "session.list",
        flags: Flags::READONLY,
        syntax: "user [COUNT sessions] [CURSOR cursor]",
        summary: "A user's live sessions and keys, each once, in no particular order; sessions without \
                  their ids. \
                  Shows 1000 unless COUNT says otherwise; a next cursor other than 0 goes on \
                  where this reply ends.",
        complexity: "O(N) where N is the number of sessions shown",
        reply: "Array: next cursor, array of maps: kind (session), handle, created, seen, \
                authenticated, idle (seconds, 0 for none), expires (-1 for never), version, meta \
                (a map); or, for a key under an index rule, kind (key), handle, db, key, expires",
        subject: Subject::FirstKey,
        run: Run::Read(list),
        ..ROW
    },
    CommandSpec {
        name: "session.count",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "user",
        summary: "How many live sessions and keys a user has.",
        reply: "Integer",
        subject: Subject::FirstKey,
        run: Run::Read(count),
        ..ROW
    },
];

fn lower_create<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
    secret: &Secret,
) -> Result<Op<'a>, CommandError> {
    let user = request.word(1);
    options::check_user(user, context.sizes)?;
    let options = CreateOptions::parse(request, context)?;
    Ok(Op::SessionCreate {
        id: options.id.map_or_else(|| secret.hash(), session_id::hash),
        user,
        limits: options.limits,
        data: options.data,
        meta: options.meta,
        cap: options.cap,
    })
}

fn lower_rotate<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
    secret: &Secret,
) -> Result<Op<'a>, CommandError> {
    let grace_millis = match request.len() {
        2 => 0,
        4 if request.is(2, "grace") => {
            whole_number(request.word(3), 0, "GRACE must be a whole number of milliseconds")?
        }
        _ => return Err("ERR only GRACE milliseconds may follow the id".into()),
    };
    Ok(Op::SessionRotate {
        id: request.session(1),
        new_id: secret.hash(),
        grace_millis: u64::from(grace_millis),
    })
}

/// Answers CREATE and ROTATE: the only replies that hold an id.
fn render_made(outcome: &Outcome, request: &Request<'_>, secret: &Secret, reply: &mut Reply<'_>) {
    let made = |hash: SessionHash| secret.hash() == hash;
    let id = match outcome {
        Outcome::Session(brief) if !made(brief.handle) => {
            // The id was imported, so it is the one word of the request with this hash.
            request.words_from(2).iter().find(|word| session_id::hash(word) == brief.handle)
        }
        _ => Some(secret.id()),
    };
    render_session(outcome, id, reply);
}

fn render_reauth(outcome: &Outcome, _request: &Request<'_>, reply: &mut Reply<'_>) {
    render_session(outcome, None, reply);
}

/// The map that CREATE, ROTATE and REAUTH answer; the last without an id.
fn render_session(outcome: &Outcome, id: Option<&[u8]>, reply: &mut Reply<'_>) {
    let Outcome::Session(SessionBrief { handle, created, expires }) = outcome else {
        return render::unexpected(outcome, reply);
    };
    reply.map(3 + usize::from(id.is_some()));
    if let Some(id) = id {
        reply.bulk(b"id");
        reply.bulk(id);
    }
    reply.bulk(b"handle");
    reply.bulk(&session_id::handle(handle));
    reply.bulk(b"created");
    write_stamp(*created, reply);
    reply.bulk(b"expires");
    write_stamp(*expires, reply);
}

fn write_stamp(stamp: Stamp, reply: &mut Reply<'_>) {
    reply.integer(if stamp.is_never() { -1 } else { stamp.millis() as i64 });
}

/// What a read does about the idle limit.
fn touches(request: &Request<'_>) -> Result<bool, CommandError> {
    match request.len() {
        2 => Ok(true),
        3 if request.is(2, "notouch") => Ok(false),
        _ => Err("ERR only NOTOUCH may follow the id".into()),
    }
}

fn validate(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let touches = touches(request)?;
    let (session, due) = (request.session_key(), Cell::new(false));
    let ReadContext { engine, now, reply, touching, .. } = context;
    let touch = touching.of(touches, &due);
    engine.validate(session, *now, touch, |user| reply.bulk_or_null(user));
    touching.note(session.id(), due.get());
    Ok(())
}

fn get(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let touches = touches(request)?;
    let (session, due) = (request.session_key(), Cell::new(false));
    let ReadContext { engine, now, reply, touching, .. } = context;
    let touch = touching.of(touches, &due);
    engine.session(session, *now, touch, |session| match session {
        Some(session) => {
            reply.map(10);
            reply.bulk(b"user");
            reply.bulk(session.user);
            reply.bulk(b"handle");
            reply.bulk(&session_id::handle(&session.handle));
            reply.bulk(b"data");
            reply.bulk(session.data);
            write_meta(&session, reply);
            write_times(&session, reply);
        }
        None => reply.null(),
    });
    touching.note(session.id(), due.get());
    Ok(())
}

/// The pairs that GET and LIST have in common but for `meta`: six of them.
fn write_times(session: &SessionView<'_>, reply: &mut Reply<'_>) {
    reply.bulk(b"created");
    write_stamp(session.created, reply);
    reply.bulk(b"seen");
    write_stamp(session.seen, reply);
    reply.bulk(b"authenticated");
    write_stamp(session.authenticated, reply);
    reply.bulk(b"idle");
    reply.integer(i64::from(session.idle_seconds));
    reply.bulk(b"expires");
    write_stamp(session.expires, reply);
    reply.bulk(b"version");
    reply.integer(i64::from(session.version));
}

fn write_meta(session: &SessionView<'_>, reply: &mut Reply<'_>) {
    reply.bulk(b"meta");
    reply.map(session.meta.iter().count());
    for (field, value) in session.meta.iter() {
        reply.bulk(field);
        reply.bulk(value);
    }
}

fn list(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let (from, count) = options::list_range(request)?;
    let ReadContext { engine, now, reply, .. } = context;
    // The cursor comes first in the reply and last from the engine, so the maps wait in a buffer.
    let mut maps = Vec::new();
    let mut sessions = 0;
    let mut inner = Reply::new(&mut maps, reply.protocol());
    let next = engine.entries_of(request.word(1), from, count, *now, |entry| {
        sessions += 1;
        match entry {
            UserEntry::Session(session) => {
                inner.map(9);
                write_kind(b"session", &session.handle, &mut inner);
                write_times(&session, &mut inner);
                write_meta(&session, &mut inner);
            }
            UserEntry::Key(key) => {
                inner.map(5);
                write_kind(b"key", &key.handle, &mut inner);
                inner.bulk(b"db");
                inner.integer(i64::from(key.db));
                inner.bulk(b"key");
                inner.bulk(key.key);
                inner.bulk(b"expires");
                write_stamp(key.expires, &mut inner);
            }
        }
    });
    cursor::write_page(next, sessions, &maps, reply);
    Ok(())
}

/// What LIST says of every entry.
fn write_kind(kind: &[u8], handle: &SessionHash, reply: &mut Reply<'_>) {
    reply.bulk(b"kind");
    reply.bulk(kind);
    reply.bulk(b"handle");
    reply.bulk(&session_id::handle(handle));
}

fn count(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let sessions = context.engine.session_count(request.word(1), context.now);
    context.reply.integer(sessions as i64);
    Ok(())
}

fn lower_set<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let version = match request.len() {
        3 => None,
        5 if request.is(3, "version") => {
            Some(whole_number(request.word(4), 0, "VERSION must be a whole number")?)
        }
        _ => return Err("ERR only VERSION version may follow the data".into()),
    };
    let data = request.word(2);
    options::check_data(data, context.sizes)?;
    Ok(Op::SessionSave { id: request.session(1), data, version })
}

fn lower_meta<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let fields = request.words_from(2);
    options::check_meta(fields, context.sizes)?;
    Ok(Op::SessionMeta { id: request.session(1), fields })
}

fn lower_revoke<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let ids = (1..request.len()).map(|index| request.session(index)).collect();
    Ok(Op::SessionRevoke { ids })
}

fn lower_revoke_handle<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let handles: Words<'_> = request.words_from(2);
    // A malformed handle is refused rather than counted as absent: it may well be a session id,
    // and whoever sent it believes that session to be over.
    let ids: Option<Vec<SessionHash>> = handles.iter().map(session_id::parse_handle).collect();
    let ids = ids.ok_or("ERR a handle is 22 characters of base64url, as SESSION.LIST shows it")?;
    Ok(Op::SessionRevokeOwned { user: request.word(1), ids })
}

fn lower_revoke_user<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let except = match request.len() {
        2 => None,
        4 if request.is(2, "except") => Some(request.session(3)),
        _ => return Err("ERR only EXCEPT id may follow the user".into()),
    };
    Ok(Op::SessionRevokeUser { user: request.word(1), except })
}
