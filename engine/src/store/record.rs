//! Records: one allocation holds header, key, deadline, owner and value.
//!
//! ```text
//! plain     0 deadline u44, database u4, key length u16   8 kind, owned, value length u29
//!           12 [owner u64]  key  value            (a collection's value is the address of its box)
//! session   0 seen u44, limits u20   8 kind, flags, data length u24   12 hash  28 created u48
//!           34 [authenticated u48] [version u32] owner [meta length u16, meta] data
//! owner     user u48; of a user's only entry: name length u6, half the generation's length u2,
//!           [name length u16] generation  name
//! alias     0 deadline u44, zero u20   8 kind   12 hash  28 hash of the session it stands for
//!           44 when that began u48: a session made later under the same id is another one
//! ```
//!
//! What is in brackets is there when it says something: a version past 1, a name of 63 bytes or more.
//! A session that is all its user has holds what a user's record would, and two bits of the epoch in its
//! flags, so that most users have no record and a lookup has no user to go to.
//!
//! Deadlines and `seen` are atomics: extending one needs only the shard's read guard. Everything else
//! changes under its write guard. A session's limits are a number into its shard's table of limits:
//! most sessions of a product share a pair. Numbers are little-endian by construction of the accessors.
//!
//! This file and the arena are where raw memory is handled. [`Record`] is a plain pointer; its safety
//! rests on one rule, kept by [`crate::store::slots`]: a record is reached only through its slot under
//! the shard's guard, and is freed only by whoever took it out of its slot.

#![allow(unsafe_code)] // a leaf: see above

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arena::{Arena, rounded};
use crate::key::{Key, SessionHash};
use crate::rule::fence::Fence;
use crate::time::Stamp;
use crate::user::record::UserRecord;
use crate::value::Collection;

const KIND_MASK: u32 = 0b11;
/// Of a plain record: it belongs to a user.
const FLAG_OWNED: u32 = 0b100;
/// Of a session: it is all its user has.
const FLAG_ALONE: u32 = 0b100;
const FLAG_AUTHENTICATED: u32 = 0b1000;
const FLAG_META: u32 = 0b1_0000;
const FLAG_VERSION: u32 = 0b10_0000;
/// Where the epoch's low bits are in the head of a session that is all its user has.
const EPOCH_SHIFT: u32 = 6;
/// How many epochs such a session can tell apart.
pub(crate) const EPOCHS: u32 = 4;
/// Where the value's length begins in a plain record's head.
const VALUE_SHIFT: u32 = 3;
/// Where the data's length begins in a session's head.
const DATA_SHIFT: u32 = 8;
/// The low bits of the first word, below the 44 of a stamp.
const LOW_BITS: u32 = 20;
const LOW_MASK: u64 = (1 << LOW_BITS) - 1;
const DATABASE_SHIFT: u32 = 16;

const PLAIN_HEADER_BYTES: usize = 12;
const HASH_OFFSET: usize = 12;
const CREATED_OFFSET: usize = 28;
const SESSION_HEADER_BYTES: usize = 34;
const STANDS_FOR_OFFSET: usize = 28;
const ALIAS_CREATED_OFFSET: usize = 44;
const ALIAS_BYTES: usize = 50;
/// What a session that was never saved has for a version.
const FIRST_VERSION: u32 = 1;
/// This length of a name means that two more bytes say it.
const LONG_NAME: usize = 63;
const LONG_NAME_MASK: u8 = 63;
const GENERATION_SHIFT: u32 = 6;
const LIMITS_BITS: u32 = LOW_BITS;

/// Longest value of a plain record.
pub(crate) const VALUE_BYTES_MAX: usize = (1 << (32 - VALUE_SHIFT)) - 1;
/// Longest data of a session.
pub(crate) const DATA_BYTES_MAX: usize = (1 << (32 - DATA_SHIFT)) - 1;
/// How many pairs of limits a shard can number.
pub(crate) const LIMITS_MAX: usize = 1 << LIMITS_BITS;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String = 0,
    Collection = 1,
    Session = 2,
    Alias = 3,
}

/// A record: a pointer to its bytes. See the file's head for when it may be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record(NonNull<u8>);

// SAFETY: records are data without thread affinity; who may touch one when is the shard lock's affair.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

