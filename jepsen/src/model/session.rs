//! One session under an id that the client chose: made, read, saved with and without a version, revoked.
//!
//! A save never makes a session, so one that was revoked stays away until somebody makes it again.

use crate::checker::linear::Model;

/// The object: no session at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session;

/// A live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Live {
    /// Goes up by one with each save.
    pub version: u64,
    /// What was saved last.
    pub data: i64,
}

/// An operation; `seen` is what came back, `None` when nothing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Makes the session; whether it was made, or lived already.
    Create {
        /// Its first data.
        data: i64,
        /// Whether it was made.
        seen: Option<bool>,
    },
    /// What lives.
    Read(Option<Live>),
    /// Replaces the data.
    Save {
        /// The new data.
        data: i64,
        /// The version that has to be there.
        version: Option<u64>,
        /// How it ended.
        seen: Option<Saved>,
    },
    /// Ends it; whether it lived.
    Revoke {
        /// Whether it lived.
        seen: Option<bool>,
    },
}

/// How a save ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It was saved under this version.
    As(u64),
    /// There is no session.
    NoSession,
    /// It is at this version, not at the one that was named.
    Moved(u64),
}

impl Model for Session {
    type State = Option<Live>;
    type Call = Call;

    fn initial(&self) -> Self::State {
        None
    }

    fn step(&self, state: &Self::State, call: &Call) -> Option<Self::State> {
        let live = *state;
        match *call {
            Call::Create { data, seen } => {
                let after = live.or(Some(Live { version: 1, data }));
                seen.is_none_or(|made| made == live.is_none()).then_some(after)
            }
            Call::Read(seen) => (seen == live).then_some(live),
            Call::Revoke { seen } => {
                seen.is_none_or(|lived| lived == live.is_some()).then_some(None)
            }
            Call::Save { data, version, seen } => {
                let saved = match live {
                    None => Saved::NoSession,
                    Some(live) if version.is_some_and(|version| version != live.version) => {
                        Saved::Moved(live.version)
                    }
                    Some(live) => Saved::As(live.version + 1),
                };
                let after = match saved {
                    Saved::As(version) => Some(Live { version, data }),
                    _ => live,
                };
                seen.is_none_or(|seen| seen == saved).then_some(after)
            }
        }
    }
}
