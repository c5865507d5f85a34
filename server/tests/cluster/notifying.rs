//! Keyspace notifications in a cluster: every node tells its own subscribers what it applies.

use crate::insist;
use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::reply::Reply;
use crate::support::wait_for;

/// A subscriber of this node, which tells of these events.
fn subscriber(cluster: &mut Cluster, number: usize, events: &str) -> Client {
    let mut client = cluster.connect(number);
    assert!(client.call(&["CONFIG", "SET", "notify-keyspace-events", events]).is_ok());
    client.run("PSUBSCRIBE __keyevent*");
    client
}

/// The next event: its channel without what all have in front, and the key.
fn next(subscriber: &mut Client) -> (String, String) {
    let message = subscriber.read().unwrap();
    let parts: Vec<String> = message.items().iter().map(Reply::text).collect();
    (parts[2].trim_start_matches("__keyevent@0__:").to_owned(), parts[3].clone())
}

#[test]
fn each_node_tells_what_it_applies() {
    let mut cluster = Cluster::start(3);
    let mut subscribers: Vec<Client> =
        (1..=3).map(|number| subscriber(&mut cluster, number, "EA")).collect();
    let (leader, follower) = (cluster.leader(), cluster.follower());
    for number in [leader, follower] {
        let mut client = cluster.connect(number);
        insist(&mut client, "SET key value EX 100");
        insist(&mut client, "MULTI");
        client.run("APPEND key x");
        client.run("DEL key");
        insist(&mut client, "EXEC");
    }
    for subscriber in &mut subscribers {
        for _ in 0..2 {
            for event in ["set", "expire", "append", "del"] {
                assert_eq!(next(subscriber), (event.to_owned(), "key".to_owned()));
            }
        }
    }
}

/// A read on a follower finds a key ended before the log says so: it is told of then, and not again when
/// the log says so.
#[test]
fn an_end_is_told_of_once_on_each_node() {
    let mut cluster = Cluster::start(3);
    let mut subscribers: Vec<Client> =
        (1..=3).map(|number| subscriber(&mut cluster, number, "E$xg")).collect();
    let follower = cluster.follower();
    let mut reader = cluster.connect(follower);
    for round in 0..10 {
        insist(&mut reader, &format!("SET key{round} value PX 30"));
        wait_for("the key to end", || {
            insist(&mut reader, &format!("GET key{round}")).is_nil().then_some(())
        });
        insist(&mut reader, &format!("GET key{round}"));
        // The first op after the end finds the entry.
        insist(&mut reader, &format!("SET key{round} again"));
        insist(&mut reader, &format!("DEL key{round}"));
    }
    for subscriber in &mut subscribers {
        for round in 0..10 {
            for event in ["set", "expire", "expired", "set", "del"] {
                assert_eq!(next(subscriber), (event.to_owned(), format!("key{round}")));
            }
        }
    }
}
