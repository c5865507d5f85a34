//! What clients do, one file for each promise. A workload draws one operation at a time, does it through a
//! [`Client`], which records it, and at the end reads everything once more on every node.

pub mod logout_everywhere;
pub mod register;
pub mod revoke;
pub mod set;
pub mod ttl;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::client::{Client, Effect, End, Reply};

/// The names of all workloads.
pub const NAMES: [&str; 5] = ["register", "set", "revoke", "logout_everywhere", "ttl"];
/// For how long a final read is tried.
const FINAL_PATIENCE: Duration = Duration::from_secs(15);

/// Shared by all clients of a run.
pub trait Workload: Send + Sync {
    /// Draws an operation and does it.
    fn act(&self, client: &mut Client, random: &mut Rng);

    /// Reads at the end, on one node, after everything has been mended; false when something could not be read.
    fn final_reads(&self, client: &mut Client) -> bool;

    /// How long after the last operation the final reads begin.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
}

/// A workload by its name.
pub fn named(name: &str) -> Option<Box<dyn Workload>> {
    Some(match name {
        "register" => Box::new(register::Register::default()),
        "set" => Box::new(set::Set::default()),
        "revoke" => Box::new(revoke::Revoke::default()),
        "logout_everywhere" => Box::new(logout_everywhere::LogoutEverywhere::default()),
        "ttl" => Box::new(ttl::Ttl::default()),
        _ => return None,
    })
}

/// Does a read until it succeeds or the time is up; each attempt is an operation of its own.
fn insist(client: &mut Client, mut read: impl FnMut(&mut Client) -> Option<Value>) -> bool {
    let deadline = Instant::now() + FINAL_PATIENCE;
    while Instant::now() < deadline {
        if read(client).is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// The lock, whatever became of who held it last.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a session of `user` that carries `number`; its id, when it was certainly made.
fn create(
    client: &mut Client,
    object: Value,
    told: Value,
    user: &str,
    number: u64,
    life: &[&str],
) -> Option<String> {
    let mut made = None;
    let text = number.to_string();
    let mut words = vec!["SESSION.CREATE", user];
    words.extend(life);
    words.extend(["META", "n", &text]);
    client.perform("create", json!([object, told]), Effect::Write, &words, |reply| {
        match reply.field("id").and_then(Reply::text) {
            Some(id) => {
                made = Some(id.to_owned());
                End::Ok(json!([object, told]))
            }
            None => End::strange(reply),
        }
    });
    made
}

/// Asks whether a session lives, without touching it.
fn validate(
    client: &mut Client,
    f: &str,
    object: Value,
    told: Option<Value>,
    id: &str,
) -> Option<Value> {
    let asked = json!([object, told]);
    client.perform(
        f,
        asked,
        Effect::Read,
        &["SESSION.VALIDATE", id, "NOTOUCH"],
        |reply| match reply {
            Reply::Bulk(user) => End::Ok(json!([object, user.is_some()])),
            other => End::strange(other),
        },
    )
}

/// Lists a user's sessions by the numbers they carry.
fn list(client: &mut Client, user: &str) -> Option<Value> {
    let words = ["SESSION.LIST", user, "COUNT", "1000000"];
    client.perform("list", json!([user, null]), Effect::Read, &words, |reply| {
        let [cursor, sessions] = reply.items() else { return End::strange(reply) };
        if cursor.text() != Some("0") {
            return End::Fail("the list goes on".into());
        }
        let number = |session: &Reply| session.field("meta")?.field("n")?.number();
        let numbers: Option<Vec<i64>> = sessions.items().iter().map(number).collect();
        numbers.map_or_else(|| End::strange(reply), |numbers| End::Ok(json!([user, numbers])))
    })
}
