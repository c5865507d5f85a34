//! The cluster's own network: how nodes call each other, and nothing about what they say.
//!
//! [`frame`] is the protocol on the wire, [`link`] the calling side, [`accept`] the serving side, [`secure`] the
//! TLS that may be between protocol and socket, [`raft`] what openraft wants of a network on top of them,
//! [`urgency`] what may wait to be sent.

pub(crate) mod accept;
pub(crate) mod frame;
pub(crate) mod link;
pub(crate) mod raft;
pub(crate) mod secure;
mod socket;
pub(crate) mod urgency;

pub(crate) use self::socket::TcpListener;

/// What one node asks another: the `kind` of a request's frame.
pub(crate) mod kind {
    /// An append request; also the heartbeats.
    pub(crate) const APPEND: u8 = 10;
    /// A vote.
    pub(crate) const VOTE: u8 = 11;
    /// Whether a vote would be given.
    pub(crate) const PRE_VOTE: u8 = 12;
    /// Take over as the leader.
    pub(crate) const TRANSFER: u8 = 13;
    /// A snapshot begins: vote and description.
    pub(crate) const SNAPSHOT_BEGIN: u8 = 14;
    /// More of a snapshot's bytes.
    pub(crate) const SNAPSHOT_BYTES: u8 = 15;
    /// A snapshot is complete: install it.
    pub(crate) const SNAPSHOT_END: u8 = 16;
    /// Submissions for the leader.
    pub(crate) const FORWARD: u8 = 17;
    /// Where a read has to wait for.
    pub(crate) const READ_INDEX: u8 = 18;
    /// Who are you, how late is it, what do you know of the cluster.
    pub(crate) const STATUS: u8 = 19;
    /// A membership change, for the leader.
    pub(crate) const MEMBERSHIP: u8 = 20;
    /// Messages that were published, for whoever listens on this node.
    pub(crate) const BROADCAST: u8 = 21;
}
