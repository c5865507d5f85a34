//! A rolling restart, as a client sees it that tries again: nothing fails and nothing is lost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::reply::Reply;
use crate::support::{wait_for, wait_until};

/// A client that goes to the next node when one does not answer, and tries until it has an answer.
struct Retrying {
    nodes: Vec<SocketAddr>,
    node: usize,
    client: Option<Client>,
}

impl Retrying {
    fn new(nodes: &[SocketAddr], node: usize) -> Retrying {
        Retrying { nodes: nodes.to_vec(), node, client: None }
    }

    /// The answer; fails the test when there is none within its patience.
    #[track_caller]
    fn run(&mut self, line: &str) -> Reply {
        wait_for(&format!("an answer to {line}"), || {
            let reply = self.attempt(line);
            if reply.is_none() {
                self.client = None;
                self.node = (self.node + 1) % self.nodes.len();
            }
            reply
        })
    }

    fn attempt(&mut self, line: &str) -> Option<Reply> {
        if self.client.is_none() {
            self.client = Client::try_connect(self.nodes[self.node]).ok();
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let reply = self.client.as_mut()?.try_call(&words).ok()?;
        (!reply.is_unavailable()).then_some(reply)
    }
}

/// Writes, reads and revokes until it is told to stop; every answer has to be right.
fn use_it(client: &mut Retrying, writer: usize, done: &AtomicU64, stop: &AtomicBool) {
    for number in 1.. {
        assert!(client.run(&format!("SET writer:{writer} {number}")).is_ok());
        let found = client.run(&format!("GET writer:{writer}")).text();
        assert_eq!(found, number.to_string(), "a write was lost");
        let session = client.run(&format!("SESSION.CREATE user:{writer} IDLE 3600"));
        let id = session.map()["id"].text();
        let user = client.run(&format!("SESSION.VALIDATE {id}"));
        assert_eq!(user.text(), format!("user:{writer}"));
        // Tried again, a revoke that had happened finds nothing left.
        assert!(client.run(&format!("SESSION.REVOKE {id}")).integer() <= 1);
        let user = client.run(&format!("SESSION.VALIDATE {id}"));
        assert!(user.is_nil(), "a revoked session came back: {user}");
        done.store(number, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    // Among them sessions whose creation was tried again.
    client.run(&format!("SESSION.REVOKEUSER user:{writer}"));
}

#[test]
fn r13_a_rolling_restart_fails_no_request_of_a_client_that_tries_again() {
    let mut cluster = Cluster::start(3);
    let nodes: Vec<SocketAddr> = (1..=3).map(|number| cluster.server(number).address()).collect();
    let done: Vec<AtomicU64> = (0..3).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    let more = |rounds: u64| {
        let before: Vec<u64> = done.iter().map(|done| done.load(Ordering::Relaxed)).collect();
        let enough = || {
            let pairs = done.iter().zip(&before);
            pairs.into_iter().all(|(now, before)| now.load(Ordering::Relaxed) >= before + rounds)
        };
        wait_until("every client to go on", enough);
    };
    std::thread::scope(|scope| {
        for (writer, done) in done.iter().enumerate() {
            let (mut client, stop) = (Retrying::new(&nodes, writer), &stop);
            scope.spawn(move || use_it(&mut client, writer, done, stop));
        }
        // Whatever goes wrong here, the clients are told to stop.
        let _stopping = StopAtLast(&stop);
        more(5);
        for number in 1..=3 {
            cluster.stop(number);
            more(2);
            cluster.restart(number);
            let leader = cluster.leader();
            let last = cluster.connect(leader).run("RAFT.STATUS").map()["last-log"].integer();
            let mut client = cluster.connect(number);
            wait_until("the node to have what the leader had", || {
                client.run("RAFT.STATUS").map()["applied"].integer() >= last
            });
        }
        more(5);
    });
    for (writer, done) in done.iter().enumerate() {
        for node in 0..3 {
            let mut client = Retrying::new(&nodes[node..=node], 0);
            let found = client.run(&format!("GET writer:{writer}")).text();
            assert_eq!(found, done.load(Ordering::Relaxed).to_string());
            assert_eq!(client.run(&format!("SESSION.COUNT user:{writer}")).integer(), 0);
        }
    }
}

/// Stops the clients when it goes out of scope.
struct StopAtLast<'a>(&'a AtomicBool);

impl Drop for StopAtLast<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
