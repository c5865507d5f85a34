//! How far this node's wall clock is from the others', and who may lead by it.
//!
//! A leader's clock becomes everybody's: it stamps what goes into the log, and a session ends by that. So a
//! node whose clock is far from the middle one of those it sees, its own included, does not stand for
//! election, and hands leadership over if it has it. The middle of an odd number of clocks is a clock, so
//! however they disagree, somebody may lead; of two clocks neither is known to be the wrong one.
//!
//! A peer's clock is known to within the time its answer took, and only what is certain counts. The leases
//! and timeouts of the cluster do not depend on wall clocks at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Raft;
use super::clock::NodeClock;
use super::codec::decode;
use super::leadership::Leadership;
use super::lease::Lease;
use super::membership::{self, Change};
use super::network::frame::Purpose;
use super::network::kind;
use super::network::link::{Identity, Link};
use super::service::NodeStatus;
use super::types::NodeId;

/// How long a peer may take to say how late it is.
const ASK_PATIENCE: Duration = Duration::from_millis(500);
/// After leadership was handed over, it is not handed over again for so long: it may have come back because
/// the others see other clocks.
const HAND_OVER_EVERY: Duration = Duration::from_secs(30);
/// After nobody took it, it is offered again.
const OFFER_EVERY: Duration = Duration::from_secs(3);
/// So many looks in a row have to say the same before it counts.
const LOOKS: u32 = 2;

/// By how much a peer's clock is ahead of this node's, in milliseconds: the truth lies between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) least: i64,
    pub(crate) most: i64,
}

/// What one look at the clocks says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// By how much this node's clock is ahead of the middle one, in milliseconds: at least.
    pub(crate) ahead_millis: i64,
    /// The peers whose clocks are within the limit, as far as can be told.
    pub(crate) agreeing: Vec<NodeId>,
    /// Those whose clocks certainly are not. A peer that does not answer is in neither list.
    pub(crate) differing: Vec<NodeId>,
}

/// Compares this node's clock with those of its peers.
pub(crate) fn judge(readings: &BTreeMap<NodeId, Reading>, max_millis: i64) -> Judgement {
    let middle = |end: fn(&Reading) -> i64, index: usize| {
        let mut clocks: Vec<i64> = readings.values().map(end).chain([0]).collect();
        clocks.sort_unstable();
        clocks.get(index).copied().unwrap_or_default()
    };
    let clocks = readings.len() + 1;
    // Of an even number of clocks two are in the middle, and to be near either is enough.
    let low = middle(|reading| reading.least, (clocks - 1) / 2);
    let high = middle(|reading| reading.most, clocks / 2);
    let within = |reading: &Reading| {
        reading.least >= low.saturating_sub(max_millis)
            && reading.most <= high.saturating_add(max_millis)
    };
    let (agreeing, differing) =
        readings.keys().partition(|node| readings.get(node).is_some_and(within));
    Judgement { ahead_millis: -(low.max(0) + high.min(0)), agreeing, differing }
}

/// What this node knows of the clocks.
#[derive(Debug)]
pub(crate) struct Skew {
    /// How far a clock may be off; 0 for as far as it likes.
    max_millis: i64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    judgement: Judgement,
    outlier: bool,
    /// How many looks in a row have said the opposite.
    contrary: u32,
    looks: u64,
}

impl Skew {
    /// Nothing known yet.
    pub(crate) fn new(max: Duration) -> Self {
        Self { max_millis: max.as_millis() as i64, known: Mutex::default() }
    }

    /// Whether this node's clock is too far off for it to lead.
    pub(crate) fn is_outlier(&self) -> bool {
        self.known.lock().outlier
    }

    /// By how many milliseconds at least this node's clock is ahead of the middle one.
    pub(crate) fn ahead_millis(&self) -> i64 {
        self.known.lock().judgement.ahead_millis
    }

    /// How often the clocks were compared.
    #[cfg(test)]
    fn looks(&self) -> u64 {
        self.known.lock().looks
    }

    /// Whether a peer's clock is known to be right.
    pub(crate) fn agrees(&self, node: NodeId) -> bool {
        self.known.lock().judgement.agreeing.contains(&node)
    }

    /// Whether a peer's clock is known to be too far off for it to lead.
    pub(crate) fn differs(&self, node: NodeId) -> bool {
        self.max_millis > 0 && self.known.lock().judgement.differing.contains(&node)
    }

