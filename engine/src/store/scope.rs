//! The guards of one op: which shards it holds, and what it does in them.
//!
//! A plain key without an owner needs its shard only. As soon as a record that the op may remove or
//! replace belongs to a user, that user's shard has to be held too, and held first; so the scope is
//! opened optimistically, and opened again with what turned out to be missing.
//!
//! What a scope finds dead where an op is about to write, it reaps: to the op, expired and revoked
//! entries are not there.

use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::lanes::WriteGuard;
use super::record::{Alone, Kind, Owner, Record, SessionParts};
use super::shard::{Found, Shard};
use super::{ShardCell, Store};
use crate::key::{Key, SessionHash};
use crate::observe::Change;
use crate::op::Limits;
use crate::outcome::Refusal;
use crate::session::change::parts_of;
use crate::session::list;
use crate::time::Stamp;
use crate::user::record::UserRecord;
use crate::user::sessions::Location;
use crate::user::shard::{
    Held, UserName, UserShard, cost_bytes as user_cost_bytes, free as free_user,
};
use crate::value::{Collection, ListValue};

/// Something an op is about.
#[derive(Clone, Copy)]
pub(crate) enum Spot<'a> {
    Key(Key<'a>),
    Session(SessionHash),
}

impl Spot<'_> {
    fn hash(&self) -> u64 {
        match self {
            Self::Key(key) => key.hash,
            Self::Session(id) => id.hash(),
        }
    }

    fn find(&self, shard: &Shard) -> Option<Found> {
        match self {
            Self::Key(key) => shard.find_key(key),
            Self::Session(id) => shard.find_session(id),
        }
    }
}

