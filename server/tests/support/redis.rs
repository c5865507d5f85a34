//! A real Redis beside the server, where there is one.

use super::client::Client;
use super::reply::Reply;
use super::server::{Process, free_port};
use super::wait_for;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

/// A Redis that belongs to this test; `None` when there is none on this machine. `HALLPASS_REDIS_SERVER` names
/// another program than the one in the path.
pub(crate) fn start_redis() -> Option<(Process, SocketAddr)> {
    let named = std::env::var_os("HALLPASS_REDIS_SERVER");
    let program = named.clone().unwrap_or_else(|| OsString::from("redis-server"));
    let there = Command::new(&program).arg("--version").output().is_ok();
    assert!(there || named.is_none(), "HALLPASS_REDIS_SERVER does not run");
    if !there {
        eprintln!("NOT RUN: no redis-server on this machine");
        return None;
    }
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no"]);
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    let process = Process::start(command);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    wait_for("redis-server to answer", || {
        let pong = Client::try_connect(address).ok()?.try_call(&["PING"]).ok()?;
        (!matches!(pong, Reply::Error(_))).then_some(())
    });
    Some((process, address))
}
