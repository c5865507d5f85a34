//! The clocks: a monotone wall clock for the engine, and a cycle counter for durations.
//!
//! This folder is the only place that reads a clock. [`Clock::now`] is asked once a batch; stamps never run
//! backwards, on whichever thread they are drawn, so expiry is never undone by a clock step.

mod fault;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hallpass_engine::Stamp;

pub(crate) use self::fault::elapsed;

/// The server's clocks.
#[derive(Debug)]
pub struct Clock {
    /// The latest stamp given out, in milliseconds.
    last_millis: AtomicU64,
    cycles: quanta::Clock,
}

/// A reading of the cycle counter.
#[derive(Clone, Copy, Debug)]
pub struct Ticks(u64);

impl Clock {
    /// A clock that starts at the present wall time.
    pub fn new() -> Self {
        Self { last_millis: AtomicU64::new(wall_millis()), cycles: quanta::Clock::new() }
    }

    /// The present time, never earlier than any stamp given out before.
    #[inline]
    pub fn now(&self) -> Stamp {
        let wall = wall_millis();
        let last = self.last_millis.load(Ordering::Relaxed);
        // At most one write a millisecond: the line stays shared between the threads.
        if wall > last {
            let last = self.last_millis.fetch_max(wall, Ordering::Relaxed);
            Stamp::from_millis(wall.max(last))
        } else {
            Stamp::from_millis(last)
        }
    }

    /// The cycle counter, for durations.
    #[inline]
    pub fn ticks(&self) -> Ticks {
        Ticks(self.cycles.raw())
    }

    /// Nanoseconds between two readings.
    #[inline]
    pub fn nanos(&self, from: Ticks, to: Ticks) -> u64 {
        self.cycles.delta_as_nanos(from.0, to.0)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The wall clock in microseconds since the epoch, for TIME only: it may run backwards.
pub fn wall_micros() -> u64 {
    wall().as_micros() as u64
}

#[inline]
fn wall_millis() -> u64 {
    let since = wall();
    since.as_secs() * 1000 + u64::from(since.subsec_millis())
}

#[inline]
fn wall() -> Duration {
    #[allow(clippy::disallowed_methods, reason = "this is where the clock is read")]
    let now = SystemTime::now();
    fault::wall(now.duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_never_run_backwards() {
        let clock = Clock::new();
        let ahead = clock.now().millis() + 60_000;
        clock.last_millis.store(ahead, Ordering::Relaxed);
        assert_eq!(clock.now().millis(), ahead);
    }
}
