//! Hints from a prefetch: a read believes what it finds where one points only if it is what it seeks, so
//! a right, a wrong and an outdated hint give the same answers as none.

use hallpass_engine::{
    Condition, Config, Deadline, Engine, HashSeed, Hint, Key, Limits, Op, SessionHash, SessionKey,
    Stamp, Touch, Value, Words,
};

const NOW: Stamp = Stamp::from_millis(1_700_000_000_000);
/// One shard, so that every hint points into the shard that is looked at.
const SHARDS: usize = 1;

fn engine() -> Engine {
    Engine::new(&Config { shards: SHARDS, ..Config::new(HashSeed::new(5, 6)) })
}

fn set(engine: &Engine, name: &[u8]) {
    let key = Key::new(engine.seed(), 0, name);
    let (deadline, condition) = (Deadline::Clear, Condition::Always);
    let op = Op::Set { key, value: name, deadline, condition, owner: None, get: false };
    engine.apply(&op, NOW);
}

fn create(engine: &Engine, id: SessionHash, user: &[u8]) {
    let limits = Limits { idle_seconds: 60, lifetime_seconds: 0 };
    let op = Op::SessionCreate { id, user, limits, data: b"", meta: Words::EMPTY, cap: None };
    engine.apply(&op, NOW);
}

fn hint(engine: &Engine, hash: u64) -> Hint {
    let mut hint = Hint::default();
    engine.prefetch_bucket(hash);
    engine.prefetch_records([(hash, &mut hint)].into_iter());
    hint
}

/// The string under a key that is looked for where `hint` says.
fn get(engine: &Engine, name: &[u8], hint: Hint) -> Option<Vec<u8>> {
    let hash = Key::new(engine.seed(), 0, name).hash();
    let key = Key::with_hash(hash, hint, 0, name);
    engine.look(key, NOW, |entry| match entry?.value {
        Value::String(value) => Some(value.to_vec()),
        Value::Collection(_) => None,
    })
}

fn user_of(engine: &Engine, id: SessionHash, hint: Hint) -> Option<Vec<u8>> {
    engine.validate(SessionKey::new(id, hint), NOW, Touch::Now, |user| user.map(<[u8]>::to_vec))
}

#[test]
fn a_key_is_found_by_any_hint() {
    let engine = engine();
    let names: [&[u8]; 3] = [b"first", b"second", b"third"];
    for name in names {
        set(&engine, name);
    }
    let hash = |name: &[u8]| Key::new(engine.seed(), 0, name).hash();
    for at in names {
        let hint = hint(&engine, hash(at));
        for name in names {
            assert_eq!(get(&engine, name, hint).as_deref(), Some(name));
        }
        assert_eq!(get(&engine, b"absent", hint), None);
    }
    let outdated = hint(&engine, hash(b"second"));
    let keys = Words::from_slices(&[b"second"]);
    engine.apply(&Op::Delete { db: 0, keys }, NOW);
    assert_eq!(get(&engine, b"second", outdated), None);
    // The slot that came free is used again.
    set(&engine, b"fourth");
    assert_eq!(get(&engine, b"second", outdated), None);
    assert_eq!(get(&engine, b"fourth", outdated).as_deref(), Some(&b"fourth"[..]));
}

#[test]
fn a_session_is_found_by_any_hint_and_not_once_it_is_revoked() {
    let engine = engine();
    let (first, second) = (SessionHash([1; 16]), SessionHash([2; 16]));
    create(&engine, first, b"alice");
    create(&engine, second, b"bob");
    for at in [first, second] {
        let hint = hint(&engine, at.hash());
        assert_eq!(user_of(&engine, first, hint).as_deref(), Some(&b"alice"[..]));
        assert_eq!(user_of(&engine, second, hint).as_deref(), Some(&b"bob"[..]));
    }
    let before = hint(&engine, first.hash());
    engine.apply(&Op::SessionRevokeUser { user: b"alice", except: None }, NOW);
    assert_eq!(user_of(&engine, first, before), None, "revoked means gone, whatever the hint");
    assert_eq!(user_of(&engine, second, before).as_deref(), Some(&b"bob"[..]));
}
