//! Some nodes on this machine that belong to one test, each a process that can be killed and started
//! again on what its directory holds.

use super::client::Client;
use super::reply::Reply;
use super::server::{Server, free_port, scratch_folder};
use super::{wait_for, wait_until};
use std::fs;
use std::path::PathBuf;

/// One node: its place, and its process while it runs.
struct Node {
    port: u16,
    cluster_port: u16,
    server: Option<Server>,
}

/// A cluster whose nodes are numbered from 1. Dropping it kills its processes and removes their files.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    initial: usize,
    flags: Vec<String>,
    folder: PathBuf,
    /// Whether the nodes' clocks can be set.
    clocks: bool,
}

impl Cluster {
    /// Starts so many nodes, and returns when one of them leads.
    #[track_caller]
    pub(crate) fn start(count: usize) -> Cluster {
        Cluster::start_with(count, &[])
    }

    /// The same with more flags for each node.
    #[track_caller]
    pub(crate) fn start_with(count: usize, flags: &[&str]) -> Cluster {
        Cluster::start_with_clocks(count, flags, false)
    }

    /// The same; where `clocks` says so, with clocks that can be set.
    #[track_caller]
    pub(crate) fn start_with_clocks(count: usize, flags: &[&str], clocks: bool) -> Cluster {
        let mut flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        // On a busy machine a healthy node may be silent for a while, and a healthy cluster slow.
        for (flag, value) in [
            ("--heartbeat-interval", "100"),
            ("--election-timeout", "1000"),
            ("--cluster-timeout", "10000"),
        ] {
            if !flags.iter().any(|given| given == flag) {
                flags.extend([flag.to_owned(), value.to_owned()]);
            }
        }
        let folder = scratch_folder("cluster");
        let mut cluster = Cluster { nodes: Vec::new(), initial: count, flags, folder, clocks };
        for _ in 0..count {
            cluster.place();
        }
        for number in 1..=count {
            cluster.restart(number);
        }
        cluster.leader();
        cluster
    }

    /// Finds a place for one more node, which is not started; its number.
    pub(crate) fn place(&mut self) -> usize {
        let node = Node { port: free_port(), cluster_port: free_port(), server: None };
        self.nodes.push(node);
        self.nodes.len()
    }

    /// The flags of a node.
    pub(crate) fn flags_of(&self, number: usize) -> Vec<String> {
        let mut flags = self.flags.clone();
        let mut add = |flag: &str, value: String| flags.extend([flag.to_owned(), value]);
        add("--data-dir", self.directory(number).display().to_string());
        add("--node-id", number.to_string());
        add("--cluster-port", self.nodes[number - 1].cluster_port.to_string());
        if number <= self.initial {
            let initial: Vec<String> =
                (1..=self.initial).map(|node| format!("{node}={}", self.address(node))).collect();
            add("--initial-cluster", initial.join(","));
        }
        flags
    }

    /// Where a node keeps its log.
    pub(crate) fn directory(&self, number: usize) -> PathBuf {
        self.folder.join(number.to_string())
    }

    /// Where its peers reach a node.
    pub(crate) fn address(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[number - 1].cluster_port)
    }

    /// Where clients reach a node.
    pub(crate) fn port(&self, number: usize) -> u16 {
        self.nodes[number - 1].port
    }

    /// Starts a node, and returns when it answers.
    #[track_caller]
    pub(crate) fn restart(&mut self, number: usize) {
        let flags = self.flags_of(number);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let clock = self.clock_file(number).display().to_string();
        let environment = [("HALLPASS_CLOCK_FILE", clock.as_str())];
        let environment = if self.clocks { &environment[..] } else { &[] };
        match Server::try_start_in(self.nodes[number - 1].port, &flags, environment) {
            Ok(server) => self.nodes[number - 1].server = Some(server),
            Err(output) => panic!("node {number} did not start: {output}"),
        }
    }

    /// Sets a node's wall clock so many milliseconds ahead of the machine's.
    pub(crate) fn set_clock(&self, number: usize, ahead_millis: i64) {
        fs::write(self.clock_file(number), ahead_millis.to_string()).expect("a writable folder");
    }

    fn clock_file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{number}.clock"))
    }

    /// Kills a node as `kill -9` does.
    pub(crate) fn kill(&mut self, number: usize) {
        self.server(number).kill();
        self.nodes[number - 1].server = None;
    }

    /// Stops a node as a service manager does, and waits for its end.
    #[track_caller]
    pub(crate) fn stop(&mut self, number: usize) {
        self.server(number).terminate();
        assert_eq!(self.server(number).wait_for_exit().code(), Some(0));
        self.nodes[number - 1].server = None;
    }

    /// A node's process.
    #[track_caller]
    pub(crate) fn server(&mut self, number: usize) -> &mut Server {
        self.nodes[number - 1].server.as_mut().expect("the node runs")
    }

    /// A connection to a node.
    #[track_caller]
    pub(crate) fn connect(&mut self, number: usize) -> Client {
        self.server(number).connect()
    }

    /// The numbers of the nodes that run.
    pub(crate) fn running(&self) -> Vec<usize> {
        (1..=self.nodes.len()).filter(|number| self.nodes[number - 1].server.is_some()).collect()
    }

    /// The node that leads, once one does and takes writes.
    #[track_caller]
    pub(crate) fn leader(&mut self) -> usize {
        let running = self.running();
        wait_for("a leader", || {
            running.iter().copied().find(|number| {
                let status = self.connect(*number).run("RAFT.STATUS").map();
                let leads =
                    matches!(status["leader"], Reply::Integer(leader) if leader == *number as i64);
                leads && status["lease"].integer() == 1
            })
        })
    }

    /// A running node that does not lead.
    #[track_caller]
    pub(crate) fn follower(&mut self) -> usize {
        let leader = self.leader();
        let follower = self.running().into_iter().find(|number| *number != leader);
        follower.expect("more than one node runs")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.folder).ok();
        }
    }
}

/// Writes 30 keys so often that a follower who was away needs a snapshot: past the thousand entries that are
/// kept for those who are a little late. For clusters started with `--snapshot-bytes 64kb`.
#[track_caller]
pub(crate) fn fill_past_the_log(client: &mut Client) {
    let value = "x".repeat(1000);
    for number in 0..3000 {
        let key = format!("filler:{}", number % 30);
        assert_eq!(client.call(&["SET", &key, &value]).text(), "OK");
    }
    wait_until("a snapshot", || client.run("RAFT.STATUS").map()["snapshot"].integer() > 2000);
}
