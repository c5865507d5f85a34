//! Reading one value, whatever encoding it was written in.
//!
//! A collection is built as if a client had sent its elements one by one, so what it is kept as is decided
//! by this store's limits and not by the writer's. Repeated elements are refused: no writer makes them,
//! and which of two counts would be a guess.

use std::borrow::Cow;

use hallpass_engine::value::number::{format_i64, parse_f64};
use hallpass_engine::value::sorted::Added;
use hallpass_engine::value::{Collection, HashValue, ListValue, SetValue, SortedValue, ValueSeed};
use hallpass_engine::{Side, SortedAddOptions};

use super::cursor::Cursor;
use super::ziplist::Element;
use super::{RdbError, intset, kind, listpack, string, ziplist, zipmap};

/// What an element is taken to cost beside its bytes: about what keeping it does.
const ELEMENT_COST_BYTES: usize = 16;

/// A list's node that is one string.
const NODE_PLAIN: u64 = 1;
/// A list's node that is a listpack.
const NODE_PACKED: u64 = 2;

/// A score's length that stands for what has no digits.
const SCORE_NAN: u8 = 253;
const SCORE_INFINITY: u8 = 254;
const SCORE_NEGATIVE_INFINITY: u8 = 255;

const NOT_A_NUMBER: RdbError = RdbError::Malformed("a score is no number");
const ODD: RdbError = RdbError::Malformed("an element without its other half");

/// How much a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest string, and the longest element of a collection.
    pub element_bytes_max: usize,
    /// All of a collection, each element counted with 16 bytes more: a few compressed bytes may stand
    /// for many.
    pub value_bytes_max: usize,
}

/// A value that was read.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string.
    String(Vec<u8>),
    /// A hash, set, sorted set or list, with at least one element.
    Collection(Collection),
}

/// Takes a value of this [`kind`] off the front of the bytes. `seed` keys the tables of its elements.
///
/// # Errors
/// Why the bytes do not begin with one. After [`RdbError::Truncated`] more bytes may help; what was taken
/// by then is to be read again.
pub fn read_value(
    cursor: &mut Cursor<'_>,
    kind: u8,
    limits: &Limits,
    seed: ValueSeed,
) -> Result<Value, RdbError> {
    if kind == kind::STRING {
        let text = string::read(cursor, limits.element_bytes_max)?;
        return Ok(Value::String(text.into_owned()));
    }
    let mut reader = Reader { cursor, limits, budget_bytes: limits.value_bytes_max };
    let collection = match kind {
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_ZIPLISTS | kind::LIST_LISTPACKS => {
            Collection::List(reader.list(kind)?)
        }
        kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => {
            Collection::Set(reader.set(kind, seed)?)
        }
        kind::SORTED_TEXT | kind::SORTED | kind::SORTED_ZIPLIST | kind::SORTED_LISTPACK => {
            Collection::Sorted(reader.sorted(kind, seed)?)
        }
        kind::HASH | kind::HASH_ZIPMAP | kind::HASH_ZIPLIST | kind::HASH_LISTPACK => {
            Collection::Hash(reader.hash(kind, seed)?)
        }
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => {
            return Err(RdbError::Unsupported("streams"));
        }
        kind::MODULE_OLD | kind::MODULE => {
            return Err(RdbError::Unsupported("values of modules"));
        }
        unknown => return Err(RdbError::UnknownKind(unknown)),
    };
    if collection.is_empty() { Err(RdbError::Empty) } else { Ok(Value::Collection(collection)) }
}

/// A collection being read.
struct Reader<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    limits: &'c Limits,
    budget_bytes: usize,
}

