//! A million sessions expire at one instant and are reclaimed by one thread while another one reads.
//!
//! Reads follow each other without a gap, and each is timed from the end of the one before, so a pause
//! of any kind falls into some read. When one took long, the scheduler is asked how long the thread
//! waited for a processor meanwhile: that is the machine's doing and is shown apart. What a hypervisor
//! takes it does not know; so the reader spends every other moment on arithmetic that never touches the
//! store, for about as long as a read, and what interrupts that is the machine, too. Besides, the steps of
//! a sweep are timed alone, the smallest there are: no lock is held for longer than such a step. The same
//! reads without a sweep are the control. The reader rests for one millisecond in ten, because Linux stops
//! real-time work (`chrt -r`) that never rests for 50 ms in each second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hallpass_benches::schedule::Schedule;
use hallpass_benches::{LIMITS, START, create, empty_engine, session_id, user_name};
use hallpass_engine::{Engine, Limits, Stamp, Touch};
use hdrhistogram::Histogram;

use crate::options::Options;
use crate::verdict;

/// Sessions that expire together, and sessions that live on.
const EXPIRING: u64 = 1_000_000;
const LIVING: u64 = 100_000;
const EXPIRE_AFTER_SECONDS: u32 = 60;

/// No read may take longer.
const READ_MILLIS_MAX: f64 = 5.0;
/// Longer reads than this are counted as this long: a minute.
const READ_NANOS_MAX: u64 = 60_000_000_000;
/// A read that took longer than this is looked into.
const SUSPICIOUS: Duration = Duration::from_micros(100);
/// Random numbers drawn between reads, which takes about as long as a read.
const IDLE_DRAWS: usize = 800;
/// The reader works so long, and rests so long.
const WORK: Duration = Duration::from_millis(9);
const REST: Duration = Duration::from_millis(1);
/// How long reads are measured without a sweep.
const CONTROL: Duration = Duration::from_secs(2);

/// How the server's maintenance thread sweeps: so many entries, then so long a rest.
const SLICE_ENTRIES_MAX: usize = 4096;
const BETWEEN_SLICES: Duration = Duration::from_millis(1);

/// What the reader saw.
struct Reads {
    /// Nanoseconds, waits for a processor left out.
    times: Histogram<u64>,
    /// The slowest, waits included.
    slowest: Duration,
    /// The same of the arithmetic between them.
    idle: Histogram<u64>,
    idle_total: Duration,
    total: Duration,
}

pub(crate) fn measure(options: &Options) {
    println!(
        "\nReading while a million sessions that expired together are reclaimed; microseconds"
    );
    println!(
        "  {:<22} {:>9} {:>7} {:>7} {:>7} {:>8} {:>9} {:>16} {:>12} {:>9} {:>12}",
        "sweep",
        "reads",
        "p50",
        "p99.9",
        "p99.99",
        "p99.999",
        "slowest",
        "with its waits",
        "reclaimed in",
        "over 1 ms",
        "idle slowest"
    );
    let mut slowest = 0.0_f64;
    for _ in 0..options.expiries {
        let engine = fill();
        let (control, ()) = reading(&engine, START, || std::thread::sleep(CONTROL));
        print("none", &control, None);
        let expired = START.plus_millis(u64::from(EXPIRE_AFTER_SECONDS) * 1000 + 500);
        let (reads, took) = reading(&engine, expired, || reclaim(&engine, expired));
        assert_eq!(engine.statistics().sessions, LIVING, "all that expired is reclaimed");
        print("as the server does", &reads, Some(took));
        slowest = slowest.max(reads.times.max() as f64 / 1e6);
    }
    verdict("slowest read in milliseconds", slowest, READ_MILLIS_MAX);
    time_steps();
}

/// Sweeps in the smallest steps there are, with nobody else about, and times each.
fn time_steps() {
    let engine = fill();
    let expired = START.plus_millis(u64::from(EXPIRE_AFTER_SECONDS) * 1000 + 500);
    let mut times =
        Histogram::<u64>::new_with_bounds(1, READ_NANOS_MAX, 3).expect("bounds in order");
    let schedule = Schedule::of_this_thread().ok();
    let waiting = || schedule.as_ref().map_or(Duration::ZERO, |schedule| schedule.spent().waiting);
    let stolen = stolen_ticks();
    loop {
        let (waited, start) = (waiting(), Instant::now());
        let more = engine.sweep(expired, 1).more;
        let took = start.elapsed().saturating_sub(waiting().saturating_sub(waited));
        times.saturating_record(took.as_nanos() as u64);
        if !more {
            break;
        }
    }
    let micros = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "  {} steps of a sweep alone, us: p50 {:.0}, p99 {:.0}, p99.9 {:.0}, slowest {:.0}; {} ticks stolen",
        times.len(),
        micros(0.5),
        micros(0.99),
        micros(0.999),
        times.max() as f64 / 1e3,
        stolen_ticks().saturating_sub(stolen),
    );
    verdict(
        "slowest step of a sweep alone in milliseconds",
        times.max() as f64 / 1e6,
        READ_MILLIS_MAX,
    );
}

