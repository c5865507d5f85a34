//! Open-loop latency: requests are due at a fixed rate, whether or not the server keeps up.
//!
//! A request's latency runs from the moment it was due, not from when a connection was free to send
//! it: a server that stalls is charged for everyone who had to wait (no coordinated omission).
//! Rates are shares of what the slowest peer can do at one request a connection, so that each
//! server meets the same load and none is overrun. Requests under way while another program held a core
//! are left out, as [`disturbance`](crate::disturbance) tells, and their share is shown.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::Timespec;
use serde::Serialize;

use crate::disturbance::Watch;
use crate::options::Options;
use crate::peer::{Kind, Peer};
use crate::server::Server;
use crate::throughput::{loaded, successes};
use crate::workload::{Keys, Lengths};
use hallpass_benches::error::{Error, Result};
use hallpass_benches::generator::{Generator, Sending, Shape};
use hallpass_benches::reply::Counts;
use hallpass_benches::requests::Requests;
use hallpass_benches::statistics::{median, median_ratio};

/// Shares of the slowest peer's maximum.
const SHARES: [f64; 3] = [0.3, 0.5, 0.7];
/// Share of Valkey's maximum that is measured as well.
const VALKEY_SHARE: f64 = 0.5;
/// Attempts at a server's maximum, of which the best counts.
const CALIBRATIONS: usize = 3;
/// Longer ones are counted as this: 100 seconds, more than a run.
const LATENCY_NS_MAX: u64 = 100_000_000_000;
/// Significant digits of the histogram.
const DIGITS: u8 = 3;
/// No reply for so long is a failure.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The generator spins: a sleeping one would add its own wake-up to each latency.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// A round of which more is left out, in percent, says nothing.
const LEFT_OUT_PERCENT_MAX: f64 = 50.0;

/// Latencies of one server at one rate: microseconds, medians over the rounds that count; not a number
/// when none does.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    /// Name of the server.
    pub(crate) server: String,
    /// Where the rate comes from.
    pub(crate) load: String,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Half of the requests took no longer.
    pub(crate) p50_us: f64,
    /// 99 of 100.
    pub(crate) p99_us: f64,
    /// 999 of 1000.
    pub(crate) p999_us: f64,
    /// The longest of all rounds.
    pub(crate) max_us: f64,
    /// Share of the requests that were left out, in percent: the median of all rounds.
    pub(crate) left_out_percent: f64,
    /// Median over the rounds of p99.9 as a ratio to Valkey's in the same round.
    pub(crate) p999_to_valkey: Option<f64>,
    /// Every round.
    pub(crate) rounds: Vec<Percentiles>,
}

/// Latencies of one round, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Percentiles {
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    left_out_percent: f64,
}

/// A rate and what it is a share of.
#[derive(Debug)]
struct Rate {
    load: String,
    per_second: f64,
}

/// Measures every server at every rate.
pub(crate) fn measure(options: &Options, peers: &[Peer]) -> Result<Vec<Latency>> {
    let keys = Keys::new(options.keys);
    let load = keys.load(Lengths::Session);
    let loading = peers.iter().map(|peer| Ok((peer.clone(), loaded(options, peer, &load)?)));
    let (peers, servers): (Vec<Peer>, Vec<Server>) = successes(peers, loading).into_iter().unzip();
    drop(load);
    let requests = keys.get_mix();
    let rates = rates(options, &peers, &servers, &requests)?;
    let mut rounds = vec![vec![Vec::new(); servers.len()]; rates.len()];
    for round in 1..=options.rounds {
        for (rate, rounds) in rates.iter().zip(&mut rounds) {
            for ((peer, server), rounds) in peers.iter().zip(&servers).zip(rounds) {
                let mut generator = Generator::connect(server.port(), options.connections)?;
                let window = options.window;
                let mut schedule = Schedule::new(rate.per_second, window.warm_up, window.measured);
                let mut watch = Watch::begin(server)?;
                schedule.run(&mut generator, &requests, &mut watch)?;
                let percentiles = schedule.percentiles(|from, to| watch.disturbs(from, to));
                let Percentiles { p50_us, p999_us, left_out_percent, .. } = percentiles;
                eprintln!(
                    "round {round} {:>6.0}/s {:<10} p50 {p50_us:>5.0} us, p99.9 {p999_us:>6.0} us, \
                     {left_out_percent:.0} % left out",
                    rate.per_second, peer.name
                );
                rounds.push(percentiles);
            }
        }
    }
    let points = rates.iter().zip(rounds).flat_map(|(rate, rounds)| points(&peers, rate, rounds));
    Ok(points.collect())
}

