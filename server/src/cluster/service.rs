//! What a node does for its peers: votes, entries, snapshots, forwarded writes, read points, answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::raft::{TransferLeaderRequest, VoteRequest};
use serde::{Deserialize, Serialize};

use super::Raft;
use super::broadcast::Broadcasts;
use super::clock::NodeClock;
use super::codec::{self, decode, encode};
use super::membership::{self, Change};
use super::network::accept::{Reply, Service};
use super::network::frame::{Greeting, Welcome};
use super::network::kind;
use super::network::link::Identity;
use super::network::urgency::Urgency;
use super::permit::permit;
use super::propose::Proposer;
use super::read::ReadSources;
use super::skew::Skew;
use super::snapshot::{Receiving, SnapshotStore};
use super::types::{NodeId, SnapshotMeta, TypeConfig, Vote};

/// What a node says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    /// Whether it has neither log nor snapshot.
    pub(crate) pristine: bool,
    /// Whether it has met enough of the others to vote.
    pub(crate) settled: bool,
    /// Its wall clock, in milliseconds.
    pub(crate) wall_millis: u64,
}

/// The serving side of one node.
pub(crate) struct Peers {
    pub(crate) raft: Raft,
    pub(crate) own: Identity,
    pub(crate) skew: Arc<Skew>,
    /// Where the initial nodes are reached: of others the log says it.
    pub(crate) initial: BTreeMap<NodeId, String>,
    pub(crate) clock: Arc<dyn NodeClock>,
    pub(crate) proposer: Proposer,
    pub(crate) reads: Arc<ReadSources>,
    pub(crate) snapshots: Arc<SnapshotStore>,
    pub(crate) urgency: Arc<Urgency>,
    pub(crate) broadcasts: Arc<Broadcasts>,
    /// Until then no vote is given: an earlier start may have promised its vote.
    pub(crate) holds_votes_until: Duration,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Peers {
    fn is_settled(&self) -> Result<(), String> {
        if self.own.known.settled() {
            return Ok(());
        }
        Err("new here: it has not met all the others yet".to_owned())
    }

    fn may_vote(&self) -> Result<(), String> {
        self.is_settled()?;
        if self.clock.elapsed() < self.holds_votes_until {
            return Err("just started: an earlier promise may still hold".to_owned());
        }
        Ok(())
    }

    async fn status(&self) -> Reply {
        let initialized = self.raft.is_initialized().await.map_err(text)?;
        let wall_millis = self.clock.now().millis();
        let settled = self.own.known.settled();
        Ok(encode(&NodeStatus { pristine: !initialized, settled, wall_millis }))
    }

    fn may_lead(&self) -> Result<(), String> {
        // The promise of an earlier start is no obstacle: whoever hands leadership over gave its lease up.
        self.is_settled()?;
        if self.skew.is_outlier() {
            return Err("its clock differs from the others' by more than clock-skew-max".to_owned());
        }
        Ok(())
    }

    async fn change(&self, change: Change) -> Result<(), String> {
        permit(&self.raft, &self.own, &self.skew, &change).await?;
        membership::apply(&self.raft, &self.reads.lease, change).await
    }
}

impl Service for Peers {
    type Receiving = Option<Incoming>;

    fn address_of(&self, node: NodeId) -> Option<String> {
        let member = membership::members(&self.raft).remove(&node);
        member.map(|member| member.address).or_else(|| self.initial.get(&node).cloned())
    }

    fn welcome(&self, greeting: &Greeting) -> Welcome {
        let own = self.own.node;
        if greeting.to != own {
            return Err(format!("this is node {own}, not node {}", greeting.to));
        }
        if greeting.from == own {
            return Err(format!("two nodes have the number {own}"));
        }
        if greeting.limits != self.own.limits {
            return Err(format!(
                "node {own} and node {} have different limits: give all nodes the same key-bytes-max, \
                 proto-max-bulk-len, user-bytes-max, session-bytes-max and meta-bytes-max",
                greeting.from
            ));
        }
        self.own.known.meet(greeting.from, greeting.directory)?;
        Ok(self.own.known.directory())
    }

    async fn answer(self: Arc<Self>, from: NodeId, kind: u8, payload: Bytes) -> Reply {
        match kind {
            kind::APPEND => self.append(payload).await,
            kind::VOTE => {
                self.may_vote()?;
                let request: VoteRequest<TypeConfig> = decode(&payload).map_err(text)?;
                Ok(encode(&self.raft.vote(request).await.map_err(text)?))
            }
            kind::PRE_VOTE => {
                self.may_vote()?;
                let request: VoteRequest<TypeConfig> = decode(&payload).map_err(text)?;
                Ok(encode(&self.raft.pre_vote(request).await.map_err(text)?))
            }
            kind::TRANSFER => {
                let request: TransferLeaderRequest<TypeConfig> = decode(&payload).map_err(text)?;
                if *request.to_node_id() == self.own.node {
                    self.may_lead()?;
                }
                Ok(encode(&self.raft.handle_transfer_leader(request).await.map_err(text)?))
            }
            kind::FORWARD => {
                self.urgency.asked(from);
                self.proposer.forwarded(payload).await
            }
            kind::READ_INDEX => {
                self.urgency.asked(from);
                let leads = self.reads.leadership.borrow().leader == Some(self.own.node);
                if !leads {
                    return Err("this node is not the leader".to_owned());
                }
                Ok(encode(&self.reads.point().await.map_err(text)?))
            }
            kind::STATUS => self.status().await,
            kind::MEMBERSHIP => {
                let change: Change = decode(&payload).map_err(text)?;
                self.change(change).await?;
                Ok(Bytes::new())
            }
            kind::BROADCAST => {
                self.broadcasts.receive(payload);
                Ok(Bytes::new())
            }
            other => Err(format!("request kind {other} is not known here: finish the upgrade")),
        }
    }

    async fn append(self: Arc<Self>, payload: Bytes) -> Reply {
        let request = codec::decode_append(payload).map_err(text)?;
        Ok(encode(&self.raft.append_entries(request).await.map_err(text)?))
    }

    fn receive(&self) -> Self::Receiving {
        None
    }

    async fn piece(
        self: Arc<Self>,
        receiving: &mut Self::Receiving,
        kind: u8,
        payload: Bytes,
    ) -> Reply {
        match kind {
            kind::SNAPSHOT_BEGIN => {
                let (vote, meta): (Vote, SnapshotMeta) = decode(&payload).map_err(text)?;
                let receiving_file = self.snapshots.receive().map_err(text)?;
                *receiving = Some(Incoming { vote, meta, file: receiving_file });
                Ok(Bytes::new())
            }
            kind::SNAPSHOT_BYTES => {
                let incoming = receiving.as_mut().ok_or("no snapshot was begun")?;
                incoming.file.piece(&payload).map_err(text)?;
                Ok(Bytes::new())
            }
            kind::SNAPSHOT_END => {
                let incoming = receiving.take().ok_or("no snapshot was begun")?;
                let snapshot = openraft::alias::SnapshotOf::<TypeConfig, _> {
                    meta: incoming.meta,
                    snapshot: incoming.file.finish(),
                };
                let installed = self.raft.install_full_snapshot(incoming.vote, snapshot).await;
                Ok(encode(&installed.map_err(text)?.vote))
            }
            other => Err(format!("request kind {other} has no place in a snapshot")),
        }
    }
}

/// A snapshot on its way here.
pub(crate) struct Incoming {
    vote: Vote,
    meta: SnapshotMeta,
    file: Receiving,
}
