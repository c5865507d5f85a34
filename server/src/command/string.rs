//! Strings: GET, SET and their kin.
//!
//! SET, SETEX, PSETEX, SETNX and GETSET are one op with different words; so are INCR, DECR, INCRBY and
//! DECRBY. Order and texts of the checks are those of Redis 7.2.

use hallpass_engine::value::LongDouble;
use hallpass_engine::{Condition, Deadline, Key, Op, Outcome, Refusal, Value};

use super::context::{LowerContext, ReadContext};
use super::deadline::{self, When};
use super::error::CommandError;
use super::range::index_range;
use super::render;
use super::request::Request;
use super::spec::{Categories, CommandSpec, FirstLook, Flags, KeyPositions, Run};
use crate::resp::reply::Reply;

const ROW: CommandSpec = CommandSpec {
    group: "string",
    categories: Categories::STRING,
    keys: KeyPositions::FIRST,
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "append",
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key value",
        summary: "Adds to the end of a string, which begins empty.",
        since: "2.0.0",
        complexity: "O(N) where N is the length of the new string",
        reply: "Integer: the new length",
        run: Run::Write { lower: lower_append, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "decr",
        arity: 2,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key",
        summary: "Takes one from an integer, which begins as 0.",
        reply: "Integer: the new value",
        run: Run::Write { lower: |_, request| Ok(increment(request, -1)), render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "decrby",
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key decrement",
        summary: "Takes a number from an integer, which begins as 0.",
        reply: "Integer: the new value",
        run: Run::Write { lower: lower_decrby, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "Reads a string.",
        reply: "Bulk string, or null without the key",
        run: Run::Read(get),
        ..ROW
    },
    CommandSpec {
        name: "getdel",
        arity: 2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key",
        summary: "Reads a string and deletes it in the same step.",
        since: "6.2.0",
        reply: "Bulk string, or null without the key",
        run: Run::Write {
            lower: |_, request| Ok(Op::GetDelete { key: request.key(1) }),
            render: render::bulk,
        },
        ..ROW
    },
    CommandSpec {
        name: "getex",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                 PXAT unix-time-milliseconds | PERSIST]",
        summary: "Reads a string and sets or removes its deadline in the same step.",
        since: "6.2.0",
        reply: "Bulk string, or null without the key",
        difference: "A bad time is refused before the key is looked at, so also without the \
                    key.",
        run: Run::Write { lower: lower_getex, render: render::bulk },
        ..ROW
    },
    CommandSpec {
        name: "getrange",
        arity: 4,
        flags: Flags::READONLY,
        syntax: "key start end",
        summary: "Reads part of a string; negative positions count from its end.",
        since: "2.4.0",
        complexity: "O(N) where N is the length of the part",
        reply: "Bulk string, empty without the key",
        run: Run::Read(getrange),
        ..ROW
    },
    CommandSpec {
        name: "getset",
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key value",
        summary: "Stores a string and reads the one it replaces. Now SET with GET.",
        reply: "Bulk string, or null without the key",
        run: Run::Write { lower: lower_getset, render: render::bulk },
        ..ROW
    },
    CommandSpec {
        name: "incr",
        arity: 2,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key",
        summary: "Adds one to an integer, which begins as 0.",
        reply: "Integer: the new value",
        run: Run::Write { lower: |_, request| Ok(increment(request, 1)), render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "incrby",
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key increment",
        summary: "Adds to an integer, which begins as 0.",
        reply: "Integer: the new value",
        run: Run::Write {
            lower: |_, request| Ok(increment(request, request.integer(2)?)),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "incrbyfloat",
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key increment",
        summary: "Adds to a decimal number, which begins as 0.",
        since: "2.6.0",
        reply: "Bulk string: the new value",
        first_look: FirstLook::String,
        run: Run::Write { lower: lower_incrbyfloat, render: render::bulk },
        ..ROW
    },
    CommandSpec {
        name: "mget",
        arity: -2,
        flags: Flags::READONLY.with(Flags::FAST),
        keys: KeyPositions::ALL,
        syntax: "key [key ...]",
        summary: "Reads several strings at one instant.",
        complexity: "O(N) where N is the number of keys",
        reply: "Array of bulk strings, null where a key is absent or holds no string",
        run: Run::Read(mget),
        ..ROW
    },
    CommandSpec {
        name: "mset",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: KeyPositions::PAIRS,
        syntax: "key value [key value ...]",
        summary: "Stores several strings in one step, without deadlines.",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys",
        reply: "OK",
        run: Run::Write { lower: |_, request| lower_mset(request, false), render: render::done },
        ..ROW
    },
    CommandSpec {
        name: "msetnx",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: KeyPositions::PAIRS,
        syntax: "key value [key value ...]",
        summary: "Stores several strings in one step, but none if one of the keys exists.",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys",
        reply: "Integer: 1 when they were stored, else 0",
        run: Run::Write { lower: |_, request| lower_mset(request, true), render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "psetex",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        syntax: "key milliseconds value",
        summary: "Stores a string that ends after some milliseconds.",
        since: "2.6.0",
        reply: "OK",
        run: Run::Write {
            lower: |context, request| lower_setex(context, request, When::InMillis),
            render: render::done,
        },
        ..ROW
    },
    CommandSpec {
        name: "set",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        syntax: "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                 PXAT unix-time-milliseconds | KEEPTTL]",
        summary: "Stores a string, whatever the key held, and sets or removes its deadline.",
        reply: "OK, or null when NX or XX kept it from happening; with GET the string that was there, \
                or null",
        run: Run::Write { lower: lower_set, render: render_set },
        ..ROW
    },
    CommandSpec {
        name: "setex",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        syntax: "key seconds value",
        summary: "Stores a string that ends after some seconds.",
        since: "2.0.0",
        reply: "OK",
        run: Run::Write {
            lower: |context, request| lower_setex(context, request, When::InSeconds),
            render: render::done,
        },
        ..ROW
    },
    CommandSpec {
        name: "setnx",
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key value",
        summary: "Stores a string unless the key exists.",
        reply: "Integer: 1 when it was stored, else 0",
        run: Run::Write { lower: lower_setnx, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "setrange",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        syntax: "key offset value",
        summary: "Overwrites part of a string, filling a gap before it with zero bytes.",
        since: "2.2.0",
        complexity: "O(N) where N is the length of the new string",
        reply: "Integer: the new length",
        run: Run::Write { lower: lower_setrange, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "strlen",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "The length of a string in bytes.",
        since: "2.2.0",
        reply: "Integer, 0 without the key",
        run: Run::Read(strlen),
        ..ROW
    },
    CommandSpec {
        name: "substr",
        arity: 4,
        flags: Flags::READONLY,
        syntax: "key start end",
        summary: "The old name of GETRANGE.",
        complexity: "O(N) where N is the length of the part",
        reply: "Bulk string, empty without the key",
        run: Run::Read(getrange),
        ..ROW
    },
];

/// Looks at a string: `read` gets it, or `None` without the key.
fn look_string(
    context: &mut ReadContext<'_>,
    key: Key<'_>,
    read: impl FnOnce(Option<&[u8]>, &mut Reply<'_>),
) -> Result<(), CommandError> {
    context.look(key, |entry, reply| match entry.map(|entry| entry.value) {
        Some(Value::String(value)) => {
            read(Some(value), reply);
            Ok(())
        }
        Some(Value::Collection(_)) => Err(Refusal::WrongType.into()),
        None => {
            read(None, reply);
            Ok(())
        }
    })
}

fn get(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look_string(context, request.key(1), |value, reply| reply.bulk_or_null(value))
}

fn strlen(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look_string(context, request.key(1), |value, reply| {
        reply.integer(value.map_or(0, <[u8]>::len) as i64);
    })
}

fn getrange(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let (start, end) = (request.integer(2)?, request.integer(3)?);
    look_string(context, request.key(1), |value, reply| {
        let value = value.unwrap_or_default();
        reply.bulk(&value[string_range(value.len(), start, end)]);
    })
}

/// The bytes GETRANGE reads. Unlike a list's range, one whose end lies before the string begins is
/// moved to its first byte, as in Redis.
fn string_range(length: usize, start: i64, end: i64) -> std::ops::Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let end = if end < 0 { end.saturating_add(length as i64).max(0) } else { end };
    index_range(length, start, end)
}

fn mget(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let ReadContext { engine, now, reply, counters, .. } = context;
    engine.look_many(request.db(), request.words_from(1), *now, |entries| {
        reply.array(entries.len());
        for entry in entries {
            counters.count_look(entry.is_some());
            match entry.as_ref().map(|entry| entry.value) {
                Some(Value::String(value)) => reply.bulk(value),
                _ => reply.null(),
            }
        }
    });
    Ok(())
}

/// Refuses a string that is longer than the configuration allows.
fn check_value(context: &LowerContext<'_>, value: &[u8]) -> Result<(), CommandError> {
    if value.len() > context.sizes.value_bytes_max {
        return Err(Refusal::StringTooLong.into());
    }
    Ok(())
}

/// What SET and GETEX say about the deadline.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Unsaid,
    KeepTtl,
    Persist,
    /// The index of the word with the time.
    At(When, usize),
}

impl Expiry {
    /// Takes EX, PX, EXAT or PXAT at `index`. Redis lets one of them be said twice, and the last
    /// one counts, but not two different ones.
    fn take_time(&mut self, request: &Request<'_>, index: usize) -> Result<(), CommandError> {
        let when = When::option(request.word(index)).ok_or(CommandError::Syntax)?;
        let compatible = match *self {
            Self::Unsaid => true,
            Self::At(earlier, _) => earlier == when,
            Self::KeepTtl | Self::Persist => false,
        };
        if !compatible || request.get(index + 1).is_none() {
            return Err(CommandError::Syntax);
        }
        *self = Self::At(when, index + 1);
        Ok(())
    }

    fn deadline(
        self,
        context: &LowerContext<'_>,
        request: &Request<'_>,
        unsaid: Deadline,
    ) -> Result<Deadline, CommandError> {
        Ok(match self {
            Self::Unsaid => unsaid,
            Self::KeepTtl => Deadline::Keep,
            Self::Persist => Deadline::Clear,
            Self::At(when, index) => deadline::positive(request, index, when, context.now)?.into(),
        })
    }
}

fn lower_set<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let mut condition = Condition::Always;
    let mut expiry = Expiry::Unsaid;
    let mut get = false;
    let mut index = 3;
    while index < request.len() {
        if request.is(index, "nx") && condition != Condition::IfPresent {
            condition = Condition::IfAbsent;
        } else if request.is(index, "xx") && condition != Condition::IfAbsent {
            condition = Condition::IfPresent;
        } else if request.is(index, "get") {
            get = true;
        } else if request.is(index, "keepttl") && matches!(expiry, Expiry::Unsaid | Expiry::KeepTtl)
        {
            expiry = Expiry::KeepTtl;
        } else {
            expiry.take_time(request, index)?;
            index += 1;
        }
        index += 1;
    }
    let deadline = expiry.deadline(context, request, Deadline::Clear)?;
    let value = request.word(2);
    check_value(context, value)?;
    Ok(Op::Set { key: request.key(1), value, deadline, condition, owner: None, get })
}

fn render_set(outcome: &Outcome, _request: &Request<'_>, reply: &mut Reply<'_>) {
    match outcome {
        Outcome::Done => reply.ok(),
        Outcome::Bytes(value) => reply.bulk(value),
        Outcome::Nil | Outcome::Skipped => reply.null(),
        _ => render::unexpected(outcome, reply),
    }
}

fn lower_setex<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
    when: When,
) -> Result<Op<'a>, CommandError> {
    let deadline = deadline::positive(request, 2, when, context.now)?.into();
    let value = request.word(3);
    check_value(context, value)?;
    let key = request.key(1);
    Ok(Op::Set { key, value, deadline, condition: Condition::Always, owner: None, get: false })
}

fn lower_setnx<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let (key, value) = (request.key(1), request.word(2));
    check_value(context, value)?;
    let (deadline, condition) = (Deadline::Clear, Condition::IfAbsent);
    Ok(Op::Set { key, value, deadline, condition, owner: None, get: false })
}

fn lower_getset<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let (key, value) = (request.key(1), request.word(2));
    check_value(context, value)?;
    let (deadline, condition) = (Deadline::Clear, Condition::Always);
    Ok(Op::Set { key, value, deadline, condition, owner: None, get: true })
}

