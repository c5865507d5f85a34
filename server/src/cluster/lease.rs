//! The leader's lease: until when it may answer reads from its own memory without asking anyone.
//!
//! A follower that has heard from a leader gives its vote to nobody else for the lease's time. So a
//! leader that a majority has answered knows that for so long after it *asked* nobody else leads. It
//! uses seven tenths of that: clocks may drift. [`Lease::holds`] costs one reading of a clock and
//! one load.
//!
//! The lease is asked *before* the store is looked at, and never the other way round. A node that held it
//! at some moment had by then applied everything that was ever acknowledged, and what it applied it does
//! not lose: whatever it reads later, however long it was stopped in between, is no older than the
//! question that made it look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::clock::NodeClock;
use super::mutant::{self, Mutant};

/// How much of the followers' promise a leader relies on, in tenths.
const MARGIN_TENTHS: u32 = 7;

/// No term: terms count from 0 and never come this far.
const NO_TERM: u64 = u64::MAX;

/// A reading of the lease's clock, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

/// Notices that the machine was suspended: meanwhile the lease's clock went on, and the monotonic clock,
/// by which the age of an answer is measured, stood still. Answers from before say nothing any more.
#[derive(Debug)]
pub(crate) struct Suspensions {
    last: (Moment, Instant),
    /// What was asked before this is not relied on.
    since: Instant,
}

/// How much further than the monotonic clock the lease's may get between two looks: readings take time,
/// and machines correct the rates of their clocks.
const SUSPENSION: Duration = Duration::from_millis(5);

impl Suspensions {
    /// Begins to watch.
    pub(crate) fn new(moment: Moment, now: Instant) -> Self {
        Self { last: (moment, now), since: now }
    }

    /// Takes a reading of both clocks, this node's lease's first; since when answers can be relied on.
    pub(crate) fn look(&mut self, moment: Moment, now: Instant) -> Instant {
        let (last_moment, last_now) = std::mem::replace(&mut self.last, (moment, now));
        let passed = Duration::from_micros(moment.0.saturating_sub(last_moment.0));
        let ran = now.saturating_duration_since(last_now);
        if passed > ran + ran / 10 + SUSPENSION {
            self.since = now;
        }
        self.since
    }
}

/// Until when this node leads for certain.
pub(crate) struct Lease {
    clock: Arc<dyn NodeClock>,
    /// In microseconds of [`NodeClock::elapsed`]; 0 without a lease.
    until_micros: AtomicU64,
    /// In this term no lease is taken any more: see [`Lease::bar`].
    barred_term: AtomicU64,
    length: Duration,
}

impl Lease {
    /// No lease yet. `promise` is for how long a follower keeps its vote.
    pub(crate) fn new(clock: Arc<dyn NodeClock>, promise: Duration) -> Self {
        Self {
            clock,
            until_micros: AtomicU64::new(0),
            barred_term: AtomicU64::new(NO_TERM),
            length: promise * MARGIN_TENTHS / 10,
        }
    }

    /// Whether this node leads now, for certain.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        let until = self.until_micros.load(Ordering::Acquire);
        until != 0 && (self.now_micros() < until || mutant::planted(Mutant::LeaseIgnoresPause))
    }

    /// The present moment, to be read before the age of what [`Lease::extend`] relies on: a process that
    /// is stopped between the two then gets a shorter lease, not a longer one.
    pub(crate) fn moment(&self) -> Moment {
        Moment(self.clock.elapsed().as_micros() as u64)
    }

    /// As the leader of `term`: a majority answered what was asked `ago` before `moment`.
    pub(crate) fn extend(&self, term: u64, moment: Moment, ago: Duration) {
        let until = moment.0 + self.length.as_micros() as u64;
        self.set(term, until.saturating_sub(ago.as_micros() as u64));
    }

    /// A cluster of one has nobody else to be led by.
    pub(crate) fn extend_for_ever(&self, term: u64) {
        self.set(term, u64::MAX);
    }

    fn set(&self, term: u64, until_micros: u64) {
        self.until_micros.store(until_micros, Ordering::SeqCst);
        // Stored first: either this sees the bar, or the bar ends what was stored.
        if self.barred_term.load(Ordering::SeqCst) == term {
            self.end();
        }
    }

    /// This node does not lead, or not for certain.
    pub(crate) fn end(&self) {
        self.until_micros.store(0, Ordering::SeqCst);
    }

    /// Ends the lease and takes none again in `term`, in which leadership is offered to another node: whoever
    /// hears of that offer, however late, no longer keeps its promise to this node for the rest of the term.
    pub(crate) fn bar(&self, term: u64) {
        self.barred_term.store(term, Ordering::SeqCst);
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

    fn lease_at(millis: u64) -> (Arc<Hand>, Lease) {
        let clock = Arc::new(Hand(AtomicU64::new(millis)));
        let lease = Lease::new(Arc::clone(&clock) as Arc<dyn NodeClock>, Duration::from_secs(1));
        (clock, lease)
    }

    #[test]
    fn a_lease_ends_by_the_clock_before_the_promise_does() {
        let (clock, lease) = lease_at(5000);
        assert!(!lease.holds());
        lease.extend(1, lease.moment(), Duration::from_millis(100));
        clock.0.store(5599, Ordering::Relaxed);
        assert!(lease.holds());
        clock.0.store(5600, Ordering::Relaxed);
        assert!(!lease.holds());
    }

    #[test]
    fn an_answer_that_is_older_than_the_lease_gives_none() {
        let (_clock, lease) = lease_at(100);
        lease.extend(1, lease.moment(), Duration::from_secs(5));
        assert!(!lease.holds());
    }

    #[test]
    fn a_pause_while_the_lease_is_extended_does_not_lengthen_it() {
        let (clock, lease) = lease_at(5000);
        let moment = lease.moment();
        clock.0.store(9000, Ordering::Relaxed);
        lease.extend(1, moment, Duration::from_millis(100));
        assert!(!lease.holds());
    }

    #[test]
    fn once_leadership_was_offered_there_is_no_lease_in_that_term() {
        let (_clock, lease) = lease_at(100);
        lease.extend_for_ever(4);
        lease.bar(4);
        assert!(!lease.holds());
        lease.extend(4, lease.moment(), Duration::ZERO);
        assert!(!lease.holds());
        lease.extend_for_ever(4);
        assert!(!lease.holds());
        lease.extend(5, lease.moment(), Duration::ZERO);
        assert!(lease.holds());
    }

    #[test]
    fn answers_from_before_a_suspension_are_not_relied_on() {
        let millis = Duration::from_millis;
        let begun = Instant::now();
        let mut suspensions = Suspensions::new(Moment(1_000_000), begun);
        // Both clocks go on, and readings are not exact.
        assert_eq!(suspensions.look(Moment(1_027_000), begun + millis(25)), begun);
        // A process that is stopped is not suspended: both clocks saw it.
        assert_eq!(suspensions.look(Moment(9_027_000), begun + millis(8025)), begun);
        let woken = begun + millis(8050);
        assert_eq!(suspensions.look(Moment(9_552_000), woken), woken);
        assert_eq!(suspensions.look(Moment(9_577_000), begun + millis(8075)), woken);
    }
}