/// Finds what the servers can do, and from it the rates.
fn rates(
    options: &Options,
    peers: &[Peer],
    servers: &[Server],
    requests: &Requests,
) -> Result<Vec<Rate>> {
    let shape = Shape { pipeline: 1, sending: Sending::Batch, window: options.window };
    let mut maxima: Vec<(Kind, f64)> = peers.iter().map(|peer| (peer.kind, 0.0)).collect();
    for _ in 0..CALIBRATIONS {
        for (server, (_, maximum)) in servers.iter().zip(&mut maxima) {
            let mut generator = Generator::connect(server.port(), options.connections)?;
            let measured = generator.saturate(requests, shape, &|| server.cpu_time())?;
            *maximum = maximum.max(measured.throughput);
        }
    }
    for (peer, (_, maximum)) in peers.iter().zip(&maxima) {
        eprintln!("{:<10} at most {maximum:>6.0}/s with one request a connection", peer.name);
    }
    let is_peer = |kind: Kind| matches!(kind, Kind::Valkey | Kind::Redis);
    let any_peer = maxima.iter().any(|(kind, _)| is_peer(*kind));
    let slowest = maxima
        .iter()
        .filter(|(kind, _)| !any_peer || is_peer(*kind))
        .map(|(_, maximum)| *maximum)
        .fold(f64::INFINITY, f64::min);
    let mut rates: Vec<Rate> = SHARES
        .iter()
        .map(|share| Rate {
            load: format!("slowest peer, {:.0} %", share * 100.0),
            per_second: share * slowest,
        })
        .collect();
    if let Some((_, valkey)) = maxima.iter().find(|(kind, _)| *kind == Kind::Valkey) {
        let load = format!("Valkey, {:.0} %", VALKEY_SHARE * 100.0);
        rates.push(Rate { load, per_second: VALKEY_SHARE * valkey });
    }
    Ok(rates)
}

/// When requests are due, and what became of them. Times are nanoseconds since the start.
#[derive(Debug)]
struct Schedule {
    interval_ns: f64,
    warm_up_ns: u64,
    total: usize,
    sent: usize,
    answered: usize,
    /// When each was due and when it was answered, but for those of the warm-up.
    measured: Vec<(u64, u64)>,
}

impl Schedule {
    fn new(per_second: f64, warm_up: Duration, measured: Duration) -> Self {
        let total = per_second * (warm_up + measured).as_secs_f64();
        Self {
            interval_ns: 1e9 / per_second,
            warm_up_ns: warm_up.as_nanos() as u64,
            total: total as usize,
            sent: 0,
            answered: 0,
            measured: Vec::with_capacity(total as usize),
        }
    }

    fn due_ns(&self, request: usize) -> u64 {
        (request as f64 * self.interval_ns) as u64
    }

    fn run(
        &mut self,
        generator: &mut Generator,
        requests: &Requests,
        watch: &mut Watch,
    ) -> Result<()> {
        let mut free: VecDeque<usize> = (0..generator.clients()).collect();
        let mut due_ns = vec![0; generator.clients()];
        let mut counts = Counts::default();
        let started = Instant::now();
        let elapsed_ns = || started.elapsed().as_nanos() as u64;
        let mut last_reply_ns = 0;
        while self.answered < self.total {
            let now_ns = elapsed_ns();
            while self.sent < self.total && self.due_ns(self.sent) <= now_ns {
                let Some(index) = free.pop_front() else { break };
                due_ns[index] = self.due_ns(self.sent);
                let request = self.sent % requests.len();
                generator.send(index, requests, request..request + 1)?;
                self.sent += 1;
            }
            let behind = self.sent < self.total && self.due_ns(self.sent) <= now_ns;
            watch.look(now_ns, behind);
            if now_ns.saturating_sub(last_reply_ns) > SILENCE_MAX.as_nanos() as u64 {
                return Err(Error::Stalled("stopped answering"));
            }
            generator.poll(requests, AT_ONCE, &mut counts, |index| {
                last_reply_ns = elapsed_ns();
                self.answer(due_ns[index], last_reply_ns);
                free.push_back(index);
            })?;
        }
        Ok(())
    }

    fn answer(&mut self, due_ns: u64, now_ns: u64) {
        self.answered += 1;
        if due_ns >= self.warm_up_ns {
            self.measured.push((due_ns, now_ns));
        }
    }

