//! The engine under many threads: what has to hold while they run, and what has to add up afterwards.
//!
//! Each test runs for a fixed number of rounds under a watchdog, so a deadlock fails instead of hanging.

mod model;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hallpass_engine::snapshot::{restore, to_bytes};
use hallpass_engine::{
    Cap, Config, Engine, HashSeed, Limits, Op, Outcome, Refusal, SessionHash, Stamp, Touch, Words,
};
use model::step::{Step, USERS, ids};

const START: Stamp = Stamp::from_millis(1_700_000_000_000);
const PATIENCE: Duration = Duration::from_mins(2);

fn engine(shards: usize) -> Engine {
    Engine::new(&Config { shards, ..Config::new(HashSeed::new(5, 6)) })
}

/// Runs a test in a thread of its own and fails when it does not come to an end.
fn watched(work: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match finished.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a deadlock: no end after {PATIENCE:?}"),
        _ => worker.join().expect("the work failed"),
    }
}

/// A small generator; tests say their seeds.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn step(&mut self) -> Step {
        let (a, b) = (self.roll().to_le_bytes(), self.roll().to_le_bytes());
        Step([a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0], b[1]])
    }
}

fn id(number: u64) -> SessionHash {
    let mut bytes = [9; 16];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    SessionHash(bytes)
}

fn create(id: SessionHash, user: &[u8], cap: Option<Cap>) -> Op<'_> {
    let limits = Limits { idle_seconds: 600, lifetime_seconds: 0 };
    Op::SessionCreate { id, user, limits, data: b"data", meta: Words::EMPTY, cap }
}

/// Nobody works on it any more: the index counts what there is, and all memory comes back.
fn check_at_rest(engine: &Engine, now: Stamp) {
    for user in USERS {
        let mut live = 0;
        engine.sessions_of(user, 0, usize::MAX, now, |view| {
            live += 1;
            let handle = view.handle;
            assert_eq!(view.user, user);
            assert_ne!(handle, SessionHash([0xff; 16]));
        });
        for db in 0..16 {
            engine.scan(db, 0, usize::MAX, now, |_, entry| {
                live += u64::from(entry.owner == Some(user));
            });
        }
        assert_eq!(engine.session_count(user, now), live, "the index of {user:?}");
    }
    for db in 0..16 {
        let mut keys = Vec::new();
        engine.scan(db, 0, usize::MAX, now, |key, _| keys.push(key.to_vec()));
        let names: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        engine.apply(&Op::Delete { db, keys: Words::from_slices(&names) }, now);
    }
    engine.apply(&Op::SessionRevokeAll, now);
    let later = now.plus_millis(200_000);
    while engine.sweep(later, 1000).more {}
    let rest = engine.statistics();
    assert_eq!((rest.sessions, rest.users, rest.revoked_unswept, rest.memory_bytes), (0, 0, 0, 0));
}

