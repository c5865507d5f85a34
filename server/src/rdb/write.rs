//! Writing one value, in the plain encodings: one string after the other, whatever it is kept as here.
//!
//! Redis turns them into its own forms when it reads them, by its own limits. Packed forms would be a
//! little shorter, and are what differs from version to version.

use hallpass_engine::Value;
use hallpass_engine::value::Collection;

use super::{kind, string};

/// The kind that [`write_value`] writes it as.
pub fn kind_of(value: Value<'_>) -> u8 {
    match value {
        Value::String(_) => kind::STRING,
        Value::Collection(Collection::List(_)) => kind::LIST,
        Value::Collection(Collection::Set(_)) => kind::SET,
        Value::Collection(Collection::Sorted(_)) => kind::SORTED,
        Value::Collection(Collection::Hash(_)) => kind::HASH,
    }
}

/// Appends a value, without its kind.
pub fn write_value(value: Value<'_>, out: &mut Vec<u8>) {
    let collection = match value {
        Value::String(text) => return string::write(text, out),
        Value::Collection(collection) => collection,
    };
    string::write_length(collection.len(), out);
    match collection {
        Collection::List(list) => list.iter().for_each(|value| string::write(value, out)),
        Collection::Set(set) => set.iter().for_each(|member| string::write(&member, out)),
        Collection::Sorted(sorted) => {
            for (member, score) in sorted {
                string::write(member, out);
                out.extend_from_slice(&score.to_le_bytes());
            }
        }
        Collection::Hash(hash) => {
            for (field, value) in hash {
                string::write(field, out);
                string::write(value, out);
            }
        }
    }
}
