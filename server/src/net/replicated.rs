//! A connection of a server that keeps a log: reads wait for the barrier, writes for the log.
//!
//! Requests are taken in runs of one kind, in order: a run of writes is one submission, so that a
//! pipeline costs one wait, and a run of reads passes one barrier.

use bytes::Bytes;
use hallpass_engine::{Stamp, Words};

use super::buffers::Buffers;
use super::connection::{Connection, Ended};
use crate::cluster::{Cluster, Submitter, Unavailable};
use crate::dispatch::{Course, Lowered, Prepared, Turn};

/// A submission is closed when its ops have grown past this.
const SUBMISSION_BYTES: usize = 256 << 10;
/// With more unsent output than this, it is sent before anything else is run.
const OUTPUT_BYTES: usize = 256 << 10;

/// The requests from `Buffers::next` to here are of one kind.
type End = usize;

impl Connection {
    /// Runs requests for as long as they are reads that this node may answer by itself; whether those were all.
    pub(super) fn answer_at_once(&mut self, buffers: &mut Buffers) -> bool {
        let Some(cluster) = self.server.cluster.get().cloned() else { return false };
        while buffers.next < buffers.requests.frames.len() {
            self.stage_buckets(buffers);
            if self.client.transaction.is_some()
                || buffers.prepared.iter().any(|ready| ready.course() != Course::Read)
                || buffers.output.len() > OUTPUT_BYTES
            {
                return false;
            }
            let wall = self.server.clock.now();
            let paused = |turn: Turn<'_>| {
                buffers.prepared.first().and_then(|ready| turn.paused_until(ready)).is_some()
            };
            if paused(self.turn(wall)) {
                return false;
            }
            self.stage_records(buffers);
            let (Some(now), Some(inside)) = (cluster.read_at_once(), cluster.enter()) else {
                return false;
            };
            let end = buffers.next + buffers.prepared.len();
            execute(&mut self.turn(now), buffers, end);
            drop(inside);
            buffers.prepared.clear();
            self.pass_touches_on(&cluster);
        }
        self.client.publish(self.server.clock.now());
        true
    }

    /// Runs all requests at hand through the cluster and sends the replies.
    pub(super) async fn answer_replicated(&mut self, buffers: &mut Buffers) -> Result<(), Ended> {
        let Some(cluster) = self.server.cluster.get().cloned() else { return Ok(()) };
        let cluster = &*cluster;
        while buffers.next < buffers.requests.frames.len() {
            if buffers.prepared.is_empty() {
                self.stage_buckets(buffers);
            }
            let queues = self.client.transaction.is_some();
            let (course, end) = run_of(buffers, queues);
            if course == Course::Read {
                self.stage_records(buffers);
            }
            self.wait_out_pause(buffers).await?;
            match course {
                Course::Local => self.run_local(buffers, end).await,
                Course::Read => self.run_reads(cluster, buffers, end).await,
                Course::Write | Course::Register => self.run_writes(cluster, buffers, end).await,
                Course::Transaction => self.run_transaction(cluster, buffers).await,
            }
            if buffers.output.len() > OUTPUT_BYTES || self.client.closing {
                self.send(buffers).await?;
            }
            if self.client.closing {
                return Err(Ended::Ours);
            }
        }
        self.client.publish(self.server.clock.now());
        self.send(buffers).await
    }

    /// Waits while CLIENT PAUSE holds the next request back.
    async fn wait_out_pause(&mut self, buffers: &Buffers) -> Result<(), Ended> {
        let now = self.server.clock.now();
        let held = buffers.prepared.first().and_then(|ready| self.turn(now).paused_until(ready));
        match held {
            Some(until) => self.sit_out(until).await,
            None => Ok(()),
        }
    }

    pub(super) fn turn(&mut self, now: Stamp) -> Turn<'_> {
        let ticks = self.server.clock.ticks();
        let Self { server, counters, client, settings, .. } = self;
        let config = settings.config();
        let touch_slack = Some(config.touch_slack as u32);
        Turn { server, counters, client, config, now, ticks, passage: None, touch_slack }
    }

    pub(super) async fn run_local(&mut self, buffers: &mut Buffers, end: End) {
        let now = self.server.clock.now();
        execute(&mut self.turn(now), buffers, end);
        buffers.prepared.drain(..1);
        if let Some(deferred) = self.client.deferred.take() {
            deferred.answer(self.client.protocol, &mut buffers.output).await;
        }
    }

    async fn run_reads(&mut self, cluster: &Cluster, buffers: &mut Buffers, end: End) {
        let next = buffers.next;
        let now = match self.look_at(cluster).await {
            Ok(now) => now,
            Err(why) => return self.fail_reads(buffers, end, why),
        };
        let inside = cluster.entered().await;
        execute(&mut self.turn(now), buffers, end);
        drop(inside);
        buffers.prepared.drain(..end - next);
        self.pass_touches_on(cluster);
    }

    pub(super) fn pass_touches_on(&mut self, cluster: &Cluster) {
        if !self.client.touches_due.is_empty() {
            cluster.touch(&std::mem::take(&mut self.client.touches_due));
        }
    }

    fn fail_reads(&mut self, buffers: &mut Buffers, end: End, why: Unavailable) {
        let now = self.server.clock.now();
        let turn = self.turn(now);
        for ready in buffers.prepared.drain(..end - buffers.next) {
            turn.fail_read(&ready, why, &mut buffers.output);
        }
        buffers.next = end;
    }

    async fn run_writes(&mut self, cluster: &Cluster, buffers: &mut Buffers, end: End) {
        // Ops are about as long as the requests they come from.
        let mut ops = Vec::with_capacity(buffers.input.len().min(SUBMISSION_BYTES));
        let mut lowered: Vec<(usize, Lowered)> = Vec::with_capacity(end - buffers.next);
        while buffers.next < end {
            let at = buffers.next;
            let ready = buffers.prepared.remove(0);
            buffers.next += 1;
            let now = self.server.clock.now().max(cluster.applied_stamp());
            let mut error = Vec::new();
            let words = words_of(buffers, at);
            let write = self.turn(now).lower(words, &ready, &mut ops, &mut error);
            if let Some(write) = write {
                lowered.push((at, write));
            } else {
                // Replies keep the order of the requests: those in front come first.
                self.submit(cluster, buffers, &mut ops, &mut lowered).await;
                buffers.output.append(&mut error);
            }
            if ops.len() >= SUBMISSION_BYTES {
                self.submit(cluster, buffers, &mut ops, &mut lowered).await;
            }
        }
        self.submit(cluster, buffers, &mut ops, &mut lowered).await;
    }

    /// Submits what was lowered and writes the replies.
    async fn submit(
        &mut self,
        cluster: &Cluster,
        buffers: &mut Buffers,
        ops: &mut Vec<u8>,
        lowered: &mut Vec<(usize, Lowered)>,
    ) {
        if lowered.is_empty() {
            return;
        }
        let submission = Bytes::from(std::mem::take(ops));
        let answer = match self.client.cause() {
            0 => cluster.submit_by(&self.post, submission).await,
            cause => {
                let submitter = Box::new(Submitter(cause));
                cluster.submit_transaction(&self.post, submission, submitter).await
            }
        };
        let now = self.server.clock.now();
        let mut turn = self.turn(now);
        let mut output = std::mem::take(&mut buffers.output);
        match answer {
            Ok(outcomes) => {
                assert_eq!(outcomes.len(), lowered.len(), "each op has an outcome");
                for ((at, write), outcome) in lowered.drain(..).zip(outcomes) {
                    turn.finish(words_of(buffers, at), &write, outcome, &mut output);
                }
            }
            Err(why) => {
                for (_, write) in lowered.drain(..) {
                    turn.fail(&write, why, &mut output);
                }
            }
        }
        buffers.output = output;
    }
}

/// The kind of the next request, and how far requests of the same kind go.
///
/// A client that `queues` requests has them queued here; only EXEC goes further.
fn run_of(buffers: &Buffers, queues: bool) -> (Course, End) {
    let course = match buffers.prepared.first().map_or(Course::Local, Prepared::course) {
        Course::Read | Course::Write | Course::Register if queues => Course::Local,
        course => course,
    };
    let alike = match course {
        // One at a time: it may change how the next one is read.
        Course::Local | Course::Transaction | Course::Register => 1,
        course => buffers.prepared.iter().take_while(|ready| ready.course() == course).count(),
    };
    (course, buffers.next + alike)
}

fn words_of(buffers: &Buffers, at: usize) -> Words<'_> {
    Words::from_spans(&buffers.input, buffers.requests.words(buffers.requests.frames[at]))
}

/// Runs the requests up to `end`.
fn execute(turn: &mut Turn<'_>, buffers: &mut Buffers, end: End) {
    let Buffers { input, requests, next, prepared, output, .. } = buffers;
    for ready in prepared.iter().take(end - *next) {
        let words = Words::from_spans(input, requests.words(requests.frames[*next]));
        *next += 1;
        turn.execute(words, ready, output);
    }
}
