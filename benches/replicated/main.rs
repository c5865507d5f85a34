//! `replicated`: what durability and a cluster of three cost, beside Redis' own, in one run on one machine.
//!
//! The way through: `options` says what to do, `load` encodes the requests, `system` starts what is compared,
//! `writes`, `reads`, `touches`, `recovery` and `snapshots` measure; each makes its tables. The
//! generator, the cluster of three and the tables are those of the library beside this program. How long a
//! cluster is without a leader is `failover`'s to say.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod load;
mod options;
mod reads;
mod recovery;
mod snapshots;
mod system;
mod touches;
mod writes;

use std::fs;
use std::process::ExitCode;

use hallpass_benches::error::{Context, Error, Result};
use hallpass_benches::machine::machine;
use options::{Options, Part};
use rustix::thread::{CpuSet, sched_setaffinity};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replicated: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let Some(mut options) = options::parse()? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    if !options.server.is_file() {
        let missing = options.server.display();
        let remedy = "cargo build --release -p hallpass-server";
        return Err(Error::Usage(format!("there is no {missing}: {remedy}")));
    }
    fs::create_dir_all(&options.folder).context(options.folder.display().to_string())?;
    options.folder = std::path::absolute(&options.folder).context("naming a folder")?;
    let mut core = CpuSet::new();
    core.set(options.generator_core);
    sched_setaffinity(None, &core)
        .context(format!("running the generator on core {}", options.generator_core))?;
    println!(
        "{}: {} {}\nmedians of {} interleaved rounds of {} s; all servers on core {}, generator on core {}",
        machine(),
        options.server.display(),
        options.flags.join(" "),
        options.rounds,
        options.window.measured.as_secs_f64(),
        options.server_cores,
        options.generator_core,
    );
    let mut failure = None;
    for part in &options.parts {
        match measure(&options, *part) {
            Ok(tables) => tables.iter().for_each(|table| print!("{}", table.text())),
            Err(error) => {
                eprintln!("{error}; going on with the next measurement");
                failure = Some(error);
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

fn measure(options: &Options, part: Part) -> Result<Vec<hallpass_benches::table::Table>> {
    match part {
        Part::Writes => writes::measure(options),
        Part::Reads => reads::measure(options),
        Part::Touches => touches::measure(options),
        Part::Recovery => recovery::measure(options),
        Part::Snapshots => snapshots::measure(options),
    }
}
