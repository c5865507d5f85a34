//! The log: one ordered stream of votes, entries, truncations and purges in segment files.
//!
//! A call takes effect in memory at once and is queued; the writer takes all that waits, writes it with
//! one call, syncs once and then completes it, in order. There is no timer: while one sync runs, the next
//! batch gathers. A failed write or sync ends the log for good; nothing after it is acknowledged.
//!
//! `format.rs` has the files' layout, `recovery.rs` how a torn write is told from damage, `writer.rs` when
//! a segment begins and goes. Entries, votes and markers are bytes here; what they mean is the caller's.

mod error;
mod format;
mod index;
mod read;
mod recovery;
mod state;
mod tail;
mod writer;

#[cfg(test)]
mod tests;

use std::ops::{Bound, Range, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

pub use self::error::{LogError, OpenError};
use self::format::Record;
use self::recovery::Recovery;
pub use self::state::Statistics;
use self::state::{Queue, Segments, State};
use self::writer::Writer;
use super::disk::{DirectoryLock, Disk};

/// The longest entry, vote or marker. Longer ones are the caller's error.
pub const PAYLOAD_BYTES_MAX: usize = 512 << 20;
/// The largest size of a segment that can be asked for: places in a segment are 32-bit numbers.
const SEGMENT_BYTES_LIMIT: u64 = 1 << 30;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// When a segment would grow past this, the next is begun; a longer record gets one to itself.
    /// At most 1 GiB.
    pub segment_bytes_max: u64,
    /// So much room is reserved ahead in a segment at a time; 0 for none. With it most syncs need not make a
    /// new file length durable, which saves about a third of their time.
    pub reserved_bytes: u64,
    /// Payload bytes of the newest entries that stay in memory, beyond those not yet written.
    pub tail_bytes_max: usize,
    /// Who writes.
    pub writer: WriterMode,
}

/// Who writes batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterMode {
    /// A thread of the log's own.
    Thread,
    /// Whoever calls [`Log::write_batch`]: for simulations, where each step is chosen.
    Manual,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 << 20,
            reserved_bytes: 4 << 20,
            tail_bytes_max: 64 << 20,
            writer: WriterMode::Thread,
        }
    }
}

/// What was found when a log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest vote.
    pub vote: Option<Bytes>,
    /// The index up to which entries were purged, and the marker that came with it.
    pub purged: Option<(u64, Bytes)>,
    /// The newest commit marker that was written; later ones may be lost.
    pub committed: Option<Bytes>,
    /// The first and the last entry's index, if there is any entry.
    pub entries: Option<(u64, u64)>,
    /// Bytes of a torn last write that were cut.
    pub torn_bytes: u64,
}

/// A log in a directory of its own.
///
/// Dropping it writes what still waits, completes it, and marks the log as closed.
pub struct Log {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    _lock: DirectoryLock,
}

struct Shared {
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
    wake: Condvar,
    /// Locked before `state` where both are.
    writer: Mutex<Writer>,
}

impl Log {
    /// Opens the log in a directory, which may be empty, and takes the directory's lock.
    pub fn open(
        disk: Arc<dyn Disk>,
        mut options: LogOptions,
    ) -> Result<(Self, Recovered), OpenError> {
        options.segment_bytes_max = options.segment_bytes_max.min(SEGMENT_BYTES_LIMIT);
        let lock = disk.lock()?;
        let Recovery { writer, stream, index, segments, torn_bytes } =
            recovery::recover(&disk, &options)?;
        let entries = (index.first() < index.next()).then(|| (index.first(), index.next() - 1));
        let recovered = Recovered {
            vote: stream.vote.clone(),
            purged: stream.purged.clone(),
            committed: stream.committed.clone(),
            entries,
            torn_bytes,
        };
        let mut state = State::new(stream, index, segments, options.tail_bytes_max);
        writer.remove(&state.take_unneeded())?;
        let (state, writer) = (Mutex::new(state), Mutex::new(writer));
        let shared = Arc::new(Shared { disk, state, wake: Condvar::new(), writer });
        let mut log = Self { shared, thread: None, _lock: lock };
        if options.writer == WriterMode::Thread {
            let shared = Arc::clone(&log.shared);
            let builder = std::thread::Builder::new().name("hallpass-log".to_owned());
            let thread = builder.spawn(move || shared.run()).map_err(OpenError::Thread)?;
            log.thread = Some(thread);
        }
        Ok((log, recovered))
    }

