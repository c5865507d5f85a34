//! A connection: read all there is, run every complete request, answer with one write, then wait.
//!
//! Requests run in batches. With a store larger than the processor's caches the batch is staged: hash
//! and ask for all buckets, then all slots, then all records, and only then run; waiting for memory
//! is then paid once instead of once a request. A client that does not pipeline has no batch, so the
//! connection lets the other ready ones go first between the stages: their requests are the batch.
//! Replies to a pipeline wait until the other ready connections have theirs: see [`relay::hold`].
//!
//! Backpressure: with much unsent output a connection runs and reads nothing more until its client
//! has taken it. So a slow reader costs bounded memory and nobody else's time.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use hallpass_engine::{Stamp, Words};

use super::buffers::{Buffers, INPUT_BYTES};
use super::relay;
use super::stream::Stream;
use crate::client::{Client, ReplyMode};
use crate::cluster::Post;
use crate::dispatch::{Prepared, Turn, prepare};
use crate::gate::Passage;
use crate::metrics::SharedCounters;
use crate::resp::reply::Reply;
use crate::resp::request::{ParseLimits, ProtocolError, RequestParser};
use crate::script::aside;
use crate::state::{ServerState, SettingsView};

/// The most requests that are staged together.
const BATCH_REQUESTS_MAX: usize = 32;

/// With up to so many requests at hand, other connections go first between the stages.
const RELAY_REQUESTS_MAX: usize = 2;

/// With more unsent output than this, nothing more is executed.
const OUTPUT_PAUSE_BYTES: usize = 1 << 20;

/// Up to this size, room for a whole argument is made at once; beyond it, by doubling, because the length
/// is only a promise of the client's.
const ARGUMENT_RESERVE_BYTES_MAX: usize = 1 << 20;

/// Messages of up to about so many bytes are sent together; the others go on waiting in the mailbox, where
/// the limit of unsent messages counts them.
const MAIL_BYTES: usize = 64 << 10;

/// How often a paused connection looks whether the pause is over.
const PAUSE_CHECK: Duration = Duration::from_millis(10);

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client closed, or the network did.
    Closed,
    /// We close: QUIT, CLIENT KILL, a limit, or the server's stop.
    Ours,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// What kept a batch from going on.
enum Stop {
    /// Too much unsent output.
    Output,
    /// CLIENT PAUSE.
    Paused(Stamp),
    /// What follows may take long, and is to run where it can step aside.
    Aside,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) stream: Stream,
    pub(super) client: Client,
    pub(super) server: Arc<ServerState>,
    pub(super) counters: SharedCounters,
    pub(super) settings: SettingsView,
    /// How a cluster's answers reach this thread.
    pub(super) post: Arc<Post>,
    parser: RequestParser,
    /// The buffers for the next read: with the beginning of a request whose rest is awaited, or empty and
    /// of use once more if the socket is not.
    at_hand: Option<Box<Buffers>>,
    /// Whether the last read filled its buffer, so that more may be waiting.
    crowded: bool,
}

impl Connection {
    /// A connection of `client` over `stream`, and what it shares with the others of its thread.
    pub(crate) fn new(
        stream: Stream,
        client: Client,
        (server, counters, post): (Arc<ServerState>, SharedCounters, Arc<Post>),
    ) -> Self {
        let settings = server.settings.view();
        let parser = RequestParser::default();
        let (at_hand, crowded) = (None, false);
        Self { stream, client, server, counters, settings, post, parser, at_hand, crowded }
    }

    /// Serves the client until one side closes.
    pub(crate) async fn serve(mut self) {
        let opened = if self.has_opening() { Box::pin(self.open()).await } else { Ok(()) };
        if opened.is_ok() {
            let _ended = self.run().await;
        }
        self.stream.say_goodbye();
        if self.client.shared.mailbox.get().is_some() {
            self.stop_listening();
        }
        self.server.clients.remove(self.client.shared.id);
    }

    async fn run(&mut self) -> Result<(), Ended> {
        loop {
            let mut buffers = self.receive().await?;
            if self.client.shared.mailbox.get().is_some() {
                self.deliver(&mut buffers).await?;
            }
            loop {
                let error = self.parse(&mut buffers);
                if buffers.requests.frames.is_empty() && error.is_none() {
                    break;
                }
                self.answer(&mut buffers).await?;
                if let Some(error) = error {
                    write_protocol_error(error, &mut buffers.output, &self.client);
                    self.send(&mut buffers).await?;
                    return Err(Ended::Ours);
                }
                self.cut(&mut buffers);
            }
            self.settle(buffers)?;
            if self.crowded {
                // A client that sends faster than it is served takes turns with the others.
                relay::relay().await;
            }
        }
    }

