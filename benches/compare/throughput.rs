//! Closed-loop measurements: every connection always busy, what a request costs the server.
//!
//! Rounds are interleaved: each round measures every pipeline depth on every server, one after the
//! other, so that whatever else happens on the machine meets all of them alike.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::generator::{Generator, Measurement};
use crate::options::Options;
use crate::peer::{Kind, Peer};
use crate::server::Server;
use crate::statistics::{median, median_ratio};
use crate::workload::{Keys, Lengths, Requests};

/// Loading is not measured: deep pipelines make it short.
const LOAD_PIPELINE: usize = 64;
/// A core that is idle for less than this is called saturated.
const SATURATED: f64 = 0.95;

/// One server at one pipeline depth.
#[derive(Debug, Serialize)]
pub(crate) struct Point {
    /// Name of the server.
    pub(crate) server: String,
    /// Requests in flight on a connection.
    pub(crate) pipeline: usize,
    /// Medians over the rounds.
    pub(crate) median: Medians,
    /// Server time for a request, as a ratio to Valkey's.
    pub(crate) to_valkey: Option<f64>,
    /// The floor's server time, as a ratio to this server's.
    pub(crate) floor_to_this: Option<f64>,
    /// Every round.
    pub(crate) rounds: Vec<Measurement>,
}

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Medians {
    /// Microseconds a request.
    pub(crate) server_cpu_us: f64,
    /// Microseconds a request.
    pub(crate) generator_cpu_us: f64,
    /// Requests a second.
    pub(crate) throughput: f64,
    /// Share of wall time.
    pub(crate) server_busy: f64,
    /// Share of wall time.
    pub(crate) generator_busy: f64,
    /// Whose core was the limit.
    pub(crate) saturated: &'static str,
}

/// A loaded server and what it will be asked.
#[derive(Debug)]
struct Subject<'a> {
    peer: &'a Peer,
    server: Server,
    requests: &'a Requests,
    /// By pipeline, then by round.
    rounds: Vec<Vec<Measurement>>,
}

/// Measures the mix of `GET` and `SETEX` on all `peers`.
pub(crate) fn get_mix(options: &Options, peers: &[Peer]) -> Result<Vec<Point>> {
    let keys = Keys::new(options.keys);
    let requests = keys.get_mix();
    let (load, _) = keys.load(Lengths::Session);
    let mut subjects = Vec::new();
    for peer in peers {
        eprintln!("loading {} keys into {}", keys.len(), peer.name);
        let server = Server::start(peer, options.server_core, &options.output)?;
        Generator::connect(&server, options.connections)?.send_all(&load, LOAD_PIPELINE)?;
        let rounds = vec![Vec::new(); options.pipelines.len()];
        subjects.push(Subject { peer, server, requests: &requests, rounds });
    }
    drop(load);
    measure(options, &mut subjects)?;
    Ok(points(options, &subjects))
}

fn measure(options: &Options, subjects: &mut [Subject<'_>]) -> Result<()> {
    for round in 1..=options.rounds {
        for (index, pipeline) in options.pipelines.iter().enumerate() {
            for subject in &mut *subjects {
                let mut generator = Generator::connect(&subject.server, options.connections)?;
                let measured = generator.saturate(
                    subject.requests,
                    *pipeline,
                    options.window,
                    &subject.server,
                )?;
                eprintln!(
                    "round {round} pipeline {pipeline:>2} {:<10} {:>6.2} us/request {:>9.0}/s",
                    subject.peer.name, measured.server_cpu_us, measured.throughput
                );
                if measured.nils > 0 {
                    return Err(Error::Refused(format!("nil to {} reads", measured.nils)));
                }
                subject.rounds[index].push(measured);
            }
        }
    }
    Ok(())
}

fn points(options: &Options, subjects: &[Subject<'_>]) -> Vec<Point> {
    let mut points = Vec::new();
    for (index, pipeline) in options.pipelines.iter().enumerate() {
        let cpu_of = |kind: Kind| {
            let subject = subjects.iter().find(|subject| subject.peer.kind == kind);
            subject.map_or_else(Vec::new, |found| server_cpu(&found.rounds[index]))
        };
        let (floor, valkey) = (cpu_of(Kind::Floor), cpu_of(Kind::Valkey));
        for subject in subjects {
            let own = server_cpu(&subject.rounds[index]);
            points.push(Point {
                server: subject.peer.name.clone(),
                pipeline: *pipeline,
                median: medians(&subject.rounds[index]),
                to_valkey: median_ratio(&own, &valkey),
                floor_to_this: median_ratio(&floor, &own),
                rounds: subject.rounds[index].clone(),
            });
        }
    }
    points
}

fn server_cpu(rounds: &[Measurement]) -> Vec<f64> {
    rounds.iter().map(|round| round.server_cpu_us).collect()
}

fn medians(rounds: &[Measurement]) -> Medians {
    let of = |field: fn(&Measurement) -> f64| {
        median(&rounds.iter().map(field).collect::<Vec<_>>()).unwrap_or_default()
    };
    let (server_busy, generator_busy) = (of(|r| r.server_busy), of(|r| r.generator_busy));
    let saturated = match (server_busy >= SATURATED, generator_busy >= SATURATED) {
        (true, true) => "both",
        (true, false) => "server",
        (false, true) => "generator",
        (false, false) => "neither",
    };
    Medians {
        server_cpu_us: of(|round| round.server_cpu_us),
        generator_cpu_us: of(|round| round.generator_cpu_us),
        throughput: of(|round| round.throughput),
        server_busy,
        generator_busy,
        saturated,
    }
}
