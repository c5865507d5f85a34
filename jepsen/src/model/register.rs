//! A register: a key that is read, written, exchanged, and compared and set.

use crate::checker::linear::Model;

/// A register of numbers, without one at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register;

/// An operation on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A read that returned this.
    Read(Option<i64>),
    /// A write.
    Write(i64),
    /// A write that returned what was there before, when it returned.
    Exchange {
        /// What is written.
        new: i64,
        /// What was there, when that came back.
        old: Option<Option<i64>>,
    },
    /// A write if the register held `from`; whether it did, when that came back.
    CompareAndSet {
        /// What has to be there.
        from: i64,
        /// What is written then.
        to: i64,
        /// Whether it was.
        held: Option<bool>,
    },
}

impl Model for Register {
    type State = Option<i64>;
    type Call = Call;

    fn initial(&self) -> Self::State {
        None
    }

    fn step(&self, state: &Self::State, call: &Call) -> Option<Self::State> {
        match *call {
            Call::Read(seen) => (seen == *state).then_some(*state),
            Call::Write(new) => Some(Some(new)),
            Call::Exchange { new, old } => old.is_none_or(|old| old == *state).then_some(Some(new)),
            Call::CompareAndSet { from, to, held } => {
                let holds = *state == Some(from);
                let after = if holds { Some(to) } else { *state };
                held.is_none_or(|held| held == holds).then_some(after)
            }
        }
    }
}