    /// Waits for bytes and reads them.
    async fn receive(&mut self) -> Result<Box<Buffers>, Ended> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Box<Buffers>, Ended>> {
        self.client.shared.keep_waker(context.waker());
        if self.client.shared.is_killed() || self.server.shutdown.has_begun() {
            return Poll::Ready(Err(Ended::Ours));
        }
        let mut buffers = match self.at_hand.take() {
            Some(buffers) if buffers.is_packed() => buffers.unpack(),
            Some(buffers) => buffers,
            None => Buffers::take(),
        };
        self.make_room(&mut buffers.input);
        let free = buffers.input.capacity() - buffers.input.len();
        match self.stream.poll_receive(context, &mut buffers.input) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Ended::Closed)),
            Poll::Ready(Ok(bytes)) => {
                self.counters.input_bytes.add(bytes as u64);
                self.crowded = bytes == free;
                Poll::Ready(Ok(buffers))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending if self.has_mail() => {
                self.crowded = false;
                Poll::Ready(Ok(buffers))
            }
            Poll::Pending => {
                if buffers.input.is_empty() {
                    // Waiting takes no buffers: there may be many who do.
                    buffers.release();
                } else {
                    self.at_hand = Some(buffers.pack());
                }
                Poll::Pending
            }
        }
    }

    /// Whether there are messages for this client.
    fn has_mail(&self) -> bool {
        self.client.shared.mailbox.get().is_some_and(|mailbox| !mailbox.is_empty())
    }

    /// Sends messages that came for this client.
    async fn deliver(&mut self, buffers: &mut Buffers) -> Result<(), Ended> {
        if self.client.subscriptions.is_none() {
            // Another client has its messages redirected here.
            self.client.open_mailbox();
        }
        if let Some(mailbox) = self.client.shared.mailbox.get() {
            // With more to send, others have their turn first.
            self.crowded |= mailbox.take(MAIL_BYTES, &mut buffers.output);
        }
        self.send(buffers).await
    }

    /// Ends the subscriptions of a client that is gone.
    fn stop_listening(&mut self) {
        let mailbox = self.client.shared.mailbox.get();
        if mailbox.is_some_and(|mailbox| mailbox.has_overflowed()) {
            self.server.metrics.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
        }
        self.server.keyspace.untrack(&self.server.engine, &mut self.client);
        self.server.pubsub.leave(&mut self.client);
    }

    /// Makes room for the next read: for a large argument as much as it needs.
    fn make_room(&self, input: &mut Vec<u8>) {
        let free = input.capacity() - input.len();
        match self.parser.wanted() {
            Some(wanted) if wanted > input.capacity() => {
                let doubled = (2 * input.capacity()).max(ARGUMENT_RESERVE_BYTES_MAX);
                input.reserve_exact(wanted.min(doubled) - input.len());
            }
            Some(_) if free > 0 => {}
            _ if free < INPUT_BYTES / 2 => input.reserve(INPUT_BYTES),
            _ => {}
        }
    }

    #[inline]
    fn parse(&mut self, buffers: &mut Buffers) -> Option<ProtocolError> {
        let config = self.settings.refresh(&self.server, &mut self.client);
        let limits = ParseLimits {
            bulk_bytes_max: config.proto_max_bulk_len,
            authenticated: self.client.authenticated,
        };
        self.parser.parse(&mut buffers.input, limits, &mut buffers.requests).err()
    }

    /// Runs all requests at hand and sends the replies.
    async fn answer(&mut self, buffers: &mut Buffers) -> Result<(), Ended> {
        if self.server.cluster.get().is_some() {
            if !self.answer_at_once(buffers) {
                // Boxed: this future is large, and whoever does not need it should not pay for it.
                return Box::pin(self.answer_replicated(buffers)).await;
            }
            return self.send(buffers).await;
        }
        while buffers.next < buffers.requests.frames.len() {
            let requests = buffers.requests.frames.len() - buffers.next;
            let prefetch = self.server.prefetch.load(Ordering::Relaxed);
            let alone = requests <= RELAY_REQUESTS_MAX;
            if prefetch && alone && relay::pays() {
                self.stage_buckets(buffers);
                if relay::relay().await {
                    self.stage_records(buffers);
                    relay::relay().await;
                }
            }
            let mut stop = self.execute(buffers, prefetch);
            if matches!(stop, ControlFlow::Break(Stop::Aside)) {
                // Boxed: it is rare.
                stop = Box::pin(aside::run(|| self.execute(buffers, prefetch))).await;
            }
            if !alone {
                relay::hold(buffers.output.len()).await;
            }
            self.send(buffers).await?;
            if self.client.closing {
                return Err(Ended::Ours);
            }
            if let ControlFlow::Break(Stop::Paused(until)) = stop {
                self.sit_out(until).await?;
            }
        }
        Ok(())
    }

    /// Waits until CLIENT PAUSE is over, or ended early.
    pub(super) async fn sit_out(&self, until: Stamp) -> Result<(), Ended> {
        loop {
            let now = self.server.clock.now();
            if now >= until || !self.server.pause.is_on(now) {
                return Ok(());
            }
            if self.client.shared.is_killed() || self.server.shutdown.has_begun() {
                return Err(Ended::Ours);
            }
            tokio::time::sleep(PAUSE_CHECK).await;
        }
    }

    /// Runs requests until there are none or something stops them.
    fn execute(&mut self, buffers: &mut Buffers, prefetch: bool) -> ControlFlow<Stop> {
        let now = self.server.clock.now();
        let mut ticks = self.server.clock.ticks();
        let mut stop = ControlFlow::Continue(());
        while buffers.next < buffers.requests.frames.len() {
            if buffers.prepared.is_empty() {
                self.stage_buckets(buffers);
                if prefetch && buffers.prepared.len() > 1 {
                    self.stage_records(buffers);
                }
            }
            if buffers.runs_scripts && !aside::may_step_aside() {
                stop = ControlFlow::Break(Stop::Aside);
                break;
            }
            let Self { server, counters, client, settings, .. } = self;
            let config = settings.config();
            let (passage, touch_slack) = (Some(Passage::enter(&server.gate)), None);
            let mut turn =
                Turn { server, counters, client, config, now, ticks, passage, touch_slack };
            stop = if turn.is_kept_out() {
                run_busy(&mut turn, buffers)
            } else {
                run_batch(&mut turn, buffers)
            };
            ticks = turn.ticks;
            drop(turn);
            buffers.prepared.clear();
            if self.client.closing || stop.is_break() {
                break;
            }
        }
        self.client.publish(now);
        stop
    }

    /// First stage: looks the batch's commands up, hashes their keys, asks for the buckets.
    pub(super) fn stage_buckets(&self, buffers: &mut Buffers) {
        let Buffers { input, requests, next, prepared, runs_scripts, .. } = buffers;
        prepared.clear();
        *runs_scripts = false;
        for frame in requests.frames[*next..].iter().take(BATCH_REQUESTS_MAX) {
            let words = Words::from_spans(input, requests.words(*frame));
            let mut ready = prepare(&self.server, self.client.db, words);
            if let Some((hash, _)) = ready.sought() {
                self.server.engine.prefetch_bucket(hash);
            } else {
                *runs_scripts |= ready.runs_scripts(&self.client);
            }
            prepared.push(ready);
        }
    }

    /// Second stage: asks for the slots that the buckets name, then for the records they point to.
    pub(super) fn stage_records(&self, buffers: &mut Buffers) {
        let sought = buffers.prepared.iter_mut().filter_map(Prepared::sought);
        self.server.engine.prefetch_records(sought);
    }

    /// Sends the output, waiting for the client when it has to.
    #[inline]
    pub(super) async fn send(&mut self, buffers: &mut Buffers) -> Result<(), Ended> {
        if buffers.output.is_empty() {
            return Ok(());
        }
        let sent = self.stream.try_send(&buffers.output)?;
        self.counters.output_bytes.add(sent as u64);
        if sent < buffers.output.len() || self.stream.holds_unsent() {
            // Boxed: this future is large and rare, the connection's own should stay small.
            Box::pin(self.send_rest(&buffers.output, sent)).await?;
        }
        buffers.output.clear();
        Ok(())
    }

    /// Sends the output from `sent` on as the client takes it.
    async fn send_rest(&mut self, output: &[u8], mut sent: usize) -> Result<(), Ended> {
        let mut over_soft_since: Option<Stamp> = None;
        let outcome = loop {
            let config = self.settings.refresh(&self.server, &mut self.client);
            let limits = config.client_output_buffer_limit;
            let mut unsent = (output.len() - sent) as u64;
            self.client.shared.output_bytes.store(unsent, Ordering::Relaxed);
            if unsent == 0 && !self.stream.holds_unsent() {
                break Ok(());
            }
            let subscriber = self.client.shared.is_subscriber();
            let limit = if subscriber { limits.pubsub } else { limits.normal };
            if let Some(mailbox) = self.client.shared.mailbox.get() {
                unsent += mailbox.size().1 as u64;
            }
            let now = self.server.clock.now();
            let over_soft = limit.soft_bytes > 0 && unsent > limit.soft_bytes;
            over_soft_since = over_soft.then(|| over_soft_since.unwrap_or(now));
            let too_long = over_soft_since
                .is_some_and(|since| now.millis_since(since) >= limit.soft_seconds * 1000);
            if too_long || (limit.hard_bytes > 0 && unsent > limit.hard_bytes) {
                self.server.metrics.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
                break Err(Ended::Ours);
            }
            // Looks at the soft limit at least once a second.
            let sending = poll_fn(|context| self.poll_send(context, &output[sent..]));
            match tokio::time::timeout(Duration::from_secs(1), sending).await {
                Ok(Ok(more)) => {
                    self.counters.output_bytes.add(more as u64);
                    sent += more;
                }
                Ok(Err(ended)) => break Err(ended),
                Err(_) => {}
            }
        };
        self.client.shared.output_bytes.store(0, Ordering::Relaxed);
        outcome
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Ended>> {
        if self.client.shared.is_killed() {
            return Poll::Ready(Err(Ended::Ours));
        }
        self.stream.poll_send(context, bytes).map_err(Ended::from)
    }

    /// Cuts what has been executed off the input.
    fn cut(&mut self, buffers: &mut Buffers) {
        let consumed = self.parser.consumed();
        self.parser.rebase(&mut buffers.requests);
        if consumed == buffers.input.len() {
            buffers.input.clear();
        } else {
            buffers.input.drain(..consumed);
        }
        buffers.next = 0;
    }

    /// Keeps the buffers for the next read.
    fn settle(&mut self, buffers: Box<Buffers>) -> Result<(), Ended> {
        let waiting = buffers.input.len() as u64;
        self.client.shared.input_bytes.store(waiting, Ordering::Relaxed);
        if waiting > self.settings.config().client_query_buffer_limit {
            self.server.metrics.query_limit_disconnections.fetch_add(1, Ordering::Relaxed);
            return Err(Ended::Ours);
        }
        self.at_hand = Some(buffers);
        Ok(())
    }
}

