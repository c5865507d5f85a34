//! The shards' lock: readers in different threads write to different cache lines.
//!
//! A plain reader-writer lock counts its readers in one word, and two threads that read the same shards
//! pass that word's cache line back and forth: with everything else in the caches they were slower
//! together than one alone. Here a shard has one lock for each lane. A reader takes the lock of its
//! thread's lane, which as a rule nobody else writes to; a writer takes all of them, in ascending order.
//! Reads are most of what a session store does, and a writer's locks are not contended.
//!
//! To the rest of the store this is one reader-writer lock that prefers writers.

#![allow(unsafe_code)] // a leaf: the raw lock's trait is unsafe to implement

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::RawRwLock;
use parking_lot::lock_api::{self, GuardNoSend, RawRwLock as _};

/// The most lanes a lock can have, a power of two. More threads than lanes share them.
pub(crate) const LANES_MAX: usize = 8;

/// A reader-writer lock around `T`, with lanes.
pub(crate) type RwLock<T> = lock_api::RwLock<RawLanes, T>;
/// What a reader holds.
pub(crate) type ReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawLanes, T>;
/// What a writer holds.
pub(crate) type WriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawLanes, T>;

/// The lock without what it guards.
pub(crate) struct RawLanes {
    /// How many lanes are in use, less one: all or the low bits. Set before the lock is shared.
    mask: AtomicUsize,
    lanes: [CachePadded<RawRwLock>; LANES_MAX],
}

/// A lock for about so many threads that read at a time.
pub(crate) fn new<T>(threads: usize, content: T) -> RwLock<T> {
    let raw = RawLanes {
        mask: AtomicUsize::new(threads.clamp(1, LANES_MAX).next_power_of_two() - 1),
        ..RawLanes::INIT
    };
    RwLock::from_raw(raw, content)
}

/// A number that threads have in turn, so that those started together read in different lanes.
fn thread_number() -> usize {
    const NONE: usize = usize::MAX;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(NONE) };
    }
    NUMBER.with(|number| {
        if number.get() == NONE {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed) & (NONE >> 1));
        }
        number.get()
    })
}

impl RawLanes {
    fn used(&self) -> &[CachePadded<RawRwLock>] {
        &self.lanes[..=self.mask.load(Ordering::Relaxed) % LANES_MAX]
    }

    /// The lane of the calling thread: the same each time it asks.
    #[inline]
    fn own(&self) -> &RawRwLock {
        &self.lanes[thread_number() & (self.mask.load(Ordering::Relaxed) % LANES_MAX)]
    }
}

// SAFETY: a writer holds every lane in use exclusively and a reader holds one of them shared, so they
// exclude each other as each lane's lock does; the lanes in use never change once the lock is shared.
// Guards cannot be sent to another thread, so a reader gives back the lane it took.
unsafe impl lock_api::RawRwLock for RawLanes {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait wants a constant")]
    const INIT: Self = Self {
        mask: AtomicUsize::new(0),
        lanes: [const { CachePadded::new(RawRwLock::INIT) }; LANES_MAX],
    };

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock_shared(&self) {
        self.own().lock_shared();
    }

    fn try_lock_shared(&self) -> bool {
        self.own().try_lock_shared()
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        // SAFETY: by the contract this thread holds the lock shared, which means its lane.
        unsafe { self.own().unlock_shared() };
    }

    #[inline]
    fn lock_exclusive(&self) {
        for lane in self.used() {
            lane.lock_exclusive();
        }
    }

    fn try_lock_exclusive(&self) -> bool {
        for (taken, lane) in self.used().iter().enumerate() {
            if !lane.try_lock_exclusive() {
                for lane in &self.used()[..taken] {
                    // SAFETY: it was taken just before.
                    unsafe { lane.unlock_exclusive() };
                }
                return false;
            }
        }
        true
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        for lane in self.used() {
            // SAFETY: by the contract this thread holds the lock exclusively, which means every lane.
            unsafe { lane.unlock_exclusive() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_every_lane_exclude_writers() {
        for threads in [1, 2, 3, 8, 100] {
            // Two words that only a writer makes differ, for as long as it holds the lock.
            let lock = new(threads, (0_u32, 0_u32));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..500 {
                            let both = *lock.read();
                            assert_eq!(both.0, both.1);
                        }
                    });
                }
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            let mut both = lock.write();
                            both.0 += 1;
                            std::thread::yield_now();
                            both.1 += 1;
                        }
                    });
                }
            });
            assert_eq!(*lock.read(), (200, 200));
        }
    }

    #[test]
    fn trying_takes_all_lanes_or_none() {
        let lock = new(8, ());
        let reading = lock.read();
        assert!(lock.try_write().is_none());
        assert!(lock.try_read().is_some());
        drop(reading);
        let writing = lock.try_write();
        assert!(writing.is_some());
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(lock.try_read().is_none()));
        });
        drop(writing);
        assert!(lock.try_write().is_some());
    }
}
