//! What a command may use, by its kind: a read sees the engine, a write only what it needs to make
//! an op, a local command the connection and the server.

use std::cell::Cell;

use hallpass_engine::{Engine, Entry, Key, SessionHash, SizeLimits, Stamp, Touch};

use crate::client::Client;
use crate::metrics::ThreadCounters;
use crate::resp::reply::Reply;
use crate::state::ServerState;

/// What a read works with.
pub struct ReadContext<'a> {
    /// The store.
    pub engine: &'a Engine,
    /// The time of this request.
    pub now: Stamp,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// This thread's counters.
    pub counters: &'a ThreadCounters,
    /// What becomes of a session that a read touches.
    pub touching: Touching<'a>,
}

/// What becomes of a session that a read touches.
#[derive(Debug)]
pub enum Touching<'a> {
    /// It is stored at once.
    Now,
    /// It goes into the log, once it would move the deadline by more than the slack.
    Logged {
        /// The idle limit is divided by this.
        slack_divisor: u32,
        /// Takes the sessions whose touch is due.
        due: &'a mut Vec<SessionHash>,
    },
}

impl Touching<'_> {
    /// What the engine is to do, in a read that `touches` or does not; `due` is for its answer.
    #[inline]
    pub fn of<'d>(&self, touches: bool, due: &'d Cell<bool>) -> Touch<'d> {
        match self {
            _ if !touches => Touch::No,
            Self::Now => Touch::Now,
            Self::Logged { slack_divisor, .. } => Touch::Due { slack_divisor: *slack_divisor, due },
        }
    }

    /// Takes the engine's answer.
    #[inline]
    pub fn note(&mut self, id: &SessionHash, is_due: bool) {
        if let Self::Logged { due, .. } = self
            && is_due
        {
            due.push(*id);
        }
    }
}

impl ReadContext<'_> {
    /// Looks at a key and counts the hit or miss. `read` gets the entry and the reply writer.
    #[inline]
    pub fn look<R>(
        &mut self,
        key: Key<'_>,
        read: impl FnOnce(Option<Entry<'_>>, &mut Reply<'_>) -> R,
    ) -> R {
        let Self { engine, now, reply, counters, .. } = self;
        engine.look(key, *now, |entry| {
            counters.count_look(entry.is_some());
            read(entry, reply)
        })
    }

    /// 64 random bits, not for secrets.
    pub fn random(&self) -> u64 {
        crate::random::next()
    }
}

/// What lowering works with.
#[derive(Debug)]
pub struct LowerContext<'a> {
    /// The time of this request: relative times to live become deadlines with it.
    pub now: Stamp,
    /// Limits on sizes; keys are checked by the dispatcher, values by the command.
    pub sizes: &'a SizeLimits,
    /// Whether `SESSION.CREATE ... ID` is allowed.
    pub session_import: bool,
}

impl LowerContext<'_> {
    /// 64 random bits, not for secrets.
    pub fn random(&self) -> u64 {
        crate::random::next()
    }
}

/// What a local command works with.
pub struct LocalContext<'a> {
    /// The server.
    pub server: &'a ServerState,
    /// The connection.
    pub client: &'a mut Client,
    /// The time of this request.
    pub now: Stamp,
    /// Where the reply goes.
    pub reply: Reply<'a>,
}
