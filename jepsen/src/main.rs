//! The command line: `run` makes runs and judges them, `soak` makes them until it is stopped or one fails, `mutants` looks
//! for planted bugs, `check` judges a history again.

#![allow(clippy::disallowed_methods, reason = "a harness measures real time")]

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use hallpass_jepsen::checker::{self, Verdict};
use hallpass_jepsen::cluster::Disk;
use hallpass_jepsen::history::History;
use hallpass_jepsen::mutants::{self, Hunt};
use hallpass_jepsen::run::{Plan, Report, run};
use hallpass_jepsen::{nemesis, workload};
use lexopt::prelude::*;

const HELP: &str = "\
hallpass-jepsen run [options]           makes runs, and prints a table of verdicts
hallpass-jepsen soak [options]          makes runs of all workloads and faults in turn, until one fails
hallpass-jepsen mutants [options]       looks for each planted bug, and fails if one is missed
hallpass-jepsen check WORKLOAD FILE     judges a history again

  --workload W    register, set, revoke, logout_everywhere, ttl; several with commas; all by default
  --nemesis N     none, kill-leader, kill-one, kill-all, return-late, pause-leader, isolate-leader, halves, one-way,
                  restart, transfer, clock-skew, clock-jump; several with commas; by default kill-all, pause-leader,
                  isolate-leader, one-way
  --seconds S     length of a run under load (10)
  --interval S    from one fault to the next (5, or a third of the run)
  --rate R        operations a second (400)
  --seed X        draws what clients and faults do; the time by default
  --runs K        runs of each pair (1)
  --server PATH   the server's binary (target/release/hallpass-server)
  --directory D   where histories, logs and ledger.jsonl go (target/jepsen)
  --real-disk     nodes sync for real, and a killed one keeps what it wrote; else what was not synced is lost
  --torn-disk     what was not synced is lost, and a node that is killed in a sync leaves half of what it wrote
  --argument A    a further argument for every node; may be repeated

mutants takes --server (target/debug/hallpass-server, built with --features mutants), --directory, --seed, --runs
(at most so many for each bug: 10) and --mutant M (several with commas; all by default).
";

struct Options {
    workloads: Vec<String>,
    nemeses: Vec<String>,
    seconds: u64,
    interval: Option<f64>,
    rate: f64,
    seed: u64,
    runs: u64,
    server: PathBuf,
    directory: PathBuf,
    disk: Disk,
    arguments: Vec<String>,
    mutants: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let nanos =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            workloads: names(&workload::NAMES),
            nemeses: names(&["kill-all", "pause-leader", "isolate-leader", "one-way"]),
            seconds: 10,
            interval: None,
            rate: 400.0,
            seed: u64::from(nanos),
            runs: 1,
            server: "target/release/hallpass-server".into(),
            directory: "target/jepsen".into(),
            disk: Disk::Volatile,
            arguments: Vec::new(),
            mutants: names(&mutants::HUNTS.map(|hunt| hunt.mutant)),
        }
    }
}

