//! Limits for a store that is one of several: asked by whoever proposes an op, before it enters a log.
//!
//! What a log says has to come to the same on every node, so applying it may not look at what differs
//! between them: memory in use depends on how far the sweep has come, and free slots on that and on the
//! seed. A replicated engine therefore has no memory limit of its own; its leader asks here first, and
//! makes room by proposing the end of what ends soonest anyway.

use crate::engine::Engine;
use crate::key::{Key, SessionHash};
use crate::op::Op;
use crate::outcome::Refusal;
use crate::store::record::Kind;
use crate::store::shard::Shard;
use crate::store::slots::SLOTS_MAX;
use crate::time::Stamp;

/// A shard takes no more proposals from this many slots on. What is left is for ops on their way, and for
/// dead entries that one node has swept and another has not.
const SLOTS_PROPOSED_MAX: u32 = SLOTS_MAX / 16 * 15;
/// How many entries are compared, at the least, to find the nearest deadlines.
const COMPARED_MIN: usize = 4096;

/// Something that could go to make room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evictable {
    /// To be deleted with [`Op::Delete`].
    Key {
        /// Its database.
        db: u8,
        /// Its name.
        name: Vec<u8>,
    },
    /// To be ended with [`Op::SessionRevoke`].
    Session(SessionHash),
}

impl Engine {
    /// Whether an op may be proposed: whether memory in use is below `bytes_max` (0: no limit), if it may
    /// need some, and whether its entries would find a place on every node, with a margin.
    ///
    /// # Errors
    /// [`Refusal::OutOfMemory`] or [`Refusal::TooManyEntries`], to be answered instead of proposing it.
    pub fn has_room_for(&self, op: &Op<'_>, bytes_max: u64) -> Result<(), Refusal> {
        if op.may_grow() && bytes_max > 0 && self.store.used_bytes() >= bytes_max {
            return Err(Refusal::OutOfMemory);
        }
        match op {
            Op::Set { key, .. }
            | Op::Append { key, .. }
            | Op::SetRange { key, .. }
            | Op::Increment { key, .. }
            | Op::IncrementFloat { key, .. }
            | Op::Rename { to: key, .. }
            | Op::Copy { to: key, .. }
            | Op::Restore { key, .. }
            | Op::HashSet { key, .. }
            | Op::HashIncrement { key, .. }
            | Op::HashIncrementFloat { key, .. }
            | Op::SetAdd { key, .. }
            | Op::SetMove { to: key, .. }
            | Op::SetStore { destination: key, .. }
            | Op::SortedAdd { key, .. }
            | Op::ListPush { key, .. }
            | Op::ListMove { to: key, .. } => self.has_place(key.hash),
            Op::SetMany { db, pairs, .. } => pairs
                .pairs()
                .try_for_each(|(key, _)| self.has_place(Key::new(&self.store.seed, *db, key).hash)),
            Op::SessionCreate { id, .. } | Op::SessionRotate { new_id: id, .. } => {
                self.has_place(id.hash())
            }
            _ => Ok(()),
        }
    }

    fn has_place(&self, hash: u64) -> Result<(), Refusal> {
        let shard = self.store.read(hash);
        if shard.slots.len() < SLOTS_PROPOSED_MAX && shard.limits.has_margin() {
            Ok(())
        } else {
            Err(Refusal::TooManyEntries)
        }
    }

    /// Live entries with the nearest deadlines, soonest first, that together hold about `bytes` bytes, or
    /// fewer: only a few of each shard are compared, and what has no deadline is never among them. An
    /// entry may be written anew before its end is applied, and then ends all the same.
    pub fn eviction_candidates(&self, bytes: u64, now: Stamp) -> Vec<Evictable> {
        let epoch = self.store.epoch();
        let each = COMPARED_MIN.div_ceil(self.store.shards.len());
        let mut found: Vec<(Stamp, u64, Evictable)> = Vec::new();
        for cell in &self.store.shards {
            let shard = cell.lock.read();
            for slot in shard.wheel.soonest(&shard.slots, each) {
                let Some(record) = shard.slots.get(slot) else { continue };
                let deadline = shard.deadline_of(record);
                if deadline.is_never() || !shard.is_live(record, epoch, now) {
                    continue;
                }
                let what = match record.kind() {
                    Kind::String | Kind::Collection => {
                        Evictable::Key { db: record.db(), name: record.key_bytes().to_vec() }
                    }
                    Kind::Session => Evictable::Session(record.session_hash()),
                    // Revoking it would end the session it stands for.
                    Kind::Alias => continue,
                };
                found.push((deadline, Shard::cost_bytes(record) as u64, what));
            }
        }
        found.sort_unstable_by_key(|(deadline, ..)| *deadline);
        let mut missing = bytes;
        let enough = found.into_iter().take_while(|(_, cost, _)| {
            let wanted = missing > 0;
            missing = missing.saturating_sub(*cost);
            wanted
        });
        enough.map(|(_, _, what)| what).collect()
    }
}
