//! One test for each bug that was found, its story above it. Those that need threads are in
//! `concurrent.rs`.

use hallpass_engine::snapshot::{RestoreError, Snapshot, restore, to_bytes};
use hallpass_engine::{
    Cap, Condition, Config, Deadline, Engine, HashSeed, Key, Limits, Op, Outcome, Refusal,
    SessionHash, Side, SizeLimits, Stamp, Touch, Value, Words,
};

const START: Stamp = Stamp::from_millis(1_700_000_000_000);
const ALICE: &[u8] = b"alice";

fn engine() -> Engine {
    Engine::new(&Config { shards: 4, ..Config::new(HashSeed::new(5, 6)) })
}

fn id(number: u8) -> SessionHash {
    SessionHash([number.wrapping_mul(97); 16])
}

fn create(number: u8, idle_seconds: u32) -> Op<'static> {
    let limits = Limits { idle_seconds, lifetime_seconds: 0 };
    let (data, meta) = (&b""[..], Words::EMPTY);
    Op::SessionCreate { id: id(number), user: ALICE, limits, data, meta, cap: None }
}

fn set<'a>(engine: &Engine, name: &'a [u8], value: &'a [u8], owner: Option<&'a [u8]>) -> Op<'a> {
    let key = Key::new(engine.seed(), 0, name);
    let (deadline, condition) = (Deadline::Clear, Condition::Always);
    Op::Set { key, value, deadline, condition, owner, get: false }
}

fn revoke(user: &[u8]) -> Op<'_> {
    Op::SessionRevokeUser { user, except: None }
}

fn is_live(engine: &Engine, number: u8, now: Stamp) -> bool {
    engine.validate(&id(number), now, Touch::No, |user| user.is_some())
}

// REVOKEUSER drew a generation only when the user still had a record, so an expired session that one
// node had swept and another had not left the two with different digests.
#[test]
fn a_revoke_draws_a_generation_whether_or_not_the_sweep_was_by() {
    let (swept, unswept) = (engine(), engine());
    let later = START.plus_millis(60_000);
    for engine in [&swept, &unswept] {
        engine.apply(&create(1, 1), START);
    }
    while swept.sweep(later, 10).more {}
    for engine in [&swept, &unswept] {
        assert_eq!(engine.apply(&revoke(ALICE), later), Outcome::Integer(0));
        assert_eq!(engine.generation(ALICE, later), 1);
    }
    assert_eq!(swept.digest(later), unswept.digest(later));
}

// A new session of a user whose others had all expired joined the old incarnation if the sweep had not
// been by, and got its generation; on a node where the sweep had been by it got the present one.
#[test]
fn a_user_begins_anew_when_all_sessions_have_expired() {
    let (swept, unswept) = (engine(), engine());
    let later = START.plus_millis(60_000);
    for engine in [&swept, &unswept] {
        engine.apply(&create(1, 1), START);
        engine.apply(&revoke(b"bob"), START);
    }
    while swept.sweep(later, 10).more {}
    for engine in [&swept, &unswept] {
        assert_eq!(engine.generation(ALICE, later), 1, "what the next session would get");
        engine.apply(&create(2, 60), later);
        assert_eq!(engine.generation(ALICE, later), 1);
    }
    let snapshots = [&swept, &unswept].map(|engine| to_bytes(engine, later).expect("the only one"));
    assert_eq!(snapshots[0], snapshots[1]);
}

// The same through the back door: a capped login ended the user's last live session, and only expired
// ones held the old incarnation.
#[test]
fn a_user_begins_anew_when_the_cap_ended_the_last_session() {
    let engine = engine();
    let later = START.plus_millis(2000);
    engine.apply(&create(1, 1), START);
    engine.apply(&create(2, 60), START);
    engine.apply(&revoke(b"bob"), START);
    let Op::SessionCreate { user, limits, data, meta, .. } = create(3, 60) else { return };
    let cap = Some(Cap { sessions_max: 1, evict: true });
    engine.apply(&Op::SessionCreate { id: id(3), user, limits, data, meta, cap }, later);
    assert_eq!(engine.generation(ALICE, later), 1);
}

