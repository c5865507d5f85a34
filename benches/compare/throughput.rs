//! Closed-loop measurements: every connection always busy, what a request costs the server.
//!
//! Rounds are interleaved: each round measures every pipeline depth on every server, one after the
//! other, so that whatever else happens on the machine meets all of them alike.

use std::rc::Rc;

use serde::Serialize;

use crate::options::Options;
use crate::peer::{Kind, Peer};
use crate::server::Server;
use crate::workload::{Keys, Lengths, Load, look_ups};
use hallpass_benches::error::{Error, Result};
use hallpass_benches::generator::{Generator, Measurement, create_sessions};
use hallpass_benches::requests::Requests;
use hallpass_benches::statistics::{median, median_ratio};

/// Loading is not measured: deep pipelines make it short.
const LOAD_PIPELINE: usize = 64;
/// A core that is idle for less than this is called saturated.
const SATURATED: f64 = 0.95;

/// A server and a generator both idle for more than this had to share their cores with others.
const CONTENDED: f64 = 0.9;

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
    requests: Rc<Requests>,
    /// By pipeline, then by round.
    rounds: Vec<Vec<Measurement>>,
}

/// Measures the mix of `GET` and `SETEX` on all `peers`.
pub(crate) fn get_mix(options: &Options, peers: &[Peer]) -> Result<Vec<Point>> {
    let keys = Keys::new(options.keys);
    let requests = Rc::new(keys.get_mix());
    let load = keys.load(Lengths::Session);
    let subjects = peers.iter().map(|peer| {
        let server = loaded(options, peer, &load)?;
        Ok(Subject::new(options, peer, server, Rc::clone(&requests)))
    });
    let mut subjects = successes(peers, subjects);
    drop(load);
    measure(options, &mut subjects)?;
    Ok(points(options, &subjects))
}

/// What a client wants to know of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whose it is: `SESSION.VALIDATE`, a short answer.
    User,
    /// All of it, with its data: `SESSION.GET`.
    Session,
}

/// Measures looking up sessions, which also touches them: in Hallpass as the question says, by
/// `GETEX` elsewhere. The floor's answer is as long as Hallpass's.
pub(crate) fn session_mix(
    options: &Options,
    peers: &[Peer],
    question: Question,
) -> Result<Vec<Point>> {
    let keys = Keys::new(options.keys);
    let reads = Rc::new(keys.touching_reads());
    let load = keys.load(Lengths::Session);
    let create = keys.create_sessions(1);
    let (command, floor_command) = match question {
        Question::User => (&b"SESSION.VALIDATE"[..], &b"SESSION.VALIDATE"[..]),
        Question::Session => (&b"SESSION.GET"[..], &b"GET"[..]),
    };
    let subjects = peers.iter().map(|peer| {
        let (server, requests) = match peer.kind {
            Kind::Floor | Kind::FloorTokio => {
                let ids: Vec<Vec<u8>> = (0..keys.len()).map(floor_id).collect();
                let server = loaded(options, peer, &Load::default())?;
                (server, Rc::new(look_ups(floor_command, &ids)))
            }
            Kind::Hallpass => {
                eprintln!("creating {} sessions in {}", keys.len(), peer.name);
                let server = Server::start(peer, options.server_core, &options.output)?;
                let ids = create_sessions(server.port(), &create.requests)?;
                (server, Rc::new(look_ups(command, &ids)))
            }
            Kind::Valkey | Kind::Redis => (loaded(options, peer, &load)?, Rc::clone(&reads)),
        };
        Ok(Subject::new(options, peer, server, requests))
    });
    let mut subjects = successes(peers, subjects);
    drop((load, create));
    measure(options, &mut subjects)?;
    Ok(points(options, &subjects))
}

/// What could be had; a server that refused is named and left out.
pub(crate) fn successes<T>(peers: &[Peer], all: impl Iterator<Item = Result<T>>) -> Vec<T> {
    let had = peers.iter().zip(all).filter_map(|(peer, result)| match result {
        Ok(value) => Some(value),
        Err(error) => {
            eprintln!("{} is left out: {error}", peer.name);
            None
        }
    });
    had.collect()
}

/// As long as the ids that Hallpass makes: 256 bits in base64url.
fn floor_id(index: usize) -> Vec<u8> {
    format!("{index:043}").into_bytes()
}

/// A server that holds `load`.
pub(crate) fn loaded(options: &Options, peer: &Peer, load: &Load) -> Result<Server> {
    let server = Server::start(peer, options.server_core, &options.output)?;
    if !load.requests.is_empty() {
        eprintln!("loading {} keys into {}", load.requests.len(), peer.name);
        let mut generator = Generator::connect(server.port(), options.connections)?;
        generator.send_all(&load.requests, LOAD_PIPELINE)?;
    }
    Ok(server)
}

impl<'a> Subject<'a> {
    fn new(options: &Options, peer: &'a Peer, server: Server, requests: Rc<Requests>) -> Self {
        Self { peer, server, requests, rounds: vec![Vec::new(); options.pipelines.len()] }
    }
}

fn measure(options: &Options, subjects: &mut [Subject<'_>]) -> Result<()> {
    for round in 1..=options.rounds {
        for (index, pipeline) in options.pipelines.iter().enumerate() {
            for subject in &mut *subjects {
                let mut generator = Generator::connect(subject.server.port(), options.connections)?;
                let shape = options.shape(*pipeline);
                let measured =
                    generator.saturate(&subject.requests, shape, &|| subject.server.cpu_time())?;
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
        (false, false) if server_busy.max(generator_busy) < CONTENDED => "other work",
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
