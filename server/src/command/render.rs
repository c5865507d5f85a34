//! The replies most writes share: an outcome of the plain kinds, written as Redis writes it.
//!
//! Refusals never get here: the dispatcher answers them. An op that gives an outcome its command does
//! not know is a defect, and is answered as an error rather than as a wrong value.

use hallpass_engine::Outcome;

use super::request::Request;
use crate::resp::reply::Reply;

/// `OK` for [`Outcome::Done`], null for [`Outcome::Skipped`].
pub(super) fn done(outcome: &Outcome, _request: &Request<'_>, reply: &mut Reply<'_>) {
    match outcome {
        Outcome::Done => reply.ok(),
        Outcome::Skipped => reply.null(),
        _ => unexpected(outcome, reply),
    }
}

/// `OK`, whatever was counted: HMSET, whose op counts new fields.
pub(super) fn ok(_outcome: &Outcome, _request: &Request<'_>, reply: &mut Reply<'_>) {
    reply.ok();
}

/// An integer; a flag is 1 or 0, and what was done or skipped is, too.
pub(super) fn integer(outcome: &Outcome, _request: &Request<'_>, reply: &mut Reply<'_>) {
    match outcome {
        Outcome::Integer(value) => reply.integer(*value),
        Outcome::Flag(happened) => reply.integer(i64::from(*happened)),
        Outcome::Done => reply.integer(1),
        Outcome::Skipped => reply.integer(0),
        _ => unexpected(outcome, reply),
    }
}

/// A value or null.
pub(super) fn bulk(outcome: &Outcome, _request: &Request<'_>, reply: &mut Reply<'_>) {
    match outcome {
        Outcome::Bytes(value) => reply.bulk(value),
        Outcome::Nil => reply.null(),
        _ => unexpected(outcome, reply),
    }
}

/// Answers an outcome that the command's op cannot have.
pub(super) fn unexpected(_outcome: &Outcome, reply: &mut Reply<'_>) {
    // The outcome is not shown: it may hold a value that does not belong into an error.
    reply.error(b"ERR internal error: the engine answered what this command does not know");
}
