//! Keyspace notifications: which events a command causes, in which order, compared with a real Redis; ends
//! that nobody asked for; and the setting.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use support::client::{Client, encode};
use support::redis::start_redis;
use support::server::Server;
use support::wait_for;

/// What is expected.
const EVENTS: &str = include_str!("events.txt");

/// The words of a line; `\x00` is a byte, `""` an empty word.
fn words(line: &str) -> Vec<Vec<u8>> {
    let word = |word: &str| {
        let mut parts = word.split("\\x");
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        if bytes == b"\"\"" { Vec::new() } else { bytes }
    };
    line.split(' ').map(word).collect()
}

/// A client that changes keys and one that is told.
struct Told {
    client: Client,
    fence: Client,
    subscriber: Client,
}

impl Told {
    fn of(address: SocketAddr, events: &str) -> Self {
        let mut client = Client::connect(address);
        assert!(client.call(&["CONFIG", "SET", "notify-keyspace-events", events]).is_ok());
        let mut subscriber = Client::connect(address);
        subscriber.run("PSUBSCRIBE __key*__:*");
        subscriber.run("SUBSCRIBE fence");
        Self { client, fence: Client::connect(address), subscriber }
    }

    /// Runs a command; what is told until it is answered, as channel and payload.
    fn run(&mut self, line: &str) -> Vec<String> {
        self.client.send(&encode(&words(line))).unwrap();
        self.client.read().unwrap();
        self.told()
    }

    /// What was told since it was last asked.
    fn told(&mut self) -> Vec<String> {
        assert_eq!(self.fence.run("PUBLISH fence here").integer(), 1);
        let mut told = Vec::new();
        loop {
            let message = self.subscriber.read().unwrap();
            let parts: Vec<String> =
                message.items().iter().map(support::reply::Reply::text).collect();
            if parts[0] == "message" {
                return told;
            }
            told.push(format!("{} {}", parts[2], parts[3]));
        }
    }
}

/// Commands with their events.
fn cases() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut cases: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in EVENTS.lines().filter(|line| !line.starts_with(';')) {
        match line.strip_prefix("    ") {
            Some(event) => cases.last_mut().unwrap().1.push(event),
            None => cases.push((line, Vec::new())),
        }
    }
    cases
}

fn compare(address: SocketAddr) {
    let mut told = Told::of(address, "KEAnm");
    for (command, expected) in cases() {
        assert_eq!(told.run(command), expected, "{command}");
    }
}

#[test]
fn every_command_causes_the_events_it_causes_in_redis() {
    assert!(cases().len() > 200, "the file was read");
    let server = Server::start();
    compare(server.address());
}

#[test]
fn what_is_expected_is_what_redis_does() {
    if let Some((_redis, address)) = start_redis() {
        compare(address);
    }
}

#[test]
fn on_a_server_with_a_log_they_are_the_same() {
    let directory = support::server::scratch_folder("notifications");
    let server = Server::start_with(&["--data-dir", directory.to_str().unwrap()]);
    compare(server.address());
}

/// The end of a key that is read too late is told once, by that read or by the sweep.
#[test]
fn a_key_that_expires_is_told_of_once() {
    let server = Server::start();
    let mut told = Told::of(server.address(), "Ex");
    for round in 0..20 {
        let mut all = told.run(&format!("SET key{round} value PX 5"));
        wait_for("the key to end", || {
            all.extend(told.run(&format!("GET key{round}")));
            told.client.run(&format!("EXISTS key{round}")).integer().eq(&0).then_some(())
        });
        all.extend(told.run(&format!("GET key{round}")));
        all.extend(told.run(&format!("DEL key{round}")));
        assert_eq!(all, [format!("__keyevent@0__:expired key{round}")]);
    }
}

/// Nobody reads it.
#[test]
fn a_key_that_is_swept_is_told_of() {
    let server = Server::start();
    let mut told = Told::of(server.address(), "Kx");
    assert_eq!(told.run("SET key value PX 5"), Vec::<String>::new());
    let told = wait_for("the sweep", || Some(told.told()).filter(|told| !told.is_empty()));
    assert_eq!(told, ["__keyspace@0__:key expired"]);
}

#[test]
fn what_has_to_make_room_is_told_of() {
    let server = Server::start_with(&["--maxmemory-policy", "volatile-ttl"]);
    let mut told = Told::of(server.address(), "Ee");
    assert_eq!(told.run("SET first value EX 100"), Vec::<String>::new());
    assert!(told.client.run("CONFIG SET maxmemory 1").is_ok());
    assert_eq!(told.run("SET second value"), ["__keyevent@0__:evicted first"]);
}

/// Clients of two threads at one key: the events tell the same story as the replies.
#[test]
fn events_come_in_the_order_of_the_changes() {
    const ROUNDS: usize = 2_000;
    let server = Server::start_with(&["--threads", "2"]);
    let mut told = Told::of(server.address(), "Kgl");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut client = server.connect();
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    client.run(if round % 2 == 0 { "RPUSH list a" } else { "LPOP list" });
                }
            });
        }
    });
    let (mut length, mut events) = (0, 0);
    let mut after_pop_of_the_last = false;
    for event in told.told() {
        events += 1;
        match event.strip_prefix("__keyspace@0__:list ").unwrap() {
            "rpush" => length += 1,
            "lpop" => length -= 1,
            "del" => assert!(after_pop_of_the_last, "the list went while it was not empty"),
            other => panic!("{other}"),
        }
        assert!(length >= 0, "a pop came before its push");
        assert!(!after_pop_of_the_last || event.ends_with("del"), "an empty list went on");
        after_pop_of_the_last = length == 0 && event.ends_with("lpop");
    }
    assert!(events >= 4 * ROUNDS, "each push and pop is told of");
    assert_eq!(length, 0);
}