/// Runs what is prepared, one after the other.
fn run_batch(turn: &mut Turn<'_>, buffers: &mut Buffers) -> ControlFlow<Stop> {
    let Buffers { input, requests, next, prepared, output, .. } = buffers;
    for ready in prepared.iter() {
        if output.len() > OUTPUT_PAUSE_BYTES {
            return ControlFlow::Break(Stop::Output);
        }
        if let Some(until) = turn.paused_until(ready) {
            return ControlFlow::Break(Stop::Paused(until));
        }
        let words = Words::from_spans(input, requests.words(requests.frames[*next]));
        *next += 1;
        turn.execute(words, ready, output);
        if turn.client.closing {
            break;
        }
    }
    ControlFlow::Continue(())
}

/// Runs of what is prepared what may run while somebody else's script does, and refuses the rest.
#[cold]
fn run_busy(turn: &mut Turn<'_>, buffers: &mut Buffers) -> ControlFlow<Stop> {
    let Buffers { input, requests, next, prepared, output, .. } = buffers;
    for ready in prepared.iter() {
        if output.len() > OUTPUT_PAUSE_BYTES {
            return ControlFlow::Break(Stop::Output);
        }
        let words = Words::from_spans(input, requests.words(requests.frames[*next]));
        *next += 1;
        turn.execute_busy(words, ready, output);
        if turn.client.closing {
            break;
        }
    }
    ControlFlow::Continue(())
}

/// Says what was wrong, but to a client that asked for silence.
#[cold]
fn write_protocol_error(error: ProtocolError, output: &mut Vec<u8>, client: &Client) {
    if client.reply_mode != ReplyMode::On {
        return;
    }
    let mut text = b"ERR ".to_vec();
    error.write_text(&mut text);
    Reply::new(output, client.protocol).error(&text);
}