    /// Appends entries. They are readable when this returns; `done` is called, from the writer, when
    /// they and everything before are durable, or will not be.
    ///
    /// # Panics
    /// When an index does not follow the one before (an empty log that was never purged may begin
    /// anywhere), or a payload is longer than [`PAYLOAD_BYTES_MAX`].
    pub fn append(
        &self,
        entries: impl IntoIterator<Item = (u64, Bytes)>,
        done: impl FnOnce(Result<(), LogError>) + Send + 'static,
    ) {
        // Collected first: the iterator is the caller's code, which must not run under the lock.
        let entries: Vec<_> = entries.into_iter().collect();
        self.shared.submit(Box::new(done), |state| {
            for (index, payload) in entries {
                check_length(&payload);
                state.append(index, payload);
            }
        });
    }

    /// Saves the vote; `done` as for [`Log::append`].
    pub fn save_vote(&self, vote: Bytes, done: impl FnOnce(Result<(), LogError>) + Send + 'static) {
        check_length(&vote);
        self.shared.submit(Box::new(done), |state| state.enqueue(Record::Vote(vote)));
    }

    /// Saves what is committed, lazily: it is written with the next batch, and nobody waits for it.
    pub fn save_committed(&self, committed: Bytes) -> Result<(), LogError> {
        check_length(&committed);
        let mut state = self.shared.state.lock();
        state.usable()?;
        state.commit(committed);
        Ok(())
    }

    /// Drops the entries from `index` on; `done` as for [`Log::append`].
    ///
    /// # Panics
    /// When that would drop purged entries.
    pub fn truncate_from(
        &self,
        index: u64,
        done: impl FnOnce(Result<(), LogError>) + Send + 'static,
    ) {
        self.shared.submit(Box::new(done), |state| state.truncate(index));
    }

    /// Drops the entries through `index`, which may lie beyond the last: the log then goes on after it.
    /// `marker` is kept and found again at the next opening. `done` as for [`Log::append`]; files that
    /// hold nothing else are removed after that.
    pub fn purge_through(
        &self,
        index: u64,
        marker: Bytes,
        done: impl FnOnce(Result<(), LogError>) + Send + 'static,
    ) {
        check_length(&marker);
        self.shared.submit(Box::new(done), |state| state.purge(index, marker));
    }

