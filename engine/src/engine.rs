//! The engine: the store as one value, shared between threads, and its reads.
//!
//! Writes go through [`Engine::apply`]; reads look at records under the shard's read guard and hand them
//! to a closure, so nothing is copied that the caller does not copy. The prefetch stages let a server
//! that has many requests at hand wait for memory once instead of once a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use smallvec::SmallVec;

use crate::expiry::{eviction, sweep};
use crate::key::{DATABASES, HashSeed, Hint, Key, SessionHash, SessionKey, Words};
use crate::observe::Observer;
use crate::op::Op;
use crate::outcome::{Outcome, Refusal};
use crate::register::Registers;
use crate::session::meta::Meta;
use crate::session::touch::Touch;
use crate::session::{list, read};
use crate::store::Store;
use crate::store::lanes::ReadGuard;
use crate::store::record::{DATA_BYTES_MAX, Kind, Record, VALUE_BYTES_MAX};
use crate::store::scope::{Scope, Spot};
use crate::store::shard::Shard;
use crate::time::Stamp;
use crate::user::shard::UserName;
use crate::value::Collection;

/// How many shards a prefetch holds at a time without an allocation.
const PREFETCH_HOLDS: usize = 32;

/// From so many records on, a prefetch looks at them for the users they belong to.
const OWNERS_FROM: usize = 4;

/// What an engine is built with. All of it is fixed for its life, but for the memory limit.
#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of the key hash: draw it from the operating system; nodes of a cluster share it.
    pub seed: HashSeed,
    /// How many shards, a power of two between 1 and 256.
    pub shards: usize,
    /// About how many threads will use it at a time. Up to eight then read without passing cache lines
    /// back and forth; each costs a write a few nanoseconds.
    pub threads: usize,
    /// Limits on sizes.
    pub sizes: SizeLimits,
}

/// Limits on sizes, in bytes unless said otherwise. A caller checks them before it makes an op; the engine
/// refuses what its record layout cannot hold.
#[derive(Clone, Copy, Debug)]
pub struct SizeLimits {
    /// Longest key; at most 65 535.
    pub key_bytes_max: usize,
    /// Longest string; at most 512 MiB - 1.
    pub value_bytes_max: usize,
    /// Longest user name; at most 65 535.
    pub user_bytes_max: usize,
    /// Longest session data; at most 16 MiB - 1.
    pub session_bytes_max: usize,
    /// All metadata of a session, encoded; at most 65 535.
    pub meta_bytes_max: usize,
}

impl Config {
    /// The defaults: 256 shards, two threads and the limits of [`SizeLimits::default`].
    pub fn new(seed: HashSeed) -> Self {
        Self { seed, shards: 256, threads: 2, sizes: SizeLimits::default() }
    }
}

impl SizeLimits {
    /// The most that [`SizeLimits::value_bytes_max`] can be.
    pub const VALUE_BYTES_LIMIT: usize = VALUE_BYTES_MAX;
}

impl Default for SizeLimits {
    fn default() -> Self {
        Self {
            key_bytes_max: 65_535,
            value_bytes_max: VALUE_BYTES_MAX,
            user_bytes_max: 1024,
            session_bytes_max: 1 << 20,
            meta_bytes_max: 4096,
        }
    }
}

/// What to do when `maxmemory` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Refuse writes that need memory.
    Never,
    /// End what has the nearest deadline.
    NearestDeadline,
}

/// What a key holds, as a read sees it under the shard's guard.
pub struct Entry<'a> {
    /// When it ends; [`Stamp::NEVER`] without a deadline.
    pub deadline: Stamp,
    /// The value.
    pub value: Value<'a>,
    /// Whose it is.
    pub owner: Option<&'a [u8]>,
    record: Record,
}

