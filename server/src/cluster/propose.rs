//! Getting submissions into the log: one task a node takes all that wait and sends them on together.
//!
//! On the leader, everything that waits goes into one log entry, the leader's own submissions and those
//! that other nodes forwarded. Elsewhere, everything that waits goes to the leader in one request. A
//! submission stays with the task until its node's state machine and the leader have applied it; when
//! the leader changes or a connection breaks it is simply sent again, because a submission that lies in
//! the log twice is applied once ([`super::origins`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use hallpass_engine::Stamp;
use openraft::impls::OneshotResponder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::clock::NodeClock;
use super::entry::{Packer, Submission, put_submission, take_submission};
use super::leadership::Leadership;
use super::mutant;
use super::network::frame::Purpose;
use super::network::kind;
use super::network::link::{Identity, Link};
use super::state::Progress;
use super::types::{NodeId, Payload, TypeConfig};
use super::waiting::{Answer, Unavailable, Waiting};
use super::{Raft, network::accept::Reply};

/// An entry or forwarded request is closed when it has grown past this.
const PACK_BYTES: usize = 1 << 20;
/// Entries of the leader that may be on their way at a time: while they are, the next one fills.
const ENTRIES_UNDER_WAY_MAX: usize = 4;
/// Requests to the leader that may be on their way at a time.
const FORWARDS_UNDER_WAY_MAX: usize = 4;
/// Bytes of ops that may wait; past it, new submissions are refused.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(50);
/// The pause after an attempt that failed.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a forwarded request may take; then it is sent again.
const FORWARD_PATIENCE: Duration = Duration::from_secs(1);

/// What reaches the task.
pub(crate) enum Request {
    /// A submission of this node, registered with [`Waiting`].
    Own {
        /// Its serial.
        serial: u64,
        /// Its ops.
        ops: Bytes,
    },
    /// Submissions another node forwarded.
    Forwarded {
        /// The submissions.
        submissions: Vec<Submission>,
        /// Told when this node, as the leader, has applied them.
        reply: oneshot::Sender<Reply>,
    },
}

/// The way into the task, for connections and peers.
#[derive(Clone, Debug)]
pub(crate) struct Proposer {
    requests: mpsc::UnboundedSender<Request>,
    waiting: Arc<Waiting>,
    waiting_bytes: Arc<std::sync::atomic::AtomicUsize>,
}

/// Some submissions that are sent on together.
struct Group {
    submissions: Vec<Submission>,
    since: Instant,
    /// Whom to tell; `None` for this node's own.
    reply: Option<oneshot::Sender<Reply>>,
}

/// What became of an entry or a forwarded request.
struct Ended {
    groups: Vec<Group>,
    applied: bool,
}

/// The task.
pub(crate) struct ProposerTask {
    raft: Raft,
    own: Identity,
    clock: Arc<dyn NodeClock>,
    waiting: Arc<Waiting>,
    waiting_bytes: Arc<std::sync::atomic::AtomicUsize>,
    progress: Arc<Progress>,
    leadership: tokio::sync::watch::Receiver<Leadership>,
    requests: mpsc::UnboundedReceiver<Request>,
    queue: VecDeque<Group>,
    /// Own submissions that are on their way or wait to be sent again.
    unanswered: BTreeMap<u64, Bytes>,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
    last_stamp: Stamp,
    leader_link: Option<Arc<Link>>,
}

impl Proposer {
    /// The way in and the task, which does nothing until it runs.
    pub(crate) fn new(
        raft: Raft,
        own: Identity,
        clock: Arc<dyn NodeClock>,
        waiting: Arc<Waiting>,
        progress: Arc<Progress>,
        leadership: tokio::sync::watch::Receiver<Leadership>,
    ) -> (Self, ProposerTask) {
        let (sender, requests) = mpsc::unbounded_channel();
        let waiting_bytes = Arc::default();
        let proposer = Self {
            requests: sender,
            waiting: Arc::clone(&waiting),
            waiting_bytes: Arc::clone(&waiting_bytes),
        };
        let task = ProposerTask {
            raft,
            own,
            clock,
            waiting,
            waiting_bytes,
            progress,
            leadership,
            requests,
            queue: VecDeque::new(),
            unanswered: BTreeMap::new(),
            under_way: FuturesUnordered::new(),
            last_stamp: Stamp::default(),
            leader_link: None,
        };
        (proposer, task)
    }

