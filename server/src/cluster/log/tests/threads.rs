//! The writer's thread on a real and on a volatile directory, and calls while a sync is under way.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::super::{Log, LogOptions, OpenError};
use super::{bytes, well};
use crate::cluster::disk::tests::TemporaryDirectory;
use crate::cluster::disk::{
    DirectoryLock, Disk, DiskFile, LockError, RealDisk, SimulatedDisk, VolatileDisk,
};

fn options() -> LogOptions {
    LogOptions { segment_bytes_max: 64 << 10, tail_bytes_max: 4 << 10, ..LogOptions::default() }
}

fn real(directory: &TemporaryDirectory) -> Arc<dyn Disk> {
    Arc::new(RealDisk::open(directory.path()).unwrap())
}

fn payload(index: u64) -> Bytes {
    Bytes::from(vec![index as u8; 50 + index as usize % 7000])
}

#[test]
fn entries_written_in_a_row_are_completed_in_order_and_found_again() {
    let directory = TemporaryDirectory::new();
    let (log, _) = Log::open(real(&directory), options()).unwrap();
    let (told, completed) = mpsc::channel();
    for index in 0..2000 {
        let told = told.clone();
        log.append([(index, payload(index))], move |result| {
            result.unwrap();
            told.send(index).unwrap();
        });
        if index % 500 == 250 {
            assert_eq!(log.entry(index / 2).unwrap(), Some(payload(index / 2)));
        }
    }
    drop(told);
    assert!(completed.iter().eq(0..2000));
    let statistics = log.statistics();
    assert!(statistics.batches < 2000, "syncs were shared: {statistics:?}");
    assert!(statistics.tail_bytes <= 4 << 10 && statistics.segments > 10, "{statistics:?}");
    log.purge_through(1500, bytes("marker"), well);
    drop(log);
    let (log, recovered) = Log::open(real(&directory), options()).unwrap();
    assert_eq!(recovered.entries, Some((1501, 1999)));
    for (index, found) in log.read(.., u64::MAX).unwrap() {
        assert_eq!(found, payload(index));
    }
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let directory = TemporaryDirectory::new();
    let (_log, _) = Log::open(real(&directory), options()).unwrap();
    let error = Log::open(real(&directory), options()).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)));
    let text = error.to_string();
    assert!(text.contains(&directory.path().display().to_string()), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
}

#[test]
fn a_volatile_directory_keeps_what_was_acknowledged() {
    let directory = TemporaryDirectory::new();
    let copy = TemporaryDirectory::new();
    let disk = Arc::new(VolatileDisk::open(directory.path()).unwrap());
    let (log, _) = Log::open(disk, options()).unwrap();
    let (told, completed) = mpsc::channel();
    for index in 0..100 {
        let told = told.clone();
        log.append([(index, payload(index))], move |result| told.send(result).unwrap());
    }
    drop(told);
    assert_eq!(completed.iter().map(Result::unwrap).count(), 100);
    // What a process that is killed now would leave.
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let (log, recovered) = Log::open(real(&copy), options()).unwrap();
    assert_eq!(recovered.entries, Some((0, 99)));
    assert_eq!(log.read(.., u64::MAX).unwrap().len(), 100);
}

#[test]
fn a_completion_may_use_the_log_and_drop_it() {
    let directory = TemporaryDirectory::new();
    let (log, _) = Log::open(real(&directory), options()).unwrap();
    let log = Arc::new(log);
    let (told, completed) = mpsc::channel();
    let own = Arc::clone(&log);
    log.save_vote(bytes("one"), move |result| {
        result.unwrap();
        own.save_vote(bytes("two"), move |result| told.send(result).unwrap());
        drop(own);
    });
    drop(log);
    completed.recv().unwrap().unwrap();
}

/// A disk whose syncs of data each say that they began, and end when they are told to.
struct HeldDisk {
    disk: SimulatedDisk,
    gate: Arc<Gate>,
}

struct Gate {
    began: mpsc::Sender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

struct HeldFile(Arc<dyn DiskFile>, Arc<Gate>);

impl Disk for HeldDisk {
    fn directory(&self) -> &Path {
        self.disk.directory()
    }
    fn lock(&self) -> Result<DirectoryLock, LockError> {
        self.disk.lock()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(HeldFile(self.disk.create(name)?, Arc::clone(&self.gate))))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(HeldFile(self.disk.open(name)?, Arc::clone(&self.gate))))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }
}

impl DiskFile for HeldFile {
    fn bytes(&self) -> io::Result<u64> {
        self.0.bytes()
    }
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.0.append(parts)
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.truncate(bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        // Without anybody who listens, syncs are not held.
        let Gate { began, go_on } = &*self.1;
        let _ = began.send(());
        let _ = go_on.lock().recv();
        self.0.sync_data()
    }
}

#[test]
fn entries_replaced_while_they_are_written_are_never_seen_again() {
    let (began, begun) = mpsc::channel();
    let (release, go_on) = mpsc::channel();
    let gate = Arc::new(Gate { began, go_on: Mutex::new(go_on) });
    let disk = HeldDisk { disk: SimulatedDisk::new(1), gate };
    let options = LogOptions { segment_bytes_max: 4096, tail_bytes_max: 0, ..options() };
    release.send(()).unwrap();
    let (log, _) = Log::open(Arc::new(disk), options).unwrap();
    begun.recv().unwrap();
    // Declared after the log, so that a failure of this test ends the syncs before it ends the log.
    let release = release;
    let entries = |text: &'static str, range: std::ops::Range<u64>| {
        range.map(move |index| (index, bytes(text))).collect::<Vec<_>>()
    };
    log.append(entries("old", 0..10), well);
    begun.recv().unwrap();
    // The old entries are being synced; the new ones wait, and so does the truncation.
    log.truncate_from(4, well);
    log.append(entries("new", 4..8), well);
    let expected = [entries("old", 0..4), entries("new", 4..8)].concat();
    assert_eq!(log.read(.., u64::MAX).unwrap(), expected);
    release.send(()).unwrap();
    begun.recv().unwrap();
    // The old ones are in the index now, and must not shadow the new ones.
    assert_eq!(log.read(.., u64::MAX).unwrap(), expected);
    log.purge_through(5, bytes("marker"), well);
    log.append(entries("newest", 8..9), well);
    let expected = [entries("new", 6..8), entries("newest", 8..9)].concat();
    assert_eq!(log.read(.., u64::MAX).unwrap(), expected);
    release.send(()).unwrap();
    begun.recv().unwrap();
    assert_eq!(log.read(.., u64::MAX).unwrap(), expected);
    release.send(()).unwrap();
    drop(release);
    let (told, completed) = mpsc::channel();
    log.save_vote(bytes("vote"), move |result| told.send(result).unwrap());
    completed.recv().unwrap().unwrap();
    assert_eq!(log.read(.., u64::MAX).unwrap(), expected);
    assert_eq!(log.statistics().tail_bytes, 0);
}
