//! The command line: what to measure, for how long, with which server.

use std::path::PathBuf;
use std::time::Duration;

use hallpass_benches::error::{Error, Result};
use hallpass_benches::generator::Window;
use lexopt::prelude::*;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Measures what durability and a cluster of three cost, beside Redis' own, in one run.

Usage: replicated [options] [-- flags for each hallpass-server]

What to measure
  --only LIST        of these                                [all]
       writes        SET and SESSION.CREATE of 400 bytes: 1, 50, 200 clients, and pipelined
       reads         GET and SESSION.VALIDATE on the leader, on a follower and on one node
       touches       bytes of log for each touch, beside those for a SET of 400 bytes
       recovery      time from start to the first answer, by gigabyte of log and of snapshot
       snapshots     writes while a snapshot is taken, beside writes while none is

How long
  --rounds N         interleaved rounds; medians are printed [5]
  --seconds S        measured time of each point             [1]
  --megabytes N      log that is recovered; an eighth of it is held while snapshots are taken [1024]
  --short            3 rounds of 0.15 seconds, and 256 megabytes: a rough picture, quickly

Where
  --server FILE      the server            [hallpass-server, beside this program]
  --server-cores L   cores for all servers                   [all but the last]
  --generator-core N core for the load                       [the last]
  --folder DIR       where the servers keep their logs       [target/replicated]
  --help             this text

Everything on one machine and one disk: three nodes share the processors that three machines would have.
Redis is found on the PATH (apt-get install redis-server); without it Hallpass is measured alone.
";

/// Kinds of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Throughput and cost of writes.
    Writes,
    /// Cost of reads.
    Reads,
    /// Bytes of log for each touch.
    Touches,
    /// Time to start on a log or a snapshot.
    Recovery,
    /// Writes while a snapshot is taken.
    Snapshots,
}

const PARTS: [(&str, Part); 5] = [
    ("writes", Part::Writes),
    ("reads", Part::Reads),
    ("touches", Part::Touches),
    ("recovery", Part::Recovery),
    ("snapshots", Part::Snapshots),
];

/// A parsed command line.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// What to measure.
    pub(crate) parts: Vec<Part>,
    /// Interleaved rounds.
    pub(crate) rounds: usize,
    /// Length of each point.
    pub(crate) window: Window,
    /// Megabytes of log to recover.
    pub(crate) megabytes: u64,
    /// The server.
    pub(crate) server: PathBuf,
    /// Further flags for each of its processes.
    pub(crate) flags: Vec<String>,
    /// Where all servers run.
    pub(crate) server_cores: String,
    /// Where the load is made.
    pub(crate) generator_core: usize,
    /// Where the servers keep their logs.
    pub(crate) folder: PathBuf,
}

/// Reads the command line; `None` where it asks for help.
pub(crate) fn parse() -> Result<Option<Options>> {
    read().map_err(|error| Error::Usage(error.to_string()))
}

fn read() -> std::result::Result<Option<Options>, lexopt::Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let last = cores - 1;
    let beside = std::env::current_exe().unwrap_or_default().with_file_name("hallpass-server");
    let mut options = Options {
        parts: PARTS.iter().map(|(_, part)| *part).collect(),
        rounds: 5,
        window: window(1.0),
        megabytes: 1024,
        server: beside,
        flags: Vec::new(),
        server_cores: format!("0-{}", last.saturating_sub(1)),
        generator_core: last,
        folder: PathBuf::from("target/replicated"),
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("only") => options.parts = parts(&arguments.value()?.string()?)?,
            Long("rounds") => options.rounds = arguments.value()?.parse::<usize>()?.max(1),
            Long("seconds") => options.window = window(arguments.value()?.parse::<f64>()?),
            Long("megabytes") => options.megabytes = arguments.value()?.parse::<u64>()?.max(16),
            Long("short") => {
                (options.rounds, options.window, options.megabytes) = (3, window(0.15), 256);
            }
            Long("server") => options.server = arguments.value()?.into(),
            Long("server-cores") => options.server_cores = arguments.value()?.string()?,
            Long("generator-core") => options.generator_core = arguments.value()?.parse()?,
            Long("folder") => options.folder = arguments.value()?.into(),
            Long("help") | Short('h') => return Ok(None),
            // What follows "--" is not ours.
            Value(flag) => options.flags.push(flag.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

/// A quarter of the time again goes to warming up.
fn window(seconds: f64) -> Window {
    let measured = Duration::from_secs_f64(seconds.clamp(0.01, 3600.0));
    Window { warm_up: (measured / 4).max(Duration::from_millis(100)), measured }
}

fn parts(text: &str) -> std::result::Result<Vec<Part>, lexopt::Error> {
    let part = |name: &str| {
        let known = PARTS.iter().find(|(known, _)| *known == name.trim());
        known.map(|(_, part)| *part).ok_or_else(|| format!("no part is called {name}").into())
    };
    text.split(',').map(part).collect()
}
