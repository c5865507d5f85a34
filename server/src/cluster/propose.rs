//! Getting submissions into the log: one task a node takes all that wait and sends them on together.
//!
//! On the leader, everything that waits goes into one log entry, the leader's own submissions and those
//! that other nodes forwarded. Elsewhere, everything that waits goes to the leader in one request. A
//! submission stays with the task until its node's state machine and the leader have applied it; when
//! the leader changes or a connection breaks it is simply sent again, because a submission that lies in
//! the log twice is applied once ([`super::origins`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use hallpass_engine::Stamp;
use openraft::impls::OneshotResponder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::clock::NodeClock;
use super::entry::{Packer, are_submissions, put_submission};
use super::leadership::Leadership;
use super::mutant;
use super::network::frame::Purpose;
use super::network::kind;
use super::network::link::{Identity, Link};
use super::onlooker::Onlooker;
use super::post::Post;
use super::state::Progress;
use super::types::{NodeId, Payload, TypeConfig};
use super::waiting::{Answer, Waiting};
use super::{Raft, network::accept::Reply};

/// An entry or forwarded request is closed when it has grown past this.
const PACK_BYTES: usize = 1 << 20;
/// Entries of the leader that may be on their way at a time, and requests to it from a follower: while they
/// are, the next one fills.
const UNDER_WAY_MAX: usize = 2;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(50);
/// The pause after an attempt that failed.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a forwarded request may take; then it is sent again.
const FORWARD_PATIENCE: Duration = Duration::from_secs(1);

/// Submissions another node forwarded.
struct Forwarded {
    /// The submissions, as they lie in an entry.
    submissions: Bytes,
    since: Instant,
    /// Told when this node, as the leader, has applied them.
    reply: oneshot::Sender<Reply>,
}

/// The way into the task, for connections and peers.
#[derive(Clone, Debug)]
pub(crate) struct Proposer {
    forwarded: mpsc::UnboundedSender<Forwarded>,
    waiting: Arc<Waiting>,
}

/// What became of an entry or a forwarded request.
struct Ended {
    /// Serials of this node.
    own: Vec<u64>,
    forwarded: Vec<Forwarded>,
    applied: bool,
}

/// The task.
pub(crate) struct ProposerTask {
    raft: Raft,
    own: Identity,
    clock: Arc<dyn NodeClock>,
    waiting: Arc<Waiting>,
    progress: Arc<Progress>,
    leadership: tokio::sync::watch::Receiver<Leadership>,
    arriving: mpsc::UnboundedReceiver<Forwarded>,
    forwarded: VecDeque<Forwarded>,
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
        let (forwarded, arriving) = mpsc::unbounded_channel();
        let proposer = Self { forwarded, waiting: Arc::clone(&waiting) };
        let task = ProposerTask {
            raft,
            own,
            clock,
            waiting,
            progress,
            leadership,
            arriving,
            forwarded: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            last_stamp: Stamp::default(),
            leader_link: None,
        };
        (proposer, task)
    }

    /// Submits encoded ops and waits for their outcomes, at most for `patience`; they come through `post`,
    /// with what `onlooker` saw among them.
    pub(crate) async fn submit(
        &self,
        ops: Bytes,
        patience: Duration,
        post: Option<&Arc<Post>>,
        onlooker: Option<Box<dyn Onlooker>>,
    ) -> Answer {
        let answer = self.waiting.submit(ops, Instant::now() + patience, post, onlooker)?;
        mutant::acknowledge(answer).await
    }

    /// Takes what another node forwarded; answers when it is applied here and this node leads.
    pub(crate) async fn forwarded(&self, submissions: Bytes) -> Reply {
        if !are_submissions(&submissions) {
            return Err("a forwarded request is malformed".to_owned());
        }
        let (reply, answer) = oneshot::channel();
        let forwarded = Forwarded { submissions, since: Instant::now(), reply };
        self.forwarded.send(forwarded).map_err(|_| "this node is stopping")?;
        answer.await.unwrap_or_else(|_| Err("this node is stopping".to_owned()))
    }
}

