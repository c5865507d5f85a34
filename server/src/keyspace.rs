//! Who is told when keys change: transactions that watch some.
//!
//! The engine calls this from whichever thread changes a key, while the key's shard is held. It is asleep,
//! and costs nothing, for as long as nobody watches anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use hallpass_engine::{Change, Engine, Observer};
use parking_lot::Mutex;
use smallvec::SmallVec;

/// A database's number and a key behind it.
type Name = SmallVec<[u8; 64]>;

fn name(db: u8, key: &[u8]) -> Name {
    let mut name = Name::with_capacity(1 + key.len());
    name.push(db);
    name.extend_from_slice(key);
    name
}

/// Set when something a client watches has changed.
pub(crate) type Mark = Arc<AtomicBool>;

/// Called when registers changed.
type Hook = Box<dyn Fn() + Send + Sync>;

/// Who is told of which keys.
#[derive(Default)]
pub struct Keyspace {
    watched: DashMap<Name, Vec<Mark>>,
    /// Whom to tell that registers changed.
    registers: OnceLock<Hook>,
    /// How many reasons there are to be told at all.
    reasons: Mutex<usize>,
}

impl Keyspace {
    /// Has `hook` called whenever registers change; only the first is.
    pub(crate) fn follow_registers(&self, hook: Hook) {
        let _first = self.registers.set(hook);
    }

    /// Sets `mark` when the key changes from now on; false when that was so already.
    pub(crate) fn watch(&self, engine: &Engine, db: u8, key: &[u8], mark: &Mark) -> bool {
        let mut marks = self.watched.entry(name(db, key)).or_default();
        if marks.iter().any(|other| Arc::ptr_eq(other, mark)) {
            return false;
        }
        marks.push(Arc::clone(mark));
        drop(marks);
        let mut reasons = self.reasons.lock();
        *reasons += 1;
        engine.wake_observer(true);
        true
    }

    /// Undoes one [`watch`](Self::watch) of a key.
    pub(crate) fn unwatch(&self, engine: &Engine, db: u8, key: &[u8], mark: &Mark) {
        let name = name(db, key);
        if let Some(mut marks) = self.watched.get_mut(&name)
            && let Some(at) = marks.iter().position(|other| Arc::ptr_eq(other, mark))
        {
            marks.swap_remove(at);
        }
        self.watched.remove_if(&name, |_, marks| marks.is_empty());
        let mut reasons = self.reasons.lock();
        *reasons -= 1;
        engine.wake_observer(*reasons > 0);
    }
}

impl Observer for Keyspace {
    fn changed(&self, change: Change, db: u8, key: &[u8]) {
        // What had ended by itself was not visible any more: who watched it notices that by looking.
        if matches!(change, Change::Expired | Change::Revoked) {
            return;
        }
        if let Some(marks) = self.watched.get(&name(db, key)) {
            marks.iter().for_each(|mark| mark.store(true, Ordering::Release));
        }
    }

    fn registers_changed(&self) {
        if let Some(hook) = self.registers.get() {
            hook();
        }
    }

    fn flushed(&self, db: Option<u8>) {
        for entry in &self.watched {
            if db.is_none() || entry.key().first().copied() == db {
                entry.value().iter().for_each(|mark| mark.store(true, Ordering::Release));
            }
        }
    }
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keyspace").field("watched", &self.watched).finish_non_exhaustive()
    }
}
