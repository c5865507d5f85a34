//! What has to be true of a node before a change of the cluster relies on it: it has met the others before it
//! gets a vote, and its clock agrees before it leads.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Raft;
use super::codec::decode;
use super::membership::{self, Change};
use super::network::frame::Purpose;
use super::network::kind;
use super::network::link::{Identity, Link};
use super::service::NodeStatus;
use super::skew::Skew;
use super::types::NodeId;

/// How long a node may take to say how it is.
const ASK_PATIENCE: Duration = Duration::from_millis(500);
/// A node that was just added is waited for: it asks around as soon as it knows whom to ask.
const SETTLING_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before it is asked again.
const RETRY: Duration = Duration::from_millis(50);

/// Whether a change may be made, or why not. Asked on the leader, before it is made.
pub(crate) async fn permit(
    raft: &Raft,
    own: &Identity,
    skew: &Skew,
    change: &Change,
) -> Result<(), String> {
    match change {
        Change::Promote(node) if *node != own.node => settled(raft, own, *node).await,
        Change::Transfer(node) if *node != own.node && skew.differs(*node) => Err(format!(
            "node {node} cannot lead: its clock differs from the others' by more than clock-skew-max"
        )),
        _ => Ok(()),
    }
}

/// Waits until a node says that it has met the voters.
async fn settled(raft: &Raft, own: &Identity, node: NodeId) -> Result<(), String> {
    let Some(member) = membership::members(raft).remove(&node) else { return Ok(()) };
    let link = Link::new(own.clone(), node, member.address, Purpose::Ask);
    let deadline = Instant::now() + SETTLING_PATIENCE;
    loop {
        let answer = link.call(kind::STATUS, Bytes::new(), ASK_PATIENCE).await;
        let said = match answer {
            Ok(answer) if decode::<NodeStatus>(&answer).is_ok_and(|status| status.settled) => {
                return Ok(());
            }
            Ok(_) => format!("node {node} has not met most of the voters yet: see its log"),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(said);
        }
        tokio::time::sleep(RETRY).await;
    }
}
