//! Keys of any type: ending, naming, finding and describing them.
//!
//! Deadlines become absolute stamps here; a deadline that has passed ends the key, which the engine
//! sees to. KEYS and SCAN see plain keys only: sessions live in a name space of their own.

mod dump;
mod object;

use hallpass_engine::{ExpireCondition, Op, Refusal, Stamp, Value};

use super::context::{LowerContext, ReadContext};
use super::cursor::{self, ScanOptions};
use super::deadline::{self, When};
use super::error::CommandError;
use super::render;
use super::request::{Request, c_string};
use super::spec::{Categories, CommandSpec, Flags, KeyPositions, Run};
use crate::glob;
use crate::resp::reply::Reply;
use hallpass_engine::value::number::parse_i64;

const ROW: CommandSpec = CommandSpec {
    group: "generic",
    categories: Categories::KEYSPACE,
    keys: KeyPositions::FIRST,
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "copy",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: KeyPositions::TWO,
        syntax: "source destination [DB destination-db] [REPLACE]",
        summary: "Copies value and deadline to another key, also of another database.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of elements in the value",
        reply: "Integer: 1 when it was copied; 0 without the source, or when the destination exists \
                and REPLACE is not said",
        run: Run::Write { lower: lower_copy, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "del",
        arity: -2,
        flags: Flags::WRITE,
        keys: KeyPositions::ALL,
        syntax: "key [key ...]",
        summary: "Deletes keys in one step.",
        complexity: "O(N) where N is the number of keys and of the elements in their values",
        reply: "Integer: how many existed",
        run: Run::Write { lower: lower_delete, render: render::integer },
        ..ROW
    },
    dump::DUMP,
    CommandSpec {
        name: "exists",
        arity: -2,
        flags: Flags::READONLY.with(Flags::FAST),
        keys: KeyPositions::ALL,
        syntax: "key [key ...]",
        summary: "How many of the keys exist; one that is named twice counts twice.",
        complexity: "O(N) where N is the number of keys",
        reply: "Integer",
        run: Run::Read(exists),
        ..ROW
    },
    CommandSpec {
        name: "expire",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key seconds [NX | XX | GT | LT]",
        summary: "Ends a key some seconds from now.",
        reply: "Integer: 1 when the deadline was set, else 0",
        run: Run::Write {
            lower: |context, request| lower_expire(context, request, When::InSeconds),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "expireat",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key unix-time-seconds [NX | XX | GT | LT]",
        summary: "Ends a key at a point in time.",
        since: "1.2.0",
        reply: "Integer: 1 when the deadline was set, else 0",
        run: Run::Write {
            lower: |context, request| lower_expire(context, request, When::AtSeconds),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "expiretime",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "When a key ends, in seconds since the Unix epoch.",
        since: "7.0.0",
        reply: "Integer; -1 without a deadline, -2 without the key",
        run: Run::Read(|context, request| {
            deadline_of(context, request, |at, _| (at.millis() + 500) / 1000)
        }),
        ..ROW
    },
    CommandSpec {
        name: "keys",
        arity: 2,
        flags: Flags::READONLY,
        keys: KeyPositions::NONE,
        categories: Categories::KEYSPACE.with(Categories::DANGEROUS),
        syntax: "pattern",
        summary: "All keys whose names match a pattern. SCAN finds them in small steps.",
        complexity: "O(N) where N is the number of keys in the store",
        reply: "Array of bulk strings",
        difference: "Sessions are not shown: they live in a name space of their own.",
        run: Run::Read(keys),
        ..ROW
    },
    CommandSpec {
        name: "move",
        arity: 3,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key db",
        summary: "Moves a key to another database unless it exists there.",
        reply: "Integer: 1 when it was moved, else 0",
        run: Run::Write { lower: lower_move, render: render::integer },
        ..ROW
    },
    object::OBJECT,
    CommandSpec {
        name: "persist",
        arity: 2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key",
        summary: "Takes a key's deadline away.",
        since: "2.2.0",
        reply: "Integer: 1 when there was one, else 0",
        run: Run::Write {
            lower: |_, request| Ok(Op::Persist { key: request.key(1) }),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "pexpire",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key milliseconds [NX | XX | GT | LT]",
        summary: "Ends a key some milliseconds from now.",
        since: "2.6.0",
        reply: "Integer: 1 when the deadline was set, else 0",
        run: Run::Write {
            lower: |context, request| lower_expire(context, request, When::InMillis),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "pexpireat",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key unix-time-milliseconds [NX | XX | GT | LT]",
        summary: "Ends a key at a point in time.",
        since: "2.6.0",
        reply: "Integer: 1 when the deadline was set, else 0",
        run: Run::Write {
            lower: |context, request| lower_expire(context, request, When::AtMillis),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "pexpiretime",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "When a key ends, in milliseconds since the Unix epoch.",
        since: "7.0.0",
        reply: "Integer; -1 without a deadline, -2 without the key",
        run: Run::Read(|context, request| deadline_of(context, request, |at, _| at.millis())),
        ..ROW
    },
    CommandSpec {
        name: "pttl",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "How many milliseconds a key has left.",
        since: "2.6.0",
        reply: "Integer; -1 without a deadline, -2 without the key",
        run: Run::Read(|context, request| deadline_of(context, request, Stamp::millis_since)),
        ..ROW
    },
    CommandSpec {
        name: "randomkey",
        flags: Flags::READONLY,
        keys: KeyPositions::NONE,
        summary: "A key picked at random.",
        reply: "Bulk string, or null when the database is empty",
        difference: "Sessions are not among the keys.",
        run: Run::Read(random_key),
        ..ROW
    },
    CommandSpec {
        name: "rename",
        arity: 3,
        flags: Flags::WRITE,
        keys: KeyPositions::TWO,
        syntax: "key newkey",
        summary: "Renames a key, with its deadline; what had the new name is gone.",
        reply: "OK. Error: ERR no such key",
        run: Run::Write { lower: |_, request| lower_rename(request, false), render: render::done },
        ..ROW
    },
    CommandSpec {
        name: "renamenx",
        arity: 3,
        flags: Flags::WRITE.with(Flags::FAST),
        keys: KeyPositions::TWO,
        syntax: "key newkey",
        summary: "Renames a key, with its deadline, unless the new name is taken.",
        reply: "Integer: 1 when it was renamed, else 0. Error: ERR no such key",
        run: Run::Write {
            lower: |_, request| lower_rename(request, true),
            render: render::integer,
        },
        ..ROW
    },
    dump::RESTORE,
    CommandSpec {
        name: "scan",
        arity: -2,
        flags: Flags::READONLY,
        keys: KeyPositions::NONE,
        syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        summary: "Finds keys in small steps. A key that is there from the first step to the last is \
                  shown at least once.",
        since: "2.8.0",
        complexity: "O(N) where N is COUNT",
        reply: "Array: next cursor (0 at the end), array of bulk strings",
        difference: "Sessions are not shown: they live in a name space of their own. The \
                    order and the cursors are Hallpass' own.",
        run: Run::Read(scan),
        ..ROW
    },
    CommandSpec {
        name: "touch",
        arity: -2,
        flags: Flags::READONLY.with(Flags::FAST),
        keys: KeyPositions::ALL,
        syntax: "key [key ...]",
        summary: "How many of the keys exist. No access times are kept, so nothing else happens.",
        since: "3.2.1",
        complexity: "O(N) where N is the number of keys",
        reply: "Integer",
        difference: "No access times are kept, so that a read stores nothing.",
        run: Run::Read(exists),
        ..ROW
    },
    CommandSpec {
        name: "ttl",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "How many seconds a key has left, rounded.",
        reply: "Integer; -1 without a deadline, -2 without the key",
        run: Run::Read(|context, request| {
            deadline_of(context, request, |at, now| (at.millis_since(now) + 500) / 1000)
        }),
        ..ROW
    },
    CommandSpec {
        name: "type",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "What kind of value a key holds.",
        reply: "Simple string: string, hash, set, zset, list, or none without the key",
        run: Run::Read(type_of),
        ..ROW
    },
    CommandSpec {
        name: "unlink",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        keys: KeyPositions::ALL,
        syntax: "key [key ...]",
        summary: "Deletes keys in one step, as DEL does.",
        since: "4.0.0",
        complexity: "O(N) where N is the number of keys and of the elements in their values",
        reply: "Integer: how many existed",
        run: Run::Write { lower: lower_delete, render: render::integer },
        ..ROW
    },
];

/// The name TYPE and SCAN's TYPE option give a value.
fn type_name(value: Value<'_>) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Collection(collection) => collection.kind().name(),
    }
}

fn type_of(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    context.look(request.key(1), |entry, reply| {
        reply.simple(entry.map_or("none", |entry| type_name(entry.value)));
    });
    Ok(())
}

fn exists(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let mut found = 0;
    for index in 1..request.len() {
        context.look(request.key(index), |entry, _| found += i64::from(entry.is_some()));
    }
    context.reply.integer(found);
    Ok(())
}

fn deadline_of(
    context: &mut ReadContext<'_>,
    request: &Request<'_>,
    show: fn(Stamp, Stamp) -> u64,
) -> Result<(), CommandError> {
    let now = context.now;
    context.look(request.key(1), |entry, reply| match entry {
        None => reply.integer(-2),
        Some(entry) if entry.deadline.is_never() => reply.integer(-1),
        Some(entry) => reply.integer(show(entry.deadline, now) as i64),
    });
    Ok(())
}

fn lower_delete<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    Ok(Op::Delete { db: request.db(), keys: request.words_from(1) })
}

fn lower_expire<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
    when: When,
) -> Result<Op<'a>, CommandError> {
    let condition = expire_condition(request)?;
    let at = deadline::any(request, 2, when, context.now)?;
    Ok(Op::Expire { key: request.key(1), at, condition })
}

fn expire_condition(request: &Request<'_>) -> Result<ExpireCondition, CommandError> {
    let mut condition = ExpireCondition::default();
    for index in 3..request.len() {
        let flag = [
            ("nx", &mut condition.if_none),
            ("xx", &mut condition.if_some),
            ("gt", &mut condition.if_later),
            ("lt", &mut condition.if_sooner),
        ]
        .into_iter()
        .find(|(name, _)| request.is(index, name));
        let Some((_, flag)) = flag else {
            let option = c_string(request.word(index));
            return Err(CommandError::Raw([b"ERR Unsupported option ", option].concat()));
        };
        *flag = true;
    }
    let ExpireCondition { if_none, if_some, if_later, if_sooner } = condition;
    if if_none && (if_some || if_later || if_sooner) {
        return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
    }
    if if_later && if_sooner {
        return Err("ERR GT and LT options at the same time are not compatible".into());
    }
    Ok(condition)
}

fn lower_rename<'a>(request: &Request<'a>, if_absent: bool) -> Result<Op<'a>, CommandError> {
    Ok(Op::Rename { from: request.key(1), to: request.key(2), if_absent })
}

