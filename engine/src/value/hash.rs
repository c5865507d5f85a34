//! The hash value: fields and their values, in insertion order.
//!
//! A session kept by Spring or Magento is a hash of a few fields, so a small one lives in a single
//! [`Packed`] buffer (field, value, field, value) and only a larger one in a table. Which of the two is
//! an own matter, bounded by bytes; what OBJECT ENCODING reports follows Redis' limits and is kept as a
//! flag. Both are sticky and travel in snapshots: a hash that was read back is the same hash.
//!
//! Invariant: the order of fields is a function of the operations alone, on every machine.

use indexmap::IndexMap;

use super::memory::{self, allocation_bytes};
use super::number::{self, IncrementError, LongDouble};
use super::packed::{self, Packed, item_bytes};
use super::random;
use super::seed::ValueSeed;
use super::wire::{DecodeError, Reader, push_bytes, push_varint};
use super::{LISTPACK_ELEMENT_BYTES_MAX, LISTPACK_ENTRIES_MAX, ORDERED_REMOVAL_ENTRIES_MAX};

/// Past this many bytes a hash leaves its packed buffer: replacing a value moves what follows it.
const PACKED_BYTES_MAX: usize = 8 * 1024;

/// Most fields of a listpack: the default of Redis' `hash-max-listpack-entries`. A hash is turned into a
/// table earlier than that, but answers as one that Redis keeps in a listpack.
const LISTPACK_FIELDS_MAX: usize = 512;

/// Flags of the byte form.
const FLAG_HASHTABLE: u8 = 1;
const FLAG_TABLE: u8 = 2;

type Table = IndexMap<Box<[u8]>, Box<[u8]>, ValueSeed>;

/// Fields with values, in insertion order.
#[derive(Debug, Clone)]
pub struct HashValue {
    form: Form,
    /// Heap bytes of a table's entries; unused while packed.
    table_bytes: usize,
    seed: ValueSeed,
    /// Whether Redis would have left its listpack by now. Sticky.
    hashtable: bool,
}

#[derive(Debug, Clone)]
enum Form {
    Packed { pairs: Packed, fields: u32 },
    Table(Box<Table>),
}

