//! CLIENT TRACKING over many connections: nobody keeps a copy that is no longer true, and nobody who tracks
//! takes more memory than the settings allow. What one connection can show is in the conformance cases.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use support::client::{Client, encode_line};
use support::reply::Reply;
use support::server::Server;
use support::{wait_for, wait_until};

/// A field of INFO.
fn info(client: &mut Client, field: &str) -> u64 {
    let info = client.run("INFO everything").text();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("INFO has no {field}")).parse().unwrap()
}

/// The keys of a push; `None` for all.
fn invalidated(message: &Reply) -> Option<Vec<String>> {
    let Reply::Push(parts) = message else { panic!("a push, not {message}") };
    assert_eq!(parts[0].text(), "invalidate");
    (!parts[1].is_nil()).then(|| parts[1].items().iter().map(Reply::text).collect())
}

/// A client that keeps copies of what it has read.
struct Cache {
    client: Client,
    copies: BTreeMap<String, String>,
}

impl Cache {
    /// Reads a reply; drops the copies that what comes before it says are no longer true.
    fn read(&mut self) -> Reply {
        loop {
            let reply = self.client.read().unwrap();
            if !matches!(reply, Reply::Push(_)) {
                return reply;
            }
            match invalidated(&reply) {
                Some(keys) => keys.iter().for_each(|key| drop(self.copies.remove(key))),
                None => self.copies.clear(),
            }
        }
    }

    fn look(&mut self, key: &str) {
        self.client.send(&encode_line(&format!("GET {key}"))).unwrap();
        let reply = self.read();
        let value = if reply.is_nil() { String::new() } else { reply.text() };
        self.copies.insert(key.to_owned(), value);
    }
}

/// Writers change a few keys as fast as they can while others keep copies: when all is quiet, each copy that
/// is left is true.
fn copies_are_true(mut connect: impl FnMut(usize) -> Client) {
    const KEYS: usize = 4;
    const ROUNDS: usize = 1_500;
    let mut caches: Vec<Cache> = (0..3)
        .map(|number| {
            let mut client = connect(number);
            client.run("HELLO 3");
            assert!(client.run("CLIENT TRACKING ON").is_ok());
            Cache { client, copies: BTreeMap::new() }
        })
        .collect();
    let writers: Vec<Client> = (0..2).map(&mut connect).collect();
    std::thread::scope(|scope| {
        for (number, mut writer) in writers.into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let key = round % KEYS;
                    match (round / KEYS) % 3 {
                        0 => writer.run(&format!("SET key{key} {number}-{round}")),
                        1 => writer.run(&format!("APPEND key{key} x")),
                        _ => writer.run(&format!("DEL key{key}")),
                    };
                }
            });
        }
        for cache in &mut caches {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    cache.look(&format!("key{}", round % KEYS));
                }
            });
        }
    });
    let mut judge = connect(0);
    for cache in &mut caches {
        let mut truth = BTreeMap::new();
        for key in 0..KEYS {
            let reply = judge.run(&format!("GET key{key}"));
            truth.insert(
                format!("key{key}"),
                if reply.is_nil() { String::new() } else { reply.text() },
            );
        }
        wait_until("all copies to be true", || {
            cache.client.send(&encode_line("PING")).unwrap();
            cache.read();
            cache.copies.iter().all(|(key, value)| truth[key] == *value)
        });
    }
}

#[test]
fn on_one_server_no_copy_outlives_a_change() {
    let server = Server::start_with(&["--threads", "2"]);
    copies_are_true(|_| server.connect());
}

#[test]
fn on_every_node_no_copy_outlives_a_change() {
    let mut cluster = patient_cluster();
    cluster.leader();
    copies_are_true(|number| cluster.connect(1 + number % 3));
}

/// A cluster whose answers may take as long as a busy machine needs for them.
fn patient_cluster() -> support::cluster::Cluster {
    support::cluster::Cluster::start_with(3, &["--cluster-timeout", "30000"])
}

/// The node that applies the change need not be the one whose client is told, and a client's own changes
/// come back through the log.
#[test]
fn in_a_cluster_own_changes_are_not_told_of_to_who_does_not_want_it() {
    let mut cluster = patient_cluster();
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut other = cluster.connect(leader);
    for number in [leader, follower] {
        let mut client = cluster.connect(number);
        client.run("HELLO 3");
        // What was written before is applied here as well, and not news any more.
        wait_until("a read", || !client.run("GET other").is_unavailable());
        assert!(client.run("CLIENT TRACKING ON BCAST NOLOOP").is_ok());
        for line in ["SET own 1", "MULTI"] {
            wait_until(line, || !client.run(line).is_unavailable());
        }
        client.run("SET own 2");
        assert!(client.run("EXEC").items()[0].is_ok());
        wait_until("a write", || !other.run("SET other 1").is_unavailable());
        assert_eq!(invalidated(&client.read().unwrap()), Some(vec!["other".to_owned()]));
    }
}