/// A value, borrowed from the record.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// A string.
    String(&'a [u8]),
    /// A hash, set, sorted set or list.
    Collection(&'a Collection),
}

/// A live session, borrowed from the record.
pub struct SessionView<'a> {
    /// The hash of its id: the public handle.
    pub handle: SessionHash,
    /// Whose it is.
    pub user: &'a [u8],
    /// The caller's data.
    pub data: &'a [u8],
    /// Metadata.
    pub meta: Meta<'a>,
    /// When it began (a rotation keeps it).
    pub created: Stamp,
    /// When it was last touched.
    pub seen: Stamp,
    /// When its user last authenticated.
    pub authenticated: Stamp,
    /// Idle limit in seconds, 0 for none.
    pub idle_seconds: u32,
    /// When it ends if nobody touches it: the sooner of idle and absolute deadline.
    pub expires: Stamp,
    /// The absolute deadline.
    pub ends: Stamp,
    /// Grows with each save.
    pub version: u32,
}

/// A live entry of a user.
pub enum UserEntry<'a> {
    /// A session.
    Session(SessionView<'a>),
    /// A plain key that belongs to the user.
    Key(KeyView<'a>),
}

/// A plain key of a user, borrowed from the record.
pub struct KeyView<'a> {
    /// What it can be ended by with [`Op::SessionRevokeOwned`].
    pub handle: SessionHash,
    /// Its database.
    pub db: u8,
    /// Its name.
    pub key: &'a [u8],
    /// When it ends.
    pub expires: Stamp,
}

/// What [`Engine::sweep`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries reclaimed because their deadline had passed.
    pub expired: u64,
    /// Entries reclaimed because their user or everybody was logged out.
    pub revoked: u64,
    /// Whether work that is due was left for the next slice.
    pub more: bool,
}

/// Counts for INFO and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes held by entries, users and tables.
    pub memory_bytes: u64,
    /// Sessions held, revoked or expired ones that are not swept yet included.
    pub sessions: u64,
    /// Users with at least one session.
    pub users: u64,
    /// Revoked sessions that are not swept yet.
    pub revoked_unswept: u64,
    /// Entries reclaimed since the start because their deadline had passed.
    pub expired_total: u64,
    /// Entries evicted since the start to stay below `maxmemory`.
    pub evicted_total: u64,
}

/// Counts of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStatistics {
    /// Keys, expired ones that are not swept yet included.
    pub keys: u64,
    /// Keys with a deadline.
    pub expires: u64,
}

/// The session store. Cheap to share by reference between any number of threads.
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) sizes: SizeLimits,
    memory_bytes_max: AtomicU64,
    evicts: AtomicBool,
    eviction_cursor: AtomicUsize,
    evicted_total: AtomicU64,
}

impl Engine {
    /// An empty store. Panics when the number of shards is not a power of two between 1 and 256, or a
    /// size limit is beyond what a record can hold.
    pub fn new(config: &Config) -> Self {
        let sizes = &config.sizes;
        assert!(u16::try_from(sizes.key_bytes_max).is_ok(), "keys have at most 65 535 bytes");
        assert!(u16::try_from(sizes.user_bytes_max).is_ok(), "names have at most 65 535 bytes");
        assert!(u16::try_from(sizes.meta_bytes_max).is_ok(), "metadata has at most 65 535 bytes");
        assert!(sizes.value_bytes_max <= VALUE_BYTES_MAX, "values have less than 512 MiB");
        assert!(sizes.session_bytes_max <= DATA_BYTES_MAX, "sessions have less than 16 MiB");
        Self {
            store: Store::new(config.seed, config.shards, config.threads),
            sizes: config.sizes,
            memory_bytes_max: AtomicU64::new(0),
            evicts: AtomicBool::new(false),
            eviction_cursor: AtomicUsize::new(0),
            evicted_total: AtomicU64::new(0),
        }
    }

    /// The seed keys are hashed with.
    pub fn seed(&self) -> &HashSeed {
        &self.store.seed
    }

    /// The limits on sizes.
    pub fn sizes(&self) -> &SizeLimits {
        &self.sizes
    }