fn main() -> ExitCode {
    match command() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn command() -> Result<bool> {
    let mut parser = lexopt::Parser::from_env();
    let word = match parser.next()? {
        Some(Value(word)) => word,
        Some(Long("help") | Short('h')) | None => {
            print!("{HELP}");
            return Ok(true);
        }
        Some(other) => return Err(other.unexpected().into()),
    };
    match word.to_str() {
        Some("run") => matrix(&options(parser, Options::default())?, false),
        Some("soak") => matrix(&options(parser, Options::default())?, true),
        Some("mutants") => {
            let server = "target/debug/hallpass-server".into();
            hunt_all(&options(parser, Options { server, runs: 10, ..Options::default() })?)
        }
        Some("check") => {
            let (workload, file) = (parser.value()?, parser.value()?);
            check(&workload.string()?, Path::new(&file))
        }
        _ => bail!("run, soak, mutants or check; --help says more"),
    }
}

fn options(mut parser: lexopt::Parser, mut options: Options) -> Result<Options> {
    let bugs = mutants::HUNTS.map(|hunt| hunt.mutant);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("workload") => options.workloads = names(parser.value()?, &workload::NAMES)?,
            Long("nemesis") => options.nemeses = names(parser.value()?, &nemesis::NAMES)?,
            Long("mutant") => options.mutants = names(parser.value()?, &bugs)?,
            Long("seconds") => options.seconds = parser.value()?.parse()?,
            Long("interval") => options.interval = Some(parser.value()?.parse()?),
            Long("rate") => options.rate = parser.value()?.parse()?,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("runs") => options.runs = parser.value()?.parse()?,
            Long("server") => options.server = parser.value()?.into(),
            Long("directory") => options.directory = parser.value()?.into(),
            Long("real-disk") => options.disk = Disk::Real,
            Long("torn-disk") => options.disk = Disk::Torn,
            Long("argument") => options.arguments.push(parser.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    if !options.server.exists() {
        bail!("there is no {}: build it, or name another with --server", options.server.display());
    }
    // Nodes are started from other directories.
    options.server = options.server.canonicalize()?;
    Ok(options)
}

fn names(list: OsString, known: &[&str]) -> Result<Vec<String>> {
    let list = list.string()?;
    let names: Vec<String> = list.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => bail!("{name} is not one of {}", known.join(", ")),
        None => Ok(names),
    }
}

fn matrix(options: &Options, for_ever: bool) -> Result<bool> {
    std::fs::create_dir_all(&options.directory)?;
    let directory = options.directory.canonicalize()?;
    print_heading();
    let (mut passed, mut runs) = (0, 0);
    let mut round = 0;
    while round < options.runs || for_ever {
        for (workload, nemesis) in pairs(options) {
            let seed = options.seed.wrapping_add(runs);
            let plan = Plan {
                workload: workload.clone(),
                nemesis: nemesis.clone(),
                seconds: options.seconds,
                seed,
                rate: options.rate,
                interval: interval(options),
                server: options.server.clone(),
                directory: directory.join(format!("{workload}-{nemesis}-{seed}")),
                disk: options.disk,
                arguments: options.arguments.clone(),
                mutant: None,
            };
            let report =
                run(&plan).with_context(|| format!("{workload} under {nemesis}, seed {seed}"))?;
            runs += 1;
            passed += u64::from(report.passes());
            tell(&report, &directory)?;
            if for_ever && report.verdict == Verdict::Invalid {
                return Ok(false);
            }
        }
        round += 1;
    }
    println!("{passed} of {runs} runs passed; histories and ledger are in {}", directory.display());
    Ok(passed == runs)
}

fn print_heading() {
    println!(
        "{:<18} {:<15} {:>6} {:>15} {:>6} {:>8}  verdict",
        "workload", "nemesis", "ok/s", "ok/fail/info", "faults", "recovery"
    );
}

/// Looks for each planted bug until a run is invalid; whether all were found.
fn hunt_all(options: &Options) -> Result<bool> {
    mutants::check_server(&options.server)?;
    std::fs::create_dir_all(&options.directory)?;
    let directory = options.directory.canonicalize()?;
    print_heading();
    let mut outcomes = Vec::new();
    for hunt in options.mutants.iter().filter_map(|name| mutants::named(name)) {
        println!("{}:", hunt.mutant);
        let caught = hunt_one(options, hunt, &directory)?;
        outcomes.push((hunt, caught));
    }
    for (Hunt { mutant, workload, nemesis, .. }, caught) in &outcomes {
        let outcome = match caught {
            Some(run) => format!("caught in run {run}"),
            None => format!("MISSED in {} runs", options.runs),
        };
        println!("{mutant:<28} {workload:<10} {nemesis:<15} {outcome}");
    }
    Ok(outcomes.iter().all(|(_, caught)| caught.is_some()))
}

/// In which run a bug was found.
fn hunt_one(options: &Options, hunt: &Hunt, directory: &Path) -> Result<Option<u64>> {
    for run_number in 1..=options.runs {
        let seed = options.seed.wrapping_add(run_number);
        let plan = Plan {
            workload: hunt.workload.to_owned(),
            nemesis: hunt.nemesis.to_owned(),
            seconds: hunt.seconds,
            seed,
            rate: hunt.rate,
            interval: Duration::from_secs_f64(hunt.interval),
            server: options.server.clone(),
            directory: directory.join(format!("{}-{seed}", hunt.mutant)),
            disk: hunt.disk,
            arguments: hunt.arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            mutant: Some(hunt.mutant.to_owned()),
        };
        let report = run(&plan).with_context(|| format!("{}, seed {seed}", hunt.mutant));
        // A planted bug may keep a cluster from starting again: such a run shows nothing, and the next may.
        match report {
            Ok(report) => {
                tell(&report, directory)?;
                if report.verdict == Verdict::Invalid {
                    return Ok(Some(run_number));
                }
            }
            Err(error) => println!("    no verdict: {error:#}"),
        }
    }
    Ok(None)
}

fn pairs(options: &Options) -> impl Iterator<Item = (&String, &String)> {
    options
        .nemeses
        .iter()
        .flat_map(|nemesis| options.workloads.iter().map(move |workload| (workload, nemesis)))
}

fn interval(options: &Options) -> Duration {
    let third = options.seconds as f64 / 3.0;
    Duration::from_secs_f64(options.interval.unwrap_or(third.clamp(1.0, 5.0)))
}

/// Prints a run's line and appends it to the ledger.
fn tell(report: &Report, directory: &Path) -> Result<()> {
    let (ok, fail, info) = report.ends;
    println!(
        "{:<18} {:<15} {:>6.0} {:>15} {:>6} {:>8}  {}",
        report.workload,
        report.nemesis,
        ok as f64 / report.seconds,
        format!("{ok}/{fail}/{info}"),
        format!("{}/{}", report.faults.1, report.faults.0),
        report.recovery_millis.map_or_else(|| "-".to_owned(), |millis| format!("{millis} ms")),
        report.word(),
    );
    for line in report.rejected.iter().chain(&report.findings) {
        println!("    {line}");
    }
    if !report.passes() {
        println!("    {}", report.history.display());
    }
    let mut ledger =
        OpenOptions::new().create(true).append(true).open(directory.join("ledger.jsonl"))?;
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut line = serde_json::to_value(report)?;
    line["at"] = at.into();
    writeln!(ledger, "{line}")?;
    Ok(())
}

fn check(workload: &str, file: &Path) -> Result<bool> {
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    let judgement = checker::check(workload, &History::read(BufReader::new(opened))?)?;
    println!("{}", serde_json::to_string(&judgement)?);
    Ok(judgement.verdict == Verdict::Valid)
}
