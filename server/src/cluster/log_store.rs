//! The log as openraft wants it, over the segment log.
//!
//! A thin translation: votes, log ids and entries become bytes and back. What is durable when, and in
//! which order, is the segment log's affair; this file must only hand over its completions as they
//! come.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use tokio::sync::oneshot;

use super::codec::{self, encode_entry};
use super::log::{Log, LogError};
use super::mutant::{self, Mutant};
use super::network::urgency::Urgency;
use super::types::{Entry, LogId, TypeConfig, Vote};

/// Bytes that are read from the log at one time.
const READ_BYTES_MAX: u64 = 4 << 20;

/// The log of one node; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<Log>,
    urgency: Arc<Urgency>,
}

impl LogStore {
    /// The store over an open log, which tells `urgency` how far it goes.
    pub(crate) fn new(log: Arc<Log>, urgency: Arc<Urgency>) -> Self {
        Self { log, urgency }
    }

    fn last_log_id(&self) -> io::Result<Option<LogId>> {
        let bounds = self.log.bounds();
        if bounds.is_empty() {
            return Ok(None);
        }
        let last = bounds.end - 1;
        let stored = self.log.entry(last).map_err(io_error)?;
        Ok(stored
            .map(|stored| codec::decode_entry(last, stored))
            .transpose()?
            .map(|entry| entry.log_id))
    }

    fn purged(&self) -> io::Result<Option<LogId>> {
        Ok(self.log.purged().map(|(_, marker)| codec::decode(&marker)).transpose()?)
    }
}

fn io_error(error: LogError) -> io::Error {
    io::Error::other(error)
}

/// Waits for a record to be durable.
async fn durable(
    write: impl FnOnce(Box<dyn FnOnce(Result<(), LogError>) + Send>),
) -> io::Result<()> {
    let (done, durable) = oneshot::channel();
    write(Box::new(move |result| {
        // Who asked may have been stopped.
        let _gone = done.send(result);
    }));
    durable.await.map_err(|_| io::Error::other("the log has stopped"))?.map_err(io_error)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.entries(range, u64::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.entries(start..end, READ_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.log.vote().map(|vote| codec::decode(&vote)).transpose()?)
    }
}

impl LogStore {
    fn entries(&self, range: impl RangeBounds<u64>, bytes_max: u64) -> io::Result<Vec<Entry>> {
        let stored = self.log.read(range, bytes_max).map_err(io_error)?;
        let decode = |(index, stored): (u64, Bytes)| Ok(codec::decode_entry(index, stored)?);
        stored.into_iter().map(decode).collect()
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id = self.purged()?;
        let last_log_id = self.last_log_id()?.or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        if mutant::planted(Mutant::VoteNotPersisted) {
            return Ok(());
        }
        durable(|done| self.log.save_vote(codec::encode(vote), done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.log.save_committed(codec::encode(&committed)).map_err(io_error)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let committed =
            self.log.committed().map(|committed| codec::decode(&committed)).transpose()?;
        Ok(committed.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries = entries.into_iter().map(|entry| (entry.log_id.index, encode_entry(&entry)));
        let entries: Vec<_> = entries.collect();
        let last = entries.last().map(|(index, _)| *index);
        self.log.append(entries, move |result| callback.io_completed(result.map_err(io_error)));
        if let Some(last) = last {
            self.urgency.appended(last);
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |last| last.index + 1);
        durable(|done| self.log.truncate_from(from, done)).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        durable(|done| self.log.purge_through(log_id.index, codec::encode(&log_id), done)).await
    }
}
