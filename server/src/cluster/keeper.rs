//! What a node sees to from time to time: elections after a start, snapshots, and that time goes on.
//!
//! Expired entries are swept up to the largest stamp in the log, which every node agrees on; so a leader
//! with something that can expire puts a stamp into the log now and then, when nothing else does.

use std::sync::Arc;
use std::time::Duration;

use hallpass_engine::{DATABASES, Engine};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Raft;
use super::clock::NodeClock;
use super::entry::Packer;
use super::leadership::Leadership;
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
    /// How long after the start this node may stand for election.
    pub(crate) stands_from: Duration,
}

impl Keeper {
    /// Runs until Raft stops.
    pub(crate) async fn run(self) {
        tokio::time::sleep_until(Instant::now() + self.stands_from).await;
        self.raft.runtime_config().elect(true);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
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
