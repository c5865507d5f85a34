//! The engine against a naive model: random ops while time moves, everything visible compared at each
//! step, on two engines of different seeds and shards, through sweeps and snapshots at random moments.
//!
//! `HALLPASS_CASES=20000 cargo test -p hallpass-engine --test against_model` runs it longer.

mod model;

use std::collections::BTreeSet;

use hallpass_engine::rule::{IndexCursor, IndexState};
use hallpass_engine::snapshot::{Snapshot, restore, to_bytes};
use hallpass_engine::{
    Config, Engine, HashSeed, Key, Op, Outcome, SessionHash, Stamp, Touch, UserEntry, Value, Words,
};
use model::step::{DATABASES, KEYS, Move, Step, USERS, ids, steps};
use model::{Bytes, Content, Model};
use proptest::prelude::*;
use proptest::test_runner::Config as TestConfig;

fn cases(default: u32) -> TestConfig {
    let cases = std::env::var("HALLPASS_CASES").ok().and_then(|cases| cases.parse().ok());
    TestConfig { failure_persistence: None, ..TestConfig::with_cases(cases.unwrap_or(default)) }
}

fn engine(seed: u64, shards: usize) -> Engine {
    Engine::new(&Config { shards, ..Config::new(HashSeed::new(seed, seed + 1)) })
}

fn content(value: &Value<'_>) -> Content {
    use hallpass_engine::value::Collection;
    match value {
        Value::String(text) => Content::Text(text.to_vec()),
        Value::Collection(Collection::Hash(hash)) => Content::Hash(
            hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect(),
        ),
        Value::Collection(Collection::Set(set)) => {
            Content::Set(set.iter().map(|member| member.to_vec()).collect())
        }
        Value::Collection(Collection::Sorted(sorted)) => {
            Content::Sorted(sorted.iter().map(|(member, score)| (member.to_vec(), score)).collect())
        }
        Value::Collection(Collection::List(list)) => {
            Content::List(list.iter().map(<[u8]>::to_vec).collect())
        }
    }
}

