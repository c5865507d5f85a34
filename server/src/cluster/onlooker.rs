//! The reads of a transaction: what its client looks at between its writes.
//!
//! Writes are in the log, and every node applies them. The reads concern the node alone whose client asks,
//! so they travel beside the log: that node's state machine makes them when it comes to them. What they
//! saw goes back among the outcomes.

use hallpass_engine::{Engine, Outcome, Stamp};

/// Looks at the engine while a submission is applied.
pub(crate) trait Onlooker: Send {
    /// Looks when `applied` ops of the submission have been applied, and adds what it saw to `outcomes`.
    fn look(&mut self, applied: usize, engine: &Engine, now: Stamp, outcomes: &mut Vec<Outcome>);

    /// The client that submitted, if it does not want to hear of what it changes itself; otherwise 0.
    fn cause(&self) -> u64 {
        0
    }
}

/// Looks at nothing, and says who submitted.
#[derive(Debug)]
pub(crate) struct Submitter(pub(crate) u64);

impl Onlooker for Submitter {
    fn look(&mut self, _: usize, _: &Engine, _: Stamp, _: &mut Vec<Outcome>) {}

    fn cause(&self) -> u64 {
        self.0
    }
}

/// One that somebody else owns, for whoever prints what it is in.
pub(crate) struct Beside(pub(crate) Box<dyn Onlooker>);

impl std::fmt::Debug for Beside {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Onlooker")
    }
}
