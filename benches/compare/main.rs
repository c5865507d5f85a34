//! `compare`: Hallpass, its peers and the limit, measured in one run on one machine.
//!
//! The way through: `options` says what to do, `peer` finds the programs, `server` runs them,
//! `workload` encodes the requests, `generator` sends them and `reply` counts the answers;
//! `throughput` makes measurements of it and `table` prints them. `floor` is the limit: a
//! server that stores nothing, run by this same program.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod error;
mod floor;
mod generator;
mod memory;
mod options;
mod peer;
mod reply;
mod report;
mod server;
mod statistics;
mod table;
mod throughput;
mod workload;

use std::fs;
use std::process::ExitCode;

use error::{Context, Error, Result};
use options::{Command, Mode, Options};
use report::Report;
use rustix::thread::{CpuSet, sched_setaffinity};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    match options::parse(std::env::args_os().skip(1))? {
        Command::Help => {
            print!("{}", options::HELP);
            Ok(())
        }
        Command::Floor(port) => {
            let mut floor = floor::Floor::bind(port).context("listening")?;
            floor.serve().context("serving")
        }
        Command::Compare(options) => compare(&options),
    }
}

fn compare(options: &Options) -> Result<()> {
    let (peers, missing) = peer::find(&options.servers, &options.builds);
    for line in &missing {
        eprintln!("{line}");
    }
    if peers.is_empty() {
        return Err(Error::NoServers);
    }
    for peer in &peers {
        eprintln!("{}: {}", peer.name, peer.version);
    }
    fs::create_dir_all(&options.output).context(options.output.display().to_string())?;
    let mut core = CpuSet::new();
    core.set(options.generator_core);
    sched_setaffinity(None, &core)
        .context(format!("running the generator on core {}", options.generator_core))?;
    let mut report = Report { servers: peers.clone(), ..Report::default() };
    for mode in &options.modes {
        let table = match mode {
            Mode::Get => {
                report.get = throughput::get_mix(options, &peers)?;
                table::throughput("95 % GET, 5 % SETEX", &report.get)
            }
            Mode::Session => {
                report.session = throughput::session_mix(options, &peers)?;
                table::throughput("SESSION.VALIDATE or GETEX", &report.session)
            }
            Mode::Memory => {
                report.memory = memory::measure(options, &peers)?;
                table::memory(&report.memory)
            }
        };
        print!("{}", table.text());
        report.markdown.push_str(&table.markdown());
    }
    report.write(&options.output)
}
