//! What every black-box test needs: a server process of its own, a raw client, and waiting with a
//! deadline. Nothing here knows the server's code: it starts the binary and speaks over sockets,
//! so the same tests can be pointed at a real Redis to check what they expect:
//!
//! * `HALLPASS_TEST_SERVER=/usr/bin/redis-server` starts that program instead of ours.
//! * `HALLPASS_TEST_ADDRESS=127.0.0.1:6379` uses a server that is already running (conformance).

#![allow(dead_code, reason = "each test target uses its own part of this module")]
#![allow(clippy::disallowed_methods, reason = "tests measure real time")]

pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod redis;
pub(crate) mod reply;
pub(crate) mod server;

use std::time::{Duration, Instant};

/// How long a test waits for something that should happen soon, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at again.
const POLL_EVERY: Duration = Duration::from_millis(2);

/// Polls until `attempt` gives a value; panics with `what` when `PATIENCE` has run out.
pub(crate) fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::park_timeout(POLL_EVERY);
    }
}

/// Polls until `condition` holds; panics with `what` when `PATIENCE` has run out.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