/// Compares everything that can be read.
fn compare(engine: &Engine, model: &Model) {
    let now = Stamp::from_millis(model.now);
    for db in DATABASES {
        for key in KEYS {
            let held = model.keys.get(&(db, key.to_vec()));
            engine.look(Key::new(engine.seed(), db, key), now, |entry| {
                let what = format!("key {key:?} of {db}");
                assert_eq!(entry.is_some(), held.is_some(), "{what}");
                if let (Some(entry), Some(held)) = (entry, held) {
                    assert_eq!(content(&entry.value), held.content, "{what}");
                    assert_eq!(entry.deadline.millis(), held.deadline, "{what}");
                    assert_eq!(entry.owner, held.owner.as_deref(), "{what}");
                }
            });
        }
        let mut scanned = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = engine.scan(db, cursor, 3, now, |key, _| {
                assert!(scanned.insert(key.to_vec()), "a key is visited once");
            });
            if cursor == 0 {
                break;
            }
        }
        let keys = model.keys.keys().filter(|(other, _)| *other == db);
        assert_eq!(scanned, keys.map(|(_, key)| key.clone()).collect(), "scan of {db}");
        engine.look_many(db, Words::from_slices(&KEYS), now, |entries| {
            assert_eq!(entries.iter().flatten().count(), scanned.len());
        });
    }
    for id in ids() {
        compare_session(engine, model, &id);
    }
    for user in USERS {
        assert_eq!(engine.session_count(user, now), model.count_of(user), "count of {user:?}");
        assert_eq!(engine.generation(user, now), model.generation(user), "of {user:?}");
        let mut listed = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = engine.sessions_of(user, cursor, 2, now, |view| {
                assert!(listed.insert(view.handle), "a session is listed once");
                assert_eq!(view.user, user);
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(listed, model.sessions_of(user).into_iter().collect(), "list of {user:?}");
        let (mut keys, mut cursor) = (BTreeSet::new(), 0);
        loop {
            cursor = engine.entries_of(user, cursor, 2, now, |entry| {
                if let UserEntry::Key(key) = entry {
                    assert!(keys.insert((key.db, key.key.to_vec())), "a key is listed once");
                }
            });
            if cursor == 0 {
                break;
            }
        }
        let owned = model.keys.iter().filter(|(_, held)| held.owner.as_deref() == Some(user));
        assert_eq!(keys, owned.map(|(name, _)| name.clone()).collect(), "keys of {user:?}");
    }
}

fn compare_session(engine: &Engine, model: &Model, id: &SessionHash) {
    let now = Stamp::from_millis(model.now);
    let resolved = model.resolve(id);
    let user = engine.validate(id, now, Touch::No, |user| user.map(<[u8]>::to_vec));
    assert_eq!(user, resolved.map(|id| model.sessions[&id].user.clone()), "{id:?}");
    engine.session(id, now, Touch::No, |view| {
        assert_eq!(view.is_some(), resolved.is_some());
        let (Some(view), Some(id)) = (view, resolved) else { return };
        let session = &model.sessions[&id];
        let meta: Vec<(Bytes, Bytes)> =
            view.meta.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        assert_eq!(view.handle, id);
        assert_eq!(view.data, session.data);
        assert_eq!(meta, session.meta);
        assert_eq!(view.version, session.version);
        assert_eq!(view.created.millis(), session.created);
        assert_eq!(view.seen.millis(), session.seen);
        assert_eq!(view.authenticated.millis(), session.authenticated);
        assert_eq!(view.idle_seconds, session.limits.idle_seconds);
        assert_eq!(view.ends.millis(), session.ends());
        assert_eq!(view.expires.millis(), session.expires());
    });
}

/// Sweeps all there is and compares the counts.
fn settle(engine: &Engine, model: &mut Model) {
    let now = Stamp::from_millis(model.now);
    while engine.sweep(now, 3).more {}
    // What ended within the wheel's present tick waits for the next one.
    let waiting = model.passed.iter().filter(|deadline| **deadline >> 7 == model.now >> 7).count();
    let between = |held: u64, live: usize, what: &str| {
        assert!((live..=live + waiting).contains(&(held as usize)), "{what}: {held}, live {live}");
    };
    for db in 0..16 {
        let keys = model.keys.iter().filter(|((other, _), _)| *other == db);
        let expiring = keys.clone().filter(|(_, held)| held.deadline != model::NEVER).count();
        let counts = engine.database(db);
        between(counts.keys, keys.count(), "keys");
        between(counts.expires, expiring, "keys with a deadline");
    }
    let statistics = engine.statistics();
    between(statistics.sessions, model.sessions.len(), "sessions");
    between(statistics.users, model.generations.len(), "users");
    assert_eq!(statistics.revoked_unswept, 0);
}

/// A model and the engines that follow it.
struct Run<'e> {
    engines: [&'e Engine; 2],
    model: Model,
    image: Option<Image<'e>>,
    cursor: IndexCursor,
}

/// A snapshot in progress, and what it has to show.
struct Image<'e> {
    snapshot: Snapshot<&'e Engine>,
    bytes: Vec<u8>,
    at: Model,
    digest: u128,
}