/// The guards of one op.
pub(crate) struct Scope<'e> {
    pub(crate) store: &'e Store,
    pub(crate) now: Stamp,
    users: SmallVec<[(usize, MutexGuard<'e, UserShard>); 1]>,
    shards: SmallVec<[(usize, WriteGuard<'e, Shard>); 1]>,
    memory_delta: i64,
    /// Collections that were taken out: they are freed when the shards are free, as it may take long.
    dead: SmallVec<[Record; 1]>,
}

/// A live record in a scope.
#[derive(Clone, Copy)]
pub(crate) struct Live {
    pub(crate) shard: usize,
    pub(crate) slot: u32,
    pub(crate) record: Record,
}

impl<'e> Scope<'e> {
    /// The guards for one key.
    pub(crate) fn of_key(store: &'e Store, key: Key<'_>, now: Stamp) -> Self {
        let index = store.shard_of(key.hash);
        let guard = store.shards[index].lock.write();
        if guard.owned_plain > 0 && guard.find_key(&key).is_some_and(|found| found.record.owned()) {
            drop(guard);
            return Self::of(store, &[Spot::Key(key)], None, now);
        }
        let shards = SmallVec::from_buf([(index, guard)]);
        Self { store, now, users: SmallVec::new(), shards, memory_delta: 0, dead: SmallVec::new() }
    }

    /// The guards for all `spots`, for a user that is to get another entry, and for the users whose
    /// entries lie at the spots.
    pub(crate) fn of(
        store: &'e Store,
        spots: &[Spot<'_>],
        user: Option<UserName<'_>>,
        now: Stamp,
    ) -> Self {
        let mut user_indexes: SmallVec<[usize; 4]> =
            user.iter().map(|name| Store::user_shard_of(name.hash)).collect();
        let mut shard_indexes: SmallVec<[usize; 8]> =
            spots.iter().map(|spot| store.shard_of(spot.hash())).collect();
        shard_indexes.sort_unstable();
        shard_indexes.dedup();
        loop {
            user_indexes.sort_unstable();
            user_indexes.dedup();
            let mut scope = Self {
                store,
                now,
                users: user_indexes.iter().map(|&at| (at, store.users[at].lock())).collect(),
                shards: SmallVec::new(),
                memory_delta: 0,
                dead: SmallVec::new(),
            };
            if let Some(name) = user {
                scope.make_room_for_another(name);
            }
            let guards = shard_indexes.iter().map(|&at| (at, store.shards[at].lock.write()));
            scope.shards.extend(guards);
            let missing = user_indexes.len();
            for spot in spots {
                let (_, shard) = &scope.shards[scope.position(spot.hash())];
                let found = spot.find(shard);
                if let Some(owner) = found.and_then(|found| store.owner_shard(found.record))
                    && !user_indexes.contains(&owner)
                {
                    user_indexes.push(owner);
                }
            }
            if user_indexes.len() == missing {
                return scope;
            }
        }
    }

    /// The guard for one session, for changes that neither end nor move it.
    pub(crate) fn of_session(store: &'e Store, id: &SessionHash, now: Stamp) -> Self {
        let index = store.shard_of(id.hash());
        let shards = SmallVec::from_buf([(index, store.shards[index].lock.write())]);
        Self { store, now, users: SmallVec::new(), shards, memory_delta: 0, dead: SmallVec::new() }
    }

    /// Lets go of the key shards and keeps the users.
    pub(crate) fn release_shards(&mut self) {
        self.publish();
        self.shards.clear();
    }

    /// Runs `work` with one key shard held, in a scope that holds none.
    pub(crate) fn with_shard<R>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> R) -> R {
        assert!(self.shards.is_empty(), "key shards below a user are held one at a time");
        self.shards.push((index, self.store.shards[index].lock.write()));
        let result = work(self);
        self.release_shards();
        result
    }

    /// The guard of one user.
    pub(crate) fn of_user(store: &'e Store, name: UserName<'_>, now: Stamp) -> Self {
        let mut scope = Self::of_user_shard(store, Store::user_shard_of(name.hash));
        scope.now = now;
        scope.retire_if_dead(name);
        scope
    }

    /// The guard of one user shard.
    pub(crate) fn of_user_shard(store: &'e Store, index: usize) -> Self {
        let users = SmallVec::from_buf([(index, store.users[index].lock())]);
        Self {
            store,
            now: Stamp::default(),
            users,
            shards: SmallVec::new(),
            memory_delta: 0,
            dead: SmallVec::new(),
        }
    }

    /// The guards for everything: for what empties a database in one step.
    pub(crate) fn of_everything(store: &'e Store, now: Stamp) -> Self {
        Self {
            store,
            now,
            users: store.users.iter().map(|users| users.lock()).enumerate().collect(),
            shards: store.shards.iter().map(|cell| cell.lock.write()).enumerate().collect(),
            memory_delta: 0,
            dead: SmallVec::new(),
        }
    }

    /// Tells prefetching where the tables of the held shards are now.
    fn publish(&self) {
        for (index, shard) in &self.shards {
            let cell: &ShardCell = &self.store.shards[*index];
            cell.publish(shard);
        }
    }

    /// Removes every record that `is_it` picks, dead or alive.
    pub(crate) fn remove_all(&mut self, is_it: impl Fn(Record) -> bool) {
        for position in 0..self.shards.len() {
            for slot in 0..self.shards[position].1.slots.len() {
                let (_, shard) = &mut self.shards[position];
                if shard.slots.get(slot).is_some_and(&is_it)
                    && let Some(record) = shard.take_slot(slot)
                {
                    self.let_go(position, slot, record);
                }
            }
        }
    }

    fn position(&self, hash: u64) -> usize {
        let index = self.store.shard_of(hash);
        let position = self.shards.iter().position(|(at, _)| *at == index);
        position.expect("an op names every key it touches")
    }

    /// The shard a live record was found in.
    pub(crate) fn shard(&mut self, position: usize) -> &mut Shard {
        &mut self.shards[position].1
    }

    fn users_of(&mut self, user: UserRecord) -> &mut UserShard {
        self.users_at(Store::user_shard_of(UserName::new(&self.store.seed, user.name()).hash))
    }

    fn users_at(&mut self, index: usize) -> &mut UserShard {
        let held = self.users.iter_mut().find(|(at, _)| *at == index);
        &mut held.expect("users are locked before their entries are touched").1
    }

    /// The live record of a key. A dead one is reaped.
    #[inline]
    pub(crate) fn find(&mut self, key: &Key<'_>) -> Option<Live> {
        let position = if self.shards.len() == 1 { 0 } else { self.position(key.hash) };
        let found = self.shards[position].1.find_key(key)?;
        self.live_or_reap(position, found)
    }

    /// The live session or alias of an id. A dead one is reaped.
    pub(crate) fn find_session(&mut self, id: &SessionHash) -> Option<Live> {
        let position = self.position(id.hash());
        let found = self.shards[position].1.find_session(id)?;
        self.live_or_reap(position, found)
    }

    /// The live session or alias of an id, in a scope that does not hold users: a dead one stays.
    pub(crate) fn live_session(&mut self, id: &SessionHash) -> Option<Live> {
        let position = self.position(id.hash());
        let (_, shard) = &self.shards[position];
        let found = shard.find_session(id)?;
        let live = shard.is_live(found.record, self.store.epoch(), self.now);
        live.then_some(Live { shard: position, slot: found.slot, record: found.record })
    }

    /// Whether what lies under an id could be reaped: its owner's shard, if any, is held.
    pub(crate) fn may_reap(&self, id: &SessionHash) -> bool {
        let (_, shard) = &self.shards[self.position(id.hash())];
        let found = shard.find_session(id);
        let owner = found.and_then(|found| self.store.owner_shard(found.record));
        owner.is_none_or(|owner| self.users.iter().any(|(at, _)| *at == owner))
    }

    /// Reaps what lies under a key if it is dead; whether it was.
    pub(crate) fn reap_key(&mut self, key: &Key<'_>) -> bool {
        let position = self.position(key.hash);
        let found = self.shards[position].1.find_key(key);
        found.is_some_and(|found| self.live_or_reap(position, found).is_none())
    }

    /// Reaps what lies under an id if it is dead; whether it was.
    pub(crate) fn reap_session(&mut self, id: &SessionHash) -> bool {
        let position = self.position(id.hash());
        let found = self.shards[position].1.find_session(id);
        found.is_some_and(|found| self.live_or_reap(position, found).is_none())
    }

    /// A revoked incarnation whose sessions are to be reclaimed.
    pub(crate) fn next_revoked(&mut self, index: usize) -> Option<UserRecord> {
        let held = self.users.iter_mut().find(|(at, _)| *at == index)?;
        held.1.next_revoked()
    }

    /// Reclaims the entry of a revoked incarnation in the one held shard.
    pub(crate) fn reclaim_revoked(&mut self, slot: u32, user: UserRecord) -> bool {
        let (index, shard) = &mut self.shards[0];
        let record = shard.slots.get(slot).filter(|record| record.user() == Some(user));
        if record.is_none() {
            // Cannot be: every entry leaves its user's set when it goes. Forget it rather than hang.
            debug_assert!(false, "the index holds an entry that is not there");
            let location = Location::new(*index, slot);
            self.unlink(user, location);
            return false;
        }
        if let Some(record) = shard.take_slot(slot) {
            self.store.observed.tell(Change::Revoked, record);
            self.let_go(0, slot, record);
        }
        true
    }

    /// Locations that a logout of everybody put aside, at most `count`, to be reclaimed.
    pub(crate) fn take_stale_alone(&mut self, index: usize, count: usize) -> Vec<Location> {
        let held = self.users.iter_mut().find(|(at, _)| *at == index);
        held.map_or_else(Vec::new, |(_, users)| users.take_stale_alone(count))
    }

    /// Reclaims what a logout of everybody left in a slot of the one held shard, if it is still there.
    pub(crate) fn reclaim_stale_alone(&mut self, index: usize, slot: u32) -> bool {
        let (store, epoch) = (self.store, self.store.epoch());
        let (_, shard) = &mut self.shards[0];
        let stale = shard.slots.get(slot).is_some_and(|record| {
            record.is_alone() && !record.alive_in(epoch) && store.owner_shard(record) == Some(index)
        });
        if stale && let Some(record) = shard.take_slot(slot) {
            self.let_go(0, slot, record);
        }
        stale
    }

    /// Frees a revoked incarnation whose last session was reclaimed.
    pub(crate) fn drop_revoked(&mut self, index: usize, user: UserRecord) {
        let store = self.store;
        if let Some((_, users)) = self.users.iter_mut().find(|(at, _)| *at == index) {
            users.drop_revoked();
            if store.rules.active() {
                store.rules.forget_ended_user(user);
            }
            self.memory_delta -= user_cost_bytes(user) as i64;
            free_user(&store.arena, user);
        }
    }

    fn live_or_reap(&mut self, position: usize, found: Found) -> Option<Live> {
        let (_, shard) = &mut self.shards[position];
        if shard.is_live(found.record, self.store.epoch(), self.now) {
            return Some(Live { shard: position, slot: found.slot, record: found.record });
        }
        let expired = !shard.deadline_of(found.record).alive_at(self.now);
        shard.expired_total += u64::from(expired);
        let change = if expired { Change::Expired } else { Change::Revoked };
        self.store.observed.tell(change, found.record);
        self.discard(position, found);
        None
    }

    /// Removes a live record.
    pub(crate) fn remove(&mut self, live: Live) {
        self.take_away(live, Change::Removed);
    }

    /// Removes a live record to make room.
    pub(crate) fn evict(&mut self, live: Live) {
        self.take_away(live, Change::Evicted);
    }

    fn take_away(&mut self, live: Live, change: Change) {
        self.store.observed.tell(change, live.record);
        let (_, shard) = &mut self.shards[live.shard];
        let record = shard.take_slot(live.slot).expect("it was found in this scope");
        self.let_go(live.shard, live.slot, record);
    }

    fn discard(&mut self, position: usize, found: Found) {
        let record = self.shards[position].1.take(found);
        self.let_go(position, found.slot, record);
    }

    /// Unlinks a record that was taken out from its owner, and frees it.
    fn let_go(&mut self, position: usize, slot: u32, record: Record) {
        let location = Location::new(self.shards[position].0, slot);
        if let Some(alone) = record.alone() {
            self.unlink_alone(record, UserName::new(&self.store.seed, alone.name), location);
        } else if let Some(owner) = record.user() {
            self.unlink(owner, location);
        }
        self.release(record);
    }

    /// Frees a record that was taken out and is in no index.
    fn release(&mut self, record: Record) {
        self.memory_delta -= Shard::cost_bytes(record) as i64;
        self.free(record);
    }

    fn free(&mut self, record: Record) {
        if record.kind() == Kind::Collection {
            self.dead.push(record);
        } else {
            self.store.free(record);
        }
    }

    /// Puts a new record under a key or id that has none. Its owner is linked by the caller.
    pub(crate) fn insert(&mut self, hash: u64, record: Record) -> Live {
        let position = self.position(hash);
        self.memory_delta += Shard::cost_bytes(record) as i64;
        let now = self.now;
        let slot = self.shards[position].1.insert(hash, record, now);
        self.store.observed.tell(Change::Made, record);
        Live { shard: position, slot, record }
    }

    /// Whether another record finds a slot in the shard of `hash`.
    pub(crate) fn has_room(&self, hash: u64) -> Result<(), Refusal> {
        let (_, shard) = &self.shards[self.position(hash)];
        if shard.slots.has_room() { Ok(()) } else { Err(Refusal::TooManyEntries) }
    }

    /// Puts another record of the same key or id in a live one's place, keeping slot and owner.
    pub(crate) fn replace(&mut self, live: Live, record: Record) {
        self.put_in_place(live, record);
        self.store.observed.tell(Change::Written, record);
    }

    fn put_in_place(&mut self, live: Live, record: Record) {
        let now = self.now;
        let old = self.shards[live.shard].1.replace(live.slot, record, now);
        self.memory_delta += Shard::cost_bytes(record) as i64 - Shard::cost_bytes(old) as i64;
        self.free(old);
    }

    /// Gives a live plain record to a user, or takes it from the one it has. The scope was opened with
    /// that user.
    pub(crate) fn give(&mut self, live: Live, key: &Key<'_>, name: Option<UserName<'_>>) {
        let store = self.store;
        let (deadline, location) = (live.record.deadline(), self.location(live));
        let before = live.record.user();
        let after = name.map(|name| self.user(name));
        let record = if live.record.kind() == Kind::Collection {
            // The old record keeps an empty list until it goes in this step.
            self.shards[live.shard].1.before_change(live.slot);
            let collection = live.record.as_collection_mut();
            let taken = std::mem::replace(collection, Collection::List(ListValue::new()));
            self.memory_delta += collection.memory_bytes() as i64 - taken.memory_bytes() as i64;
            Record::collection(&store.arena, key, Box::new(taken), deadline, after)
        } else {
            Record::string(&store.arena, key, live.record.value(), deadline, after)
        };
        self.put_in_place(live, record);
        if let Some(user) = after {
            self.link(user, location, deadline);
        }
        if let Some(user) = before {
            self.unlink(user, location);
        }
    }

    /// Tells the observer that a live record was written to in place.
    pub(crate) fn written(&self, live: Live) {
        self.store.observed.tell(Change::Written, live.record);
    }

    /// Adds to the account of memory what a change in place made of a record's cost.
    pub(crate) fn account(&mut self, bytes: i64) {
        self.memory_delta += bytes;
    }

    /// Where a live record is, as its user's index names it.
    pub(crate) fn location(&self, live: Live) -> Location {
        Location::new(self.shards[live.shard].0, live.slot)
    }

    /// The live incarnation of a user, made when there is none. The user has no session that is all it
    /// has: [`Scope::of`] saw to that.
    pub(crate) fn user(&mut self, name: UserName<'_>) -> UserRecord {
        let generation = self.store.generations.load(Ordering::Relaxed);
        self.find_record(name).unwrap_or_else(|| self.new_user(name, generation))
    }

    fn new_user(&mut self, name: UserName<'_>, generation: u64) -> UserRecord {
        let store = self.store;
        let index = Store::user_shard_of(name.hash);
        let user = UserRecord::new(&store.arena, name.bytes, store.epoch(), generation);
        self.users_at(index).insert(&store.seed, name, user);
        self.memory_delta += user_cost_bytes(user) as i64;
        user
    }

    /// Puts an entry into its owner's index.
    pub(crate) fn link(&mut self, owner: UserRecord, location: Location, expires: Stamp) {
        let before = owner.sessions().memory_bytes();
        owner.sessions().insert(&self.store.arena, location, expires);
        self.memory_delta += owner.sessions().memory_bytes() as i64 - before as i64;
        self.users_of(owner).sessions += 1;
    }

    /// Takes an entry out of its owner's index; a live user without entries goes.
    pub(crate) fn unlink(&mut self, owner: UserRecord, location: Location) {
        let (store, epoch) = (self.store, self.store.epoch());
        let before = owner.sessions().memory_bytes();
        assert!(
            owner.sessions().remove(&store.arena, location),
            "the index holds every entry of its user"
        );
        self.memory_delta += owner.sessions().memory_bytes() as i64 - before as i64;
        let users = self.users_of(owner);
        if owner.alive_in(epoch) {
            users.sessions -= 1;
            if owner.sessions().is_empty() {
                users.remove(&store.seed, owner);
                self.memory_delta -= user_cost_bytes(owner) as i64;
                free_user(&store.arena, owner);
            }
        } else {
            users.sessions_revoked -= 1;
        }
    }

    /// Whose another session of a user is: of the user's record, or all the user has.
    pub(crate) fn owner_of_another<'a>(&self, name: UserName<'a>) -> Owner<'a> {
        match self.find_record(name) {
            Some(user) => Owner::User(user),
            None => Owner::Alone(Alone {
                name: name.bytes,
                generation: self.store.generations.load(Ordering::Relaxed),
                epoch: self.store.epoch(),
            }),
        }
    }

    /// The live incarnation of a user that has one.
    pub(crate) fn find_record(&self, name: UserName<'_>) -> Option<UserRecord> {
        self.named_users(name).find_record(name)
    }

    /// What a user has. No key shard is held.
    pub(crate) fn find_user(&self, name: UserName<'_>) -> Option<Held> {
        assert!(self.shards.is_empty(), "a user is looked for before its sessions are");
        self.named_users(name).find(self.store, name)
    }

    fn named_users(&self, name: UserName<'_>) -> &UserShard {
        let index = Store::user_shard_of(name.hash);
        let held = self.users.iter().find(|(at, _)| *at == index);
        &held.expect("an op names its users").1
    }

    /// Takes an incarnation out of the table of users, to be retired.
    pub(crate) fn detach_user(&mut self, user: UserRecord) {
        let store = self.store;
        self.users_of(user).remove(&store.seed, user);
    }

    /// Logs a detached incarnation out: one write ends its sessions, the sweep reclaims them.
    pub(crate) fn retire_user(&mut self, user: UserRecord) {
        let store = self.store;
        if user.sessions().is_empty() {
            self.memory_delta -= user_cost_bytes(user) as i64;
            free_user(&store.arena, user);
            return;
        }
        if let Some(instant) = &*store.snapshot_instant.lock() {
            // To the snapshot in progress its sessions are still live.
            instant.retired.lock().push(user.address());
        }
        if store.rules.active() {
            store.rules.note_ended(user, self.now);
        }
        let count = user.sessions().len() as u64;
        let users = self.users_of(user);
        users.sessions -= count;
        users.sessions_revoked += count;
        users.queue_revoked(user);
        user.revoke();
    }

    /// Retires the incarnation of a user whose sessions have all expired, as if the sweep had been by:
    /// otherwise the next session's generation would tell whether it was. What the user has, if not. Needs
    /// the user's shard and no key shard.
    pub(crate) fn retire_if_dead(&mut self, name: UserName<'_>) -> Option<Held> {
        let held = self.find_user(name)?;
        if list::any_live(self.store, held, self.now) {
            return Some(held);
        }
        match held {
            Held::User(user) => {
                self.detach_user(user);
                self.retire_user(user);
            }
            Held::Alone(location) => {
                self.with_shard(location.shard(), |scope| scope.remove_slot(location.slot()));
            }
        }
        None
    }

    /// Removes what is in a slot of the one held shard.
    pub(crate) fn remove_slot(&mut self, slot: u32) {
        let record = self.shards[0].1.take_slot(slot).expect("the index leads to an entry");
        self.let_go(0, slot, record);
    }

    /// The record in a slot of the one held shard.
    pub(crate) fn at_slot(&self, slot: u32) -> Option<Live> {
        let record = self.shards[0].1.slots.get(slot)?;
        Some(Live { shard: 0, slot, record })
    }

    /// Sees to it that another entry of a user finds its place in the index: beside others, by the
    /// user's record, or as all the user has. Needs the user's shard and no key shard.
    fn make_room_for_another(&mut self, name: UserName<'_>) {
        if let Some(Held::Alone(location)) = self.retire_if_dead(name) {
            self.with_shard(location.shard(), |scope| scope.give_record(name, location));
        }
        self.reserve_alone(name);
    }

    /// Makes room for a session that is all its user has. No key shard is held.
    pub(crate) fn reserve_alone(&mut self, name: UserName<'_>) {
        assert!(self.shards.is_empty(), "the index reads sessions in every shard");
        let store = self.store;
        self.users_at(Store::user_shard_of(name.hash)).reserve_alone(store);
    }

    /// Gives a record to a user that had none because of its only session, in the one held shard.
    fn give_record(&mut self, name: UserName<'_>, location: Location) {
        let live = self.at_slot(location.slot()).expect("the index leads to a session");
        let (Some(parts), Some(alone)) = (parts_of(live.record), live.record.alone()) else {
            unreachable!("it was found as the only entry of its user");
        };
        self.unlink_alone(live.record, name, location);
        let user = self.new_user(name, alone.generation);
        let expires = self.shards[0].1.deadline_of(live.record);
        let parts = SessionParts { owner: Owner::User(user), ..parts };
        self.replace(live, Record::session(&self.store.arena, &parts));
        self.link(user, location, expires);
    }

    /// Makes a live session all its user has: what else the old incarnation has is to be retired.
    pub(crate) fn leave_alone(&mut self, live: Live, name: UserName<'_>, generation: u64) {
        let location = self.location(live);
        let Some(parts) = parts_of(live.record) else { return };
        if let Owner::User(old) = parts.owner {
            let before = old.sessions().memory_bytes();
            assert!(
                old.sessions().remove(&self.store.arena, location),
                "the index holds every session of its user"
            );
            self.memory_delta += old.sessions().memory_bytes() as i64 - before as i64;
            self.users_of(old).sessions -= 1;
            self.link_alone(name, location);
        }
        let alone = Alone { name: name.bytes, generation, epoch: self.store.epoch() };
        let parts = SessionParts { owner: Owner::Alone(alone), ..parts };
        self.replace(live, Record::session(&self.store.arena, &parts));
    }

    /// Lists a session that is all its user has; room was made by [`Scope::of`].
    pub(crate) fn link_alone(&mut self, name: UserName<'_>, location: Location) {
        self.users_at(Store::user_shard_of(name.hash)).insert_alone(name.hash, location);
    }

    fn unlink_alone(&mut self, record: Record, name: UserName<'_>, location: Location) {
        let live = record.alive_in(self.store.epoch());
        let users = self.users_at(Store::user_shard_of(name.hash));
        if live {
            assert!(
                users.remove_alone(name.hash, location),
                "the index leads to every such session"
            );
        } else {
            // The table it is in was put aside, and is looked through by the sweep.
            users.sessions_revoked -= 1;
        }
    }

    /// Puts a session that is all its user has in another one's place, which goes.
    pub(crate) fn succeed_alone(&mut self, old: Live, new: Live, name: UserName<'_>) {
        let (from, to) = (self.location(old), self.location(new));
        self.users_at(Store::user_shard_of(name.hash)).move_alone(name.hash, from, to);
        let (_, shard) = &mut self.shards[old.shard];
        let record = shard.take_slot(old.slot).expect("it was found in this scope");
        self.release(record);
    }

    /// Moves a live plain record's deadline.
    pub(crate) fn set_deadline(&mut self, live: Live, deadline: Stamp) {
        let now = self.now;
        self.shards[live.shard].1.set_deadline(live.slot, live.record, deadline, now);
        self.store.observed.tell(Change::Deadline, live.record);
        self.note_deadline(live.record);
    }

    /// Tells a plain record's owner, if any, when it ends now.
    ///
    /// The scope holds the owner, which is why it is asked.
    #[allow(clippy::unused_self)]
    pub(crate) fn note_deadline(&mut self, record: Record) {
        if let Some(owner) = record.user() {
            owner.sessions().note_deadline(record.deadline());
        }
    }

    /// Counts a session with these limits in the shard of `hash`; `None` when its numbers are used up.
    pub(crate) fn acquire_limits(&mut self, hash: u64, limits: Limits) -> Option<u32> {
        let position = self.position(hash);
        self.shards[position].1.limits.acquire(limits)
    }

    /// The kind of a live plain record, for WRONGTYPE.
    pub(crate) fn require(live: Live, kind: Kind) -> Result<Live, Refusal> {
        if live.record.kind() == kind { Ok(live) } else { Err(Refusal::WrongType) }
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        self.store.account(self.memory_delta);
        self.release_shards();
        for record in self.dead.drain(..) {
            self.store.free(record);
        }
    }
}
