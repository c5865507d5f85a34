//! Workload `ttl`: sessions with an absolute limit and plain keys with a deadline, looked at around it on every node.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Workload, create, insist, locked, validate};
use crate::client::{Client, Effect, End, Reply};

/// Objects that are looked at: older ones have been gone for long.
const OBJECTS_MAX: usize = 400;
/// How long before and after its deadline an object is looked at most.
const AROUND: Duration = Duration::from_millis(150);

/// State of the workload.
#[derive(Debug, Default)]
pub struct Ttl {
    numbers: AtomicU64,
    objects: Mutex<VecDeque<Object>>,
}

#[derive(Clone, Debug)]
struct Object {
    name: String,
    /// The session's id; `None` for a plain key.
    id: Option<String>,
    /// About when it goes, in the run's time.
    deadline: Duration,
}

impl Workload for Ttl {
    fn act(&self, client: &mut Client, random: &mut Rng) {
        if random.u8(0..10) < 3 {
            return self.make(client, random);
        }
        if let Some(object) = self.pick(client.elapsed(), random) {
            read(client, &object);
        }
    }

    fn final_reads(&self, client: &mut Client) -> bool {
        let objects = locked(&self.objects).clone();
        objects.iter().all(|object| insist(client, |client| read(client, object)))
    }

    fn rest(&self) -> Duration {
        // As long as anything lives: the final reads find nothing.
        Duration::from_millis(3200)
    }
}

impl Ttl {
    fn make(&self, client: &mut Client, random: &mut Rng) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let seconds = random.u64(1..=3);
        let object = if random.bool() {
            let name = format!("session-{number}");
            let (millis, text) = (seconds * 1000, seconds.to_string());
            let life = ["LIFETIME", &text];
            let id = create(
                client,
                json!(name),
                json!(millis),
                &format!("u{}", number % 8),
                number,
                &life,
            );
            id.map(|id| (name, Some(id), millis))
        } else {
            let (name, millis) = (format!("key-{number}"), random.u64(300..3000));
            let text = millis.to_string();
            let words = ["SET", &name, "1", "PX", &text];
            let made =
                client.perform("create", json!([name, millis]), Effect::Write, &words, |reply| {
                    match reply {
                        Reply::Simple(_) => End::Ok(json!([name, millis])),
                        other => End::strange(other),
                    }
                });
            made.map(|_| (name, None, millis))
        };
        if let Some((name, id, millis)) = object {
            let deadline = client.elapsed() + Duration::from_millis(millis);
            let mut objects = locked(&self.objects);
            objects.push_back(Object { name, id, deadline });
            while objects.len() > OBJECTS_MAX {
                objects.pop_front();
            }
        }
    }

    /// One whose deadline is near, if there is one; else any.
    fn pick(&self, now: Duration, random: &mut Rng) -> Option<Object> {
        let objects = locked(&self.objects);
        let near: Vec<&Object> =
            objects.iter().filter(|object| object.deadline.abs_diff(now) < AROUND).collect();
        if !near.is_empty() && random.u8(0..10) < 7 {
            return Some(near[random.usize(0..near.len())].clone());
        }
        (!objects.is_empty()).then(|| objects[random.usize(0..objects.len())].clone())
    }
}

fn read(client: &mut Client, object: &Object) -> Option<Value> {
    let name = &object.name;
    match &object.id {
        Some(id) => validate(client, "read", json!(name), None, id),
        None => {
            client.perform("read", json!([name, null]), Effect::Read, &["GET", name], |reply| {
                match reply {
                    Reply::Bulk(seen) => End::Ok(json!([name, seen.is_some()])),
                    other => End::strange(other),
                }
            })
        }
    }
}