    /// Submits encoded ops and waits for their outcomes, at most for `patience`.
    pub(crate) async fn submit(&self, ops: Bytes, patience: Duration) -> Answer {
        use std::sync::atomic::Ordering;
        let bytes = ops.len();
        if self.waiting_bytes.load(Ordering::Relaxed) + bytes > WAITING_BYTES_MAX {
            return Err(Unavailable::Overloaded);
        }
        let (serial, answer) = self.waiting.enter(Instant::now() + patience)?;
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.requests.send(Request::Own { serial, ops }).is_err() {
            return Err(Unavailable::Stopped);
        }
        mutant::acknowledge(answer).await
    }

    /// Takes what another node forwarded; answers when it is applied here and this node leads.
    pub(crate) async fn forwarded(&self, payload: Bytes) -> Reply {
        let submissions = take_forwarded(payload).ok_or("a forwarded request is malformed")?;
        let (reply, answer) = oneshot::channel();
        let request = Request::Forwarded { submissions, reply };
        self.requests.send(request).map_err(|_| "this node is stopping")?;
        answer.await.unwrap_or_else(|_| Err("this node is stopping".to_owned()))
    }
}

fn take_forwarded(mut payload: Bytes) -> Option<Vec<Submission>> {
    let mut submissions = Vec::new();
    while payload.has_remaining() {
        submissions.push(take_submission(&mut payload)?);
    }
    Some(submissions)
}

