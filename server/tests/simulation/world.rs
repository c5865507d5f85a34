//! One run: machines, clients and faults under one clock, from the cluster's beginning to its judgement.
//!
//! First the cluster settles. Then things fail while clients go on. Then everything is mended, and now
//! each node must serve, all must agree, and the history must be one that a correct store could have.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use hallpass_server::cluster::simulation::{Network, applied_stamp, is_settled};

use crate::chaos::{CLOCK_ERROR_MILLIS, CLOCK_ERROR_USUAL_MILLIS, Chaos};
use crate::clock::{SkewedClock, Time};
use crate::machine::{Machine, Site};
use crate::oracle::{self, ClockErrors};
use crate::trace::Trace;
use crate::workload::Workload;

/// How long the cluster may take to settle, at first and when all is mended.
const SETTLE_MILLIS: u64 = 30_000;
/// How often the last reads are made at the most, and how long they are waited for.
const LAST_READS_MAX: usize = 5;
const PATIENCE_MILLIS: u64 = 1_600;
/// How long one node may be started after another.
const START_APART_MILLIS: u64 = 300;
/// How long things fail.
const CHAOS_MILLIS: std::ops::Range<u64> = 5_000..12_000;

/// Set when anything in the process panics: a task's panic is otherwise kept from everybody.
pub(crate) static PANICKED: AtomicBool = AtomicBool::new(false);

/// What came of a run.
pub(crate) struct Outcome {
    /// What is wrong; nothing in a good run.
    pub(crate) wrongs: Vec<String>,
    /// Events, and their sum.
    pub(crate) trace: (u64, u64),
    /// Requests and answers.
    pub(crate) requests: usize,
    pub(crate) answers: usize,
    /// Simulated milliseconds.
    pub(crate) millis: u64,
}

struct World {
    time: Time,
    network: Network,
    machines: Vec<Machine>,
    chaos: Chaos,
    workload: Workload,
    random: Rng,
    trace: Trace,
    /// Requests that a node gets in a thousand milliseconds.
    rate: u64,
    /// Whether there has been a leader.
    begun: bool,
}

/// Runs a seed.
pub(crate) fn run(seed: u64, trace: Option<&str>) -> Outcome {
    let mut world = World::new(seed, Trace::new(trace));
    let wrongs = match world.live() {
        Ok(()) => world.judge(),
        Err(wrong) => {
            let mut wrongs = world.judge();
            wrongs.push(wrong);
            wrongs
        }
    };
    for wrong in &wrongs {
        world.trace.note(format_args!("wrong: {wrong}"));
    }
    world.trace.flush();
    let records = world.workload.history.records();
    Outcome {
        wrongs,
        trace: world.trace.sum(),
        requests: records.len(),
        answers: records.iter().filter(|record| record.answered.is_some()).count(),
        millis: world.time.now(),
    }
}

impl World {
    fn new(seed: u64, trace: Trace) -> Self {
        let mut random = Rng::with_seed(seed);
        let count = if random.u8(..4) == 0 { 5 } else { 3 };
        let addresses: BTreeMap<u64, String> =
            (1..=count).map(|node| (node, format!("node-{node}"))).collect();
        let (time, network) = (Time::default(), Network::new(random.u64(..), &addresses));
        let site = Site {
            time: &time,
            network: &network,
            initial: &addresses,
            snapshot_bytes: random.u64(1..20_000),
        };
        let mut machines = Vec::new();
        for (node, address) in &addresses {
            // Clocks are wrong by what the cluster takes; some fault may set one wrong by more.
            let offset = random.i64(-CLOCK_ERROR_USUAL_MILLIS..=CLOCK_ERROR_USUAL_MILLIS);
            let (drift, beginning) = (random.i64(-10..=10), random.u64(1_000_000..2_000_000));
            let clock = SkewedClock::new(time.clone(), offset, drift, beginning);
            machines.push(Machine::new(*node, address.clone(), clock, &site, random.u64(..)));
        }
        let (chaos, mut workload) =
            (Chaos::new(random.u64(..), &network), Workload::new(random.u64(..)));
        workload.interrupted_permille = if random.bool() { random.u64(..5) } else { 0 };
        let rate = random.u64(10..150);
        Self { time, network, machines, chaos, workload, random, trace, rate, begun: false }
    }

    fn live(&mut self) -> Result<(), String> {
        // Nodes are not started at once: the first ones ask those that are not there yet.
        for position in 0..self.machines.len() {
            self.machines[position].start();
            for _ in 0..self.random.u64(..START_APART_MILLIS) {
                self.step(false)?;
            }
        }
        self.settle("at the beginning")?;
        let chaos_ends = self.time.now() + self.random.u64(CHAOS_MILLIS);
        while self.time.now() < chaos_ends {
            let (mut told, now) = (Vec::new(), self.time.now());
            self.chaos.step(now, &mut self.machines, &mut told);
            self.tell(&told);
            self.step(true)?;
        }
        let (mut told, now) = (Vec::new(), self.time.now());
        self.chaos.end(now, &mut self.machines, &mut told);
        self.workload.interrupted_permille = 0;
        self.tell(&told);
        self.settle("with all mended")?;
        self.read_everything()?;
        self.converge()
    }

    fn tell(&mut self, told: &[String]) {
        for event in told {
            self.trace.note(format_args!("{} {event}", self.time.now()));
        }
    }