/// The database that the word at `index` names.
fn database(request: &Request<'_>, index: usize) -> Result<u8, CommandError> {
    let number = request.integer(index)?;
    if i32::try_from(number).is_err() {
        let (least, most) = (i32::MIN, i32::MAX);
        return Err(
            format!("ERR value is out of range, value must between {least} and {most}").into()
        );
    }
    u8::try_from(number)
        .ok()
        .filter(|db| *db < hallpass_engine::DATABASES)
        .ok_or_else(|| "ERR DB index is out of range".into())
}

fn lower_copy<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let (mut db, mut replace) = (request.db(), false);
    let mut index = 3;
    while index < request.len() {
        if request.is(index, "replace") {
            replace = true;
        } else if request.is(index, "db") && index + 1 < request.len() {
            index += 1;
            db = database(request, index)?;
        } else {
            return Err(CommandError::Syntax);
        }
        index += 1;
    }
    if db == request.db() && request.word(1) == request.word(2) {
        return Err(Refusal::SameKey.into());
    }
    Ok(Op::Copy { from: request.key(1), to: request.key_in(db, 2), replace })
}

fn lower_move<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let db = database(request, 2)?;
    if db == request.db() {
        return Err(Refusal::SameKey.into());
    }
    Ok(Op::Rename { from: request.key(1), to: request.key_in(db, 1), if_absent: true })
}

