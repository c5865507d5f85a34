//! A rule as bytes, for logs and snapshots.
//!
//! ```text
//! name  keys  fence number  flags u8 (1 field, 2 pointer, 4 error reply)  [field]  [pointer]
//! count of decoders, then of each: number u8  [prefix, of `strip`]
//! ```
//!
//! Byte strings have their length in front; numbers are varints. A decoder's number is never changed.

use super::{DECODERS_MAX, Decoder, FenceReply, Rule, Source};
use crate::varint;

const FIELD: u8 = 1;
const POINTER: u8 = 2;
const ERROR: u8 = 4;

/// Appends a rule.
pub(crate) fn encode(rule: &Rule, out: &mut Vec<u8>) {
    let Source { field, decoders, pointer } = &rule.source;
    varint::push_bytes(out, &rule.name);
    varint::push_bytes(out, &rule.keys);
    varint::push(out, rule.fence_millis);
    out.push(
        if field.is_some() { FIELD } else { 0 }
            | if pointer.is_some() { POINTER } else { 0 }
            | if rule.fence_reply == FenceReply::Error { ERROR } else { 0 },
    );
    for word in field.iter().chain(pointer) {
        varint::push_bytes(out, word);
    }
    varint::push(out, decoders.len() as u64);
    for decoder in decoders {
        out.push(number(decoder));
        if let Decoder::Strip(prefix) = decoder {
            varint::push_bytes(out, prefix);
        }
    }
}

/// Takes a rule off the front; `None` when the bytes are none, or one that cannot be kept.
pub(crate) fn decode(rest: &mut &[u8]) -> Option<Rule> {
    let (name, keys) = (varint::take_bytes(rest)?.to_vec(), varint::take_bytes(rest)?.to_vec());
    let fence_millis = varint::take(rest)?;
    let (&flags, after) = rest.split_first()?;
    *rest = after;
    if flags > FIELD | POINTER | ERROR {
        return None;
    }
    let field = if flags & FIELD == 0 { None } else { Some(varint::take_bytes(rest)?.to_vec()) };
    let pointer =
        if flags & POINTER == 0 { None } else { Some(varint::take_bytes(rest)?.to_vec()) };
    let count = usize::try_from(varint::take(rest)?).ok().filter(|count| *count <= DECODERS_MAX)?;
    let mut decoders = Vec::with_capacity(count);
    for _ in 0..count {
        let (&number, after) = rest.split_first()?;
        *rest = after;
        decoders.push(match number {
            0 => Decoder::Base64,
            1 => Decoder::Url,
            2 => Decoder::Json,
            3 => Decoder::JavaString,
            4 => Decoder::Php,
            5 => Decoder::PhpSession,
            6 => Decoder::Django,
            7 => Decoder::MessagePack,
            8 => Decoder::Strip(varint::take_bytes(rest)?.to_vec()),
            _ => return None,
        });
    }
    let fence_reply = if flags & ERROR == 0 { FenceReply::Ok } else { FenceReply::Error };
    let source = Source { field, decoders, pointer };
    let rule = Rule { name, keys, source, fence_millis, fence_reply };
    rule.check().is_ok().then_some(rule)
}

fn number(decoder: &Decoder) -> u8 {
    match decoder {
        Decoder::Base64 => 0,
        Decoder::Url => 1,
        Decoder::Json => 2,
        Decoder::JavaString => 3,
        Decoder::Php => 4,
        Decoder::PhpSession => 5,
        Decoder::Django => 6,
        Decoder::MessagePack => 7,
        Decoder::Strip(_) => 8,
    }
}
