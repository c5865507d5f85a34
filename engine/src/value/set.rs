//! The set value: distinct members in one order on every machine.
//!
//! The memory form follows what OBJECT ENCODING reports: sorted integers (intset), one packed buffer
//! (listpack), or a table (hashtable). A set only ever moves to a later form, and the form travels in
//! snapshots.
//!
//! Invariant: intsets iterate in ascending order, the others in insertion order but for removals from
//! large ones (see [`SetValue::remove`]).

use std::ops::Deref;

use indexmap::IndexSet;

use super::memory::{self, allocation_bytes};
use super::number::{self, IntegerText};
use super::packed::{self, Packed};
use super::random::{self, Random};
use super::seed::ValueSeed;
use super::wire::{DecodeError, Reader, push_bytes, push_signed, push_varint};
use super::{LISTPACK_ELEMENT_BYTES_MAX, LISTPACK_ENTRIES_MAX, ORDERED_REMOVAL_ENTRIES_MAX};

mod algebra;

/// Most members of an intset: the default of Redis' `set-max-intset-entries`.
const INTSET_ENTRIES_MAX: usize = 512;

/// First byte of the byte form.
const FORM_INTEGERS: u8 = 0;
const FORM_PACKED: u8 = 1;
const FORM_TABLE: u8 = 2;

type Table = IndexSet<Box<[u8]>, ValueSeed>;

/// Distinct members.
#[derive(Debug, Clone)]
pub struct SetValue {
    form: Form,
    /// Heap bytes of a table's entries; unused in the other forms.
    table_bytes: usize,
    seed: ValueSeed,
}

#[derive(Debug, Clone)]
enum Form {
    Integers(Vec<i64>),
    Packed { members: Packed, count: u32 },
    Table(Box<Table>),
}