// Overwriting the only key of a user took the user's record away and made another: its generation
// changed without a logout.
#[test]
fn overwriting_the_only_key_of_a_user_keeps_the_generation() {
    let engine = engine();
    engine.apply(&set(&engine, b"key", b"one", Some(ALICE)), START);
    engine.apply(&revoke(b"bob"), START);
    engine.apply(&set(&engine, b"key", b"another value", Some(ALICE)), START);
    assert_eq!(engine.generation(ALICE, START), 0);
    assert_eq!(engine.session_count(ALICE, START), 1);
}

// An alias outlived its session: when the session was revoked and another one imported under its id,
// the old id from before the rotation opened the new session.
#[test]
fn an_alias_does_not_open_a_session_made_later() {
    let engine = engine();
    engine.apply(&create(1, 0), START);
    let (id, new_id) = (id(1), self::id(2));
    engine.apply(&Op::SessionRotate { id, new_id, grace_millis: 60_000 }, START);
    assert!(is_live(&engine, 1, START));
    engine.apply(&Op::SessionRevoke { ids: vec![new_id] }, START);
    let later = START.plus_millis(1);
    assert!(matches!(engine.apply(&create(2, 0), later), Outcome::Session(_)));
    assert!(is_live(&engine, 2, later));
    assert!(!is_live(&engine, 1, later), "the alias died with its session");
    let save = Op::SessionSave { id, data: b"late", version: None };
    assert_eq!(engine.apply(&save, later), Outcome::Refused(Refusal::NoSession));
}

// A list or hash longer in all than the limit on one value was written to a snapshot and refused when
// that was read back.
#[test]
fn a_snapshot_of_a_large_collection_is_read_back() {
    let sizes = SizeLimits { value_bytes_max: 100, ..SizeLimits::default() };
    let config = Config { sizes, ..Config::new(HashSeed::new(5, 6)) };
    let engine = Engine::new(&config);
    let values = [&[b'x'; 90][..]; 50];
    let key = Key::new(engine.seed(), 0, b"list");
    let (values, side) = (Words::from_slices(&values), Side::Tail);
    engine.apply(&Op::ListPush { key, values, side, if_exists: false }, START);
    let restored = Engine::new(&config);
    let snapshot = to_bytes(&engine, START).expect("the only one");
    assert_eq!(restore(&restored, &snapshot), Ok(START));
    assert_eq!(restored.digest(START), engine.digest(START));
}

// The owner of a plain key was not held to any limit when a snapshot was read: a long name in a damaged
// one was a panic.
#[test]
fn an_owner_past_the_limit_is_refused_by_restore() {
    let engine = engine();
    let owner = [b'o'; 2000];
    engine.apply(&set(&engine, b"key", b"value", Some(&owner)), START);
    let snapshot = to_bytes(&engine, START).expect("the only one");
    let refused = restore(&self::engine(), &snapshot);
    assert!(matches!(refused, Err(RestoreError::OverLimit(_))), "{refused:?}");
}

// The number of generations in a snapshot's header was believed: the next logout of a user overflowed.
#[test]
fn a_snapshot_with_too_many_generations_is_refused() {
    let mut snapshot = to_bytes(&engine(), START).expect("the only one");
    // The header block is the stamp and the generations, each a varint; the end mark follows.
    let (header, end) = (18, snapshot.len() - 16);
    let mut block = snapshot[header..end - 1].to_vec();
    block.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    snapshot.splice(header..end, block.iter().copied());
    snapshot[10..14].copy_from_slice(&(block.len() as u32).to_le_bytes());
    snapshot[14..18].copy_from_slice(&crc32fast::hash(&block).to_le_bytes());
    let refused = restore(&engine(), &snapshot);
    assert!(matches!(refused, Err(RestoreError::Damaged(_))), "{refused:?}");
}

