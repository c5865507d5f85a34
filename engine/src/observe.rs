//! Telling somebody which keys change: for transactions that watch keys, for notifications, and for clients
//! that keep copies.
//!
//! The [`Observer`] is told of a change where it is made, while the key's shard is held: whoever looks at the
//! key afterwards looks at what it was told of. What becomes of an op as a whole it sees from outside, with
//! no lock held. Nobody is told of sessions made with [`Op::SessionCreate`](crate::Op::SessionCreate): they
//! have no key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::engine::Engine;
use crate::op::Op;
use crate::outcome::Outcome;
use crate::store::record::Record;
use crate::time::Stamp;

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
pub trait Observer: Send + Sync {
    /// Something became of a key. Called with locks held: it must be quick and must not call the engine.
    fn changed(&self, change: Change, db: u8, key: &[u8]);

    /// All keys of a database went, or of all. Called with locks held, as [`changed`](Self::changed) is.
    fn flushed(&self, db: Option<u8>);

    /// An op is to be applied: `apply` does it, and is called once. What it changes is told on this thread
    /// meanwhile. Called without locks.
    fn applying(
        &self,
        engine: &Engine,
        op: &Op<'_>,
        now: Stamp,
        apply: &mut dyn FnMut() -> Outcome,
    ) -> Outcome {
        let _ = (engine, op, now);
        apply()
    }

    /// Entries that have ended are to be reclaimed: `reclaim` does it, and is called once. Called without
    /// locks.
    fn reclaiming(&self, reclaim: &mut dyn FnMut()) {
        reclaim();
    }

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

    /// Who is to be told of an op as a whole, if anybody.
    #[inline]
    pub(crate) fn awake(&self) -> Option<&dyn Observer> {
        if self.awake.load(Ordering::Relaxed) { self.observer.get().map(Arc::as_ref) } else { None }
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
