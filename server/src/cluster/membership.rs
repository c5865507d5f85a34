//! Changing who belongs to the cluster, and who leads it: RAFT.ADD, PROMOTE, REMOVE and TRANSFER.
//!
//! Changes are made on the leader; any other node hands them on. A node is added without a vote, catches
//! up, and is then promoted; a node that is removed keeps its number for ever.
//!
//! Leadership is offered to one node, which is asked to be elected at once. From then on its leader neither
//! writes nor holds a lease in that term; an offer that is not taken ends with an election as usual.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{ChangeMembers, Instant};
use serde::{Deserialize, Serialize};

use super::Raft;
use super::lease::Lease;
use super::types::{Member, NodeId};

/// How long leadership may take to change hands.
const TRANSFER_TIME: Duration = Duration::from_secs(2);
/// How often it is offered: a node that has not got all entries yet lets an offer pass.
const OFFER_EVERY: Duration = Duration::from_millis(40);
/// A node that has not answered for so long is not offered leadership.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// Nor one that is so many entries behind: nothing is written until it has them.
const ENTRIES_BEHIND_MAX: u64 = 1000;

/// A change of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// Adds a node without a vote.
    Add {
        /// Its number, never used before.
        node: NodeId,
        /// Where it is reached.
        address: String,
    },
    /// Gives a node a vote.
    Promote(NodeId),
    /// Takes a node out.
    Remove(NodeId),
    /// Hands leadership to a node.
    Transfer(NodeId),
}

/// Makes a change, on the leader.
pub(crate) async fn apply(raft: &Raft, lease: &Lease, change: Change) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    match change {
        Change::Add { node, address } => {
            let known = member(raft, node);
            if known.is_some_and(|known| known.address != address) {
                return Err(format!("node {node} is a member already, at another address"));
            }
            let added = raft.add_learner(node, Member { address }, false).await;
            added.map(drop).map_err(|error| text(&error))
        }
        Change::Promote(node) => {
            if member(raft, node).is_none() {
                return Err(format!("node {node} is not a member: add it first (RAFT.ADD)"));
            }
            let promote = ChangeMembers::AddVoterIds(BTreeSet::from([node]));
            raft.change_membership(promote, true).await.map(drop).map_err(|error| text(&error))
        }
        Change::Remove(node) => {
            if member(raft, node).is_none() {
                return Err(format!("node {node} is not a member"));
            }
            let voters: BTreeSet<NodeId> = raft.voter_ids().collect();
            if voters.contains(&node) {
                if voters.len() == 1 {
                    return Err("the last voter cannot be removed".to_owned());
                }
                let remove = ChangeMembers::RemoveVoters(BTreeSet::from([node]));
                raft.change_membership(remove, false).await.map_err(|error| text(&error))?;
            }
            if member(raft, node).is_some() {
                let remove = ChangeMembers::RemoveNodes(BTreeSet::from([node]));
                raft.change_membership(remove, false).await.map_err(|error| text(&error))?;
            }
            Ok(())
        }
        Change::Transfer(node) => transfer(raft, lease, node).await,
    }
}

/// Hands leadership to a node, and returns when this one no longer leads.
async fn transfer(raft: &Raft, lease: &Lease, to: NodeId) -> Result<(), String> {
    if !raft.voter_ids().any(|voter| voter == to) {
        return Err(format!("node {to} has no vote, so it cannot lead"));
    }
    let (mut servers, term) = {
        let servers = raft.server_metrics();
        let term = servers.borrow_watched().vote.leader_id().term;
        (servers, term)
    };
    if servers.borrow_watched().current_leader == Some(to) {
        return Ok(());
    }
    can_take_over(raft, to)?;
    // A successor may be elected at once, whatever the followers promised: the lease ends first.
    lease.bar(term);
    let offering = async {
        loop {
            raft.trigger().transfer_leader(to).await.map_err(|error| error.to_string())?;
            let pause = tokio::time::sleep(OFFER_EVERY);
            tokio::pin!(pause);
            loop {
                let metrics = servers.borrow_watched().clone();
                if metrics.vote.leader_id().term != term {
                    return Ok(());
                }
                tokio::select! {
                    changed = servers.changed() => changed.map_err(|_| "this node is stopping")?,
                    () = &mut pause => break,
                }
            }
        }
    };
    let in_time = tokio::time::timeout(TRANSFER_TIME, offering).await;
    in_time.unwrap_or_else(|_| {
        Err(format!("node {to} did not take over in time; whoever is elected now leads"))
    })
}

/// Whether a node answers and has nearly everything: while leadership is offered nothing is written.
fn can_take_over(raft: &Raft, to: NodeId) -> Result<(), String> {
    let metrics = raft.data_metrics();
    let metrics = metrics.borrow_watched();
    let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(&to)).copied().flatten();
    let silence = heard.map(|heard| heard.into_inner().elapsed());
    if silence.is_none_or(|silence| silence > SILENCE_MAX) {
        return Err(format!("node {to} cannot take over: it has not been heard from lately"));
    }
    let matched = metrics.replication.as_ref().and_then(|matched| matched.get(&to)?.as_ref());
    let matched = matched.map_or(0, |matched| matched.index);
    let last = metrics.last_log.as_ref().map_or(0, |last| last.index);
    let behind = last.saturating_sub(matched);
    if behind > ENTRIES_BEHIND_MAX {
        return Err(format!("node {to} cannot take over: it is {behind} entries behind"));
    }
    Ok(())
}

fn member(raft: &Raft, node: NodeId) -> Option<Member> {
    members(raft).remove(&node)
}

/// The members and where they are reached.
pub(crate) fn members(raft: &Raft) -> BTreeMap<NodeId, Member> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    membership.nodes().map(|(node, member)| (*node, member.clone())).collect()
}
