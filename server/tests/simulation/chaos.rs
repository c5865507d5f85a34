//! What fails, and when: drawn from the seed, and mended after a while.
//!
//! Every fault is one that the cluster must survive without forgetting or inventing anything. It need not
//! be able to answer meanwhile; once all is mended, it must.

use std::ops::Range;

use fastrand::Rng;
use hallpass_server::cluster::Cluster;
use hallpass_server::cluster::disk::Remains;
use hallpass_server::cluster::simulation::{Cut, Network, Weather};

use crate::machine::{End, Machine, Stillness};

/// How far a wall clock is off at the most, in milliseconds.
pub(crate) const CLOCK_ERROR_MILLIS: i64 = 700;

/// How far it is off without a fault.
pub(crate) const CLOCK_ERROR_USUAL_MILLIS: i64 = 200;

/// Faults as they come and go.
pub(crate) struct Chaos {
    random: Rng,
    network: Network,
    next_at: u64,
    cuts: Vec<(u64, Cut)>,
    weather_until: u64,
    slow_disks: Vec<(u64, u64)>,
    /// Machines that are off, and when they are switched on.
    off: Vec<(u64, u64)>,
    /// Which kinds this run has: some runs are about few.
    kinds: Vec<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Isolate,
    OneWay,
    Split,
    Kill,
    PowerLoss,
    PowerLossOfAll,
    Stop,
    Suspend,
    Clock,
    Weather,
    SlowDisk,
    DiskFault,
    Transfer,
}

const KINDS: [Kind; 13] = [
    Kind::Isolate,
    Kind::OneWay,
    Kind::Split,
    Kind::Kill,
    Kind::PowerLoss,
    Kind::PowerLossOfAll,
    Kind::Stop,
    Kind::Suspend,
    Kind::Clock,
    Kind::Weather,
    Kind::SlowDisk,
    Kind::DiskFault,
    Kind::Transfer,
];

