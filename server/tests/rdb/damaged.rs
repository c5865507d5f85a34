//! Payloads damaged by a seed, under a right checksum: the reader refuses or reads, and does nothing else.

use super::damage::{LARGEST, damage, roll};
use super::golden::OF_REDIS;
use super::{Content, read, seal, seed, unhex, write};
use hallpass_server::rdb::{Limits, Value, payload};
use std::fs;
use std::path::Path;

/// The most a byte of a payload may lead to: 88 bytes by compression, which are elements of two bytes,
/// whose table keeps some 40 bytes each and has twice the room it needs.
const BYTES_PER_BYTE: usize = 88 / 2 * 40 * 2;

/// Payloads of all encodings: Redis' own here, those in the conformance cases, and a few larger ones.
fn samples() -> Vec<Vec<u8>> {
    let mut samples: Vec<Vec<u8>> = OF_REDIS.iter().map(|(_, digits)| unhex(digits)).collect();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/dump.case");
    for line in fs::read_to_string(cases).expect("the cases of DUMP").lines() {
        let quoted = line.strip_prefix("RESTORE ").and_then(|rest| rest.split_once('"'));
        if let Some((_, quoted)) = quoted {
            samples.push(unquote(quoted));
        }
    }
    samples.retain(|payload| read(payload).is_ok());
    let kinds: std::collections::BTreeSet<u8> = samples.iter().map(|payload| payload[0]).collect();
    assert_eq!(kinds.len(), 16, "every kind but streams and modules: {kinds:?}");
    samples
}

/// The bytes of a quoted word of a case file, up to the closing quote.
fn unquote(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => break,
            b'\\' => match rest.next() {
                Some(b'x') => {
                    let digits: Vec<u8> = rest.by_ref().take(2).collect();
                    out.extend(unhex(std::str::from_utf8(&digits).expect("digits")));
                }
                escaped => out.extend(escaped),
            },
            byte => out.push(byte),
        }
    }
    out
}

#[test]
fn no_damage_panics_or_asks_for_much_or_breaks_a_limit() {
    let cases = std::env::var("HALLPASS_CASES").ok().and_then(|cases| cases.parse().ok());
    let limits = Limits { element_bytes_max: 300, value_bytes_max: 4096 };
    let (samples, mut state, mut values) = (samples(), 7, 0_u32);
    for case in 0..cases.unwrap_or(80_000_u32) {
        let sample = &samples[roll(&mut state) as usize % samples.len()];
        let mut content = sample[..sample.len() - 10].to_vec();
        if roll(&mut state).is_multiple_of(8) {
            // Another kind's bytes under this kind.
            content[0] = roll(&mut state) as u8 % 23;
        } else {
            damage(&mut content, &mut state);
        }
        let damaged = seal(&content, 10);
        LARGEST.set(0);
        let value = payload::read(&damaged, &limits, seed());
        let allowed = 512 + BYTES_PER_BYTE * damaged.len();
        assert!(LARGEST.get() <= allowed, "case {case}: {} of {allowed}", LARGEST.get());
        let Ok(value) = value else { continue };
        values += 1;
        if let Value::Collection(collection) = &value {
            assert!(collection.longest_bytes() <= 300 && collection.len() <= 4096 / 16);
            assert!(!collection.is_empty());
        }
        let again = read(&write(&value)).expect("what was read is a value");
        assert_eq!(Content::from(&again), Content::from(&value), "case {case}");
    }
    assert!(values > 5_000, "many were values all the same: {values}");
}
