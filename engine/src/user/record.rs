//! A user's record: liveness, name, generation, and the set of its sessions.
//!
//! ```text
//! 0 epoch u32 (0: revoked)  4 name length u16  6 user shard u8  8 sessions u64  16 generation u48  22 name
//! ```
//!
//! A record is one *incarnation* of a user: logging out everywhere marks it revoked and puts a new one
//! in its place, so one write ends any number of sessions, and a session is live exactly while the
//! incarnation it points to is. A revoked incarnation stays until the last of its sessions was swept.
//!
//! Name and shard never change, and the epoch is an atomic, so they may be read through any session that
//! points here: sessions are unlinked before their user is freed. The rest is guarded by the user
//! shard's lock.

#![allow(unsafe_code)] // a leaf: see store/record.rs
#![allow(clippy::cast_ptr_alignment)] // the arena aligns records to 8, and fields lie at multiples

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::store::arena::Arena;
use crate::store::record::{low_six, six};
use crate::user::sessions::SessionSet;

const HEADER_BYTES: usize = 22;
const REVOKED: u32 = 0;

/// A user's record: a pointer to its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserRecord(NonNull<u8>);

// SAFETY: plain data; who may touch what when is said at the file's head.
unsafe impl Send for UserRecord {}
// SAFETY: as above.
unsafe impl Sync for UserRecord {}

impl UserRecord {
    /// A new incarnation without sessions.
    pub(crate) fn new(arena: &Arena, name: &[u8], shard: u8, epoch: u32, generation: u64) -> Self {
        assert!(u16::try_from(name.len()).is_ok(), "user names are checked against the limit");
        assert!(epoch != REVOKED, "a new incarnation is alive");
        let record = Self(arena.allocate(HEADER_BYTES + name.len()));
        record.put(0, epoch.to_ne_bytes());
        record.put(4, (name.len() as u16).to_le_bytes());
        record.put(6, [shard, 0]);
        record.put(16, low_six(generation));
        // SAFETY: the allocation has room for a set and the name, at these offsets.
        unsafe {
            record.0.as_ptr().add(8).cast::<SessionSet>().write(SessionSet::default());
            let target = record.0.as_ptr().add(HEADER_BYTES);
            std::ptr::copy_nonoverlapping(name.as_ptr(), target, name.len());
        }
        record
    }

    /// Frees the record.
    ///
    /// # Safety
    /// It came from this arena, no session points to it, and it is in neither table nor queue.
    pub(crate) unsafe fn free(self, arena: &Arena) {
        let bytes = self.size_bytes();
        // SAFETY: by the contract nothing else refers to it; the set was written by `new`.
        unsafe {
            self.0.as_ptr().add(8).cast::<SessionSet>().drop_in_place();
            arena.free(self.0, bytes);
        }
    }

    /// The user's name.
    pub(crate) fn name<'a>(self) -> &'a [u8] {
        let length = usize::from(u16::from_le_bytes(self.get(4)));
        // SAFETY: the name was written by `new` and never changes.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(HEADER_BYTES), length) }
    }

    /// Which user shard guards it.
    pub(crate) fn shard(self) -> usize {
        let [shard] = self.get(6);
        usize::from(shard)
    }

    /// Whether its sessions are live, given the store's present epoch.
    pub(crate) fn alive_in(self, epoch: u32) -> bool {
        self.epoch().load(Ordering::Acquire) == epoch
    }

    /// Ends every session of this incarnation: the one write of a logout everywhere.
    pub(crate) fn revoke(self) {
        self.epoch().store(REVOKED, Ordering::Release);
    }

    /// The user's generation.
    pub(crate) fn generation(self) -> u64 {
        six(self.get(16))
    }

    /// Changes the generation, under the user shard's lock.
    pub(crate) fn set_generation(self, generation: u64) {
        self.put(16, low_six(generation));
    }

    /// The sessions, to be used under the user shard's lock.
    pub(crate) fn sessions<'a>(self) -> &'a mut SessionSet {
        // SAFETY: written by `new`; the user shard's lock makes this the only reference, and callers
        // do not keep it beyond one statement's work on this user.
        unsafe { &mut *self.0.as_ptr().add(8).cast::<SessionSet>() }
    }

    /// Bytes the record was asked for.
    pub(crate) fn size_bytes(self) -> usize {
        HEADER_BYTES + self.name().len()
    }

    /// The address, for session records: 48 bits.
    pub(crate) fn address(self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    /// The record at an address that [`UserRecord::address`] gave.
    pub(crate) fn from_address(address: u64) -> Option<Self> {
        NonNull::new(std::ptr::with_exposed_provenance_mut(address as usize)).map(Self)
    }

    fn epoch<'a>(self) -> &'a AtomicU32 {
        // SAFETY: four aligned bytes at the head that are only accessed as this atomic.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr().cast()) }
    }

    fn get<const N: usize>(self, offset: usize) -> [u8; N] {
        // SAFETY: offsets come from this file's layout and lie inside the record.
        unsafe { self.0.as_ptr().add(offset).cast::<[u8; N]>().read() }
    }

    fn put<const N: usize>(self, offset: usize, bytes: [u8; N]) {
        // SAFETY: as in `get`; writers hold the user shard's lock, or the record is not yet shared.
        unsafe { self.0.as_ptr().add(offset).cast::<[u8; N]>().write(bytes) }
    }
}
