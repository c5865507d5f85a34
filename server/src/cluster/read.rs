//! Linearizable reads on every node: from where on a read may look at this node's memory.
//!
//! A leader with a lease looks at once. Everywhere else a read first learns how far the leader has
//! applied the log, and waits until this node is as far. Readers that come while one such question is
//! under way share the next: however many there are, there is one question at a time.
//!
//! The point a leader names is what it has *applied*, not what is committed: a write is acknowledged
//! when the leader has applied it, so nothing that was acknowledged or read anywhere is missing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallpass_engine::Stamp;
use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::Raft;
use super::clock::NodeClock;
use super::codec;
use super::leadership::Leadership;
use super::lease::Lease;
use super::network::frame::Purpose;
use super::network::kind;
use super::network::link::{Identity, Link};
use super::state::Progress;
use super::waiting::Unavailable;

/// How long one question to the leader may take.
const ASK_PATIENCE: Duration = Duration::from_millis(500);
/// The pause after a question that failed.
const RETRY: Duration = Duration::from_millis(20);

type Waiter = oneshot::Sender<Result<Stamp, Unavailable>>;

/// Where a read may look, as the leader says: its applied index, and its time.
pub(crate) type ReadPoint = (u64, u64);

/// The way to the barrier.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    waiters: mpsc::UnboundedSender<Waiter>,
}

/// What the barrier needs to know.
pub(crate) struct ReadSources {
    pub(crate) raft: Raft,
    pub(crate) own: Identity,
    pub(crate) clock: Arc<dyn NodeClock>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// Whether leases are used at all.
    pub(crate) leases: bool,
}

impl Reads {
    /// The way in and the task.
    pub(crate) fn new(sources: Arc<ReadSources>) -> (Self, impl Future<Output = ()> + Send) {
        let (waiters, questions) = mpsc::unbounded_channel();
        (Self { waiters }, answer_reads(sources, questions))
    }

    /// Waits until a read that begins now may look at this node's memory; the time it is to read at.
    pub(crate) async fn barrier(&self, patience: Duration) -> Result<Stamp, Unavailable> {
        let (waiter, answer) = oneshot::channel();
        self.waiters.send(waiter).map_err(|_| Unavailable::Stopped)?;
        match timeout(patience, answer).await {
            Ok(answer) => answer.unwrap_or(Err(Unavailable::Stopped)),
            Err(_) => Err(Unavailable::NoQuorum),
        }
    }
}

async fn answer_reads(sources: Arc<ReadSources>, mut questions: mpsc::UnboundedReceiver<Waiter>) {
    let mut waiters = Vec::new();
    let mut link: Option<Arc<Link>> = None;
    while questions.recv_many(&mut waiters, usize::MAX).await > 0 {
        loop {
            if let Some(stamp) = sources.pass(&mut link).await {
                for waiter in waiters.drain(..) {
                    // Who waited may have given up.
                    let _gone = waiter.send(Ok(stamp));
                }
                break;
            }
            tokio::time::sleep(RETRY).await;
            waiters.retain(|waiter: &Waiter| !waiter.is_closed());
            // Whoever came meanwhile is served by the same question: it is asked after they came.
            while let Ok(waiter) = questions.try_recv() {
                waiters.push(waiter);
            }
            if waiters.is_empty() || questions.is_closed() {
                break;
            }
        }
    }
}

impl ReadSources {
    /// One attempt.
    async fn pass(&self, link: &mut Option<Arc<Link>>) -> Option<Stamp> {
        let leadership = self.leadership.borrow().clone();
        let leader = leadership.leader?;
        let (index, millis) = if leader == self.own.node {
            self.point().await.ok()?
        } else {
            let link = match link {
                Some(link) if link.node() == leader && link.address() == leadership.address => link,
                _ => link.insert(Arc::new(Link::new(
                    self.own.clone(),
                    leader,
                    leadership.address,
                    Purpose::Ask,
                ))),
            };
            let answer = link.call(kind::READ_INDEX, Bytes::new(), ASK_PATIENCE).await.ok()?;
            codec::decode::<ReadPoint>(&answer).ok()?
        };
        let mut applied = self.progress.watch();
        let reached = timeout(ASK_PATIENCE, applied.wait_for(|applied| *applied >= index)).await;
        reached.ok()?.ok()?;
        Some(Stamp::from_millis(millis).max(self.progress.stamp()))
    }

    /// As the leader: where a read may look now, on any node.
    pub(crate) async fn point(&self) -> Result<ReadPoint, Unavailable> {
        // The lease first: what is applied by now holds everything acknowledged until then.
        if self.leases && self.lease.holds() {
            return Ok((self.progress.index(), self.now().millis()));
        }
        let asking = self.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        let linearizer = timeout(ASK_PATIENCE, asking).await;
        let linearizer = linearizer.map_err(|_| Unavailable::NoQuorum)?;
        let linearizer = linearizer.map_err(|_| Unavailable::NoQuorum)?;
        let index = linearizer.read_log_id().index();
        let mut applied = self.progress.watch();
        let reached = timeout(ASK_PATIENCE, applied.wait_for(|applied| *applied >= index)).await;
        reached.map_err(|_| Unavailable::NoQuorum)?.map_err(|_| Unavailable::Stopped)?;
        Ok((index, self.now().millis()))
    }

    /// The time reads are made at: the wall clock, and never before what was applied.
    pub(crate) fn now(&self) -> Stamp {
        self.clock.now().max(self.progress.stamp())
    }
}
