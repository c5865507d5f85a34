//! Changing who belongs to the cluster, and who leads it: RAFT.ADD, PROMOTE, REMOVE and TRANSFER.
//!
//! Changes are made on the leader; any other node hands them on. A node is added without a vote, catches
//! up, and is then promoted; a node that is removed keeps its number for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use serde::{Deserialize, Serialize};

use super::Raft;
use super::lease::Lease;
use super::types::{Member, NodeId};

/// How long leadership may take to change hands; meanwhile nobody holds a lease.
const TRANSFER_TIME: Duration = Duration::from_secs(2);

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
        Change::Transfer(node) => {
            if !raft.voter_ids().any(|voter| voter == node) {
                return Err(format!("node {node} has no vote, so it cannot lead"));
            }
            // A successor may be elected at once, whatever the followers promised: the lease ends first.
            lease.bar(TRANSFER_TIME);
            raft.trigger().transfer_leader(node).await.map_err(|error| text(&error))
        }
    }
}

fn member(raft: &Raft, node: NodeId) -> Option<Member> {
    members(raft).remove(&node)
}

/// The members and where they are reached.
pub(crate) fn members(raft: &Raft) -> BTreeMap<NodeId, Member> {
    use openraft::async_runtime::WatchReceiver;
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    membership.nodes().map(|(node, member)| (*node, member.clone())).collect()
}
