//! What Hallpass promises, proved from outside: the README's promises one by one, and the requirements
//! R1 to R14 of a session store by name. Everything here is seen through sockets only.

#![allow(clippy::disallowed_methods, reason = "tests measure real time")]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

#[path = "../support/mod.rs"]
mod support;

mod ending;
mod identifiers;
mod index;
mod limits;
mod rules;
mod saving;

use std::time::{SystemTime, UNIX_EPOCH};
use support::client::Client;
use support::reply::Reply;

/// This machine's clock, which is the server's too.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_millis() as i64
}

/// What SESSION.CREATE and ROTATE answer.
#[derive(Clone)]
struct Made {
    id: String,
    handle: String,
    created_ms: i64,
    expires_ms: i64,
}

impl Made {
    fn of(reply: &Reply) -> Made {
        let map = reply.map();
        Made {
            id: map["id"].text(),
            handle: map["handle"].text(),
            created_ms: map["created"].integer(),
            expires_ms: map["expires"].integer(),
        }
    }
}

/// Runs SESSION.CREATE with what follows it.
#[track_caller]
fn create(client: &mut Client, rest: &str) -> Made {
    Made::of(&client.run(&format!("SESSION.CREATE {rest}")))
}

/// Whose session it is, without touching it.
#[track_caller]
fn user_of(client: &mut Client, id: &str) -> Option<String> {
    let reply = client.run(&format!("SESSION.VALIDATE {id} NOTOUCH"));
    (!reply.is_nil()).then(|| reply.text())
}

#[track_caller]
fn count(client: &mut Client, user: &str) -> i64 {
    client.run(&format!("SESSION.COUNT {user}")).integer()
}

/// The handles of a user's sessions from all pages, sorted: a list has no order of its own.
#[track_caller]
fn handles(client: &mut Client, user: &str) -> Vec<String> {
    let mut cursor = "0".to_owned();
    let mut handles = Vec::new();
    loop {
        let page = client.run(&format!("SESSION.LIST {user} COUNT 100 CURSOR {cursor}"));
        let [next, sessions] = page.items() else {
            panic!("a page is cursor and sessions: {page}")
        };
        handles.extend(sessions.items().iter().map(|session| session.map()["handle"].text()));
        cursor = next.text();
        if cursor == "0" {
            handles.sort();
            return handles;
        }
    }
}

/// A session that is over: no read finds it and no write brings it back.
#[track_caller]
fn assert_gone(client: &mut Client, id: &str) {
    assert!(client.run(&format!("SESSION.VALIDATE {id}")).is_nil());
    assert!(client.run(&format!("SESSION.GET {id}")).is_nil());
    assert_eq!(client.run(&format!("SESSION.TOUCH {id}")).integer(), 0);
    for command in
        ["SET {} late", "META {} field late", "REAUTH {}", "ROTATE {}", "ROTATE {} GRACE 9000"]
    {
        let reply = client.run(&format!("SESSION.{}", command.replace("{}", id)));
        assert!(reply.error().starts_with("NOSESSION"), "{command}: {reply}");
    }
    assert!(client.run(&format!("SESSION.VALIDATE {id}")).is_nil());
    assert_eq!(client.run(&format!("SESSION.REVOKE {id}")).integer(), 0);
}
