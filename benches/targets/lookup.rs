//! Validating random sessions of stores of several sizes, with one thread and with two.
//!
//! A lone lookup waits for memory several times in turn, as long as [`crate::chase`] says; a server that has
//! many requests at hand asks for all their lines before it needs them, so it is measured in batches too.
//!
//! All stores are filled first and each round visits them all, so that what else the machine does
//! meets all alike. Two threads are measured on one store and, for comparison, each on a store of its
//! own: they share nothing then but the machine, and more cannot be had from it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hallpass_benches::schedule::{Schedule, Spent};
use hallpass_benches::{at_random, engine_of_sessions, session_id};
use hallpass_engine::{Engine, Hint, SessionKey, Touch};

use crate::chase;
use crate::options::Options;
use crate::{median, verdict};

/// How much slower than the smallest store the largest may be.
const GROWTH_MAX: f64 = 4.0;
/// Requests a server has at hand.
const BATCH: usize = 32;
/// Where a lookup goes, one after the other: bucket, slot, session, and the user's record.
const READS_A_LOOKUP: f64 = 4.0;
/// How many times the work of one thread two have to do.
const SPEEDUP_MIN: f64 = 1.8;

/// Two stores of a size: the second for the second thread when nothing is shared.
struct Stores {
    sessions: u64,
    engines: [Engine; 2],
}

/// A round in one store.
struct Round {
    /// Nanoseconds an operation with one thread.
    one: f64,
    /// The same in batches whose memory is asked for beforehand.
    staged: f64,
    /// Operations of two threads in the time that one needs for one.
    shared: f64,
    /// The same by the time the threads were on a processor, as if they never waited for one.
    shared_running: f64,
    /// As `shared`, with a store for each thread.
    apart: f64,
}

pub(crate) fn measure(options: &Options) {
    let fill = |&sessions: &u64| Stores {
        sessions,
        engines: [engine_of_sessions(sessions), engine_of_sessions(sessions)],
    };
    let stores: Vec<Stores> = options.sizes.iter().map(fill).collect();
    let mut rounds: Vec<Vec<Round>> = stores.iter().map(|_| Vec::new()).collect();
    // The first round finds cold caches and is left out.
    for round in 0..=options.rounds {
        for (store, rounds) in stores.iter().zip(&mut rounds) {
            let measured = measure_round(store, options.operations);
            if round > 0 {
                rounds.push(measured);
            }
        }
    }
    print(&stores, &rounds);
    print_reads(&stores, &rounds);
}

fn measure_round(store: &Stores, operations: u64) -> Round {
    let [first, second] = &store.engines;
    let run = |engines: &[&Engine]| run(engines, store.sessions, operations);
    let (one, running_one) = run(&[first]);
    let (shared, running_shared) = run(&[first, first]);
    let (apart, _) = run(&[first, second]);
    let staged = run_staged(first, store.sessions, operations);
    let speedup = |one: Duration, two: Duration| 2.0 * one.as_secs_f64() / two.as_secs_f64();
    Round {
        one: one.as_secs_f64() * 1e9 / operations as f64,
        staged: staged.as_secs_f64() * 1e9 / operations as f64,
        shared: speedup(one, shared),
        shared_running: speedup(running_one, running_shared),
        apart: speedup(one, apart),
    }
}

/// One thread's operations in batches, staged as the server stages them.
fn run_staged(engine: &Engine, sessions: u64, operations: u64) -> Duration {
    let mut batch = Vec::with_capacity(BATCH);
    let start = Instant::now();
    at_random(sessions, operations, sessions, |number, now| {
        batch.push((session_id(number), Hint::default()));
        if batch.len() < BATCH {
            return;
        }
        for (id, _) in &batch {
            engine.prefetch_bucket(id.hash());
        }
        engine.prefetch_records(batch.iter_mut().map(|(id, hint)| (id.hash(), hint)));
        for (id, hint) in batch.drain(..) {
            let session = SessionKey::new(id, hint);
            let found = engine.validate(session, now, Touch::Now, |user| user.map(<[u8]>::len));
            assert!(black_box(found).is_some(), "a session that is there");
        }
    });
    start.elapsed()
}

