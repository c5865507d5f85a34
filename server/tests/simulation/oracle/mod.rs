//! The judge of a run: says from the history alone what no correct store could have answered.
//!
//! It shares no code with the engine and knows nothing of nodes, logs or leaders. Each rule is a statement
//! about moments: a request takes effect once, between being asked and being answered; one that was
//! never answered may take effect at any time after it was asked, or not at all.

mod counter;
pub(crate) mod planted;
mod register;
mod session;

use crate::history::Record;

/// How wrong wall clocks were during the run, at the least and at the most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockErrors {
    pub(crate) least: i64,
    pub(crate) most: i64,
}

/// What is wrong with a history.
pub(crate) fn judge(records: &[Record], clocks: ClockErrors) -> Vec<String> {
    let mut wrongs = Vec::new();
    register::judge(records, &mut wrongs);
    counter::judge(records, &mut wrongs);
    session::judge(records, clocks, &mut wrongs);
    wrongs
}