fn keys(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let pattern = request.word(1);
    let all = glob::matches_everything(pattern);
    let ReadContext { engine, now, reply, .. } = context;
    let open = reply.open_array();
    let mut found = 0;
    engine.scan(request.db(), 0, usize::MAX, *now, |key, _| {
        if all || glob::matches(pattern, key) {
            reply.bulk(key);
            found += 1;
        }
    });
    reply.close_array(open, found);
    Ok(())
}

fn scan(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let options = ScanOptions::parse(cursor::parse(request.word(1))?, request, 2, true)?;
    let ReadContext { engine, now, reply, .. } = context;
    let mut written = Vec::new();
    let mut found = 0;
    let mut names = Reply::new(&mut written, reply.protocol());
    let next = engine.scan(request.db(), options.cursor, options.count, *now, |key, entry| {
        let kind = type_name(entry.value).as_bytes();
        let right_kind = options.kind.is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind));
        if right_kind && options.wants(key) {
            names.bulk(key);
            found += 1;
        }
    });
    cursor::write_page(next, found, &written, reply);
    Ok(())
}

fn random_key(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let key = context.engine.random_key(request.db(), context.random(), context.now);
    context.reply.bulk_or_null(key.as_deref());
    Ok(())
}

/// How Redis would keep a string: OBJECT ENCODING tells from the value alone.
fn string_encoding(value: &[u8]) -> &'static str {
    /// Longest string that Redis embeds in its object header.
    const EMBEDDED_BYTES_MAX: usize = 44;
    if parse_i64(value).is_some() {
        "int"
    } else if value.len() <= EMBEDDED_BYTES_MAX {
        "embstr"
    } else {
        "raw"
    }
}