/// Whose a session is.
#[derive(Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// One of several entries, or such that were.
    User(UserRecord),
    /// The only entry.
    Alone(Alone<'a>),
}

/// What the only entry of a user holds of it.
#[derive(Clone, Copy)]
pub(crate) struct Alone<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) generation: u64,
    /// Of which the low bits count, see [`EPOCHS`].
    pub(crate) epoch: u32,
}

impl Alone<'_> {
    /// How many pairs of bytes the generation takes.
    fn generation_pairs(self) -> usize {
        (u64::BITS - self.generation.leading_zeros()).div_ceil(16) as usize
    }

    fn size_bytes(self) -> usize {
        let long = if self.name.len() < LONG_NAME { 0 } else { 2 };
        1 + long + 2 * self.generation_pairs() + self.name.len()
    }
}

/// The fields a session record is made from.
pub(crate) struct SessionParts<'a> {
    pub(crate) id: SessionHash,
    pub(crate) owner: Owner<'a>,
    pub(crate) created: Stamp,
    pub(crate) seen: Stamp,
    pub(crate) authenticated: Stamp,
    pub(crate) limits: u32,
    pub(crate) version: u32,
    pub(crate) meta: &'a [u8],
    pub(crate) data: &'a [u8],
}

impl SessionParts<'_> {
    fn size_bytes(&self) -> usize {
        let authenticated = if self.authenticated == self.created { 0 } else { 6 };
        let version = if self.version == FIRST_VERSION { 0 } else { 4 };
        let owner = match self.owner {
            Owner::User(_) => 6,
            Owner::Alone(alone) => alone.size_bytes(),
        };
        let meta = if self.meta.is_empty() { 0 } else { 2 + self.meta.len() };
        SESSION_HEADER_BYTES + authenticated + version + owner + meta + self.data.len()
    }
}

impl Record {
    /// A string record.
    pub(crate) fn string(
        arena: &Arena,
        key: &Key<'_>,
        value: &[u8],
        deadline: Stamp,
        owner: Option<UserRecord>,
    ) -> Self {
        let record = Self::plain(arena, Kind::String, key, value.len(), deadline, owner);
        record.fill_value(value);
        record
    }

    /// A collection record, which owns the box.
    pub(crate) fn collection(
        arena: &Arena,
        key: &Key<'_>,
        collection: Box<Collection>,
        deadline: Stamp,
        owner: Option<UserRecord>,
    ) -> Self {
        let record = Self::plain(arena, Kind::Collection, key, 8, deadline, owner);
        let address = Box::into_raw(collection).expose_provenance() as u64;
        record.fill_value(&address.to_le_bytes());
        record
    }

    fn plain(
        arena: &Arena,
        kind: Kind,
        key: &Key<'_>,
        value_bytes: usize,
        deadline: Stamp,
        owner: Option<UserRecord>,
    ) -> Self {
        let key_bytes = key.bytes.len();
        assert!(u16::try_from(key_bytes).is_ok(), "keys are checked against the limit before");
        assert!(value_bytes <= VALUE_BYTES_MAX, "values are checked against the limit before");
        let owner_bytes = if owner.is_some() { 8 } else { 0 };
        let record =
            Self(arena.allocate(PLAIN_HEADER_BYTES + owner_bytes + key_bytes + value_bytes));
        let low = u64::from(key.db) << DATABASE_SHIFT | key_bytes as u64;
        record.put(0, (deadline.millis() << LOW_BITS | low).to_ne_bytes());
        let owned = if owner.is_some() { FLAG_OWNED } else { 0 };
        record.put_head(kind as u32 | owned | (value_bytes as u32) << VALUE_SHIFT);
        if let Some(owner) = owner {
            record.put(PLAIN_HEADER_BYTES, owner.address().to_le_bytes());
        }
        record.put_slice(PLAIN_HEADER_BYTES + owner_bytes, key.bytes);
        record
    }

    /// A session record.
    pub(crate) fn session(arena: &Arena, parts: &SessionParts<'_>) -> Self {
        assert!(
            parts.data.len() <= DATA_BYTES_MAX,
            "session data is checked against the limit before"
        );
        assert!(u16::try_from(parts.meta.len()).is_ok(), "metadata is checked before");
        let record = Self(arena.allocate(parts.size_bytes()));
        record.fill_session(parts);
        record
    }

