//! The digest: one number for all that is visible in a store, whatever the order it is kept in.
//!
//! Two engines that applied the same ops at the same times have the same digest, whatever their shards,
//! seeds and sweeps. It is the sum of one hash an entry, so it does not depend on order; the hash is
//! SipHash-1-3 with a fixed key, as no one is kept from finding collisions here: it finds bugs.

use std::sync::atomic::Ordering;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::engine::Engine;
use crate::key::{Key, SessionHash};
use crate::op::Fingerprint;
use crate::store::record::{Kind, Record};
use crate::store::shard::Shard;
use crate::time::Stamp;

use std::hash::Hasher;

impl Engine {
    /// The digest of everything that is visible at `now`. Reads every entry; shards are locked one by
    /// one, so it means something only while nobody writes.
    pub fn digest(&self, now: Stamp) -> u128 {
        let epoch = self.store.epoch();
        let mut sum = u128::from(self.store.generations.load(Ordering::Relaxed)) << 64;
        let rules = &self.store.rules;
        let encoded = rules.encode();
        if !encoded.is_empty() {
            let mut hasher = SipHasher13::new();
            bytes(&mut hasher, &encoded);
            sum = sum.wrapping_add(hasher.finish128().as_u128());
        }
        for cell in &self.store.shards {
            let shard = cell.lock.read();
            for (_, record) in shard.slots.used_from(0) {
                if shard.is_live(record, epoch, now) {
                    sum = sum.wrapping_add(of_record(&shard, record));
                } else if rules.active()
                    && let Some(fence) = rules.fence_left_by(record, epoch)
                    && fence.until.alive_at(now)
                {
                    sum = sum.wrapping_add(of_alias(
                        fence.id,
                        (fence.mark(), Stamp::NEVER),
                        fence.until,
                    ));
                }
            }
        }
        let registers = self.store.registers.lock();
        if registers.version() > 0 {
            let mut hasher = SipHasher13::new();
            hasher.write_u64(registers.version());
            for (name, value) in registers.iter() {
                bytes(&mut hasher, name);
                bytes(&mut hasher, value);
            }
            sum = sum.wrapping_add(hasher.finish128().as_u128());
        }
        sum
    }
}

impl Engine {
    /// What a key holds, in short: to find out later whether it holds the same.
    pub fn fingerprint(&self, key: Key<'_>, now: Stamp) -> Fingerprint {
        let shard = self.store.read(key.hash);
        let record = shard.record_of_key(&key);
        let live = record.filter(|&record| shard.is_live(record, self.store.epoch(), now));
        // The number of an absent key is taken.
        live.map_or(Fingerprint::ABSENT, |record| Fingerprint(of_record(&shard, record).max(1)))
    }
}

fn of_record(shard: &Shard, record: Record) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write_u8(record.kind() as u8);
    match record.kind() {
        Kind::String | Kind::Collection => {
            hasher.write_u8(record.db());
            bytes(&mut hasher, record.key_bytes());
            hasher.write_u64(record.deadline().millis());
            hash_owner(&mut hasher, record);
            if record.kind() == Kind::Collection {
                // The collection says what its digest depends on: not on the order of a hash or set.
                let mut elements = 0_u128;
                let collection = record.as_collection();
                bytes(&mut hasher, collection.encoding().as_bytes());
                hasher.write_u8(collection.kind() as u8);
                collection.for_each_element(|element| {
                    let mut hasher = SipHasher13::new();
                    hasher.write(element);
                    elements = elements.wrapping_add(hasher.finish128().as_u128());
                });
                hasher.write_u128(elements);
            } else {
                bytes(&mut hasher, record.value());
            }
        }
        Kind::Session => {
            let limits = shard.limits_of(record);
            hasher.write(&record.session_hash().0);
            hash_owner(&mut hasher, record);
            for stamp in [record.created(), record.seen().0, record.authenticated()] {
                hasher.write_u64(stamp.millis());
            }
            hasher.write_u32(limits.idle_seconds);
            hasher.write_u32(limits.lifetime_seconds);
            hasher.write_u32(record.version());
            bytes(&mut hasher, record.meta());
            bytes(&mut hasher, record.data());
        }
        Kind::Alias => {
            let stands_for = (record.stands_for(), record.created());
            return of_alias(record.session_hash(), stands_for, record.deadline());
        }
    }
    hasher.finish128().as_u128()
}

fn of_alias(id: SessionHash, (stands_for, created): (SessionHash, Stamp), deadline: Stamp) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write_u8(Kind::Alias as u8);
    hasher.write(&id.0);
    hasher.write(&stands_for.0);
    hasher.write_u64(created.millis());
    hasher.write_u64(deadline.millis());
    hasher.finish128().as_u128()
}

/// Name and generation of an entry's user.
fn hash_owner(hasher: &mut SipHasher13, record: Record) {
    let (name, generation) = record.owner_parts().unwrap_or_default();
    bytes(hasher, name);
    hasher.write_u64(generation);
}

fn bytes(hasher: &mut SipHasher13, bytes: &[u8]) {
    hasher.write_u64(bytes.len() as u64);
    hasher.write(bytes);
}
