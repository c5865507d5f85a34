//! Users by name, in shards of their own.
//!
//! A user shard's lock comes before any key shard's (see `store`). It guards the table of live
//! incarnations, the sets of sessions of every incarnation whose name falls into the shard, and the
//! queue of revoked incarnations whose sessions the sweep has yet to reclaim.
//!
//! A user whose only entry is a session has no incarnation: the session holds what one would, and a
//! table of locations leads to it. Its name is read under the session's shard, so such a user is looked
//! for, and room made for another, only while no key shard is held.

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::record::{EPOCHS as USER_EPOCHS, UserRecord};
use super::sessions::Location;
use crate::key::HashSeed;
use crate::store::Store;
use crate::store::arena::{Arena, rounded};
use crate::store::record::{EPOCHS, Record};

/// Names of users hash apart from keys.
const USER_SPACE: u8 = 255;
/// What a table entry costs, on average.
const OVERHEAD_BYTES: usize = 14;
/// What an entry of the table of locations costs, on average.
pub(crate) const ALONE_BYTES: usize = 8;

/// A user's name with its hash.
#[derive(Clone, Copy)]
pub(crate) struct UserName<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> UserName<'a> {
    pub(crate) fn new(seed: &HashSeed, bytes: &'a [u8]) -> Self {
        Self { hash: seed.hash(USER_SPACE, bytes), bytes }
    }
}

/// What a user has.
#[derive(Clone, Copy)]
pub(crate) enum Held {
    /// A session that is all.
    Alone(Location),
    /// Any number of entries, by the user's record.
    User(UserRecord),
}

/// Tables that a logout of everybody put aside.
struct Stale {
    epoch: u32,
    alone: HashTable<Location>,
}

/// A shard of the users.
#[derive(Default)]
pub(crate) struct UserShard {
    users: HashTable<UserRecord>,
    /// Where the sessions are that are all their user has.
    alone: HashTable<Location>,
    /// As many such tables as were put aside, oldest first. What they lead to may be gone.
    stale_alone: VecDeque<Stale>,
    /// Whole tables that a logout of everybody put aside, to be taken apart by the sweep.
    stale: Vec<HashTable<UserRecord>>,
    /// The epoch of the oldest incarnations that may be left of those put aside.
    stale_epoch: Option<u32>,
    /// Incarnations that were logged out, until the last of their sessions is swept.
    revoked: VecDeque<UserRecord>,
    /// Sessions of the incarnations in the table.
    pub(crate) sessions: u64,
    /// Sessions of revoked incarnations.
    pub(crate) sessions_revoked: u64,
}

impl UserShard {
    /// The live incarnation of a user that has one.
    pub(crate) fn find_record(&self, name: UserName<'_>) -> Option<UserRecord> {
        self.users.find(name.hash, |user| user.name() == name.bytes).copied()
    }

    /// What a user has. The caller holds no key shard.
    pub(crate) fn find(&self, store: &Store, name: UserName<'_>) -> Option<Held> {
        if let Some(user) = self.find_record(name) {
            return Some(Held::User(user));
        }
        let is_it = |location: &Location| {
            let shard = store.shards[location.shard()].lock.read();
            let record = shard.slots.get(location.slot());
            record.and_then(Record::alone).is_some_and(|alone| alone.name == name.bytes)
        };
        self.alone.find(name.hash, is_it).copied().map(Held::Alone)
    }

    /// How many users there are.
    pub(crate) fn users(&self) -> usize {
        self.users.len() + self.alone.len()
    }

    /// Makes room for another session that is all its user has. The caller holds no key shard.
    pub(crate) fn reserve_alone(&mut self, store: &Store) {
        self.alone.reserve(1, |location| {
            let shard = store.shards[location.shard()].lock.read();
            let record = shard.slots.get(location.slot());
            let alone = record.and_then(Record::alone);
            alone.map_or(0, |alone| UserName::new(&store.seed, alone.name).hash)
        });
    }

    /// Adds a session that is all its user has, for which room was made.
    pub(crate) fn insert_alone(&mut self, hash: u64, location: Location) {
        assert!(self.alone.len() < self.alone.capacity(), "room was made before");
        self.alone.insert_unique(hash, location, |_| 0);
        self.sessions += 1;
    }

    /// Takes out a session that is all its user has; whether it was there.
    pub(crate) fn remove_alone(&mut self, hash: u64, location: Location) -> bool {
        let Ok(entry) = self.alone.find_entry(hash, |other| *other == location) else {
            return false;
        };
        entry.remove();
        self.sessions -= 1;
        true
    }

