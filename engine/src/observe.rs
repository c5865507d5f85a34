//! Telling somebody which keys change: for transactions that watch keys, and for notifications.
//!
//! The [`Observer`] is called where the change is made, while the key's shard is held: whoever looks at the
//! key afterwards looks at what it was told of. Nobody is told of sessions made with
//! [`Op::SessionCreate`](crate::Op::SessionCreate): they have no key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::store::record::Record;

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was none.
    Made,
    /// It has another value; perhaps another deadline, too.
    Written,
    /// It has another deadline.
    Deadline,
    /// An op took it away.
    Removed,
    /// Its deadline had passed, and now it was reclaimed: it was not visible any more.
    Expired,
    /// Its owner had been logged out, and now it was reclaimed: it was not visible any more.
    Revoked,
    /// It had to make room for others.
    Evicted,
}

/// Who wants to know which keys change.
///
/// Called with locks held: it must be quick and must not call the engine.
pub trait Observer: Send + Sync {
    /// Something became of a key.
    fn changed(&self, change: Change, db: u8, key: &[u8]);

    /// All keys of a database went, or of all.
    fn flushed(&self, db: Option<u8>);

    /// Registers changed, or all may have because a snapshot was restored. Called whether the observer is
    /// awake or not, without locks: it may look at [`Engine::registers`](crate::Engine::registers).
    fn registers_changed(&self) {}
}

/// The observer of a store, and whether it wants to know.
#[derive(Default)]
pub(crate) struct Observed {
    observer: OnceLock<Arc<dyn Observer>>,
    awake: AtomicBool,
}

impl Observed {
    /// Sets the observer; false when there is one.
    pub(crate) fn set(&self, observer: Arc<dyn Observer>) -> bool {
        self.observer.set(observer).is_ok()
    }

    pub(crate) fn wake(&self, awake: bool) {
        self.awake.store(awake, Ordering::SeqCst);
    }

    /// Relaxed, because it is asked under a shard's lock: who wakes the observer and then looks at a key
    /// either finds the change or is told of it.
    #[inline]
    pub(crate) fn tell(&self, change: Change, record: Record) {
        if self.awake.load(Ordering::Relaxed) && !record.in_session_space() {
            self.tell_awake(change, record);
        }
    }

    #[cold]
    fn tell_awake(&self, change: Change, record: Record) {
        if let Some(observer) = self.observer.get() {
            observer.changed(change, record.db(), record.key_bytes());
        }
    }

    pub(crate) fn tell_registers_changed(&self) {
        if let Some(observer) = self.observer.get() {
            observer.registers_changed();
        }
    }

    pub(crate) fn tell_flushed(&self, db: Option<u8>) {
        if self.awake.load(Ordering::Relaxed)
            && let Some(observer) = self.observer.get()
        {
            observer.flushed(db);
        }
    }
}
