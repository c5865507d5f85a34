//! One run: start a cluster, load it, hurt it, mend it, read everything, judge.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use serde::Serialize;
use serde_json::json;

use crate::checker::coverage::{self, Ends, Minimum};
use crate::checker::{self, Judgement, Verdict};
use crate::cluster::{Cluster, Disk, NODES, Setup};
use crate::generator::{Load, client};
use crate::history::recorder::Recorder;
use crate::history::{History, Kind, NEMESIS, edn};
use crate::nemesis::Fault;
use crate::workload;

/// How long a mended cluster may take to serve on every node.
const SERVICE_PATIENCE: Duration = Duration::from_secs(20);
/// How long an answer to a final read may take.
const FINAL_PATIENCE: Duration = Duration::from_secs(5);
/// Load before the first fault.
const WARM_UP: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The workload's name.
    pub workload: String,
    /// The fault's name.
    pub nemesis: String,
    /// How long the load lasts, with faults.
    pub seconds: u64,
    /// Draws everything that is drawn here; processes and networks are not repeated by it.
    pub seed: u64,
    /// Operations a second.
    pub rate: f64,
    /// From one fault to the next.
    pub interval: Duration,
    /// The server's binary.
    pub server: PathBuf,
    /// Where the run's files go: a directory of its own.
    pub directory: PathBuf,
    /// What a killed node keeps.
    pub disk: Disk,
    /// Further arguments for every node.
    pub arguments: Vec<String>,
    /// The bug that is planted in every node, if one is.
    pub mutant: Option<String>,
}

/// A line of the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The workload's name.
    pub workload: String,
    /// The fault's name.
    pub nemesis: String,
    /// How long the load lasted.
    pub seconds: f64,
    /// The seed.
    pub seed: u64,
    /// The verdict on the history.
    pub verdict: Verdict,
    /// Why the run counts for nothing, even if nothing was found.
    pub rejected: Vec<String>,
    /// What was found.
    pub findings: Vec<String>,
    /// Operations under load, by their end.
    pub ends: (usize, usize, usize),
    /// Faults tried, and those that took hold.
    pub faults: (usize, usize),
    /// How long the cluster took to serve again after the last fault, in milliseconds.
    pub recovery_millis: Option<u64>,
    /// The history.
    pub history: PathBuf,
}

impl Report {
    /// Valid, and worth something.
    pub fn passes(&self) -> bool {
        self.verdict == Verdict::Valid && self.rejected.is_empty()
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Invalid => "INVALID",
            _ if !self.rejected.is_empty() => "rejected",
            Verdict::Unknown => "unknown",
            Verdict::Valid => "valid",
        }
    }
}

/// Runs and judges. An error means that the harness itself could not do its work.
pub fn run(plan: &Plan) -> Result<Report> {
    let fault = Fault::named(&plan.nemesis)
        .with_context(|| format!("there is no nemesis {}", plan.nemesis))?;
    let workload = workload::named(&plan.workload)
        .with_context(|| format!("there is no workload {}", plan.workload))?;
    let workload: Arc<dyn workload::Workload> = Arc::from(workload);
    let mut random = Rng::with_seed(plan.seed);
    if plan.directory.exists() {
        fs::remove_dir_all(&plan.directory)?;
    }
    fs::create_dir_all(&plan.directory)?;
    let mut cluster = Cluster::start(Setup {
        server: plan.server.clone(),
        directory: plan.directory.clone(),
        disk: plan.disk,
        arguments: plan.arguments.clone(),
        mutant: plan.mutant.clone(),
    })?;
    let mut rejected = Vec::new();
    cluster.await_service(SERVICE_PATIENCE).context("the cluster did not start")?;

    let recorder = Arc::new(Recorder::default());
    let load = Load::start(&workload, &recorder, &cluster, plan.rate, &mut random);
    let began = Instant::now();
    let mut fallen = BTreeSet::new();
    let hurt = hurt(&mut cluster, fault, plan, &recorder, &mut random, &mut fallen);
    let mended = cluster.mend();
    if !load.stop() {
        rejected.push("a client of the harness came to grief".to_owned());
    }
    let seconds = began.elapsed().as_secs_f64();
    // What follows is easy: only what was done under load says how much a run is worth.
    let loaded = coverage::ends(&recorder.history());
    rejected.extend(hurt.err().into_iter().chain(mended.err()).map(|error| format!("{error:#}")));
    let recovered = cluster.await_service(SERVICE_PATIENCE);
    if recovered.is_ok() {
        std::thread::sleep(workload.rest());
        rejected.extend(read_all(&*workload, &recorder, &cluster));
    }
    fallen.extend(cluster.fallen());
    if !fallen.is_empty() {
        rejected.push(format!("nodes {fallen:?} ended by themselves"));
    }
    let recovery_millis = recovered.as_ref().ok().map(|time| time.as_millis() as u64);
    rejected.extend(recovered.err().map(|error| format!("{error:#}")));
    drop(cluster);

    let history = recorder.history();
    let file = keep(&history, &plan.directory)?;
    let judgement = checker::check(&plan.workload, &history)?;
    let faults = usize::from(fault != Fault::None);
    let minimum = Minimum { ok_per_second: plan.rate / 10.0, faults };
    rejected.extend(coverage::rejections(loaded, coverage::faults(&history), seconds, minimum));
    Ok(report(plan, &history, judgement, rejected, (seconds, loaded), recovery_millis, file))
}