#[cfg(test)]
mod tests {
    use hallpass_engine::{HashSeed, Words};

    use super::*;
    use crate::command::request::Subject;

    fn condition(options: &str) -> Result<ExpireCondition, CommandError> {
        let line = format!("EXPIRE k 5 {options}");
        let words: Vec<&[u8]> = line.trim_end().split(' ').map(str::as_bytes).collect();
        let seed = HashSeed::new(1, 2);
        expire_condition(&Request::new(Words::from_slices(&words), &seed, 0, Subject::Unknown))
    }

    #[test]
    fn conditions_of_expire_go_together_as_in_redis() {
        let none = ExpireCondition::default();
        assert_eq!(condition(""), Ok(none));
        assert_eq!(condition("nx"), Ok(ExpireCondition { if_none: true, ..none }));
        let later = ExpireCondition { if_some: true, if_later: true, ..none };
        assert_eq!(condition("XX GT"), Ok(later));
        let incompatible =
            "ERR NX and XX, GT or LT options at the same time are not compatible".into();
        assert_eq!(condition("NX LT"), Err(incompatible));
        let opposite = "ERR GT and LT options at the same time are not compatible".into();
        assert_eq!(condition("LT GT"), Err(opposite));
        let unsupported = CommandError::Raw(b"ERR Unsupported option soon".into());
        assert_eq!(condition("soon"), Err(unsupported));
    }

    #[test]
    fn strings_are_described_by_their_content() {
        for (value, encoding) in [
            ("12", "int"),
            ("-9223372036854775808", "int"),
            ("012", "embstr"),
            ("", "embstr"),
            ("12345678901234567890123456789012345678901234", "embstr"),
            ("123456789012345678901234567890123456789012345", "raw"),
        ] {
            assert_eq!(string_encoding(value.as_bytes()), encoding, "{value}");
        }
    }
}
