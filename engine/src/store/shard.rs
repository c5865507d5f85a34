//! One shard: table, slots, wheel and counts, under one lock.
//!
//! Everything here is physical: a record may be past its deadline or its user's logout and still be
//! found. Whether it is visible is asked with [`Shard::is_live`], on every read (promise 4).

use std::sync::Arc;

use super::arena::Arena;
use super::record::{Kind, Record};
use super::slots::Slots;
use super::table::{CellAt, Table};
use crate::expiry::wheel::Wheel;
use crate::key::{DATABASES, HashSeed, Hint, Key, SessionHash};
use crate::op::Limits;
use crate::session::limits::LimitsTable;
use crate::snapshot::image::ShardImage;
use crate::time::Stamp;
use crate::user::shard::ALONE_BYTES;

/// What a table cell and a slot cost, on average.
const OVERHEAD_BYTES: usize = 12 + 6;

/// Keys of one database in one shard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PlainCount {
    pub(crate) keys: u64,
    pub(crate) with_deadline: u64,
}

/// A shard of the store.
pub(crate) struct Shard {
    pub(crate) table: Table,
    pub(crate) slots: Slots,
    pub(crate) wheel: Wheel,
    pub(crate) limits: LimitsTable,
    pub(crate) plain: [PlainCount; DATABASES as usize],
    /// Session records, without aliases.
    pub(crate) sessions: u64,
    /// Plain records with an owner: while there are none, a write needs no look at users.
    pub(crate) owned_plain: u64,
    pub(crate) expired_total: u64,
    /// Set while a snapshot is being taken of this shard.
    pub(crate) image: Option<Box<ShardImage>>,
    seed: HashSeed,
}

/// A record where it was found.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) slot: u32,
    pub(crate) record: Record,
    at: CellAt,
}

impl Shard {
    pub(crate) fn new(arena: &Arc<Arena>, seed: HashSeed) -> Self {
        Self {
            table: Table::new(arena),
            slots: Slots::new(arena),
            wheel: Wheel::new(),
            limits: LimitsTable::default(),
            plain: [PlainCount::default(); DATABASES as usize],
            sessions: 0,
            owned_plain: 0,
            expired_total: 0,
            image: None,
            seed,
        }
    }

    /// The record of a key, dead or alive.
    #[inline]
    pub(crate) fn find_key(&self, key: &Key<'_>) -> Option<Found> {
        self.find(key.hash, |record| record.is_key(key))
    }

    /// The session or alias of an id, dead or alive.
    #[inline]
    pub(crate) fn find_session(&self, id: &SessionHash) -> Option<Found> {
        self.find(id.hash(), |record| record.is_session(id))
    }

    /// The record of a key for reading, dead or alive: where the key's hint says, or else found.
    #[inline]
    pub(crate) fn record_of_key(&self, key: &Key<'_>) -> Option<Record> {
        match self.hinted(key.hint).filter(|record| record.is_key(key)) {
            Some(record) => Some(record),
            None => self.find_key(key).map(|found| found.record),
        }
    }

    /// The session or alias of an id for reading, dead or alive: where the hint says, or else found.
    #[inline]
    pub(crate) fn record_of_session(&self, id: &SessionHash, hint: Hint) -> Option<Record> {
        match self.hinted(hint).filter(|record| record.is_session(id)) {
            Some(record) => Some(record),
            None => self.find_session(id).map(|found| found.record),
        }
    }

    #[inline]
    fn hinted(&self, hint: Hint) -> Option<Record> {
        self.slots.get(hint.slot()?)
    }

    #[inline]
    fn find(&self, hash: u64, is_it: impl Fn(Record) -> bool) -> Option<Found> {
        let mut record = None;
        let (slot, at) = self.table.find(hash, |slot| {
            record = self.slots.get(slot).filter(|&record| is_it(record));
            record.is_some()
        })?;
        Some(Found { slot, record: record?, at })
    }

    /// The deadline that decides: of a session the sooner of idle and absolute.
    #[inline]
    pub(crate) fn deadline_of(&self, record: Record) -> Stamp {
        deadline_of(&self.limits, record)
    }

    /// Whether a record is visible: before its deadline, and its user not logged out since.
    #[inline]
    pub(crate) fn is_live(&self, record: Record, epoch: u32, now: Stamp) -> bool {
        self.deadline_of(record).alive_at(now) && record.alive_in(epoch)
    }

    /// Puts a new record under a hash no live record has.
    pub(crate) fn insert(&mut self, hash: u64, record: Record, now: Stamp) -> u32 {
        let deadline = self.deadline_of(record);
        let slot = self.slots.insert(record);
        if let Some(image) = &mut self.image {
            image.filled(slot);
        }
        let (seed, slots) = (&self.seed, &self.slots);
        self.table.insert(hash, slot, |slot| hash_of(seed, slots, slot));
        self.wheel.file(&mut self.slots, slot, deadline, now);
        self.count(record, deadline, 1);
        slot
    }

