//! Workload `revoke`: sessions are made, looked at and saved on every node while they are revoked on others. Looks go to
//! sessions that were just revoked more often than to any other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Workload, create, insist, locked, validate};
use crate::client::{Client, Effect, End, Reply};

/// What a save writes: much, so that the log outgrows the store and snapshots are taken (`--argument
/// --snapshot-bytes --argument 65536`).
const SAVED_BYTES: usize = 8192;

/// State of the workload.
#[derive(Debug, Default)]
pub struct Revoke {
    numbers: AtomicU64,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    made: Vec<(u64, String)>,
    /// Those whose revoke has begun.
    revoked: Vec<(u64, String)>,
}

impl Workload for Revoke {
    fn act(&self, client: &mut Client, random: &mut Rng) {
        match random.u8(0..20) {
            0..=5 => {
                let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                let user = format!("u{}", number % 8);
                let made =
                    create(client, json!(number), Value::Null, &user, number, &["IDLE", "86400"]);
                locked(&self.sessions).made.extend(made.map(|id| (number, id)));
            }
            6..=9 => {
                let taken = {
                    let mut sessions = locked(&self.sessions);
                    let recent = sessions.made.len().saturating_sub(30);
                    let chosen = random.usize(recent..=sessions.made.len());
                    (chosen < sessions.made.len()).then(|| sessions.made.remove(chosen))
                };
                if let Some((number, id)) = taken {
                    let before = revoke(client, number, &id);
                    locked(&self.sessions).revoked.push((number, id.clone()));
                    // Again when the first outcome is unknown: then there is an acknowledged one.
                    if before.is_none() {
                        revoke(client, number, &id);
                    }
                }
            }
            other => {
                let chosen = self.pick(random);
                if let Some((number, id)) = chosen {
                    match other {
                        10..=17 => drop(validate(client, "read", json!(number), None, &id)),
                        _ => save(client, number, &id),
                    }
                }
            }
        }
    }

    fn final_reads(&self, client: &mut Client) -> bool {
        let sessions = {
            let sessions = locked(&self.sessions);
            [&sessions.made[..], &sessions.revoked[..]].concat()
        };
        sessions.iter().all(|(number, id)| {
            insist(client, |client| validate(client, "read", json!(number), None, id))
        })
    }
}

impl Revoke {
    fn pick(&self, random: &mut Rng) -> Option<(u64, String)> {
        let sessions = locked(&self.sessions);
        let from = if random.u8(0..10) < 7 { &sessions.revoked } else { &sessions.made };
        let recent = from.len().saturating_sub(if random.bool() { 5 } else { 60 });
        (recent < from.len()).then(|| from[random.usize(recent..from.len())].clone())
    }
}

fn revoke(client: &mut Client, number: u64, id: &str) -> Option<Value> {
    let words = ["SESSION.REVOKE", id];
    client.perform("revoke", json!([number, null]), Effect::Write, &words, |reply| match reply {
        Reply::Integer(live) => End::Ok(json!([number, *live == 1])),
        other => End::strange(other),
    })
}

/// A slow request that saves its session at the end: it must not bring one back.
fn save(client: &mut Client, number: u64, id: &str) {
    let data = "late".repeat(SAVED_BYTES / 4);
    let words = ["SESSION.SET", id, &data];
    client.perform("save", json!([number, null]), Effect::Write, &words, |reply| match reply {
        Reply::Integer(_) => End::Ok(json!([number, true])),
        Reply::Error(text) if text.starts_with("NOSESSION") => End::Ok(json!([number, false])),
        other => End::strange(other),
    });
}
