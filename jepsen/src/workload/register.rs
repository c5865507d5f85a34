//! Workload `register`: sessions under ids of the client's choice, and plain keys, each used by all clients for a short
//! while. Keys are left behind after `OPS_PER_KEY` operations, so that the search for an order stays short.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Workload, insist, locked};
use crate::client::{Client, Effect, End, Reply};

/// Operations on one key, before the final reads.
const OPS_PER_KEY: u64 = 60;

/// What is written before each number: so long that a record torn in two is torn here, and the number is gone.
const PADDING_BYTES: usize = 1000;
/// What a read shows that found something else than a padded number. Nobody writes it.
const GARBLED: i64 = -2;

/// A datum as it is stored.
fn padded(data: u64) -> String {
    format!("{}{data}", "x".repeat(PADDING_BYTES))
}

/// The datum that was stored.
fn unpadded(text: &str) -> i64 {
    let (padding, number) = text.split_at_checked(PADDING_BYTES).unwrap_or(("", text));
    let sound = padding.bytes().all(|byte| byte == b'x');
    number.parse().ok().filter(|_| sound).unwrap_or(GARBLED)
}

/// State of the workload; every datum is written once only.
#[derive(Debug, Default)]
pub struct Register {
    operations: AtomicU64,
    /// The version that was seen last, by key.
    versions: Mutex<BTreeMap<u64, i64>>,
}

/// Every other key is a session.
fn is_session(key: u64) -> bool {
    key.is_multiple_of(2)
}

/// The name of the key of a number.
fn name(key: u64) -> String {
    format!("{}{key}", if is_session(key) { "s" } else { "k" })
}

impl Workload for Register {
    fn act(&self, client: &mut Client, random: &mut Rng) {
        let number = self.operations.fetch_add(1, Ordering::Relaxed);
        let key = number / OPS_PER_KEY;
        if is_session(key) {
            self.act_on_session(client, random, key, number);
        } else {
            act_on_key(client, random, &name(key), number);
        }
    }

    fn final_reads(&self, client: &mut Client) -> bool {
        let keys = self.operations.load(Ordering::Relaxed) / OPS_PER_KEY;
        (0..=keys).all(|key| {
            insist(client, |client| {
                if is_session(key) { self.read(client, key) } else { read_key(client, &name(key)) }
            })
        })
    }
}

impl Register {
    fn act_on_session(&self, client: &mut Client, random: &mut Rng, key: u64, data: u64) {
        // Often at first, when there is none yet.
        let fresh = data % OPS_PER_KEY < 6;
        match random.u8(0..20) {
            0 => create(client, &name(key), data),
            1..=9 if fresh => create(client, &name(key), data),
            1..=9 => drop(self.read(client, key)),
            10..=14 => save(client, key, data, None),
            15..=18 => {
                let version = locked(&self.versions).get(&key).copied().unwrap_or(1);
                save(client, key, data, Some(version));
            }
            _ if fresh => drop(self.read(client, key)),
            _ => revoke(client, &name(key)),
        }
    }

    fn read(&self, client: &mut Client, key: u64) -> Option<Value> {
        let name = name(key);
        let words = ["SESSION.GET", &name, "NOTOUCH"];
        let mut seen = None;
        let answer = client.perform("read", json!([name, null]), Effect::Read, &words, |reply| {
            if reply.is_nil() {
                return End::Ok(json!([name, null]));
            }
            let version = reply.field("version").and_then(Reply::number);
            let data = reply.field("data").and_then(Reply::text).map(unpadded);
            let (Some(version), Some(data)) = (version, data) else {
                return End::strange(reply);
            };
            seen = Some(version);
            End::Ok(json!([name, {"version": version, "data": data}]))
        });
        if let Some(version) = seen {
            locked(&self.versions).insert(key, version);
        }
        answer
    }
}

fn save(client: &mut Client, key: u64, data: u64, version: Option<i64>) {
    let (name, text) = (name(key), padded(data));
    let expected = version.map(|version| version.to_string());
    let mut words = vec!["SESSION.SET", &name, &text];
    if let Some(expected) = &expected {
        words.extend(["VERSION", expected]);
    }
    let asked = json!([name, {"data": data, "version": version}]);
    client.perform("save", asked, Effect::Write, &words, |reply| match reply {
        Reply::Integer(version) => End::Ok(json!([name, {"saved": version}])),
        Reply::Error(text) if text.starts_with("NOSESSION") => {
            End::Ok(json!([name, {"missing": true}]))
        }
        Reply::Error(text) if text.starts_with("VERSION") => {
            let version = text.rsplit(' ').next().and_then(|word| word.parse::<i64>().ok());
            End::Ok(json!([name, {"moved": version}]))
        }
        other => End::strange(other),
    });
}

fn create(client: &mut Client, name: &str, data: u64) {
    let text = padded(data);
    let words = ["SESSION.CREATE", "alice", "IDLE", "86400", "DATA", &text, "ID", name];
    client.perform("create", json!([name, {"data": data}]), Effect::Write, &words, |reply| {
        match reply {
            Reply::Array(Some(_)) => End::Ok(json!([name, {"made": true}])),
            Reply::Error(text) if text.starts_with("SESSIONEXISTS") => {
                End::Ok(json!([name, {"made": false}]))
            }
            other => End::strange(other),
        }
    });
}

fn revoke(client: &mut Client, name: &str) {
    let words = ["SESSION.REVOKE", name];
    client.perform("revoke", json!([name, null]), Effect::Write, &words, |reply| match reply {
        Reply::Integer(live) => End::Ok(json!([name, {"lived": *live == 1}])),
        other => End::strange(other),
    });
}

fn act_on_key(client: &mut Client, random: &mut Rng, key: &str, new: u64) {
    let text = padded(new);
    match random.u8(0..10) {
        0..=4 => drop(read_key(client, key)),
        5..=7 => {
            let (value, words) = (json!([key, new]), ["SET", key, &text]);
            client.perform("write", value, Effect::Write, &words, |reply| match reply {
                Reply::Simple(_) => End::Ok(json!([key, new])),
                other => End::strange(other),
            });
        }
        _ => {
            let words = ["SET", key, &text, "GET"];
            client.perform(
                "exchange",
                json!([key, {"new": new}]),
                Effect::Write,
                &words,
                |reply| match reply {
                    Reply::Bulk(None) => End::Ok(json!([key, {"new": new, "old": null}])),
                    Reply::Bulk(Some(_)) => {
                        End::Ok(json!([key, {"new": new, "old": reply.text().map(unpadded)}]))
                    }
                    other => End::strange(other),
                },
            );
        }
    }
}

fn read_key(client: &mut Client, key: &str) -> Option<Value> {
    client.perform("read", json!([key, null]), Effect::Read, &["GET", key], |reply| match reply {
        Reply::Bulk(_) => End::Ok(json!([key, reply.text().map(unpadded)])),
        other => End::strange(other),
    })
}
