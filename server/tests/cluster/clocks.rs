//! A leader whose clock is set wrong: it gives leadership up, says why, and loses nothing by it.

use crate::support::cluster::Cluster;
use crate::support::wait_until;
use crate::{create, insist, user_of};

#[test]
fn a_leader_whose_clock_is_set_wrong_hands_leadership_over() {
    let mut cluster = Cluster::start_with_clocks(3, &[], true);
    let wrong = cluster.leader();
    let mut client = cluster.connect(wrong);
    let id = create(&mut client, "alice");
    cluster.set_clock(wrong, 60_000);
    wait_until("another leader", || cluster.leader() != wrong);
    let status = client.run("RAFT.STATUS").map();
    assert_eq!(status["clock-outlier"].integer(), 1);
    // At least: what the answers' way leaves open is taken off.
    assert!((50_000..=60_000).contains(&status["clock-ahead"].integer()));
    assert!(client.run("INFO replication").text().contains("raft_clock_outlier:1"));
    let output = cluster.server(wrong).output();
    assert_eq!(output.matches("clock-skew-max").count(), 1, "{output}");
    let refused = insist(&mut client, &format!("RAFT.TRANSFER {wrong}"));
    assert!(refused.error().contains("clock-skew-max"), "{refused}");
    for number in 1..=3 {
        assert_eq!(user_of(&mut cluster.connect(number), &id).as_deref(), Some("alice"));
    }
}

/// A time to live counts from when the write is applied, by the clock of the cluster and not of the node asked.
#[test]
fn a_follower_whose_clock_is_set_wrong_gives_keys_their_time() {
    let mut cluster = Cluster::start_with_clocks(3, &["--clock-skew-max", "0"], true);
    let (leader, wrong) = (cluster.leader(), cluster.follower());
    cluster.set_clock(wrong, -60_000);
    let mut client = cluster.connect(wrong);
    wait_until("the clock to be wrong", || {
        let mut seconds = |number| {
            let mut client = cluster.connect(number);
            client.run("TIME").items()[0].text().parse::<i64>().expect("seconds")
        };
        seconds(leader) - seconds(wrong) > 50
    });
    for write in ["SET set v EX 30", "SETEX setex 30 v", "SET getex v", "SET expire v"] {
        assert_eq!(insist(&mut client, write).text(), "OK");
    }
    insist(&mut client, "GETEX getex EX 30");
    insist(&mut client, "EXPIRE expire 30");
    for number in [leader, wrong] {
        for key in ["set", "setex", "getex", "expire"] {
            let left = insist(&mut cluster.connect(number), &format!("TTL {key}")).integer();
            assert!((1..=30).contains(&left), "{key} has {left} s left on node {number}");
        }
    }
}
