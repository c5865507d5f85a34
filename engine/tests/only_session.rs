//! Users whose only session holds what a user's record would: what can be seen is the same as of any
//! other user, whichever way a user came to have one session, and whichever way it comes to have more.

use hallpass_engine::snapshot::{Snapshot, restore, to_bytes};
use hallpass_engine::{
    Cap, Condition, Config, Deadline, Engine, HashSeed, Key, Limits, Op, Outcome, Refusal,
    SessionHash, Stamp, Touch, Words,
};

const START: Stamp = Stamp::from_millis(1_700_000_000_000);
const ALICE: &[u8] = b"alice";
/// Names as long as the encoding of their length has limits.
const NAME_BYTES: [usize; 9] = [0, 1, 62, 63, 64, 254, 255, 256, 1024];

fn engine() -> Engine {
    Engine::new(&Config { shards: 4, ..Config::new(HashSeed::new(5, 6)) })
}

fn id(number: u32) -> SessionHash {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    SessionHash(id)
}

fn create(engine: &Engine, user: &[u8], number: u32) -> Outcome {
    create_capped(engine, user, number, None)
}

fn create_capped(engine: &Engine, user: &[u8], number: u32, cap: Option<Cap>) -> Outcome {
    let limits = Limits { idle_seconds: 3600, lifetime_seconds: 7200 };
    let (data, meta) = (&b"data"[..], Words::from_slices(&[b"agent", b"curl"]));
    let op = Op::SessionCreate { id: id(number), user, limits, data, meta, cap };
    engine.apply(&op, START)
}

fn revoke(engine: &Engine, user: &[u8], except: Option<u32>) -> Outcome {
    engine.apply(&Op::SessionRevokeUser { user, except: except.map(id) }, START)
}

fn end(engine: &Engine, number: u32) {
    let revoked = engine.apply(&Op::SessionRevoke { ids: vec![id(number)] }, START);
    assert_eq!(revoked, Outcome::Integer(1));
}

fn user_of(engine: &Engine, number: u32) -> Option<Vec<u8>> {
    engine.validate(&id(number), START, Touch::No, |user| user.map(<[u8]>::to_vec))
}

fn listed(engine: &Engine, user: &[u8]) -> Vec<SessionHash> {
    let mut handles = Vec::new();
    assert_eq!(engine.sessions_of(user, 0, 100, START, |view| handles.push(view.handle)), 0);
    handles.sort_unstable();
    handles
}

fn is_empty_after_sweep(engine: &Engine) {
    while engine.sweep(START, 3).more {}
    let rest = engine.statistics();
    assert_eq!((rest.sessions, rest.users, rest.revoked_unswept, rest.memory_bytes), (0, 0, 0, 0));
}

fn restored(engine: &Engine) -> Engine {
    let other = Engine::new(&Config { shards: 8, ..Config::new(HashSeed::new(7, 8)) });
    let bytes = to_bytes(engine, START).expect("the only one");
    assert_eq!(restore(&other, &bytes), Ok(START));
    other
}

#[test]
fn a_name_of_any_length_is_read_back() {
    let engine = engine();
    let names: Vec<Vec<u8>> = NAME_BYTES.iter().map(|length| vec![b'n'; *length]).collect();
    for (number, name) in (1..).zip(&names) {
        // Generations of every length, too.
        while engine.generation(b"nobody", START) < 1 << (4 * number) && number < 5 {
            revoke(&engine, b"nobody", None);
        }
        assert!(matches!(create(&engine, name, number), Outcome::Session(_)));
    }
    for (number, name) in (1..).zip(&names) {
        for engine in [&engine, &restored(&engine)] {
            assert_eq!(user_of(engine, number).as_ref(), Some(name));
            assert_eq!(engine.session_count(name, START), 1);
            assert_eq!(listed(engine, name), [id(number)]);
            let drawn = 1 << (4 * number.min(4));
            assert_eq!(engine.generation(name, START), drawn, "{} bytes", name.len());
            engine.session(&id(number), START, Touch::No, |view| {
                let view = view.expect("live");
                assert_eq!((view.data, view.version), (&b"data"[..], 1));
                assert!(view.meta.iter().eq([(&b"agent"[..], &b"curl"[..])]));
            });
        }
    }
    assert_eq!(restored(&engine).digest(START), engine.digest(START));
    for (number, name) in (1..).zip(&names) {
        // With a second session the name is in the user's record.
        assert!(matches!(create(&engine, name, 100 + number), Outcome::Session(_)));
        assert_eq!(user_of(&engine, number).as_ref(), Some(name));
        assert_eq!(user_of(&engine, 100 + number).as_ref(), Some(name));
    }
    assert_eq!(restored(&engine).digest(START), engine.digest(START));
}

