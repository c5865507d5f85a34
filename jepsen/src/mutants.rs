//! Planted bugs: each is looked for by the workload and the fault that should show it, until a run is invalid.
//!
//! That a bug was found says that the same workload, fault and number of runs would find one like it in a server that
//! nobody planted it in. The server has to be built for it (feature `mutants`); its own list of bugs and the
//! one here are held against each other.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cluster::Disk;

/// Where a bug is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// The bug's name.
    pub mutant: &'static str,
    /// The workload.
    pub workload: &'static str,
    /// The fault.
    pub nemesis: &'static str,
    /// How long a run is.
    pub seconds: u64,
    /// From one fault to the next, in seconds.
    pub interval: f64,
    /// Operations a second.
    pub rate: f64,
    /// What a killed node keeps.
    pub disk: Disk,
    /// Further arguments for every node.
    pub arguments: &'static [&'static str],
}

/// Most bugs show like this.
const USUAL: Hunt = Hunt {
    mutant: "",
    workload: "revoke",
    nemesis: "kill-all",
    seconds: 10,
    interval: 2.5,
    rate: 400.0,
    disk: Disk::Volatile,
    arguments: &[],
};

/// All bugs, and where each is looked for.
pub const HUNTS: [Hunt; 9] = [
    Hunt { mutant: "acknowledge-before-commit", ..USUAL },
    Hunt { mutant: "acknowledge-before-sync", workload: "set", ..USUAL },
    Hunt { mutant: "read-without-barrier", nemesis: "isolate-leader", ..USUAL },
    Hunt { mutant: "lease-ignores-pause", nemesis: "pause-leader", ..USUAL },
    Hunt {
        mutant: "snapshot-omits-revocations",
        arguments: &["--snapshot-bytes", "65536"],
        ..USUAL
    },
    Hunt { mutant: "expiry-by-local-clock", workload: "ttl", ..USUAL },
    Hunt {
        mutant: "retry-applied-twice",
        workload: "register",
        nemesis: "isolate-leader",
        rate: 800.0,
        ..USUAL
    },
    Hunt { mutant: "vote-not-persisted", workload: "set", nemesis: "return-late", ..USUAL },
    Hunt { mutant: "torn-tail-accepted", workload: "register", disk: Disk::Torn, ..USUAL },
];

/// The bug a hunt is for, by its name.
pub fn named(mutant: &str) -> Option<&'static Hunt> {
    HUNTS.iter().find(|hunt| hunt.mutant == mutant)
}

/// Checks that a server has the bugs that are looked for, and no other.
pub fn check_server(server: &Path) -> Result<()> {
    let output = Command::new(server)
        .args(["--port", "0"])
        .env("HALLPASS_MUTANT", "which")
        .stdin(Stdio::null())
        .output()
        .with_context(|| server.display().to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let Some((_, list)) = said.trim().rsplit_once("there are ") else {
        bail!("{} has no planted bugs: {}", server.display(), said.trim());
    };
    let mut known: Vec<&str> = HUNTS.iter().map(|hunt| hunt.mutant).collect();
    let mut listed: Vec<&str> = list.split(", ").collect();
    known.sort_unstable();
    listed.sort_unstable();
    if known != listed {
        bail!("the server's bugs are {listed:?}, and {known:?} are looked for");
    }
    Ok(())
}
