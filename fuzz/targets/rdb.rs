//! Fuzzes the reader of RDB values: no bytes make it panic or allocate by a length that nothing backs, and
//! what it does read comes back from what is written of it.
//!
//! The input is a kind and a value; version and checksum are put behind it, and the input is read as a
//! whole payload as well.

#![no_main]

#[path = "support/allocations.rs"]
mod allocations;

use std::sync::atomic::Ordering;

use allocations::LARGEST;
use hallpass_engine::Value as Stored;
use hallpass_engine::value::{Collection, ValueSeed};
use hallpass_server::rdb::{Limits, VERSION_MAX, Value, crc64, payload};
use libfuzzer_sys::fuzz_target;

/// The most a byte may lead to: 88 bytes by compression, which are elements of two bytes, whose table keeps
/// some 40 bytes each and has twice the room it needs.
const BYTES_PER_BYTE: usize = 88 / 2 * 40 * 2;

const LIMITS: Limits = Limits { element_bytes_max: 1 << 16, value_bytes_max: 1 << 20 };

fn read(bytes: &[u8]) -> Option<Value> {
    payload::read(bytes, &LIMITS, ValueSeed::new(5, 6)).ok()
}

fn write(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    payload::write(
        match value {
            Value::String(text) => Stored::String(text),
            Value::Collection(collection) => Stored::Collection(collection),
        },
        &mut out,
    );
    out
}

/// The elements of a collection, in an order that its content alone decides.
fn elements(collection: &Collection) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    collection.for_each_element(|element| all.push(element.to_vec()));
    all.sort_unstable();
    all
}

fuzz_target!(|data: &[u8]| {
    let mut sealed = data.to_vec();
    sealed.extend_from_slice(&VERSION_MAX.to_le_bytes());
    let checksum = crc64(0, &sealed);
    sealed.extend_from_slice(&checksum.to_le_bytes());
    for bytes in [data, &sealed] {
        LARGEST.store(0, Ordering::Relaxed);
        let value = read(bytes);
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(largest <= 512 + BYTES_PER_BYTE * bytes.len(), "{largest} bytes in one piece");
        let Some(value) = value else { continue };
        match (&value, read(&write(&value)).expect("what was written")) {
            (Value::String(text), Value::String(again)) => assert_eq!(text, &again),
            (Value::Collection(one), Value::Collection(again)) => {
                assert!(one.longest_bytes() <= LIMITS.element_bytes_max && !one.is_empty());
                assert_eq!(elements(one), elements(&again));
            }
            _ => panic!("a value became one of another type"),
        }
    }
});