    /// Takes a new look; says so when it changes what this node may do.
    fn observe(&self, readings: &BTreeMap<NodeId, Reading>) {
        let mut known = self.known.lock();
        known.looks += 1;
        known.judgement = judge(readings, self.max_millis);
        let ahead = known.judgement.ahead_millis;
        // Back within three quarters of the limit: a clock at the limit does not go to and fro.
        let limit = if known.outlier { self.max_millis * 3 / 4 } else { self.max_millis };
        let outlier = self.max_millis > 0 && ahead.abs() > limit;
        known.contrary = if outlier == known.outlier { 0 } else { known.contrary + 1 };
        if known.contrary < LOOKS {
            return;
        }
        known.contrary = 0;
        known.outlier = outlier;
        let (far, max) = (ahead.abs(), self.max_millis);
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        if outlier {
            crate::log::line(format_args!(
                "this node's clock is {far} ms {side} the others' (clock-skew-max {max} ms): it does not lead"
            ));
        } else {
            crate::log::line(format_args!(
                "this node's clock agrees with the others' again ({far} ms {side} them): it may lead"
            ));
        }
    }
}

/// The task that compares the clocks.
pub(crate) struct ClockWatch {
    pub(crate) raft: Raft,
    pub(crate) own: Identity,
    pub(crate) clock: Arc<dyn NodeClock>,
    pub(crate) skew: Arc<Skew>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// How often it looks.
    pub(crate) every: Duration,
}

impl ClockWatch {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let mut links: BTreeMap<NodeId, Link> = BTreeMap::new();
        let mut tick = interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hand_over_from = Instant::now();
        loop {
            tick.tick().await;
            self.renew(&mut links);
            if links.is_empty() {
                continue;
            }
            let readings = join_all(links.values().map(|link| self.ask(link))).await;
            self.skew.observe(&readings.into_iter().flatten().collect());
            if self.skew.is_outlier()
                && self.leads()
                && Instant::now() >= hand_over_from
                && let Some(successor) = self.successor()
            {
                let pause =
                    if self.hand_over(successor).await { HAND_OVER_EVERY } else { OFFER_EVERY };
                hand_over_from = Instant::now() + pause;
            }
        }
    }

    /// One link to each other member, at its present address.
    fn renew(&self, links: &mut BTreeMap<NodeId, Link>) {
        let mut members = membership::members(&self.raft);
        members.remove(&self.own.node);
        links.retain(|node, link| {
            members.get(node).is_some_and(|member| member.address == link.address())
        });
        for (node, member) in members {
            links
                .entry(node)
                .or_insert_with(|| Link::new(self.own.clone(), node, member.address, Purpose::Ask));
        }
    }

    /// Asks a peer how late it is; nothing when it does not answer.
    async fn ask(&self, link: &Link) -> Option<(NodeId, Reading)> {
        let asked = self.clock.now().millis() as i64;
        let answer = link.call(kind::STATUS, Bytes::new(), ASK_PATIENCE).await.ok()?;
        let answered = self.clock.now().millis() as i64;
        let theirs = decode::<NodeStatus>(&answer).ok()?.wall_millis as i64;
        Some((link.node(), Reading { least: theirs - answered, most: theirs - asked }))
    }

    fn leads(&self) -> bool {
        self.leadership.borrow().leader == Some(self.own.node)
    }

    /// The voter that has most of the log among those whose clocks agree.
    fn successor(&self) -> Option<NodeId> {
        use openraft::async_runtime::WatchReceiver;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let replication = metrics.replication.as_ref()?;
        let voters = metrics.membership_config.membership().voter_ids();
        voters
            .filter(|node| *node != self.own.node && self.skew.agrees(*node))
            .max_by_key(|node| replication.get(node).and_then(|at| at.as_ref().map(|id| id.index)))
    }

    /// Whether the successor has taken over.
    async fn hand_over(&self, successor: NodeId) -> bool {
        crate::log::line(format_args!("hands leadership to node {successor}, whose clock agrees"));
        let change = Change::Transfer(successor);
        let handed_over = membership::apply(&self.raft, &self.lease, change).await;
        if let Err(error) = &handed_over {
            crate::log::line(format_args!("leadership was not taken: {error}"));
        }
        handed_over.is_ok()
    }
}

#[cfg(test)]
mod tests;
