//! The state machine: applies what is committed to the engine, and answers who waits for it.
//!
//! Each node applies the same entries in the same order at the same stamps, so each has the same state.
//! Part of that state, beside the engine's, are the members, which submissions were applied
//! ([`Origins`]) and the largest stamp so far: time in the log never runs back. The engine itself is in
//! memory only; a start installs the last snapshot and applies the log from there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{Stream, StreamExt};
use hallpass_engine::{Engine, OpDecoder, Outcome, Stamp};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use tokio::sync::watch;

use super::blocking;
use super::codec::term_of;
use super::entry::{Submission, Unpacker};
use super::mutant;
use super::onlooker::Onlooker;
use super::origins::Origins;
use super::snapshot::{SnapshotFile, SnapshotStore, Writing};
use super::types::{EntryPayload, LogId, Payload, SnapshotMeta, StoredMembership, TypeConfig};
use super::waiting::Waiting;
use crate::gate::Gate;
use crate::tracking;

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotFile>;

/// How far this node has applied the log, for whoever has to know without asking the state machine.
#[derive(Debug)]
pub(crate) struct Progress {
    index: watch::Sender<u64>,
    term: AtomicU64,
    stamp: AtomicU64,
    /// Bytes of payloads applied since the last snapshot began.
    bytes_since_snapshot: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            index: watch::Sender::new(0),
            term: AtomicU64::new(0),
            stamp: AtomicU64::new(0),
            bytes_since_snapshot: AtomicU64::new(0),
        }
    }
}

impl Progress {
    /// The index of the last applied entry.
    pub(crate) fn index(&self) -> u64 {
        *self.index.borrow()
    }

    /// Its term.
    pub(crate) fn term(&self) -> u64 {
        self.term.load(Ordering::Acquire)
    }

    /// The largest stamp applied.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::from_millis(self.stamp.load(Ordering::Acquire))
    }

    /// To wait for an index.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    /// Bytes of payloads applied since the last snapshot began.
    pub(crate) fn bytes_since_snapshot(&self) -> u64 {
        self.bytes_since_snapshot.load(Ordering::Relaxed)
    }

    fn publish(&self, log_id: &LogId, stamp: Stamp) {
        self.stamp.store(stamp.millis(), Ordering::Release);
        self.term.store(term_of(log_id), Ordering::Release);
        // Last: who waits for the index finds the rest in place.
        self.index.send_replace(log_id.index);
    }
}

/// The state that is replicated beside the engine's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replicated {
    /// The last applied entry.
    pub(crate) last_applied: Option<LogId>,
    /// The members.
    pub(crate) membership: StoredMembership,
    /// Which submissions were applied.
    pub(crate) origins: Origins,
    /// The largest stamp so far.
    pub(crate) stamp: Stamp,
}

/// The state machine of one node.
pub(crate) struct StateMachine {
    engine: Arc<Engine>,
    gate: Arc<Gate>,
    waiting: Arc<Waiting>,
    progress: Arc<Progress>,
    snapshots: Arc<SnapshotStore>,
    state: Replicated,
    decoder: OpDecoder,
    /// What this node's own submissions in the present entry came to.
    outcomes: Vec<(u64, Vec<Outcome>)>,
}

impl StateMachine {
    /// A state machine over an empty engine.
    pub(crate) fn new(
        engine: Arc<Engine>,
        gate: Arc<Gate>,
        waiting: Arc<Waiting>,
        progress: Arc<Progress>,
        snapshots: Arc<SnapshotStore>,
    ) -> Self {
        Self {
            engine,
            gate,
            waiting,
            progress,
            snapshots,
            state: Replicated::default(),
            decoder: OpDecoder::default(),
            outcomes: Vec::new(),
        }
    }

