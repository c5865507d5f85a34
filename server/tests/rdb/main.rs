//! RDB values, against payloads that Redis wrote, against a real Redis in both directions, and against
//! damage: what is read is what was written, and no bytes make the reader panic or ask for much.
//!
//! The round trips run `redis-server` (or what `HALLPASS_REDIS_SERVER` names), and say so when there is none.
//! `HALLPASS_CASES=1000000 cargo test -p hallpass-server --test rdb` damages for longer.

#[path = "../../../engine/tests/damage/mod.rs"]
mod damage;
mod damaged;
mod golden;
mod property;
mod redis;
#[path = "../support/mod.rs"]
mod support;

use hallpass_engine::value::{Collection, ValueSeed};
use hallpass_engine::{self as engine};
use hallpass_server::rdb::{Limits, RdbError, Value, payload};
use std::collections::{BTreeMap, BTreeSet};

#[global_allocator]
static WATCHED: damage::Watched = damage::Watched;

const LIMITS: Limits = Limits { element_bytes_max: 1 << 20, value_bytes_max: 1 << 24 };

/// A value as plain data.
#[derive(Clone, Debug, PartialEq)]
enum Content {
    Text(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Sorted(BTreeMap<Vec<u8>, u64>),
}

impl From<&Value> for Content {
    fn from(value: &Value) -> Self {
        let collection = match value {
            Value::String(text) => return Self::Text(text.clone()),
            Value::Collection(collection) => collection,
        };
        match collection {
            Collection::List(list) => Self::List(list.iter().map(<[u8]>::to_vec).collect()),
            Collection::Set(set) => Self::Set(set.iter().map(|member| member.to_vec()).collect()),
            Collection::Hash(hash) => {
                let pair = |(field, value): (&[u8], &[u8])| (field.to_vec(), value.to_vec());
                Self::Hash(hash.iter().map(pair).collect())
            }
            Collection::Sorted(sorted) => {
                let entry = |(member, score): (&[u8], f64)| (member.to_vec(), score.to_bits());
                Self::Sorted(sorted.iter().map(entry).collect())
            }
        }
    }
}

fn seed() -> ValueSeed {
    ValueSeed::new(3, 4)
}

fn read(bytes: &[u8]) -> Result<Value, RdbError> {
    payload::read(bytes, &LIMITS, seed())
}

fn write(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    payload::write(
        match value {
            Value::String(text) => engine::Value::String(text),
            Value::Collection(collection) => engine::Value::Collection(collection),
        },
        &mut out,
    );
    out
}

/// Puts version and checksum behind a kind and a value.
fn seal(content: &[u8], version: u16) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    let checksum = hallpass_server::rdb::crc64(0, &bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn unhex(digits: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    (0..digits.len()).step_by(2).map(digit).collect()
}
