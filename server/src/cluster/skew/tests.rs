//! Clocks that are off: what one look says, and what three real nodes do about it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hallpass_engine::{Config, Engine, HashSeed, Stamp};

use super::*;
use crate::cluster::clock::SystemClock;
use crate::cluster::disk::SimulatedDisk;
use crate::cluster::{Cluster, ClusterConfig, Parts};

const MAX_MILLIS: i64 = 500;
/// How long a test waits for something that should happen soon, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Peers numbered from 2, each so far ahead, known to within `doubt`.
fn readings(ahead: &[i64], doubt: i64) -> BTreeMap<NodeId, Reading> {
    let reading = |ahead: i64| Reading { least: ahead - doubt, most: ahead + doubt };
    (2..).zip(ahead.iter().map(|ahead| reading(*ahead))).collect()
}

#[test]
fn the_middle_clock_decides() {
    for (peers, ahead, agreeing) in [
        (&[][..], 0, &[][..]),
        (&[3, -4], 0, &[2, 3]),
        (&[2000, 2010], -2000, &[2, 3]),
        (&[-2000, 0], 0, &[3]),
        // All three disagree: the one in the middle leads.
        (&[-2000, 2000], 0, &[]),
        (&[2000, 5000], -2000, &[2]),
        // Of two, nobody knows which one is right; of four, either of the middle ones is.
        (&[9000], 0, &[2]),
        (&[9000, 9000, 0], 0, &[2, 3, 4]),
        (&[9000, 9000, 9000], -9000, &[2, 3, 4]),
        (&[-9000, -9000, -9000, 0], 9000, &[2, 3, 4]),
    ] {
        let judgement = judge(&readings(peers, 0), MAX_MILLIS);
        assert_eq!((judgement.ahead_millis, &judgement.agreeing[..]), (ahead, agreeing));
        let all = judgement.agreeing.len() + judgement.differing.len();
        assert_eq!(all, peers.len(), "every peer that answers is judged");
    }
}

#[test]
fn what_the_round_trip_leaves_open_counts_for_the_node() {
    let judgement = judge(&readings(&[600, 600], 200), MAX_MILLIS);
    assert_eq!(judgement.ahead_millis, -400);
    // Node 3 may be 200 ms ahead of the middle, node 4 cannot be less than 550 ms ahead.
    let judgement = judge(&readings(&[0, 400, 950, 0], 200), MAX_MILLIS);
    assert_eq!(judgement.agreeing, [2, 3, 5]);
}

#[test]
fn one_odd_look_changes_nothing_and_the_limit_has_a_margin() {
    let skew = Skew::new(Duration::from_millis(MAX_MILLIS as u64));
    let verdicts = [0, 900, 0, 900, 900, 450, 450, 300, 900, 300, 300].map(|behind| {
        skew.observe(&readings(&[behind, behind], 0));
        u8::from(skew.is_outlier())
    });
    assert_eq!(verdicts, [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0]);
    let unlimited = Skew::new(Duration::ZERO);
    for _ in 0..3 {
        unlimited.observe(&readings(&[90_000, 90_000], 0));
    }
    assert!(!unlimited.is_outlier() && !unlimited.differs(2));
}

/// The machine's clock, set wrong.
#[derive(Default)]
struct WrongClock {
    right: SystemClock,
    ahead_millis: AtomicI64,
}

impl NodeClock for WrongClock {
    fn now(&self) -> Stamp {
        let ahead = self.ahead_millis.load(Ordering::Relaxed);
        Stamp::from_millis(self.right.now().millis().saturating_add_signed(ahead))
    }

    fn elapsed(&self) -> Duration {
        self.right.elapsed()
    }
}