impl SetValue {
    /// A set without members. It must be given one before it is stored: Redis has no empty sets.
    pub fn new(seed: ValueSeed) -> Self {
        Self { form: Form::Integers(Vec::new()), table_bytes: 0, seed }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Integers(integers) => integers.len(),
            Form::Packed { count, .. } => *count as usize,
            Form::Table(table) => table.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimate of the heap bytes held: a function of the content, not of spare capacity.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Integers(integers) => allocation_bytes(size_of::<i64>() * integers.len()),
            Form::Packed { members, .. } => allocation_bytes(members.bytes()),
            Form::Table(_) => memory::TABLE_BYTES + self.table_bytes,
        }
    }

    /// What OBJECT ENCODING answers under Redis' default limits.
    pub fn encoding(&self) -> &'static str {
        match &self.form {
            Form::Integers(_) => "intset",
            Form::Packed { .. } => "listpack",
            Form::Table(_) => "hashtable",
        }
    }

    /// Tells that one command is about to insert `count` members, `first` before the others, as Redis
    /// does before SADD: too many for a small form lead to a hashtable at once, even if some are
    /// repeated.
    pub fn expect(&mut self, count: usize, first: &[u8]) {
        let entries_max = match &self.form {
            Form::Integers(integers)
                if integers.is_empty() && number::parse_i64(first).is_none() =>
            {
                LISTPACK_ENTRIES_MAX
            }
            Form::Integers(_) => INTSET_ENTRIES_MAX,
            Form::Packed { .. } => LISTPACK_ENTRIES_MAX,
            Form::Table(_) => return,
        };
        if count > entries_max {
            self.become_table();
        }
    }

    /// Whether `member` is in the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.form {
            Form::Integers(integers) => number::parse_i64(member)
                .is_some_and(|integer| integers.binary_search(&integer).is_ok()),
            Form::Packed { members, .. } => members.iter().any(|item| item.bytes == member),
            Form::Table(table) => table.contains(member),
        }
    }

    /// Adds `member`; whether it is new.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        match &mut self.form {
            Form::Integers(integers) => {
                let Some(integer) = number::parse_i64(member) else {
                    if integers.len() < LISTPACK_ENTRIES_MAX
                        && member.len() <= LISTPACK_ELEMENT_BYTES_MAX
                    {
                        self.become_packed();
                    } else {
                        self.become_table();
                    }
                    return self.insert(member);
                };
                let Err(place) = integers.binary_search(&integer) else { return false };
                integers.insert(place, integer);
                if integers.len() > INTSET_ENTRIES_MAX {
                    self.become_table();
                }
                true
            }
            Form::Packed { members, count } => {
                if members.iter().any(|item| item.bytes == member) {
                    return false;
                }
                if *count as usize >= LISTPACK_ENTRIES_MAX
                    || member.len() > LISTPACK_ELEMENT_BYTES_MAX
                {
                    self.become_table();
                    return self.insert(member);
                }
                members.push(member);
                *count += 1;
                true
            }
            Form::Table(table) => {
                if table.contains(member) {
                    return false;
                }
                self.table_bytes += memory::member_bytes(member.len());
                table.insert(member.into())
            }
        }
    }

    /// Removes `member`; whether it was there. Up to `ORDERED_REMOVAL_ENTRIES_MAX` members, and any
    /// number of integers, keep their order; in a larger set the last member takes the place of the
    /// removed one.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.index_of(member) {
            Some(index) => self.take(index).is_some(),
            None => false,
        }
    }

    fn index_of(&self, member: &[u8]) -> Option<usize> {
        match &self.form {
            Form::Integers(integers) => {
                number::parse_i64(member).and_then(|integer| integers.binary_search(&integer).ok())
            }
            Form::Packed { members, .. } => members.iter().position(|item| item.bytes == member),
            Form::Table(table) => table.get_index_of(member),
        }
    }

    /// Takes out the member at `index` of the order.
    fn take(&mut self, index: usize) -> Option<Vec<u8>> {
        match &mut self.form {
            Form::Integers(integers) => (index < integers.len())
                .then(|| number::format_i64(integers.remove(index)).as_bytes().to_vec()),
            Form::Packed { members, count } => {
                let item = members.iter().nth(index)?;
                let (place, member) = (item.place, item.bytes.to_vec());
                members.remove(place);
                *count -= 1;
                Some(member)
            }
            Form::Table(table) => {
                let member = if table.len() <= ORDERED_REMOVAL_ENTRIES_MAX {
                    table.shift_remove_index(index)
                } else {
                    table.swap_remove_index(index)
                }?;
                self.table_bytes -= memory::member_bytes(member.len());
                if memory::is_sparse(table.len(), table.capacity()) {
                    table.shrink_to(2 * table.len());
                }
                Some(member.into_vec())
            }
        }
    }

    /// The members, in order.
    pub fn iter(&self) -> Members<'_> {
        Members(match &self.form {
            Form::Integers(integers) => MembersForm::Integers(integers.iter()),
            Form::Packed { members, .. } => MembersForm::Packed(members.iter()),
            Form::Table(table) => MembersForm::Table(table.iter()),
        })
    }

    /// The member at `index` of the order.
    pub fn at(&self, index: usize) -> Option<Member<'_>> {
        match &self.form {
            Form::Integers(integers) => {
                integers.get(index).map(|&integer| Member::integer(integer))
            }
            Form::Packed { .. } => self.iter().nth(index),
            Form::Table(table) => table.get_index(index).map(|member| Member::Bytes(member)),
        }
    }

    /// SPOP without a count: takes out a member chosen by `seed`.
    pub fn pop(&mut self, seed: u64) -> Option<Vec<u8>> {
        self.pop_many(seed, 1).pop()
    }

    /// SPOP: takes out up to `count` members chosen by `seed`.
    pub fn pop_many(&mut self, seed: u64, count: usize) -> Vec<Vec<u8>> {
        let mut random = Random::new(seed);
        let count = count.min(self.len());
        (0..count).filter_map(|_| self.take(random.below(self.len()))).collect()
    }

    /// SRANDMEMBER without a count: a member chosen by `seed`.
    pub fn random_member(&self, seed: u64) -> Option<Member<'_>> {
        self.random_members(seed, -1).next()
    }

    /// SRANDMEMBER: up to `count` different members, or exactly `-count` with repetition when negative.
    /// They are drawn as they are taken, so a caller may stop at any limit of its own.
    pub fn random_members(&self, seed: u64, count: i64) -> impl Iterator<Item = Member<'_>> {
        // Finding a member by index is a walk while packed: walk once.
        let packed: Option<Vec<_>> =
            matches!(self.form, Form::Packed { .. }).then(|| self.iter().collect());
        random::choose(seed, self.len(), count).filter_map(move |index| match &packed {
            Some(members) => members.get(index).copied(),
            None => self.at(index),
        })
    }

    /// SSCAN: visits some members and returns the cursor to go on with, 0 at the end. An intset or a
    /// listpack is visited whole; a hashtable is walked from the end to the start, for the reason given
    /// at [`HashValue::scan`](super::HashValue::scan).
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        let Form::Table(table) = &self.form else {
            self.iter().for_each(|member| visit(&member));
            return 0;
        };
        let range = memory::scan_step(table.len(), cursor, count);
        let start = range.start;
        table.get_range(range).into_iter().flatten().for_each(|member| visit(member));
        start as u64
    }

    fn become_packed(&mut self) {
        let mut members = Packed::default();
        self.iter().for_each(|member| members.push(&member));
        self.form = Form::Packed { members, count: self.len() as u32 };
    }

    fn become_table(&mut self) {
        let mut table = Table::with_capacity_and_hasher(self.len() + 1, self.seed);
        let mut table_bytes = 0;
        for member in self.iter() {
            table_bytes += memory::member_bytes(member.len());
            table.insert(Box::from(&*member));
        }
        self.table_bytes = table_bytes;
        self.form = Form::Table(Box::new(table));
    }

    /// Appends the byte form.
    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(match &self.form {
            Form::Integers(_) => FORM_INTEGERS,
            Form::Packed { .. } => FORM_PACKED,
            Form::Table(_) => FORM_TABLE,
        });
        push_varint(out, self.len() as u64);
        if let Form::Integers(integers) = &self.form {
            for integer in integers {
                push_signed(out, *integer);
            }
        } else {
            self.iter().for_each(|member| push_bytes(out, &member));
        }
    }

    /// Reads the byte form.
    pub(super) fn decode(reader: &mut Reader<'_>, seed: ValueSeed) -> Result<Self, DecodeError> {
        let mut set = Self::new(seed);
        let form = reader.byte()?;
        let count = reader.count(1)?;
        match form {
            FORM_INTEGERS if count > INTSET_ENTRIES_MAX => return Err(DecodeError::Malformed),
            FORM_INTEGERS => {
                let mut integers = Vec::with_capacity(count);
                for _ in 0..count {
                    integers.push(reader.signed()?);
                }
                if !integers.is_sorted_by(|earlier, later| earlier < later) {
                    return Err(DecodeError::Disordered);
                }
                set.form = Form::Integers(integers);
                return Ok(set);
            }
            FORM_PACKED if count > LISTPACK_ENTRIES_MAX => return Err(DecodeError::Malformed),
            FORM_PACKED => set.become_packed(),
            FORM_TABLE => set.become_table(),
            _ => return Err(DecodeError::Malformed),
        }
        for _ in 0..count {
            let member = reader.bytes()?;
            if form == FORM_PACKED && member.len() > LISTPACK_ELEMENT_BYTES_MAX {
                return Err(DecodeError::Malformed);
            }
            if !set.insert(member) {
                return Err(DecodeError::Disordered);
            }
        }
        Ok(set)
    }
}