    async fn apply_payload(&mut self, payload: Payload) -> io::Result<()> {
        let bytes = payload.0.len() as u64;
        let (stamp, mut submissions) = Unpacker::open(payload.0).map_err(broken)?;
        self.state.stamp = self.state.stamp.max(mutant::stamp(stamp));
        while let Some(submission) = submissions.next().map_err(broken)? {
            if self.state.origins.admit(&submission) {
                self.apply_submission(&submission).await?;
            }
        }
        self.progress.bytes_since_snapshot.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    async fn apply_submission(&mut self, submission: &Submission) -> io::Result<()> {
        let own = submission.origin == self.waiting.origin();
        let mut outcomes = Vec::new();
        let onlooker = if own { self.waiting.onlooker(submission.serial) } else { None };
        let cause = onlooker.as_ref().map_or(0, |onlooker| onlooker.cause());
        if OpDecoder::is_guard(&submission.ops) {
            let gate = Arc::clone(&self.gate);
            let closed = gate.close().await;
            // No await from here on: it is this thread that is said to act for the client.
            tracking::set_cause(cause);
            self.apply_transaction(&submission.ops, &mut outcomes, onlooker)?;
            drop(closed);
        } else {
            tracking::set_cause(cause);
            let mut rest = &submission.ops[..];
            while !rest.is_empty() {
                let outcome = self.apply_first(&mut rest)?;
                if own {
                    outcomes.push(outcome);
                }
            }
        }
        tracking::set_cause(0);
        if own {
            self.outcomes.push((submission.serial, outcomes));
        }
        Ok(())
    }

    /// Applies a guard and, if it lets them pass, the ops behind it.
    fn apply_transaction(
        &mut self,
        mut rest: &[u8],
        outcomes: &mut Vec<Outcome>,
        mut onlooker: Option<Box<dyn Onlooker>>,
    ) -> io::Result<()> {
        let passes = self.apply_first(&mut rest)?;
        let goes_on = passes == Outcome::Flag(true);
        outcomes.push(passes);
        if !goes_on {
            return Ok(());
        }
        for applied in 0.. {
            if let Some(onlooker) = &mut onlooker {
                onlooker.look(applied, &self.engine, self.state.stamp, outcomes);
            }
            if rest.is_empty() {
                break;
            }
            outcomes.push(self.apply_first(&mut rest)?);
        }
        Ok(())
    }

    /// Applies the first of some ops, and takes it off them.
    fn apply_first(&mut self, ops: &mut &[u8]) -> io::Result<Outcome> {
        let (op, length) = self.decoder.decode_first(self.engine.seed(), ops).map_err(broken)?;
        *ops = &ops[length..];
        if mutant::omits(&op) {
            return Ok(Outcome::Integer(1));
        }
        Ok(self.engine.apply(&op, self.state.stamp))
    }
}

/// An entry this program cannot apply stops the node: to go on without it would be another state.
fn broken(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.state.last_applied, self.state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(payload) => self.apply_payload(payload).await?,
                EntryPayload::Membership(members) => {
                    self.state.membership = StoredMembership::new(Some(entry.log_id), members);
                }
            }
            self.state.last_applied = Some(entry.log_id);
            self.progress.publish(&entry.log_id, self.state.stamp);
            // Published first: whoever is answered may go and read on another node at once.
            if !self.outcomes.is_empty() {
                self.waiting.applied(&mut self.outcomes);
            }
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        // Between two entries: the image is of exactly this state, whatever is applied while it is written.
        self.progress.bytes_since_snapshot.store(0, Ordering::Relaxed);
        let writing = self.snapshots.begin(&self.engine, self.state.clone());
        Builder { writing: Some(writing) }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        file: SnapshotFile,
    ) -> io::Result<()> {
        let closed = self.gate.close().await;
        let (engine, snapshots) = (Arc::clone(&self.engine), Arc::clone(&self.snapshots));
        let state = blocking::run(move || snapshots.install(&engine, file)).await??;
        if state.last_applied != meta.last_log_id {
            let text = "the snapshot is not the one that was announced";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.waiting.skipped(&state.origins);
        if let Some(last_applied) = &state.last_applied {
            self.progress.publish(last_applied, state.stamp);
        }
        self.state = state;
        mutant::installed();
        drop(closed);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let Some((meta, snapshot)) = self.snapshots.current()? else { return Ok(None) };
        Ok(Some(Snapshot { meta, snapshot }))
    }
}

/// Writes the snapshot that was begun.
pub(crate) struct Builder {
    writing: Option<io::Result<Writing>>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let writing = self.writing.take().ok_or_else(|| io::Error::other("built once"))??;
        let (meta, snapshot) = blocking::run(move || writing.write()).await??;
        Ok(Snapshot { meta, snapshot })
    }
}
