//! What clients asked, when, and what they were told: all that the oracle gets to see.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// A moment, in milliseconds of the simulation. Two things in the same one may have come in either order.
pub(crate) type Moment = u64;

/// What a client asks for. Values and sessions are never used twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Stores a value under a key.
    Set { key: u8, value: u64 },
    /// What is stored under a key.
    Get { key: u8 },
    /// Adds one to a counter.
    Increment { counter: u8 },
    /// What a counter stands at.
    Count { counter: u8 },
    /// Begins a session.
    Create { session: u32, user: u8, lifetime_seconds: u32, cap: Option<Cap> },
    /// Stores a value in a session.
    Save { session: u32, value: u64 },
    /// Gives a session another name; the old one ends.
    Rotate { session: u32, to: u32 },
    /// Ends a session.
    Revoke { session: u32 },
    /// Ends all sessions of a user but one.
    RevokeUser { user: u8, except: Option<u32> },
    /// A session, if it lives.
    Look { session: u32 },
    /// All live sessions of a user, and their count.
    List { user: u8 },
}

/// A limit on a user's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap {
    pub(crate) sessions_max: u32,
    pub(crate) evict: bool,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It happened.
    Done,
    /// A counter's or version's value, or how many sessions ended.
    Number(i64),
    /// A stored value, or that there is none.
    Stored(Option<u64>),
    /// A session was made; it ends at this stamp.
    Made { expires: u64 },
    /// It was refused: there is no such session, or the user has too many.
    Refused(String),
    /// A session, as it was seen at a stamp.
    Seen { at: u64, session: Option<Seen> },
    /// A user's sessions, as they were seen at a stamp.
    Listed { at: u64, sessions: BTreeSet<u32>, count: u64 },
}

/// A live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub user: u8,
    pub(crate) value: u64,
    pub(crate) version: u32,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) node: u64,
    pub(crate) action: Action,
    pub(crate) asked: Moment,
    /// When the answer came, and what it was; `None` when nobody knows whether it happened.
    pub(crate) answered: Option<(Moment, Answer)>,
}

impl Record {
    /// When the answer came; never, if it did not.
    pub(crate) fn ended(&self) -> Moment {
        self.answered.as_ref().map_or(Moment::MAX, |(moment, _)| *moment)
    }

    /// What it was.
    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.answered.as_ref().map(|(_, answer)| answer)
    }
}

/// The requests of a run, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(Arc<Mutex<Vec<Record>>>);

impl History {
    /// Notes a request; its number.
    pub(crate) fn asked(&self, node: u64, action: Action, asked: Moment) -> usize {
        let mut records = self.0.lock().expect("one thread");
        records.push(Record { node, action, asked, answered: None });
        records.len() - 1
    }

    /// Notes an answer.
    pub(crate) fn answered(&self, number: usize, moment: Moment, answer: Answer) {
        let mut records = self.0.lock().expect("one thread");
        records[number].answered = Some((moment, answer));
    }

    /// All of it.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.0.lock().expect("one thread").clone()
    }
}
