//! Nodes that come: a late one by snapshot, a new one by RAFT.ADD, and one that lost its data, which may not.

use crate::support::cluster::{Cluster, fill_past_the_log};
use crate::support::reply::Reply;
use crate::support::server::{command, run_to_end};
use crate::support::wait_until;
use crate::{create, insist, user_of};

#[test]
fn r13_a_node_that_was_away_is_brought_up_to_date_by_a_snapshot() {
    let mut cluster = Cluster::start_with(3, &["--snapshot-bytes", "64kb"]);
    let follower = cluster.follower();
    let leader = cluster.leader();
    let mut client = cluster.connect(leader);
    let (kept, revoked) = (create(&mut client, "alice"), create(&mut client, "bob"));
    assert_eq!(user_of(&mut cluster.connect(follower), &revoked).as_deref(), Some("bob"));
    cluster.kill(follower);
    assert_eq!(client.run("SESSION.REVOKEUSER bob").integer(), 1);
    fill_past_the_log(&mut client);
    cluster.restart(follower);
    let mut late = cluster.connect(follower);
    assert_eq!(user_of(&mut late, &kept).as_deref(), Some("alice"));
    assert_eq!(user_of(&mut late, &revoked), None);
    assert_eq!(insist(&mut late, "DBSIZE").integer(), 30);
    // It takes part: with it and one other node the cluster goes on.
    let leader = cluster.leader();
    if leader != follower {
        cluster.kill(leader);
    }
    assert_eq!(insist(&mut late, "SET after failover").text(), "OK");
}

#[test]
fn a_node_is_added_promoted_and_another_removed() {
    let mut cluster = Cluster::start(3);
    let mut client = cluster.connect(1);
    let id = create(&mut client, "alice");
    let new = cluster.place();
    cluster.restart(new);
    let address = cluster.address(new);
    assert_eq!(insist(&mut client, &format!("RAFT.ADD {new} {address}")).text(), "OK");
    assert_eq!(insist(&mut client, &format!("RAFT.PROMOTE {new}")).text(), "OK");
    assert_eq!(user_of(&mut cluster.connect(new), &id).as_deref(), Some("alice"));
    let gone = cluster.leader();
    let mut other = cluster.connect(if gone == new { 1 } else { new });
    let removed = insist(&mut other, &format!("RAFT.REMOVE {gone}"));
    assert_eq!(removed.text(), "OK");
    cluster.kill(gone);
    let leader = cluster.leader();
    let status = cluster.connect(leader).run("RAFT.STATUS").map();
    let Reply::Array(members) = &status["members"] else {
        panic!("members: {:?}", status["members"])
    };
    assert_eq!(members.len(), 3);
    assert_eq!(user_of(&mut cluster.connect(leader), &id).as_deref(), Some("alice"));
}

#[test]
fn a_node_that_lost_its_data_cannot_come_back_under_its_number() {
    let mut cluster = Cluster::start(3);
    let follower = cluster.follower();
    let leader = cluster.leader();
    create(&mut cluster.connect(leader), "alice");
    cluster.kill(follower);
    std::fs::remove_dir_all(cluster.directory(follower)).expect("the directory is there");
    let flags = cluster.flags_of(follower);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (status, _, error) = run_to_end(command(cluster.port(follower), &flags));
    assert_eq!(status.code(), Some(2), "{error}");
    assert!(error.contains("another data directory"), "{error}");
}

/// Only one node ever met the lost directory, and it is down: the other one would believe the new one, and
/// the two would be a majority that knows nothing of what was acknowledged.
#[test]
fn a_node_that_lost_its_data_has_no_vote_while_one_is_away_that_knows_better() {
    let fast =
        ["--heartbeat-interval", "50", "--election-timeout", "200", "--cluster-timeout", "4000"];
    let mut cluster = Cluster::start_with(3, &fast);
    let leader = cluster.leader();
    create(&mut cluster.connect(leader), "alice");
    let (ignorant, wiped, knowing) = (1, 2, 3);
    (1..=3).for_each(|number| cluster.kill(number));
    let identity = cluster.directory(ignorant).join("identity.toml");
    let text = std::fs::read_to_string(&identity).expect("the identity is there");
    let known: Vec<&str> = text.lines().filter(|line| !line.starts_with("2 = ")).collect();
    assert_eq!(known.len() + 1, text.lines().count(), "node 1 knows node 2: {text}");
    std::fs::write(&identity, known.join("\n")).expect("the directory is writable");
    std::fs::remove_dir_all(cluster.directory(wiped)).expect("the directory is there");
    cluster.restart(ignorant);
    cluster.restart(wiped);
    wait_until("the new directory to wait", || {
        cluster.server(wiped).output().contains("no vote until it has met the nodes [3]")
    });
    for number in [ignorant, wiped] {
        let reply = cluster.connect(number).run("SET key value");
        assert!(reply.is_unavailable(), "node {number}: {reply}");
    }
    cluster.restart(knowing);
    assert_eq!(cluster.server(wiped).wait_for_exit().code(), Some(2));
    let output = cluster.server(wiped).output();
    assert!(output.contains("another data directory"), "{output}");
    assert_eq!(insist(&mut cluster.connect(ignorant), "SESSION.COUNT alice").integer(), 1);
}

#[test]
fn leadership_goes_where_it_is_sent() {
    let mut cluster = Cluster::start(3);
    let successor = cluster.follower();
    let mut client = cluster.connect(successor);
    let transfer = format!("RAFT.TRANSFER {successor}");
    // A node that was only just started may have to be heard from first.
    wait_until("leadership to be handed over", || client.run(&transfer).is_ok());
    wait_until("the successor to lead", || cluster.leader() == successor);
    assert!(client.run("RAFT.TRANSFER 99").error().contains("no vote"));
}

/// Leadership is not offered to a node that cannot take it: while it is, nothing is written.
#[test]
fn a_dead_node_is_not_handed_leadership() {
    let mut cluster = Cluster::start(3);
    let (leader, dead) = (cluster.leader(), cluster.follower());
    cluster.kill(dead);
    let mut client = cluster.connect(leader);
    let transfer = format!("RAFT.TRANSFER {dead}");
    wait_until("the silence to be noticed", || {
        let reply = client.run(&transfer);
        matches!(&reply, Reply::Error(text) if text.contains("cannot"))
    });
    assert_eq!(insist(&mut client, "SET still writes").text(), "OK");
}
