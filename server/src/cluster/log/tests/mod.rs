//! The log against a naive model, power cuts, damage and full disks.
//!
//! `model.rs` is the log as simply as it can be said; `reopen.rs` has what must be found again;
//! `crash.rs` cuts the power after every single operation; `damage.rs` tears, flips and mutates;
//! `failure.rs` fails syncs and fills disks; `threads.rs` uses a real directory; `fixture.rs` keeps the
//! format readable.

mod crash;
mod damage;
mod failure;
mod fixture;
mod model;
mod reopen;
mod threads;

use std::sync::Arc;

use bytes::Bytes;

use super::{Log, LogOptions, OpenError, Recovered, WriterMode};
use crate::cluster::disk::SimulatedDisk;

/// Written by hand, in segments of a few records, with next to nothing in memory.
fn small() -> LogOptions {
    LogOptions {
        segment_bytes_max: 400,
        reserved_bytes: 0,
        tail_bytes_max: 64,
        writer: WriterMode::Manual,
    }
}

/// The same, with room reserved ahead.
fn roomy() -> LogOptions {
    LogOptions { reserved_bytes: 150, ..small() }
}

fn try_open(disk: &SimulatedDisk) -> Result<(Log, Recovered), OpenError> {
    Log::open(Arc::new(disk.clone()), small())
}

fn open(disk: &SimulatedDisk) -> (Log, Recovered) {
    try_open(disk).expect("the log opens")
}

/// A completion that must say that all went well.
fn well(result: Result<(), super::LogError>) {
    result.expect("it is durable");
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn append(log: &Log, range: std::ops::Range<u64>) {
    log.append(range.map(|index| (index, bytes(&format!("entry {index}")))), well);
    log.write_batch();
}

fn all(log: &Log) -> Vec<(u64, Bytes)> {
    log.read(.., u64::MAX).expect("entries are read")
}

fn indexes(log: &Log) -> Vec<u64> {
    all(log).into_iter().map(|(index, _)| index).collect()
}

/// The last segment's name and bytes.
fn last_file(disk: &SimulatedDisk) -> (String, Vec<u8>) {
    disk.content().pop_last().expect("there is a segment")
}

/// A disk with the same files.
fn copy(disk: &SimulatedDisk) -> SimulatedDisk {
    let copy = SimulatedDisk::new(0);
    for (name, bytes) in disk.content() {
        copy.put(&name, &bytes);
    }
    copy
}
