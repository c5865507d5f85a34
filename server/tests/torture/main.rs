//! Torture: what broken, hostile or merely slow clients send, and what the server makes of it. Each
//! test ends by asking on a fresh connection whether the server still serves everybody else.

#![allow(clippy::disallowed_methods, reason = "tests measure real time")]

#[path = "../support/mod.rs"]
mod support;

mod framing;
mod hostile;
mod load;
mod malformed;

use std::fs;
use support::client::Client;
use support::server::Server;

/// The server still serves: a new connection gets its answers.
#[track_caller]
fn assert_serves(server: &Server) {
    let mut client = server.connect();
    assert_eq!(client.run("PING").text(), "PONG");
    assert!(client.run("SET still here").is_ok());
    assert_eq!(client.run("GET still").text(), "here");
}

/// Memory of the process that is really there, in bytes.
fn resident_bytes(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a VmRSS line");
    let kib = line.split_whitespace().nth(1).expect("a number").parse::<u64>();
    kib.expect("a number") * 1024
}

/// A round trip on another connection. Two writes with one in between reach the server as two
/// reads, near enough always; that they do makes a test sharper, not more correct.
fn let_the_server_read(other: &mut Client) {
    assert_eq!(other.run("PING").text(), "PONG");
}