impl HashValue {
    /// A hash without fields. It must be given one before it is stored: Redis has no empty hashes.
    pub fn new(seed: ValueSeed) -> Self {
        let form = Form::Packed { pairs: Packed::default(), fields: 0 };
        Self { form, table_bytes: 0, seed, hashtable: false }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed { fields, .. } => *fields as usize,
            Form::Table(table) => table.len(),
        }
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimate of the heap bytes held: a function of the content, not of spare capacity.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Packed { pairs, .. } => allocation_bytes(pairs.bytes()),
            Form::Table(_) => memory::TABLE_BYTES + self.table_bytes,
        }
    }

    /// What OBJECT ENCODING answers under Redis' default limits.
    pub fn encoding(&self) -> &'static str {
        if self.hashtable { "hashtable" } else { "listpack" }
    }

    /// Tells that `fields` fields of `bytes` bytes in all are about to be inserted by one command, as
    /// Redis does before HSET: one buffer is reserved, and more fields than a listpack may hold turn
    /// the hash into a hashtable even if some are repeated.
    pub fn expect(&mut self, fields: usize, bytes: usize) {
        self.hashtable |= fields > LISTPACK_FIELDS_MAX;
        if let Form::Packed { pairs, .. } = &mut self.form
            && pairs.bytes() + bytes <= PACKED_BYTES_MAX
        {
            pairs.reserve(bytes + 2 * fields);
        }
    }

    /// The value of `field`.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match &self.form {
            Form::Packed { pairs, .. } => find(pairs, field).map(|found| found.value.bytes),
            Form::Table(table) => table.get(field).map(AsRef::as_ref),
        }
    }

    /// Whether `field` exists.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets `field`; whether it is new. An existing field keeps its place in the order.
    pub fn insert(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.hashtable |= field.len().max(value.len()) > LISTPACK_ELEMENT_BYTES_MAX;
        let new = match &mut self.form {
            Form::Packed { pairs, fields } => {
                let place = find(pairs, field).map(|found| found.value.place);
                let freed = place.as_ref().map_or(0, ExactSizeIterator::len);
                let added = match place {
                    Some(_) => item_bytes(value),
                    None => item_bytes(field) + item_bytes(value),
                };
                let count = *fields as usize + usize::from(place.is_none());
                if pairs.bytes() - freed + added > PACKED_BYTES_MAX || count > LISTPACK_ENTRIES_MAX
                {
                    self.leave_packed();
                    return self.insert(field, value);
                }
                let new = place.is_none();
                if let Some(place) = place {
                    pairs.replace(place, value);
                } else {
                    pairs.reserve(added);
                    pairs.push(field);
                    pairs.push(value);
                    *fields += 1;
                }
                new
            }
            Form::Table(table) => {
                let added = allocation_bytes(value.len());
                if let Some(stored) = table.get_mut(field) {
                    self.table_bytes -= allocation_bytes(stored.len());
                    self.table_bytes += added;
                    *stored = value.into();
                    false
                } else {
                    self.table_bytes += memory::pair_bytes(field.len(), value.len());
                    table.insert(field.into(), value.into());
                    true
                }
            }
        };
        self.hashtable |= self.len() > LISTPACK_FIELDS_MAX;
        new
    }

    /// Sets `field` unless it exists; whether it was set.
    pub fn insert_if_absent(&mut self, field: &[u8], value: &[u8]) -> bool {
        !self.contains(field) && self.insert(field, value)
    }

    /// Removes `field`; whether it existed. Up to `ORDERED_REMOVAL_ENTRIES_MAX` fields keep their
    /// order; in a larger hash the last field takes the place of the removed one.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.form {
            Form::Packed { pairs, fields } => {
                let Some(found) = find(pairs, field) else { return false };
                let place = found.field.place.start..found.value.place.end;
                pairs.remove(place);
                *fields -= 1;
            }
            Form::Table(table) => {
                let removed = if table.len() <= ORDERED_REMOVAL_ENTRIES_MAX {
                    table.shift_remove(field)
                } else {
                    table.swap_remove(field)
                };
                let Some(value) = removed else { return false };
                self.table_bytes -= memory::pair_bytes(field.len(), value.len());
                if memory::is_sparse(table.len(), table.capacity()) {
                    table.shrink_to(2 * table.len());
                }
            }
        }
        true
    }

    /// The fields with their values, in order.
    pub fn iter(&self) -> Fields<'_> {
        match &self.form {
            Form::Packed { pairs, .. } => Fields(FieldsForm::Packed(pairs.iter())),
            Form::Table(table) => Fields(FieldsForm::Table(table.iter())),
        }
    }

    /// The field at `index` of the order.
    pub fn at(&self, index: usize) -> Option<(&[u8], &[u8])> {
        match &self.form {
            Form::Packed { .. } => self.iter().nth(index),
            Form::Table(table) => {
                table.get_index(index).map(|(field, value)| (field.as_ref(), value.as_ref()))
            }
        }
    }

    /// HINCRBY: adds to the integer at `field` (0 when absent) and returns the sum.
    ///
    /// # Errors
    /// The value is not an integer, or the sum overflows; the hash is unchanged then.
    pub fn increment_by(&mut self, field: &[u8], increment: i64) -> Result<i64, IncrementError> {
        let current = match self.get(field) {
            Some(value) => number::parse_i64(value).ok_or(IncrementError::NotAnInteger)?,
            None => 0,
        };
        let sum = current.checked_add(increment).ok_or(IncrementError::Overflow)?;
        self.insert(field, number::format_i64(sum).as_bytes());
        Ok(sum)
    }

    /// HINCRBYFLOAT: adds to the number at `field` (0 when absent) and returns the text stored.
    ///
    /// # Errors
    /// The value is not a number, or the sum is NaN or infinite; the hash is unchanged then.
    pub fn increment_by_float(
        &mut self,
        field: &[u8],
        increment: LongDouble,
    ) -> Result<String, IncrementError> {
        let current = match self.get(field) {
            Some(value) => LongDouble::parse(value).ok_or(IncrementError::NotAFloat)?,
            None => LongDouble::ZERO,
        };
        let sum = current.add(increment).finite().ok_or(IncrementError::NotFinite)?;
        let text = sum.to_string();
        self.insert(field, text.as_bytes());
        Ok(text)
    }

    /// HSCAN: visits some fields and returns the cursor to go on with, 0 at the end. A call with cursor
    /// 0 starts.
    ///
    /// A listpack is visited whole, as Redis does. A hashtable is walked by index from the end to the
    /// start, and the cursor is how many fields are still ahead. That way no field that is there from
    /// the first call to the last is skipped: a removal moves either the last field (visited already, or
    /// ahead and then still ahead) into the gap, or each later field one down, which never carries a
    /// field ahead past the cursor; and new fields come at the end, behind the walk. A field may be
    /// visited twice, which SCAN allows.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        if !self.hashtable {
            self.iter().for_each(|(field, value)| visit(field, value));
            return 0;
        }
        let range = memory::scan_step(self.len(), cursor, count);
        let start = range.start;
        match &self.form {
            Form::Packed { .. } => {
                let fields = self.iter().skip(start).take(range.len());
                fields.for_each(|(field, value)| visit(field, value));
            }
            Form::Table(table) => {
                let fields = table.get_range(range).into_iter().flatten();
                fields.for_each(|(field, value)| visit(field, value));
            }
        }
        start as u64
    }

    /// HRANDFIELD without a count: one field, chosen by `seed`.
    pub fn random_field(&self, seed: u64) -> Option<(&[u8], &[u8])> {
        self.random_fields(seed, -1).next()
    }

    /// HRANDFIELD: up to `count` different fields, or exactly `-count` with repetition when negative.
    /// They are drawn as they are taken, so a caller may stop at any limit of its own.
    pub fn random_fields(&self, seed: u64, count: i64) -> impl Iterator<Item = (&[u8], &[u8])> {
        // Finding a field by index is a walk while packed: walk once.
        let packed: Option<Vec<_>> =
            matches!(self.form, Form::Packed { .. }).then(|| self.iter().collect());
        random::choose(seed, self.len(), count).filter_map(move |index| match &packed {
            Some(fields) => fields.get(index).copied(),
            None => self.at(index),
        })
    }

    /// Moves the fields from the packed buffer to a table, in their order.
    fn leave_packed(&mut self) {
        let mut table = Table::with_capacity_and_hasher(self.len() + 1, self.seed);
        let mut table_bytes = 0;
        for (field, value) in self.iter() {
            table_bytes += memory::pair_bytes(field.len(), value.len());
            table.insert(field.into(), value.into());
        }
        self.table_bytes = table_bytes;
        self.form = Form::Table(Box::new(table));
    }

    /// Appends the byte form.
    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        let table = matches!(self.form, Form::Table(_));
        let flags = if self.hashtable { FLAG_HASHTABLE } else { 0 };
        out.push(flags | if table { FLAG_TABLE } else { 0 });
        push_varint(out, self.len() as u64);
        for (field, value) in self {
            push_bytes(out, field);
            push_bytes(out, value);
        }
    }

    /// Reads the byte form.
    pub(super) fn decode(reader: &mut Reader<'_>, seed: ValueSeed) -> Result<Self, DecodeError> {
        let flags = reader.byte()?;
        if flags & !(FLAG_HASHTABLE | FLAG_TABLE) != 0 {
            return Err(DecodeError::Malformed);
        }
        let mut hash = Self::new(seed);
        hash.hashtable = flags & FLAG_HASHTABLE != 0;
        if flags & FLAG_TABLE != 0 {
            hash.leave_packed();
        }
        for _ in 0..reader.count(2)? {
            let (field, value) = (reader.bytes()?, reader.bytes()?);
            if !hash.insert(field, value) {
                return Err(DecodeError::Disordered);
            }
        }
        Ok(hash)
    }
}

impl<'a> IntoIterator for &'a HashValue {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Fields<'a>;

    fn into_iter(self) -> Fields<'a> {
        self.iter()
    }
}

/// A field found in a packed buffer.
struct Found<'a> {
    field: packed::Item<'a>,
    value: packed::Item<'a>,
}

fn find<'a>(pairs: &'a Packed, field: &[u8]) -> Option<Found<'a>> {
    let mut items = pairs.iter();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        if name.bytes == field {
            return Some(Found { field: name, value });
        }
    }
    None
}

/// Fields with their values, in order.
#[derive(Debug, Clone)]
pub struct Fields<'a>(FieldsForm<'a>);

#[derive(Debug, Clone)]
enum FieldsForm<'a> {
    Packed(packed::Items<'a>),
    Table(indexmap::map::Iter<'a, Box<[u8]>, Box<[u8]>>),
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            FieldsForm::Packed(items) => Some((items.next()?.bytes, items.next()?.bytes)),
            FieldsForm::Table(entries) => {
                entries.next().map(|(field, value)| (field.as_ref(), value.as_ref()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