impl Run<'_> {
    fn now(&self) -> Stamp {
        Stamp::from_millis(self.model.now)
    }

    fn take(&mut self, step: &Step) {
        let now = self.now();
        match step.kind() {
            Move::Wait(millis) => self.model.advance(now.plus_millis(millis).millis()),
            Move::Validate(id, touch) => {
                // A snapshot may show what reads touched after its instant.
                let touch = touch && self.image.is_none();
                let expected = self.model.validate(&id, touch);
                let touch = if touch { Touch::Now } else { Touch::No };
                for engine in self.engines {
                    let user = engine.validate(&id, now, touch, |user| user.map(<[u8]>::to_vec));
                    assert_eq!(user, expected);
                }
            }
            // One engine sweeps, the other does not: nothing that can be seen may tell them apart.
            Move::Sweep(budget) => {
                self.engines[0].sweep(now, budget);
            }
            Move::Settle => {
                settle(self.engines[0], &mut self.model);
                assert_eq!(self.engines[0].digest(now), self.engines[1].digest(now));
            }
            Move::Snapshot => self.go_on_with_snapshot(),
            Move::RoundTrip => {
                if let Some(bytes) = to_bytes(self.engines[1], now) {
                    check_restored(&bytes, &self.model, self.engines[1].digest(now));
                }
            }
            Move::Index => self.index(),
            Move::Op => self.apply(step),
        }
    }

    fn apply(&mut self, step: &Step) {
        let now = self.now();
        let [first, second] = self.engines;
        let skip = step.with_op(first.seed(), now, |op| match op {
            Op::SortedRemoveRange { key, range: hallpass_engine::SortedRange::Lex(..) } => {
                !self.model.lex_is_defined(key)
            }
            _ => false,
        });
        if skip {
            return;
        }
        let outcome = step.with_op(first.seed(), now, |op| first.apply(op, now));
        let same = step.with_op(second.seed(), now, |op| second.apply(op, now));
        assert_eq!(outcome, same, "seed, shards and sweeps do not show in an outcome: {step:?}");
        let expected = step.with_op(first.seed(), now, |op| self.model.apply(op, now, &outcome));
        assert_eq!(outcome, expected, "{step:?}");
    }

    /// A slice that one of them found is applied by all.
    fn index(&mut self) {
        let now = self.now();
        let [first, second] = self.engines;
        let Some(slice) = second.index_slice(&mut self.cursor, now) else { return };
        let outcome = first.apply(&slice.op(first.seed()), now);
        assert_eq!(second.apply(&slice.op(second.seed()), now), outcome);
        assert_eq!(self.model.apply(&slice.op(first.seed()), now, &outcome), outcome);
        if first.rules().iter().all(|rule| rule.state == IndexState::Ready) {
            self.model.check_index();
        }
    }

    fn go_on_with_snapshot(&mut self) {
        let now = self.now();
        match &mut self.image {
            None => {
                let mut bytes = Vec::new();
                let digest = self.engines[0].digest(now);
                let snapshot = Snapshot::begin(self.engines[0], now, &mut bytes);
                let snapshot = snapshot.expect("one at a time");
                self.image = Some(Image { snapshot, bytes, at: self.model.clone(), digest });
            }
            Some(image) => {
                if !image.snapshot.write_slice(&mut image.bytes) {
                    check_restored(&image.bytes, &image.at, image.digest);
                    self.image = None;
                }
            }
        }
    }
}

/// A snapshot restored into another engine shows what the model showed.
fn check_restored(bytes: &[u8], model: &Model, digest: u128) {
    let restored = engine(77, 2);
    let now = Stamp::from_millis(model.now);
    assert_eq!(restore(&restored, bytes), Ok(now));
    assert_eq!(restored.digest(now), digest);
    compare(&restored, model);
    empties(&restored, now);
}

/// Deleting everything brings the account of memory back to zero.
fn empties(engine: &Engine, now: Stamp) {
    for db in 0..16 {
        let mut keys: Vec<Bytes> = Vec::new();
        let mut cursor = 0;
        loop {
            cursor = engine.scan(db, cursor, 100, now, |key, _| keys.push(key.to_vec()));
            if cursor == 0 {
                break;
            }
        }
        let names: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let deleted = engine.apply(&Op::Delete { db, keys: Words::from_slices(&names) }, now);
        assert_eq!(deleted, Outcome::Integer(names.len() as i64));
    }
    engine.apply(&Op::SessionRevokeAll, now);
    // Aliases stay until their grace is over, what has expired until it is swept.
    let later = now.plus_millis(200_000);
    while engine.sweep(later, 1000).more {}
    let rest = engine.statistics();
    assert_eq!((rest.sessions, rest.users, rest.revoked_unswept, rest.memory_bytes), (0, 0, 0, 0));
    assert!((0..16).all(|db| engine.database(db).keys == 0));
}

fn run(steps: &[Step]) {
    let engines = [engine(3, 4), engine(1_000_003, 1)];
    let model = Model { now: 1_700_000_000_000, ..Model::default() };
    let mut run = Run {
        engines: [&engines[0], &engines[1]],
        model,
        image: None,
        cursor: IndexCursor::default(),
    };
    for step in steps {
        run.take(step);
        compare(run.engines[0], &run.model);
        assert_eq!(run.engines[0].digest(run.now()), run.engines[1].digest(run.now()), "{step:?}");
    }
    while run.image.is_some() {
        run.go_on_with_snapshot();
    }
    compare(run.engines[1], &run.model);
    let now = run.now();
    for engine in &engines {
        empties(engine, now);
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn the_engine_does_what_the_model_does(steps in steps(120)) {
        run(&steps);
    }
}
