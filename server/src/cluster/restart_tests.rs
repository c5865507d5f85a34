//! A leader that lost what it had not synced, as a power loss leaves it, while its followers had it all.
//!
//! It found its own vote and went on as the leader of its old term: it gave the lost entries' ids out again, and
//! followers that held other entries under those ids took them for the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallpass_engine::{Condition, Config, Deadline, Engine, HashSeed, Key, Op};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::clock::SystemClock;
use super::disk::{Remains, SimulatedDisk};
use super::node::{Cluster, ClusterConfig, Parts};

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// Keys written before the moment that the leader's log is set back to, and in all.
const KEYS_KEPT: u32 = 5;
const KEYS: u32 = 20;

/// The disks of one node: identity and snapshots, and the log.
struct Disks {
    own: SimulatedDisk,
    log: SimulatedDisk,
}

async fn listeners() -> (BTreeMap<u64, String>, Vec<(u64, TcpListener)>) {
    let (mut initial, mut bound) = (BTreeMap::new(), Vec::new());
    for node in 1..=3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        initial.insert(node, listener.local_addr().expect("bound").to_string());
        bound.push((node, listener));
    }
    (initial, bound)
}

async fn listen_again(initial: &BTreeMap<u64, String>) -> Vec<(u64, TcpListener)> {
    let mut bound = Vec::new();
    for (node, address) in initial {
        bound.push((*node, TcpListener::bind(address).await.expect("its port is free again")));
    }
    bound
}

async fn start(
    initial: &BTreeMap<u64, String>,
    bound: Vec<(u64, TcpListener)>,
    disks: &BTreeMap<u64, Disks>,
) -> BTreeMap<u64, Arc<Cluster>> {
    let mut nodes = BTreeMap::new();
    for (node, listener) in bound {
        let config = ClusterConfig {
            node,
            address: initial[&node].clone(),
            initial: initial.clone(),
            patience: PATIENCE,
            ..ClusterConfig::alone(node)
        };
        let parts = Parts {
            disk: Arc::new(disks[&node].own.clone()),
            log_disk: Arc::new(disks[&node].log.clone()),
            engine: Arc::new(Engine::new(&Config::new(HashSeed::new(1, 2)))),
            clock: Arc::new(SystemClock::default()),
            draw: u128::from(node),
            listener: Some(listener),
            tls: None,
            fatal: Arc::new(|_reason| {}),
        };
        nodes.insert(node, Cluster::start(config, parts).await.expect("it starts"));
    }
    nodes
}

/// The leader that all nodes know, and its term.
async fn agreed_leader(nodes: &BTreeMap<u64, Arc<Cluster>>) -> (u64, u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let known: Vec<_> = nodes.values().map(|node| node.status()).collect();
        let first = known.first().and_then(|status| Some((status.leader?, status.term)));
        let alike = |leader| known.iter().all(|status| (status.leader, status.term) == leader);
        if let Some((leader, term)) = first
            && alike((Some(leader), term))
        {
            return (leader, term);
        }
        assert!(Instant::now() < deadline, "no leader: {known:?}");
        sleep(LOOK).await;
    }
}

async fn write(cluster: &Cluster, number: u32) {
    let name = number.to_le_bytes();
    let mut bytes = Vec::new();
    let op = Op::Set {
        key: Key::new(cluster.engine().seed(), 0, &name),
        value: &name,
        deadline: Deadline::Clear,
        condition: Condition::Always,
        owner: None,
        get: false,
    };
    op.encode(&mut bytes);
    cluster.submit(Bytes::from(bytes)).await.expect("acknowledged");
}

async fn missing(cluster: &Cluster) -> Vec<u32> {
    let look = |engine: &Engine, now| {
        let is_missing = |number: &u32| {
            let name = number.to_le_bytes();
            engine.look(Key::new(engine.seed(), 0, &name), now, |entry| entry.is_none())
        };
        (0..KEYS).filter(is_missing).collect()
    };
    cluster.read(look).await.expect("a read")
}

