//! The engine, operation by operation: with one and two threads, over 10^4 to 10^7 sessions, beside the
//! bare lookup of the same keys and values in dashmap and papaya.
//!
//! A time is that of one operation of the whole store: with two threads that share nothing it is half
//! of what one needs. Lookups draw their keys uniformly, which no cache likes. The maps hash session
//! ids as the engine does, which is not at all, and keys with SipHash-1-3, as the engine does, too.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hash::{BuildHasherDefault, Hasher, RandomState};
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use dashmap::DashMap;
use hallpass_benches::{
    LIMITS, VALUE, at_random, create, empty_engine, engine_of_keys, engine_of_sessions, in_threads,
    key_name, now, session_id, set, timed_in_threads, user_name,
};
use hallpass_engine::{Engine, Key, Limits, Op, SessionHash, Stamp, Touch, Value, snapshot};

/// Set in the environment, it adds 10^7 sessions: some 4 GB and ten minutes more.
const LONG: &str = "HALLPASS_BENCH_LONG";

/// How many sessions are created and ended in turn, so that a store keeps its size.
const BATCH: u64 = 1000;

/// Takes the first eight bytes of a session's id for its hash: they are random.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length in front of an array of bytes.
    fn write_usize(&mut self, _length: usize) {}
}

type IdHasher = BuildHasherDefault<FirstBytes>;
type KeyBytes = [u8; 28];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    let mut sizes = vec![10_000, 100_000, 1_000_000];
    if std::env::var_os(LONG).is_some() {
        sizes.push(10_000_000);
    }
    for count in sizes {
        sessions(&mut criterion, count);
        session_maps(&mut criterion, count);
        keys(&mut criterion, count);
        key_maps(&mut criterion, count);
    }
    revoke_user(&mut criterion);
    expiry(&mut criterion);
    snapshots(&mut criterion);
    criterion.final_summary();
}

/// Measures `work`, which gets a random number below `count`, with one thread and with two.
fn lookups(criterion: &mut Criterion, name: &str, count: u64, work: impl Fn(u64, Stamp) + Sync) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    for threads in [1, 2] {
        let id = BenchmarkId::new(format!("threads={threads}"), count);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|operations| {
                in_threads(threads, operations, |thread, part| {
                    at_random(thread, part, count, &work);
                })
            });
        });
    }
    group.finish();
}

fn sessions(criterion: &mut Criterion, count: u64) {
    let engine = engine_of_sessions(count);
    lookups(criterion, "validate", count, |number, now| validate(&engine, number, now, Touch::Now));
    lookups(criterion, "validate-without-touch", count, |number, now| {
        validate(&engine, number, now, Touch::No);
    });
    lookups(criterion, "touch", count, |number, now| {
        black_box(engine.apply(&Op::SessionTouch { id: session_id(number) }, now));
    });
    let sides = [("create", true), ("revoke", false)];
    for (name, creating) in sides {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        for threads in [1, 2] {
            let id = BenchmarkId::new(format!("threads={threads}"), count);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|operations| {
                    timed_in_threads(threads, operations, |thread, part| {
                        let (created, revoked) = come_and_go(&engine, count, thread, part);
                        if creating { created } else { revoked }
                    })
                });
            });
        }
        group.finish();
    }
}

fn validate(engine: &Engine, number: u64, now: Stamp, touch: Touch<'_>) {
    let found = engine.validate(&session_id(number), now, touch, |user| user.map(<[u8]>::len));
    assert!(black_box(found).is_some(), "a session that is there");
}

/// Creates and ends so many sessions beside the `count` that stay: the time of either.
fn come_and_go(engine: &Engine, count: u64, thread: u64, operations: u64) -> (Duration, Duration) {
    let (mut created, mut revoked) = (Duration::ZERO, Duration::ZERO);
    let (mut done, now) = (0, now());
    // Far from the numbers of those that stay, and from the other thread's.
    let first = (thread + 1) << 40;
    while done < operations {
        let batch = first + done..first + operations.min(done + BATCH);
        let start = Instant::now();
        for number in batch.clone() {
            create(engine, number, &user_name(number % count), LIMITS, now);
        }
        let between = Instant::now();
        created += between - start;
        for number in batch {
            let op = Op::SessionRevoke { ids: vec![session_id(number)] };
            black_box(engine.apply(&op, now));
        }
        revoked += between.elapsed();
        done += BATCH;
    }
    (created, revoked)
}