    /// Puts another record of the same key into a slot and returns the old one, which the caller frees.
    pub(crate) fn replace(&mut self, slot: u32, record: Record, now: Stamp) -> Record {
        self.before_change(slot);
        let deadline = self.deadline_of(record);
        let old = self.slots.replace(slot, record);
        let old_deadline = self.deadline_of(old);
        self.count(old, old_deadline, -1);
        self.count(record, deadline, 1);
        self.wheel.refile(&mut self.slots, slot, (old_deadline, deadline), now);
        old
    }

    /// Takes a record out; the caller frees it, and unlinks it from its owner.
    pub(crate) fn take(&mut self, found: Found) -> Record {
        self.before_change(found.slot);
        self.wheel.unfile(&mut self.slots, found.slot);
        self.table.remove(found.at);
        let deadline = self.deadline_of(found.record);
        self.count(found.record, deadline, -1);
        if found.record.kind() == Kind::Session {
            self.limits.release(found.record.seen().1);
        }
        self.slots.remove(found.slot)
    }

    /// Takes out the record of a slot.
    pub(crate) fn take_slot(&mut self, slot: u32) -> Option<Record> {
        let record = self.slots.get(slot)?;
        let found = self.find(hash_of(&self.seed, &self.slots, slot), |other| other == record)?;
        Some(self.take(found))
    }

    /// Moves a plain record's deadline.
    pub(crate) fn set_deadline(&mut self, slot: u32, record: Record, deadline: Stamp, now: Stamp) {
        self.before_change(slot);
        let old = record.deadline();
        record.set_deadline(deadline);
        self.count(record, old, -1);
        self.count(record, deadline, 1);
        self.wheel.refile(&mut self.slots, slot, (old, deadline), now);
    }

    /// To be called before a record changes or goes: a snapshot in progress keeps what was there.
    #[inline]
    pub(crate) fn before_change(&mut self, slot: u32) {
        if let Some(image) = &mut self.image
            && let Some(record) = self.slots.get(slot)
        {
            image.preserve(slot, record, &self.limits);
        }
    }

    /// To be called before everything goes.
    pub(crate) fn preserve_all(&mut self) {
        if let Some(image) = &mut self.image {
            for (slot, record) in self.slots.used_from(0) {
                image.preserve(slot, record, &self.limits);
            }
        }
    }

    /// What an entry of this record costs in memory.
    pub(crate) fn cost_bytes(record: Record) -> usize {
        let held = match record.kind() {
            Kind::Collection => record.as_collection().memory_bytes(),
            _ => 0,
        };
        let listed = if record.is_alone() { ALONE_BYTES } else { 0 };
        super::arena::rounded(record.size_bytes()) + OVERHEAD_BYTES + held + listed
    }

    /// The pair of limits of a session record.
    pub(crate) fn limits_of(&self, record: Record) -> Limits {
        self.limits.get(record.seen().1)
    }

    fn count(&mut self, record: Record, deadline: Stamp, by: i64) {
        match record.kind() {
            Kind::String | Kind::Collection => {
                let count = &mut self.plain[usize::from(record.db()) % usize::from(DATABASES)];
                count.keys = count.keys.wrapping_add_signed(by);
                if !deadline.is_never() {
                    count.with_deadline = count.with_deadline.wrapping_add_signed(by);
                }
                if record.owned() {
                    self.owned_plain = self.owned_plain.wrapping_add_signed(by);
                }
            }
            Kind::Session => self.sessions = self.sessions.wrapping_add_signed(by),
            Kind::Alias => {}
        }
    }
}

/// The deadline that decides, with the shard's limits at hand.
#[inline]
pub(crate) fn deadline_of(limits: &LimitsTable, record: Record) -> Stamp {
    if record.kind() != Kind::Session {
        return record.deadline();
    }
    let (seen, number) = record.seen();
    let limits = limits.get(number);
    idle_deadline(limits, seen).min(absolute_deadline(limits, record.authenticated()))
}

/// When a session ends unless it is touched.
pub(crate) fn idle_deadline(limits: Limits, seen: Stamp) -> Stamp {
    match limits.idle_seconds {
        0 => Stamp::NEVER,
        seconds => seen.plus_millis(u64::from(seconds) * 1000),
    }
}

/// When a session ends whatever happens.
pub(crate) fn absolute_deadline(limits: Limits, authenticated: Stamp) -> Stamp {
    match limits.lifetime_seconds {
        0 => Stamp::NEVER,
        seconds => authenticated.plus_millis(u64::from(seconds) * 1000),
    }
}

fn hash_of(seed: &HashSeed, slots: &Slots, slot: u32) -> u64 {
    match slots.get(slot) {
        Some(record) if record.in_session_space() => record.session_hash().hash(),
        Some(record) => seed.hash(record.db(), record.key_bytes()),
        None => 0,
    }
}
