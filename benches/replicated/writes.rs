//! Writes: how many a second, and what one costs all processes that take part in it.

use std::collections::BTreeMap;

use hallpass_benches::error::Result;
use hallpass_benches::generator::{Generator, Measurement, Sending, Shape};
use hallpass_benches::requests::Requests;
use hallpass_benches::statistics::{median, median_ratio};
use hallpass_benches::table::{Table, percent, ratio};

use crate::load::{self, Write};
use crate::options::Options;
use crate::system::{self, Kind, System};

/// Clients, and requests that each has in flight.
const SHAPES: [(usize, usize); 4] = [(1, 1), (50, 1), (200, 1), (50, 16)];
const KINDS: [Kind; 6] =
    [Kind::Memory, Kind::OneNode, Kind::Leader, Kind::Follower, Kind::RedisAlways, Kind::RedisWait];

/// Measurements of a shape on a system, by round.
type Rounds = BTreeMap<(usize, usize), Vec<Measurement>>;

/// Measures both kinds of write on all systems.
pub(crate) fn measure(options: &Options) -> Result<Vec<Table>> {
    let systems = system::start(options, &KINDS)?;
    let one = |(write, title)| {
        let rounds = rounds(options, &systems, write)?;
        Ok(table(title, &systems, &rounds))
    };
    [
        (Write::Set, "SET of 400 bytes"),
        (Write::Create, "SESSION.CREATE with 400 bytes of data; Redis: SETEX of 400 bytes"),
    ]
    .into_iter()
    .map(one)
    .collect()
}

fn rounds(options: &Options, systems: &[System], write: Write) -> Result<Rounds> {
    let hallpass = load::writes(write);
    let redis = load::redis_writes(write, 1, false);
    let waiting = SHAPES.map(|(_, pipeline)| load::redis_writes(write, pipeline, true));
    let mut rounds = Rounds::new();
    for round in 1..=options.rounds {
        for system in systems {
            system.clear()?;
        }
        for (shape, (clients, pipeline)) in SHAPES.into_iter().enumerate() {
            for (index, system) in systems.iter().enumerate() {
                let (requests, extra) = match system.kind {
                    Kind::RedisWait => (&waiting[shape], 1),
                    Kind::RedisAlways => (&redis, 0),
                    _ => (&hallpass, 0),
                };
                let measure = || point(options, system, requests, clients, pipeline, extra);
                let measured = system::patiently(measure)?;
                eprintln!(
                    "round {round} {clients:>3} x {pipeline:>2} {:<26} {:>7.0}/s {:>7.1} us",
                    system.kind.name(),
                    measured.throughput,
                    measured.server_cpu_us
                );
                rounds.entry((shape, index)).or_default().push(measured);
            }
        }
    }
    Ok(rounds)
}

/// One measurement; of each batch `extra` requests are no writes, and do not count.
fn point(
    options: &Options,
    system: &System,
    requests: &Requests,
    clients: usize,
    pipeline: usize,
    extra: usize,
) -> Result<Measurement> {
    let mut generator = Generator::connect(system.port()?, clients)?;
    let (sending, window) = (Sending::Batch, options.window);
    let shape = Shape { pipeline: pipeline + extra, sending, window };
    let mut measured = generator.saturate(requests, shape, &|| system.cpu_time())?;
    let counted = pipeline as f64 / (pipeline + extra) as f64;
    measured.throughput *= counted;
    measured.server_cpu_us /= counted;
    measured.generator_cpu_us /= counted;
    Ok(measured)
}

fn table(title: &str, systems: &[System], rounds: &Rounds) -> Table {
    let heading = [
        "system",
        "clients",
        "pipeline",
        "writes/s",
        "to always",
        "to WAIT",
        "to memory",
        "server us/write",
        "servers busy",
        "generator busy",
    ];
    let mut table = Table::new(title, &heading);
    for (shape, (clients, pipeline)) in SHAPES.into_iter().enumerate() {
        let of = |index: usize, field: fn(&Measurement) -> f64| -> Vec<f64> {
            rounds.get(&(shape, index)).into_iter().flatten().map(field).collect()
        };
        for (index, system) in systems.iter().enumerate() {
            let middle = |field| median(&of(index, field)).unwrap_or_default();
            let to = |kind: Kind| {
                let peer = systems.iter().position(|system| system.kind == kind)?;
                median_ratio(&of(index, |m| m.throughput), &of(peer, |m| m.throughput))
            };
            table.push(vec![
                system.kind.name().to_owned(),
                clients.to_string(),
                pipeline.to_string(),
                format!("{:.0}", middle(|m| m.throughput)),
                ratio(to(Kind::RedisAlways)),
                ratio(to(Kind::RedisWait)),
                ratio(to(Kind::Memory)),
                format!("{:.1}", middle(|m| m.server_cpu_us)),
                percent(middle(|m| m.server_busy)),
                percent(middle(|m| m.generator_busy)),
            ]);
        }
    }
    table
}
