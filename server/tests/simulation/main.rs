//! Deterministic simulation of whole clusters: three or five nodes in one process, on a simulated
//! network, simulated disks and simulated clocks, under faults drawn from a seed.
//!
//! Reading order: `world` (a run), `machine` (a node), `chaos` (what fails), `workload` (what clients do),
//! `history` and `oracle` (what they may have seen). `entropy` says why each seed has a process of its
//! own: this program starts itself once a seed.
//!
//! ```text
//! cargo test -p hallpass-server --features simulation --test simulation
//! HALLPASS_SEEDS=2000 cargo test ...      more seeds, from HALLPASS_FIRST_SEED on
//! HALLPASS_SEED=17 cargo test ...         one seed; with HALLPASS_TRACE=FILE, all that happened
//! ```
//!
//! With the feature `mutants`, too, one more test plants bugs and expects each to be seen.

mod chaos;
mod clock;
mod entropy;
mod history;
mod machine;
mod oracle;
mod trace;
mod workload;
mod world;

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};

use libtest_mimic::{Arguments, Failed, Trial};

const SEED: &str = "HALLPASS_SEED";
const SEEDS: &str = "HALLPASS_SEEDS";
const FIRST_SEED: &str = "HALLPASS_FIRST_SEED";
const TRACE: &str = "HALLPASS_TRACE";

const MUTANT: &str = "HALLPASS_MUTANT";

/// As many as pass in a few minutes on a small machine.
const SEEDS_DEFAULT: u64 = 200;

fn main() -> ExitCode {
    if let Some(seed) = number(SEED) {
        return run_seed(seed);
    }
    let mut trials = vec![
        Trial::test("the_judge_tells_possible_histories", || Ok(oracle::planted::check()?)),
        Trial::test("the_same_seed_gives_the_same_trace", same_trace),
        Trial::test("no_seed_shows_what_a_correct_store_would_not", many_seeds),
    ];
    if cfg!(feature = "mutants") {
        let planted = PLANTED.map(|name| Trial::test(format!("{name}_is_seen"), || seen(name)));
        trials.extend(planted);
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Planted bugs that clients, or a comparison of the nodes, can see.
const PLANTED: [&str; 7] = [
    "acknowledge-before-commit",
    "acknowledge-before-sync",
    "read-without-barrier",
    "lease-ignores-pause",
    "snapshot-omits-revocations",
    "expiry-by-local-clock",
    "retry-applied-twice",
];
/// Within so many seeds a planted bug is seen.
const PLANTED_SEEDS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs one seed in this process and tells what came of it.
fn run_seed(seed: u64) -> ExitCode {
    entropy::seed(seed);
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        world::PANICKED.store(true, Ordering::Relaxed);
        print(panic);
    }));
    #[cfg(feature = "mutants")]
    if let Ok(name) = std::env::var(MUTANT) {
        hallpass_server::cluster::mutant::plant(Some(&name)).expect("a planted bug");
    }
    let trace = std::env::var(TRACE).ok();
    let outcome = world::run(seed, trace.as_deref());
    let (events, sum) = outcome.trace;
    println!(
        "seed {seed}: {} of {} requests answered in {} s, {events} events, trace {sum:016x}",
        outcome.answers,
        outcome.requests,
        outcome.millis / 1000
    );
    for wrong in outcome.wrongs.iter().take(10) {
        println!("  {wrong}");
    }
    if outcome.wrongs.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a process that ran one seed left.
struct Ran {
    seed: u64,
    good: bool,
    text: String,
}

/// Runs a seed in a process of its own.
fn run_apart(seed: u64, settings: &[(&str, &str)]) -> Result<Ran, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env_remove(TRACE).env_remove(MUTANT).env(SEED, seed.to_string());
    let output = command.envs(settings.iter().copied()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Ran { seed, good: output.status.success(), text: text + &errors })
}

fn same_trace() -> Result<(), Failed> {
    let directory =
        std::env::temp_dir().join(format!("hallpass-simulation-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let path = |name: &str| directory.join(name).display().to_string();
    for seed in [1, 2, 3] {
        let (first, second) = (path("first"), path("second"));
        run_apart(seed, &[(TRACE, &first)])?;
        run_apart(seed, &[(TRACE, &second)])?;
        let (first, second) = (std::fs::read_to_string(first)?, std::fs::read_to_string(second)?);
        if first.is_empty() {
            return Err(format!("seed {seed} left no trace").into());
        }
        if let Some((line, (one, other))) =
            first.lines().zip(second.lines()).enumerate().find(|(_, (one, other))| one != other)
        {
            return Err(format!("seed {seed}, event {line}:\n  {one}\n  {other}").into());
        }
        if first.len() != second.len() {
            return Err(format!("seed {seed}: one trace is longer than the other").into());
        }
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// Runs seeds on all processors until there are no more, or `enough` says so; those that were not good.
fn run_many(
    settings: &[(&str, &str)],
    seeds: std::ops::Range<u64>,
    enough: impl Fn(&Ran) -> bool + Sync,
) -> Vec<Ran> {
    let (next, end) = (AtomicU64::new(seeds.start), AtomicU64::new(seeds.end));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut bad: Vec<Ran> = std::thread::scope(|scope| {
        let run = || {
            let mut bad = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end.load(Ordering::Relaxed) {
                    return bad;
                }
                let ran = run_apart(seed, settings).unwrap_or_else(|error| Ran {
                    seed,
                    good: false,
                    text: format!("seed {seed}: {error:?}\n"),
                });
                if !ran.good {
                    if enough(&ran) {
                        end.store(0, Ordering::Relaxed);
                    }
                    bad.push(ran);
                }
            }
        };
        let runs: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        runs.into_iter().flat_map(|run| run.join().expect("it does not panic")).collect()
    });
    bad.sort_by_key(|ran| ran.seed);
    bad
}

fn many_seeds() -> Result<(), Failed> {
    let first = number(FIRST_SEED).unwrap_or(1);
    let seeds = number(SEEDS).unwrap_or(SEEDS_DEFAULT);
    let bad = run_many(&[], first..first + seeds, |_| false);
    if bad.is_empty() {
        return Ok(());
    }
    let mut text = format!("{} of {seeds} seeds failed; one of them again with\n", bad.len());
    text +=
        "HALLPASS_SEED=N cargo test -p hallpass-server --features simulation --test simulation\n";
    for ran in &bad {
        text += &ran.text;
    }
    Err(text.into())
}

/// A planted bug is seen by some seed.
fn seen(name: &str) -> Result<(), Failed> {
    let bad = run_many(&[(MUTANT, name)], 1..1 + PLANTED_SEEDS, |_| true);
    match bad.first() {
        Some(ran) => {
            println!("{name}: {}", ran.text);
            Ok(())
        }
        None => Err(format!("{name} was not seen in {PLANTED_SEEDS} seeds").into()),
    }
}