#[test]
fn the_way_to_one_session_does_not_show() {
    let ways: [fn(&Engine); 5] = [
        |engine| drop(create(engine, ALICE, 1)),
        |engine| {
            create(engine, ALICE, 2);
            create(engine, ALICE, 1);
            end(engine, 2);
        },
        |engine| {
            create(engine, ALICE, 1);
            create(engine, ALICE, 2);
            create(engine, ALICE, 3);
            end(engine, 3);
            end(engine, 2);
        },
        |engine| {
            create(engine, ALICE, 2);
            let rotate = Op::SessionRotate { id: id(2), new_id: id(1), grace_millis: 0 };
            assert!(matches!(engine.apply(&rotate, START), Outcome::Session(_)));
        },
        |engine| {
            create(engine, ALICE, 2);
            let cap = Some(Cap { sessions_max: 1, evict: true });
            create_capped(engine, ALICE, 1, cap);
        },
    ];
    let digests = ways.map(|way| {
        let engine = engine();
        way(&engine);
        for engine in [&engine, &restored(&engine)] {
            assert_eq!(listed(engine, ALICE), [id(1)]);
            assert_eq!(engine.statistics().users, 1);
        }
        let digest = engine.digest(START);
        assert_eq!(restored(&engine).digest(START), digest);
        assert_eq!(revoke(&engine, ALICE, None), Outcome::Integer(1));
        assert_eq!(user_of(&engine, 1), None);
        assert_eq!(engine.session_count(ALICE, START), 0);
        assert_eq!(engine.generation(ALICE, START), 1);
        is_empty_after_sweep(&engine);
        digest
    });
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn the_generation_follows_through_a_second_session() {
    let engine = engine();
    revoke(&engine, b"bob", None);
    create(&engine, ALICE, 1);
    revoke(&engine, b"bob", None);
    create(&engine, ALICE, 2);
    for engine in [&engine, &restored(&engine)] {
        assert_eq!(engine.generation(ALICE, START), 1, "of the first login");
        assert_eq!(listed(engine, ALICE).len(), 2);
    }
}

#[test]
fn the_excepted_session_stays_and_has_the_new_generation() {
    let engine = engine();
    create(&engine, ALICE, 1);
    assert_eq!(revoke(&engine, ALICE, Some(1)), Outcome::Integer(0));
    assert_eq!(engine.generation(ALICE, START), 1);
    create(&engine, ALICE, 2);
    create(&engine, ALICE, 3);
    assert_eq!(revoke(&engine, ALICE, Some(2)), Outcome::Integer(2));
    assert_eq!(engine.generation(ALICE, START), 2);
    assert_eq!(listed(&engine, ALICE), [id(2)]);
    assert_eq!(restored(&engine).generation(ALICE, START), 2);
    // Another user's session is no exception.
    create(&engine, b"bob", 4);
    assert_eq!(revoke(&engine, ALICE, Some(4)), Outcome::Integer(1));
    assert_eq!(user_of(&engine, 4).as_deref(), Some(&b"bob"[..]));
    end(&engine, 4);
    is_empty_after_sweep(&engine);
}

#[test]
fn a_cap_counts_an_only_session() {
    let engine = engine();
    create(&engine, ALICE, 1);
    let reject = Some(Cap { sessions_max: 1, evict: false });
    let refused = create_capped(&engine, ALICE, 2, reject);
    assert_eq!(refused, Outcome::Refused(Refusal::SessionLimit(1)));
    assert_eq!(listed(&engine, ALICE), [id(1)]);
    let evict = Some(Cap { sessions_max: 1, evict: true });
    create_capped(&engine, ALICE, 2, evict);
    assert_eq!(listed(&engine, ALICE), [id(2)]);
}

#[test]
fn a_key_of_the_same_user_is_counted_beside_an_only_session() {
    let engine = engine();
    create(&engine, ALICE, 1);
    let key = Key::new(engine.seed(), 0, b"sess:1");
    let set = Op::Set {
        key,
        value: b"value",
        deadline: Deadline::Clear,
        condition: Condition::Always,
        owner: Some(ALICE),
        get: false,
    };
    assert_eq!(engine.apply(&set, START), Outcome::Done);
    assert_eq!(engine.session_count(ALICE, START), 2);
    assert_eq!(revoke(&engine, ALICE, None), Outcome::Integer(2));
    assert_eq!(user_of(&engine, 1), None);
    assert!(engine.look(key, START, |entry| entry.is_none()));
    is_empty_after_sweep(&engine);
}

// An only session tells four epochs apart, so of the sessions that five logouts of everybody in a row
// left behind, some must have been swept before the last one.
#[test]
fn logouts_of_everybody_without_a_sweep_leave_nobody_logged_in() {
    let engine = engine();
    for round in 0..20 {
        for number in 0..10 {
            let name = [round, number];
            create(&engine, &name, u32::from(round) * 10 + u32::from(number));
        }
        assert_eq!(engine.apply(&Op::SessionRevokeAll, START), Outcome::Integer(10));
        for number in 0..(u32::from(round) + 1) * 10 {
            assert_eq!(user_of(&engine, number), None, "session {number} after round {round}");
        }
    }
    // A dead one's place is taken by a live one, which the sweep leaves alone.
    create(&engine, ALICE, 199);
    while engine.sweep(START, 3).more {}
    assert_eq!(user_of(&engine, 199).as_deref(), Some(ALICE));
    assert_eq!(engine.statistics().sessions, 1);
    end(&engine, 199);
    is_empty_after_sweep(&engine);
}

// A user's record tells 128 epochs apart.
#[test]
fn many_logouts_of_everybody_without_a_sweep_leave_nobody_logged_in() {
    let engine = engine();
    for round in 0..600 {
        create(&engine, ALICE, 2 * round);
        create(&engine, ALICE, 2 * round + 1);
        assert_eq!(engine.apply(&Op::SessionRevokeAll, START), Outcome::Integer(2));
        assert!((0..2 * round + 2).all(|number| user_of(&engine, number).is_none()), "{round}");
    }
    is_empty_after_sweep(&engine);
}

#[test]
fn a_snapshot_shows_only_sessions_that_ended_or_were_joined_after_it_began() {
    let engine = engine();
    for number in 0..200_u32 {
        create(&engine, &number.to_le_bytes(), number);
    }
    let digest = engine.digest(START);
    let mut bytes = Vec::new();
    let mut snapshot = Snapshot::begin(&engine, START, &mut bytes).expect("the only one");
    for number in 0..50_u32 {
        revoke(&engine, &number.to_le_bytes(), None);
        create(&engine, &(50 + number).to_le_bytes(), 1000 + number);
        revoke(&engine, &(100 + number).to_le_bytes(), Some(100 + number));
    }
    engine.apply(&Op::SessionRevokeAll, START);
    for number in 0..200 {
        create(&engine, ALICE, 2000 + number);
    }
    while snapshot.write_slice(&mut bytes) {}
    drop(snapshot);
    let other = self::engine();
    assert_eq!(restore(&other, &bytes), Ok(START));
    assert_eq!(other.digest(START), digest);
}
