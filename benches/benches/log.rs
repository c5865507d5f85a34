//! The log on a real directory: appends a second, with one and with many waiting at a time.
//!
//! One waiting is the price of a sync; with 64 waiting, group commit has to show. The directory is in
//! the build's own, on whatever disk that is; `HALLPASS_BENCH_DIRECTORY` names another. The bare sync of
//! an appended file is measured beside it, as the limit.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use hallpass_server::cluster::disk::RealDisk;
use hallpass_server::cluster::log::{Log, LogOptions};

/// The payload of an entry: a session of the usual size.
const ENTRY_BYTES: usize = 400;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(10)
        .configure_from_args();
    bare_sync(&mut criterion);
    appends(&mut criterion);
    reads(&mut criterion);
    criterion.final_summary();
}

fn directory(name: &str) -> PathBuf {
    let parent = std::env::var_os("HALLPASS_BENCH_DIRECTORY");
    let parent = parent.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let path = parent.join(format!("log-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a directory for the log");
    path
}

fn open(path: &PathBuf) -> Log {
    let disk = RealDisk::open(path).expect("the directory opens");
    Log::open(Arc::new(disk), LogOptions::default()).expect("the log opens").0
}

fn bare_sync(criterion: &mut Criterion) {
    let path = directory("bare");
    let mut file = File::create(path.join("file")).expect("a file");
    criterion.bench_function("append-and-fdatasync", |bencher| {
        bencher.iter(|| {
            file.write_all(&[7; ENTRY_BYTES + 28]).expect("it is written");
            file.sync_data().expect("it is synced");
        });
    });
    let _ = std::fs::remove_dir_all(&path);
}

/// Appends one entry after the other, at most `waiting` of them not yet durable.
fn append(log: &Log, waiting: usize, count: u64) -> Duration {
    let payload = Bytes::from(vec![7; ENTRY_BYTES]);
    let first = log.bounds().end;
    let (told, completed) = mpsc::channel();
    let begin = Instant::now();
    let mut in_flight = 0;
    for index in first..first + count {
        if in_flight == waiting {
            completed.recv().expect("the log runs");
            in_flight -= 1;
        }
        let told = told.clone();
        log.append([(index, payload.clone())], move |result| {
            result.expect("it is durable");
            let _ = told.send(());
        });
        in_flight += 1;
    }
    for () in completed.iter().take(in_flight) {}
    begin.elapsed()
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    for waiting in [1, 64] {
        let path = directory("append");
        let log = open(&path);
        group.bench_function(BenchmarkId::new("waiting", waiting), |bencher| {
            bencher.iter_custom(|count| {
                let taken = append(&log, waiting, count);
                let last = log.bounds().end - 1;
                log.purge_through(last, Bytes::from_static(b"marker"), |_| {});
                taken
            });
        });
        let statistics = log.statistics();
        println!(
            "{waiting} waiting: {:.1} records a sync, a sync {:.3} ms",
            statistics.records as f64 / statistics.syncs as f64,
            statistics.sync_total.as_secs_f64() * 1e3 / statistics.syncs as f64
        );
        drop(log);
        let _ = std::fs::remove_dir_all(&path);
    }
    group.finish();
}

/// Reads 64 entries at a time, from memory and from segment files.
fn reads(criterion: &mut Criterion) {
    const ENTRIES: u64 = 200_000;
    let path = directory("read");
    let log = open(&path);
    append(&log, 64 << 10, ENTRIES);
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(64));
    for (name, start) in [("files", 100), ("memory", ENTRIES - 10_000)] {
        group.bench_function(name, |bencher| {
            let mut index = start;
            bencher.iter(|| {
                index = start + (index - start + 64) % 9000;
                log.read(index..index + 64, u64::MAX).expect("entries are read").len()
            });
        });
    }
    group.finish();
    drop(log);
    let _ = std::fs::remove_dir_all(&path);
}
