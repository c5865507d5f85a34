//! Which clients have read which keys since those last changed.
//!
//! Bounded: past `tracking-table-max-keys` keys, or past so many bytes that keys of usual length would need,
//! a key is given up for each that comes. Clients that are gone stay in the lists they are in until the key
//! changes, or until a list has doubled, when it is looked through for them.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::hash::RandomState;

/// A power of two, so many that threads seldom meet.
const SHARDS: usize = 64;

/// How many bytes of keys may be noted for each key that may.
const BYTES_A_KEY: u64 = 256;

/// From so many clients on, a list that is full is looked through for those that are gone.
const CLIENTS_LOOKED_THROUGH: usize = 16;

/// Numbers of clients in order.
pub(super) type ClientIds = SmallVec<[u64; 4]>;

type Keys = BTreeMap<Box<[u8]>, ClientIds>;

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[CachePadded<Mutex<Keys>>]>,
    hasher: RandomState,
    keys: AtomicUsize,
    bytes: AtomicUsize,
    clients: AtomicUsize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| CachePadded::default()).collect(),
            hasher: RandomState::default(),
            keys: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
        }
    }
}

impl Table {
    /// How many keys there are, and how many clients with all of them.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.keys.load(Ordering::Relaxed), self.clients.load(Ordering::Relaxed))
    }

    fn shard(&self, key: &[u8]) -> usize {
        self.hasher.hash_one(key) as usize % SHARDS
    }

    /// Notes a client for a key; what had to make room comes back. `keys_max` is 0 for no limit.
    pub(super) fn note(
        &self,
        key: &[u8],
        client: u64,
        keys_max: u64,
        is_tracked: impl Fn(u64) -> bool,
    ) -> Vec<(Box<[u8]>, ClientIds)> {
        let index = self.shard(key);
        let mut shard = self.shards[index].lock();
        if let Some(clients) = shard.get_mut(key) {
            if let Err(at) = clients.binary_search(&client) {
                if clients.len() == clients.capacity() && clients.len() >= CLIENTS_LOOKED_THROUGH {
                    let before = clients.len();
                    clients.retain(|client| is_tracked(*client));
                    self.clients.fetch_sub(before - clients.len(), Ordering::Relaxed);
                }
                let at = clients.binary_search(&client).err().unwrap_or(at);
                clients.insert(at, client);
                self.clients.fetch_add(1, Ordering::Relaxed);
            }
            return Vec::new();
        }
        shard.insert(key.into(), SmallVec::from_slice(&[client]));
        // Before anybody can take it out again.
        self.keys.fetch_add(1, Ordering::Relaxed);
        self.clients.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(key.len(), Ordering::Relaxed);
        drop(shard);
        let mut given_up = Vec::new();
        while self.is_over(keys_max) {
            let Some(neighbour) = self.take_neighbour(key, index) else { break };
            given_up.push(neighbour);
        }
        given_up
    }

    fn is_over(&self, keys_max: u64) -> bool {
        let (keys, bytes) = (self.keys.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        keys_max > 0
            && (keys as u64 > keys_max || bytes as u64 > keys_max.saturating_mul(BYTES_A_KEY))
    }

    /// Takes the key out that follows in the same shard or, when there is no other, one of another shard.
    fn take_neighbour(&self, key: &[u8], index: usize) -> Option<(Box<[u8]>, ClientIds)> {
        for step in 0..SHARDS {
            let mut shard = self.shards[(index + step) % SHARDS].lock();
            let behind = (Bound::Excluded(key), Bound::Unbounded);
            let next = shard.range::<[u8], _>(behind).next().or_else(|| shard.iter().next());
            let Some(next) = next.map(|(next, _)| next.clone()).filter(|next| **next != *key)
            else {
                continue;
            };
            let taken = shard.remove_entry(&next)?;
            self.account_for(&taken.0, &taken.1);
            return Some(taken);
        }
        // It is the only one there is, and too long.
        self.take(key).map(|clients| (key.into(), clients))
    }

    /// Forgets a key; who was noted for it.
    pub(super) fn take(&self, key: &[u8]) -> Option<ClientIds> {
        let clients = self.shards[self.shard(key)].lock().remove(key)?;
        self.account_for(key, &clients);
        Some(clients)
    }

    /// What was taken out counts no more.
    fn account_for(&self, key: &[u8], clients: &ClientIds) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(key.len(), Ordering::Relaxed);
        self.clients.fetch_sub(clients.len(), Ordering::Relaxed);
    }

    /// Forgets all keys.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let keys = std::mem::take(&mut *shard.lock());
            for (key, clients) in &keys {
                self.account_for(key, clients);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(table: &Table, key: &str, client: u64, keys_max: u64) -> Vec<String> {
        let given_up = table.note(key.as_bytes(), client, keys_max, |client| client > 1000);
        given_up.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    }

    #[test]
    fn clients_are_noted_once_until_the_key_is_taken() {
        let table = Table::default();
        for client in [7, 3, 7] {
            assert!(note(&table, "a", client, 10).is_empty());
        }
        note(&table, "b", 7, 10);
        assert_eq!(table.size(), (2, 3));
        assert_eq!(table.take(b"a").expect("noted").as_slice(), [3, 7]);
        assert_eq!(table.take(b"a"), None);
        assert_eq!(table.size(), (1, 1));
        table.clear();
        assert_eq!(table.size(), (0, 0));
    }

    #[test]
    fn it_holds_no_more_than_it_may() {
        let table = Table::default();
        for number in 0..1000 {
            let given_up = note(&table, &format!("key{number}"), 1, 10);
            assert_eq!(given_up.len(), usize::from(number >= 10));
            assert_ne!(given_up.first(), Some(&format!("key{number}")), "the newest stays");
        }
        assert_eq!(table.size(), (10, 10));
        let long = "k".repeat(2560);
        note(&table, &long, 1, 10);
        assert_eq!(table.size(), (1, 1), "long keys count for more");
        assert_eq!(note(&table, &(long + "k"), 1, 10).len(), 2, "one is too long by itself");
        assert_eq!(table.size(), (0, 0));
    }

    #[test]
    fn clients_that_are_gone_do_not_pile_up() {
        let table = Table::default();
        for client in 1..=1000 {
            note(&table, "a", client, 10);
        }
        assert!(table.size().1 <= 2 * CLIENTS_LOOKED_THROUGH, "{:?}", table.size());
        for client in 1001..=1100 {
            note(&table, "a", client, 10);
        }
        assert!(
            table.take(b"a").expect("noted").iter().filter(|client| **client > 1000).count() == 100
        );
    }
}
