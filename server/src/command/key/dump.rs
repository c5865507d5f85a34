//! DUMP and RESTORE: a value as bytes that any Redis understands, and back.
//!
//! A payload is taken apart before the op is made: the log holds the value as this store keeps it and
//! never what a client sent, so reading it comes to the same on every node and for every later version.

use hallpass_engine::{Due, Op, Refusal};

use super::ROW;
use crate::command::context::{LowerContext, ReadContext};
use crate::command::deadline::When;
use crate::command::error::CommandError;
use crate::command::render;
use crate::command::request::Request;
use crate::command::spec::{Categories, CommandSpec, Flags, Run};
use crate::rdb::{Limits, RdbError, Value, payload};

/// The largest collection that RESTORE makes, each element counted with 16 bytes more. It leaves room in a
/// log record, and bounds what a few compressed bytes may grow to.
const COLLECTION_BYTES_MAX: usize = 256 << 20;

/// The row of DUMP.
pub(super) const DUMP: CommandSpec = CommandSpec {
    name: "dump",
    arity: 2,
    flags: Flags::READONLY,
    syntax: "key",
    summary: "A key's value as bytes, for RESTORE here or in Redis 4.0 and later.",
    since: "2.6.0",
    complexity: "O(N) where N is the size of the value",
    reply: "Bulk string; null without the key",
    difference: "The payload says version 8 of the format and keeps to the encodings of that, so that older \
                 servers read it too.",
    run: Run::Read(dump),
    ..ROW
};

/// The row of RESTORE.
pub(super) const RESTORE: CommandSpec = CommandSpec {
    name: "restore",
    arity: -4,
    flags: Flags::WRITE.with(Flags::DENYOOM),
    categories: Categories::KEYSPACE.with(Categories::DANGEROUS),
    syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
    summary: "Stores a value that DUMP gave, here or in Redis up to 7.2, to end in ttl milliseconds, or at \
              that time with ABSTTL; 0 is never.",
    since: "2.6.0",
    complexity: "O(N) where N is the size of the value; O(N*log(N)) for a sorted set",
    reply: "OK. Errors: BUSYKEY Target key name already exists; ERR DUMP payload version or checksum \
            are wrong; ERR Bad data format",
    difference: "Refused are streams and values of modules, repeated elements, bytes behind the value, and collections \
                 of more than 256 MiB. IDLETIME and FREQ are checked and then forgotten.",
    run: Run::Write { lower: lower_restore, render: render::done },
    ..ROW
};

fn dump(context: &mut ReadContext<'_>, request: &Request<'_>) -> Result<(), CommandError> {
    context.look(request.key(1), |entry, reply| match entry {
        None => reply.null(),
        Some(entry) => {
            let mut bytes = Vec::new();
            payload::write(entry.value, &mut bytes);
            reply.bulk(&bytes);
        }
    });
    Ok(())
}

/// The options of RESTORE that mean something here.
struct Options {
    replace: bool,
    absolute: bool,
}

fn options(request: &Request<'_>) -> Result<Options, CommandError> {
    let mut options = Options { replace: false, absolute: false };
    let (mut idle, mut frequency) = (false, false);
    let mut index = 4;
    while index < request.len() {
        let followed = index + 1 < request.len();
        if request.is(index, "replace") {
            options.replace = true;
        } else if request.is(index, "absttl") {
            options.absolute = true;
        } else if request.is(index, "idletime") && followed && !frequency {
            index += 1;
            if request.integer(index)? < 0 {
                return Err("ERR Invalid IDLETIME value, must be >= 0".into());
            }
            idle = true;
        } else if request.is(index, "freq") && followed && !idle {
            index += 1;
            if !(0..=255).contains(&request.integer(index)?) {
                return Err("ERR Invalid FREQ value, must be >= 0 and <= 255".into());
            }
            frequency = true;
        } else {
            return Err(CommandError::Syntax);
        }
        index += 1;
    }
    Ok(options)
}

fn lower_restore<'a>(
    context: &LowerContext<'_>,
    request: &Request<'a>,
) -> Result<Op<'a>, CommandError> {
    let Options { replace, absolute } = options(request)?;
    let deadline = deadline(context, request, absolute)?;
    let limits = Limits {
        element_bytes_max: context.sizes.value_bytes_max,
        value_bytes_max: COLLECTION_BYTES_MAX,
    };
    let read = payload::read(request.word(3), &limits, request.seed().values());
    let (value, is_collection) = match read.map_err(refused)? {
        Value::String(text) => (text, false),
        Value::Collection(collection) => {
            let mut form = Vec::new();
            collection.encode_into(&mut form);
            (form, true)
        }
    };
    let (key, value) = (request.key(1), value.into());
    Ok(Op::Restore { key, value, is_collection, deadline, replace })
}

fn deadline(
    context: &LowerContext<'_>,
    request: &Request<'_>,
    absolute: bool,
) -> Result<Option<Due>, CommandError> {
    let when = if absolute { When::AtMillis } else { When::InMillis };
    match request.integer(2)? {
        ..0 => Err("ERR Invalid TTL value, must be >= 0".into()),
        0 => Ok(None),
        millis => when.due(millis, context.now).map(Some).ok_or(CommandError::InvalidExpire),
    }
}

fn refused(error: RdbError) -> CommandError {
    match error {
        RdbError::Version(_) | RdbError::Checksum => {
            "ERR DUMP payload version or checksum are wrong".into()
        }
        RdbError::ElementTooLong => Refusal::StringTooLong.into(),
        // Why, where the payload may be a whole one all the same.
        RdbError::Unsupported(_) | RdbError::ValueTooLarge => {
            format!("ERR Bad data format: {error}").into()
        }
        _ => "ERR Bad data format".into(),
    }
}
