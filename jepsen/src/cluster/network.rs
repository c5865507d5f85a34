//! The network between nodes: each in a namespace of its own, at its own address on a bridge that the harness is on too.
//!
//! Packets between two nodes are dropped where they arrive, one direction at a time, by iptables; clients, at another
//! address, are never cut off. Without the right to make namespaces nodes share the loopback interface, and
//! nothing can be cut: faults that need it are then skipped, which rejects the run.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The interfaces and namespaces of one run; they go when it does.
#[derive(Debug)]
pub struct Network {
    tag: String,
    octet: u8,
    nodes: u64,
    namespaces: bool,
}

impl Network {
    /// Makes the network of `nodes` nodes, numbered from 1.
    pub fn new(nodes: u64) -> Result<Self> {
        sweep(nodes);
        let id = std::process::id();
        // Names of interfaces are at most 15 bytes long.
        let mut network =
            Self { tag: format!("hj{id}"), octet: (id % 250) as u8, nodes, namespaces: true };
        if let Err(error) = network.make() {
            network.remove();
            network.namespaces = false;
            eprintln!("no namespaces, so nothing can be partitioned: {error:#}");
        }
        Ok(network)
    }

    /// Whether packets can be dropped.
    pub fn can_drop(&self) -> bool {
        self.namespaces
    }

    /// The address of a node.
    pub fn address(&self, node: u64) -> Ipv4Addr {
        let first = if self.namespaces { 10 } else { 127 };
        Ipv4Addr::new(first, 213, self.octet, node as u8)
    }

    /// A command that runs `program` as `node`.
    pub fn command(&self, node: u64, program: &str) -> Command {
        // A node must not outlive the harness, however that ends. Both programs become the one they are told to
        // run, so the process id is the node's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if self.namespaces {
            command.args(["ip", "netns", "exec", &self.namespace(node)]);
        }
        command.arg(program);
        command
    }

    /// Drops what `from` sends to `to`.
    pub fn drop_packets(&self, from: u64, to: u64) -> Result<()> {
        let from = self.address(from).to_string();
        self.inside(to, &["-A", "INPUT", "-s", &from, "-j", "DROP"]).map(drop)
    }

    /// Lets everything through again; how many packets were dropped since.
    pub fn heal(&self) -> Result<u64> {
        let mut packets = 0;
        for node in 1..=self.nodes {
            let rules = self.inside(node, &["-L", "INPUT", "-v", "-x", "-n"])?;
            let dropped = rules.lines().filter(|line| line.contains("DROP"));
            let counts =
                dropped.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            packets += counts.sum::<u64>();
            self.inside(node, &["-F", "INPUT"])?;
        }
        Ok(packets)
    }

    fn inside(&self, node: u64, words: &[&str]) -> Result<String> {
        let namespace = self.namespace(node);
        let mut all = vec!["netns", "exec", &namespace, "iptables", "-w"];
        all.extend(words);
        run("ip", &all)
    }

    fn namespace(&self, node: u64) -> String {
        format!("{}n{node}", self.tag)
    }

    fn make(&self) -> Result<()> {
        let ip = |words: &str| run("ip", &words.split(' ').collect::<Vec<_>>()).map(drop);
        let (tag, octet) = (&self.tag, self.octet);
        ip(&format!("link add {tag}b type bridge"))?;
        ip(&format!("addr add 10.213.{octet}.254/24 dev {tag}b"))?;
        ip(&format!("link set {tag}b up"))?;
        for node in 1..=self.nodes {
            let (namespace, address) = (self.namespace(node), self.address(node));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("link add {tag}v{node} type veth peer name {tag}p{node}"))?;
            ip(&format!("link set {tag}p{node} netns {namespace}"))?;
            ip(&format!("link set {tag}v{node} master {tag}b up"))?;
            ip(&format!("-n {namespace} addr add {address}/24 dev {tag}p{node}"))?;
            ip(&format!("-n {namespace} link set {tag}p{node} up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        self.heal().map(drop)
    }

    fn remove(&self) {
        let ip = |words: &str| {
            // What was never made cannot be removed.
            let _absent = run("ip", &words.split(' ').collect::<Vec<_>>());
        };
        for node in 1..=self.nodes {
            ip(&format!("link del {}v{node}", self.tag));
            ip(&format!("netns del {}", self.namespace(node)));
        }
        ip(&format!("link del {}b", self.tag));
    }
}

/// Removes what harnesses left behind that were killed.
fn sweep(nodes: u64) {
    let listed = run("ip", &["netns", "list"]).unwrap_or_default();
    let of_first =
        listed.split_whitespace().filter_map(|name| name.strip_prefix("hj")?.strip_suffix("n1"));
    for id in of_first.filter(|id| !std::path::Path::new("/proc").join(id).exists()) {
        Network { tag: format!("hj{id}"), octet: 0, nodes, namespaces: false }.remove();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.namespaces {
            self.remove();
        }
    }
}

fn run(program: &str, words: &[&str]) -> Result<String> {
    let line = || format!("{program} {}", words.join(" "));
    let output = Command::new(program).args(words).output().with_context(line)?;
    if !output.status.success() {
        bail!("{}: {}", line(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
