//! The sharded table: where entries live.
//!
//! A shard is a [`table`] from key hash to slot number, [`slots`] from number to record, a timing wheel
//! threaded through the slots, and counts. Records are single allocations from the [`arena`].
//!
//! Lock order, written down once: stripes of index rules in ascending order, then user shards in ascending
//! order, then key shards in ascending order, then an arena class, then the arena's pages. Whoever finds out under a key shard's lock that it needs
//! a user's lets go of it, takes the user's first and looks again ([`scope`]).

pub(crate) mod arena;
mod block;
pub(crate) mod lanes;
pub(crate) mod record;
pub(crate) mod scope;
pub(crate) mod shard;
pub(crate) mod slots;
pub(crate) mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};

use self::arena::Arena;
use self::lanes::{ReadGuard, RwLock};
use self::record::Record;
use self::shard::Shard;
use self::table::Table;
use crate::key::HashSeed;
use crate::observe::Observed;
use crate::register::Registers;
use crate::rule::registry::Registry;
use crate::snapshot::image::Instant;
use crate::user::shard::{UserName, UserShard};

/// How many shards the users have.
pub(crate) const USER_SHARDS: usize = 256;

/// A shard with its lock, and what prefetching may read without it.
pub(crate) struct ShardCell {
    pub(crate) lock: RwLock<Shard>,
    buckets: AtomicPtr<u8>,
    bucket_count: AtomicUsize,
}

/// All the state of an engine.
pub(crate) struct Store {
    pub(crate) seed: HashSeed,
    pub(crate) shards: Box<[CachePadded<ShardCell>]>,
    pub(crate) users: Box<[CachePadded<Mutex<UserShard>>]>,
    pub(crate) arena: Arc<Arena>,
    /// Grows by one with every logout of everybody; incarnations of an older epoch are dead.
    pub(crate) epoch: AtomicU32,
    /// Grows by one with every logout of a user; a user's generation is drawn from it.
    pub(crate) generations: AtomicU64,
    /// Bytes that entries and users cost.
    pub(crate) memory_bytes: AtomicU64,
    /// The instant of the snapshot in progress, if any. Nothing is locked below it.
    pub(crate) snapshot_instant: Mutex<Option<Arc<Instant>>>,
    /// Who is told of changes.
    pub(crate) observed: Observed,
    /// Whose sessions plain keys are.
    pub(crate) rules: Arc<Registry>,
    /// Values that are no keys. Nothing is locked below it but by a snapshot's beginning, which has all
    /// other locks then.
    pub(crate) registers: Mutex<Registers>,
    shard_shift: u32,
}

impl ShardCell {
    fn new(threads: usize, shard: Shard) -> Self {
        let cell = Self {
            buckets: AtomicPtr::default(),
            bucket_count: AtomicUsize::new(0),
            lock: lanes::new(threads, shard),
        };
        cell.publish(&cell.lock.read());
        cell
    }

    /// Tells prefetching where the table is now.
    pub(crate) fn publish(&self, shard: &Shard) {
        let (buckets, count) = shard.table.extent();
        if self.buckets.load(Ordering::Relaxed).cast_const() != buckets {
            self.buckets.store(buckets.cast_mut(), Ordering::Relaxed);
            self.bucket_count.store(count, Ordering::Relaxed);
        }
    }

    /// Where the bucket of a hash probably is. The table may move meanwhile: for prefetching only.
    pub(crate) fn likely_bucket(&self, hash: u64) -> *const u8 {
        let home = Table::home(hash, self.bucket_count.load(Ordering::Relaxed));
        self.buckets.load(Ordering::Relaxed).wrapping_add(home * 64)
    }
}

