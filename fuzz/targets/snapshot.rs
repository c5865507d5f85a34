//! Fuzzes the snapshot reader: no bytes make it panic or allocate by a length that nothing backs, and what
//! it does read is a store like any other, down to its next snapshot.
//!
//! Checksums would turn every change away at the door, so they are made right first; the raw bytes are
//! read as well.

#![no_main]

#[path = "support/allocations.rs"]
mod allocations;

use std::sync::atomic::Ordering;

use allocations::LARGEST;
use hallpass_engine::snapshot::{restore, to_bytes};
use hallpass_engine::{Config, Engine, HashSeed, Key, Op, SessionHash};
use libfuzzer_sys::fuzz_target;

/// A superblock of the engine's arena, the largest piece that is not asked for by the input.
const SUPERBLOCK_BYTES: usize = 2 << 20;

fn engine() -> Engine {
    Engine::new(&Config { shards: 1, ..Config::new(HashSeed::new(5, 6)) })
}

/// Makes the checksums of all blocks right, as far as the blocks go.
fn repair(snapshot: &[u8]) -> Vec<u8> {
    let mut bytes = snapshot.to_vec();
    let mut at = 10;
    while let Some(length) = bytes.get(at..at + 4).and_then(|word| word.try_into().ok()) {
        let length = u32::from_le_bytes(length) as usize;
        let body = at + 8;
        let checked = if length == 0 { 8 } else { length };
        let Some(checksum) = bytes.get(body..body + checked).map(crc32fast::hash) else { break };
        bytes[at + 4..body].copy_from_slice(&checksum.to_le_bytes());
        if length == 0 {
            break;
        }
        at = body + length;
    }
    bytes
}

/// Reads, writes, ends: whatever was restored, in whole or in part, bears it.
fn use_it(engine: &Engine, complete: bool, snapshot: &[u8]) {
    let now = restored_stamp(snapshot);
    let digest = engine.digest(now);
    let image = to_bytes(engine, now).expect("the only snapshot");
    let again = self::engine();
    assert_eq!(restore(&again, &image), Ok(now));
    assert_eq!(again.digest(now), digest, "complete: {complete}");
    let mut owners: Vec<Vec<u8>> = Vec::new();
    engine.scan(0, 0, 100, now, |_, entry| owners.extend(entry.owner.map(<[u8]>::to_vec)));
    for owner in &owners {
        engine.apply(&Op::SessionRevokeUser { user: owner, except: None }, now);
        assert_eq!(engine.session_count(owner, now), 0);
    }
    for first in snapshot.chunks_exact(16).take(8) {
        let id = SessionHash(first.try_into().expect("sixteen bytes"));
        engine.apply(&Op::SessionTouch { id }, now);
        engine.apply(&Op::SessionSave { id, data: b"saved", version: None }, now);
    }
    engine.look(Key::new(engine.seed(), 0, b"key"), now, |entry| entry.map(|it| it.memory_bytes()));
    while engine.sweep(now.plus_millis(1000), 100).more {}
    engine.apply(&Op::Flush { db: None }, now);
    assert_eq!(engine.statistics().memory_bytes, 0);
}

/// A time to look at the store: the snapshot's own when it has one that can be read.
fn restored_stamp(snapshot: &[u8]) -> hallpass_engine::Stamp {
    restore(&engine(), snapshot).unwrap_or(hallpass_engine::Stamp::from_millis(1_700_000_000_010))
}

fuzz_target!(|data: &[u8]| {
    let repaired = repair(data);
    for snapshot in [data, &repaired] {
        let engine = engine();
        LARGEST.store(0, Ordering::Relaxed);
        let restored = restore(&engine, snapshot);
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(largest <= SUPERBLOCK_BYTES + 64 * snapshot.len(), "{largest} bytes in one piece");
        use_it(&engine, restored.is_ok(), snapshot);
    }
});
