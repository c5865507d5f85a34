//! Hashes: HSET, HGETALL and their kin.

use hallpass_engine::Op;
use hallpass_engine::value::{HashValue, LongDouble};

use super::collection::{length, look, random_count};
use super::context::{LowerContext, ReadContext};
use super::cursor::{self, ScanOptions};
use super::error::CommandError;
use super::render;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, KeyPositions, Run};
use crate::resp::reply::{Protocol, Reply};

const ROW: CommandSpec = CommandSpec {
    group: "hash",
    categories: Categories::HASH,
    keys: KeyPositions::FIRST,
    since: "2.0.0",
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "hdel",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key field [field ...]",
        summary: "Deletes fields; a hash without fields is gone.",
        complexity: "O(N) where N is the number of fields named",
        reply: "Integer: how many existed",
        run: Run::Write { lower: lower_hdel, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "hexists",
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key field",
        summary: "Whether a hash has a field.",
        reply: "Integer: 1 or 0",
        run: Run::Read(|context, request| {
            look_field(context, request, |value, reply| {
                reply.integer(i64::from(value.is_some()));
            })
        }),
        ..ROW
    },
    CommandSpec {
        name: "hget",
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key field",
        summary: "Reads a field.",
        reply: "Bulk string, or null without the key or the field",
        run: Run::Read(|context, request| {
            look_field(context, request, |value, reply| reply.bulk_or_null(value))
        }),
        ..ROW
    },
    CommandSpec {
        name: "hgetall",
        arity: 2,
        flags: Flags::READONLY,
        syntax: "key",
        summary: "Reads all fields.",
        complexity: "O(N) where N is the number of fields",
        reply: "Map of fields and values",
        run: Run::Read(hgetall),
        ..ROW
    },
    CommandSpec {
        name: "hincrby",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key field increment",
        summary: "Adds to an integer field, which begins as 0.",
        reply: "Integer: the new value",
        run: Run::Write { lower: lower_hincrby, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "hincrbyfloat",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key field increment",
        summary: "Adds to a decimal field, which begins as 0.",
        since: "2.6.0",
        reply: "Bulk string: the new value",
        run: Run::Write { lower: lower_hincrbyfloat, render: render::bulk },
        ..ROW
    },
    CommandSpec {
        name: "hkeys",
        arity: 2,
        flags: Flags::READONLY,
        syntax: "key",
        summary: "The names of all fields.",
        complexity: "O(N) where N is the number of fields",
        reply: "Array of bulk strings",
        run: Run::Read(|context, request| list_fields(context, request, |field, _| field)),
        ..ROW
    },
    CommandSpec {
        name: "hlen",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "How many fields a hash has.",
        reply: "Integer",
        run: Run::Read(|context, request| length(context, request, HashValue::len)),
        ..ROW
    },
    CommandSpec {
        name: "hmget",
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key field [field ...]",
        summary: "Reads several fields.",
        complexity: "O(N) where N is the number of fields named",
        reply: "Array of bulk strings, null where a field is absent",
        run: Run::Read(hmget),
        ..ROW
    },
    CommandSpec {
        name: "hmset",
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key field value [field value ...]",
        summary: "Writes several fields. Now HSET.",
        complexity: "O(N) where N is the number of fields named",
        reply: "OK",
        run: Run::Write { lower: lower_hset, render: render::ok },
        ..ROW
    },
    CommandSpec {
        name: "hrandfield",
        arity: -2,
        flags: Flags::READONLY,
        syntax: "key [count [WITHVALUES]]",
        summary: "Fields picked at random: different ones, or with a negative count any.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of fields shown",
        reply: "Bulk string or null; with count an array of bulk strings, with WITHVALUES of pairs",
        difference: "A negative count below -1048576 is refused.",
        run: Run::Read(hrandfield),
        ..ROW
    },
    CommandSpec {
        name: "hscan",
        arity: -3,
        flags: Flags::READONLY,
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        summary: "Reads fields in small steps.",
        since: "2.8.0",
        complexity: "O(N) where N is COUNT",
        reply: "Array: next cursor (0 at the end), array of fields and values in turn",
        run: Run::Read(hscan),
        ..ROW
    },
    CommandSpec {
        name: "hset",
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key field value [field value ...]",
        summary: "Writes fields.",
        complexity: "O(N) where N is the number of fields named",
        reply: "Integer: how many are new",
        run: Run::Write { lower: lower_hset, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "hsetnx",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key field value",
        summary: "Writes a field unless it exists.",
        reply: "Integer: 1 when it was written, else 0",
        run: Run::Write {
            lower: |_, request| {
                let (key, pairs) = (request.key(1), request.words_from(2));
                Ok(Op::HashSet { key, pairs, if_absent: true })
            },
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "hstrlen",
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key field",
        summary: "The length of a field's value in bytes.",
        since: "3.2.0",
        reply: "Integer, 0 without the key or the field",
        run: Run::Read(|context, request| {
            look_field(context, request, |value, reply| {
                reply.integer(value.map_or(0, <[u8]>::len) as i64);
            })
        }),
        ..ROW
    },
    CommandSpec {
        name: "hvals",
        arity: 2,
        flags: Flags::READONLY,
        syntax: "key",
        summary: "The values of all fields.",
        complexity: "O(N) where N is the number of fields",
        reply: "Array of bulk strings",
        run: Run::Read(|context, request| list_fields(context, request, |_, value| value)),
        ..ROW
    },
];

/// Looks at the field that word 2 names.
fn look_field(
    context: &mut ReadContext<'_>,
    request: &Request<'_>,
    show: impl FnOnce(Option<&[u8]>, &mut Reply<'_>),
) -> Result<(), CommandError> {
    look(context, request.key(1), |hash: Option<&HashValue>, reply| {
        show(hash.and_then(|hash| hash.get(request.word(2))), reply);
        Ok(())
    })
}

fn hgetall(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look(context, request.key(1), |hash: Option<&HashValue>, reply| {
        reply.map(hash.map_or(0, HashValue::len));
        for (field, value) in hash.into_iter().flat_map(HashValue::iter) {
            reply.bulk(field);
            reply.bulk(value);
        }
        Ok(())
    })
}

fn list_fields(
    context: &mut ReadContext<'_>,
    request: &Request<'_>,
    part: for<'a> fn(&'a [u8], &'a [u8]) -> &'a [u8],
) -> Result<(), CommandError> {
    look(context, request.key(1), |hash: Option<&HashValue>, reply| {
        reply.array(hash.map_or(0, HashValue::len));
        for (field, value) in hash.into_iter().flat_map(HashValue::iter) {
            reply.bulk(part(field, value));
        }
        Ok(())
    })
}

fn hmget(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look(context, request.key(1), |hash: Option<&HashValue>, reply| {
        let fields = request.words_from(2);
        reply.array(fields.len());
        for field in fields.iter() {
            reply.bulk_or_null(hash.and_then(|hash| hash.get(field)));
        }
        Ok(())
    })
}

fn hrandfield(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let seed = context.random();
    if request.len() == 2 {
        return look(context, request.key(1), |hash: Option<&HashValue>, reply| {
            let picked = hash.and_then(|hash| hash.random_field(seed));
            reply.bulk_or_null(picked.map(|(field, _)| field));
            Ok(())
        });
    }
    let (count, with_values) = random_count(request, Some("withvalues"))?;
    look(context, request.key(1), |hash: Option<&HashValue>, reply| {
        let picked = hash.map_or_else(Vec::new, |hash| hash.random_fields(seed, count).collect());
        let nested = with_values && reply.protocol() == Protocol::Resp3;
        let flat = with_values && !nested;
        reply.array(if flat { picked.len() * 2 } else { picked.len() });
        for (field, value) in picked {
            if nested {
                reply.array(2);
            }
            reply.bulk(field);
            if with_values {
                reply.bulk(value);
            }
        }
        Ok(())
    })
}

fn hscan(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let from = cursor::parse(request.word(2))?;
    look(context, request.key(1), |hash: Option<&HashValue>, reply| {
        let mut written = Vec::new();
        let (mut next, mut found) = (0, 0);
        if let Some(hash) = hash {
            let options = ScanOptions::parse(from, request, 3, false)?;
            let mut fields = Reply::new(&mut written, reply.protocol());
            next = hash.scan(options.cursor, options.count, |field, value| {
                if options.wants(field) {
                    fields.bulk(field);
                    fields.bulk(value);
                    found += 2;
                }
            });
        }
        cursor::write_page(next, found, &written, reply);
        Ok(())
    })
}

fn lower_hset<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    if !request.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity);
    }
    Ok(Op::HashSet { key: request.key(1), pairs: request.words_from(2), if_absent: false })
}

fn lower_hdel<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    Ok(Op::HashDelete { key: request.key(1), fields: request.words_from(2) })
}

fn lower_hincrby<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let by = request.integer(3)?;
    Ok(Op::HashIncrement { key: request.key(1), field: request.word(2), by })
}

fn lower_hincrbyfloat<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let by = request.word(3);
    let number = LongDouble::parse(by).ok_or(CommandError::NotAFloat)?;
    number.finite().ok_or("ERR value is NaN or Infinity")?;
    Ok(Op::HashIncrementFloat { key: request.key(1), field: request.word(2), by })
}
