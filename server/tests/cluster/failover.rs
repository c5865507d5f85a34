//! Nodes that go: what was acknowledged survives them, what was revoked stays gone, and what cannot be
//! vouched for is not answered.

use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::{create, insist, user_of};

/// A request is answered within this, cluster or no cluster: the timeout of 1.5 s, and some for a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn r13_the_leader_s_death_loses_no_session_and_brings_none_back() {
    let mut cluster = Cluster::start(3);
    for round in 0..3 {
        let leader = cluster.leader();
        let mut client = cluster.connect(leader);
        let kept = create(&mut client, "alice");
        let revoked = create(&mut client, "bob");
        let everywhere = create(&mut client, "carol");
        assert_eq!(client.run(&format!("SESSION.REVOKE {revoked}")).integer(), 1);
        assert_eq!(client.run("SESSION.REVOKEUSER carol").integer(), 1);
        cluster.kill(leader);
        for number in cluster.running() {
            let mut client = cluster.connect(number);
            assert_eq!(user_of(&mut client, &kept).as_deref(), Some("alice"), "round {round}");
            assert_eq!(user_of(&mut client, &revoked), None, "round {round}");
            assert_eq!(user_of(&mut client, &everywhere), None, "round {round}");
        }
        // Writes go on, and the node that comes back has them.
        let follower = cluster.follower();
        let mut client = cluster.connect(follower);
        assert!(insist(&mut client, &format!("SESSION.REVOKE {kept}")).integer() <= 1);
        cluster.restart(leader);
        let mut client = cluster.connect(leader);
        assert_eq!(user_of(&mut client, &kept), None, "round {round}");
    }
}

#[test]
fn all_nodes_killed_at_once_come_back_with_everything() {
    let mut cluster = Cluster::start(3);
    let mut client = cluster.connect(2);
    let (kept, revoked) = (create(&mut client, "alice"), create(&mut client, "bob"));
    assert_eq!(client.run(&format!("SESSION.REVOKE {revoked}")).integer(), 1);
    (1..=3).for_each(|number| cluster.kill(number));
    (1..=3).for_each(|number| cluster.restart(number));
    for number in 1..=3 {
        let mut client = cluster.connect(number);
        assert_eq!(user_of(&mut client, &kept).as_deref(), Some("alice"));
        assert_eq!(user_of(&mut client, &revoked), None);
    }
}

#[test]
fn without_a_majority_every_request_is_answered_and_none_stale() {
    let mut cluster = Cluster::start_with(3, &["--cluster-timeout", "1500"]);
    let leader = cluster.leader();
    let mut client = cluster.connect(leader);
    let id = create(&mut client, "alice");
    let others: Vec<usize> = cluster.running().into_iter().filter(|node| *node != leader).collect();
    for number in &others {
        cluster.kill(*number);
    }
    // Until its lease is over the leader may answer; nobody can have changed anything meanwhile.
    crate::support::wait_until("the lease to end", || {
        client.run(&format!("SESSION.VALIDATE {id} NOTOUCH")).is_unavailable()
    });
    for line in [
        format!("SESSION.VALIDATE {id}"),
        format!("SESSION.REVOKE {id}"),
        "GET key".to_owned(),
        "SET key value".to_owned(),
    ] {
        let asked = Instant::now();
        let reply = client.run(&line);
        assert!(reply.is_unavailable(), "{line}: {reply}");
        assert!(asked.elapsed() < ANSWER_WITHIN, "{line} took {:?}", asked.elapsed());
    }
    // What concerns the node itself is answered as ever.
    assert_eq!(client.run("PING").text(), "PONG");
    cluster.restart(others[0]);
    let mut client = cluster.connect(leader);
    // The revoke was not acknowledged: it may have happened, or not.
    let user = user_of(&mut client, &id);
    assert!(user.is_none() || user.as_deref() == Some("alice"));
    assert_eq!(insist(&mut client, "SET key value").text(), "OK");
}

#[test]
fn sigterm_hands_leadership_over() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let mut client = cluster.connect(leader);
    let id = create(&mut client, "alice");
    cluster.stop(leader);
    let successor = cluster.leader();
    assert_ne!(successor, leader);
    let mut client = cluster.connect(successor);
    assert_eq!(user_of(&mut client, &id).as_deref(), Some("alice"));
}
