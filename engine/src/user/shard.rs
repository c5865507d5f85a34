//! Users by name, in shards of their own.
//!
//! A user shard's lock comes before any key shard's (see `store`). It guards the table of live
//! incarnations, the sets of sessions of every incarnation whose name falls into the shard, and the
//! queue of revoked incarnations whose sessions the sweep has yet to reclaim.

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::record::UserRecord;
use crate::key::HashSeed;
use crate::store::arena::{Arena, rounded};

/// Names of users hash apart from keys.
const USER_SPACE: u8 = 255;
/// What a table entry costs, on average.
const OVERHEAD_BYTES: usize = 14;

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

/// A shard of the users.
#[derive(Default)]
pub(crate) struct UserShard {
    users: HashTable<UserRecord>,
    /// Whole tables that a logout of everybody put aside, to be taken apart by the sweep.
    stale: Vec<HashTable<UserRecord>>,
    /// Incarnations that were logged out, until the last of their sessions is swept.
    revoked: VecDeque<UserRecord>,
    /// Sessions of the incarnations in the table.
    pub(crate) sessions: u64,
    /// Sessions of revoked incarnations.
    pub(crate) sessions_revoked: u64,
}

impl UserShard {
    /// The live incarnation of a user.
    pub(crate) fn find(&self, name: UserName<'_>) -> Option<UserRecord> {
        self.users.find(name.hash, |user| user.name() == name.bytes).copied()
    }

    /// How many users there are.
    pub(crate) fn users(&self) -> usize {
        self.users.len()
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
    pub(crate) fn set_aside_all(&mut self) {
        if !self.users.is_empty() {
            self.stale.push(std::mem::take(&mut self.users));
        }
        self.sessions_revoked += std::mem::take(&mut self.sessions);
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
    }

    /// Takes every incarnation out, live or revoked, for freeing.
    pub(crate) fn drain(&mut self) -> Vec<UserRecord> {
        let mut all: Vec<UserRecord> = self.users.drain().collect();
        for mut table in self.stale.drain(..) {
            all.extend(table.drain());
        }
        all.extend(self.revoked.drain(..));
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
