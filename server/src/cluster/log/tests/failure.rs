//! A failed sync, a full disk, a disk that changes what was written: the log says so and stays down.

use std::sync::Arc;

use parking_lot::Mutex;

use super::super::{Log, LogError};
use super::{append, bytes, indexes, open, well};
use crate::cluster::disk::{Remains, SimulatedDisk};

type Results = Arc<Mutex<Vec<Result<(), LogError>>>>;

/// A completion that notes what it was told.
fn note(results: &Results) -> impl FnOnce(Result<(), LogError>) + Send + 'static {
    let results = Arc::clone(results);
    move |result| results.lock().push(result)
}

/// The text of the error that everything gets now.
fn stuck(log: &Log) -> String {
    let results = Results::default();
    log.append([(log.bounds().end, bytes("x"))], note(&results));
    log.save_vote(bytes("x"), note(&results));
    log.truncate_from(log.bounds().start, note(&results));
    log.purge_through(9, bytes("x"), note(&results));
    log.write_batch();
    let mut texts: Vec<_> =
        results.lock().iter().map(|result| result.clone().unwrap_err().to_string()).collect();
    texts.push(log.read(.., u64::MAX).unwrap_err().to_string());
    texts.push(log.entry(0).unwrap_err().to_string());
    texts.push(log.save_committed(bytes("x")).unwrap_err().to_string());
    texts.push(log.failure().unwrap().to_string());
    assert_eq!(texts.len(), 8);
    texts.dedup();
    assert_eq!(texts.len(), 1, "one error sticks: {texts:?}");
    texts.remove(0)
}

#[test]
fn a_failed_sync_ends_the_log_for_good() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    append(&log, 0..2);
    let results = Results::default();
    disk.fail_sync_after(0);
    log.append([(2, bytes("lost"))], note(&results));
    log.save_vote(bytes("lost"), note(&results));
    log.write_batch();
    assert!(results.lock().len() == 2 && results.lock().iter().all(Result::is_err));
    let operations = disk.operations();
    let text = stuck(&log);
    assert!(text.contains("failed to sync simulated/segment-0000000001.log"), "{text}");
    assert_eq!(disk.operations(), operations, "the disk is left alone");
    let disk = disk.crash(Remains::Nothing);
    drop(log);
    let (log, recovered) = open(&disk);
    assert_eq!((indexes(&log), recovered.vote), (vec![0, 1], None));
}

#[test]
fn a_failed_directory_sync_ends_the_log_too() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    append(&log, 0..2);
    // A new segment is begun: data of the old one, data of the new one, then the directory.
    disk.fail_sync_after(1);
    let results = Results::default();
    log.append([(2, bytes(&"x".repeat(390)))], note(&results));
    log.write_batch();
    assert!(results.lock().iter().all(Result::is_err));
    let text = stuck(&log);
    assert!(text.contains("sync the directory of"), "{text}");
}

#[test]
fn a_full_disk_ends_the_log_until_there_is_room() {
    for capacity in (36..1500).step_by(7) {
        let disk = SimulatedDisk::new(capacity);
        let (log, _) = open(&disk);
        disk.set_capacity(Some(capacity));
        let results = Results::default();
        for index in 0..60 {
            if log.failure().is_none() {
                log.append([(index, bytes(&format!("entry {index}")))], note(&results));
                log.write_batch();
            }
        }
        let acknowledged = results.lock().iter().filter(|result| result.is_ok()).count() as u64;
        let text = stuck(&log);
        assert!(text.contains("failed to write") && text.contains("Make room"), "{text}");
        disk.set_capacity(None);
        drop(log);
        let disk = disk.crash(Remains::Everything);
        let (log, _) = open(&disk);
        assert_eq!(log.bounds(), 0..acknowledged);
        append(&log, acknowledged..acknowledged + 5);
        drop(log);
        assert_eq!(open(&disk).0.bounds(), 0..acknowledged + 5);
    }
}

#[test]
fn an_entry_that_changed_on_disk_is_not_returned() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    append(&log, 0..20);
    let place =
        disk.content()["segment-0000000001.log"].windows(7).position(|bytes| bytes == b"entry 3");
    assert!(disk.flip_bit("segment-0000000001.log", place.unwrap() as u64 * 8 + 3));
    assert_eq!(log.entry(2).unwrap(), Some(bytes("entry 2")));
    let error = log.entry(3).unwrap_err().to_string();
    assert!(error.contains("segment-0000000001.log is damaged at offset"), "{error}");
    assert!(error.contains("entry 3"), "{error}");
}

#[test]
fn a_completion_that_panics_takes_nobody_along() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    let results = Results::default();
    log.save_vote(bytes("a"), |_| std::panic::resume_unwind(Box::new("on purpose")));
    log.save_vote(bytes("b"), note(&results));
    log.write_batch();
    log.save_vote(bytes("c"), well);
    log.write_batch();
    assert!(matches!(results.lock().as_slice(), [Ok(())]));
}
