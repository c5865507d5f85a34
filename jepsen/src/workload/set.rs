//! Workload `set`: sessions are made, listed and looked at; nothing ends them, so every one that was acknowledged is there
//! at the end, on every node, and no other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde_json::json;

use super::{Workload, create, insist, list, locked, validate};
use crate::client::Client;

/// Users: enough that lists stay short, few enough that they grow.
const USERS: u64 = 8;

/// State of the workload.
#[derive(Debug, Default)]
pub struct Set {
    numbers: AtomicU64,
    made: Mutex<Vec<(u64, String)>>,
}

fn user(number: u64) -> String {
    format!("u{}", number % USERS)
}

impl Workload for Set {
    fn act(&self, client: &mut Client, random: &mut Rng) {
        let chosen = match random.u8(0..10) {
            0..=5 => None,
            6 => {
                list(client, &user(random.u64(0..USERS)));
                return;
            }
            _ => {
                let made = locked(&self.made);
                // Of late ones rather than of old ones: a loss shows soonest there.
                let recent = made.len().saturating_sub(40);
                made.get(random.usize(recent..=made.len())).cloned()
            }
        };
        if let Some((number, id)) = chosen {
            validate(client, "validate", json!(user(number)), Some(json!(number)), &id);
            return;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let user = user(number);
        let made = create(client, json!(user), json!(number), &user, number, &["IDLE", "86400"]);
        locked(&self.made).extend(made.map(|id| (number, id)));
    }

    fn final_reads(&self, client: &mut Client) -> bool {
        let made = locked(&self.made).clone();
        let lists = (0..USERS).all(|number| insist(client, |client| list(client, &user(number))));
        lists
            && made.iter().all(|(number, id)| {
                let told = || (json!(user(*number)), Some(json!(number)));
                insist(client, |client| validate(client, "validate", told().0, told().1, id))
            })
    }
}