/// What a transaction reads is noted, on a node that runs it where the log is applied.
#[test]
fn in_a_cluster_what_a_transaction_reads_is_told_of() {
    let mut cluster = patient_cluster();
    let follower = cluster.follower();
    let mut client = cluster.connect(follower);
    client.run("HELLO 3");
    assert!(client.run("CLIENT TRACKING ON").is_ok());
    for line in ["MULTI", "GET a", "SET b 1", "GET c"] {
        client.run(line);
    }
    assert_eq!(client.run("EXEC").items().len(), 3);
    let leader = cluster.leader();
    let mut other = cluster.connect(leader);
    wait_until("a write", || !other.run("MSET a 1 b 1 c 1").is_unavailable());
    let mut told: Vec<_> = (0..2).map(|_| invalidated(&client.read().unwrap()).unwrap()).collect();
    told.sort();
    assert_eq!(told, [["a"], ["c"]]);
}

/// Nobody reads what this client is told.
#[test]
fn who_does_not_read_is_closed_and_holds_no_memory() {
    let server =
        Server::start_with(&["--client-output-buffer-limit", "normal 0 0 0 pubsub 256kb 0 0"]);
    let mut silent = server.connect_resp3();
    assert!(silent.run("CLIENT TRACKING ON BCAST").is_ok());
    let mut writer = server.connect();
    let long = "k".repeat(10_000);
    let closed = wait_for("the limit", || {
        for number in 0..500 {
            writer.call(&["SET", &format!("{long}{number}"), "v"]);
        }
        let closed = info(&mut writer, "client_output_buffer_limit_disconnections");
        (closed > 0).then_some(closed)
    });
    assert_eq!(closed, 1);
    wait_until("the client to be forgotten", || info(&mut writer, "tracking_clients") == 0);
    assert_eq!(info(&mut writer, "tracking_total_prefixes"), 0);
}

#[test]
fn the_table_is_bounded_and_what_it_gives_up_is_told_of() {
    let server = Server::start_with(&["--tracking-table-max-keys", "100"]);
    let mut client = server.connect_resp3();
    assert!(client.run("CLIENT TRACKING ON").is_ok());
    let (mut told, mut reads) = (0, 0);
    for number in 0..1_000 {
        client.send(&encode_line(&format!("GET key{number}"))).unwrap();
    }
    while reads < 1_000 || told < 900 {
        match client.read().unwrap() {
            Reply::Push(_) => told += 1,
            _ => reads += 1,
        }
    }
    let mut other = server.connect();
    assert_eq!(info(&mut other, "tracking_total_keys"), 100);
    assert_eq!(info(&mut other, "tracking_total_items"), 100);
    drop(client);
    wait_until("the client to be forgotten", || info(&mut other, "tracking_clients") == 0);
    // Those who come after it find the table as it left it, and no more is kept.
    for round in 0..50 {
        let mut client = server.connect_resp3();
        assert!(client.run("CLIENT TRACKING ON").is_ok());
        client.run(&format!("GET key{round}"));
    }
    assert!(info(&mut other, "tracking_total_keys") <= 100);
    assert!(info(&mut other, "tracking_total_items") <= 150);
}

#[test]
fn a_redirection_whose_target_is_gone_is_told_of() {
    let server = Server::start();
    let (mut client, mut other) = (server.connect_resp3(), server.connect());
    let mut target = server.connect_resp3();
    let id = target.run("CLIENT ID").integer();
    assert!(client.run(&format!("CLIENT TRACKING ON REDIRECT {id}")).is_ok());
    client.run("GET key");
    assert!(other.run("SET key 1").is_ok());
    assert_eq!(invalidated(&target.read().unwrap()), Some(vec!["key".to_owned()]));
    let described = client.run("CLIENT INFO").text();
    assert!(described.contains(" flags=t ") && described.contains(&format!(" redir={id} ")));
    drop(target);
    wait_until("the target to be gone", || {
        !other.run("CLIENT LIST").text().contains(&format!("id={id} "))
    });
    client.run("GET key");
    assert!(other.run("SET key 2").is_ok());
    let told = client.read().unwrap();
    assert_eq!(told.items()[0].text(), "tracking-redir-broken");
    assert_eq!(told.items()[1].integer(), id);
    assert!(client.run("CLIENT INFO").text().contains(" flags=tR "));
}