    fn percentiles(&self, disturbed: impl Fn(u64, u64) -> bool) -> Percentiles {
        let mut histogram = histogram();
        for &(due_ns, answered_ns) in &self.measured {
            if !disturbed(due_ns, answered_ns) {
                histogram.saturating_record(answered_ns.saturating_sub(due_ns));
            }
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        let kept = histogram.len() as f64 / self.measured.len().max(1) as f64;
        Percentiles {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1e3,
            left_out_percent: 100.0 * (1.0 - kept),
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).expect("bounds the library allows")
}

/// One rate's rounds of all servers, summed up.
fn points(peers: &[Peer], rate: &Rate, rounds: Vec<Vec<Percentiles>>) -> Vec<Latency> {
    let counts = |round: &Percentiles| round.left_out_percent <= LEFT_OUT_PERCENT_MAX;
    let p999 = |rounds: &[Percentiles]| -> Vec<Option<f64>> {
        rounds.iter().map(|round| counts(round).then_some(round.p999_us)).collect()
    };
    let valkey = peers.iter().position(|peer| peer.kind == Kind::Valkey);
    let valkey = valkey.map_or_else(Vec::new, |index| p999(&rounds[index]));
    let latency = |(peer, rounds): (&Peer, Vec<Percentiles>)| {
        let of = |field: fn(&Percentiles) -> f64| -> Vec<f64> {
            rounds.iter().filter(|round| counts(round)).map(field).collect()
        };
        let middle = |field| median(&of(field)).unwrap_or(f64::NAN);
        let left_out: Vec<f64> = rounds.iter().map(|round| round.left_out_percent).collect();
        let own = p999(&rounds);
        let pairs = own.iter().zip(&valkey).filter_map(|(own, valkey)| own.zip(*valkey));
        let (own, valkey): (Vec<f64>, Vec<f64>) = pairs.unzip();
        Latency {
            server: peer.name.clone(),
            load: rate.load.clone(),
            rate: rate.per_second,
            p50_us: middle(|round| round.p50_us),
            p99_us: middle(|round| round.p99_us),
            p999_us: middle(|round| round.p999_us),
            max_us: of(|round| round.max_us).into_iter().fold(f64::NAN, f64::max),
            left_out_percent: median(&left_out).unwrap_or_default(),
            p999_to_valkey: median_ratio(&own, &valkey),
            rounds,
        }
    };
    peers.iter().zip(rounds).map(latency).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_counts_from_when_a_request_was_due() {
        let mut schedule =
            Schedule::new(1000.0, Duration::from_millis(10), Duration::from_millis(90));
        assert_eq!(schedule.total, 100);
        assert_eq!(schedule.due_ns(50), 50_000_000);
        // Due while warming up: not counted.
        schedule.answer(9_000_000, 10_500_000);
        schedule.answer(50_000_000, 52_000_000);
        assert_eq!(schedule.answered, 2);
        let percentiles = schedule.percentiles(|_, _| false);
        assert!((percentiles.max_us - 2000.0).abs() < 2.0);
        assert!(percentiles.left_out_percent.abs() < 0.1);
        schedule.answer(60_000_000, 90_000_000);
        let percentiles = schedule.percentiles(|from, _| from == 60_000_000);
        assert!((percentiles.max_us - 2000.0).abs() < 2.0, "the disturbed one is left out");
        assert!((percentiles.left_out_percent - 50.0).abs() < 0.1);
    }

    #[test]
    fn a_round_that_was_mostly_disturbed_does_not_count() {
        let round = |p999_us, left_out_percent| Percentiles {
            p50_us: 1.0,
            p99_us: 1.0,
            p999_us,
            max_us: p999_us,
            left_out_percent,
        };
        let peer = |kind| Peer {
            name: String::new(),
            kind,
            program: "/bin/true".into(),
            version: String::new(),
        };
        let peers = [peer(Kind::Valkey), peer(Kind::Hallpass)];
        let rate = Rate { load: String::new(), per_second: 1.0 };
        let valkey = vec![round(100.0, 0.0), round(0.0, 100.0), round(200.0, 10.0)];
        let hallpass = vec![round(50.0, 0.0), round(60.0, 0.0), round(0.0, 100.0)];
        let points = points(&peers, &rate, vec![valkey, hallpass]);
        assert!((points[0].p999_us - 150.0).abs() < 0.1);
        assert!((points[1].p999_us - 55.0).abs() < 0.1);
        assert!(points[1].p999_to_valkey.is_some_and(|ratio| (ratio - 0.5).abs() < 0.01));
    }
}
