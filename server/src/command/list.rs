//! Lists: LPUSH, LRANGE and their kin. The blocking forms are not here: they need a connection to wait.

use hallpass_engine::value::{ListValue, PositionQuery};
use hallpass_engine::{Op, Outcome, Side};

use super::collection::{length, look, not_negative, out_of_long_range, pop_count};
use super::context::{LowerContext, ReadContext};
use super::error::CommandError;
use super::render;
use super::request::Request;
use super::spec::{Categories, CommandSpec, FirstLook, Flags, KeyPositions, Run};
use crate::resp::reply::Reply;

const ROW: CommandSpec = CommandSpec {
    group: "list",
    categories: Categories::LIST,
    keys: KeyPositions::FIRST,
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "lindex",
        arity: 3,
        flags: Flags::READONLY,
        syntax: "key index",
        summary: "Reads the value at an index; a negative one counts from the tail.",
        complexity: "O(1)",
        reply: "Bulk string, or null without it",
        run: Run::Read(lindex),
        ..ROW
    },
    CommandSpec {
        name: "linsert",
        arity: 5,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        syntax: "key BEFORE | AFTER pivot element",
        summary: "Inserts a value beside the first one that equals the pivot.",
        since: "2.2.0",
        complexity: "O(N) where N is the length of the list",
        reply: "Integer: the new length; 0 without the key, -1 without the pivot",
        run: Run::Write { lower: lower_linsert, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "llen",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        syntax: "key",
        summary: "How many values a list has.",
        reply: "Integer",
        run: Run::Read(|context, request| length(context, request, ListValue::len)),
        ..ROW
    },
    CommandSpec {
        name: "lmove",
        arity: 5,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: KeyPositions::TWO,
        syntax: "source destination LEFT | RIGHT LEFT | RIGHT",
        summary: "Moves a value from one list's end to another's, or the same list's.",
        since: "6.2.0",
        reply: "Bulk string: the value; null without the source",
        run: Run::Write { lower: lower_lmove, render: render::bulk },
        ..ROW
    },
    CommandSpec {
        name: "lpop",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key [count]",
        summary: "Takes values off the head.",
        complexity: "O(N) where N is the number of values taken",
        reply: "Bulk string or null; with count an array, or null without the key",
        run: Run::Write { lower: |_, request| lower_pop(request, Side::Head), render: render_pop },
        ..ROW
    },
    CommandSpec {
        name: "lpos",
        arity: -3,
        flags: Flags::READONLY,
        syntax: "key element [RANK rank] [COUNT matches] [MAXLEN length]",
        summary: "The index of the first value that equals an element, or of several.",
        since: "6.0.6",
        complexity: "O(N) where N is the length of the list",
        reply: "Integer or null; with COUNT an array of integers",
        run: Run::Read(lpos),
        ..ROW
    },
    CommandSpec {
        name: "lpush",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key element [element ...]",
        summary: "Puts values before the head, one after the other.",
        complexity: "O(N) where N is the number of values",
        reply: "Integer: the new length",
        run: Run::Write {
            lower: |_, request| Ok(push(request, Side::Head, false)),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "lpushx",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key element [element ...]",
        summary: "Puts values before the head of a list that exists.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of values",
        reply: "Integer: the new length, 0 without the key",
        run: Run::Write {
            lower: |_, request| Ok(push(request, Side::Head, true)),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "lrange",
        arity: 4,
        flags: Flags::READONLY,
        syntax: "key start stop",
        summary: "Reads the values from one index to another, both included.",
        complexity: "O(N) where N is the number of values shown",
        reply: "Array of bulk strings",
        run: Run::Read(lrange),
        ..ROW
    },
    CommandSpec {
        name: "lrem",
        arity: 4,
        flags: Flags::WRITE,
        syntax: "key count element",
        summary: "Removes values that equal an element: the first ones, with a negative count the \
                  last ones, with 0 all.",
        complexity: "O(N) where N is the length of the list",
        reply: "Integer: how many were removed",
        run: Run::Write { lower: lower_lrem, render: render::integer },
        ..ROW
    },
    CommandSpec {
        name: "lset",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        syntax: "key index element",
        summary: "Replaces the value at an index.",
        reply: "OK. Errors: ERR no such key, ERR index out of range",
        first_look: FirstLook::ExistingList,
        run: Run::Write { lower: lower_lset, render: render::done },
        ..ROW
    },
    CommandSpec {
        name: "ltrim",
        arity: 4,
        flags: Flags::WRITE,
        syntax: "key start stop",
        summary: "Keeps the values from one index to another, both included.",
        complexity: "O(N) where N is the number of values removed",
        reply: "OK",
        run: Run::Write { lower: lower_ltrim, render: render::done },
        ..ROW
    },
    CommandSpec {
        name: "rpop",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        syntax: "key [count]",
        summary: "Takes values off the tail.",
        complexity: "O(N) where N is the number of values taken",
        reply: "Bulk string or null; with count an array, or null without the key",
        run: Run::Write { lower: |_, request| lower_pop(request, Side::Tail), render: render_pop },
        ..ROW
    },
    CommandSpec {
        name: "rpoplpush",
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: KeyPositions::TWO,
        syntax: "source destination",
        summary: "Moves a value from one list's tail to another's head. Now LMOVE.",
        since: "1.2.0",
        reply: "Bulk string: the value; null without the source",
        run: Run::Write {
            lower: |_, request| Ok(list_move(request, Side::Tail, Side::Head)),
            render: render::bulk,
        },
        ..ROW
    },
    CommandSpec {
        name: "rpush",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key element [element ...]",
        summary: "Puts values behind the tail, one after the other.",
        complexity: "O(N) where N is the number of values",
        reply: "Integer: the new length",
        run: Run::Write {
            lower: |_, request| Ok(push(request, Side::Tail, false)),
            render: render::integer,
        },
        ..ROW
    },
    CommandSpec {
        name: "rpushx",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        syntax: "key element [element ...]",
        summary: "Puts values behind the tail of a list that exists.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of values",
        reply: "Integer: the new length, 0 without the key",
        run: Run::Write {
            lower: |_, request| Ok(push(request, Side::Tail, true)),
            render: render::integer,
        },
        ..ROW
    },
];

fn lindex(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    look(context, request.key(1), |list: Option<&ListValue>, reply| {
        // Redis looks at the key before the index, so without the key any index will do.
        let value = match list {
            Some(list) => list.get(request.integer(2)?),
            None => None,
        };
        reply.bulk_or_null(value);
        Ok(())
    })
}

fn lrange(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let (start, stop) = (request.integer(2)?, request.integer(3)?);
    look(context, request.key(1), |list: Option<&ListValue>, reply| {
        match list {
            Some(list) => reply.bulks(list.range(start, stop)),
            None => reply.array(0),
        }
        Ok(())
    })
}

fn lpos(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    let mut query = PositionQuery { rank: 1, count: 1, length_max: 0 };
    let mut many = false;
    let mut index = 3;
    while index < request.len() {
        if index + 1 == request.len() {
            return Err(CommandError::Syntax);
        }
        if request.is(index, "rank") {
            query.rank = rank(request, index + 1)?;
        } else if request.is(index, "count") {
            let error = "ERR COUNT can't be negative";
            query.count = not_negative(request, index + 1, error)? as usize;
            many = true;
        } else if request.is(index, "maxlen") {
            let error = "ERR MAXLEN can't be negative";
            query.length_max = not_negative(request, index + 1, error)? as usize;
        } else {
            return Err(CommandError::Syntax);
        }
        index += 2;
    }
    look(context, request.key(1), |list: Option<&ListValue>, reply| {
        let element = request.word(2);
        let found = list.map_or_else(Vec::new, |list| list.positions(element, query));
        if many {
            reply.array(found.len());
            for position in found {
                reply.integer(position as i64);
            }
        } else {
            match found.first() {
                Some(position) => reply.integer(*position as i64),
                None => reply.null(),
            }
        }
        Ok(())
    })
}

fn rank(request: &Request<'_>, index: usize) -> Result<i64, CommandError> {
    match request.integer(index)? {
        0 => Err(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                  or use negative to start from the end of the list"
                .into(),
        ),
        i64::MIN => Err(out_of_long_range()),
        rank => Ok(rank),
    }
}

fn push<'a>(request: &Request<'a>, side: Side, if_exists: bool) -> Op<'a> {
    Op::ListPush { key: request.key(1), values: request.words_from(2), side, if_exists }
}

