//! Registers: named values that belong to the state and are no keys.
//!
//! For what a cluster has to agree on beside its data, such as who may log in: it goes through the log, is
//! part of snapshots and of the digest, and FLUSHALL leaves it. What a value means is the caller's affair.
//! There are few and they are small, so all of them are under one lock, and copied as a whole.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::op::RegisterChange;
use crate::outcome::{Outcome, Refusal};
use crate::store::Store;

/// The most registers of an engine.
pub const REGISTERS_MAX: usize = 4096;
/// The most bytes of a name.
pub const REGISTER_NAME_BYTES_MAX: usize = 1024;
/// The most bytes of a value.
pub const REGISTER_VALUE_BYTES_MAX: usize = 64 << 10;
/// The most bytes of all names and values together.
pub const REGISTERS_BYTES_MAX: usize = 4 << 20;

/// All registers of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    version: u64,
    values: BTreeMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
}

impl Registers {
    /// Grows by one with every op that changes any.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The value of this name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.values.get(name).map(|value| &**value)
    }

    /// Those whose names begin with `prefix`, in order: what follows it, and the value.
    pub fn under<'r>(&'r self, prefix: &'r [u8]) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        let from = self.values.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        from.map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, &**value)))
    }

    /// All in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.values.iter().map(|(name, value)| (&**name, &**value))
    }

    pub(crate) fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    /// Sets or deletes one; false when it does not fit.
    pub(crate) fn change(&mut self, name: &[u8], value: Option<&[u8]>) -> bool {
        if let Some(old) = self.values.remove(name) {
            self.bytes -= name.len() + old.len();
        }
        let Some(value) = value else { return true };
        self.bytes += name.len() + value.len();
        self.values.insert(name.into(), value.into());
        name.len() <= REGISTER_NAME_BYTES_MAX
            && value.len() <= REGISTER_VALUE_BYTES_MAX
            && self.values.len() <= REGISTERS_MAX
            && self.bytes <= REGISTERS_BYTES_MAX
    }
}

/// Applies [`Op::Registers`](crate::Op::Registers).
pub(crate) fn apply(
    store: &Store,
    seen: Option<u64>,
    changes: &[RegisterChange<'_>],
) -> Result<Outcome, Refusal> {
    let mut registers = store.registers.lock();
    if seen.is_some_and(|seen| seen != registers.version) {
        return Ok(Outcome::Flag(false));
    }
    let mut changed = registers.clone();
    for (name, value) in changes {
        if !changed.change(name, value.as_deref()) {
            return Err(Refusal::TooManyRegisters);
        }
    }
    if changes.is_empty() {
        return Ok(Outcome::Integer(0));
    }
    changed.version += 1;
    *registers = changed;
    drop(registers);
    store.observed.tell_registers_changed();
    Ok(Outcome::Integer(changes.len() as i64))
}
