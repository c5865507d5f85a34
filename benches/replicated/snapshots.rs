//! Snapshots: what writes suffer while one is taken.
//!
//! One node, filled, then written to without a pause: it takes a snapshot whenever it has logged as much as
//! it holds. A snapshot is under way while its file has its temporary name, so each reply of one and the same
//! run is told to one side or the other.

use std::time::{Duration, Instant};

use hallpass_benches::client::info;
use hallpass_benches::error::{Error, Result};
use hallpass_benches::generator::Generator;
use hallpass_benches::reply::Counts;
use hallpass_benches::table::{Table, ratio};
use hdrhistogram::Histogram;
use rustix::event::Timespec;

use crate::load::{self, VALUE_BYTES, Write};
use crate::options::Options;
use crate::system::hallpass;

const CLIENTS: usize = 50;
/// The file is looked for so often.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const WAIT_MAX: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// However few snapshots have been seen, it ends after so long.
const RUN_MAX: Duration = Duration::from_mins(2);
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const FLAGS: [&str; 4] = ["--data-dir", "snapshots", "--snapshot-bytes", "64kb"];

/// Replies and time of one side.
#[derive(Debug)]
struct Side {
    time: Duration,
    replies: u64,
    latencies: Histogram<u64>,
}

impl Side {
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        let latencies = latencies.expect("bounds the library allows");
        Self { time: Duration::ZERO, replies: 0, latencies }
    }
}

/// Writes until as many snapshots were taken as there are rounds.
pub(crate) fn measure(options: &Options) -> Result<Vec<Table>> {
    let (process, port) = hallpass(options, "snapshots", &FLAGS)?;
    let megabytes = options.megabytes / 8;
    let keys = (megabytes * 1_000_000 / VALUE_BYTES as u64) as usize;
    eprintln!("storing {megabytes} MB of values");
    let mut generator = Generator::connect(port, CLIENTS)?;
    for first in (0..keys).step_by(load::KEYS) {
        generator.send_all(&load::fill(first..keys.min(first + load::KEYS)), 16)?;
    }
    let writing = options.folder.join("snapshots").join("snapshot.writing");
    let (without, during, taken) = write(options, port, || writing.exists())?;
    process.kill()?;
    let heading = ["snapshot", "seconds", "writes/s", "to none", "p50 us", "p99 us", "max us"];
    let title = format!(
        "SET of 400 bytes, 50 clients, one node that holds {megabytes} MB of values; {taken} snapshots"
    );
    let mut table = Table::new(title, &heading);
    let rate = |side: &Side| side.replies as f64 / side.time.as_secs_f64();
    for (name, side) in [("none", &without), ("being taken", &during)] {
        let at =
            |quantile| format!("{:.0}", side.latencies.value_at_quantile(quantile) as f64 / 1e3);
        table.push(vec![
            name.to_owned(),
            format!("{:.2}", side.time.as_secs_f64()),
            format!("{:.0}", rate(side)),
            ratio(Some(rate(side) / rate(&without))),
            at(0.5),
            at(0.99),
            format!("{:.0}", side.latencies.max() as f64 / 1e3),
        ]);
    }
    Ok(vec![table])
}

/// What was written without a snapshot and during one, and how many there were.
fn write(
    options: &Options,
    port: u16,
    is_under_way: impl Fn() -> bool,
) -> Result<(Side, Side, usize)> {
    let requests = load::writes(Write::Set);
    let mut generator = Generator::connect(port, CLIENTS)?;
    let (mut without, mut during, mut taken) = (Side::new(), Side::new(), 0);
    let mut sent = vec![Instant::now(); generator.clients()];
    let (mut counts, mut answered) = (Counts::default(), Vec::new());
    let mut next = 0;
    for (index, sent) in sent.iter_mut().enumerate() {
        *sent = Instant::now();
        generator.send(index, &requests, next..next + 1)?;
        next += 1;
    }
    let started = Instant::now();
    let (mut looked, mut heard, mut under_way) = (started, started, is_under_way());
    while taken < options.rounds && started.elapsed() < RUN_MAX {
        generator.poll(&requests, WAIT_MAX, &mut counts, |index| answered.push(index))?;
        let now = Instant::now();
        let side = if under_way { &mut during } else { &mut without };
        for index in answered.drain(..) {
            side.latencies.saturating_record((now - sent[index]).as_nanos() as u64);
            side.replies += 1;
            heard = now;
            sent[index] = Instant::now();
            generator.send(index, &requests, next..next + 1)?;
            next = (next + 1) % requests.len();
        }
        if now - heard > SILENCE_MAX {
            return Err(Error::Stalled("stopped answering"));
        }
        if now - looked >= LOOK_EVERY {
            side.time += now - looked;
            looked = now;
            let was_under_way = std::mem::replace(&mut under_way, is_under_way());
            taken += usize::from(was_under_way && !under_way);
        }
    }
    if taken == 0 {
        let index = info(port, "replication", "raft_snapshot").unwrap_or_default();
        return Err(Error::Waited { patience: RUN_MAX, what: format!("a snapshot after {index}") });
    }
    Ok((without, during, taken))
}
