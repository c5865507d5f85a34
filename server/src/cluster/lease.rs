//! The leader's lease: until when it may answer reads from its own memory without asking anyone.
//!
//! A follower that has heard from a leader gives its vote to nobody else for the lease's time. So a
//! leader that a majority has answered knows that for so long after it *asked* nobody else leads. It
//! uses seven tenths of that: clocks may drift. [`Lease::holds`] costs one reading of a clock and
//! two loads, and is asked after a read as well as before: a process that was stopped in between does
//! not hand out what it read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::NodeClock;
use super::mutant::{self, Mutant};

/// How much of the followers' promise a leader relies on, in tenths.
const MARGIN_TENTHS: u32 = 7;

/// Until when this node leads for certain.
pub(crate) struct Lease {
    clock: Arc<dyn NodeClock>,
    /// In microseconds of [`NodeClock::elapsed`]; 0 without a lease.
    until_micros: AtomicU64,
    /// Until then no lease is taken: leadership is being handed over, which no promise keeps from happening.
    barred_until_micros: AtomicU64,
    length: Duration,
}

impl Lease {
    /// No lease yet. `promise` is for how long a follower keeps its vote.
    pub(crate) fn new(clock: Arc<dyn NodeClock>, promise: Duration) -> Self {
        Self {
            clock,
            until_micros: AtomicU64::new(0),
            barred_until_micros: AtomicU64::new(0),
            length: promise * MARGIN_TENTHS / 10,
        }
    }

    /// Whether this node leads now, for certain.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        let until = self.until_micros.load(Ordering::Acquire);
        until != 0 && (self.now_micros() < until || mutant::planted(Mutant::LeaseIgnoresPause))
    }

    /// A majority answered what was asked `ago` before now.
    pub(crate) fn extend(&self, ago: Duration) {
        let now = self.now_micros();
        if now < self.barred_until_micros.load(Ordering::Acquire) {
            return self.end();
        }
        let until = now + self.length.as_micros() as u64;
        self.until_micros.store(until.saturating_sub(ago.as_micros() as u64), Ordering::Release);
    }

    /// A cluster of one has nobody else to be led by.
    pub(crate) fn extend_for_ever(&self) {
        if self.now_micros() >= self.barred_until_micros.load(Ordering::Acquire) {
            self.until_micros.store(u64::MAX, Ordering::Release);
        }
    }

    /// This node does not lead, or not for certain.
    pub(crate) fn end(&self) {
        self.until_micros.store(0, Ordering::Release);
    }

    /// Ends the lease and takes none for `time`: before leadership is handed over.
    pub(crate) fn bar(&self, time: Duration) {
        let until = self.now_micros() + time.as_micros() as u64;
        self.barred_until_micros.store(until, Ordering::Release);
        self.end();
    }

    fn now_micros(&self) -> u64 {
        self.clock.elapsed().as_micros() as u64
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lease").field("holds", &self.holds()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hallpass_engine::Stamp;

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl NodeClock for Hand {
        fn now(&self) -> Stamp {
            Stamp::from_millis(0)
        }

        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_lease_ends_by_the_clock_before_the_promise_does() {
        let clock = Arc::new(Hand(AtomicU64::new(5000)));
        let lease = Lease::new(Arc::clone(&clock) as Arc<dyn NodeClock>, Duration::from_secs(1));
        assert!(!lease.holds());
        lease.extend(Duration::from_millis(100));
        clock.0.store(5599, Ordering::Relaxed);
        assert!(lease.holds());
        clock.0.store(5600, Ordering::Relaxed);
        assert!(!lease.holds());
    }

    #[test]
    fn an_answer_that_is_older_than_the_lease_gives_none() {
        let clock = Arc::new(Hand(AtomicU64::new(100)));
        let lease = Lease::new(Arc::clone(&clock) as Arc<dyn NodeClock>, Duration::from_secs(1));
        lease.extend(Duration::from_secs(5));
        assert!(!lease.holds());
    }

    #[test]
    fn while_leadership_is_handed_over_there_is_no_lease() {
        let clock = Arc::new(Hand(AtomicU64::new(100)));
        let lease = Lease::new(Arc::clone(&clock) as Arc<dyn NodeClock>, Duration::from_secs(1));
        lease.extend_for_ever();
        lease.bar(Duration::from_secs(2));
        assert!(!lease.holds());
        lease.extend(Duration::ZERO);
        lease.extend_for_ever();
        assert!(!lease.holds());
        clock.0.store(2100, Ordering::Relaxed);
        lease.extend(Duration::ZERO);
        assert!(lease.holds());
    }
}
