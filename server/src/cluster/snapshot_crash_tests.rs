//! The power goes after every single disk operation of a snapshot: one that is written, and one that comes
//! from the leader. At each start a whole snapshot is found, and the new one once it was said to be there.

use std::sync::Arc;

use hallpass_engine::{Condition, Config, Deadline, Engine, HashSeed, Key, Op, Stamp};

use super::codec::log_id;
use super::disk::{Remains, SimulatedDisk};
use super::snapshot::SnapshotStore;
use super::state::Replicated;

const WAYS: [Remains; 4] =
    [Remains::Nothing, Remains::Prefix, Remains::Blocks, Remains::Everything];
const NOW: Stamp = Stamp::from_millis(1_700_000_000_000);
const OLD: u64 = 10;
const NEW: u64 = 20;

fn engine() -> Arc<Engine> {
    Arc::new(Engine::new(&Config::new(HashSeed::new(1, 2))))
}

/// An engine in the state of an entry: so many keys.
fn engine_at(index: u64) -> Arc<Engine> {
    let engine = engine();
    for number in 0..index {
        let name = number.to_le_bytes();
        let set = Op::Set {
            key: Key::new(engine.seed(), 0, &name),
            value: &[b'x'; 300],
            deadline: Deadline::Clear,
            condition: Condition::Always,
            owner: None,
            get: false,
        };
        engine.apply(&set, NOW);
    }
    engine
}

fn state_at(index: u64) -> Replicated {
    let last_applied = Some(log_id(1, index));
    Replicated { last_applied, stamp: NOW, ..Replicated::default() }
}

fn store(disk: &SimulatedDisk) -> Option<Arc<SnapshotStore>> {
    SnapshotStore::open(Arc::new(disk.clone())).ok().map(Arc::new)
}

/// Writes the snapshot of an entry; whether it is said to be there.
fn write(disk: &SimulatedDisk, index: u64) -> bool {
    let Some(store) = store(disk) else { return false };
    let writing = store.begin(&engine_at(index), state_at(index)).expect("no other is written");
    writing.write().is_ok()
}

/// Takes the snapshot of an entry from another node; whether it is said to be there.
fn receive(disk: &SimulatedDisk, index: u64) -> bool {
    store(disk).is_some_and(|store| try_receive(&store, index))
}

fn receive_into(store: &Arc<SnapshotStore>, index: u64) {
    assert!(try_receive(store, index));
}

fn try_receive(store: &Arc<SnapshotStore>, index: u64) -> bool {
    let elsewhere = SimulatedDisk::new(1);
    assert!(write(&elsewhere, index));
    let sent = self::store(&elsewhere).and_then(|store| store.current().ok()).flatten();
    let mut reader = sent.expect("it was written").1.reader().expect("it is read");
    let Ok(mut receiving) = store.receive() else { return false };
    while let Some(piece) = reader.next(1000).expect("it is read") {
        if receiving.piece(&piece).is_err() {
            return false;
        }
    }
    store.install(&engine(), receiving.finish()).is_ok()
}

/// The entry whose snapshot the directory holds, read to its last byte.
fn found(disk: &SimulatedDisk) -> u64 {
    let store = store(disk).expect("the directory opens");
    let (meta, file) = store.current().expect("its head is sound").expect("there is one");
    let engine = engine();
    let state = store.install(&engine, file).expect("it is whole");
    assert_eq!(state.last_applied, meta.last_log_id);
    let index = state.last_applied.expect("an entry").index;
    assert_eq!(engine.database(0).keys, index, "it is that entry's");
    let left = disk.content().into_keys().filter(|name| name != "LOCK");
    assert_eq!(left.count(), 1, "nothing else is left");
    index
}

fn cut_everywhere(renew: impl Fn(&SimulatedDisk, u64) -> bool) {
    let mut whole = 0;
    for remains in WAYS {
        for operations in 0.. {
            let disk = SimulatedDisk::new(operations);
            assert!(write(&disk, OLD));
            let disk = disk.crash(Remains::Everything);
            disk.cut_power_after(disk.operations() + operations);
            let renewed = renew(&disk, NEW);
            let disk = disk.crash(remains);
            let found = found(&disk);
            assert!(found == NEW || (found == OLD && !renewed), "{found} after {operations}");
            if renewed {
                whole += 1;
                break;
            }
        }
    }
    assert_eq!(whole, WAYS.len());
}

#[test]
fn a_snapshot_that_is_written_replaces_the_old_one_in_one_step() {
    cut_everywhere(write);
}

#[test]
fn a_snapshot_that_is_received_replaces_the_old_one_in_one_step() {
    cut_everywhere(receive);
}

#[test]
fn a_full_disk_leaves_the_old_snapshot() {
    let disk = SimulatedDisk::new(3);
    assert!(write(&disk, OLD));
    let used: usize = disk.content().values().map(Vec::len).sum();
    disk.set_capacity(Some(used as u64 + 2000));
    assert!(!write(&disk, NEW));
    assert_eq!(found(&disk.crash(Remains::Nothing)), OLD);
}

#[test]
fn one_that_is_written_late_does_not_replace_a_newer_one_from_the_leader() {
    let disk = SimulatedDisk::new(4);
    let store = store(&disk).expect("the directory opens");
    let writing = store.begin(&engine_at(OLD), state_at(OLD)).expect("no other is written");
    receive_into(&store, NEW);
    let (meta, _) = writing.write().expect("the disk is well");
    assert_eq!(meta.last_log_id.map(|id| id.index), Some(NEW));
    drop(store);
    assert_eq!(found(&disk.crash(Remains::Everything)), NEW);
}

#[test]
fn two_that_are_received_at_a_time_do_not_mix() {
    let disk = SimulatedDisk::new(5);
    let store = store(&disk).expect("the directory opens");
    let mut given_up = store.receive().expect("the disk is well");
    given_up.piece(b"a beginning").expect("the disk is well");
    receive_into(&store, NEW);
    given_up.piece(b" and more of it").expect("the disk is well");
    drop(given_up);
    drop(store);
    assert_eq!(found(&disk.crash(Remains::Everything)), NEW);
}