    /// The entries of a range, as far as they exist and fit into `bytes_max`, but at least the first.
    pub fn read(
        &self,
        range: impl RangeBounds<u64>,
        bytes_max: u64,
    ) -> Result<Vec<(u64, Bytes)>, LogError> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let (on_disk, mut at_hand) = {
            let state = self.shared.state.lock();
            state.usable()?;
            state.find(start, end, bytes_max)
        };
        if on_disk.is_empty() {
            return Ok(at_hand);
        }
        let mut entries = Vec::with_capacity(on_disk.len() + at_hand.len());
        read::read_entries(&*self.shared.disk, &on_disk, &mut entries)?;
        entries.append(&mut at_hand);
        Ok(entries)
    }

    /// One entry, if it exists.
    pub fn entry(&self, index: u64) -> Result<Option<Bytes>, LogError> {
        Ok(self.read(index..=index, 0)?.pop().map(|(_, payload)| payload))
    }

    /// The indexes of the entries there are; where it is empty, its start is the next entry's index.
    pub fn bounds(&self) -> Range<u64> {
        let state = self.shared.state.lock();
        state.first..state.view.next
    }

    /// The vote saved last, durable or not.
    pub fn vote(&self) -> Option<Bytes> {
        self.shared.state.lock().view.vote.clone()
    }

    /// The commit marker saved last, durable or not.
    pub fn committed(&self) -> Option<Bytes> {
        self.shared.state.lock().view.committed.clone()
    }

    /// The newest purge: its index and marker, durable or not.
    pub fn purged(&self) -> Option<(u64, Bytes)> {
        self.shared.state.lock().view.purged.clone()
    }

    /// The failure that ended the log, if one has.
    pub fn failure(&self) -> Option<LogError> {
        self.shared.state.lock().failure.clone()
    }

    /// What the log has done so far.
    pub fn statistics(&self) -> Statistics {
        let state = self.shared.state.lock();
        let segments = state.segments.len() as u64;
        Statistics { segments, tail_bytes: state.tail.bytes() as u64, ..state.statistics }
    }

    /// Writes all that waits and completes it, on this thread. False when nothing waited.
    ///
    /// With [`WriterMode::Manual`] nothing is written but by this; otherwise it is not needed.
    pub fn write_batch(&self) -> bool {
        self.shared.write_batch()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.wake.notify_all();
        match self.thread.take() {
            // A completion may hold the last reference: the writer's thread does not wait for itself.
            Some(thread) if thread.thread().id() == std::thread::current().id() => {}
            Some(thread) => drop(thread.join()),
            None => self.shared.close(),
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let directory = self.shared.disk.directory();
        formatter.debug_struct("Log").field("directory", &directory).finish_non_exhaustive()
    }
}

impl State {
    fn usable(&self) -> Result<(), LogError> {
        self.failure.clone().map_or(Ok(()), Err)
    }
}

impl Shared {
    /// Makes a change and queues its completion; a log that has failed only completes, in its turn.
    fn submit(&self, done: state::Done, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        if state.failure.is_none() {
            change(&mut state);
        }
        state.queue.completions.push(done);
        drop(state);
        self.wake.notify_one();
    }

    /// The writer's thread.
    fn run(&self) {
        loop {
            let mut state = self.state.lock();
            while !state.has_work() && !state.closing {
                self.wake.wait(&mut state);
            }
            let closing = state.closing;
            drop(state);
            if !self.write_batch() && closing {
                break;
            }
        }
        self.close();
    }

    fn write_batch(&self) -> bool {
        let mut writer = self.writer.lock();
        let Queue { records, completions } = self.state.lock().take();
        if records.is_empty() && completions.is_empty() {
            return false;
        }
        let result = self.write(&mut writer, &records);
        let (unneeded, outcome) = match result {
            Ok(unneeded) => (unneeded, Ok(())),
            Err(error) => (Vec::new(), Err(self.fail(error))),
        };
        for done in completions {
            // A completion that panics is its maker's trouble; the others still have to be called.
            let _ = catch_unwind(AssertUnwindSafe(|| done(outcome.clone())));
        }
        if let Err(error) = writer.remove(&unneeded) {
            self.fail(error);
        }
        true
    }

    /// Writes a batch, unless the log has failed; returns the segments that can go.
    fn write(&self, writer: &mut Writer, records: &[Record]) -> Result<Vec<u32>, LogError> {
        self.state.lock().usable()?;
        let written = writer.write(records)?;
        Ok(self.state.lock().apply(records, written))
    }

    /// Keeps the first failure and returns it.
    fn fail(&self, error: LogError) -> LogError {
        self.state.lock().failure.get_or_insert(error).clone()
    }

    /// Writes what still waits, and a mark that all of it is durable.
    fn close(&self) {
        self.write_batch();
        let mut writer = self.writer.lock();
        // Nobody is left to be told of a failure: without the mark, the log is as after a crash.
        let _ = self.write(&mut writer, &[Record::Mark]).and_then(|_| writer.release());
    }
}

fn check_length(payload: &Bytes) {
    let bytes = payload.len();
    assert!(bytes <= PAYLOAD_BYTES_MAX, "{bytes} bytes are too long for one record");
}