/// Time that a hypervisor took from this machine since its start, in hundredths of a second; 0 when unknown.
fn stolen_ticks() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let stolen = text.lines().next().and_then(|line| line.split_ascii_whitespace().nth(8));
    stolen.and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

fn fill() -> Engine {
    let engine = empty_engine();
    let limits = Limits { idle_seconds: EXPIRE_AFTER_SECONDS, lifetime_seconds: 0 };
    for number in 0..EXPIRING + LIVING {
        let limits = if number < EXPIRING { limits } else { LIMITS };
        create(&engine, number, &user_name(number / 4), limits, START);
    }
    engine
}

fn reclaim(engine: &Engine, now: Stamp) -> Duration {
    let start = Instant::now();
    while engine.sweep(now, SLICE_ENTRIES_MAX).more {
        std::thread::sleep(BETWEEN_SLICES);
    }
    start.elapsed()
}

/// Runs `work` while another thread reads: what the reads took.
fn reading<R>(engine: &Engine, now: Stamp, work: impl FnOnce() -> R) -> (Reads, R) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_until(&done, engine, now));
        let result = work();
        done.store(true, Ordering::Relaxed);
        (reader.join().expect("the reader"), result)
    })
}

fn read_until(done: &AtomicBool, engine: &Engine, now: Stamp) -> Reads {
    let mut times = Histogram::new_with_bounds(1, READ_NANOS_MAX, 3).expect("bounds in order");
    let mut idle = times.clone();
    let (mut slowest, mut total, mut idle_total) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut random = fastrand::Rng::with_seed(1);
    let schedule = Schedule::of_this_thread().ok();
    let waiting = || schedule.as_ref().map_or(Duration::ZERO, |schedule| schedule.spent().waiting);
    while !done.load(Ordering::Relaxed) {
        let began = Instant::now();
        let mut waited = waiting();
        let mut last = Instant::now();
        while last - began < WORK {
            let number = random.u64(0..EXPIRING + LIVING);
            let found =
                engine.validate(&session_id(number), now, Touch::Now, |user| user.is_some());
            assert!(found || number < EXPIRING, "what lives on is there");
            let mut next = Instant::now();
            let mut took = next - last;
            if took > SUSPICIOUS {
                slowest = slowest.max(took);
                let waited_before = std::mem::replace(&mut waited, waiting());
                took = took.saturating_sub(waited.saturating_sub(waited_before));
                // What the look took is no read's.
                next = Instant::now();
            }
            times.saturating_record(took.as_nanos() as u64);
            total += took;
            last = next;
            for _ in 0..IDLE_DRAWS {
                std::hint::black_box(random.u64(..));
            }
            next = Instant::now();
            let mut took = next - last;
            if took > SUSPICIOUS {
                let waited_before = std::mem::replace(&mut waited, waiting());
                took = took.saturating_sub(waited.saturating_sub(waited_before));
                next = Instant::now();
            }
            idle.saturating_record(took.as_nanos() as u64);
            idle_total += took;
            last = next;
        }
        std::thread::sleep(REST);
    }
    slowest = slowest.max(Duration::from_nanos(times.max()));
    Reads { times, slowest, idle, idle_total, total }
}

fn print(name: &str, reads: &Reads, took: Option<Duration>) {
    let micros = |quantile: f64| reads.times.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "  {:<22} {:>9} {:>7.1} {:>7.1} {:>7.1} {:>8.1} {:>9.0} {:>16.0} {:>12} {:>9} {:>12.0}",
        name,
        reads.times.len(),
        micros(0.5),
        micros(0.999),
        micros(0.9999),
        micros(0.99999),
        reads.times.max() as f64 / 1e3,
        reads.slowest.as_secs_f64() * 1e6,
        took.map_or_else(String::new, |took| format!("{:.2} s", took.as_secs_f64())),
        over_a_millisecond(&reads.times),
        reads.idle.max() as f64 / 1e3,
    );
    println!(
        "  {:<22} {} of the arithmetic between were over 1 ms, in {:.2} s of {:.2} s",
        "",
        over_a_millisecond(&reads.idle),
        reads.idle_total.as_secs_f64(),
        (reads.total + reads.idle_total).as_secs_f64(),
    );
}

fn over_a_millisecond(times: &Histogram<u64>) -> u64 {
    times.count_between(1_000_000, READ_NANOS_MAX)
}