impl ProposerTask {
    /// Runs until every way in is gone.
    pub(crate) async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut requests = Vec::new();
        loop {
            tokio::select! {
                taken = self.requests.recv_many(&mut requests, 1024) => {
                    if taken == 0 {
                        break;
                    }
                    requests.drain(..).for_each(|request| self.take(request));
                }
                Some(ended) = self.under_way.next() => self.ended(ended),
                changed = self.leadership.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.leader_changed();
                }
                _ = tick.tick(), if !self.unanswered.is_empty() || !self.queue.is_empty() => self.expire(),
            }
            if !self.send_on().await {
                // Raft has stopped, and so has everything that waits for it.
                break;
            }
        }
        self.waiting.stop();
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Own { serial, ops } => {
                self.unanswered.insert(serial, ops.clone());
                let submission = self.own(serial, ops);
                match self.queue.back_mut() {
                    Some(last) if last.reply.is_none() && last.bytes() < PACK_BYTES => {
                        last.submissions.push(submission);
                    }
                    _ => self.queue.push_back(Group::own(vec![submission])),
                }
            }
            Request::Forwarded { submissions, reply } => {
                let since = Instant::now();
                self.queue.push_back(Group { submissions, since, reply: Some(reply) });
            }
        }
    }

    fn own(&self, serial: u64, ops: Bytes) -> Submission {
        Submission { origin: self.waiting.origin(), serial, settled: 0, ops }
    }

    /// Gives up what is late, so that a majority that cannot be reached does not fill this node's memory.
    fn expire(&mut self) {
        let now = Instant::now();
        self.waiting.expire(now);
        for mut group in std::mem::take(&mut self.queue) {
            match group.reply {
                None => {
                    let submissions = std::mem::take(&mut group.submissions);
                    self.again(submissions);
                }
                // Who forwarded it has given up, and sends it again if it still matters.
                Some(_) if group.since + FORWARD_PATIENCE < now => {}
                Some(_) => self.queue.push_back(group),
            }
        }
    }

    /// Sends on what waits, as far as the pipeline has room; false when Raft has stopped.
    async fn send_on(&mut self) -> bool {
        if self.queue.is_empty() {
            return true;
        }
        let leadership = self.leadership.borrow().clone();
        match leadership.leader {
            None => self.refuse_forwarded(),
            Some(leader) if leader == self.own.node => {
                while !self.queue.is_empty() && self.under_way.len() < ENTRIES_UNDER_WAY_MAX {
                    if !self.propose().await {
                        return false;
                    }
                }
            }
            Some(leader) => {
                self.refuse_forwarded();
                while !self.queue.is_empty() && self.under_way.len() < FORWARDS_UNDER_WAY_MAX {
                    self.forward(leader, &leadership.address);
                }
            }
        }
        true
    }

    /// Puts what waits into one entry; false when Raft has stopped.
    async fn propose(&mut self) -> bool {
        let stamp = self.clock.now().max(self.last_stamp).max(self.progress.stamp());
        self.last_stamp = stamp;
        let settled = self.waiting.settled();
        let mut packer = Packer::new(stamp);
        let mut groups = Vec::new();
        while let Some(mut group) = self.queue.pop_front() {
            if group.reply.is_none() {
                self.waiting.keep_here(&group.serials());
                group.submissions.iter_mut().for_each(|submission| submission.settled = settled);
            }
            group.submissions.iter().for_each(|submission| packer.add(submission));
            groups.push(group);
            if packer.bytes() >= PACK_BYTES {
                break;
            }
        }
        let (responder, answer) = OneshotResponder::<TypeConfig, _>::new_pair();
        let written = self.raft.client_write_ff(Payload(packer.finish()), Some(responder)).await;
        if written.is_err() {
            return false;
        }
        self.under_way.push(Box::pin(async move {
            let applied = matches!(answer.await, Ok(Ok(_)));
            if !applied {
                // Not at once again: this node is handing over, or does not lead and will know soon.
                tokio::time::sleep(AGAIN).await;
            }
            Ended { groups, applied }
        }));
        true
    }

    /// Sends what waits to the leader.
    fn forward(&mut self, leader: NodeId, address: &str) {
        let settled = self.waiting.settled();
        let mut payload = BytesMut::new();
        let mut groups = Vec::new();
        while let Some(group) = self.queue.pop_front() {
            self.waiting.send_elsewhere(&group.serials());
            for submission in &group.submissions {
                put_submission(&mut payload, &Submission { settled, ..submission.clone() });
            }
            groups.push(group);
            if payload.len() >= PACK_BYTES {
                break;
            }
        }
        let link = match &self.leader_link {
            Some(link) if link.node() == leader && link.address() == address => Arc::clone(link),
            _ => {
                let link =
                    Link::new(self.own.clone(), leader, address.to_owned(), Purpose::Forward);
                Arc::clone(self.leader_link.insert(Arc::new(link)))
            }
        };
        self.under_way.push(Box::pin(async move {
            let answer = link.call(kind::FORWARD, payload.freeze(), FORWARD_PATIENCE).await;
            if answer.is_err() {
                // Not at once again: the leader is gone, or busy becoming something else.
                tokio::time::sleep(AGAIN).await;
            }
            Ended { groups, applied: answer.is_ok() }
        }));
    }

    /// What became of submissions: answered, or to be sent again.
    fn ended(&mut self, ended: Ended) {
        for group in ended.groups {
            match group.reply {
                Some(reply) => {
                    let answer = if ended.applied { Ok(Bytes::new()) } else { Err(not_applied()) };
                    // The peer's connection may have ended; it asks again.
                    let _gone = reply.send(answer);
                }
                None if ended.applied => {
                    let serials: Vec<u64> = group.serials();
                    self.waiting.confirmed(&serials);
                    for serial in serials {
                        self.forget(serial);
                    }
                }
                None => self.again(group.submissions),
            }
        }
    }

    /// Queues those of this node's submissions that somebody still waits for.
    fn again(&mut self, submissions: Vec<Submission>) {
        let (waiting, given_up): (Vec<_>, Vec<_>) = submissions
            .into_iter()
            .partition(|submission| self.waiting.is_waiting(submission.serial));
        for submission in given_up {
            self.forget(submission.serial);
        }
        if !waiting.is_empty() {
            self.queue.push_back(Group::own(waiting));
        }
    }

    fn forget(&mut self, serial: u64) {
        if let Some(ops) = self.unanswered.remove(&serial) {
            self.waiting_bytes.fetch_sub(ops.len(), std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// What other nodes forwarded here, this node not being the leader, goes back to them.
    fn refuse_forwarded(&mut self) {
        let (own, others): (VecDeque<_>, VecDeque<_>) =
            self.queue.drain(..).partition(|group| group.reply.is_none());
        self.queue = own;
        for group in others {
            if let Some(reply) = group.reply {
                let _gone = reply.send(Err(not_applied()));
            }
        }
    }

    /// Everything unanswered goes to the new leader at once: what is on its way to the old one may never
    /// be heard of, and what is applied twice is applied once.
    fn leader_changed(&mut self) {
        let leader = self.leadership.borrow_and_update().leader;
        if self.leader_link.as_ref().is_some_and(|link| Some(link.node()) != leader) {
            self.leader_link = None;
        }
        if leader.is_none() {
            return;
        }
        let queued: BTreeSet<u64> = self
            .queue
            .iter()
            .filter(|group| group.reply.is_none())
            .flat_map(|group| group.submissions.iter().map(|submission| submission.serial))
            .collect();
        let elsewhere = self.unanswered.iter().filter(|(serial, _)| !queued.contains(serial));
        let again = elsewhere.map(|(serial, ops)| self.own(*serial, ops.clone())).collect();
        self.again(again);
    }
}

fn not_applied() -> String {
    "this node is not the leader".to_owned()
}

impl Group {
    fn own(submissions: Vec<Submission>) -> Self {
        Self { submissions, since: Instant::now(), reply: None }
    }

    fn serials(&self) -> Vec<u64> {
        self.submissions.iter().map(|submission| submission.serial).collect()
    }

    fn bytes(&self) -> usize {
        self.submissions.iter().map(|submission| submission.ops.len()).sum()
    }
}
