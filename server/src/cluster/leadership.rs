//! Who leads, and whether this node may answer reads on its own: watched from Raft, told to the rest.
//!
//! A leader serves once it has applied an entry of its own term, for only then has it applied everything
//! that was ever acknowledged. Elections and leases wait out the promises that an earlier start of this
//! node may have given.

use std::sync::Arc;
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Raft;
use super::lease::{Lease, Suspensions};
use super::log::Log;
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

/// Watches Raft until it stops, and says so if it stopped because it cannot go on.
pub(crate) async fn watch_raft(
    raft: Raft,
    own: NodeId,
    log: Arc<Log>,
    lease: Arc<Lease>,
    progress: Arc<Progress>,
    leadership: watch::Sender<Leadership>,
    fatal: Fatal,
) {
    let mut servers = raft.server_metrics();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut suspensions = Suspensions::new(lease.moment(), Instant::now());
    loop {
        tokio::select! {
            changed = servers.changed() => if changed.is_err() { break },
            _ = tick.tick() => {}
        }
        let present = present(&raft);
        extend(&raft, own, &lease, &progress, &present, &mut suspensions);
        leadership.send_if_modified(|known| {
            let modified = *known != present;
            *known = present;
            modified
        });
        if failure(&raft, &log).is_some() {
            break;
        }
    }
    lease.end();
    leadership.send_replace(Leadership::default());
    if let Some(reason) = failure(&raft, &log) {
        fatal(reason);
    }
}

/// Extends the lease, or ends it.
fn extend(
    raft: &Raft,
    own: NodeId,
    lease: &Lease,
    progress: &Progress,
    present: &Leadership,
    suspensions: &mut Suspensions,
) {
    let (moment, now) = (lease.moment(), Instant::now());
    let relied_on_since = suspensions.look(moment, now);
    if present.leader != Some(own) || progress.term() != present.term {
        return lease.end();
    }
    match voters(raft).as_slice() {
        // A leader that is taken out offers leadership to others before long, and none of their promises hold.
        voters if !voters.contains(&own) => return lease.end(),
        [_alone] => return lease.extend_for_ever(present.term),
        _ => {}
    }
    match quorum_asked_ago(raft, present.term) {
        Some(ago) if now.checked_sub(ago).is_some_and(|asked| asked >= relied_on_since) => {
            lease.extend(present.term, moment, ago);
        }
        _ => lease.end(),
    }
}

/// Why the node cannot go on, if it cannot.
fn failure(raft: &Raft, log: &Log) -> Option<String> {
    if let Some(failure) = log.failure() {
        return Some(failure.to_string());
    }
    match raft.metrics().borrow_watched().running_state.clone() {
        Ok(()) | Err(openraft::errors::Fatal::Stopped) => None,
        Err(error) => Some(format!("the cluster's log cannot go on: {error}")),
    }
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

/// The nodes with a vote.
fn voters(raft: &Raft) -> Vec<NodeId> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.membership_config.membership().voter_ids().collect()
}

/// How long ago was asked, as the leader of `term`, what a majority has answered since.
fn quorum_asked_ago(raft: &Raft, term: u64) -> Option<Duration> {
    let asked = raft.data_metrics().borrow_watched().last_quorum_acked;
    // Leadership may be lost and won again while this looks; the answer is then another term's.
    let servers = raft.server_metrics();
    let same = servers.borrow_watched().vote.leader_id().term == term;
    asked.filter(|_| same).map(|asked| asked.into_inner().elapsed())
}
