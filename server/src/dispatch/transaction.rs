//! MULTI to EXEC: requests are queued, and then run as one, which nobody sees half of.
//!
//! A memory-only server closes the gate that every batch of requests passes, and so has the store for
//! itself. In a cluster the log is what makes it one ([`Plan`]): the writes are one submission, behind a
//! guard that stands for WATCH; the reads are made where it is applied ([`super::queued_reads`]); and what
//! concerns the connection runs when the outcome is there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hallpass_engine::{Eviction, Op, Outcome, Refusal, Words};

use super::queued_reads::{QueuedRead, QueuedReads, SharedTouches};
use super::script::BUSY;
use super::{Lowered, Turn, prepare};
use crate::client::ReplyMode;
use crate::cluster::{Onlooker, Unavailable};
use crate::command::connection::selected;
use crate::command::error::CommandError;
use crate::command::request::{Request, Subject};
use crate::command::spec::{Flags, Run, Transacting};
use crate::command::table::Entry;
use crate::pause::Pause;
use crate::resp::reply::Reply;
use crate::state::ServerState;
use crate::transaction::{Transaction, Watch};

/// A transaction on its way through the log.
pub(crate) struct Plan {
    transaction: Arc<Transaction>,
    steps: Vec<Step>,
    /// The guard and the writes, encoded.
    pub(crate) ops: Vec<u8>,
    writes: usize,
    reads: VecDeque<QueuedRead>,
    touches: SharedTouches,
    reply_mode: ReplyMode,
}

/// What becomes of one request of a transaction.
enum Step {
    /// It is among the ops.
    Write(Box<Lowered>),
    /// It was refused, with this reply.
    Refused(Vec<u8>),
    /// It is made when the ops are applied.
    Read,
    /// It runs when the outcome is there.
    Local,
}

impl Plan {
    /// Whether it needs no log: a single look is of one instant anyway.
    pub(crate) fn only_looks(&self) -> bool {
        self.writes == 0 && self.reads.len() <= 1
    }

    /// Its reads, for whoever applies its ops.
    pub(crate) fn onlooker(
        &mut self,
        turn: &Turn<'_>,
        server: &Arc<ServerState>,
    ) -> Box<dyn Onlooker> {
        Box::new(QueuedReads {
            server: Arc::clone(server),
            transaction: Arc::clone(&self.transaction),
            reads: std::mem::take(&mut self.reads),
            protocol: turn.client.protocol,
            slack_divisor: turn.touch_slack.unwrap_or(1),
            touches: Arc::clone(&self.touches),
            cause: turn.client.cause(),
            tracked_by: turn
                .client
                .tracking
                .as_ref()
                .and_then(|own| own.notes_reads().then_some(turn.client.shared.id)),
        })
    }
}