fn session_maps(criterion: &mut Criterion, count: u64) {
    let entry = |number| (session_id(number), Box::from(VALUE));
    let dashmap: DashMap<SessionHash, Box<[u8]>, IdHasher> = (0..count).map(entry).collect();
    lookups(criterion, "bare-session-lookup-dashmap", count, |number, _| {
        black_box(dashmap.get(&session_id(number)).map(|value| value[0]));
    });
    drop(dashmap);
    let papaya: papaya::HashMap<SessionHash, Box<[u8]>, IdHasher> = (0..count).map(entry).collect();
    lookups(criterion, "bare-session-lookup-papaya", count, |number, _| {
        black_box(papaya.pin().get(&session_id(number)).map(|value| value[0]));
    });
}

fn keys(criterion: &mut Criterion, count: u64) {
    let engine = engine_of_keys(count);
    lookups(criterion, "get", count, |number, now| {
        let name = key_name(number);
        let first = engine.look(Key::new(engine.seed(), 0, &name), now, |entry| {
            entry.and_then(|entry| match entry.value {
                Value::String(value) => value.first().copied(),
                Value::Collection(_) => None,
            })
        });
        assert!(black_box(first).is_some(), "a key that is there");
    });
    lookups(criterion, "set", count, |number, now| set(&engine, number, &VALUE, now));
}

fn key_maps(criterion: &mut Criterion, count: u64) {
    let entry = |number| (key_name(number), Box::from(VALUE));
    let dashmap: DashMap<KeyBytes, Box<[u8]>, RandomState> = (0..count).map(entry).collect();
    lookups(criterion, "bare-key-lookup-dashmap", count, |number, _| {
        black_box(dashmap.get(&key_name(number)).map(|value| value[0]));
    });
    drop(dashmap);
    let papaya: papaya::HashMap<KeyBytes, Box<[u8]>, RandomState> = (0..count).map(entry).collect();
    lookups(criterion, "bare-key-lookup-papaya", count, |number, _| {
        black_box(papaya.pin().get(&key_name(number)).map(|value| value[0]));
    });
}

/// The logout alone, and then the sweep of what it left behind, for each session.
fn revoke_user(criterion: &mut Criterion) {
    for count in [1, 1000, 100_000] {
        for sweep in [false, true] {
            let name = if sweep { "revoke-user-sweep" } else { "revoke-user" };
            let mut group = criterion.benchmark_group(name);
            group.throughput(Throughput::Elements(if sweep { count } else { 1 }));
            // Each time needs its sessions created anew: few iterations, each timed by itself.
            group.sample_size(10).warm_up_time(Duration::from_millis(1));
            let engine = engine_of_sessions(100_000);
            let mut number = 1 << 40;
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut timed = Duration::ZERO;
                    for _ in 0..iterations {
                        for _ in 0..count {
                            create(&engine, number, b"the user", LIMITS, now());
                            number += 1;
                        }
                        let start = Instant::now();
                        let op = Op::SessionRevokeUser { user: b"the user", except: None };
                        black_box(engine.apply(&op, now()));
                        let between = Instant::now();
                        while engine.sweep(now(), usize::MAX).more {}
                        timed += if sweep { between.elapsed() } else { between - start };
                    }
                    timed
                });
            });
            group.finish();
        }
    }
}

/// Reclaiming sessions that expire together.
fn expiry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expiry");
    group.sample_size(10);
    for count in [10_000, 100_000] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let filled = || {
                let engine = empty_engine();
                let limits = Limits { idle_seconds: 60, lifetime_seconds: 0 };
                for number in 0..count {
                    create(&engine, number, &user_name(number / 4), limits, now());
                }
                engine
            };
            let reclaim = |engine: Engine| {
                let later = now().plus_millis(61_000);
                while engine.sweep(later, usize::MAX).more {}
                engine
            };
            bencher.iter_batched(filled, reclaim, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// A whole image out of a store, and back into an empty one.
fn snapshots(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot");
    group.sample_size(10);
    for count in [10_000, 100_000] {
        group.throughput(Throughput::Elements(count));
        let engine = engine_of_sessions(count);
        group.bench_function(BenchmarkId::new("write", count), |bencher| {
            bencher.iter(|| snapshot::to_bytes(&engine, now()));
        });
        let image = snapshot::to_bytes(&engine, now()).expect("no other snapshot is in progress");
        group.bench_function(BenchmarkId::new("restore", count), |bencher| {
            let restore = |engine: Engine| {
                assert!(snapshot::restore(&engine, &image).is_ok(), "the image is whole");
                engine
            };
            bencher.iter_batched(empty_engine, restore, BatchSize::PerIteration);
        });
    }
    group.finish();
}
