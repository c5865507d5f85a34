//! A user's sessions: each made once, all ended in one step, listed and counted.

use crate::checker::linear::Model;

/// Stands for sessions that no list ever showed; there may be several.
pub const UNSEEN: u64 = u64::MAX;

/// The object: no sessions at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct User;

/// An operation; sessions go by the numbers that the client gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Makes a session.
    Create(u64),
    /// Ends all of them; how many there were, when that came back.
    RevokeUser(Option<u64>),
    /// The sessions, in ascending order.
    List(Vec<u64>),
    /// How many there are.
    Count(u64),
    /// Whether one lives.
    Validate {
        /// Which.
        session: u64,
        /// Whether it does.
        live: bool,
    },
}

impl Model for User {
    type State = Vec<u64>;
    type Call = Call;

    fn initial(&self) -> Self::State {
        Vec::new()
    }

    fn step(&self, state: &Self::State, call: &Call) -> Option<Self::State> {
        let kept = || state.clone();
        match call {
            Call::Create(session) => {
                let place = match state.binary_search(session) {
                    Ok(place) => (*session == UNSEEN).then_some(place)?,
                    Err(place) => place,
                };
                let mut after = state.clone();
                after.insert(place, *session);
                Some(after)
            }
            Call::RevokeUser(seen) => {
                seen.is_none_or(|seen| seen == state.len() as u64).then(Vec::new)
            }
            Call::List(seen) => (seen == state).then(kept),
            Call::Count(seen) => (*seen == state.len() as u64).then(kept),
            Call::Validate { session, live } => {
                (state.binary_search(session).is_ok() == *live).then(kept)
            }
        }
    }

    fn dooms(&self, state: &Self::State, next: &Call, later: &[&Call]) -> bool {
        let holds = |session: &u64| state.binary_search(session).is_ok();
        let shows = |call: &&Call| match call {
            Call::List(seen) => seen.iter().any(holds),
            Call::Validate { session, live } => *live && holds(session),
            _ => false,
        };
        let ends_all = match next {
            Call::List(seen) => state.iter().any(|session| !seen.contains(session)),
            Call::Validate { session, live } => !live && holds(session),
            Call::Count(seen) => *seen < state.len() as u64,
            _ => false,
        };
        // Only a logout makes what comes next possible, and it ends all of them; nobody makes a session twice.
        ends_all && later.iter().any(shows)
    }
}
