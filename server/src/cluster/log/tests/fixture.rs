//! Version 1 on disk, as it was first written: it must stay readable for good.
//!
//! `HALLPASS_WRITE_FIXTURE=1` writes the fixture anew, which only a new format version should need.

use std::collections::BTreeMap;
use std::path::Path;

use super::{all, append, bytes, open, well};
use crate::cluster::disk::SimulatedDisk;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/log-v1");

/// Every kind of record, over several segments, the oldest of which is purged.
fn written() -> BTreeMap<String, Vec<u8>> {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    log.save_vote(bytes("term 1, node 1"), well);
    append(&log, 0..12);
    log.save_committed(bytes("through 7")).unwrap();
    log.truncate_from(10, well);
    append(&log, 10..14);
    log.purge_through(8, bytes("term 1, index 8"), well);
    log.save_vote(bytes("term 2, node 3"), well);
    log.append([(14, bytes(&"long ".repeat(100))), (15, bytes(""))], well);
    log.write_batch();
    append(&log, 16..18);
    drop(log);
    disk.content()
}

#[test]
fn version_1_stays_readable() {
    if std::env::var_os("HALLPASS_WRITE_FIXTURE").is_some() {
        for (name, bytes) in written() {
            std::fs::write(Path::new(FIXTURE).join(name), bytes).unwrap();
        }
    }
    let fixture = SimulatedDisk::new(1);
    let mut files = 0;
    for file in std::fs::read_dir(FIXTURE).unwrap() {
        let file = file.unwrap();
        fixture.put(file.file_name().to_str().unwrap(), &std::fs::read(file.path()).unwrap());
        files += 1;
    }
    assert!(files >= 2, "{files} segments");
    assert_eq!(fixture.content(), written(), "version 1 is also what is written");
    let (log, recovered) = open(&fixture);
    assert_eq!(recovered.vote, Some(bytes("term 2, node 3")));
    assert_eq!(recovered.committed, Some(bytes("through 7")));
    assert_eq!(recovered.purged, Some((8, bytes("term 1, index 8"))));
    assert_eq!((recovered.entries, recovered.torn_bytes), (Some((9, 17)), 0));
    let long = bytes(&"long ".repeat(100));
    let expected = (9..18).map(|index| match index {
        14 => (14, long.clone()),
        15 => (15, bytes("")),
        _ => (index, bytes(&format!("entry {index}"))),
    });
    assert!(all(&log).into_iter().eq(expected));
}
