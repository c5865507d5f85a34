//! `targets`: the engine held to its targets, by ratios that hold on any machine.
//!
//! Is a lookup among ten million sessions as quick as among ten thousand (`flat`)? Do two threads do
//! twice the work of one (`threads`)? Does a logout everywhere cost the same for one session and for a
//! hundred thousand (`revoke_user`)? Does a read wait when a million sessions expire (`mass_expiry`)?
//! Nothing here fails: a busy machine is no fault of the engine's, and each table says how busy it was.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod chase;
mod lookup;
mod mass_expiry;
mod options;
mod revoke_user;

use std::process::ExitCode;

use options::{Command, Target};

fn main() -> ExitCode {
    match options::parse() {
        Ok(Command::Help) => print!("{}", options::HELP),
        Ok(Command::Measure(options)) => {
            for target in &options.targets {
                match target {
                    Target::Lookup => lookup::measure(&options),
                    Target::RevokeUser => revoke_user::measure(&options),
                    Target::MassExpiry => mass_expiry::measure(&options),
                }
            }
        }
        Err(error) => {
            eprintln!("targets: {error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// The middle value. Panics without values.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// A line that says what came of a target.
fn verdict(what: &str, got: f64, at_most: f64) {
    let word = if got <= at_most { "met" } else { "MISSED" };
    println!("  {what}: {got:.2}, target at most {at_most:.2}: {word}");
}