fn report(
    plan: &Plan,
    history: &History,
    judgement: Judgement,
    rejected: Vec<String>,
    (seconds, loaded): (f64, Ends),
    recovery_millis: Option<u64>,
    file: PathBuf,
) -> Report {
    let Ends { ok, fail, info } = loaded;
    Report {
        workload: plan.workload.clone(),
        nemesis: plan.nemesis.clone(),
        seconds,
        seed: plan.seed,
        verdict: judgement.verdict,
        rejected,
        findings: judgement.findings,
        ends: (ok, fail, info),
        faults: coverage::faults(history),
        recovery_millis,
        history: file,
    }
}

/// Reads everything on every node; says where that failed.
fn read_all(
    workload: &dyn workload::Workload,
    recorder: &Arc<Recorder>,
    cluster: &Cluster,
) -> Vec<String> {
    let failed = |node: &u64| {
        // Far from the numbers of the clients under load.
        let numbers = (1_000_000 + node, NODES);
        let mut client = client(recorder, numbers, (*node, cluster), FINAL_PATIENCE);
        !workload.final_reads(&mut client)
    };
    let nodes = (1..=NODES).filter(failed);
    nodes.map(|node| format!("the final reads on node {node} failed")).collect()
}

/// Installs and heals faults until the time is up.
fn hurt(
    cluster: &mut Cluster,
    fault: Fault,
    plan: &Plan,
    recorder: &Recorder,
    random: &mut Rng,
    fallen: &mut BTreeSet<u64>,
) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(plan.seconds);
    let pause = |time: Duration| {
        std::thread::sleep(time.min(end.saturating_duration_since(Instant::now())));
    };
    pause(WARM_UP);
    while Instant::now() < end {
        let next = Instant::now() + plan.interval;
        let note = |value| recorder.record(NEMESIS, Kind::Info, &plan.nemesis, value, 0, None);
        let since = recorder.elapsed().as_nanos() as u64;
        let installed = fault.install(cluster, random)?;
        note(match installed.skew_millis {
            0 => json!({"begins": installed.what}),
            skew => json!({"begins": installed.what, "since": since, "skew_millis": skew}),
        });
        // Not cut short: a fault that ends too soon may not have taken hold.
        std::thread::sleep(fault.lasts(plan.interval));
        let what = installed.what.clone();
        let down = cluster.fallen();
        fallen.extend(down.iter().filter(|node| !installed.ended().contains(node)));
        let held = installed.heal(cluster)?;
        note(json!({"ends": what, "held": held.name(), "down": down}));
        pause(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Writes a history next to the run's other files, as JSON lines and as EDN.
fn keep(history: &History, directory: &Path) -> Result<PathBuf> {
    let file = directory.join("history.jsonl");
    history.write(&mut BufWriter::new(File::create(&file)?))?;
    edn::write(history, &mut BufWriter::new(File::create(directory.join("history.edn"))?))?;
    Ok(file)
}