#[test]
fn all_ops_at_once_leave_nothing_behind() {
    watched(|| {
        let engine = engine(8);
        let clock = AtomicU64::new(START.millis());
        thread::scope(|scope| {
            for worker in 0..4 {
                let (engine, clock) = (&engine, &clock);
                scope.spawn(move || {
                    let mut dice = Dice(worker);
                    for round in 0..25_000 {
                        let now = Stamp::from_millis(clock.fetch_add(3, Ordering::Relaxed));
                        let step = dice.step();
                        step.with_op(engine.seed(), now, |op| engine.apply(op, now));
                        match round % 64 {
                            0 => drop(engine.sweep(now, 5)),
                            1..8 => {
                                for id in ids() {
                                    let touch = if round % 2 == 0 { Touch::Now } else { Touch::No };
                                    engine.validate(&id, now, touch, |_| ());
                                }
                            }
                            8..16 => drop(engine.session_count(USERS[round % 4], now)),
                            _ => {}
                        }
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..60 {
                    let now = Stamp::from_millis(clock.load(Ordering::Relaxed));
                    let image = to_bytes(&engine, now).expect("one snapshot at a time");
                    let restored = self::engine(2);
                    assert_eq!(restore(&restored, &image), Ok(now));
                    check_at_rest(&restored, now);
                }
            });
        });
        check_at_rest(&engine, Stamp::from_millis(clock.load(Ordering::Relaxed)));
    });
}

#[test]
fn nothing_revoked_is_seen_after_the_acknowledgement() {
    const SESSIONS: u64 = 3000;
    watched(|| {
        let engine = engine(8);
        let created = AtomicU64::new(0);
        let revoked: Vec<AtomicBool> = (0..SESSIONS).map(|_| AtomicBool::new(false)).collect();
        let user = |number: u64| USERS[number as usize / 3 % 4];
        thread::scope(|scope| {
            for worker in 0..3 {
                let (engine, created, revoked) = (&engine, &created, &revoked);
                scope.spawn(move || {
                    let mut dice = Dice(worker);
                    while created.load(Ordering::Acquire) < SESSIONS {
                        let newest = created.load(Ordering::Acquire).max(1);
                        let number = newest - 1 - dice.roll() % newest.min(8);
                        let was_revoked = revoked[number as usize].load(Ordering::Acquire);
                        let found = match dice.roll() % 4 {
                            0 => {
                                let save =
                                    Op::SessionSave { id: id(number), data: b"", version: None };
                                engine.apply(&save, START) != Outcome::Refused(Refusal::NoSession)
                            }
                            1 => {
                                let touch = Op::SessionTouch { id: id(number) };
                                engine.apply(&touch, START) == Outcome::Flag(true)
                            }
                            2 => {
                                engine.sweep(START, 1);
                                engine
                                    .session(&id(number), START, Touch::Now, |view| view.is_some())
                            }
                            _ => engine
                                .validate(&id(number), START, Touch::Now, |user| user.is_some()),
                        };
                        assert!(!(was_revoked && found), "session {number} after its revoke");
                    }
                });
            }
            scope.spawn(|| {
                for number in 0..SESSIONS {
                    engine.apply(&create(id(number), user(number), None), START);
                    created.store(number + 1, Ordering::Release);
                    thread::yield_now();
                    // Every third one ends alone, the two before it with all of their user's.
                    match number % 3 {
                        0 => continue,
                        1 => {
                            drop(engine.apply(&Op::SessionRevoke { ids: vec![id(number)] }, START));
                        }
                        _ => {
                            let op = Op::SessionRevokeUser { user: user(number), except: None };
                            engine.apply(&op, START);
                            revoked[number as usize - 2].store(true, Ordering::Release);
                        }
                    }
                    revoked[number as usize].store(true, Ordering::Release);
                }
            });
        });
        assert!(ids().all(|id| engine.validate(&id, START, Touch::No, |user| user.is_none())));
        check_at_rest(&engine, START);
    });
}

#[test]
fn a_cap_is_never_exceeded() {
    watched(|| {
        let engine = engine(8);
        let (next, running) = (AtomicU64::new(0), AtomicBool::new(true));
        thread::scope(|scope| {
            let workers: Vec<_> = (0..3_u64)
                .map(|worker| {
                    let (engine, next) = (&engine, &next);
                    scope.spawn(move || {
                        let mut dice = Dice(worker);
                        for _ in 0..6000 {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            let cap =
                                Cap { sessions_max: 3, evict: !dice.roll().is_multiple_of(3) };
                            engine.apply(&create(id(number), b"alice", Some(cap)), START);
                            let other = id(number.saturating_sub(dice.roll() % 4));
                            match dice.roll() % 8 {
                                0 => {
                                    let op = Op::SessionRevoke { ids: vec![other] };
                                    engine.apply(&op, START);
                                }
                                1..4 => {
                                    let new_id = id(1 << 40 | next.fetch_add(1, Ordering::Relaxed));
                                    let grace_millis = dice.roll() % 2 * 1000;
                                    let op = Op::SessionRotate { id: other, new_id, grace_millis };
                                    engine.apply(&op, START);
                                }
                                _ => {}
                            }
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while running.load(Ordering::Relaxed) {
                    assert!(engine.session_count(b"alice", START) <= 3, "the cap");
                    let mut listed = 0;
                    engine.sessions_of(b"alice", 0, 100, START, |_| listed += 1);
                    assert!(listed <= 3, "the cap in the list");
                }
            });
            for worker in workers {
                worker.join().expect("a worker failed");
            }
            running.store(false, Ordering::Relaxed);
        });
        check_at_rest(&engine, START);
    });
}

// REVOKEUSER EXCEPT resolved the id before it held the user, so a rotation with grace in between left
// nothing to except and the caller's own session ended with the others.
#[test]
fn the_excepted_session_survives_its_own_rotation() {
    watched(|| {
        let engine = engine(4);
        for round in 0..4000 {
            let (old, new) = (id(2 * round), id(2 * round + 1));
            engine.apply(&create(old, b"bob", None), START);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let op = Op::SessionRotate { id: old, new_id: new, grace_millis: 60_000 };
                    assert!(matches!(engine.apply(&op, START), Outcome::Session(_)));
                });
                let op = Op::SessionRevokeUser { user: b"bob", except: Some(old) };
                engine.apply(&op, START);
            });
            assert!(
                engine.validate(&new, START, Touch::No, |user| user.is_some()),
                "round {round}"
            );
            assert_eq!(engine.session_count(b"bob", START), 1);
        }
        check_at_rest(&engine, START);
    });
}

// The sweep closed its account of memory after it had let go of the shard: a flush that came between
// set it to zero, and it stayed off by what the sweep had freed.
#[test]
fn a_flush_and_a_sweep_agree_on_memory() {
    watched(|| {
        let engine = engine(2);
        let clock = AtomicU64::new(START.millis());
        let running = AtomicBool::new(true);
        thread::scope(|scope| {
            scope.spawn(|| {
                while running.load(Ordering::Relaxed) {
                    engine.sweep(Stamp::from_millis(clock.load(Ordering::Relaxed)), usize::MAX);
                }
            });
            for _ in 0..400 {
                let now = Stamp::from_millis(clock.fetch_add(500, Ordering::Relaxed));
                for number in 0..40_u32 {
                    let name = number.to_le_bytes();
                    let set = Op::Set {
                        key: hallpass_engine::Key::new(engine.seed(), 0, &name),
                        value: b"short-lived",
                        deadline: hallpass_engine::Deadline::At(now.plus_millis(400)),
                        condition: hallpass_engine::Condition::Always,
                        owner: None,
                        get: false,
                    };
                    engine.apply(&set, now);
                }
                engine.apply(&Op::Flush { db: None }, now);
            }
            running.store(false, Ordering::Relaxed);
        });
        // One entry more than zero: an account below zero would swallow it.
        let now = Stamp::from_millis(clock.load(Ordering::Relaxed));
        engine.apply(&create(id(1), b"alice", None), now);
        let alone = self::engine(2);
        alone.apply(&create(id(1), b"alice", None), now);
        assert_eq!(engine.statistics().memory_bytes, alone.statistics().memory_bytes);
        check_at_rest(&engine, now);
    });
}

#[test]
fn a_snapshot_shows_one_instant() {
    watched(|| {
        let engine = engine(8);
        engine.apply(&create(id(0), b"alice", None), START);
        let running = AtomicBool::new(true);
        thread::scope(|scope| {
            scope.spawn(|| {
                // One session that keeps moving between shards.
                let mut number = 0;
                while running.load(Ordering::Relaxed) {
                    let (id, new_id) = (id(number), id(number + 1));
                    engine.apply(&Op::SessionRotate { id, new_id, grace_millis: 0 }, START);
                    number += 1;
                }
            });
            for _ in 0..300 {
                let image = to_bytes(&engine, START).expect("one snapshot at a time");
                let restored = self::engine(1);
                assert_eq!(restore(&restored, &image), Ok(START));
                assert_eq!(restored.session_count(b"alice", START), 1, "neither none nor two");
            }
            running.store(false, Ordering::Relaxed);
        });
        check_at_rest(&engine, START);
    });
}