/// Three nodes on simulated disks and real sockets, their clocks so far ahead.
async fn three(ahead: [i64; 3]) -> Vec<(Arc<Cluster>, Arc<WrongClock>)> {
    let mut listeners = Vec::new();
    for _ in ahead {
        listeners.push(tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
    }
    let address = |listener: &tokio::net::TcpListener| {
        listener.local_addr().expect("a bound socket has an address").to_string()
    };
    let initial: BTreeMap<u64, String> = (1..).zip(listeners.iter().map(address)).collect();
    let mut nodes = Vec::new();
    for (node, (listener, ahead)) in (1..).zip(listeners.into_iter().zip(ahead)) {
        let clock = Arc::new(WrongClock::default());
        clock.ahead_millis.store(ahead, Ordering::Relaxed);
        let config = ClusterConfig {
            node,
            address: address(&listener),
            initial: initial.clone(),
            clock_skew_max: Duration::from_millis(MAX_MILLIS as u64),
            ..ClusterConfig::alone(node)
        };
        let parts = Parts {
            disk: Arc::new(SimulatedDisk::new(node)),
            log_disk: Arc::new(SimulatedDisk::new(node + 10)),
            engine: Arc::new(Engine::new(&Config::new(HashSeed::new(1, 2)))),
            clock: Arc::clone(&clock) as Arc<dyn NodeClock>,
            draw: u128::from(node),
            listener: Some(listener),
            tls: None,
            fatal: Arc::new(|reason| panic!("{reason}")),
        };
        nodes.push((Cluster::start(config, parts).await.expect("an empty directory"), clock));
    }
    nodes
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// The node that all nodes take for the leader.
fn leader(nodes: &[(Arc<Cluster>, Arc<WrongClock>)]) -> Option<u64> {
    let leaders: Vec<_> = nodes.iter().map(|(node, _)| node.status().leader).collect();
    leaders.iter().all(|leader| *leader == leaders[0]).then(|| leaders[0])?
}

#[tokio::test]
async fn a_leader_whose_clock_jumps_hands_over_and_may_lead_again_when_it_is_right() {
    let nodes = three([0, 0, 0]).await;
    wait_until("a leader", || leader(&nodes).is_some()).await;
    let old = leader(&nodes).expect("just seen");
    let (wrong, clock) = &nodes[old as usize - 1];
    clock.ahead_millis.store(-10_000, Ordering::Relaxed);
    wait_until("another leader", || leader(&nodes).is_some_and(|new| new != old)).await;
    assert!(wrong.status().clock_outlier && wrong.status().clock_ahead_millis < -9000);
    let new = leader(&nodes).expect("just seen");
    let (leading, _) = &nodes[new as usize - 1];
    let refused = leading.transfer(old).await.expect("an answer").expect_err("a clock that is off");
    assert!(refused.contains("clock-skew-max"), "{refused}");
    clock.ahead_millis.store(0, Ordering::Relaxed);
    wait_until("the clock to be found right", || !wrong.status().clock_outlier).await;
    // The new leader has to have looked as well, twice at most.
    wait_until("the new leader to find it right", || leading.skew.agrees(old)).await;
    assert_eq!(leading.transfer(old).await.expect("an answer"), Ok(()));
    wait_until("the old leader to lead", || leader(&nodes) == Some(old)).await;
}

#[tokio::test]
async fn when_all_clocks_differ_the_middle_one_leads_and_goes_on_leading() {
    let nodes = three([0, 60_000, -60_000]).await;
    wait_until("node 1 to lead", || leader(&nodes) == Some(1)).await;
    let term = nodes[0].0.status().term;
    let looks = nodes[0].0.skew.looks();
    wait_until("more looks at the clocks", || nodes[0].0.skew.looks() > looks + 4).await;
    assert_eq!((leader(&nodes), nodes[0].0.status().term), (Some(1), term));
    assert!(!nodes[0].0.status().clock_outlier);
}

#[tokio::test]
async fn without_anybody_better_a_node_leads_whatever_its_clock_says() {
    let nodes = three([0, 60_000, -60_000]).await;
    wait_until("node 1 to lead", || leader(&nodes) == Some(1)).await;
    wait_until("the others to know", || nodes[1..].iter().all(|(node, _)| node.skew.is_outlier()))
        .await;
    nodes[0].0.stop().await;
    wait_until("a leader among the others", || leader(&nodes[1..]).is_some_and(|new| new != 1))
        .await;
}
