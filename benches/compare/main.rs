//! `compare`: Hallpass, its peers and the limit, measured in one run on one machine.
//!
//! The way through: `options` says what to do, `peer` finds the programs, `server` runs them,
//! `workload` encodes the requests, the library's `generator` sends them and its `reply` counts the answers;
//! `throughput`, `latency` (with `disturbance`) and `memory` make measurements of it; `table`, `plot` and `report` show
//! them. `floor` is the limit: a server that stores nothing, run by this same program.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod disturbance;
mod floor;
mod latency;
mod memory;
mod options;
mod peer;
mod plot;
mod report;
mod server;
mod table;
mod throughput;
mod workload;

use std::fs;
use std::process::ExitCode;

use hallpass_benches::error::{Context, Error, Result};
use hallpass_benches::table::Table;
use options::{Command, Mode, Options};
use peer::Peer;
use report::Report;
use rustix::thread::{CpuSet, sched_setaffinity};
use throughput::Question;

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
        Command::Floor { port, tokio: false } => {
            let mut floor = floor::Floor::bind(port).context("listening")?;
            floor.serve().context("serving")
        }
        Command::Floor { port, tokio: true } => floor::serve_on_tokio(port).context("serving"),
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
    let mut report = Report::new(options, &peers);
    println!("{}", report.setting());
    let mut failure = None;
    for mode in &options.modes {
        match measure(options, &peers, *mode, &mut report) {
            Ok(table) => {
                print!("{}", table.text());
                report.markdown.push_str(&table.markdown());
            }
            Err(error) => {
                eprintln!("{error}; going on with the next measurement");
                failure = Some(error);
            }
        }
    }
    report.write(&options.output)?;
    failure.map_or(Ok(()), Err)
}

fn measure(options: &Options, peers: &[Peer], mode: Mode, report: &mut Report) -> Result<Table> {
    Ok(match mode {
        Mode::Get => {
            report.get = throughput::get_mix(options, peers)?;
            table::throughput("95 % GET, 5 % SETEX", &report.get)
        }
        Mode::Session => {
            report.session = throughput::session_mix(options, peers, Question::User)?;
            table::throughput("SESSION.VALIDATE, or GETEX", &report.session)
        }
        Mode::SessionGet => {
            report.session_get = throughput::session_mix(options, peers, Question::Session)?;
            table::throughput("SESSION.GET, or GETEX", &report.session_get)
        }
        Mode::Latency => {
            report.latency = latency::measure(options, peers)?;
            table::latency(&report.latency)
        }
        Mode::Memory => {
            report.memory = memory::measure(options, peers);
            table::memory(&report.memory)
        }
    })
}
