//! `failover`: how long a cluster of three is without a leader when its leader is killed, as a client sees it
//! that tries again.
//!
//! A client on the leader sends one write after another. The leader gets SIGKILL; the client's
//! connection breaks, it goes to the next node, and tries until a write is acknowledged. What counts is
//! the time from the kill to that. Then the killed node is started again, catches up, and
//! the next round begins when it may vote.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod client;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lexopt::prelude::*;

use client::Retrying;
use hallpass_benches::cluster::{Cluster, NODES};
use hallpass_benches::error::{Error, Result};

const HELP: &str = "\
Kills the leader of a cluster of three again and again, and says how long a client that tries again waits.

Usage: failover [options] [-- flags for each node]

  --rounds N     how often the leader is killed              [20]
  --server FILE  the server    [target/release/hallpass-server]
  --folder DIR   where the nodes keep their logs  [target/failover]
  --help         this text
";

/// Writes that have to be acknowledged before the leader is killed.
const WRITES_BEFORE: u32 = 50;
/// How long a node that was started again keeps its vote to itself, with the default settings and some to spare.
const VOTE_HELD: Duration = Duration::from_millis(1200);

struct Options {
    rounds: usize,
    server: PathBuf,
    folder: PathBuf,
    flags: Vec<String>,
}

fn main() -> ExitCode {
    let options = parse().map_err(|error| Error::Usage(error.to_string()));
    let measured = options.and_then(|options| {
        let Some(options) = options else {
            print!("{HELP}");
            return Ok(());
        };
        measure(&options)
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failover: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse() -> std::result::Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        rounds: 20,
        server: PathBuf::from("target/release/hallpass-server"),
        folder: PathBuf::from("target/failover"),
        flags: Vec::new(),
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("rounds") => options.rounds = arguments.value()?.parse::<usize>()?.max(1),
            Long("server") => options.server = arguments.value()?.into(),
            Long("folder") => options.folder = arguments.value()?.into(),
            Long("help") => return Ok(None),
            // What follows "--" is not ours.
            Value(flag) => options.flags.push(flag.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

fn measure(options: &Options) -> Result<()> {
    let mut cluster = Cluster::start(&options.server, &options.folder, &options.flags, None)?;
    let mut waits = Vec::new();
    for round in 1..=options.rounds {
        let leader = cluster.leader()?;
        let mut client = Retrying::new(cluster.ports(), leader);
        for _ in 0..WRITES_BEFORE {
            client.write()?;
        }
        cluster.kill(leader)?;
        let killed = Instant::now();
        let attempts = client.write()?;
        let wait = killed.elapsed();
        println!(
            "round {round:>2}: node {leader} killed, {:>5} ms, {attempts} attempts",
            wait.as_millis()
        );
        waits.push(wait);
        cluster.restart(leader)?;
        cluster.wait_until_caught_up(leader)?;
        std::thread::sleep(VOTE_HELD);
    }
    waits.sort_unstable();
    let of = |wait: Option<&Duration>| wait.map_or(0, Duration::as_millis);
    println!(
        "{} nodes, leader killed {} times: no answer for {} ms (median), {} ms (least), {} ms (most)",
        NODES,
        waits.len(),
        of(waits.get(waits.len() / 2)),
        of(waits.first()),
        of(waits.last())
    );
    Ok(())
}
