//! Strings: GET, SET and their kin.

use hallpass_engine::{Condition, Deadline, Op, Outcome, Refusal, Value};

use super::context::{LowerContext, ReadContext};
use super::deadline::{self, When};
use super::error::CommandError;
use super::request::Request;
use super::spec::{Categories, CommandSpec, Flags, KeyPositions, Run};
use crate::resp::reply::Reply;

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        keys: KeyPositions::FIRST,
        categories: Categories::STRING,
        syntax: "key",
        summary: "Returns the string value of a key.",
        group: "string",
        reply: "Bulk string, or null when the key does not exist",
        run: Run::Read(get),
        ..CommandSpec::ROW
    },
    CommandSpec {
        name: "set",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: KeyPositions::FIRST,
        categories: Categories::STRING,
        syntax: "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                 PXAT unix-time-milliseconds | KEEPTTL]",
        summary: "Sets the string value of a key, ignoring its type. \
                  The key is created if it doesn't exist.",
        group: "string",
        reply: "OK, or null when a condition kept it from being set; with GET the old value or null",
        run: Run::Write { lower: lower_set, render: render_set },
        ..CommandSpec::ROW
    },
];

fn get(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    context.look(request.key(1), |entry, reply| match entry.map(|entry| entry.value) {
        Some(Value::String(value)) => {
            reply.bulk(value);
            Ok(())
        }
        Some(_) => Err(Refusal::WrongType.into()),
        None => {
            reply.null();
            Ok(())
        }
    })
}

fn lower_set<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let mut condition = Condition::Always;
    let mut deadline = Deadline::Clear;
    let mut time: Option<(When, usize)> = None;
    let mut get = false;
    let mut index = 3;
    while index < request.len() {
        let free_of_time = deadline == Deadline::Clear && time.is_none();
        if request.is(index, "nx") && condition != Condition::IfPresent {
            condition = Condition::IfAbsent;
        } else if request.is(index, "xx") && condition != Condition::IfAbsent {
            condition = Condition::IfPresent;
        } else if request.is(index, "get") {
            get = true;
        } else if request.is(index, "keepttl") && time.is_none() {
            deadline = Deadline::Keep;
        } else {
            match When::option(request.word(index)) {
                Some(when) if free_of_time && index + 1 < request.len() => {
                    index += 1;
                    time = Some((when, index));
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        index += 1;
    }
    if let Some((when, index)) = time {
        deadline = Deadline::At(deadline::positive(request, index, when, context.now)?);
    }
    Ok(Op::Set {
        key: request.key(1),
        value: request.word(2),
        deadline,
        condition,
        owner: None,
        get,
    })
}

fn render_set(outcome: &Outcome, _request: &Request<'_>, reply: &mut Reply<'_>) {
    match outcome {
        Outcome::Done => reply.ok(),
        Outcome::Bytes(value) => reply.bulk(value),
        _ => reply.null(),
    }
}