    /// One millisecond.
    fn step(&mut self, requests: bool) -> Result<(), String> {
        let now = self.time.now() + 1;
        self.time.set(now);
        for delivery in self.network.deliver(now) {
            self.trace.note(format_args!("{now} {delivery:?}"));
        }
        let mut told = Vec::new();
        self.chaos.mend(now, &mut self.machines, &mut told);
        self.tell(&told);
        let first = self.random.usize(..self.machines.len());
        for turn in 0..self.machines.len() {
            let position = (first + turn) % self.machines.len();
            if requests && self.random.u64(..1000) < self.rate {
                let machine = &self.machines[position];
                // One that stands still finds what was asked meanwhile when it goes on.
                if machine.is_running() {
                    self.workload.step(machine);
                }
            }
            self.tick(position)?;
        }
        if PANICKED.load(Ordering::Relaxed) {
            return Err("a panic".to_owned());
        }
        Ok(())
    }

    fn tick(&mut self, position: usize) -> Result<(), String> {
        let now = self.time.now();
        let machine = &mut self.machines[position];
        if !machine.is_awake() {
            return Ok(());
        }
        let node = machine.node;
        if let Err(why) = machine.tick() {
            self.trace.note(format_args!("{now} node {node} ends: {why}"));
            if !machine.disk_faulty {
                return Err(format!("node {node} gave up at {now} without a reason: {why}"));
            }
            self.chaos.disk_failed(now, machine);
            return Ok(());
        }
        let Some(cluster) = machine.cluster() else { return Ok(()) };
        if self.random.u64(..1000) < 20 {
            let _swept = cluster.engine().sweep(applied_stamp(cluster), 1000);
        }
        let (status, written) = (cluster.status(), machine.disks[1].operations());
        let (applied, leader, term) = (status.applied, status.leader, status.term);
        self.trace.note(format_args!("{now} {node} {term} {leader:?} {applied} {written}"));
        if leader.is_some() && !self.begun {
            self.begun = true;
            return self.all_may_vote();
        }
        Ok(())
    }

    /// From the first leader on, any one node may be missed: so all must be able to vote by then.
    fn all_may_vote(&self) -> Result<(), String> {
        let settled = |machine: &Machine| machine.cluster().is_some_and(|node| is_settled(node));
        match self.machines.iter().find(|machine| !settled(machine)) {
            Some(machine) => {
                Err(format!("node {} had no vote yet at the first election", machine.node))
            }
            None => Ok(()),
        }
    }

    /// Goes on until each node has answered a write and a read that were asked for from now on.
    fn settle(&mut self, when: &str) -> Result<(), String> {
        let until = self.time.now() + SETTLE_MILLIS;
        let mut waiting: BTreeMap<u64, Vec<[usize; 2]>> =
            self.machines.iter().map(|machine| (machine.node, Vec::new())).collect();
        while !waiting.is_empty() {
            let now = self.time.now();
            if now >= until {
                let nodes: Vec<&u64> = waiting.keys().collect();
                return Err(format!("no progress {when}: nodes {nodes:?} do not serve at {now}"));
            }
            if now.is_multiple_of(200) {
                for machine in self.machines.iter().filter(|machine| machine.is_awake()) {
                    if let Some(probes) = waiting.get_mut(&machine.node) {
                        probes.push(self.workload.probe(machine));
                    }
                }
            }
            self.step(false)?;
            if now.is_multiple_of(50) {
                let records = self.workload.history.records();
                let served = |probe: &[usize; 2]| {
                    probe.iter().all(|number| records[*number].answered.is_some())
                };
                waiting.retain(|_, probes| !probes.iter().any(served));
            }
        }
        Ok(())
    }

    /// Reads everything on every node, again until every read of a round is answered.
    fn read_everything(&mut self) -> Result<(), String> {
        let mut unanswered = None;
        for _ in 0..LAST_READS_MAX {
            let first = self.workload.history.records().len();
            for machine in &self.machines {
                self.workload.read_all(machine);
            }
            for _ in 0..PATIENCE_MILLIS {
                self.step(false)?;
            }
            let records = self.workload.history.records();
            unanswered = records.into_iter().skip(first).find(|record| record.answered.is_none());
            if unanswered.is_none() {
                return Ok(());
            }
        }
        Err(format!("a last read was not answered: {unanswered:?}"))
    }

    /// Goes on until all nodes have applied the same entries: they must then hold the same.
    fn converge(&mut self) -> Result<(), String> {
        for _ in 0..10_000 {
            self.step(false)?;
            let nodes: Vec<_> =
                self.machines.iter().filter_map(|machine| machine.cluster()).collect();
            let applied: Vec<u64> = nodes.iter().map(|node| node.status().applied).collect();
            if nodes.len() < self.machines.len() || applied.iter().any(|index| *index != applied[0])
            {
                continue;
            }
            let stamp = nodes.iter().map(|node| applied_stamp(node)).max().unwrap_or_default();
            let digests: Vec<u128> = nodes.iter().map(|node| node.engine().digest(stamp)).collect();
            if digests.iter().any(|digest| *digest != digests[0]) {
                return Err(format!("nodes differ after entry {}: {digests:x?}", applied[0]));
            }
            return Ok(());
        }
        Err("the nodes do not come to have applied the same".to_owned())
    }

    fn judge(&self) -> Vec<String> {
        let clocks = ClockErrors { least: -CLOCK_ERROR_MILLIS, most: CLOCK_ERROR_MILLIS };
        oracle::judge(&self.workload.history.records(), clocks)
    }
}
