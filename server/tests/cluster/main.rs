//! Nodes as processes: what a log and a cluster promise, seen through sockets only. Requirement numbers are
//! those of the session store; promise 1 (revoked means gone) is looked at after every kind of ending
//! that a node can have.

#![allow(clippy::disallowed_methods, reason = "tests measure real time")]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod durable;
mod encrypted;
mod failover;
mod joining;
mod notifying;
mod rolling;
mod serving;
mod transactions;

use support::client::Client;
use support::wait_for;

/// Runs a command until the cluster takes it: as a client does that tries again.
#[track_caller]
fn insist(client: &mut Client, line: &str) -> support::reply::Reply {
    wait_for(&format!("an answer to {line}"), || {
        let reply = client.run(line);
        (!reply.is_unavailable()).then_some(reply)
    })
}

/// Makes a session and returns its id.
#[track_caller]
fn create(client: &mut Client, user: &str) -> String {
    insist(client, &format!("SESSION.CREATE {user} IDLE 3600")).map()["id"].text()
}

/// Whose session it is, without touching it.
#[track_caller]
fn user_of(client: &mut Client, id: &str) -> Option<String> {
    let reply = insist(client, &format!("SESSION.VALIDATE {id} NOTOUCH"));
    (!reply.is_nil()).then(|| reply.text())
}