impl Turn<'_> {
    /// Marks the transaction, if there is one, as one that will not run: a request of it was refused.
    #[inline]
    pub(crate) fn abort_transaction(&mut self) {
        if let Some(transaction) = &mut self.client.transaction {
            transaction.aborted = true;
        }
    }

    /// Whether this is an EXEC, and there is a write among what it would run.
    pub(super) fn is_exec_of_writes(&self, entry: &Entry) -> bool {
        matches!(entry.spec.run, Run::Transaction(Transacting::Exec))
            && self.client.transaction.as_ref().is_some_and(|queued| {
                queued.requests().any(|(entry, _)| Pause::is_writing(entry.spec))
            })
    }

    /// What a request that may not run does to the transaction, and the error to answer.
    #[cold]
    pub(super) fn reject(&mut self, entry: &Entry, error: CommandError) -> CommandError {
        if !matches!(entry.spec.run, Run::Transaction(Transacting::Exec)) {
            self.abort_transaction();
            return error;
        }
        self.client.transaction = None;
        self.client.watch = None;
        let mut why = Vec::new();
        error.write_text(&entry.full_name, &mut why);
        let why = why.strip_prefix(b"ERR ").unwrap_or(&why);
        CommandError::Raw([b"EXECABORT Transaction discarded because of: ", why].concat())
    }

    /// Queues a request of a transaction; false when it is one that is never queued.
    #[cold]
    pub(super) fn queue(
        &mut self,
        entry: &'static Entry,
        request: &Request<'_>,
        output: &mut Vec<u8>,
    ) -> bool {
        let runs_at_once = matches!(
            entry.spec.run,
            Run::Transaction(
                Transacting::Multi | Transacting::Exec | Transacting::Discard | Transacting::Watch
            )
        ) || matches!(&*entry.full_name, "quit" | "reset");
        if runs_at_once {
            return false;
        }
        match self.enqueue(entry, request) {
            Ok(()) => Reply::new(output, self.client.protocol).simple("QUEUED"),
            Err(error) => {
                self.counters.commands[entry.index].rejected.add(1);
                self.abort_transaction();
                self.refuse(&error, &entry.full_name, output);
            }
        }
        true
    }

    fn enqueue(
        &mut self,
        entry: &'static Entry,
        request: &Request<'_>,
    ) -> Result<(), CommandError> {
        let flags = entry.spec.flags;
        if flags.has(Flags::NO_MULTI) {
            return Err("ERR Command not allowed inside a transaction".into());
        }
        let full = self.config.maxmemory > 0
            && self.server.engine.memory_bytes() >= self.config.maxmemory
            && self.config.eviction() == Eviction::Never;
        if full && flags.has(Flags::DENYOOM) {
            return Err(Refusal::OutOfMemory.into());
        }
        let bytes_max = usize::try_from(self.config.client_query_buffer_limit);
        let Some(transaction) = &mut self.client.transaction else { return Ok(()) };
        if transaction.queue(entry, request.words_from(0), bytes_max.unwrap_or(usize::MAX)) {
            let bytes = transaction.memory_bytes() as u64;
            // What was waited for is queued now: it counts once.
            self.client.shared.input_bytes.store(0, Ordering::Relaxed);
            self.client.shared.queued_bytes.store(bytes, Ordering::Relaxed);
            return Ok(());
        }
        Err("ERR the transaction is larger than 'client-query-buffer-limit'".into())
    }

    /// Runs MULTI, EXEC, DISCARD, WATCH or UNWATCH.
    pub(super) fn transact(
        &mut self,
        transacting: Transacting,
        request: &Request<'_>,
        output: &mut Vec<u8>,
    ) -> Result<(), CommandError> {
        match transacting {
            Transacting::Multi => {
                if self.client.transaction.is_some() {
                    return Err("ERR MULTI calls can not be nested".into());
                }
                self.client.transaction = Some(Box::default());
            }
            Transacting::Exec => return self.exec(output),
            Transacting::Discard => {
                if self.client.transaction.take().is_none() {
                    return Err("ERR DISCARD without MULTI".into());
                }
                self.client.watch = None;
            }
            Transacting::Watch => {
                if self.client.transaction.is_some() {
                    return Err("ERR WATCH inside MULTI is not allowed".into());
                }
                self.watch(request);
            }
            Transacting::Unwatch => self.client.watch = None,
        }
        Reply::new(output, self.client.protocol).ok();
        Ok(())
    }

    fn watch(&mut self, request: &Request<'_>) {
        let (engine, keyspace, now) = (&self.server.engine, &self.server.keyspace, self.now);
        let watch = self.client.watch.get_or_insert_with(|| Box::new(Watch::new(engine, keyspace)));
        for index in 1..request.len() {
            let key = request.key(index);
            watch.add(key.db(), key.bytes(), || engine.look(key, now, |entry| entry.is_some()));
        }
    }

    /// What EXEC is to run, unless it is refused.
    pub(crate) fn take_transaction(
        &mut self,
    ) -> Result<(Box<Transaction>, Option<Box<Watch>>), CommandError> {
        let Some(transaction) = self.client.transaction.take() else {
            return Err("ERR EXEC without MULTI".into());
        };
        let watch = self.client.watch.take();
        if transaction.aborted {
            return Err("EXECABORT Transaction discarded because of previous errors.".into());
        }
        Ok((transaction, watch))
    }

    /// EXEC, with the store for itself.
    fn exec(&mut self, output: &mut Vec<u8>) -> Result<(), CommandError> {
        let (transaction, watch) = self.take_transaction()?;
        self.alone(|turn| {
            turn.run_transaction(&transaction, watch.as_deref(), output);
            Ok(())
        })
    }

    /// Does something with the store for itself.
    pub(super) fn alone(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let Some(mut passage) = self.passage.take() else { return run(self) };
        let result = match passage.close() {
            None => Err(BUSY.into()),
            Some(closed) => {
                // Others have run since the batch began.
                self.now = self.server.clock.now().max(self.now);
                let result = run(self);
                drop(closed);
                result
            }
        };
        passage.reenter();
        self.passage = Some(passage);
        result
    }

    /// Runs what was queued, unless a watched key has changed.
    pub(crate) fn run_transaction(
        &mut self,
        transaction: &Transaction,
        watch: Option<&Watch>,
        output: &mut Vec<u8>,
    ) {
        let (engine, now) = (&self.server.engine, self.now);
        if watch.is_some_and(|watch| {
            watch.is_broken(|key| engine.look(*key, now, |entry| entry.is_some()))
        }) {
            return Reply::new(output, self.client.protocol).null_array();
        }
        Reply::new(output, self.client.protocol).array(transaction.len());
        for (entry, words) in transaction.requests() {
            if !self.permits_queued(entry, words, output) {
                continue;
            }
            let seed = self.server.engine.seed();
            let request = Request::new(words, seed, self.client.db, Subject::Unknown);
            self.command(entry, &request, output);
            self.attend(entry, words);
        }
    }

    /// Whether the client's user still may have a request that it queued; if not, says so.
    fn permits_queued(&self, entry: &Entry, words: Words<'_>, output: &mut Vec<u8>) -> bool {
        if !self.client.restricted {
            return true;
        }
        let permitted = self.permit_queued(entry, words);
        if let Err(error) = &permitted {
            self.counters.commands[entry.index].rejected.add(1);
            self.refuse(error, &entry.full_name, output);
        }
        permitted.is_ok()
    }

    /// Plans an EXEC that goes through the log. `None` when it ends here: a watched key has changed.
    pub(crate) fn plan(
        &mut self,
        transaction: Box<Transaction>,
        watch: Option<&Watch>,
        output: &mut Vec<u8>,
    ) -> Option<Plan> {
        // Its replies are kept back in the end, if they are: what is in it is not asked.
        let reply_mode = std::mem::take(&mut self.client.reply_mode);
        let mut plan = Plan {
            transaction: Arc::from(transaction),
            steps: Vec::new(),
            ops: Vec::new(),
            writes: 0,
            reads: VecDeque::new(),
            touches: SharedTouches::default(),
            reply_mode,
        };
        let (engine, now) = (&self.server.engine, self.now);
        let keys = watch.iter().flat_map(|watch| watch.keys());
        let keys = keys.map(|key| (key, engine.fingerprint(key, now))).collect();
        // Asked after that: what changes from now on, the fingerprints show.
        if watch.is_some_and(|watch| {
            watch.is_broken(|key| engine.look(*key, now, |entry| entry.is_some()))
        }) {
            self.answer_plan(&plan, output, |turn, output| {
                Reply::new(output, turn.client.protocol).null_array();
            });
            return None;
        }
        Op::Unchanged { keys }.encode(&mut plan.ops);
        let db = self.client.db;
        let transaction = Arc::clone(&plan.transaction);
        for (index, (entry, words)) in transaction.requests().enumerate() {
            let mut refusal = Vec::new();
            let step = match entry.spec.run {
                _ if !self.permits_queued(entry, words, &mut refusal) => Step::Refused(refusal),
                Run::Read(_) => {
                    let (applied, db) = (plan.writes, self.client.db);
                    plan.reads.push_back(QueuedRead { applied, index, db });
                    Step::Read
                }
                Run::Write { .. } | Run::Mint { .. } | Run::Register { .. } => {
                    let prepared = prepare(self.server, self.client.db, words);
                    match self.lower(words, &prepared, &mut plan.ops, &mut refusal) {
                        Some(lowered) => {
                            plan.writes += 1;
                            Step::Write(Box::new(lowered))
                        }
                        None => Step::Refused(refusal),
                    }
                }
                Run::Local(_) => {
                    let request = Request::new(words, engine.seed(), db, Subject::Unknown);
                    if entry.spec.name == "select"
                        && let Ok(db) = selected(&request)
                    {
                        // What follows is for this one.
                        self.client.db = db;
                    }
                    Step::Local
                }
                Run::Script(_) => {
                    let mut refusal = Vec::new();
                    let why = "ERR scripts in transactions do not run in a cluster yet".into();
                    self.refuse(&why, &entry.full_name, &mut refusal);
                    Step::Refused(refusal)
                }
                Run::Transaction(_) | Run::Container => Step::Local,
            };
            plan.steps.push(step);
        }
        self.client.db = db;
        Some(plan)
    }

    /// Answers a transaction that only looks, in one go.
    pub(crate) fn finish_look(&mut self, plan: &Plan, watch: Option<&Watch>, output: &mut Vec<u8>) {
        self.answer_plan(plan, output, |turn, output| {
            turn.run_transaction(&plan.transaction, watch, output);
        });
    }

    /// Answers a transaction that went through the log.
    pub(crate) fn finish_plan(
        &mut self,
        plan: &Plan,
        answer: Result<Vec<Outcome>, Unavailable>,
        output: &mut Vec<u8>,
    ) {
        self.client.touches_due.append(&mut plan.touches.lock());
        self.answer_plan(plan, output, |turn, output| match answer {
            Ok(outcomes) => turn.write_plan(plan, outcomes, output),
            Err(why) => turn.refuse(&why.into(), "exec", output),
        });
    }

    fn write_plan(&mut self, plan: &Plan, outcomes: Vec<Outcome>, output: &mut Vec<u8>) {
        let mut outcomes = outcomes.into_iter();
        if outcomes.next() != Some(Outcome::Flag(true)) {
            return Reply::new(output, self.client.protocol).null_array();
        }
        Reply::new(output, self.client.protocol).array(plan.steps.len());
        for (step, (entry, words)) in plan.steps.iter().zip(plan.transaction.requests()) {
            match step {
                Step::Write(lowered) => {
                    let outcome = outcomes.next().unwrap_or(Outcome::Nil);
                    self.finish(words, lowered, outcome, output);
                }
                Step::Read => {
                    if let Some(Outcome::Bytes(reply)) = outcomes.next() {
                        output.extend_from_slice(&reply);
                    }
                }
                Step::Refused(reply) => output.extend_from_slice(reply),
                Step::Local => {
                    let seed = self.server.engine.seed();
                    let request = Request::new(words, seed, self.client.db, Subject::Unknown);
                    self.command(entry, &request, output);
                }
            }
        }
    }

    /// Writes the reply of an EXEC, unless the client does not want it.
    fn answer_plan(
        &mut self,
        plan: &Plan,
        output: &mut Vec<u8>,
        write: impl FnOnce(&mut Self, &mut Vec<u8>),
    ) {
        let before = output.len();
        write(self, output);
        self.end_tracked(None);
        if plan.reply_mode != ReplyMode::On || self.client.reply_mode != ReplyMode::On {
            output.truncate(before);
        }
        if plan.reply_mode == ReplyMode::Off && self.client.reply_mode == ReplyMode::On {
            self.client.reply_mode = ReplyMode::Off;
        }
    }
}