fn lower_pop<'a>(request: &Request<'a>, side: Side) -> Result<Op<'a>, CommandError> {
    if request.len() > 3 {
        return Err(CommandError::WrongArity);
    }
    Ok(Op::ListPop { key: request.key(1), count: pop_count(request)?, side })
}

fn render_pop(outcome: &Outcome, request: &Request<'_>, reply: &mut Reply<'_>) {
    match outcome {
        Outcome::List(values) => reply.bulks(values.iter().map(Vec::as_slice)),
        Outcome::Nil if request.len() > 2 => reply.null_array(),
        _ => render::bulk(outcome, request, reply),
    }
}

fn lower_linsert<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let before = if request.is(2, "before") {
        true
    } else if request.is(2, "after") {
        false
    } else {
        return Err(CommandError::Syntax);
    };
    let (pivot, value) = (request.word(3), request.word(4));
    Ok(Op::ListInsert { key: request.key(1), before, pivot, value })
}

fn side(request: &Request<'_>, index: usize) -> Result<Side, CommandError> {
    if request.is(index, "left") {
        Ok(Side::Head)
    } else if request.is(index, "right") {
        Ok(Side::Tail)
    } else {
        Err(CommandError::Syntax)
    }
}

fn list_move<'a>(request: &Request<'a>, from_side: Side, to_side: Side) -> Op<'a> {
    Op::ListMove { from: request.key(1), to: request.key(2), from_side, to_side }
}

fn lower_lmove<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    Ok(list_move(request, side(request, 3)?, side(request, 4)?))
}

fn lower_lrem<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let count = request.integer(2)?;
    Ok(Op::ListRemove { key: request.key(1), count, value: request.word(3) })
}

fn lower_lset<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let index = request.integer(2)?;
    Ok(Op::ListSet { key: request.key(1), index, value: request.word(3) })
}

fn lower_ltrim<'a>(
    _context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let (start, stop) = (request.integer(2)?, request.integer(3)?);
    Ok(Op::ListTrim { key: request.key(1), start, stop })
}