impl ProposerTask {
    /// Runs until every way in is gone.
    pub(crate) async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut arrived = Vec::new();
        loop {
            let idle = self.forwarded.is_empty() && self.waiting.is_idle();
            tokio::select! {
                () = self.waiting.some_queued() => {}
                taken = self.arriving.recv_many(&mut arrived, 1024) => {
                    if taken == 0 {
                        break;
                    }
                    self.forwarded.extend(arrived.drain(..));
                }
                Some(ended) = self.under_way.next() => self.ended(ended),
                changed = self.leadership.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.leader_changed();
                }
                _ = tick.tick(), if !idle => self.expire(),
            }
            if !self.send_on().await {
                // Raft has stopped, and so has everything that waits for it.
                break;
            }
        }
        self.waiting.stop();
    }

    /// Gives up what is late, so that a majority that cannot be reached does not fill this node's memory.
    fn expire(&mut self) {
        let now = Instant::now();
        self.waiting.expire(now);
        // Who forwarded it has given up, and sends it again if it still matters.
        self.forwarded.retain(|forwarded| forwarded.since + FORWARD_PATIENCE > now);
    }

    /// Sends on what waits, as far as the pipeline has room; false when Raft has stopped.
    async fn send_on(&mut self) -> bool {
        let leadership = self.leadership.borrow().clone();
        let leads = leadership.leader == Some(self.own.node);
        if !leads {
            self.refuse_forwarded();
        }
        let Some(leader) = leadership.leader else { return true };
        while self.under_way.len() < UNDER_WAY_MAX
            && (self.waiting.is_queued() || !self.forwarded.is_empty())
        {
            if !leads {
                self.forward(leader, &leadership.address);
            } else if !self.propose().await {
                return false;
            }
        }
        true
    }

    /// Puts what waits into one entry; false when Raft has stopped.
    async fn propose(&mut self) -> bool {
        let stamp = self.clock.now().max(self.last_stamp).max(self.progress.stamp());
        self.last_stamp = stamp;
        let mut packer = Packer::new(stamp);
        let own = self.pack(packer.submissions(), false);
        let mut forwarded = Vec::new();
        while packer.bytes() < PACK_BYTES
            && let Some(next) = self.forwarded.pop_front()
        {
            packer.submissions().extend_from_slice(&next.submissions);
            forwarded.push(next);
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
            Ended { own, forwarded, applied }
        }));
        true
    }

    /// Sends what waits to the leader.
    fn forward(&mut self, leader: NodeId, address: &str) {
        let mut payload = BytesMut::new();
        let own = self.pack(&mut payload, true);
        if own.is_empty() {
            return;
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
            Ended { own, forwarded: Vec::new(), applied: answer.is_ok() }
        }));
    }

    /// Packs this node's own submissions; their serials.
    fn pack(&self, bytes: &mut BytesMut, elsewhere: bool) -> Vec<u64> {
        let origin = self.waiting.origin();
        self.waiting.take(elsewhere, PACK_BYTES, |serial, settled, ops| {
            put_submission(bytes, origin, serial, settled, ops);
        })
    }

    /// What became of submissions: answered, or to be sent again.
    fn ended(&mut self, ended: Ended) {
        for forwarded in ended.forwarded {
            let answer = if ended.applied { Ok(Bytes::new()) } else { Err(not_applied()) };
            // The peer's connection may have ended; it asks again.
            let _gone = forwarded.reply.send(answer);
        }
        if ended.applied {
            self.waiting.confirmed(&ended.own);
        } else {
            self.waiting.again(&ended.own);
        }
    }

    /// What other nodes forwarded here, this node not being the leader, goes back to them.
    fn refuse_forwarded(&mut self) {
        for forwarded in self.forwarded.drain(..) {
            let _gone = forwarded.reply.send(Err(not_applied()));
        }
    }

    /// Everything unanswered goes to the new leader at once: what is on its way to the old one may never
    /// be heard of, and what is applied twice is applied once.
    fn leader_changed(&mut self) {
        let leader = self.leadership.borrow_and_update().leader;
        if self.leader_link.as_ref().is_some_and(|link| Some(link.node()) != leader) {
            self.leader_link = None;
        }
        // Nobody waits out what the old one may yet answer: the way to the new one is free at once.
        self.under_way.clear();
        self.waiting.all_again();
    }
}

fn not_applied() -> String {
    "this node is not the leader".to_owned()
}
