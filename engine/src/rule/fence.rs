//! Fences: what keeps an owned key dead for a while after it was ended, against writes that come late.
//!
//! A fence is a small record in the session name space, under a hash of the key, with a deadline: wheel,
//! snapshot and digest know such records already. A key that ended alone gets one at once. A logout writes
//! one number, so what it ended gets none: there the dead record itself stands for one, until
//! something is about to reap it and leaves a fence ([`leave`]). Either way the key is fenced until the same
//! moment, so nobody can tell how far the sweep has come.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::FenceReply;
use super::registry::Registry;
use crate::key::{Key, SessionHash};
use crate::store::Store;
use crate::store::record::Record;
use crate::store::scope::{Scope, Spot};
use crate::time::Stamp;
use crate::user::sessions::Location;

/// What is hashed in front of a key, so that no fence is a session.
const SPACE: &[u8] = b"hallpass key";

/// A fence of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence {
    pub(crate) id: SessionHash,
    pub(crate) db: u8,
    pub(crate) until: Stamp,
    pub(crate) reply: FenceReply,
}

/// The handle of a plain key: the same on every node.
pub(crate) fn id_of(db: u8, key: &[u8]) -> SessionHash {
    let mut hasher = SipHasher13::new();
    hasher.write(SPACE);
    hasher.write_u8(db);
    hasher.write(key);
    SessionHash(hasher.finish128().as_u128().to_le_bytes())
}

impl Fence {
    /// What stands in place of the session that an alias stands for.
    pub(crate) fn mark(&self) -> SessionHash {
        let mut mark = [0; 16];
        let [db, reply, ..] = &mut mark;
        (*db, *reply) = (self.db, u8::from(self.reply == FenceReply::Error));
        SessionHash(mark)
    }
}

/// The database of a fence record.
pub(crate) fn db_of(fence: Record) -> u8 {
    let SessionHash([db, ..]) = fence.stands_for();
    db
}

impl Registry {
    /// The fence that a dead record stands for: its user was logged out while it was live.
    pub(crate) fn fence_left_by(&self, record: Record, epoch: u32) -> Option<Fence> {
        if record.in_session_space() {
            return None;
        }
        let user = record.user().filter(|user| !user.alive_in(epoch))?;
        let ended = self.ended_at(user)?;
        let rules = self.rules();
        let rule = rules.of_key(record.key_bytes())?;
        let lived = record.deadline().alive_at(ended);
        (lived && rule.fence_millis > 0).then(|| Fence {
            id: id_of(record.db(), record.key_bytes()),
            db: record.db(),
            until: ended.plus_millis(rule.fence_millis),
            reply: rule.fence_reply,
        })
    }
}

/// Whether a key is fenced, and what a write to it is answered.
pub(super) fn standing(store: &Store, key: &Key<'_>, now: Stamp) -> Option<FenceReply> {
    let id = id_of(key.db, key.bytes);
    let shard = store.read(id.hash());
    let record = shard.find_session(&id)?.record;
    if !record.is_fence() || !record.deadline().alive_at(now) {
        return None;
    }
    let SessionHash([_, reply, ..]) = record.stands_for();
    Some(if reply == 0 { FenceReply::Ok } else { FenceReply::Error })
}

/// Puts up a fence, unless it would be over already. Only user shards may be held.
pub(super) fn raise(store: &Store, fence: &Fence, now: Stamp) {
    if !fence.until.alive_at(now) {
        return;
    }
    let mut scope = Scope::of(store, &[Spot::Session(fence.id)], None, now);
    if let Some(live) = scope.find_session(&fence.id) {
        if live.record.deadline() >= fence.until {
            return;
        }
        scope.remove(live);
    }
    // A shard that is full takes none: the key is then as free as without a rule.
    if scope.has_room(fence.id.hash()).is_ok() {
        scope.insert(fence.id.hash(), Record::fence(&store.arena, fence));
    }
}

/// Reaps what lies dead under a key, and leaves the fence it stood for; whether there was anything.
pub(crate) fn leave(store: &Store, key: &Key<'_>, now: Stamp) -> bool {
    let epoch = store.epoch();
    let left = {
        let shard = store.read(key.hash);
        let Some(found) = shard.find_key(key) else { return false };
        if shard.is_live(found.record, epoch, now) {
            return false;
        }
        store.rules.fence_left_by(found.record, epoch)
    };
    if let Some(fence) = left {
        raise(store, &fence, now);
    }
    Scope::of(store, &[Spot::Key(*key)], None, now).reap_key(key)
}

/// Leaves the fence of what is about to be reclaimed at a location. Only user shards may be held.
pub(crate) fn leave_at(store: &Store, location: Location, now: Stamp) {
    let left = store.shards.get(location.shard()).and_then(|cell| {
        let shard = cell.lock.read();
        let record = shard.slots.get(location.slot())?;
        store.rules.fence_left_by(record, store.epoch())
    });
    if let Some(fence) = left {
        raise(store, &fence, now);
    }
}

/// Takes the fences of a database down. All stripes are held.
pub(super) fn take_down(store: &Store, db: u8) {
    Scope::of_everything(store, Stamp::default())
        .remove_all(|record| record.is_fence() && db_of(record) == db);
}
