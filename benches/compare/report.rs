//! Everything a run found, as files: JSON with each round for machines, Markdown and plots for
//! documents.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::latency::Latency;
use crate::memory::Footprint;
use crate::options::Options;
use crate::peer::Peer;
use crate::plot::Plot;
use crate::throughput::Point;
use hallpass_benches::error::{Context, Result};
use hallpass_benches::generator::Sending;
use hallpass_benches::machine::machine;

/// What a run found; parts that were not asked for are empty.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Where it ran.
    machine: String,
    /// How it was measured.
    settings: Settings,
    /// The servers that took part.
    servers: Vec<Peer>,
    /// The mix of `GET` and `SETEX`.
    pub(crate) get: Vec<Point>,
    /// Validating sessions.
    pub(crate) session: Vec<Point>,
    /// Reading sessions.
    pub(crate) session_get: Vec<Point>,
    /// Latency at fixed rates.
    pub(crate) latency: Vec<Latency>,
    /// Memory.
    pub(crate) memory: Vec<Footprint>,
    /// The tables.
    #[serde(skip)]
    pub(crate) markdown: String,
}

/// How it was measured.
#[derive(Debug, Serialize)]
struct Settings {
    keys: usize,
    connections: usize,
    rounds: usize,
    seconds: f64,
    sending: Sending,
    server_core: usize,
    generator_core: usize,
}

impl Report {
    /// A report without results.
    pub(crate) fn new(options: &Options, peers: &[Peer]) -> Self {
        let settings = Settings {
            keys: options.keys,
            connections: options.connections,
            rounds: options.rounds,
            seconds: options.window.measured.as_secs_f64(),
            sending: options.sending,
            server_core: options.server_core,
            generator_core: options.generator_core,
        };
        Self {
            machine: machine(),
            settings,
            servers: peers.to_vec(),
            get: Vec::new(),
            session: Vec::new(),
            session_get: Vec::new(),
            latency: Vec::new(),
            memory: Vec::new(),
            markdown: String::new(),
        }
    }

    /// What a reader must know to judge the figures.
    pub(crate) fn setting(&self) -> String {
        let each = |peer: &Peer| format!("{} ({})", peer.name, peer.version.trim());
        let servers: Vec<String> = self.servers.iter().map(each).collect();
        let Settings { keys, connections, rounds, seconds, .. } = self.settings;
        let Settings { server_core, generator_core, sending, .. } = self.settings;
        format!(
            "{}: {}\n{keys} keys of 28 bytes with values of 400-600, {connections} connections, \
             sending {}\nmedians of {rounds} interleaved rounds of {seconds} s; server on \
             core {server_core}, generator on core {generator_core}",
            self.machine,
            servers.join(", "),
            sending.explained(),
        )
    }

    /// Writes the files into `directory` and prints where they are.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        println!();
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        save(directory, "compare.json", &json.context("encoding the report")?)?;
        let document = format!("{}\n{}", self.setting(), self.markdown);
        save(directory, "compare.md", document.as_bytes())?;
        for (name, plot) in self.plots() {
            save(directory, &format!("compare-{name}.svg"), plot.svg().as_bytes())?;
        }
        Ok(())
    }

    /// A picture of each part that was measured.
    fn plots(&self) -> Vec<(&'static str, Plot)> {
        let mut plots = Vec::new();
        let costs = [
            ("get", "95 % GET, 5 % SETEX", &self.get),
            ("session", "SESSION.VALIDATE, or GETEX", &self.session),
            ("session-get", "SESSION.GET, or GETEX", &self.session_get),
        ];
        for (name, mix, points) in costs {
            let mut plot = Plot::new(format!("{mix}: microseconds of server time a request"));
            for point in points {
                let group = format!("pipeline {}", point.pipeline);
                plot.push(group, &point.server, point.median.server_cpu_us);
            }
            plots.push((name, plot, points.is_empty()));
        }
        let mut plot = Plot::new("p99.9 latency at fixed rates, in microseconds");
        for latency in self.latency.iter().filter(|latency| latency.p999_us.is_finite()) {
            plot.push(latency.load.as_str(), &latency.server, latency.p999_us);
        }
        plots.push(("latency", plot, self.latency.is_empty()));
        let mut plot = Plot::new("Resident bytes each, without the value");
        for footprint in &self.memory {
            plot.push(footprint.stored.as_str(), &footprint.server, footprint.over_value());
        }
        plots.push(("memory", plot, self.memory.is_empty()));
        let measured = plots.into_iter().filter(|(_, _, empty)| !empty);
        measured.map(|(name, plot, _)| (name, plot)).collect()
    }
}

fn save(directory: &Path, name: &str, contents: &[u8]) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, contents).context(format!("writing {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