impl Chaos {
    pub(crate) fn new(seed: u64, network: &Network) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut kinds: Vec<Kind> = KINDS.into_iter().filter(|_| random.u8(..3) > 0).collect();
        if kinds.is_empty() {
            kinds = KINDS.to_vec();
        }
        Self {
            random,
            network: network.clone(),
            next_at: 0,
            cuts: Vec::new(),
            weather_until: 0,
            slow_disks: Vec::new(),
            off: Vec::new(),
            kinds,
        }
    }

    /// Begins faults. What it did is told, for the trace.
    pub(crate) fn step(&mut self, now: u64, machines: &mut [Machine], tell: &mut Vec<String>) {
        if now < self.next_at {
            return;
        }
        self.next_at = now + self.random.u64(100..1200);
        let kind = self.kinds[self.random.usize(..self.kinds.len())];
        self.begin(kind, now, machines, tell);
    }

    /// Ends all faults.
    pub(crate) fn end(&mut self, now: u64, machines: &mut [Machine], tell: &mut Vec<String>) {
        self.cuts.clear();
        self.weather_until = 0;
        self.slow_disks.iter_mut().for_each(|(until, _)| *until = 0);
        self.off.iter_mut().for_each(|(until, _)| *until = 0);
        self.network.set_cuts(Vec::new());
        self.network.set_weather(fair());
        for disk in machines.iter().flat_map(|machine| &machine.disks) {
            // Faults that have not happened do not happen any more.
            disk.cut_power_after(u64::MAX);
            disk.fail_sync_after(1 << 60);
        }
        for machine in machines.iter() {
            let usual = -CLOCK_ERROR_USUAL_MILLIS..=CLOCK_ERROR_USUAL_MILLIS;
            machine.clock.set_offset(self.random.i64(usual));
        }
        self.mend(now, machines, tell);
    }

    /// A machine has gone off, and comes back by itself.
    pub(crate) fn went_off(&mut self, now: u64, node: u64) {
        self.off.push((now + self.random.u64(50..2000), node));
    }

    /// Ends the faults that are over.
    pub(crate) fn mend(&mut self, now: u64, machines: &mut [Machine], tell: &mut Vec<String>) {
        let cuts = self.cuts.len();
        self.cuts.retain(|(until, _)| *until > now);
        if self.cuts.len() != cuts {
            self.apply_cuts();
            tell.push(format!("{} cuts are left", self.cuts.len()));
        }
        if self.weather_until == now {
            self.network.set_weather(fair());
        }
        for (_, node) in self.slow_disks.extract_if(.., |(until, _)| *until <= now) {
            self.network.set_sync_millis(node, 1..3);
        }
        for (_, node) in self.off.extract_if(.., |(until, _)| *until <= now) {
            if let Some(machine) = machines.iter_mut().find(|machine| machine.node == node)
                && !machine.is_running()
            {
                machine.start();
                tell.push(format!("node {node} starts"));
            }
        }
    }

    fn apply_cuts(&self) {
        self.network.set_cuts(self.cuts.iter().map(|(_, cut)| *cut).collect());
    }

    fn cut(&mut self, until: u64, from: u64, to: u64) {
        self.cuts.push((until, Cut { from, to }));
    }

    fn some<'m>(&mut self, machines: &'m mut [Machine]) -> Option<&'m mut Machine> {
        // The leader twice as often as it would come up: most of what can go wrong is with it.
        let leader = machines
            .iter()
            .find_map(|machine| machine.cluster().and_then(|cluster| cluster.status().leader));
        let count = machines.len();
        let any = self.random.usize(..count);
        let chosen = match leader {
            Some(leader) if self.random.bool() => {
                machines.iter().position(|machine| machine.node == leader).unwrap_or(any)
            }
            _ => any,
        };
        machines.get_mut(chosen)
    }

    fn remains(&mut self) -> Remains {
        [Remains::Nothing, Remains::Prefix, Remains::Blocks][self.random.usize(..3)]
    }

    fn time(&mut self, now: u64, range: Range<u64>) -> u64 {
        now + self.random.u64(range)
    }

    fn begin(&mut self, kind: Kind, now: u64, machines: &mut [Machine], tell: &mut Vec<String>) {
        let others = |node: u64, machines: &[Machine]| -> Vec<u64> {
            machines.iter().map(|machine| machine.node).filter(|other| *other != node).collect()
        };
        let Some(machine) = self.some(machines) else { return };
        let node = machine.node;
        tell.push(format!("{kind:?} of node {node}"));
        match kind {
            Kind::Isolate => {
                let until = self.time(now, 200..3000);
                for other in others(node, machines) {
                    self.cut(until, node, other);
                    self.cut(until, other, node);
                }
                self.apply_cuts();
            }
            Kind::OneWay => {
                let until = self.time(now, 200..3000);
                let outward = self.random.bool();
                for other in others(node, machines) {
                    if self.random.u8(..4) > 0 {
                        let (from, to) = if outward { (node, other) } else { (other, node) };
                        self.cut(until, from, to);
                    }
                }
                self.apply_cuts();
            }
            Kind::Split => {
                let until = self.time(now, 200..3000);
                let half: Vec<bool> = machines.iter().map(|_| self.random.bool()).collect();
                for (one, one_half) in machines.iter().zip(&half) {
                    for (other, other_half) in machines.iter().zip(&half) {
                        if one_half != other_half {
                            self.cut(until, one.node, other.node);
                        }
                    }
                }
                self.apply_cuts();
            }
            Kind::Kill | Kind::PowerLoss => {
                let remains = self.remains();
                let end = if kind == Kind::Kill { End::Killed } else { End::PowerLoss(remains) };
                self.switch_off(now, machine_of(machines, node), end);
            }
            Kind::PowerLossOfAll => {
                for machine in machines.iter_mut() {
                    let remains = self.remains();
                    self.switch_off(now, Some(machine), End::PowerLoss(remains));
                }
            }
            Kind::Stop | Kind::Suspend => {
                let how =
                    if kind == Kind::Stop { Stillness::Stopped } else { Stillness::Suspended };
                let millis = self.random.u64(20..4000);
                if let Some(machine) = machine_of(machines, node) {
                    machine.stand_still(millis, how);
                }
            }
            Kind::Clock => {
                let offset = self.random.i64(-CLOCK_ERROR_MILLIS..=CLOCK_ERROR_MILLIS);
                if let Some(machine) = machine_of(machines, node) {
                    machine.clock.set_offset(offset);
                }
            }
            Kind::Weather => {
                self.weather_until = self.time(now, 200..3000);
                let most = self.random.u64(2..80);
                self.network.set_weather(Weather {
                    delay_millis: 1..most,
                    lost_permille: self.random.u64(..100),
                    again_millis: 20..400,
                });
            }
            Kind::SlowDisk => {
                let until = self.time(now, 200..3000);
                let most = self.random.u64(5..300);
                self.slow_disks.push((until, node));
                self.network.set_sync_millis(node, 1..most);
            }
            Kind::DiskFault => {
                let (which, after) = (self.random.usize(..2), self.random.u64(..30));
                let power = self.random.bool();
                if let Some(machine) = machine_of(machines, node) {
                    let disk = &machine.disks[which];
                    machine.disk_faulty = true;
                    if power {
                        disk.cut_power_after(disk.operations() + after);
                    } else {
                        disk.fail_sync_after(after);
                    }
                }
            }
            Kind::Transfer => {
                let to = machines[self.random.usize(..machines.len())].node;
                if let Some(cluster) =
                    machine_of(machines, node).and_then(|machine| machine.cluster())
                {
                    // How it ends is seen by what comes after.
                    drop(Cluster::transfer(cluster, to));
                }
            }
        }
    }

    fn switch_off(&mut self, now: u64, machine: Option<&mut Machine>, end: End) {
        if let Some(machine) = machine.filter(|machine| machine.may_end()) {
            machine.end(end);
            let node = machine.node;
            self.went_off(now, node);
        }
    }

    /// How a machine's disk ends it.
    pub(crate) fn disk_failed(&mut self, now: u64, machine: &mut Machine) {
        let remains = self.remains();
        machine.end(End::PowerLoss(remains));
        self.went_off(now, machine.node);
    }
}

fn machine_of(machines: &mut [Machine], node: u64) -> Option<&mut Machine> {
    machines.iter_mut().find(|machine| machine.node == node)
}

fn fair() -> Weather {
    Weather { delay_millis: 1..3, lost_permille: 0, again_millis: 0..1 }
}
