//! Reads: what one costs the node that answers it, beside the server without a log, which asks nobody.
//!
//! On the leader a read needs its lease to hold; on a follower, a read index from the leader, which all
//! reads that wait at a time share.

use std::cell::Cell;
use std::time::Duration;

use hallpass_benches::error::{Error, Result};
use hallpass_benches::generator::{Generator, Measurement, Sending, Shape, create_sessions};
use hallpass_benches::requests::Requests;
use hallpass_benches::statistics::{median, median_ratio};
use hallpass_benches::table::{Table, percent, ratio};

use crate::load;
use crate::options::Options;
use crate::system::{self, Kind, System};

const CLIENTS: usize = 50;
const PIPELINES: [usize; 2] = [1, 16];
/// Keys, and sessions.
const STORED: usize = 20_000;
/// So long that no touch is due while this runs.
const IDLE_SECONDS: u64 = 43_200;
const KINDS: [Kind; 4] = [Kind::Memory, Kind::OneNode, Kind::Leader, Kind::Follower];

/// A measurement, and what the answering process alone used.
#[derive(Debug)]
struct Read {
    all: Measurement,
    own_cpu_us: f64,
}

/// Measures reads of keys and validations of sessions.
pub(crate) fn measure(options: &Options) -> Result<Vec<Table>> {
    let systems = system::start(options, &KINDS)?;
    let create = load::create(STORED, IDLE_SECONDS);
    let names: Vec<Vec<u8>> = (0..STORED).map(load::key).collect();
    let (mut gets, mut validations): (Vec<Requests>, Vec<Requests>) = (Vec::new(), Vec::new());
    let mut of_leader = Vec::new();
    for system in &systems {
        let ids = if system.kind == Kind::Follower {
            std::mem::take(&mut of_leader)
        } else {
            let mut generator = Generator::connect(system.port()?, CLIENTS)?;
            generator.send_all(&load::fill(0..STORED), 16)?;
            create_sessions(system.port()?, &create)?
        };
        gets.push(load::each(b"GET", &shuffled(&names)));
        validations.push(load::each(b"SESSION.VALIDATE", &shuffled(&ids)));
        if system.kind == Kind::Leader {
            of_leader = ids;
        }
    }
    let one = |(title, requests): (&str, &Vec<Requests>)| {
        let rounds = rounds(options, &systems, requests)?;
        Ok(table(title, &systems, &rounds))
    };
    [("GET of 400 bytes, 50 clients", &gets), ("SESSION.VALIDATE, 50 clients", &validations)]
        .into_iter()
        .map(one)
        .collect()
}

fn shuffled(names: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut names = names.to_vec();
    fastrand::Rng::with_seed(7).shuffle(&mut names);
    names
}

/// By pipeline, then by system, then by round.
fn rounds(
    options: &Options,
    systems: &[System],
    requests: &[Requests],
) -> Result<Vec<Vec<Vec<Read>>>> {
    let by_system = || systems.iter().map(|_| Vec::new()).collect::<Vec<Vec<Read>>>();
    let mut rounds: Vec<_> = PIPELINES.iter().map(|_| by_system()).collect();
    for round in 1..=options.rounds {
        for (by_system, pipeline) in rounds.iter_mut().zip(PIPELINES) {
            for ((system, requests), reads) in systems.iter().zip(requests).zip(by_system) {
                let read = system::patiently(|| point(options, system, requests, pipeline))?;
                eprintln!(
                    "round {round} pipeline {pipeline:>2} {:<26} {:>7.0}/s {:>6.2} us",
                    system.kind.name(),
                    read.all.throughput,
                    read.own_cpu_us
                );
                reads.push(read);
            }
        }
    }
    Ok(rounds)
}

fn point(options: &Options, system: &System, requests: &Requests, pipeline: usize) -> Result<Read> {
    let mut generator = Generator::connect(system.port()?, CLIENTS)?;
    let shape = Shape { pipeline, sending: Sending::Batch, window: options.window };
    // The generator reads the clock of all processes at both ends of the window: that of one is read with it.
    let own: Cell<(Duration, Duration)> = Cell::default();
    let clock = || {
        own.set((own.get().1, system.own_cpu_time()?));
        system.cpu_time()
    };
    let all = generator.saturate(requests, shape, &clock)?;
    if all.nils > 0 {
        return Err(Error::Refused(format!("nil to {} reads", all.nils)));
    }
    let (first, last) = own.get();
    let own_cpu_us = last.saturating_sub(first).as_secs_f64() * 1e6 / all.requests as f64;
    Ok(Read { all, own_cpu_us })
}

fn table(title: &str, systems: &[System], rounds: &[Vec<Vec<Read>>]) -> Table {
    let heading = [
        "system",
        "pipeline",
        "reads/s",
        "node us/read",
        "to memory",
        "all nodes us/read",
        "servers busy",
        "generator busy",
    ];
    let mut table = Table::new(title, &heading);
    for (by_system, pipeline) in rounds.iter().zip(PIPELINES) {
        let of = |reads: &[Read], field: fn(&Read) -> f64| -> Vec<f64> {
            reads.iter().map(field).collect()
        };
        let memory = by_system.first().map_or_else(Vec::new, |reads| of(reads, |r| r.own_cpu_us));
        for (system, reads) in systems.iter().zip(by_system) {
            let middle = |field| median(&of(reads, field)).unwrap_or_default();
            table.push(vec![
                system.kind.name().to_owned(),
                pipeline.to_string(),
                format!("{:.0}", middle(|r| r.all.throughput)),
                format!("{:.2}", middle(|r| r.own_cpu_us)),
                ratio(median_ratio(&of(reads, |r| r.own_cpu_us), &memory)),
                format!("{:.2}", middle(|r| r.all.server_cpu_us)),
                percent(middle(|r| r.all.server_busy)),
                percent(middle(|r| r.all.generator_busy)),
            ]);
        }
    }
    table
}