fn lower_getex<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let mut expiry = Expiry::Unsaid;
    let mut index = 2;
    while index < request.len() {
        if request.is(index, "persist") && matches!(expiry, Expiry::Unsaid | Expiry::Persist) {
            expiry = Expiry::Persist;
        } else {
            expiry.take_time(request, index)?;
            index += 1;
        }
        index += 1;
    }
    let deadline = expiry.deadline(context, request, Deadline::Keep)?;
    Ok(Op::GetExpire { key: request.key(1), deadline })
}

fn lower_mset<'a>(request: &Request<'a>, if_none_exist: bool) -> Result<Op<'a>, CommandError> {
    if request.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity);
    }
    Ok(Op::SetMany { db: request.db(), pairs: request.words_from(1), if_none_exist })
}

fn lower_append<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let value = request.word(2);
    check_value(context, value)?;
    Ok(Op::Append { key: request.key(1), value })
}

fn lower_setrange<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let offset = request.integer(2)?;
    let offset = u64::try_from(offset).map_err(|_| "ERR offset is out of range")?;
    Ok(Op::SetRange { key: request.key(1), offset, value: request.word(3) })
}

fn increment<'a>(request: &Request<'a>, by: i64) -> Op<'a> {
    Op::Increment { key: request.key(1), by }
}

fn lower_decrby<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let by = request.integer(2)?.checked_neg().ok_or("ERR decrement would overflow")?;
    Ok(increment(request, by))
}

fn lower_incrbyfloat<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let by = request.word(2);
    LongDouble::parse(by).ok_or(CommandError::NotAFloat)?;
    Ok(Op::IncrementFloat { key: request.key(1), by })
}

#[cfg(test)]
mod tests;