impl<'a> IntoIterator for &'a SetValue {
    type Item = Member<'a>;
    type IntoIter = Members<'a>;

    fn into_iter(self) -> Members<'a> {
        self.iter()
    }
}

/// A member, as bytes: integers are kept as numbers and written out here.
#[derive(Debug, Clone, Copy)]
pub enum Member<'a> {
    /// A member of an intset.
    Integer(IntegerText),
    /// Any other.
    Bytes(&'a [u8]),
}

impl Member<'_> {
    fn integer(integer: i64) -> Self {
        Self::Integer(number::format_i64(integer))
    }
}

impl Deref for Member<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Integer(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The members of a set, in order.
#[derive(Debug, Clone)]
pub struct Members<'a>(MembersForm<'a>);

#[derive(Debug, Clone)]
enum MembersForm<'a> {
    Integers(std::slice::Iter<'a, i64>),
    Packed(packed::Items<'a>),
    Table(indexmap::set::Iter<'a, Box<[u8]>>),
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        match &mut self.0 {
            MembersForm::Integers(integers) => integers.next().map(|&next| Member::integer(next)),
            MembersForm::Packed(items) => items.next().map(|item| Member::Bytes(item.bytes)),
            MembersForm::Table(members) => members.next().map(|member| Member::Bytes(member)),
        }
    }
}

#[cfg(test)]
mod tests;
