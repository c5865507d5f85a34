//! When memory comes back: within two seconds of an entry's deadline, never before it, and at no great
//! cost after decades without a sweep. And what `maxmemory` may and may not end.

use std::collections::BTreeMap;

use hallpass_engine::{
    Condition, Config, Deadline, Due, Engine, Eviction, ExpireCondition, HashSeed, Key, Limits, Op,
    Outcome, Refusal, SessionHash, Stamp, Touch, Words,
};

const START: u64 = 1_700_000_000_123;
const YEAR: u64 = 365 * 86_400_000;

fn engine() -> Engine {
    Engine::new(&Config { shards: 2, ..Config::new(HashSeed::new(5, 6)) })
}

fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn set<'a>(engine: &Engine, name: &'a [u8], deadline: Deadline, owner: Option<&'a [u8]>) -> Op<'a> {
    let key = Key::new(engine.seed(), 0, name);
    Op::Set { key, value: b"value", deadline, condition: Condition::Always, owner, get: false }
}

/// A delay between a millisecond and ten years, any order of magnitude as likely as another.
fn delay(state: &mut u64) -> u64 {
    let magnitude = roll(state) % 39;
    ((1 << magnitude) + roll(state) % (1 << magnitude)).min(10 * YEAR)
}

/// Entries with their deadlines: keys with and without an owner, and sessions.
struct Field {
    engine: Engine,
    keys: BTreeMap<Vec<u8>, u64>,
    sessions: BTreeMap<SessionHash, u64>,
}

impl Field {
    fn sow(count: u32, state: &mut u64) -> Self {
        let engine = engine();
        let now = Stamp::from_millis(START);
        let (mut keys, mut sessions) = (BTreeMap::new(), BTreeMap::new());
        for number in 0..count {
            let name = number.to_le_bytes().to_vec();
            let deadline = START + delay(state);
            let owner = (number % 2 == 0).then_some(&b"alice"[..]);
            let at = Deadline::At(Stamp::from_millis(deadline));
            engine.apply(&set(&engine, &name, at, owner), now);
            keys.insert(name, deadline);
            let mut id = [3; 16];
            id[4..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_le_bytes());
            let idle_seconds = (delay(state) / 1000).max(1) as u32;
            let limits = Limits { idle_seconds, lifetime_seconds: 0 };
            let (id, user) = (SessionHash(id), &b"bob"[..]);
            let (data, meta) = (&b""[..], Words::EMPTY);
            engine.apply(&Op::SessionCreate { id, user, limits, data, meta, cap: None }, now);
            sessions.insert(id, START + u64::from(idle_seconds) * 1000);
        }
        Self { engine, keys, sessions }
    }

    /// Moves some deadlines of what is alive: later by a touch or EXPIRE, sooner by EXPIRE.
    fn stir(&mut self, now: u64, state: &mut u64) {
        let at = Stamp::from_millis(now);
        let alive: Vec<_> = self.keys.iter().filter(|(_, end)| **end > now).collect();
        if let Some((name, _)) = alive.get(roll(state) as usize % alive.len().max(1)) {
            let (name, deadline) = ((*name).clone(), now + delay(state));
            let key = Key::new(self.engine.seed(), 0, &name);
            let expire = Op::Expire {
                key,
                at: Due::At(Stamp::from_millis(deadline)),
                condition: ExpireCondition::default(),
            };
            assert_eq!(self.engine.apply(&expire, at), Outcome::Flag(true));
            self.keys.insert(name, deadline);
        }
        let alive: Vec<_> = self.sessions.iter().filter(|(_, end)| **end > now).collect();
        if let Some((id, _)) = alive.get(roll(state) as usize % alive.len().max(1)) {
            let id = **id;
            let expires =
                self.engine.session(&id, at, Touch::Now, |view| view.map(|view| view.expires));
            self.sessions.insert(id, expires.expect("alive").millis());
        }
    }

    /// Sweeps at `now` and compares what is still held with what may be.
    fn check(&self, now: u64) {
        while self.engine.sweep(Stamp::from_millis(now), 100).more {}
        let bounds = |deadlines: &[u64]| {
            let later = |than: u64| deadlines.iter().filter(|end| **end > than).count() as u64;
            later(now)..=later(now.saturating_sub(2000))
        };
        let keys: Vec<u64> = self.keys.values().copied().collect();
        let sessions: Vec<u64> = self.sessions.values().copied().collect();
        let held = (self.engine.database(0).keys, self.engine.statistics().sessions);
        assert!(bounds(&keys).contains(&held.0), "{} keys at {now}: {:?}", held.0, bounds(&keys));
        assert!(bounds(&sessions).contains(&held.1), "{} sessions at {now}", held.1);
    }
}

