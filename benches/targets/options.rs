//! The command line.

use lexopt::prelude::*;

pub(crate) const HELP: &str = "\
Holds the engine to its targets, in ratios taken within one run.

Usage: targets [options]

  --only LIST  of these                                                      [all]
       lookup       validate among 10^4 to 10^7 sessions, with one thread and two
       revoke-user  logging a user out of 1, 1000 and 100000 sessions
       mass-expiry  reading while a million sessions that expired together are reclaimed
  --rounds N   rounds of lookup; medians are printed                         [9]
  --short      at most 10^6 sessions, 5 rounds: a minute instead of several
  --help       this text

The whole form takes some 5 GB of memory. As root, `chrt -r 1 targets` keeps other work off the cores.
";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Lookup,
    RevokeUser,
    MassExpiry,
}

const TARGETS: [(&str, Target); 3] = [
    ("lookup", Target::Lookup),
    ("revoke-user", Target::RevokeUser),
    ("mass-expiry", Target::MassExpiry),
];

/// What to do, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) targets: Vec<Target>,
    /// How many sessions each store of `lookup` has.
    pub(crate) sizes: Vec<u64>,
    pub(crate) rounds: usize,
    /// Operations of each thread in a round of `lookup`.
    pub(crate) operations: u64,
    /// How many users with the most sessions `revoke-user` logs out.
    pub(crate) users: u64,
    /// How many times `mass-expiry` is done.
    pub(crate) expiries: usize,
}

pub(crate) enum Command {
    Help,
    Measure(Options),
}

/// Reads the command line of this process.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut options = Options {
        targets: TARGETS.iter().map(|(_, target)| *target).collect(),
        sizes: vec![10_000, 100_000, 1_000_000, 10_000_000],
        rounds: 9,
        operations: 2_000_000,
        users: 15,
        expiries: 3,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("only") => options.targets = targets(&parser.value()?.string()?)?,
            Long("rounds") => options.rounds = parser.value()?.parse::<usize>()?.max(1),
            Long("short") => {
                options.sizes.truncate(3);
                (options.rounds, options.operations) = (5, 1_000_000);
                (options.users, options.expiries) = (7, 1);
            }
            Long("help") | Short('h') => return Ok(Command::Help),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Measure(options))
}

fn targets(list: &str) -> Result<Vec<Target>, lexopt::Error> {
    let find = |name: &str| {
        let found = TARGETS.iter().find(|(other, _)| *other == name);
        found.map(|(_, target)| *target).ok_or_else(|| format!("nothing is called {name:?}").into())
    };
    list.split(',').map(find).collect()
}
