//! A request's way through a cluster: what [`Turn::execute`] does in one go, in steps.
//!
//! A write is lowered to bytes ([`Turn::lower`]), which the caller submits, and its reply is written when
//! the outcome is there ([`Turn::finish`]). Reads and local commands run as ever, once the caller has
//! seen to it that they may. Order is the caller's: it never runs a request before the replies of
//! those in front of it are written.

use hallpass_engine::{Outcome, Words};

use super::{Prepared, Turn};
use crate::client::ReplyMode;
use crate::clock::Ticks;
use crate::cluster::Unavailable;
use crate::command::error::CommandError;
use crate::command::request::{Request, Subject};
use crate::command::spec::{Run, Scripting, Transacting};
use crate::command::table::{Entry, Found};
use crate::resp::reply::Reply;
use crate::session_id::Secret;

/// How a request goes through a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It looks at the store: behind a read barrier.
    Read,
    /// It changes the store: through the log.
    Write,
    /// It changes registers, and with them what the client may do: through the log, by itself.
    Register,
    /// It runs what was queued, through the log.
    Transaction,
    /// It concerns this node or connection only, or is no command.
    Local,
}

/// A write on its way through the log.
#[derive(Debug)]
pub(crate) struct Lowered {
    entry: &'static Entry,
    subject: Subject,
    secret: Option<Secret>,
    muted: bool,
    began: Ticks,
}

impl Prepared {
    /// How it goes through a cluster.
    pub(crate) fn course(&self) -> Course {
        match self.found {
            Found::Command(entry) => match entry.spec.run {
                Run::Read(_)
                | Run::Transaction(Transacting::Watch)
                | Run::Script(Scripting { read_only: true, .. }) => Course::Read,
                Run::Write { .. } | Run::Mint { .. } | Run::Script(_) => Course::Write,
                Run::Register { .. } => Course::Register,
                Run::Transaction(Transacting::Exec) => Course::Transaction,
                Run::Local(_) | Run::Transaction(_) | Run::Container => Course::Local,
            },
            _ => Course::Local,
        }
    }
}

impl Turn<'_> {
    /// Appends a write's op to `ops`, or answers it with an error.
    pub(crate) fn lower(
        &mut self,
        words: Words<'_>,
        prepared: &Prepared,
        ops: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Option<Lowered> {
        let Found::Command(entry) = prepared.found else { return None };
        let muted = self.client.reply_mode != ReplyMode::On;
        if matches!(self.client.reply_mode, ReplyMode::SkipNext | ReplyMode::SkipThis) {
            self.client.reply_mode = ReplyMode::On;
        }
        let request =
            Request::new(words, self.server.engine.seed(), self.client.db, prepared.subject);
        let admitted = self.admit(entry, &request);
        let lowered = admitted.and_then(|()| self.encode(entry, &request, ops));
        match lowered {
            Ok(secret) => {
                self.client.last_command = Some(entry);
                let (subject, began) = (prepared.subject, self.server.clock.ticks());
                Some(Lowered { entry, subject, secret, muted, began })
            }
            Err(error) => {
                self.counters.commands[entry.index].rejected.add(1);
                if !muted {
                    self.refuse(&error, &entry.full_name, output);
                }
                None
            }
        }
    }

    /// Whether the client's user may not have this request.
    pub(crate) fn denies(&self, words: Words<'_>, prepared: &Prepared) -> bool {
        self.client.restricted
            && matches!(prepared.found, Found::Command(entry)
                if self.client.user.check(entry, words).is_err())
    }

    fn encode(
        &self,
        entry: &Entry,
        request: &Request<'_>,
        ops: &mut Vec<u8>,
    ) -> Result<Option<Secret>, CommandError> {
        let context = self.lowering();
        let (op, secret) = match entry.spec.run {
            Run::Write { lower, .. } => {
                let lowered = lower(&context, request);
                (lowered.map_err(|error| self.first_error(entry, request, error))?, None)
            }
            Run::Register { lower, .. } => (lower(self.server, request)?, None),
            Run::Mint { lower, .. } => {
                let secret = Secret::draw();
                (lower(&context, request, &secret)?, Some(secret))
            }
            Run::Script(_) => {
                return Err("ERR scripts that write do not run in a cluster yet".into());
            }
            _ => return Err(CommandError::WrongArity),
        };
        // Memory is this node's own affair, so it is judged before the op enters the log: what nodes
        // apply must not depend on it.
        self.server.engine.has_room_for(&op, self.config.maxmemory)?;
        op.encode(ops);
        Ok(secret)
    }

    /// Writes the reply of a write from its outcome.
    pub(crate) fn finish(
        &mut self,
        words: Words<'_>,
        lowered: &Lowered,
        outcome: Outcome,
        output: &mut Vec<u8>,
    ) {
        let before = output.len();
        let entry = lowered.entry;
        let counters = &self.counters.commands[entry.index];
        // With the time in the log: that is how long the client waited for this command.
        let nanos = self.server.clock.nanos(lowered.began, self.server.clock.ticks());
        counters.calls.add(1);
        counters.nanos.add(nanos);
        let request =
            Request::new(words, self.server.engine.seed(), self.client.db, lowered.subject);
        self.log_if_slow(entry, &request, nanos);
        let mut reply = Reply::new(output, self.client.protocol);
        match (outcome, entry.spec.run, &lowered.secret) {
            (Outcome::Refused(refusal), ..) => {
                counters.failed.add(1);
                self.refuse(&refusal.into(), &entry.full_name, output);
            }
            (Outcome::Flag(false), Run::Register { .. }, _) => {
                counters.failed.add(1);
                let error = "ERR users were changed at the same time: try again".into();
                self.refuse(&error, &entry.full_name, output);
            }
            (outcome, Run::Register { render, .. }, _) => {
                render(&outcome, &request, &mut reply);
                self.client.follow_users(&self.server.acl);
            }
            (outcome, Run::Write { render, .. }, _) => render(&outcome, &request, &mut reply),
            (outcome, Run::Mint { render, .. }, Some(secret)) => {
                render(&outcome, &request, secret, &mut reply);
            }
            _ => {}
        }
        if lowered.muted {
            output.truncate(before);
        }
        if self.client.tracking.is_some() {
            self.end_tracked(Some(entry));
        }
    }

    /// Answers a write that the cluster did not take.
    pub(crate) fn fail(&self, lowered: &Lowered, why: Unavailable, output: &mut Vec<u8>) {
        self.counters.commands[lowered.entry.index].failed.add(1);
        if !lowered.muted {
            self.refuse(&why.into(), &lowered.entry.full_name, output);
        }
    }

    /// Answers a read that the cluster does not vouch for.
    pub(crate) fn fail_read(&self, prepared: &Prepared, why: Unavailable, output: &mut Vec<u8>) {
        if let Found::Command(entry) = prepared.found
            && self.client.reply_mode == ReplyMode::On
        {
            self.counters.commands[entry.index].failed.add(1);
            self.refuse(&why.into(), &entry.full_name, output);
        }
    }
}

impl From<Unavailable> for CommandError {
    fn from(why: Unavailable) -> Self {
        Self::from(format!("CLUSTERDOWN {why}"))
    }
}
