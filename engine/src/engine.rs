//! The engine: the store as one value, shared between threads.

use crate::key::{HashSeed, Key, SessionHash, Words};
use crate::op::Op;
use crate::outcome::Outcome;
use crate::time::Stamp;
use crate::value::Collection;

/// What an engine is built with. All of it is fixed for its life, but for the memory limit.
#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of the key hash: draw it from the operating system; nodes of a cluster share it.
    pub seed: HashSeed,
    /// How many shards, a power of two between 1 and 256.
    pub shards: usize,
    /// Limits on sizes.
    pub sizes: SizeLimits,
}

/// Limits on sizes, in bytes unless said otherwise. A caller checks them before it makes an op; the engine
/// refuses what its record layout cannot hold.
#[derive(Clone, Copy, Debug)]
pub struct SizeLimits {
    /// Longest key; at most 65 535.
    pub key_bytes_max: usize,
    /// Longest string.
    pub value_bytes_max: usize,
    /// Longest user name; at most 65 535.
    pub user_bytes_max: usize,
    /// Longest session data; at most 16 MiB - 1.
    pub session_bytes_max: usize,
    /// All metadata of a session, encoded; at most 65 535.
    pub meta_bytes_max: usize,
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
    /// Bytes of memory it takes, overhead included.
    pub memory_bytes: usize,
    /// Whose it is.
    pub owner: Option<&'a [u8]>,
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
    /// Idle limit in milliseconds, 0 for none.
    pub idle_millis: u64,
    /// When it ends if nobody touches it: the sooner of idle and absolute deadline.
    pub expires: Stamp,
    /// The absolute deadline.
    pub ends: Stamp,
    /// Grows with each save.
    pub version: u32,
}

/// A session's metadata fields, encoded in its record.
#[derive(Clone, Copy)]
pub struct Meta<'a> {
    encoded: &'a [u8],
}

impl<'a> Meta<'a> {
    /// Names and values in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let _ = self.encoded;
        std::iter::empty()
    }
}

/// Where a prefetch got to: handed from one stage to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint(#[allow(dead_code)] u64);

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

/// The session store.
pub struct Engine {}

impl Engine {
    /// An empty store.
    pub fn new(_config: &Config) -> Self {
        unimplemented!()
    }

    /// The seed keys are hashed with.
    pub fn seed(&self) -> &HashSeed {
        unimplemented!()
    }

    /// Sets the memory limit in bytes (0: none) and what happens at it.
    pub fn set_memory_limit(&self, _bytes_max: u64, _eviction: Eviction) {
        unimplemented!()
    }

    /// Applies one op at the given time. Deterministic, without I/O; locks only the shards it needs.
    pub fn apply(&self, _op: &Op<'_>, _now: Stamp) -> Outcome {
        unimplemented!()
    }

    /// Looks at a key under its shard's guard.
    pub fn look<R>(
        &self,
        _key: Key<'_>,
        _now: Stamp,
        _read: impl FnOnce(Option<Entry<'_>>) -> R,
    ) -> R {
        unimplemented!()
    }

    /// Looks at several keys of one database at one instant, in the order given.
    pub fn look_many<R>(
        &self,
        _db: u8,
        _keys: Words<'_>,
        _now: Stamp,
        _read: impl FnOnce(&[Option<Entry<'_>>]) -> R,
    ) -> R {
        unimplemented!()
    }

    /// Visits at least `count` slots from `cursor` on (0 to begin) and returns the next cursor, 0 at the
    /// end. Every key that is there from the first call to the last is visited at least once.
    pub fn scan(
        &self,
        _db: u8,
        _cursor: u64,
        _count: usize,
        _now: Stamp,
        _visit: impl FnMut(&[u8], Entry<'_>),
    ) -> u64 {
        unimplemented!()
    }

    /// A key of the database picked by `seed`.
    pub fn random_key(&self, _db: u8, _seed: u64, _now: Stamp) -> Option<Vec<u8>> {
        unimplemented!()
    }

    /// Checks a session and, with `touch`, moves its idle deadline. The hot path: `read` gets the user.
    pub fn validate<R>(
        &self,
        _id: &SessionHash,
        _now: Stamp,
        _touch: bool,
        _read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        unimplemented!()
    }

    /// Looks at a session and, with `touch`, moves its idle deadline first.
    pub fn session<R>(
        &self,
        _id: &SessionHash,
        _now: Stamp,
        _touch: bool,
        _read: impl FnOnce(Option<SessionView<'_>>) -> R,
    ) -> R {
        unimplemented!()
    }

    /// Visits up to `count` live sessions of a user from `cursor` on (0 to begin; oldest first) and returns
    /// the next cursor, 0 at the end. With `count` `usize::MAX` it is exact at one instant.
    pub fn sessions_of(
        &self,
        _user: &[u8],
        _cursor: u64,
        _count: usize,
        _now: Stamp,
        _visit: impl FnMut(SessionView<'_>),
    ) -> u64 {
        unimplemented!()
    }

    /// How many live sessions a user has: exact.
    pub fn session_count(&self, _user: &[u8], _now: Stamp) -> u64 {
        unimplemented!()
    }

    /// Reclaims what has expired or was revoked, at most about `entries_max` entries, never holding a
    /// shard for more than a few hundred of them.
    pub fn sweep(&self, _now: Stamp, _entries_max: usize) -> Swept {
        unimplemented!()
    }

    /// Counts over the whole store.
    pub fn statistics(&self) -> Statistics {
        unimplemented!()
    }

    /// Counts of one database.
    pub fn database(&self, _db: u8) -> DatabaseStatistics {
        unimplemented!()
    }

    /// First prefetch stage: asks for the cache line of the bucket. Takes no lock.
    pub fn prefetch_bucket(&self, _hash: u64) {
        unimplemented!()
    }

    /// Second stage: finds the likely slot and asks for its cache line.
    pub fn prefetch_slot(&self, _hash: u64) -> Hint {
        unimplemented!()
    }

    /// Third stage: asks for the record's lines.
    pub fn prefetch_record(&self, _hint: Hint) {
        unimplemented!()
    }
}