impl Store {
    pub(crate) fn new(seed: HashSeed, shards: usize, threads: usize) -> Self {
        assert!(
            shards.is_power_of_two() && shards <= 256,
            "the number of shards is a power of two up to 256"
        );
        let arena = Arc::new(Arena::new());
        let shard_cells = (0..shards)
            .map(|_| CachePadded::new(ShardCell::new(threads, Shard::new(&arena, seed))));
        let user_shards = (0..USER_SHARDS).map(|_| CachePadded::new(Mutex::default()));
        Self {
            seed,
            shards: shard_cells.collect(),
            users: user_shards.collect(),
            arena,
            epoch: AtomicU32::new(1),
            generations: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
            snapshot_instant: Mutex::new(None),
            observed: Observed::default(),
            rules: Arc::default(),
            registers: Mutex::default(),
            shard_shift: 64 - shards.trailing_zeros(),
        }
    }

    /// Which shard a hash falls into.
    #[inline]
    pub(crate) fn shard_of(&self, hash: u64) -> usize {
        // A shift by 64 is what one shard asks for, and what `>>` does not do.
        hash.checked_shr(self.shard_shift).unwrap_or(0) as usize
    }

    /// Which user shard a user's hash falls into.
    pub(crate) fn user_shard_of(hash: u64) -> usize {
        // Neither the lowest bits nor the highest: by these a shard's tables tell its users apart.
        (hash >> 40) as usize % USER_SHARDS
    }

    /// The shard of a hash, for reading.
    #[inline]
    pub(crate) fn read(&self, hash: u64) -> ReadGuard<'_, Shard> {
        self.shards[self.shard_of(hash)].lock.read()
    }

    /// The user shard of the user a record belongs to.
    pub(crate) fn owner_shard(&self, record: Record) -> Option<usize> {
        let name = UserName::new(&self.seed, record.owner_name()?);
        Some(Self::user_shard_of(name.hash))
    }

    /// The user shard of a hash.
    pub(crate) fn lock_users(&self, hash: u64) -> MutexGuard<'_, UserShard> {
        self.users[Self::user_shard_of(hash)].lock()
    }

    /// The present epoch.
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Bytes that entries and users cost.
    pub(crate) fn used_bytes(&self) -> u64 {
        // Between an addition in one thread and a subtraction in another the sum may pass zero.
        self.memory_bytes.load(Ordering::Relaxed).cast_signed().max(0).cast_unsigned()
    }

    /// Adds to the account of memory.
    pub(crate) fn account(&self, bytes: i64) {
        if bytes != 0 {
            self.memory_bytes.fetch_add(bytes.cast_unsigned(), Ordering::Relaxed);
        }
    }

    /// Empties everything at once: all user shards, then all shards, are held meanwhile.
    pub(crate) fn clear_all(&self) {
        let mut users: Vec<_> = self.users.iter().map(|users| users.lock()).collect();
        let mut shards: Vec<_> = self.shards.iter().map(|cell| cell.lock.write()).collect();
        for (shard, cell) in shards.iter_mut().zip(&self.shards) {
            shard.preserve_all();
            let expired_total = shard.expired_total;
            let old = std::mem::replace(&mut **shard, Shard::new(&self.arena, self.seed));
            (shard.expired_total, shard.image) = (expired_total, old.image);
            for (_, record) in old.slots.used_from(0) {
                self.free(record);
            }
            cell.publish(shard);
        }
        for user in users.iter_mut().flat_map(|users| users.drain()) {
            user.sessions().clear(&self.arena);
            crate::user::shard::free(&self.arena, user);
        }
        self.memory_bytes.store(0, Ordering::Relaxed);
        self.rules.forget_ended();
        self.observed.tell_flushed(None);
    }

    /// Frees a record that was taken out of its slot under the shard's write guard.
    #[allow(unsafe_code)] // who took it out is known here, not in the leaf
    pub(crate) fn free(&self, record: Record) {
        // SAFETY: callers hold the only copy: `Shard::take` and `Shard::replace` gave it to them, and no
        // borrow of it outlives the guard under which it was made.
        unsafe { record.free(&self.arena) };
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.clear_all();
    }
}