    fn fill_session(self, parts: &SessionParts<'_>) {
        let mut flags = 0;
        let mut offset = SESSION_HEADER_BYTES;
        if parts.authenticated != parts.created {
            flags |= FLAG_AUTHENTICATED;
            self.put(offset, low_six(parts.authenticated.millis()));
            offset += 6;
        }
        if parts.version != FIRST_VERSION {
            flags |= FLAG_VERSION;
            self.put(offset, parts.version.to_le_bytes());
            offset += 4;
        }
        match parts.owner {
            Owner::User(user) => {
                self.put(offset, low_six(user.address()));
                offset += 6;
            }
            Owner::Alone(alone) => {
                flags |= FLAG_ALONE | (alone.epoch % EPOCHS) << EPOCH_SHIFT;
                offset = self.put_alone(offset, alone);
            }
        }
        if !parts.meta.is_empty() {
            flags |= FLAG_META;
            self.put(offset, (parts.meta.len() as u16).to_le_bytes());
            self.put_slice(offset + 2, parts.meta);
            offset += 2 + parts.meta.len();
        }
        self.put_slice(offset, parts.data);
        let seen = parts.seen.millis() << LIMITS_BITS | u64::from(parts.limits);
        self.put(0, seen.to_ne_bytes());
        self.put_head(Kind::Session as u32 | flags | (parts.data.len() as u32) << DATA_SHIFT);
        self.put(HASH_OFFSET, parts.id.0);
        self.put(CREATED_OFFSET, low_six(parts.created.millis()));
    }

    /// Writes what a user's only entry holds of it; where that ends.
    fn put_alone(self, mut offset: usize, alone: Alone<'_>) -> usize {
        let pairs = alone.generation_pairs();
        let short = alone.name.len().min(LONG_NAME);
        self.put(offset, [short as u8 | (pairs as u8) << GENERATION_SHIFT]);
        offset += 1;
        if short == LONG_NAME {
            self.put(offset, (alone.name.len() as u16).to_le_bytes());
            offset += 2;
        }
        self.put_slice(offset, &low_six(alone.generation)[..2 * pairs]);
        offset += 2 * pairs;
        self.put_slice(offset, alone.name);
        offset + alone.name.len()
    }

    /// An alias: after a rotation with grace, the old id stands for the new session, which began at
    /// `created`, until `deadline`.
    pub(crate) fn alias(
        arena: &Arena,
        id: SessionHash,
        (stands_for, created): (SessionHash, Stamp),
        deadline: Stamp,
    ) -> Self {
        let record = Self(arena.allocate(ALIAS_BYTES));
        record.put(0, (deadline.millis() << LOW_BITS).to_ne_bytes());
        record.put_head(Kind::Alias as u32);
        record.put(HASH_OFFSET, id.0);
        record.put(STANDS_FOR_OFFSET, stands_for.0);
        record.put(ALIAS_CREATED_OFFSET, low_six(created.millis()));
        record
    }

    /// What keeps a key dead for a while after it was ended: an alias that stands for nothing.
    pub(crate) fn fence(arena: &Arena, fence: &Fence) -> Self {
        Self::alias(arena, fence.id, (fence.mark(), Stamp::NEVER), fence.until)
    }

    /// Whether it is a fence. No session began at the end of time.
    pub(crate) fn is_fence(self) -> bool {
        self.kind() == Kind::Alias && self.created() == Stamp::NEVER
    }

    /// Frees the record and, for a collection, what it holds.
    ///
    /// # Safety
    /// The record came from this arena, was taken out of its slot, and nothing borrows from it.
    pub(crate) unsafe fn free(self, arena: &Arena) {
        let bytes = self.size_bytes();
        if self.kind() == Kind::Collection {
            // SAFETY: the box was leaked into this record by `collection`, and the record dies here.
            drop(unsafe { Box::from_raw(self.collection_pointer()) });
        }
        // SAFETY: by the contract; the size is what the record was allocated with.
        unsafe { arena.free(self.0, bytes) };
    }

    /// What it is.
    pub(crate) fn kind(self) -> Kind {
        match self.head() & KIND_MASK {
            0 => Kind::String,
            1 => Kind::Collection,
            2 => Kind::Session,
            _ => Kind::Alias,
        }
    }

