//! What a node sees to from time to time: whether it stands for election, snapshots, and that time goes on.
//!
//! A node stands for election when the promises of an earlier start are over, when it has met the others,
//! and when its clock is right; with a wrong clock only after long without any leader, for then nobody
//! better can be elected, and it hands leadership over once the others have what it has.
//!
//! Expired entries are swept up to the largest stamp in the log, which every node agrees on; so a leader
//! with something that can expire puts a stamp into the log now and then, when nothing else does.

use std::sync::Arc;
use std::time::Duration;

use hallpass_engine::{DATABASES, Engine};
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::SerdeInstant;
use openraft::{Instant as _, RaftState};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Raft;
use super::clock::NodeClock;
use super::entry::Packer;
use super::identity::IdentityStore;
use super::leadership::Leadership;
use super::skew::Skew;
use super::state::Progress;
use super::types::{NodeId, Payload};

/// How often it looks.
const TICK: Duration = Duration::from_millis(250);
/// With nothing else in the log for so long, a stamp goes in.
const STAMP_EVERY: Duration = Duration::from_millis(750);

/// The task.
pub(crate) struct Keeper {
    pub(crate) raft: Raft,
    pub(crate) own: NodeId,
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<dyn NodeClock>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) snapshot_bytes: u64,
    pub(crate) identity: Arc<IdentityStore>,
    pub(crate) skew: Arc<Skew>,
    /// How long after the start this node may stand for election.
    pub(crate) stands_from: Duration,
    /// With a clock that is off, it stands only when there was no leader for so long.
    pub(crate) patience_with_others: Duration,
}

impl Keeper {
    /// Runs until Raft stops.
    pub(crate) async fn run(self) {
        tokio::time::sleep_until(Instant::now() + self.stands_from).await;
        let mut led = Instant::now();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.is_led().await {
                led = Instant::now();
            }
            let in_need = led.elapsed() > self.patience_with_others;
            let stands = self.identity.settled() && (!self.skew.is_outlier() || in_need);
            self.raft.runtime_config().elect(stands);
            if self.leads() && self.time_stands_still() && self.something_expires() {
                let stamp = self.clock.now().max(self.progress.stamp());
                let payload = Payload(Packer::new(stamp).finish());
                if self.raft.client_write_ff(payload, None).await.is_err() {
                    return;
                }
            }
            let logged = self.progress.bytes_since_snapshot();
            if logged > self.snapshot_bytes.max(self.engine.memory_bytes())
                && self.raft.trigger().snapshot().await.is_err()
            {
                return;
            }
        }
    }

    /// Whether there is a leader, and not only the memory of one: this node hears from it, or leads and is
    /// answered.
    async fn is_led(&self) -> bool {
        let heard = if self.leads() {
            let asked = self.raft.data_metrics().borrow_watched().last_quorum_acked;
            asked.map(SerdeInstant::into_inner)
        } else if self.leadership.borrow().leader.is_some() {
            self.raft.with_raft_state(RaftState::vote_last_modified).await.ok().flatten()
        } else {
            None
        };
        heard.is_some_and(|heard| heard.elapsed() < self.patience_with_others / 2)
    }

    fn leads(&self) -> bool {
        self.leadership.borrow().leader == Some(self.own)
    }

    fn time_stands_still(&self) -> bool {
        self.clock.now().millis_since(self.progress.stamp()) >= STAMP_EVERY.as_millis() as u64
    }

    fn something_expires(&self) -> bool {
        let expires = |db| self.engine.database(db).expires > 0;
        self.engine.statistics().sessions > 0 || (0..DATABASES).any(expires)
    }
}
