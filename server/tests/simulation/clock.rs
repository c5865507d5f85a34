//! The clocks of one simulated node: the simulation's time, with an error of the node's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hallpass_engine::Stamp;
use hallpass_server::cluster::clock::NodeClock;

/// What every node's wall clock shows at the beginning, about.
pub(crate) const BEGINNING_MILLIS: u64 = 1_700_000_000_000;

/// The simulation's time, in milliseconds; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::Relaxed);
    }
}

/// One node's clocks.
#[derive(Debug)]
pub(crate) struct SkewedClock {
    time: Time,
    /// While a node stands still it sees the time at which it will go on.
    ahead_until: AtomicU64,
    /// How wrong the wall clock is.
    offset: AtomicI64,
    last_wall: AtomicU64,
    /// How much faster than the others this one's steady clock is, in parts of 1000.
    drift: i64,
    steady_beginning: u64,
}

impl SkewedClock {
    pub(crate) fn new(time: Time, offset: i64, drift: i64, steady_beginning: u64) -> Self {
        Self {
            time,
            ahead_until: AtomicU64::new(0),
            offset: AtomicI64::new(offset),
            last_wall: AtomicU64::new(0),
            drift,
            steady_beginning,
        }
    }

    /// The node's time, without its error.
    pub(crate) fn local(&self) -> u64 {
        self.time.now().max(self.ahead_until.load(Ordering::Relaxed))
    }

    /// The node stands still for so long from now on: what it sees next is the time after that.
    pub(crate) fn stand_still(&self, millis: u64) -> u64 {
        let until = self.local() + millis;
        self.ahead_until.store(until, Ordering::Relaxed);
        until
    }

    /// Sets the wall clock wrong.
    pub(crate) fn set_offset(&self, millis: i64) {
        self.offset.store(millis, Ordering::Relaxed);
    }

    /// A new process does not know what the one before was shown, and does not stand still.
    pub(crate) fn forget(&self) {
        self.last_wall.store(0, Ordering::Relaxed);
        self.ahead_until.store(0, Ordering::Relaxed);
    }
}

impl NodeClock for SkewedClock {
    fn now(&self) -> Stamp {
        let shown = BEGINNING_MILLIS + self.local();
        let shown = shown.saturating_add_signed(self.offset.load(Ordering::Relaxed));
        let last = self.last_wall.fetch_max(shown, Ordering::Relaxed);
        Stamp::from_millis(shown.max(last))
    }

    fn elapsed(&self) -> Duration {
        let local = self.local();
        let error = local as i64 * self.drift / 1000;
        Duration::from_millis((self.steady_beginning + local).saturating_add_signed(error))
    }
}
