//! The power goes after every single disk operation of random schedules, in every way it can go.
//!
//! What was acknowledged must be there; of the rest, a prefix may be. Then the log goes on and crashes
//! once more. `HALLPASS_CASES=2000 cargo test -p hallpass-server cluster::log` runs more schedules.

use std::sync::Arc;

use fastrand::Rng;

use super::model::{Driven, Model, Step, found, schedule};
use super::{bytes, open, roomy, small};
use crate::cluster::disk::{Remains, SimulatedDisk};
use crate::cluster::log::{Log, LogOptions};

const WAYS: [Remains; 4] =
    [Remains::Nothing, Remains::Prefix, Remains::Blocks, Remains::Everything];

fn cases(usual: u64) -> u64 {
    std::env::var("HALLPASS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

/// What a life of a log ended with: all its moments, and how many of them were acknowledged.
struct Ended {
    states: Vec<Model>,
    acknowledged: usize,
    committed: std::ops::RangeInclusive<u64>,
}

/// Opens the log and does the steps until the power goes. Checks what it finds against `before`.
fn live(disk: &SimulatedDisk, options: &LogOptions, before: &Ended, steps: &[Step]) -> Ended {
    let Ok((log, recovered)) = Log::open(Arc::new(disk.clone()), options.clone()) else {
        // The power went while it was opened, which must not have changed what there is.
        return Ended {
            states: before.states.clone(),
            acknowledged: before.acknowledged,
            committed: before.committed.clone(),
        };
    };
    let (model, committed) = found(&log, &recovered);
    let possible = before.states.get(before.acknowledged..).unwrap_or_default();
    assert!(possible.contains(&model), "found {model:?}, possible are {possible:?}");
    assert!(before.committed.contains(&committed), "{committed} in {:?}", before.committed);
    let mut driven = Driven::new(log, model, committed);
    driven.run(steps);
    Ended {
        acknowledged: driven.acknowledged(),
        committed: driven.committed_at_least..=driven.committed,
        states: std::mem::take(&mut driven.states),
    }
}

fn nothing_yet() -> Ended {
    Ended { states: vec![Model::default()], acknowledged: 0, committed: 0..=0 }
}

/// Runs the steps with the power cut after `operations`, then again after as many in the second life.
fn cut(seed: u64, options: &LogOptions, steps: &[Step], operations: u64, remains: Remains) {
    let disk = SimulatedDisk::new(seed ^ operations);
    disk.cut_power_after(operations);
    let ended = live(&disk, options, &nothing_yet(), steps);
    let disk = disk.crash(remains);
    disk.cut_power_after(disk.operations() + operations % 23);
    let ended = live(&disk, options, &ended, steps);
    // After a process died, its successor must have made durable what it found and built on.
    let disk = disk.crash(if remains == Remains::Everything { Remains::Nothing } else { remains });
    let ended = live(&disk, options, &ended, &[]);
    assert_eq!(ended.states.len(), 1);
    live(&disk, options, &ended, steps);
}

fn cut_everywhere(seed: u64, steps: &[Step]) {
    for options in &[small(), roomy()] {
        let disk = SimulatedDisk::new(seed);
        live(&disk, options, &nothing_yet(), steps);
        for operations in 0..=disk.operations() {
            for remains in WAYS {
                cut(seed, options, steps, operations, remains);
            }
        }
    }
}

#[test]
fn power_cuts_lose_nothing_acknowledged() {
    for seed in 0..cases(12) {
        let steps = schedule(&mut Rng::with_seed(seed), 24);
        cut_everywhere(seed, &steps);
    }
}

#[test]
fn truncating_and_appending_over_it_survives_power_cuts() {
    let payloads = |text: &str, count| vec![bytes(text); count];
    let steps = [
        Step::Append(payloads("old", 12)),
        Step::Batch,
        Step::Truncate(8),
        Step::Append(payloads("new", 3)),
        Step::Batch,
        Step::Truncate(1),
        Step::Batch,
        Step::Append(payloads("newest", 9)),
        Step::Batch,
    ];
    for seed in 0..cases(5) {
        cut_everywhere(seed, &steps);
    }
}

#[test]
fn purging_across_segments_survives_power_cuts() {
    let steps = [
        Step::Vote,
        Step::Append(vec![bytes("twenty bytes of data"); 30]),
        Step::Committed,
        Step::Batch,
        Step::Purge(4),
        Step::Batch,
        Step::Purge(18),
        Step::Append(vec![bytes("more"); 2]),
        Step::Batch,
        Step::Purge(100),
        Step::Batch,
        Step::Append(vec![bytes("after"); 2]),
        Step::Batch,
    ];
    for seed in 0..cases(5) {
        cut_everywhere(seed, &steps);
    }
}

#[test]
fn removals_that_come_back_are_removed_again() {
    let disk = SimulatedDisk::new(5);
    let (log, _) = open(&disk);
    super::append(&log, 0..60);
    let many = disk.content();
    assert!(many.len() > 5, "{} segments", many.len());
    log.purge_through(55, bytes("marker"), super::well);
    log.write_batch();
    let few = disk.content().len();
    assert!(few <= 3, "{few} segments are left");
    drop(log);
    // Any of the removed files may be there again, when the directory was not synced.
    for missing in 0..many.len() - few {
        let disk = super::copy(&disk);
        for (_, (name, bytes)) in
            many.iter().enumerate().filter(|(place, _)| place % (missing + 1) == 0)
        {
            if !disk.content().contains_key(name) {
                disk.put(name, bytes);
            }
        }
        let (log, recovered) = open(&disk);
        assert_eq!(recovered.purged, Some((55, bytes("marker"))));
        assert_eq!(super::indexes(&log), [56, 57, 58, 59]);
        assert!(disk.content().len() <= few);
    }
}

#[test]
fn random_schedules_without_a_crash_are_found_again_whole() {
    for seed in 0..cases(100) {
        let mut random = Rng::with_seed(seed);
        let disk = SimulatedDisk::new(seed);
        let (mut model, mut committed) = (Model::default(), 0);
        for _ in 0..6 {
            let (log, recovered) = open(&disk);
            assert_eq!(found(&log, &recovered), (model, committed));
            assert_eq!(recovered.torn_bytes, 0);
            let mut driven = Driven::new(log, Model::default(), committed);
            let (beginning, _) = found(&driven.log, &recovered);
            driven.states = vec![beginning];
            assert!(driven.run(&schedule(&mut random, 30)));
            assert_eq!(driven.acknowledged(), driven.states.len() - 1);
            model = driven.newest().clone();
            committed = driven.committed;
        }
        let bound = small().segment_bytes_max as usize;
        let largest = disk.content().values().map(Vec::len).max();
        assert!(largest < Some(bound + 1000), "{largest:?}");
    }
}
