//! Who leads, and whether this node may answer reads on its own: watched from Raft, told to the rest.
//!
//! A leader serves once it has applied an entry of its own term, for only then has it applied everything
//! that was ever acknowledged. Elections and leases wait out the promises that an earlier start of this
//! node may have given.

use std::sync::Arc;
use std::time::Duration;

use openraft::Instant;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Raft;
use super::lease::Lease;
use super::node::Fatal;
use super::state::Progress;
use super::types::NodeId;

/// Who leads, as far as this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// The leader.
    pub(crate) leader: Option<NodeId>,
    /// Where it is reached.
    pub(crate) address: String,
    /// The term.
    pub(crate) term: u64,
}

/// How often the lease is extended, at the least.
const TICK: Duration = Duration::from_millis(25);

/// Watches Raft until it stops.
pub(crate) async fn watch_raft(
    raft: Raft,
    own: NodeId,
    lease: Arc<Lease>,
    progress: Arc<Progress>,
    leadership: watch::Sender<Leadership>,
    fatal: Fatal,
) {
    let mut servers = raft.server_metrics();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = servers.changed() => if changed.is_err() { break },
            _ = tick.tick() => {}
        }
        let present = present(&raft);
        let leads = present.leader == Some(own);
        let alone = is_alone(&raft, own);
        let served = progress.term() == present.term;
        leadership.send_if_modified(|known| {
            let modified = *known != present;
            *known = present;
            modified
        });
        if !leads || !served {
            lease.end();
        } else if alone {
            lease.extend_for_ever();
        } else if let Some(ago) = quorum_asked_ago(&raft) {
            lease.extend(ago);
        }
        let running = raft.metrics().borrow_watched().running_state.clone();
        match running {
            Ok(()) => {}
            Err(openraft::errors::Fatal::Stopped) => break,
            Err(error) => {
                fatal(format!("the cluster's log cannot go on: {error}"));
                break;
            }
        }
    }
    lease.end();
    leadership.send_replace(Leadership::default());
}

fn present(raft: &Raft) -> Leadership {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let term = metrics.vote.leader_id().term;
    let leader = metrics.current_leader;
    let member =
        leader.and_then(|leader| metrics.membership_config.membership().get_node(&leader).cloned());
    Leadership { leader, address: member.map_or_else(String::new, |member| member.address), term }
}

/// Whether this node is the only one with a vote.
pub(crate) fn is_alone(raft: &Raft, own: NodeId) -> bool {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.membership_config.membership().voter_ids().all(|voter| voter == own)
}

/// How long ago was asked what a majority has answered since.
fn quorum_asked_ago(raft: &Raft) -> Option<Duration> {
    let metrics = raft.data_metrics();
    let asked = metrics.borrow_watched().last_quorum_acked;
    asked.map(|asked| asked.into_inner().elapsed())
}
