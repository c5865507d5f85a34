//! Reading keys that hold one kind of collection, and what their commands have in common.

use hallpass_engine::value::{Collection, HashValue, ListValue, SetValue, SortedValue};
use hallpass_engine::{Entry, Key, Refusal, Value};

use super::context::ReadContext;
use super::error::CommandError;
use super::request::Request;
use crate::resp::reply::Reply;
use hallpass_engine::value::number::parse_i64;

/// The most elements that HRANDFIELD, SRANDMEMBER and ZRANDMEMBER repeat: a negative count is not
/// bounded by the collection's size, and a reply must be.
const REPEATED_COUNT_MAX: u64 = 1 << 20;

/// A kind of collection a command works on.
pub(super) trait Kind {
    /// This kind's value, unless the collection is of another kind.
    fn of(collection: &Collection) -> Option<&Self>;
}

macro_rules! kind {
    ($($type:ty: $variant:ident),*) => {
        $(impl Kind for $type {
            fn of(collection: &Collection) -> Option<&Self> {
                match collection {
                    Collection::$variant(value) => Some(value),
                    _ => None,
                }
            }
        })*
    };
}

kind!(HashValue: Hash, SetValue: Set, SortedValue: Sorted, ListValue: List);

/// The collection that an entry holds: `None` without an entry, `WRONGTYPE` when it is something else.
pub(super) fn collection_of<'a, K: Kind>(
    entry: Option<&Entry<'a>>,
) -> Result<Option<&'a K>, Refusal> {
    match entry.map(|entry| entry.value) {
        None => Ok(None),
        Some(Value::Collection(collection)) => {
            K::of(collection).map(Some).ok_or(Refusal::WrongType)
        }
        Some(Value::String(_)) => Err(Refusal::WrongType),
    }
}

/// Looks at a key that holds a collection of kind `K`, or nothing.
pub(super) fn look<K: Kind>(
    context: &mut ReadContext<'_>,
    key: Key<'_>,
    read: impl FnOnce(Option<&K>, &mut Reply<'_>) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    context.look(key, |entry, reply| read(collection_of(entry.as_ref())?, reply))
}

/// Answers how many elements the key at word 1 has: HLEN, SCARD, ZCARD, LLEN.
pub(super) fn length<K: Kind>(
    context: &mut ReadContext<'_>,
    request: &Request<'_>,
    length: impl FnOnce(&K) -> usize,
) -> Result<(), CommandError> {
    look(context, request.key(1), |value: Option<&K>, reply| {
        reply.integer(value.map_or(0, length) as i64);
        Ok(())
    })
}

/// How many random elements were asked for: negative for "with repetition". The word at 2 is the
/// count; a word at 3 must be `pairs`, which doubles what each element takes.
pub(super) fn random_count(
    request: &Request<'_>,
    pairs: Option<&str>,
) -> Result<(i64, bool), CommandError> {
    let count = request.integer(2)?;
    if count == i64::MIN {
        return Err(out_of_long_range());
    }
    let with_pairs = match (request.len(), pairs) {
        (3, _) => false,
        (4, Some(pairs)) if request.is(3, pairs) => true,
        _ => return Err(CommandError::Syntax),
    };
    let doubled = count.checked_mul(2).is_none() && with_pairs;
    if doubled || (count < 0 && count.unsigned_abs() > REPEATED_COUNT_MAX) {
        return Err(CommandError::OutOfRange);
    }
    Ok((count, with_pairs))
}

/// What Redis answers to the one 64-bit integer whose sign it cannot turn.
pub(super) fn out_of_long_range() -> CommandError {
    let (least, most) = (-i64::MAX, i64::MAX);
    format!("ERR value is out of range, value must between {least} and {most}").into()
}

/// The word at `index` as an integer that is not negative, or else `error`.
pub(super) fn not_negative(
    request: &Request<'_>,
    index: usize,
    error: &'static str,
) -> Result<u64, CommandError> {
    parse_i64(request.word(index))
        .and_then(|value| u64::try_from(value).ok())
        .ok_or_else(|| error.into())
}

/// The optional count of LPOP, SPOP and ZPOPMIN at word 2.
pub(super) fn pop_count(request: &Request<'_>) -> Result<Option<u64>, CommandError> {
    match request.len() {
        2 => Ok(None),
        _ => Ok(Some(not_negative(request, 2, "ERR value is out of range, must be positive")?)),
    }
}