    /// Changes where the session is that is all its user has.
    pub(crate) fn move_alone(&mut self, hash: u64, from: Location, to: Location) {
        let found = self.alone.find_mut(hash, |other| *other == from);
        *found.expect("the index leads to every such session") = to;
    }

    /// Adds an incarnation of a user that has none.
    pub(crate) fn insert(&mut self, seed: &HashSeed, name: UserName<'_>, user: UserRecord) {
        let hash_of = |user: &UserRecord| UserName::new(seed, user.name()).hash;
        self.users.insert_unique(name.hash, user, hash_of);
    }

    /// Takes an incarnation out of the table.
    pub(crate) fn remove(&mut self, seed: &HashSeed, user: UserRecord) {
        let hash = UserName::new(seed, user.name()).hash;
        if let Ok(entry) = self.users.find_entry(hash, |other| *other == user) {
            entry.remove();
        }
    }

    /// Queues a revoked incarnation, no longer in the table, for the sweep.
    pub(crate) fn queue_revoked(&mut self, user: UserRecord) {
        self.revoked.push_back(user);
    }

    /// Puts the whole table aside: everybody was logged out.
    pub(crate) fn set_aside_all(&mut self, epoch: u32) {
        if !self.users.is_empty() {
            self.stale.push(std::mem::take(&mut self.users));
            self.stale_epoch.get_or_insert(epoch);
        }
        if !self.alone.is_empty() {
            let alone = std::mem::take(&mut self.alone);
            self.stale_alone.push_back(Stale { epoch, alone });
        }
        self.sessions_revoked += std::mem::take(&mut self.sessions);
    }

    /// Whether sessions are left of an epoch that one more logout of everybody would make look live.
    pub(crate) fn holds_ambiguous(&self, epoch: u32) -> bool {
        let oldest = self.stale_alone.front();
        oldest.is_some_and(|stale| epoch.wrapping_sub(stale.epoch) >= EPOCHS - 1)
            || self.stale_epoch.is_some_and(|stale| epoch.wrapping_sub(stale) >= USER_EPOCHS - 1)
    }

    /// Locations in the tables put aside, at most `count`, taken out.
    pub(crate) fn take_stale_alone(&mut self, count: usize) -> Vec<Location> {
        let Some(stale) = self.stale_alone.front_mut() else { return Vec::new() };
        let taken = stale.alone.extract_if(|_| true).take(count).collect();
        if stale.alone.is_empty() {
            self.stale_alone.pop_front();
        }
        taken
    }

    /// A revoked incarnation to sweep, moving some out of the tables put aside first.
    pub(crate) fn next_revoked(&mut self) -> Option<UserRecord> {
        if self.revoked.is_empty()
            && let Some(mut table) = self.stale.pop()
        {
            self.revoked.extend(table.extract_if(|_| true).take(256));
            if !table.is_empty() {
                self.stale.push(table);
            }
        }
        self.revoked.front().copied()
    }

    /// Takes the incarnation that [`UserShard::next_revoked`] gave off the queue.
    pub(crate) fn drop_revoked(&mut self) {
        self.revoked.pop_front();
        if self.revoked.is_empty() && self.stale.is_empty() {
            self.stale_epoch = None;
        }
    }

    /// Forgets everybody, and gives every incarnation, live or revoked, for freeing.
    pub(crate) fn drain(&mut self) -> Vec<UserRecord> {
        let mut all: Vec<UserRecord> = std::mem::take(&mut self.users).into_iter().collect();
        for mut table in self.stale.drain(..) {
            all.extend(table.drain());
        }
        all.extend(self.revoked.drain(..));
        self.alone = HashTable::new();
        self.stale_alone.clear();
        self.stale_epoch = None;
        (self.sessions, self.sessions_revoked) = (0, 0);
        all
    }
}

/// What a user costs in memory without its sessions.
pub(crate) fn cost_bytes(user: UserRecord) -> usize {
    rounded(user.size_bytes()) + OVERHEAD_BYTES
}

/// Frees an incarnation.
#[allow(unsafe_code)] // the one place outside the leaves: who may free is known here
pub(crate) fn free(arena: &Arena, user: UserRecord) {
    assert!(user.sessions().is_empty(), "a user goes after the last of its sessions");
    // SAFETY: callers hold the user shard's lock and have taken it out of table and queue; no session
    // points to it since its set is empty.
    unsafe { user.free(arena) };
}
