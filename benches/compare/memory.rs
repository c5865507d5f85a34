//! What a session costs in memory: resident bytes after loading, less those before, for each one.
//!
//! Each figure is of a fresh process, so that nothing an earlier load left behind hides in it. The
//! resident set is what the machine must have, allocator and tables included; where a server backs
//! its memory with huge pages it is exact to 2 MB, ten bytes a session at 200 000.

use std::time::Duration;

use serde::Serialize;

use crate::options::Options;
use crate::peer::{Kind, Peer};
use crate::server::Server;
use crate::throughput::successes;
use crate::workload::{Keys, Lengths, Load};
use hallpass_benches::error::Result;
use hallpass_benches::generator::Generator;

/// Few connections, whose buffers do not count for much.
const CONNECTIONS: usize = 4;
const PIPELINE: usize = 16;
/// Readings of the resident set, so far apart, until two agree.
const READING_EVERY: Duration = Duration::from_millis(200);
const READINGS_MAX: usize = 25;

/// What one load took in one server.
#[derive(Debug, Serialize)]
pub(crate) struct Footprint {
    /// Name of the server.
    pub(crate) server: String,
    /// What was stored.
    pub(crate) stored: String,
    /// How many.
    pub(crate) count: usize,
    /// Growth of the resident set.
    pub(crate) resident_bytes: usize,
    /// Sum of the values, or of the sessions' data.
    pub(crate) value_bytes: usize,
    /// Sum of the keys, or of the user names.
    pub(crate) name_bytes: usize,
}

impl Footprint {
    /// Resident bytes of one.
    pub(crate) fn each(&self) -> f64 {
        self.resident_bytes as f64 / self.count as f64
    }

    /// Of these, what is not value.
    pub(crate) fn over_value(&self) -> f64 {
        self.each() - self.value_bytes as f64 / self.count as f64
    }

    /// Of these, what is neither value nor key or user name.
    pub(crate) fn over_all(&self) -> f64 {
        self.over_value() - self.name_bytes as f64 / self.count as f64
    }
}

/// Fills every server that stores anything, with each kind of load it knows.
pub(crate) fn measure(options: &Options, peers: &[Peer]) -> Vec<Footprint> {
    let keys = Keys::new(options.keys);
    let mut footprints = Vec::new();
    let mut fill = |stored: &str, load: &Load, kinds: &[Kind]| {
        let knowing: Vec<Peer> =
            peers.iter().filter(|peer| kinds.contains(&peer.kind)).cloned().collect();
        let filling = knowing.iter().map(|peer| {
            let footprint = footprint(options, peer, stored, load)?;
            eprintln!("{:<10} {stored}: {:.0} bytes each", peer.name, footprint.each());
            Ok(footprint)
        });
        footprints.extend(successes(&knowing, filling));
    };
    let all = [Kind::Hallpass, Kind::Valkey, Kind::Redis];
    fill("SETEX, values of 400-600", &keys.load(Lengths::Session), &all);
    fill("SETEX, values of 200-2000", &keys.load(Lengths::Wide), &all);
    if peers.iter().any(|peer| peer.kind == Kind::Hallpass) {
        for each in [1, 4, 10] {
            let stored = format!("SESSION.CREATE, {each} to a user");
            fill(&stored, &keys.create_sessions(each), &[Kind::Hallpass]);
        }
    }
    footprints
}

fn footprint(options: &Options, peer: &Peer, stored: &str, load: &Load) -> Result<Footprint> {
    let server = Server::start(peer, options.server_core, &options.output)?;
    let mut generator = Generator::connect(server.port(), CONNECTIONS)?;
    let before = settled(&server)?;
    generator.send_all(&load.requests, PIPELINE)?;
    let after = settled(&server)?;
    Ok(Footprint {
        server: peer.name.clone(),
        stored: stored.to_owned(),
        count: load.requests.len(),
        resident_bytes: after.saturating_sub(before),
        value_bytes: load.value_bytes,
        name_bytes: load.name_bytes,
    })
}

/// The resident set when it has stopped changing: tables may still be growing step by step.
fn settled(server: &Server) -> Result<usize> {
    let mut last = server.resident_bytes()?;
    for _ in 0..READINGS_MAX {
        std::thread::sleep(READING_EVERY);
        let now = server.resident_bytes()?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_is_what_is_not_payload() {
        let footprint = Footprint {
            server: String::new(),
            stored: String::new(),
            count: 10,
            resident_bytes: 6000,
            value_bytes: 5000,
            name_bytes: 280,
        };
        assert!((footprint.each() - 600.0).abs() < 1e-9);
        assert!((footprint.over_value() - 100.0).abs() < 1e-9);
        assert!((footprint.over_all() - 72.0).abs() < 1e-9);
    }
}
