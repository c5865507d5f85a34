//! Every node serves: what one acknowledges, all show.

use crate::support::client::{Client, encode_line};
use crate::support::cluster::Cluster;
use crate::support::wait_for;
use crate::{create, user_of};

#[test]
fn what_one_node_acknowledges_every_node_shows() {
    let mut cluster = Cluster::start(3);
    let mut clients: Vec<_> = (1..=3).map(|number| cluster.connect(number)).collect();
    for writer in 0..3 {
        let user = format!("user{writer}");
        let id = create(&mut clients[writer], &user);
        for reader in &mut clients {
            assert_eq!(user_of(reader, &id).as_deref(), Some(user.as_str()));
            assert_eq!(reader.run(&format!("SESSION.COUNT {user}")).integer(), 1);
        }
        let revoker = (writer + 1) % 3;
        assert_eq!(clients[revoker].run(&format!("SESSION.REVOKEUSER {user}")).integer(), 1);
        for reader in &mut clients {
            assert_eq!(user_of(reader, &id), None, "promise 1");
        }
    }
}

/// Writes and reads of one pipeline keep their order, through a follower as through the leader.
#[test]
fn a_pipeline_is_answered_in_order() {
    let mut cluster = Cluster::start(3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    for number in [leader, follower] {
        let mut client = cluster.connect(number);
        client.run("DEL counter");
        let mut requests = Vec::new();
        for _ in 0..200 {
            requests.extend(encode_line("INCR counter"));
            requests.extend(encode_line("GET counter"));
            requests.extend(encode_line("PING"));
        }
        client.send(&requests).expect("the node reads");
        for expected in 1..=200 {
            assert_eq!(client.read().unwrap().integer(), expected);
            assert_eq!(client.read().unwrap().text(), expected.to_string());
            assert_eq!(client.read().unwrap().text(), "PONG");
        }
    }
}

/// Concurrent writers on all nodes lose no increment and apply none twice.
#[test]
fn increments_on_all_nodes_add_up() {
    const EACH: i64 = 300;
    let mut cluster = Cluster::start(3);
    let clients: Vec<_> = (0..6).map(|number| cluster.connect(1 + number % 3)).collect();
    std::thread::scope(|scope| {
        for mut client in clients {
            scope.spawn(move || {
                for _ in 0..EACH {
                    assert!(client.run("INCR counter").integer() > 0);
                }
            });
        }
    });
    for number in 1..=3 {
        let value = cluster.connect(number).run("GET counter").text();
        assert_eq!(value, (6 * EACH).to_string());
    }
}

/// A touch that is due reaches the log: every node shows it, and it outlives the leader (R6).
#[test]
fn touches_reach_every_node() {
    let mut cluster = Cluster::start_with(3, &["--touch-slack", "0"]);
    let follower = cluster.follower();
    let mut client = cluster.connect(follower);
    let id = create(&mut client, "alice");
    let seen = |client: &mut crate::support::client::Client| {
        client.run(&format!("SESSION.GET {id} NOTOUCH")).map()["seen"].integer()
    };
    let before = seen(&mut client);
    crate::support::wait_until("a touch in the log", || {
        client.run(&format!("SESSION.VALIDATE {id}"));
        seen(&mut client) > before
    });
    for number in 1..=3 {
        let mut other = cluster.connect(number);
        assert!(seen(&mut other) > before);
    }
}

/// What is published on one node reaches the subscribers of all, in order, and so it does again when a node
/// comes back. Broadcasts may get lost: the test publishes until the way is open.
#[test]
fn what_is_published_on_one_node_reaches_subscribers_of_all() {
    let mut cluster = Cluster::start(3);
    let follower = cluster.follower();
    let mut listeners: Vec<_> = (1..=3).map(|number| cluster.connect(number)).collect();
    for listener in &mut listeners {
        listener.run("SUBSCRIBE news");
    }
    let publish = |cluster: &mut Cluster, from: usize, listeners: &mut [Client]| {
        let mut publisher = cluster.connect(from);
        for listener in listeners.iter_mut() {
            let socket = listener.socket();
            socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
            wait_for("the way to be open", || {
                assert!(publisher.run("PUBLISH news probe").integer() <= 1);
                listener.read().ok()
            });
            listener.socket().set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        }
        for number in 0..100 {
            publisher.run(&format!("PUBLISH news {number}"));
        }
        for listener in listeners {
            let mut expected = 0;
            while expected < 100 {
                let text = listener.read().expect("a message").items()[2].text();
                if text != "probe" {
                    assert_eq!(text, expected.to_string());
                    expected += 1;
                }
            }
        }
    };
    for from in 1..=3 {
        publish(&mut cluster, from, &mut listeners);
    }
    cluster.kill(follower);
    cluster.restart(follower);
    listeners[follower - 1] = cluster.connect(follower);
    listeners[follower - 1].run("SUBSCRIBE news");
    publish(&mut cluster, follower % 3 + 1, &mut listeners);
}
