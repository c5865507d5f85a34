//! A user's record: liveness, name, generation, and the set of its sessions.
//!
//! ```text
//! 0 sessions u64  8 generation u48  14 epoch u8 (0: revoked)  15 name length u8  [name length u16]  name
//! ```
//!
//! A name of 255 bytes or more has its length after the header. Of the epoch the remainder by 128 is kept,
//! plus one: so many logouts of everybody without a sweep do not come to be (see `user/shard.rs`).
//!
//! A record is one *incarnation* of a user: logging out everywhere marks it revoked and puts a new one
//! in its place, so one write ends any number of sessions, and a session is live exactly while the
//! incarnation it points to is. A revoked incarnation stays until the last of its sessions was swept.
//!
//! The name never changes, and the epoch is an atomic, so they may be read through any session that
//! points here: sessions are unlinked before their user is freed. The rest is guarded by the user
//! shard's lock.

#![allow(unsafe_code)] // a leaf: see store/record.rs
#![allow(clippy::cast_ptr_alignment)] // the arena aligns records to 8, and fields lie at multiples

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::store::arena::Arena;
use crate::store::record::{low_six, six};
use crate::user::sessions::SessionSet;

const HEADER_BYTES: usize = 16;
const GENERATION_OFFSET: usize = 8;
const EPOCH_OFFSET: usize = 14;
const LENGTH_OFFSET: usize = 15;
/// This length of a name means that two more bytes say it.
const LONG_NAME: u8 = u8::MAX;
const REVOKED: u8 = 0;
/// How many epochs a record can tell apart.
pub(crate) const EPOCHS: u32 = 128;

fn epoch_byte(epoch: u32) -> u8 {
    1 + (epoch % EPOCHS) as u8
}

/// A user's record: a pointer to its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserRecord(NonNull<u8>);

// SAFETY: plain data; who may touch what when is said at the file's head.
unsafe impl Send for UserRecord {}
// SAFETY: as above.
unsafe impl Sync for UserRecord {}

impl UserRecord {
    /// A new incarnation without sessions.
    pub(crate) fn new(arena: &Arena, name: &[u8], epoch: u32, generation: u64) -> Self {
        let length = u16::try_from(name.len()).expect("user names are checked against the limit");
        let short = u8::try_from(length).unwrap_or(LONG_NAME);
        let offset = name_offset(short);
        let record = Self(arena.allocate(offset + name.len()));
        record.put(GENERATION_OFFSET, low_six(generation));
        record.put(EPOCH_OFFSET, [epoch_byte(epoch), short]);
        if short == LONG_NAME {
            record.put(HEADER_BYTES, length.to_le_bytes());
        }
        // SAFETY: the allocation has room for a set and the name, at these offsets.
        unsafe {
            record.0.as_ptr().cast::<SessionSet>().write(SessionSet::default());
            let target = record.0.as_ptr().add(offset);
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
        self.sessions().clear(arena);
        // SAFETY: by the contract nothing else refers to it, and its set holds nothing any more.
        unsafe { arena.free(self.0, bytes) };
    }

    /// The user's name.
    pub(crate) fn name<'a>(self) -> &'a [u8] {
        let [short] = self.get(LENGTH_OFFSET);
        let length = if short == LONG_NAME {
            usize::from(u16::from_le_bytes(self.get(HEADER_BYTES)))
        } else {
            usize::from(short)
        };
        // SAFETY: the name was written by `new` and never changes.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(name_offset(short)), length) }
    }

    /// Whether its sessions are live, given the store's present epoch.
    pub(crate) fn alive_in(self, epoch: u32) -> bool {
        self.epoch().load(Ordering::Acquire) == epoch_byte(epoch)
    }

    /// Ends every session of this incarnation: the one write of a logout everywhere.
    pub(crate) fn revoke(self) {
        self.epoch().store(REVOKED, Ordering::Release);
    }

    /// Of which epoch it is, the remainder that is kept; `None` when it was logged out.
    pub(crate) fn epoch_kept(self) -> Option<u8> {
        self.epoch().load(Ordering::Acquire).checked_sub(1)
    }

    /// The user's generation.
    pub(crate) fn generation(self) -> u64 {
        six(self.get(GENERATION_OFFSET))
    }

    /// Changes the generation, under the user shard's lock.
    pub(crate) fn set_generation(self, generation: u64) {
        self.put(GENERATION_OFFSET, low_six(generation));
    }

    /// The sessions, to be used under the user shard's lock.
    pub(crate) fn sessions<'a>(self) -> &'a mut SessionSet {
        // SAFETY: written by `new`; the user shard's lock makes this the only reference, and callers
        // do not keep it beyond one statement's work on this user.
        unsafe { &mut *self.0.as_ptr().cast::<SessionSet>() }
    }

    /// Bytes the record was asked for.
    pub(crate) fn size_bytes(self) -> usize {
        let [short] = self.get(LENGTH_OFFSET);
        name_offset(short) + self.name().len()
    }

    /// The address, for session records: 48 bits.
    pub(crate) fn address(self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    /// The record at an address that [`UserRecord::address`] gave.
    pub(crate) fn from_address(address: u64) -> Option<Self> {
        NonNull::new(std::ptr::with_exposed_provenance_mut(address as usize)).map(Self)
    }

    fn epoch<'a>(self) -> &'a AtomicU8 {
        // SAFETY: a byte that is only accessed as this atomic once the record is shared.
        unsafe { AtomicU8::from_ptr(self.0.as_ptr().add(EPOCH_OFFSET)) }
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

fn name_offset(short: u8) -> usize {
    HEADER_BYTES + if short == LONG_NAME { 2 } else { 0 }
}
