//! The reads of a transaction that goes through the log: made where the entry is applied, between the
//! transaction's writes.

use std::collections::VecDeque;
use std::sync::Arc;

use hallpass_engine::{Engine, Outcome, SessionHash, Stamp};
use parking_lot::Mutex;

use super::attend::{note_read, tell_of_read};
use super::write_error;
use crate::cluster::Onlooker;
use crate::command::context::{ReadContext, Touching};
use crate::command::request::{Request, Subject};
use crate::command::spec::Run;
use crate::resp::reply::{Protocol, Reply};
use crate::state::ServerState;
use crate::transaction::Transaction;

/// A read, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueuedRead {
    /// It sees this many of the transaction's writes.
    pub(super) applied: usize,
    /// Its place among the requests.
    pub(super) index: usize,
    /// The database it is for.
    pub(super) db: u8,
}

/// Sessions that such reads touched and whose touch the log has to be told of.
pub(crate) type SharedTouches = Arc<Mutex<Vec<SessionHash>>>;

/// The reads of one transaction, in order.
pub(super) struct QueuedReads {
    pub(super) server: Arc<ServerState>,
    pub(super) transaction: Arc<Transaction>,
    pub(super) reads: VecDeque<QueuedRead>,
    pub(super) protocol: Protocol,
    pub(super) slack_divisor: u32,
    pub(super) touches: SharedTouches,
    /// The client, if it is to be told when what it reads changes.
    pub(super) tracked_by: Option<u64>,
    /// The client, if it does not want to hear of what it changes itself; otherwise 0.
    pub(super) cause: u64,
}

impl Onlooker for QueuedReads {
    fn cause(&self) -> u64 {
        self.cause
    }

    fn look(&mut self, applied: usize, engine: &Engine, now: Stamp, outcomes: &mut Vec<Outcome>) {
        while let Some(read) = self.reads.front().copied()
            && read.applied == applied
        {
            self.reads.pop_front();
            outcomes.push(Outcome::Bytes(self.reply(read, engine, now)));
        }
    }
}

impl QueuedReads {
    fn reply(&self, read: QueuedRead, engine: &Engine, now: Stamp) -> Vec<u8> {
        let (entry, words) = self.transaction.request(read.index);
        let request = Request::new(words, engine.seed(), read.db, Subject::Unknown);
        let mut output = Vec::new();
        let Run::Read(run) = entry.spec.run else { return output };
        if let Some(client) = self.tracked_by {
            note_read(&self.server.keyspace, client, entry, words);
        }
        let counters = self.server.counters_of_log();
        let due = &mut *self.touches.lock();
        let mut context = ReadContext {
            engine,
            now,
            reply: Reply::new(&mut output, self.protocol),
            counters,
            touching: Touching::Logged { slack_divisor: self.slack_divisor, due },
        };
        let result = run(&mut context, &request);
        if let Some(client) = self.tracked_by {
            note_read(&self.server.keyspace, client, entry, words);
        }
        if self.server.settings.current().notify_keyspace_events.any() {
            let observed = (&*self.server.keyspace, engine);
            tell_of_read(observed, entry, (read.db, words), now, true);
        }
        counters.commands[entry.index].calls.add(1);
        if let Err(error) = result {
            output.clear();
            counters.commands[entry.index].failed.add(1);
            let reply = Reply::new(&mut output, self.protocol);
            write_error(&self.server, counters, &error, &entry.full_name, reply);
        }
        output
    }
}