/// A disk with these files.
fn disk_of(files: &BTreeMap<String, Vec<u8>>) -> SimulatedDisk {
    let disk = SimulatedDisk::new(9);
    for (name, bytes) in files {
        disk.put(name, bytes);
    }
    disk
}

#[tokio::test]
async fn a_leader_that_lost_the_end_of_its_log_is_not_the_leader_of_that_term_any_more() {
    let mut disks: BTreeMap<u64, Disks> = (1..=3)
        .map(|node| (node, Disks { own: SimulatedDisk::new(node), log: SimulatedDisk::new(node) }))
        .collect();
    let (initial, bound) = listeners().await;
    let nodes = start(&initial, bound, &disks).await;
    let (leader, term) = agreed_leader(&nodes).await;
    for number in 0..KEYS_KEPT {
        write(&nodes[&leader], number).await;
    }
    let kept = disks[&leader].log.content();
    for number in KEYS_KEPT..KEYS {
        write(&nodes[&leader], number).await;
    }
    // The followers' syncs alone make an entry safe: what the leader loses of these was rightly acknowledged.
    let deadline = Instant::now() + PATIENCE;
    let all_have = |nodes: &BTreeMap<u64, Arc<Cluster>>| {
        let ends: Vec<u64> = nodes.values().map(|node| node.status().last_log).collect();
        ends.windows(2).all(|two| two[0] == two[1])
    };
    while !all_have(&nodes) {
        assert!(Instant::now() < deadline, "the followers stay behind");
        sleep(LOOK).await;
    }
    let still = agreed_leader(&nodes).await;
    assert_eq!(still, (leader, term), "it was meant to lead throughout");

    // The power fails everywhere at once.
    for (node, disk) in &mut disks {
        let log = disk.log.crash(Remains::Everything);
        disk.log = if *node == leader { disk_of(&kept) } else { log };
        disk.own = disk.own.crash(Remains::Everything);
    }
    for node in nodes.values() {
        node.stop().await;
    }
    drop(nodes);

    let nodes = start(&initial, listen_again(&initial).await, &disks).await;
    for (number, node) in &nodes {
        assert_eq!(missing(node).await, Vec::<u32>::new(), "on node {number}");
    }
    let (_, term_after) = agreed_leader(&nodes).await;
    assert!(term_after > term, "term {term} went on");
    for node in nodes.values() {
        node.stop().await;
    }
}

/// An earlier start may have promised its vote to a leader that still answers reads by that.
#[tokio::test]
async fn a_node_that_starts_again_gives_no_vote_until_earlier_promises_are_over() {
    let mut disks: BTreeMap<u64, Disks> = (1..=3)
        .map(|node| (node, Disks { own: SimulatedDisk::new(node), log: SimulatedDisk::new(node) }))
        .collect();
    let (initial, bound) = listeners().await;
    let nodes = start(&initial, bound, &disks).await;
    let (leader, _) = agreed_leader(&nodes).await;
    write(&nodes[&leader], 0).await;
    for node in nodes.values() {
        node.stop().await;
    }
    drop(nodes);
    for disk in disks.values_mut() {
        disk.log = disk.log.crash(Remains::Everything);
        disk.own = disk.own.crash(Remains::Everything);
    }
    // For these two nobody is left who might hold a lease, but they cannot know that.
    disks.remove(&leader);
    let mut listeners = listen_again(&initial).await;
    listeners.retain(|(node, _)| *node != leader);
    let started = Instant::now();
    let nodes = start(&initial, listeners, &disks).await;
    // A read is answered when somebody leads again.
    for node in nodes.values() {
        missing(node).await;
    }
    let promise = ClusterConfig::alone(1).election * 2;
    assert!(started.elapsed() >= promise, "elected after {:?}", started.elapsed());
    for node in nodes.values() {
        node.stop().await;
    }
}