impl<'a> Reader<'_, 'a> {
    /// An element.
    fn string(&mut self) -> Result<Cow<'a, [u8]>, RdbError> {
        let bytes_max = self.limits.element_bytes_max.min(self.budget_bytes);
        let text = string::read(self.cursor, bytes_max).map_err(|error| match error {
            RdbError::ElementTooLong if bytes_max < self.limits.element_bytes_max => {
                RdbError::ValueTooLarge
            }
            other => other,
        })?;
        self.spend(&text)?;
        Ok(text)
    }

    /// The piece of bytes that a packed form is. Its elements are paid for one by one.
    fn packed(&mut self) -> Result<Cow<'a, [u8]>, RdbError> {
        string::read(self.cursor, self.limits.value_bytes_max).map_err(|error| match error {
            RdbError::ElementTooLong => RdbError::ValueTooLarge,
            other => other,
        })
    }

    /// Pays for an element.
    fn spend(&mut self, element: &[u8]) -> Result<(), RdbError> {
        if element.len() > self.limits.element_bytes_max {
            return Err(RdbError::ElementTooLong);
        }
        let cost = element.len().saturating_add(ELEMENT_COST_BYTES);
        self.budget_bytes = self.budget_bytes.checked_sub(cost).ok_or(RdbError::ValueTooLarge)?;
        Ok(())
    }

    /// An element of a packed form.
    fn unpacked<'e>(&mut self, element: Element<'e>) -> Result<Cow<'e, [u8]>, RdbError> {
        let text = element.text();
        self.spend(&text)?;
        Ok(text)
    }

    fn list(&mut self, kind: u8) -> Result<ListValue, RdbError> {
        let mut list = ListValue::new();
        if kind == kind::LIST_ZIPLIST {
            self.list_node(&mut list, ziplist::read)?;
            return Ok(list);
        }
        for _ in 0..self.cursor.count()? {
            if kind == kind::LIST {
                list.push(Side::Tail, &self.string()?);
            } else if kind == kind::LIST_ZIPLISTS {
                self.list_node(&mut list, ziplist::read)?;
            } else {
                match self.cursor.plain_length()? as u64 {
                    NODE_PLAIN => list.push(Side::Tail, &self.string()?),
                    NODE_PACKED => self.list_node(&mut list, listpack::read)?,
                    _ => return Err(RdbError::Malformed("a list's node of an unknown kind")),
                }
            }
        }
        Ok(list)
    }

    fn list_node(&mut self, list: &mut ListValue, read: Unpack) -> Result<(), RdbError> {
        let packed = self.packed()?;
        read(&packed, &mut |element| {
            list.push(Side::Tail, &self.unpacked(element)?);
            Ok(())
        })
    }

    fn set(&mut self, kind: u8, seed: ValueSeed) -> Result<SetValue, RdbError> {
        let mut set = SetValue::new(seed);
        let mut add = |member: &[u8]| once(set.insert(member));
        match kind {
            kind::SET => {
                for _ in 0..self.cursor.count()? {
                    add(&self.string()?)?;
                }
            }
            kind::SET_INTSET => {
                let packed = self.packed()?;
                intset::read(&packed, |integer| {
                    let text = format_i64(integer);
                    self.spend(text.as_bytes())?;
                    add(text.as_bytes())
                })?;
            }
            _ => {
                let packed = self.packed()?;
                listpack::read(&packed, &mut |element| add(&self.unpacked(element)?))?;
            }
        }
        Ok(set)
    }

    fn sorted(&mut self, kind: u8, seed: ValueSeed) -> Result<SortedValue, RdbError> {
        let mut sorted = SortedValue::new(seed);
        let mut add = |member: &[u8], score: f64| {
            let added = sorted.add(member, score, SortedAddOptions::default());
            once(matches!(added.map_err(|_| NOT_A_NUMBER)?, Added::New(_)))
        };
        match kind {
            kind::SORTED | kind::SORTED_TEXT => {
                for _ in 0..self.cursor.count()? {
                    let member = self.string()?;
                    let score = match kind {
                        kind::SORTED => f64::from_le_bytes(self.cursor.array()?),
                        _ => self.score_text()?,
                    };
                    add(&member, score)?;
                }
            }
            _ => self.pairs(unpack_of(kind), |member, score| {
                let score = match score {
                    Element::Integer(integer) => integer as f64,
                    Element::Text(text) => parse_f64(text).ok_or(NOT_A_NUMBER)?,
                };
                add(&member.text(), score)
            })?,
        }
        Ok(sorted)
    }

    /// A score as text behind its length, which may stand for what has no digits.
    fn score_text(&mut self) -> Result<f64, RdbError> {
        match self.cursor.byte()? {
            SCORE_NAN => Err(NOT_A_NUMBER),
            SCORE_INFINITY => Ok(f64::INFINITY),
            SCORE_NEGATIVE_INFINITY => Ok(f64::NEG_INFINITY),
            length => parse_f64(self.cursor.take(length.into())?).ok_or(NOT_A_NUMBER),
        }
    }

    fn hash(&mut self, kind: u8, seed: ValueSeed) -> Result<HashValue, RdbError> {
        let mut hash = HashValue::new(seed);
        let mut add = |field: &[u8], value: &[u8]| once(hash.insert_if_absent(field, value));
        match kind {
            kind::HASH => {
                for _ in 0..self.cursor.count()? {
                    let (field, value) = (self.string()?, self.string()?);
                    add(&field, &value)?;
                }
            }
            kind::HASH_ZIPMAP => {
                let packed = self.packed()?;
                zipmap::read(&packed, |field, value| {
                    self.spend(field)?;
                    self.spend(value)?;
                    add(field, value)
                })?;
            }
            _ => self.pairs(unpack_of(kind), |field, value| add(&field.text(), &value.text()))?,
        }
        Ok(hash)
    }

    /// Visits the elements of a packed form two by two.
    fn pairs(
        &mut self,
        read: Unpack,
        mut visit: impl FnMut(Element<'_>, Element<'_>) -> Result<(), RdbError>,
    ) -> Result<(), RdbError> {
        let packed = self.packed()?;
        let mut first = None;
        read(&packed, &mut |element| {
            self.unpacked(element)?;
            match first.take() {
                None => first = Some(element),
                Some(first) => visit(first, element)?,
            }
            Ok(())
        })?;
        if first.is_some() { Err(ODD) } else { Ok(()) }
    }
}

/// Goes through a packed form.
type Unpack = for<'p> fn(
    &'p [u8],
    &mut dyn FnMut(Element<'p>) -> Result<(), RdbError>,
) -> Result<(), RdbError>;

/// How the packed form of a hash or sorted set is gone through.
fn unpack_of(kind: u8) -> Unpack {
    match kind {
        kind::HASH_ZIPLIST | kind::SORTED_ZIPLIST => ziplist::read,
        _ => listpack::read,
    }
}

fn once(is_new: bool) -> Result<(), RdbError> {
    if is_new { Ok(()) } else { Err(RdbError::Duplicate) }
}