/// A thread for each engine does so many operations: the time until the last was done, and the longest
/// time that one was on a processor.
fn run(engines: &[&Engine], sessions: u64, operations: u64) -> (Duration, Duration) {
    let barrier = std::sync::Barrier::new(engines.len());
    let work = |thread: usize, engine: &Engine| {
        let schedule = Schedule::of_this_thread().ok();
        let spent = || schedule.as_ref().map_or_else(Spent::default, Schedule::spent);
        barrier.wait();
        let (start, before) = (Instant::now(), spent());
        at_random(thread as u64 + sessions, operations, sessions, |number, now| {
            let found =
                engine.validate(&session_id(number), now, Touch::Now, |user| user.map(<[u8]>::len));
            assert!(black_box(found).is_some(), "a session that is there");
        });
        let elapsed = start.elapsed();
        // The scheduler's account of running time is coarse; that of waiting is exact.
        (elapsed, elapsed.saturating_sub(spent().waiting.saturating_sub(before.waiting)))
    };
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = engines
            .iter()
            .enumerate()
            .map(|(thread, &engine)| scope.spawn(move || work(thread, engine)))
            .collect();
        let times = running.into_iter().map(|thread| thread.join().expect("a bench's thread"));
        times.fold(Default::default(), |(wall, ran): (Duration, Duration), (a, b)| {
            (wall.max(a), ran.max(b))
        })
    })
}

fn print(stores: &[Stores], rounds: &[Vec<Round>]) {
    println!("\nValidating random sessions; two threads against one, medians of rounds");
    println!(
        "  {:>10} {:>12} {:>14} {:>12} {:>14} {:>24}",
        "sessions",
        "ns, 1 thread",
        "in batches",
        "two threads",
        "without waits",
        "two, a store for each"
    );
    for (store, rounds) in stores.iter().zip(rounds) {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
        println!(
            "  {:>10} {:>12.1} {:>14.1} {:>12.2} {:>14.2} {:>24.2}",
            store.sessions,
            of(|round| round.one),
            of(|round| round.staged),
            of(|round| round.shared),
            of(|round| round.shared_running),
            of(|round| round.apart)
        );
    }
    if let (Some(small), Some(large)) = (rounds.first(), rounds.last()) {
        let growth = |value: fn(&Round) -> f64| {
            median(small.iter().zip(large).map(|(small, large)| value(large) / value(small)))
        };
        let largest = stores.last().map_or(0, |store| store.sessions);
        let smallest = stores.first().map_or(0, |store| store.sessions);
        let what = format!("at {largest} to {smallest} sessions");
        let (lone, staged) = (growth(|round| round.one), growth(|round| round.staged));
        verdict(&format!("validate in batches of {BATCH}, {what}"), staged, GROWTH_MAX);
        verdict(&format!("validate alone, {what}"), lone, GROWTH_MAX);
        for (store, rounds) in stores.iter().zip(rounds) {
            let speedup = median(rounds.iter().map(|round| round.shared));
            let word = if speedup >= SPEEDUP_MIN { "met" } else { "MISSED" };
            println!(
                "  two threads to one at {} sessions: {speedup:.2}, target at least {SPEEDUP_MIN}: {word}",
                store.sessions
            );
        }
    }
}

/// How much of what a lone lookup costs beyond the smallest store's is reads that wait for each other.
fn print_reads(stores: &[Stores], rounds: &[Vec<Round>]) {
    println!("\n  A lone lookup beside reads of memory of which each waits for the one before; ns");
    println!(
        "  {:>10} {:>10} {:>12} {:>14} {:>20}",
        "sessions", "MB", "one read", "lone lookup", "beyond the smallest"
    );
    let lone = |rounds: &[Round]| median(rounds.iter().map(|round| round.one));
    let base = rounds.first().map_or(0.0, |rounds| lone(rounds));
    for (store, rounds) in stores.iter().zip(rounds) {
        let bytes = store.engines[0].memory_bytes();
        let (read, lone) = (chase::nanos_a_read(bytes), lone(rounds));
        println!(
            "  {:>10} {:>10} {:>12.1} {:>14.1} {:>14.1} = {:.1} x {:.1}",
            store.sessions,
            bytes >> 20,
            read,
            lone,
            lone - base,
            (lone - base) / read,
            read
        );
    }
    println!(
        "  A lookup makes {READS_A_LOOKUP} such reads: bucket, slot, session, its user's record."
    );
}
