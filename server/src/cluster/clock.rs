//! What the cluster knows of time: a wall clock for stamps, and one that does not stop for leases.
//!
//! A trait, because tests and simulations skew, jump and stop the clocks of single nodes. A lease is
//! judged by a clock that goes on while the machine is suspended: to the rest of the cluster that time
//! has passed.

use std::time::Duration;

use hallpass_engine::Stamp;

use crate::clock::Clock;

/// The clocks of one node.
pub trait NodeClock: Send + Sync + 'static {
    /// The wall clock, never earlier than what it gave before.
    fn now(&self) -> Stamp;

    /// Time since some point before the start, suspension included.
    fn elapsed(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Default)]
pub struct SystemClock {
    wall: Clock,
}

impl NodeClock for SystemClock {
    fn now(&self) -> Stamp {
        self.wall.now()
    }

    fn elapsed(&self) -> Duration {
        crate::clock::elapsed()
    }
}
