//! A new directory's first steps: it meets the other nodes, and only then takes part in votes; and a new
//! cluster begins.
//!
//! A node that comes back under its old number with an empty directory has forgotten its votes and
//! entries. Whoever met the old directory refuses the new one (`identity`). That is enough only if nobody
//! who knows better is passed over: so a new directory neither votes nor stands for election until every
//! initial node has taken it for what it says it is, or, when it was added later, most of the voters it
//! then finds. Which directories are through is kept in them, and a cluster begins when all its initial
//! nodes are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::Raft;
use super::codec::decode;
use super::membership;
use super::network::frame::Purpose;
use super::network::kind;
use super::network::link::{CallError, Identity, Link};
use super::node::{ClusterConfig, ClusterError};
use super::service::NodeStatus;
use super::types::{Member, NodeId};

/// How long a peer may take to answer.
const ASK_PATIENCE: Duration = Duration::from_millis(500);
/// The pause before those that did not answer are asked again.
const RETRY: Duration = Duration::from_millis(100);
/// Rounds in vain before the node says whom it waits for.
const ROUNDS_BEFORE_WORDS: u32 = 10;

/// Settles this node's directory, then begins the cluster if there is none.
pub(crate) async fn arrive(
    raft: Raft,
    own: Identity,
    config: ClusterConfig,
    begins: bool,
) -> Result<(), ClusterError> {
    if !own.known.settled() {
        settle(&raft, &own, &config).await?;
    }
    if begins { begin(&raft, &own, &config).await } else { Ok(()) }
}

/// Waits until enough peers have taken this directory for this node's.
async fn settle(raft: &Raft, own: &Identity, config: &ClusterConfig) -> Result<(), ClusterError> {
    let mut met = BTreeSet::new();
    for round in 1.. {
        let others = others(raft, own, config);
        for (node, address) in &others {
            if met.contains(node) {
                continue;
            }
            let link = Link::new(own.clone(), *node, address.clone(), Purpose::Ask);
            match link.call(kind::STATUS, Bytes::new(), ASK_PATIENCE).await {
                Ok(_) => drop(met.insert(*node)),
                Err(error @ CallError::Refused { .. }) => {
                    return Err(ClusterError::Refused(error.to_string()));
                }
                Err(_) => {}
            }
        }
        let missing: Vec<NodeId> =
            others.keys().filter(|node| !met.contains(node)).copied().collect();
        let enough = if config.initial.is_empty() {
            !others.is_empty() && missing.len() * 2 < others.len()
        } else {
            missing.is_empty()
        };
        if enough {
            break;
        }
        if round == ROUNDS_BEFORE_WORDS && !missing.is_empty() {
            crate::log::line(format_args!(
                "this directory is new: it has no vote until it has met the nodes {missing:?}"
            ));
        }
        tokio::time::sleep(RETRY).await;
    }
    own.known.settle().map_err(ClusterError::Refused)?;
    Ok(())
}

/// Who has to be met: the initial nodes, or for a node that was added, the voters.
fn others(raft: &Raft, own: &Identity, config: &ClusterConfig) -> BTreeMap<NodeId, String> {
    let mut others = config.initial.clone();
    if others.is_empty() {
        let voters: BTreeSet<NodeId> = raft.voter_ids().collect();
        let members = membership::members(raft).into_iter();
        others = members
            .filter(|(node, _)| voters.contains(node))
            .map(|(node, member)| (node, member.address))
            .collect();
    }
    others.remove(&own.node);
    others
}

/// A new cluster begins when all its initial nodes are there and know nothing of an older one.
async fn begin(raft: &Raft, own: &Identity, config: &ClusterConfig) -> Result<(), ClusterError> {
    let initial = config.initial.iter();
    let members: BTreeMap<NodeId, Member> =
        initial.map(|(node, address)| (*node, Member { address: address.clone() })).collect();
    let others: Vec<Link> = others(raft, own, config)
        .into_iter()
        .map(|(node, address)| Link::new(own.clone(), node, address, Purpose::Ask))
        .collect();
    loop {
        let mut agreeing: usize = 1;
        for link in &others {
            let Ok(answer) = link.call(kind::STATUS, Bytes::new(), ASK_PATIENCE).await else {
                continue;
            };
            match decode::<NodeStatus>(&answer) {
                // One that is still meeting the others could not vote: with a leader that dies at once
                // there would be no majority.
                Ok(status) if status.pristine => agreeing += usize::from(status.settled),
                // There is a cluster already: its leader will bring this node up to date.
                _ => return Ok(()),
            }
        }
        if raft.is_initialized().await.unwrap_or(true) {
            return Ok(());
        }
        if agreeing == members.len() {
            // Every initial node does so with the same members, and the first one's entry stands.
            return match raft.initialize(members).await {
                Ok(()) => Ok(()),
                Err(_) if raft.is_initialized().await.unwrap_or(false) => Ok(()),
                Err(error) => Err(ClusterError::Raft(error.to_string())),
            };
        }
        tokio::time::sleep(RETRY).await;
    }
}