#[test]
fn deadlines_of_all_sizes_are_kept_to_within_two_seconds() {
    for seed in 0..4 {
        let mut state = seed;
        let mut field = Field::sow(150, &mut state);
        let mut now = START;
        loop {
            // On to just before, at, or two seconds after the next deadline, whichever comes first.
            let ends = field.keys.values().chain(field.sessions.values());
            let points = ends.flat_map(|end| [end - 1, *end, end + 2000]);
            let Some(next) = points.filter(|point| *point > now).min() else { break };
            now = next;
            field.check(now);
            if now < START + 8 * YEAR && roll(&mut state).is_multiple_of(3) {
                field.stir(now, &mut state);
            }
        }
        assert_eq!(field.engine.statistics().memory_bytes, 0);
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // a test that measures
fn a_sweep_after_decades_is_fast() {
    let mut state = 9;
    let field = Field::sow(5000, &mut state);
    let now = Stamp::from_millis(START + 300 * YEAR);
    let begin = std::time::Instant::now();
    while field.engine.sweep(now, 1000).more {}
    let passed = begin.elapsed();
    assert_eq!(field.engine.statistics().memory_bytes, 0);
    // It takes milliseconds; turning the wheel tick by tick would take minutes.
    assert!(passed.as_secs() < 5, "{passed:?}");
}

#[test]
fn without_eviction_writes_are_refused_and_ends_are_not() {
    let engine = engine();
    let now = Stamp::from_millis(START);
    for number in 0..100_u32 {
        let name = number.to_le_bytes();
        engine.apply(&set(&engine, &name, Deadline::Clear, None), now);
    }
    engine.set_memory_limit(engine.statistics().memory_bytes, Eviction::Never);
    let before = engine.digest(now);
    let full = Outcome::Refused(Refusal::OutOfMemory);
    assert_eq!(engine.apply(&set(&engine, b"more", Deadline::Clear, None), now), full);
    assert_eq!(engine.digest(now), before);
    let name = 7_u32.to_le_bytes();
    let names = [&name[..]];
    assert!(engine.look(Key::new(engine.seed(), 0, &name), now, |entry| entry.is_some()));
    let delete = Op::Delete { db: 0, keys: Words::from_slices(&names) };
    assert_eq!(engine.apply(&delete, now), Outcome::Integer(1));
    assert_eq!(engine.apply(&set(&engine, b"b", Deadline::Clear, None), now), Outcome::Done);
}

#[test]
fn eviction_ends_what_ends_soonest_and_nothing_without_a_deadline() {
    let engine = engine();
    let now = Stamp::from_millis(START);
    let bytes_max = 100_000;
    engine.set_memory_limit(bytes_max, Eviction::NearestDeadline);
    for number in 0..200_u32 {
        let name = [&b"kept"[..], &number.to_le_bytes()].concat();
        assert_eq!(engine.apply(&set(&engine, &name, Deadline::Clear, None), now), Outcome::Done);
    }
    for number in 0..5000_u32 {
        // The later it is written the later it ends, by far more than the wheel's resolution.
        let at = Deadline::At(now.plus_millis(60_000 + u64::from(number) * 10_000));
        let owner = (number % 3 == 0).then_some(&b"alice"[..]);
        let name = number.to_le_bytes();
        assert_eq!(engine.apply(&set(&engine, &name, at, owner), now), Outcome::Done);
        assert!(engine.statistics().memory_bytes < bytes_max + 200);
    }
    assert!(engine.statistics().evicted_total > 3000);
    let (mut kept, mut soonest, mut alices) = (0, u32::MAX, 0);
    engine.scan(0, 0, usize::MAX, now, |key, entry| {
        alices += u64::from(entry.owner.is_some());
        match <[u8; 4]>::try_from(key) {
            Ok(number) => soonest = soonest.min(u32::from_le_bytes(number)),
            Err(_) => kept += 1,
        }
    });
    assert_eq!(kept, 200);
    assert_eq!(engine.session_count(b"alice", now), alices, "the index follows eviction");
    let left = engine.database(0).expires;
    assert!(u64::from(soonest) + left + 1500 > 5000, "from {soonest} on, {left} left");
}
