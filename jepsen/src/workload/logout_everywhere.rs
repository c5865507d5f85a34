//! Workload `logout_everywhere`: all clients make, list, count and look at the sessions of one user, and end them all at
//! once now and then; after `OPS_PER_USER` operations comes the next user.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Workload, create, insist, list, locked, validate};
use crate::client::{Client, Effect, End, Reply};

/// Operations on one user, before the final reads.
const OPS_PER_USER: u64 = 60;

/// State of the workload.
#[derive(Debug, Default)]
pub struct LogoutEverywhere {
    operations: AtomicU64,
    made: Mutex<BTreeMap<u64, Vec<(u64, String)>>>,
}

fn name(user: u64) -> String {
    format!("u{user}")
}

impl Workload for LogoutEverywhere {
    fn act(&self, client: &mut Client, random: &mut Rng) {
        let number = self.operations.fetch_add(1, Ordering::Relaxed);
        let user = number / OPS_PER_USER;
        let name = name(user);
        let chosen = {
            let made = locked(&self.made);
            let of_user = made.get(&user).map_or(&[][..], Vec::as_slice);
            (!of_user.is_empty()).then(|| of_user[random.usize(0..of_user.len())].clone())
        };
        match (random.u8(0..20), chosen) {
            (0..=1, _) => revoke_user(client, &name),
            (2..=5, _) => drop(list(client, &name)),
            (6..=7, _) => drop(count(client, &name)),
            (8..=12, Some((session, id))) => {
                validate(client, "validate", json!(name), Some(json!(session)), &id);
            }
            _ => {
                let made =
                    create(client, json!(name), json!(number), &name, number, &["IDLE", "86400"]);
                locked(&self.made).entry(user).or_default().extend(made.map(|id| (number, id)));
            }
        }
    }

    fn final_reads(&self, client: &mut Client) -> bool {
        let users = self.operations.load(Ordering::Relaxed) / OPS_PER_USER;
        let made = locked(&self.made).clone();
        (0..=users).all(|user| {
            insist(client, |client| list(client, &name(user)))
                && insist(client, |client| count(client, &name(user)))
        }) && made.iter().all(|(user, sessions)| {
            sessions.iter().all(|(session, id)| {
                let told = || Some(json!(session));
                insist(client, |client| {
                    validate(client, "validate", json!(name(*user)), told(), id)
                })
            })
        })
    }
}

fn revoke_user(client: &mut Client, user: &str) {
    let words = ["SESSION.REVOKEUSER", user];
    client.perform(
        "revoke_user",
        json!([user, null]),
        Effect::Write,
        &words,
        |reply| match reply {
            Reply::Integer(live) => End::Ok(json!([user, live])),
            other => End::strange(other),
        },
    );
}

fn count(client: &mut Client, user: &str) -> Option<Value> {
    client.perform("count", json!([user, null]), Effect::Read, &["SESSION.COUNT", user], |reply| {
        match reply {
            Reply::Integer(live) => End::Ok(json!([user, live])),
            other => End::strange(other),
        }
    })
}
