//! Recovery: how long a node that was killed takes until it answers again, by what it has to read.
//!
//! One node, because alone it recovers all from its own disk. It is killed and started on the same directory
//! several times: on a log of so many megabytes, then on a snapshot of the same keys. What a node takes that
//! has nothing to read is measured too and taken off: it waits until promises of its last life are over.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hallpass_benches::client::{Connection, info};
use hallpass_benches::cluster::wait_for;
use hallpass_benches::error::{Context, Error, Result};
use hallpass_benches::generator::Generator;
use hallpass_benches::process::Process;
use hallpass_benches::statistics::median;
use hallpass_benches::table::Table;

use crate::load::{self, VALUE_BYTES};
use crate::options::Options;
use crate::system::{hallpass, launch, launch_redis, redis};

const CLIENTS: usize = 50;
const PIPELINE: usize = 64;
/// Keys of one part of the load.
const PART_KEYS: usize = 20_000;
/// Log for each key besides its value: name, key's hash and what frames them; only decides how many there are.
const BYTES_BESIDES: u64 = 60;
const GIGABYTE: f64 = 1e9;
/// A node may take so long.
const START_MAX: Duration = Duration::from_mins(5);

/// Takes snapshots only when it must not.
const NO_SNAPSHOT: [&str; 4] = ["--data-dir", "recovery", "--snapshot-bytes", "1000gb"];
/// Takes one when so much was logged as the store holds.
const SNAPSHOT: [&str; 4] = ["--data-dir", "recovery", "--snapshot-bytes", "64kb"];
const APPEND_ONLY: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""];

/// Measures starting on nothing, a log, a snapshot, and on Redis' append-only file.
pub(crate) fn measure(options: &Options) -> Result<Vec<Table>> {
    let heading = ["start on", "megabytes", "seconds", "seconds a gigabyte", "of", "rounds"];
    let mut table = Table::new("From start to the first answer after SIGKILL", &heading);
    let keys = (options.megabytes * 1_000_000 / (VALUE_BYTES as u64 + BYTES_BESIDES)) as usize;
    let folder = options.folder.join("recovery");

    let (process, _) = hallpass(options, "recovery", &NO_SNAPSHOT)?;
    process.kill()?;
    let starts = || restarts(options, || launch(options, "recovery", &NO_SNAPSHOT), "SET a b");
    let nothing = starts()?;
    push(&mut table, "nothing", 0, &nothing, 0.0);

    let (process, port) = launch(options, "recovery", &NO_SNAPSHOT)?;
    wait_for("the node", || answers(port, "SET a b"))?;
    eprintln!("writing {} MB of log", options.megabytes);
    fill(port, keys)?;
    let bytes = info(port, "replication", "raft_log_bytes_written").unwrap_or_default();
    process.kill()?;
    let last = format!("GET {}", String::from_utf8_lossy(&load::key(keys - 1)));
    let on_log = restarts(options, || launch(options, "recovery", &NO_SNAPSHOT), &last)?;
    let base = median(&nothing).unwrap_or_default();
    push(&mut table, "log", bytes, &on_log, base);

    let bytes = take_snapshot(options, &folder, &last)?;
    let on_snapshot = restarts(options, || launch(options, "recovery", &NO_SNAPSHOT), &last)?;
    push(&mut table, "snapshot", bytes, &on_snapshot, base);

    if let Ok((process, port)) = redis(options, "append-only", &APPEND_ONLY) {
        fill(port, keys)?;
        process.kill()?;
        let bytes = bytes_below(&options.folder.join("append-only"))?;
        let start = || launch_redis(options, "append-only", &APPEND_ONLY);
        push(&mut table, "Redis' append-only file", bytes, &restarts(options, start, &last)?, 0.0);
    }
    Ok(vec![table])
}

fn push(table: &mut Table, what: &str, bytes: u64, seconds: &[f64], base: f64) {
    let middle = median(seconds).unwrap_or_default();
    let gigabytes = bytes as f64 / GIGABYTE;
    let each =
        if bytes == 0 { "-".to_owned() } else { format!("{:.2}", (middle - base) / gigabytes) };
    let of = if base > 0.0 { "beyond nothing" } else { "all" };
    table.push(vec![
        what.to_owned(),
        format!("{:.0}", bytes as f64 / 1e6),
        format!("{middle:.2}"),
        each,
        of.to_owned(),
        seconds.len().to_string(),
    ]);
}

/// Seconds from each start to the first good answer.
fn restarts(
    options: &Options,
    start: impl Fn() -> Result<(Process, u16)>,
    question: &str,
) -> Result<Vec<f64>> {
    let one = |_| {
        let started = Instant::now();
        let (mut process, port) = start()?;
        while answers(port, question).is_none() {
            if process.has_ended()? || started.elapsed() > START_MAX {
                return Err(Error::Stalled("did not come back"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("answered after {seconds:.3} s");
        process.kill()?;
        Ok(seconds)
    };
    (0..options.rounds).map(one).collect()
}

/// Whether a node answers a question with something: neither an error nor nil.
fn answers(port: u16, question: &str) -> Option<()> {
    let reply = Connection::open(port).ok()?.ask(question).ok()?;
    (!reply.starts_with('-') && !reply.starts_with("$-1") && !reply.starts_with('_')).then_some(())
}

fn fill(port: u16, keys: usize) -> Result<()> {
    let mut generator = Generator::connect(port, CLIENTS)?;
    for first in (0..keys).step_by(PART_KEYS) {
        generator.send_all(&load::fill(first..keys.min(first + PART_KEYS)), PIPELINE)?;
    }
    Ok(())
}

/// Writes until a snapshot has been taken, and says how large it is.
fn take_snapshot(options: &Options, folder: &Path, last: &str) -> Result<u64> {
    eprintln!("taking a snapshot");
    let (process, port) = launch(options, "recovery", &SNAPSHOT)?;
    wait_for("the node", || answers(port, last))?;
    let mut first = 0;
    let started = Instant::now();
    while info(port, "replication", "raft_snapshot").unwrap_or_default() == 0 {
        if started.elapsed() > START_MAX {
            let what = "a snapshot".to_owned();
            return Err(Error::Waited { patience: START_MAX, what });
        }
        let mut generator = Generator::connect(port, CLIENTS)?;
        generator.send_all(&load::fill(first..first + PART_KEYS), PIPELINE)?;
        first = (first + PART_KEYS) % load::KEYS;
    }
    process.kill()?;
    let is_snapshot = |name: &str| name.starts_with("snapshot-");
    files(folder)?
        .into_iter()
        .filter(|(name, _)| is_snapshot(name))
        .map(|(_, bytes)| bytes)
        .max()
        .ok_or(Error::Waited { patience: Duration::ZERO, what: "the snapshot's file".to_owned() })
}

/// Names and sizes of the files in a folder and those below it.
fn files(folder: &Path) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).context(folder.display().to_string())? {
        let entry = entry.context(folder.display().to_string())?;
        let about = entry.metadata().context(folder.display().to_string())?;
        if about.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push((entry.file_name().to_string_lossy().into_owned(), about.len()));
        }
    }
    Ok(found)
}

fn bytes_below(folder: &Path) -> Result<u64> {
    Ok(files(folder)?.into_iter().map(|(_, bytes)| bytes).sum())
}
