//! Logging users out everywhere: the call alone, and then what the sweep has to do for it.
//!
//! Users of all kinds are logged out in turn in one store. Before each, other sessions are validated,
//! so that none finds its user in the cache because it has just been made.

use std::hint::black_box;
use std::time::Instant;

use hallpass_benches::{LIMITS, at_random, create, engine_of_sessions, now, session_id, user_name};
use hallpass_engine::{Engine, Op, Outcome, Touch};

use crate::options::Options;
use crate::{median, verdict};

/// How many sessions each kind of user has.
const KINDS: [u64; 3] = [1, 1000, 100_000];
/// How much more the last kind may cost than the first.
const GROWTH_MAX: f64 = 1.25;
/// Sessions beside those of the users that are logged out.
const OTHERS: u64 = 1_000_000;
/// Sessions validated before each logout: their lines fill the caches.
const BETWEEN: u64 = 20_000;

pub(crate) fn measure(options: &Options) {
    let engine = engine_of_sessions(OTHERS);
    let mut number = OTHERS;
    for kind in 0..KINDS.len() as u64 {
        for user in 0..options.users {
            for _ in 0..KINDS[kind as usize] {
                create(&engine, number, &name(kind, user), LIMITS, now());
                number += 1;
            }
        }
    }
    let mut logouts = [const { Vec::new() }; KINDS.len()];
    let mut sweeps = [const { Vec::new() }; KINDS.len()];
    for user in 0..options.users {
        // The order turns, so that no kind always comes after the same other.
        for step in 0..KINDS.len() {
            let kind = (user as usize + step) % KINDS.len();
            let (logout, sweep) = log_out(&engine, kind, user);
            logouts[kind].push(logout);
            sweeps[kind].push(sweep);
        }
    }
    println!("\nLogging a user out everywhere, and sweeping up afterwards; medians");
    println!("  {:>16} {:>12} {:>20}", "sessions of user", "logout, us", "sweep, ns a session");
    let logouts = logouts.map(median);
    for (kind, (logout, sweep)) in logouts.iter().zip(sweeps.map(median)).enumerate() {
        println!("  {:>16} {:>12.2} {:>20.0}", KINDS[kind], logout / 1e3, sweep);
    }
    verdict("logout of 100000 sessions to 1", logouts[2] / logouts[0], GROWTH_MAX);
}

/// Names of users that have nothing in common with those of the other sessions.
fn name(kind: u64, user: u64) -> [u8; 12] {
    user_name(90_000_000 + kind * 1_000_000 + user)
}

/// Nanoseconds of a logout, and of the sweep for each session.
fn log_out(engine: &Engine, kind: usize, user: u64) -> (f64, f64) {
    at_random(user, BETWEEN, OTHERS, |number, now| {
        black_box(engine.validate(&session_id(number), now, Touch::Now, |user| user.is_some()));
    });
    let (now, user) = (now(), name(kind as u64, user));
    let start = Instant::now();
    let outcome = engine.apply(&Op::SessionRevokeUser { user: &user, except: None }, now);
    let logout = start.elapsed();
    assert_eq!(outcome, Outcome::Integer(KINDS[kind] as i64), "all sessions were live");
    let start = Instant::now();
    while engine.sweep(now, usize::MAX).more {}
    let sweep = start.elapsed();
    (logout.as_nanos() as f64, sweep.as_nanos() as f64 / KINDS[kind] as f64)
}
