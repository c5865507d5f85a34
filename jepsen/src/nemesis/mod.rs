//! Faults: what is done to a cluster, how it is known to have been done, and how it is undone.
//!
//! Each fault says, when it is over, whether it was `installed`, `skipped` (it could not be tried) or `indeterminate` (it was
//! tried and nothing shows that it took hold). A run needs faults of the first kind.

mod clock;

use std::time::Duration;

use anyhow::{Result, bail};
use fastrand::Rng;

use crate::cluster::{Cluster, NODES};

/// The names of all faults.
pub const NAMES: [&str; 13] = [
    "none",
    "kill-leader",
    "kill-one",
    "kill-all",
    "return-late",
    "pause-leader",
    "isolate-leader",
    "halves",
    "one-way",
    "restart",
    "transfer",
    "clock-skew",
    "clock-jump",
];
/// How long a killed cluster stays down.
const DOWN: Duration = Duration::from_millis(200);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: what a run without faults looks like.
    None,
    /// SIGKILL to the leader.
    KillLeader,
    /// SIGKILL to a node.
    KillOne,
    /// SIGKILL to all nodes at once.
    KillAll,
    /// SIGKILL to all nodes; one stays down while the others go on, and comes back when these die in their turn.
    ReturnLate,
    /// SIGSTOP to the leader for longer than its lease, then SIGCONT.
    PauseLeader,
    /// The leader is cut off from its peers, not from clients.
    IsolateLeader,
    /// A node is cut off from the majority.
    Halves,
    /// Packets between two nodes are dropped in one direction.
    OneWay,
    /// SIGTERM to a node, and a new start.
    Restart,
    /// Leadership is handed to another node; nothing breaks.
    Transfer,
    /// A node's wall clock is off, and its elapsed time runs too fast or too slow.
    ClockSkew,
    /// A node's wall clock jumps ahead and back.
    ClockJump,
}

/// What became of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It took hold.
    Installed,
    /// It could not be tried.
    Skipped,
    /// It was tried; nothing shows that it took hold.
    Indeterminate,
}

impl Held {
    /// As the history says it.
    pub fn name(self) -> &'static str {
        match self {
            Held::Installed => "installed",
            Held::Skipped => "skipped",
            Held::Indeterminate => "indeterminate",
        }
    }

    fn of(held: bool) -> Self {
        if held { Held::Installed } else { Held::Indeterminate }
    }
}

/// A fault under way.
#[derive(Clone, Debug)]
pub struct Installed {
    /// What was done, to whom.
    pub what: String,
    fault: Fault,
    /// How far apart the wall clocks of two nodes may be meanwhile; 0 for faults of another kind.
    pub skew_millis: u64,
    node: u64,
    held: Held,
}