    /// Whether it lives in the session name space.
    #[inline]
    pub(crate) fn in_session_space(self) -> bool {
        self.head() & 0b10 != 0
    }

    /// The database of a plain record.
    pub(crate) fn db(self) -> u8 {
        (self.low() >> DATABASE_SHIFT) as u8
    }

    /// Bytes the record was asked for.
    pub(crate) fn size_bytes(self) -> usize {
        match self.kind() {
            Kind::String | Kind::Collection => self.value_offset() + self.value_bytes(),
            Kind::Session => self.data_offset() + self.data_bytes(),
            Kind::Alias => ALIAS_BYTES,
        }
    }

    /// The key of a plain record.
    pub(crate) fn key_bytes<'a>(self) -> &'a [u8] {
        self.slice(self.key_offset(), self.key_length())
    }

    /// Whether this is the plain record of `key`.
    #[inline]
    pub(crate) fn is_key(self, key: &Key<'_>) -> bool {
        let low = u32::from(key.db) << DATABASE_SHIFT | key.bytes.len() as u32;
        !self.in_session_space() && self.low() == low && self.key_bytes() == key.bytes
    }

    /// Whether this is the session or alias of `id`. Compares in constant time (requirement R3).
    pub(crate) fn is_session(self, id: &SessionHash) -> bool {
        self.in_session_space()
            && u128::from_ne_bytes(self.get(HASH_OFFSET)) ^ u128::from_ne_bytes(id.0) == 0
    }

    /// The hash of a session's or alias's id.
    pub(crate) fn session_hash(self) -> SessionHash {
        SessionHash(self.get(HASH_OFFSET))
    }

    /// What an alias stands for.
    pub(crate) fn stands_for(self) -> SessionHash {
        SessionHash(self.get(STANDS_FOR_OFFSET))
    }

    /// Whether it belongs to a user.
    pub(crate) fn owned(self) -> bool {
        self.kind() == Kind::Session || self.head() & FLAG_OWNED != 0
    }

    /// Whether it is a session that is all its user has.
    #[inline]
    pub(crate) fn is_alone(self) -> bool {
        self.head() & (KIND_MASK | FLAG_ALONE) == Kind::Session as u32 | FLAG_ALONE
    }

    /// The record of the user it belongs to; none when it is all the user has.
    #[inline]
    pub(crate) fn user(self) -> Option<UserRecord> {
        let head = self.head();
        if head & (KIND_MASK | FLAG_ALONE) == Kind::Session as u32 {
            UserRecord::from_address(six(self.get(owner_offset(head))))
        } else if head & FLAG_OWNED != 0 && head & KIND_MASK != Kind::Session as u32 {
            UserRecord::from_address(u64::from_le_bytes(self.get(PLAIN_HEADER_BYTES)))
        } else {
            None
        }
    }

    /// What it holds of its user when it is all that has.
    pub(crate) fn alone<'a>(self) -> Option<Alone<'a>> {
        if !self.is_alone() {
            return None;
        }
        let (offset, pairs, length) = self.alone_extent();
        let mut generation = [0; 6];
        let held = generation.get_mut(..2 * pairs)?;
        held.copy_from_slice(self.slice(offset, 2 * pairs));
        Some(Alone {
            name: self.slice(offset + 2 * pairs, length),
            generation: six(generation),
            epoch: self.head() >> EPOCH_SHIFT & (EPOCHS - 1),
        })
    }

    /// The name of the user it belongs to.
    #[inline]
    pub(crate) fn owner_name<'a>(self) -> Option<&'a [u8]> {
        if self.is_alone() {
            let (offset, pairs, length) = self.alone_extent();
            return Some(self.slice(offset + 2 * pairs, length));
        }
        self.user().map(UserRecord::name)
    }