// All that changed in a shard during a snapshot went into one block, which a reader refuses past 1 GiB
// and whose length wraps past 4 GiB.
#[test]
fn a_snapshots_blocks_stay_short_whatever_changes_meanwhile() {
    let config = Config { shards: 1, ..Config::new(HashSeed::new(5, 6)) };
    let engine = Engine::new(&config);
    let value = [b'v'; 10_000];
    let names: Vec<[u8; 4]> = (0..300_u32).map(u32::to_le_bytes).collect();
    for name in &names {
        engine.apply(&set(&engine, name, &value, None), START);
    }
    let digest = engine.digest(START);
    let mut snapshot = Vec::new();
    let mut writer = Snapshot::begin(&engine, START, &mut snapshot).expect("the only one");
    engine.apply(&Op::Flush { db: None }, START);
    while writer.write_slice(&mut snapshot) {}
    drop(writer);
    let mut rest = &snapshot[10..];
    loop {
        let length = u32::from_le_bytes(rest[..4].try_into().expect("four bytes")) as usize;
        if length == 0 {
            break;
        }
        assert!(length < (256 << 10) + 11_000, "{length}");
        rest = &rest[8 + length..];
    }
    let restored = Engine::new(&config);
    assert_eq!(restore(&restored, &snapshot), Ok(START));
    assert_eq!(restored.digest(START), digest);
}

// HSET and LPUSH did not tell the value how much was coming, so OBJECT ENCODING was not what Redis says
// when one command brings more than a listpack holds.
#[test]
fn one_command_with_much_in_it_changes_the_encoding_at_once() {
    let engine = engine();
    let encoding = |key| {
        engine.look(key, START, |entry| match entry.expect("stored").value {
            Value::Collection(collection) => collection.encoding(),
            Value::String(_) => "string",
        })
    };
    let pairs = vec![&b"field"[..]; 2 * 513];
    let key = Key::new(engine.seed(), 0, b"hash");
    let pairs = Words::from_slices(&pairs);
    engine.apply(&Op::HashSet { key, pairs, if_absent: false }, START);
    assert_eq!(encoding(key), "hashtable");
    let values = [&[b'v'; 1000][..]; 9];
    let key = Key::new(engine.seed(), 0, b"list");
    let (values, side) = (Words::from_slices(&values), Side::Head);
    engine.apply(&Op::ListPush { key, values, side, if_exists: false }, START);
    assert_eq!(encoding(key), "quicklist");
}

#[test]
fn a_read_that_reports_a_touch_stores_nothing() {
    let engine = Engine::new(&Config::new(HashSeed::new(1, 2)));
    let at = |seconds: u64| Stamp::from_millis(1_000_000 + seconds * 1000);
    let limits = Limits { idle_seconds: 160, lifetime_seconds: 0 };
    let (data, meta, cap) = (&b""[..], Words::EMPTY, None);
    let create = Op::SessionCreate { id: id(1), user: b"alice", limits, data, meta, cap };
    engine.apply(&create, at(0));
    let rotate = Op::SessionRotate { id: id(1), new_id: id(2), grace_millis: 1_000_000 };
    engine.apply(&rotate, at(0));
    let digest = engine.digest(at(0));
    let due = |number, seconds| {
        let due = std::cell::Cell::new(false);
        let touch = Touch::Due { slack_divisor: 16, due: &due };
        engine.validate(&id(number), at(seconds), touch, |_| ());
        let by_view = std::cell::Cell::new(true);
        let touch = Touch::Due { slack_divisor: 16, due: &by_view };
        engine.session(&id(number), at(seconds), touch, |_| ());
        assert_eq!(due, by_view);
        due.get()
    };
    for number in [1, 2] {
        assert!(!due(number, 10), "within the slack");
        assert!(due(number, 11));
        assert!(!due(number, 160), "a dead one is not to be touched");
    }
    assert!(!due(3, 11), "nor one that never was");
    assert_eq!(engine.digest(at(0)), digest, "and nothing was stored");
    engine.apply(&Op::SessionTouch { id: id(1) }, at(11));
    assert!(!due(2, 12));
}