impl Fault {
    /// A fault by its name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Fault::None,
            "kill-leader" => Fault::KillLeader,
            "kill-one" => Fault::KillOne,
            "kill-all" => Fault::KillAll,
            "return-late" => Fault::ReturnLate,
            "pause-leader" => Fault::PauseLeader,
            "isolate-leader" => Fault::IsolateLeader,
            "halves" => Fault::Halves,
            "one-way" => Fault::OneWay,
            "restart" => Fault::Restart,
            "transfer" => Fault::Transfer,
            "clock-skew" => Fault::ClockSkew,
            "clock-jump" => Fault::ClockJump,
            _ => return None,
        })
    }

    /// How long it lasts, of `interval` between one and the next.
    pub fn lasts(self, interval: Duration) -> Duration {
        match self {
            // What these do, they have done.
            Fault::KillAll | Fault::Restart | Fault::Transfer => DOWN,
            // Longer than a lease and an election together, whatever the interval.
            Fault::PauseLeader | Fault::ReturnLate => {
                (interval / 2).max(Duration::from_millis(2200))
            }
            _ => interval / 2,
        }
    }

    /// Does it.
    pub fn install(self, cluster: &mut Cluster, random: &mut Rng) -> Result<Installed> {
        let any = random.u64(1..=NODES);
        let node = match self {
            Fault::KillLeader | Fault::PauseLeader | Fault::IsolateLeader => {
                cluster.await_leader(Duration::from_secs(5))?
            }
            Fault::OneWay | Fault::ClockSkew | Fault::ClockJump if random.bool() => {
                cluster.leader().unwrap_or(any)
            }
            _ => any,
        };
        let others: Vec<u64> = (1..=NODES).filter(|other| *other != node).collect();
        let held = Held::Installed;
        let mut installed =
            Installed { what: String::new(), fault: self, skew_millis: 0, node, held };
        installed.what = match self {
            Fault::None => "nothing".to_owned(),
            Fault::ClockSkew | Fault::ClockJump => {
                let wrong = clock::set_wrong(self == Fault::ClockJump, cluster, node, random)?;
                installed.held = Held::of(wrong.seen);
                installed.skew_millis = wrong.span_millis;
                wrong.what
            }
            Fault::KillLeader | Fault::KillOne => {
                cluster.node(node).kill()?;
                format!("killed node {node}")
            }
            Fault::KillAll => {
                for number in 1..=NODES {
                    cluster.node(number).kill()?;
                }
                "killed all nodes".to_owned()
            }
            Fault::ReturnLate => {
                for number in 1..=NODES {
                    cluster.node(number).kill()?;
                }
                std::thread::sleep(DOWN);
                for other in &others {
                    cluster.start_node(*other)?;
                }
                format!("killed all nodes, and node {node} stays down")
            }
            Fault::PauseLeader => {
                installed.held = Held::of(cluster.node(node).pause()?);
                format!("paused node {node}")
            }
            Fault::Restart => {
                let ended = cluster.node(node).stop()?;
                format!("stopped node {node}: {ended}")
            }
            Fault::Transfer => {
                installed.held = Held::of(transfer(cluster, node));
                format!("handed leadership to node {node}")
            }
            Fault::IsolateLeader | Fault::Halves | Fault::OneWay => {
                if !cluster.network.can_drop() {
                    installed.held = Held::Skipped;
                    return Ok(Installed {
                        what: "needs network namespaces, so root".to_owned(),
                        ..installed
                    });
                }
                cut(self, cluster, node, &others, random)?
            }
        };
        Ok(installed)
    }
}

impl Installed {
    /// The nodes whose processes it ended: no other one may have ended meanwhile.
    pub fn ended(&self) -> Vec<u64> {
        match self.fault {
            Fault::KillAll => (1..=NODES).collect(),
            Fault::KillLeader | Fault::KillOne | Fault::ReturnLate | Fault::Restart => {
                vec![self.node]
            }
            _ => Vec::new(),
        }
    }

    /// Undoes it; whether it had taken hold.
    pub fn heal(self, cluster: &mut Cluster) -> Result<Held> {
        let mut held = self.held;
        match self.fault {
            Fault::None => held = Held::Skipped,
            Fault::ReturnLate => {
                for other in (1..=NODES).filter(|other| *other != self.node) {
                    cluster.node(other).kill()?;
                }
            }
            Fault::PauseLeader => {
                // It is over for the paused leader when the others have another one.
                let replaced = cluster.leader().is_some_and(|leader| leader != self.node);
                held = Held::of(held == Held::Installed && replaced);
            }
            Fault::IsolateLeader | Fault::Halves | Fault::OneWay if held == Held::Installed => {
                held = Held::of(cluster.network.heal()? > 0);
            }
            Fault::ClockSkew | Fault::ClockJump => cluster.node(self.node).set_clock(0, 1000)?,
            _ => {}
        }
        cluster.mend()?;
        Ok(held)
    }
}

/// Cuts connections; says which.
fn cut(
    fault: Fault,
    cluster: &Cluster,
    node: u64,
    others: &[u64],
    random: &mut Rng,
) -> Result<String> {
    if fault != Fault::OneWay {
        for other in others {
            cluster.network.drop_packets(node, *other)?;
            cluster.network.drop_packets(*other, node)?;
        }
        return Ok(format!("node {node} and its peers do not reach each other"));
    }
    let hears = random.bool();
    let chosen = if random.bool() { others } else { &others[..1] };
    for other in chosen {
        let (from, to) = if hears { (node, *other) } else { (*other, node) };
        cluster.network.drop_packets(from, to)?;
    }
    Ok(if hears {
        format!("nodes {chosen:?} do not hear node {node}")
    } else {
        format!("node {node} does not hear nodes {chosen:?}")
    })
}

fn transfer(cluster: &Cluster, to: u64) -> bool {
    let ask = || -> Result<()> {
        let address = cluster.address(to);
        let mut connection = crate::client::Connection::open(address, Duration::from_secs(3))?;
        match connection.call(&["RAFT.TRANSFER", &to.to_string()])? {
            crate::client::Reply::Simple(_) => Ok(()),
            other => bail!("{other:?}"),
        }
    };
    ask().is_ok()
}