    /// Name and generation of the user it belongs to.
    pub(crate) fn owner_parts<'a>(self) -> Option<(&'a [u8], u64)> {
        match self.alone() {
            Some(alone) => Some((alone.name, alone.generation)),
            None => self.user().map(|user| (user.name(), user.generation())),
        }
    }

    /// Whether its user, if any, was not logged out since, given the store's present epoch.
    #[inline]
    pub(crate) fn alive_in(self, epoch: u32) -> bool {
        if self.is_alone() {
            self.head() >> EPOCH_SHIFT & (EPOCHS - 1) == epoch % EPOCHS
        } else {
            self.user().is_none_or(|user| user.alive_in(epoch))
        }
    }

    /// Of a user's only entry: where the generation begins, its pairs of bytes, the name's length.
    fn alone_extent(self) -> (usize, usize, usize) {
        let offset = owner_offset(self.head());
        let [head] = self.get(offset);
        let (short, pairs) =
            (usize::from(head & LONG_NAME_MASK), usize::from(head >> GENERATION_SHIFT));
        if short == LONG_NAME {
            (offset + 3, pairs, usize::from(u16::from_le_bytes(self.get(offset + 1))))
        } else {
            (offset + 1, pairs, short)
        }
    }

    /// The deadline of a plain record or an alias.
    pub(crate) fn deadline(self) -> Stamp {
        Stamp::from_millis(self.word().load(Ordering::Relaxed) >> LOW_BITS)
    }

    /// Moves the deadline of a plain record; the shard's read guard suffices.
    pub(crate) fn set_deadline(self, deadline: Stamp) {
        let low = u64::from(self.low());
        self.word().store(deadline.millis() << LOW_BITS | low, Ordering::Relaxed);
    }

    /// A string's bytes.
    pub(crate) fn value<'a>(self) -> &'a [u8] {
        self.slice(self.value_offset(), self.value_bytes())
    }

    /// Overwrites a string in place when the new value leaves the record in its size class.
    pub(crate) fn overwrite_value(self, value: &[u8]) -> bool {
        let offset = self.value_offset();
        let fits = rounded(offset + value.len()) == rounded(offset + self.value_bytes());
        if fits {
            let kind = self.head() & ((1 << VALUE_SHIFT) - 1);
            self.put_head(kind | (value.len() as u32) << VALUE_SHIFT);
            self.fill_value(value);
        }
        fits
    }

    /// A collection record's collection.
    pub(crate) fn as_collection<'a>(self) -> &'a Collection {
        // SAFETY: the box lives as long as the record, and the caller holds the shard's guard.
        unsafe { &*self.collection_pointer() }
    }

    /// A collection record's collection, to change it under the shard's write guard.
    pub(crate) fn as_collection_mut<'a>(self) -> &'a mut Collection {
        // SAFETY: as above, and the write guard makes this the only reference.
        unsafe { &mut *self.collection_pointer() }
    }

    /// A session's version.
    pub(crate) fn version(self) -> u32 {
        let head = self.head();
        if head & FLAG_VERSION == 0 {
            return FIRST_VERSION;
        }
        let authenticated = if head & FLAG_AUTHENTICATED == 0 { 0 } else { 6 };
        u32::from_le_bytes(self.get(SESSION_HEADER_BYTES + authenticated))
    }

    /// When a session was last seen, and the number of its limits.
    pub(crate) fn seen(self) -> (Stamp, u32) {
        let word = self.word().load(Ordering::Relaxed);
        let limits = (word & LOW_MASK) as u32;
        (Stamp::from_millis(word >> LIMITS_BITS), limits)
    }

    /// Moves when a session was last seen; the shard's read guard suffices.
    pub(crate) fn set_seen(self, seen: Stamp, limits: u32) {
        self.word().store(seen.millis() << LIMITS_BITS | u64::from(limits), Ordering::Relaxed);
    }

    /// When a session began, or the one that an alias stands for; a rotation keeps it.
    pub(crate) fn created(self) -> Stamp {
        let alias = self.kind() == Kind::Alias;
        let offset = if alias { ALIAS_CREATED_OFFSET } else { CREATED_OFFSET };
        Stamp::from_millis(six(self.get(offset)))
    }

    /// When a session's user last authenticated.
    pub(crate) fn authenticated(self) -> Stamp {
        if self.head() & FLAG_AUTHENTICATED == 0 {
            self.created()
        } else {
            Stamp::from_millis(six(self.get(SESSION_HEADER_BYTES)))
        }
    }

    /// A session's encoded metadata.
    pub(crate) fn meta<'a>(self) -> &'a [u8] {
        if self.head() & FLAG_META == 0 {
            return &[];
        }
        let offset = self.meta_offset();
        self.slice(offset + 2, usize::from(u16::from_le_bytes(self.get(offset))))
    }

    /// A session's data.
    pub(crate) fn data<'a>(self) -> &'a [u8] {
        self.slice(self.data_offset(), self.data_bytes())
    }

    /// The address, for the slot; the low three bits are zero.
    pub(crate) fn address(self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    /// The record at an address that [`Record::address`] gave.
    pub(crate) fn from_address(address: u64) -> Option<Self> {
        NonNull::new(std::ptr::with_exposed_provenance_mut(address as usize)).map(Self)
    }

    fn head(self) -> u32 {
        u32::from_le_bytes(self.get(8))
    }

    fn put_head(self, head: u32) {
        self.put(8, head.to_le_bytes());
    }

    /// The bits beside the stamp in the first word.
    fn low(self) -> u32 {
        (self.word().load(Ordering::Relaxed) & LOW_MASK) as u32
    }

    fn key_length(self) -> usize {
        (self.low() & 0xffff) as usize
    }

    fn key_offset(self) -> usize {
        PLAIN_HEADER_BYTES + if self.owned() { 8 } else { 0 }
    }

    fn value_offset(self) -> usize {
        self.key_offset() + self.key_length()
    }

    fn value_bytes(self) -> usize {
        (self.head() >> VALUE_SHIFT) as usize
    }

    fn meta_offset(self) -> usize {
        if self.is_alone() {
            let (offset, pairs, length) = self.alone_extent();
            offset + 2 * pairs + length
        } else {
            owner_offset(self.head()) + 6
        }
    }

    fn data_offset(self) -> usize {
        let meta = if self.head() & FLAG_META == 0 { 0 } else { 2 + self.meta().len() };
        self.meta_offset() + meta
    }

    fn data_bytes(self) -> usize {
        (self.head() >> DATA_SHIFT) as usize
    }

    fn collection_pointer(self) -> *mut Collection {
        let address = u64::from_le_bytes(self.get(self.value_offset()));
        std::ptr::with_exposed_provenance_mut(address as usize)
    }

    fn fill_value(self, value: &[u8]) {
        self.put_slice(self.value_offset(), value);
    }

    fn word<'a>(self) -> &'a AtomicU64 {
        // SAFETY: each kind has eight bytes at its head that are only accessed as this atomic once the
        // record is in its slot; records are aligned to 8.
        unsafe { AtomicU64::from_ptr(self.0.as_ptr().cast()) }
    }

    fn get<const N: usize>(self, offset: usize) -> [u8; N] {
        // SAFETY: offsets come from this file's layout and lie inside the record.
        unsafe { self.0.as_ptr().add(offset).cast::<[u8; N]>().read() }
    }

    fn put<const N: usize>(self, offset: usize, bytes: [u8; N]) {
        // SAFETY: as in `get`; writers hold the shard's write guard, or the record is not yet shared.
        unsafe { self.0.as_ptr().add(offset).cast::<[u8; N]>().write(bytes) }
    }

    fn slice<'a>(self, offset: usize, length: usize) -> &'a [u8] {
        // SAFETY: as in `get`; the bytes were written when the record was made, and stay as they are
        // while the caller holds the shard's guard.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(offset), length) }
    }

    fn put_slice(self, offset: usize, bytes: &[u8]) {
        // SAFETY: as in `put`; `bytes` never lies in a record that is being written.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.as_ptr().add(offset), bytes.len());
        }
    }
}

/// Where a session's owner begins.
#[inline]
fn owner_offset(head: u32) -> usize {
    if head & (FLAG_AUTHENTICATED | FLAG_VERSION) == 0 {
        return SESSION_HEADER_BYTES;
    }
    let authenticated = if head & FLAG_AUTHENTICATED == 0 { 0 } else { 6 };
    let version = if head & FLAG_VERSION == 0 { 0 } else { 4 };
    SESSION_HEADER_BYTES + authenticated + version
}

/// The low 48 bits of a number.
pub(crate) fn low_six(number: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = number.to_le_bytes();
    [a, b, c, d, e, f]
}

/// The number of 48 bits.
pub(crate) fn six([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}
