//! What a simulator needs of a node: everything that time, chance and threads decide, in its hands.
//!
//! Only with the feature `simulation`, which no server is built with. A node then runs on a runtime whose
//! clock the simulator moves, over a [`Network`] in memory; its elections, the time its disk takes and
//! the order in which its tasks wake are drawn from the simulator's seed. The simulator itself is
//! `tests/simulation`: it decides what fails, and judges what clients saw.

mod network;
pub(crate) mod socket;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallpass_engine::{Engine, Outcome, SessionHash, Stamp};
use openraft::rt::deterministic_rng::DeterministicRng;

pub use self::network::{Cut, Delivery, Network, Weather};
pub use self::socket::TcpListener;
use super::log::{Log, LogOptions, WriterMode};
use super::types::NodeId;
use super::{Cluster, ClusterConfig, ClusterError, Parts, Unavailable};

/// openraft's runtime, with chance drawn from a seed.
pub(crate) type SeededRuntime = DeterministicRng<openraft::impls::TokioRuntime>;

thread_local! {
    static HERE: RefCell<Option<(Network, NodeId)>> = const { RefCell::new(None) };
}

/// Makes everything that runs on this thread, until this is called again, a part of `node`.
pub fn enter(network: &Network, node: u64) {
    HERE.with(|here| *here.borrow_mut() = Some((network.clone(), node)));
}

/// The node that runs on this thread; `None` outside of simulations.
fn here() -> Option<(Network, NodeId)> {
    HERE.with(|here| here.borrow().clone())
}

/// A number from the simulation's seed.
fn draw(below: u64) -> u64 {
    here().map_or(0, |(network, _)| network.draw(below))
}

/// As [`Cluster::start`], with openraft's random numbers from the simulation's seed.
pub async fn start(config: ClusterConfig, parts: Parts) -> Result<Arc<Cluster>, ClusterError> {
    SeededRuntime::scope(draw(u64::MAX), Box::pin(Cluster::start(config, parts))).await
}

/// Before work that would keep another thread busy.
pub(crate) async fn blocking_delay() {
    tokio::time::sleep(Duration::from_millis(draw(20))).await;
}

/// Writes and syncs what is logged, as a thread of the log's own would do, on a disk that takes its time.
pub(crate) fn keep_writing(log: &Arc<Log>, options: &LogOptions) {
    if options.writer != WriterMode::Manual {
        return;
    }
    let log = Arc::downgrade(log);
    tokio::spawn(async move {
        loop {
            let millis = here().map_or(1, |(network, node)| network.sync_millis(node));
            tokio::time::sleep(Duration::from_millis(millis)).await;
            let Some(log) = log.upgrade() else { break };
            log.write_batch();
        }
    });
}

/// Submits encoded ops to a node and waits for their outcomes.
pub async fn submit(cluster: &Cluster, ops: Bytes) -> Result<Vec<Outcome>, Unavailable> {
    cluster.submit(ops).await
}

/// Looks at a node's engine when a read that begins now may: see [`Cluster`].
pub async fn read<R>(
    cluster: &Cluster,
    look: impl Fn(&Engine, Stamp) -> R,
) -> Result<R, Unavailable> {
    cluster.read(look).await
}

/// Notes sessions whose touch is due.
pub fn touch(cluster: &Cluster, sessions: &[SessionHash]) {
    cluster.touch(sessions);
}

/// The largest stamp that a node has applied.
pub fn applied_stamp(cluster: &Cluster) -> Stamp {
    cluster.applied_stamp()
}

/// Whether a node's directory has met the others, so that it may vote.
pub fn is_settled(cluster: &Cluster) -> bool {
    cluster.is_settled()
}