    /// Sets the memory limit in bytes (0: none) and what happens at it. For an engine on its own: see
    /// [`Engine::apply`] for what replicated ones do.
    pub fn set_memory_limit(&self, bytes_max: u64, eviction: Eviction) {
        self.memory_bytes_max.store(bytes_max, Ordering::Relaxed);
        self.evicts.store(eviction == Eviction::NearestDeadline, Ordering::Relaxed);
    }

    /// Sets who is told which keys change, once: [`Engine::wake_observer`] begins it.
    ///
    /// # Panics
    ///
    /// When there is an observer already.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        assert!(self.store.observed.set(observer), "an engine has one observer");
    }

    /// Whether the observer is told of changes. Awake, it costs each write a call; otherwise nothing.
    ///
    /// Whoever wakes it and then looks at a key learns of every change since that look.
    pub fn wake_observer(&self, awake: bool) {
        self.store.observed.wake(awake);
    }

    /// Applies one op at the given time. Deterministic, without I/O; locks only the shards it needs.
    ///
    /// Engines that apply the same ops with the same stamps one after the other give the same outcomes and
    /// keep the same [`Engine::digest`], whatever their seeds, shards and threads, and whatever they have
    /// swept; so does one that was restored from a snapshot of another. For that their callers
    ///
    /// * apply in one order, with stamps that never run backwards, and give [`Engine::sweep`] no later
    ///   stamp than that of the last op applied: what it takes away would be missed by the next one;
    /// * read with [`Touch::No`] or [`Touch::Due`], and propose the touches that are due;
    /// * set no memory limit here, and ask [`Engine::has_room_for`] before they propose an op;
    /// * agree on [`SizeLimits::value_bytes_max`], [`SizeLimits::meta_bytes_max`] and
    ///   [`SizeLimits::user_bytes_max`], which decide what is refused as too long or is no user, and on the
    ///   number of shards, which bounds how many entries find a place.
    ///
    /// What is not the same on every engine: cursors of [`Engine::scan`] and [`Engine::sessions_of`], the
    /// order they visit in, [`Engine::random_key`], [`Engine::statistics`] and memory in use.
    pub fn apply(&self, op: &Op<'_>, now: Stamp) -> Outcome {
        match self.store.observed.awake() {
            None => crate::apply::apply(self, op, now),
            Some(observer) => self.apply_observed(observer, op, now),
        }
    }

    #[cold]
    fn apply_observed(&self, observer: &dyn Observer, op: &Op<'_>, now: Stamp) -> Outcome {
        observer.applying(self, op, now, &mut || crate::apply::apply(self, op, now))
    }

    /// Whether a key's entry is there, and its deadline has passed: it is not visible, and not reclaimed yet.
    pub fn has_expired(&self, key: Key<'_>, now: Stamp) -> bool {
        let shard = self.store.read(key.hash);
        let found = shard.record_of_key(&key);
        found.is_some_and(|record| !shard.deadline_of(record).alive_at(now))
    }

    /// Reclaims what lies under a key if it has ended. As with [`Engine::sweep`], `now` must not be later than
    /// the stamp of the last op where engines are to stay equal.
    pub fn reclaim(&self, key: Key<'_>, now: Stamp) {
        let mut reclaim = || {
            Scope::of(&self.store, &[Spot::Key(key)], None, now).reap_key(&key);
        };
        match self.store.observed.awake() {
            None => reclaim(),
            Some(observer) => observer.reclaiming(&mut reclaim),
        }
    }

    /// Looks at a key under its shard's guard.
    #[inline]
    pub fn look<R>(
        &self,
        key: Key<'_>,
        now: Stamp,
        read: impl FnOnce(Option<Entry<'_>>) -> R,
    ) -> R {
        let shard = self.store.read(key.hash);
        let found = shard.record_of_key(&key);
        read(found.filter(|&record| shard.is_live(record, self.store.epoch(), now)).map(entry))
    }

    /// Looks at several keys of one database at one instant, in the order given.
    pub fn look_many<R>(
        &self,
        db: u8,
        keys: Words<'_>,
        now: Stamp,
        read: impl FnOnce(&[Option<Entry<'_>>]) -> R,
    ) -> R {
        let keys: SmallVec<[Key<'_>; 16]> =
            keys.iter().map(|key| Key::new(&self.store.seed, db, key)).collect();
        let mut indexes: SmallVec<[usize; 16]> =
            keys.iter().map(|key| self.store.shard_of(key.hash)).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let guards: SmallVec<[_; 16]> =
            indexes.iter().map(|&index| self.store.shards[index].lock.read()).collect();
        let epoch = self.store.epoch();
        let entries: SmallVec<[Option<Entry<'_>>; 16]> = keys
            .iter()
            .map(|key| {
                let at = indexes.binary_search(&self.store.shard_of(key.hash)).ok()?;
                let shard: &Shard = guards.get(at)?;
                let record = shard.find_key(key)?.record;
                shard.is_live(record, epoch, now).then(|| entry(record))
            })
            .collect();
        read(&entries)
    }

    /// Visits about `count` keys from `cursor` on (0 to begin) and returns the next cursor, 0 at the end.
    /// Every key that is there from the first call to the last is visited exactly once, because a key
    /// keeps its slot for life.
    pub fn scan(
        &self,
        db: u8,
        cursor: u64,
        count: usize,
        now: Stamp,
        mut visit: impl FnMut(&[u8], Entry<'_>),
    ) -> u64 {
        let (mut index, mut from) = ((cursor >> 24) as usize, cursor as u32 & 0x00ff_ffff);
        let epoch = self.store.epoch();
        let mut visited = 0;
        // Empty and foreign slots cost little; the bound keeps one call from walking a whole store.
        let mut steps = count.saturating_mul(10).saturating_add(1000);
        while let Some(cell) = self.store.shards.get(index) {
            let shard = cell.lock.read();
            if shard.plain[usize::from(db % DATABASES)].keys > 0 {
                for slot in from..shard.slots.len() {
                    if visited >= count || steps == 0 {
                        return (index as u64) << 24 | u64::from(slot);
                    }
                    steps -= 1;
                    if let Some(record) = shard.slots.get(slot)
                        && !record.in_session_space()
                        && record.db() == db
                        && shard.is_live(record, epoch, now)
                    {
                        visit(record.key_bytes(), entry(record));
                        visited += 1;
                    }
                }
            }
            index += 1;
            from = 0;
        }
        0
    }

    /// A key of the database picked by `seed`.
    pub fn random_key(&self, db: u8, seed: u64, now: Stamp) -> Option<Vec<u8>> {
        let shards = self.store.shards.len();
        let start = seed as usize % shards;
        let epoch = self.store.epoch();
        for step in 0..shards {
            let shard = self.store.shards[(start + step) % shards].lock.read();
            if shard.plain[usize::from(db % DATABASES)].keys == 0 {
                continue;
            }
            let length = shard.slots.len();
            let first = (seed >> 32) as u32 % length.max(1);
            let pick = (first..length).chain(0..first).find_map(|slot| {
                let record = shard.slots.get(slot)?;
                let fits = !record.in_session_space()
                    && record.db() == db
                    && shard.is_live(record, epoch, now);
                fits.then(|| record.key_bytes().to_vec())
            });
            if pick.is_some() {
                return pick;
            }
        }
        None
    }

    /// Checks a session and does about its idle limit what `touch` says. The hot path: `read` gets the
    /// user. A replicated node never says [`Touch::Now`].
    #[inline]
    pub fn validate<R>(
        &self,
        session: impl Into<SessionKey>,
        now: Stamp,
        touch: Touch<'_>,
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        read::with_live(&self.store, session.into(), now, |live| {
            touch.apply(live, now);
            read(live.and_then(|(_, record)| record.owner_name()))
        })
    }

    /// Looks at a session, having done about its idle limit what `touch` says. A replicated node never says
    /// [`Touch::Now`].
    pub fn session<R>(
        &self,
        session: impl Into<SessionKey>,
        now: Stamp,
        touch: Touch<'_>,
        read: impl FnOnce(Option<SessionView<'_>>) -> R,
    ) -> R {
        read::with_live(&self.store, session.into(), now, |live| {
            touch.apply(live, now);
            read(live.map(|(shard, record)| read::view(shard, record)))
        })
    }

    /// Visits up to `count` live sessions of a user from `cursor` on (0 to begin), in an order that stays
    /// the same while they live, and returns the next cursor, 0 at the end. One call is exact at one
    /// instant; over several, every session that lives throughout is visited once.
    pub fn sessions_of(
        &self,
        user: &[u8],
        cursor: u64,
        count: usize,
        now: Stamp,
        mut visit: impl FnMut(SessionView<'_>),
    ) -> u64 {
        list::visit(&self.store, user, (cursor, count), now, |entry| match entry {
            UserEntry::Session(session) => {
                visit(session);
                true
            }
            UserEntry::Key(_) => false,
        })
    }

    /// The same for all live entries of a user: its sessions, and the plain keys it owns.
    pub fn entries_of(
        &self,
        user: &[u8],
        cursor: u64,
        count: usize,
        now: Stamp,
        mut visit: impl FnMut(UserEntry<'_>),
    ) -> u64 {
        list::visit(&self.store, user, (cursor, count), now, |entry| {
            visit(entry);
            true
        })
    }

    /// How many live sessions and keys a user has: exact.
    pub fn session_count(&self, user: &[u8], now: Stamp) -> u64 {
        list::count(&self.store, user, now)
    }

    /// A user's generation: it grows with every logout everywhere of the user, and never shrinks. A user
    /// without sessions has the generation that its next session would get.
    pub fn generation(&self, user: &[u8], now: Stamp) -> u64 {
        let name = UserName::new(&self.store.seed, user);
        let users = self.store.lock_users(name.hash);
        let drawn = self.store.generations.load(Ordering::Relaxed);
        let held = users.find(&self.store, name);
        held.and_then(|held| list::live_generation(&self.store, held, now)).unwrap_or(drawn)
    }

    /// Reclaims what has expired or was revoked, at most about `entries_max` entries, never holding a
    /// shard for more than a slice of them. Nothing visible changes, as long as no op with a stamp before
    /// `now` is applied afterwards.
    pub fn sweep(&self, now: Stamp, entries_max: usize) -> Swept {
        let Some(observer) = self.store.observed.awake() else {
            return sweep::sweep(&self.store, now, entries_max);
        };
        let mut swept = Swept::default();
        observer.reclaiming(&mut || swept = sweep::sweep(&self.store, now, entries_max));
        swept
    }

    /// Empties everything, as if the engine were new: entries, sessions, users, and the count of
    /// generations, which [`Op::Flush`] leaves. What is counted since the start goes on counting.
    ///
    /// For a node that is about to take another's state with a [`Restorer`](crate::snapshot::Restorer).
    /// Nobody may apply ops or look at the engine from before this until the restorer is done: they would
    /// find sessions dead that are not.
    pub fn reset(&self) {
        self.store.clear_all();
        self.store.rules.clear();
        self.store.generations.store(0, Ordering::Relaxed);
        *self.store.registers.lock() = Registers::default();
    }

    /// A copy of the registers: see [`Op::Registers`].
    pub fn registers(&self) -> Registers {
        self.store.registers.lock().clone()
    }

    /// Bytes that entries and users cost, overhead included.
    pub fn memory_bytes(&self) -> u64 {
        self.store.used_bytes()
    }

    /// Counts over the whole store.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = Statistics {
            memory_bytes: self.store.used_bytes(),
            evicted_total: self.evicted_total.load(Ordering::Relaxed),
            ..Statistics::default()
        };
        for cell in &self.store.shards {
            let shard = cell.lock.read();
            statistics.sessions += shard.sessions;
            statistics.expired_total += shard.expired_total;
        }
        for users in &self.store.users {
            let users = users.lock();
            statistics.users += users.users() as u64;
            statistics.revoked_unswept += users.sessions_revoked;
        }
        statistics
    }

    /// Counts of one database. Panics when there is no such database.
    pub fn database(&self, db: u8) -> DatabaseStatistics {
        assert!(db < DATABASES, "there are {DATABASES} databases");
        let mut statistics = DatabaseStatistics::default();
        for cell in &self.store.shards {
            let count = cell.lock.read().plain[usize::from(db)];
            statistics.keys += count.keys;
            statistics.expires += count.with_deadline;
        }
        statistics
    }

    /// First prefetch stage: asks for the cache line of the bucket. Takes no lock.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        let cell = &self.store.shards[self.store.shard_of(hash)];
        prefetch(cell.likely_bucket(hash));
    }

    /// Second stage, for many at a time: finds the likely slots and asks for their cache lines, then for
    /// those of the records. Where nothing is found the hint stays as it was.
    ///
    /// Several shards are held meanwhile, in any order: that is safe because none is waited for. One that
    /// is being written to is passed over.
    #[inline]
    pub fn prefetch_records<'h>(&self, sought: impl Iterator<Item = (u64, &'h mut Hint)>) {
        let mut held: SmallVec<[(ReadGuard<'_, Shard>, u32); PREFETCH_HOLDS]> = SmallVec::new();
        for (hash, hint) in sought {
            let Some(shard) = self.store.shards[self.store.shard_of(hash)].lock.try_read() else {
                continue;
            };
            if let Some((slot, _)) = shard.table.find(hash, |_| true) {
                prefetch(shard.slots.slot_address(slot));
                *hint = Hint::of(slot);
                held.push((shard, slot));
            }
        }
        for (shard, slot) in &held {
            let (address, lines) = shard.slots.address_and_lines(*slot);
            let start = std::ptr::without_provenance::<u8>(address as usize);
            for line in 0..lines as usize {
                prefetch(start.wrapping_add(64 * line));
            }
        }
        // Whether a session is live stands with its user. The first record is waited for here, while the
        // others arrive; of a few records that would be no gain.
        if held.len() >= OWNERS_FROM {
            let records = held.iter().filter_map(|(shard, slot)| shard.slots.get(*slot));
            for owner in records.filter_map(Record::user) {
                prefetch(std::ptr::without_provenance(owner.address() as usize));
            }
        }
    }

    /// Whether the store has outgrown the processor's caches, so that prefetching pays.
    pub fn outgrew_cache(&self) -> bool {
        self.store.used_bytes() > 4 << 20
    }

    /// Refuses a value that is longer than configured.
    pub(crate) fn check_value(&self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= self.sizes.value_bytes_max { Ok(()) } else { Err(Refusal::StringTooLong) }
    }

    /// Sees to it that there is memory for an op that needs some.
    pub(crate) fn make_room(&self, now: Stamp) -> Result<(), Refusal> {
        let bytes_max = self.memory_bytes_max.load(Ordering::Relaxed);
        if bytes_max == 0 {
            return Ok(());
        }
        let eviction = if self.evicts.load(Ordering::Relaxed) {
            Eviction::NearestDeadline
        } else {
            Eviction::Never
        };
        let limit = (bytes_max, eviction);
        let evicted = eviction::make_room(&self.store, limit, &self.eviction_cursor, now)?;
        self.evicted_total.fetch_add(evicted, Ordering::Relaxed);
        Ok(())
    }
}

/// A plain record as readers see it.
fn entry<'a>(record: Record) -> Entry<'a> {
    Entry {
        deadline: record.deadline(),
        value: match record.kind() {
            Kind::Collection => Value::Collection(record.as_collection()),
            _ => Value::String(record.value()),
        },
        owner: record.owner_name(),
        record,
    }
}

impl Entry<'_> {
    /// Bytes of memory the entry takes, overhead included.
    pub fn memory_bytes(&self) -> usize {
        Shard::cost_bytes(self.record)
    }
}

/// Asks for a cache line. Any address is fine: nothing is read.
#[inline]
#[allow(unsafe_code)] // the instruction is unsafe only by its signature
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address has no effect but on the caches.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
