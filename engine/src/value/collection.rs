//! Any value that is not a string, its byte form, and what digests see of it.
//!
//! The byte form is one byte for the kind and then the value's own form, which carries encoding and
//! order: a value read back behaves exactly as the one written. It is not framed; the snapshot that
//! holds it knows where it ends.

use super::wire::{DecodeError, Reader};
use super::{HashValue, ListValue, SetValue, SortedValue, ValueSeed};

/// The kinds of collection, by the byte that opens their byte form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Fields with values.
    Hash = 1,
    /// Distinct members.
    Set = 2,
    /// Members with scores.
    Sorted = 3,
    /// Values from head to tail.
    List = 4,
}

impl Kind {
    /// What TYPE answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Set => "set",
            Self::Sorted => "zset",
            Self::List => "list",
        }
    }
}

/// A hash, set, sorted set or list.
#[derive(Debug, Clone)]
pub enum Collection {
    /// Fields with values.
    Hash(HashValue),
    /// Distinct members.
    Set(SetValue),
    /// Members with scores.
    Sorted(SortedValue),
    /// Values from head to tail.
    List(ListValue),
}

impl Collection {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Hash(_) => Kind::Hash,
            Self::Set(_) => Kind::Set,
            Self::Sorted(_) => Kind::Sorted,
            Self::List(_) => Kind::List,
        }
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Hash(hash) => hash.len(),
            Self::Set(set) => set.len(),
            Self::Sorted(sorted) => sorted.len(),
            Self::List(list) => list.len(),
        }
    }

    /// Whether it has no elements; its key is then to be deleted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimate of the heap bytes held, in constant time: a function of the content and its history
    /// of encodings, never of capacities, so the same on every node.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Hash(hash) => hash.memory_bytes(),
            Self::Set(set) => set.memory_bytes(),
            Self::Sorted(sorted) => sorted.memory_bytes(),
            Self::List(list) => list.memory_bytes(),
        }
    }

    /// What OBJECT ENCODING answers under Redis' default limits.
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::Hash(hash) => hash.encoding(),
            Self::Set(set) => set.encoding(),
            Self::Sorted(sorted) => sorted.encoding(),
            Self::List(list) => list.encoding(),
        }
    }

    /// Length of its longest element: field, value, member. Looks at all of them.
    pub fn longest_bytes(&self) -> usize {
        let longest = match self {
            Self::Hash(hash) => {
                hash.iter().map(|(field, value)| field.len().max(value.len())).max()
            }
            Self::Set(set) => set.iter().map(|member| member.len()).max(),
            Self::Sorted(sorted) => sorted.iter().map(|(member, _)| member.len()).max(),
            Self::List(list) => list.iter().map(<[u8]>::len).max(),
        };
        longest.unwrap_or(0)
    }

    /// Appends the byte form.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(self.kind() as u8);
        match self {
            Self::Hash(hash) => hash.encode_into(out),
            Self::Set(set) => set.encode_into(out),
            Self::Sorted(sorted) => sorted.encode_into(out),
            Self::List(list) => list.encode_into(out),
        }
    }

    /// Reads a byte form that fills `bytes` exactly. `seed` keys the value's tables.
    ///
    /// # Errors
    /// The bytes are no byte form of a collection with at least one element. Never panics, and never
    /// allocates more than a small multiple of the bytes given.
    pub fn decode(bytes: &[u8], seed: ValueSeed) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let collection = match reader.byte()? {
            1 => Self::Hash(HashValue::decode(&mut reader, seed)?),
            2 => Self::Set(SetValue::decode(&mut reader, seed)?),
            3 => Self::Sorted(SortedValue::decode(&mut reader, seed)?),
            4 => Self::List(ListValue::decode(&mut reader)?),
            kind => return Err(DecodeError::UnknownKind(kind)),
        };
        reader.finish()?;
        if collection.is_empty() { Err(DecodeError::Empty) } else { Ok(collection) }
    }

    /// Visits each element as bytes that no other element of an equal collection has: a hash's field
    /// and value, a set's member, a sorted set's score and member, a list's index and value, each part
    /// behind its length. A digest that adds up a hash of each visit is the same for equal content,
    /// whatever the internal order.
    pub fn for_each_element(&self, mut visit: impl FnMut(&[u8])) {
        let mut element = Vec::new();
        let mut put = |parts: [&[u8]; 2]| {
            element.clear();
            for part in parts {
                element.extend_from_slice(&(part.len() as u64).to_le_bytes());
                element.extend_from_slice(part);
            }
            visit(&element);
        };
        match self {
            Self::Hash(hash) => hash.iter().for_each(|(field, value)| put([field, value])),
            Self::Set(set) => set.iter().for_each(|member| put([&member, &[]])),
            Self::Sorted(sorted) => {
                for (member, score) in sorted {
                    put([&score.to_bits().to_le_bytes(), member]);
                }
            }
            Self::List(list) => {
                for (index, value) in list.iter().enumerate() {
                    put([&(index as u64).to_le_bytes(), value]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
