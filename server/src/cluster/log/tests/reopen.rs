//! What is found again: every kind of record, by whatever way the log was left.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{Log, LogOptions, OpenError, Recovered};
use super::{all, append, bytes, copy, indexes, open, small, try_open, well};
use crate::cluster::disk::{Remains, SimulatedDisk};

/// Does something to a log, lets the machine crash after it, and returns what is found.
fn after(work: impl FnOnce(&Log)) -> (Log, Recovered) {
    let disk = SimulatedDisk::new(1);
    let (log, recovered) = open(&disk);
    assert_eq!(recovered, Recovered::default());
    work(&log);
    log.write_batch();
    let disk = disk.crash(Remains::Nothing);
    drop(log);
    open(&disk)
}

#[test]
fn each_kind_of_record_is_found_again() {
    let (_, recovered) = after(|log| log.save_vote(bytes("me"), well));
    assert_eq!(recovered.vote, Some(bytes("me")));

    let (log, recovered) = after(|log| append(log, 0..3));
    assert_eq!(recovered.entries, Some((0, 2)));
    assert_eq!(log.entry(1).unwrap(), Some(bytes("entry 1")));
    assert_eq!(log.entry(3).unwrap(), None);

    let (log, _) = after(|log| {
        append(log, 0..3);
        log.truncate_from(1, well);
    });
    assert_eq!((indexes(&log), log.bounds()), (vec![0], 0..1));

    let (log, recovered) = after(|log| {
        append(log, 0..9);
        log.purge_through(6, bytes("six"), well);
    });
    assert_eq!(recovered.purged, Some((6, bytes("six"))));
    assert_eq!(recovered.entries, Some((7, 8)));
    assert_eq!(log.entry(6).unwrap(), None);

    let (_, recovered) = after(|log| {
        log.save_committed(bytes("c")).unwrap();
        log.save_vote(bytes("v"), well);
    });
    assert_eq!(recovered.committed, Some(bytes("c")));
}

#[test]
fn a_purge_beyond_the_end_moves_the_log_on() {
    let (log, recovered) = after(|log| {
        append(log, 0..3);
        log.purge_through(100, bytes("snapshot"), well);
        assert_eq!(log.bounds(), 101..101);
        append(log, 101..103);
    });
    assert_eq!(recovered.entries, Some((101, 102)));
    assert_eq!(indexes(&log), [101, 102]);
    // An older purge changes nothing.
    log.purge_through(50, bytes("old"), well);
    log.write_batch();
    assert_eq!(log.purged(), Some((100, bytes("snapshot"))));
}

#[test]
fn a_log_that_was_never_purged_may_begin_anywhere() {
    let (log, recovered) = after(|log| append(log, 5..7));
    assert_eq!(recovered.entries, Some((5, 6)));
    log.truncate_from(5, well);
    append(&log, 9..10);
    assert_eq!(indexes(&log), [9]);
}

#[test]
#[should_panic(expected = "without gaps")]
fn a_gap_is_the_callers_error() {
    let (log, _) = open(&SimulatedDisk::new(1));
    append(&log, 0..2);
    append(&log, 3..4);
}

#[test]
#[should_panic(expected = "was purged")]
fn truncating_what_was_purged_is_the_callers_error() {
    let (log, _) = open(&SimulatedDisk::new(1));
    append(&log, 0..4);
    log.purge_through(2, bytes("m"), well);
    log.truncate_from(2, well);
}

#[test]
fn a_commit_marker_alone_waits_for_the_log_to_close() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    let before = disk.operations();
    log.save_committed(bytes("first")).unwrap();
    log.save_committed(bytes("second")).unwrap();
    assert!(!log.write_batch());
    assert_eq!(disk.operations(), before, "nothing is written for it");
    drop(log);
    assert_eq!(open(&disk).1.committed, Some(bytes("second")));
}

#[test]
fn what_waits_is_completed_when_the_log_is_dropped() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    log.save_vote(bytes("late"), well);
    drop(log);
    let (log, recovered) = open(&disk.crash(Remains::Nothing));
    assert_eq!(recovered.vote, Some(bytes("late")));
    drop(log);
}

#[test]
fn starting_over_and_over_adds_no_files() {
    let disk = SimulatedDisk::new(1);
    for _ in 0..50 {
        drop(open(&disk));
    }
    let segments = disk.content().len();
    assert!(segments <= 5, "{segments} segments hold nothing but marks");
}

#[test]
fn one_batch_is_one_write_and_one_sync() {
    let disk = SimulatedDisk::new(1);
    let options = LogOptions { segment_bytes_max: 1 << 20, ..small() };
    let (log, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
    let before = disk.operations();
    for index in 0..100 {
        log.append([(index, Bytes::from(vec![7; 5000]))], well);
    }
    log.save_vote(bytes("v"), well);
    assert_eq!(indexes(&log).len(), 100, "readable before anything is written");
    assert!(log.write_batch() && !log.write_batch());
    assert_eq!(disk.operations() - before, 2);
    let statistics = log.statistics();
    assert_eq!((statistics.syncs, statistics.batches), (1, 1));
    assert_eq!((statistics.records, statistics.largest_batch_records), (101, 101));
    assert_eq!(statistics.tail_bytes, 0, "64 bytes may stay in memory, and no entry is that short");
    assert!(all(&log).iter().all(|(_, payload)| *payload == [7; 5000][..]));
}

#[test]
fn reads_stop_at_their_bound_but_give_one_entry() {
    let (log, _) = open(&SimulatedDisk::new(1));
    append(&log, 0..40);
    let count = |range: std::ops::Range<u64>, bytes_max| log.read(range, bytes_max).unwrap().len();
    assert_eq!(count(0..40, 0), 1);
    assert_eq!(count(0..40, 14), 2);
    assert_eq!(count(0..40, 20), 2);
    assert_eq!(count(39..400, u64::MAX), 1);
    assert_eq!(count(40..400, u64::MAX), 0);
    for start in 0..40 {
        let read = log.read(start.., u64::MAX).unwrap();
        let expected: Vec<_> =
            (start..40).map(|index| (index, bytes(&format!("entry {index}")))).collect();
        assert_eq!(read, expected);
    }
}

#[test]
fn a_directory_is_not_opened_twice() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    let error = try_open(&disk).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    drop(log);
    open(&disk);
}

#[test]
fn files_of_others_are_left_alone() {
    let disk = SimulatedDisk::new(1);
    disk.put("notes", b"hello");
    disk.put("segment-1.log", b"not by that name");
    let (log, _) = open(&disk);
    append(&log, 0..2);
    drop(log);
    let (log, _) = open(&copy(&disk));
    assert_eq!(indexes(&log), [0, 1]);
    assert_eq!(disk.content()["notes"], b"hello");
}
