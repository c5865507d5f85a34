//! Plain keys under an index rule: logout everywhere for applications that were never changed.

use crate::count;
use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::server::Server;
use crate::support::wait_until;

/// A server with a rule for connect-redis, and a client of it.
fn ruled(options: &str) -> (Server, Client) {
    let server = Server::start();
    let mut client = server.connect();
    set_rule(&mut client, options);
    (server, client)
}

fn set_rule(client: &mut Client, options: &str) {
    let rule = format!("INDEX.SET express KEYS sess:* USER JSON /passport/user {options}");
    assert_eq!(client.run(rule.trim()).text(), "OK");
}

fn save(client: &mut Client, key: &str, user: &str) -> String {
    let value = format!(r#"{{"cookie":{{}},"passport":{{"user":"{user}"}}}}"#);
    let reply = client.call(&["SET", key, &value, "EX", "1000"]);
    if let Reply::Error(error) = reply { error } else { reply.text() }
}

fn get(client: &mut Client, key: &str) -> Option<String> {
    let reply = client.run(&format!("GET {key}"));
    (!reply.is_nil()).then(|| reply.text())
}

fn wait_until_ready(client: &mut Client) {
    wait_until("the rules are ready", || {
        let rules = client.run("INDEX.LIST");
        rules.items().iter().all(|rule| rule.map()["state"].text() == "ready")
    });
}

#[test]
fn logout_everywhere_ends_plain_keys_and_late_saves_stay_dead() {
    let (_server, mut client) = ruled("");
    for number in 0..100 {
        save(&mut client, &format!("sess:{number}"), "alice");
    }
    save(&mut client, "sess:bob", "bob");
    client.run("SESSION.CREATE alice");
    assert_eq!(count(&mut client, "alice"), 101);
    assert_eq!(client.run("SESSION.REVOKEUSER alice").integer(), 101);
    assert_eq!(count(&mut client, "alice"), 0);
    for number in 0..100 {
        let key = format!("sess:{number}");
        assert_eq!(get(&mut client, &key), None);
        // The request that began before the logout saves: it is told that it did.
        assert_eq!(save(&mut client, &key, "alice"), "OK");
        assert_eq!(get(&mut client, &key), None, "{key} came back");
    }
    assert_eq!(count(&mut client, "alice"), 0);
    assert!(get(&mut client, "sess:bob").is_some());
    // A new login makes a new id.
    assert_eq!(save(&mut client, "sess:new", "alice"), "OK");
    assert_eq!(count(&mut client, "alice"), 1);
}

#[test]
fn everybody_is_logged_out_of_plain_keys_too() {
    let (_server, mut client) = ruled("");
    save(&mut client, "sess:1", "alice");
    save(&mut client, "sess:2", "bob");
    assert_eq!(client.run("SESSION.REVOKEALL").integer(), 2);
    for (key, user) in [("sess:1", "alice"), ("sess:2", "bob")] {
        assert_eq!(get(&mut client, key), None);
        assert_eq!(save(&mut client, key, user), "OK");
        assert_eq!(get(&mut client, key), None);
    }
}

#[test]
fn a_deleted_key_is_fenced_when_somebody_owns_it() {
    let (_server, mut client) = ruled("");
    save(&mut client, "sess:1", "alice");
    client.run("DEL sess:1");
    assert_eq!(save(&mut client, "sess:1", "alice"), "OK");
    assert_eq!(get(&mut client, "sess:1"), None);
    // Every way to write, answered as if the key were absent, and nothing of it stays.
    assert_eq!(client.run("APPEND sess:1 abc").integer(), 3);
    assert_eq!(client.run("INCRBY sess:1 5").integer(), 5);
    assert_eq!(client.run("HSET sess:1 a 1 b 2").integer(), 2);
    assert_eq!(client.run("RPUSH sess:1 a b c").integer(), 3);
    assert!(client.run("SET sess:1 x GET").is_nil());
    assert_eq!(client.run("MSET sess:1 x other y").text(), "OK");
    assert_eq!(client.run("EXISTS sess:1 other").integer(), 1);
    client.run("SET elsewhere 1");
    assert_eq!(client.run("RENAME elsewhere sess:1").text(), "OK");
    assert_eq!(client.run("EXISTS elsewhere sess:1").integer(), 0);
    // Without a user, or out of the rule, DEL and SET are plain Redis.
    for key in ["sess:anonymous", "other"] {
        client.call(&["SET", key, r#"{"cookie":{}}"#]);
        client.run(&format!("DEL {key}"));
        client.call(&["SET", key, r#"{"cookie":{}}"#]);
        assert!(get(&mut client, key).is_some(), "{key} is fenced");
    }
    client.run("FLUSHDB");
    save(&mut client, "sess:1", "alice");
    assert!(get(&mut client, "sess:1").is_some(), "a flush leaves no fence");
}

#[test]
fn a_fence_may_answer_with_an_error_and_ends() {
    let (_server, mut client) = ruled("FENCE 300 FENCEREPLY ERROR");
    save(&mut client, "sess:1", "alice");
    client.run("SESSION.REVOKEUSER alice");
    assert!(save(&mut client, "sess:1", "alice").starts_with("REVOKED "));
    assert_eq!(get(&mut client, "sess:1"), None);
    wait_until("the fence ends", || save(&mut client, "sess:1", "alice") == "OK");
    assert!(get(&mut client, "sess:1").is_some());
}

#[test]
fn the_index_follows_a_key() {
    let (_server, mut client) = ruled("");
    save(&mut client, "sess:1", "alice");
    save(&mut client, "sess:1", "bob");
    assert_eq!((count(&mut client, "alice"), count(&mut client, "bob")), (0, 1));
    client.run("RENAME sess:1 sess:2");
    client.run("COPY sess:2 sess:3");
    assert_eq!(count(&mut client, "bob"), 2);
    // Renamed, not ended: the old name is free.
    save(&mut client, "sess:1", "bob");
    assert_eq!(count(&mut client, "bob"), 3);
    client.run("PEXPIRE sess:3 1");
    wait_until("it expires", || count(&mut client, "bob") == 2);
    save(&mut client, "sess:3", "bob");
    assert_eq!(count(&mut client, "bob"), 3, "expiry is no end that is fenced");
    client.call(&["SET", "sess:3", "logged out"]);
    assert_eq!(count(&mut client, "bob"), 2);
    client.run("FLUSHALL");
    assert_eq!(count(&mut client, "bob"), 0);
}

#[test]
fn a_list_shows_keys_and_a_handle_ends_one() {
    let (_server, mut client) = ruled("");
    save(&mut client, "sess:1", "alice");
    save(&mut client, "sess:2", "alice");
    client.run("SESSION.CREATE alice");
    let page = client.run("SESSION.LIST alice");
    let entries = &page.items()[1];
    let kinds = |kind: &str| {
        let of_kind = entries.items().iter().filter(|entry| entry.map()["kind"].text() == kind);
        of_kind.cloned().collect::<Vec<_>>()
    };
    assert_eq!((kinds("session").len(), kinds("key").len()), (1, 2));
    let first = kinds("key").into_iter().find(|key| key.map()["key"].text() == "sess:1").unwrap();
    let handle = first.map()["handle"].text();
    assert_eq!(first.map()["db"].integer(), 0);
    assert_eq!(client.run(&format!("SESSION.REVOKEHANDLE bob {handle}")).integer(), 0);
    assert_eq!(client.run(&format!("SESSION.REVOKEHANDLE alice {handle}")).integer(), 1);
    assert_eq!(get(&mut client, "sess:1"), None);
    save(&mut client, "sess:1", "alice");
    assert_eq!(get(&mut client, "sess:1"), None, "a key ended by its handle is fenced");
    assert_eq!(count(&mut client, "alice"), 2);
}

#[test]
fn what_was_stored_before_a_rule_is_indexed_and_taken_back() {
    let server = Server::start();
    let mut client = server.connect();
    for number in 0..3000 {
        save(&mut client, &format!("sess:{number}"), &format!("user{}", number % 3));
    }
    set_rule(&mut client, "");
    // Before or after the pass has come to them: they end.
    client.run("SESSION.REVOKEUSER user0");
    wait_until_ready(&mut client);
    assert_eq!(count(&mut client, "user0"), 0);
    assert_eq!(count(&mut client, "user1"), 1000);
    assert_eq!(get(&mut client, "sess:0"), None);
    assert!(get(&mut client, "sess:1").is_some());
    assert_eq!(client.run("INDEX.DEL express").integer(), 1);
    assert_eq!(client.run("INDEX.DEL express").integer(), 0);
    wait_until("the rule is gone", || client.run("INDEX.LIST").items().is_empty());
    assert_eq!(count(&mut client, "user1"), 0);
    assert!(get(&mut client, "sess:1").is_some(), "its keys stay");
}

#[test]
fn a_save_races_a_logout_and_loses() {
    let (server, mut client) = ruled("");
    let address = server.address();
    for round in 0..50 {
        let keys: Vec<String> = (0..8).map(|number| format!("sess:{round}:{number}")).collect();
        for key in &keys {
            save(&mut client, key, "alice");
        }
        std::thread::scope(|scope| {
            for key in &keys {
                scope.spawn(move || {
                    let mut saver = Client::connect(address);
                    for _ in 0..50 {
                        save(&mut saver, key, "alice");
                    }
                });
            }
            client.run("SESSION.REVOKEUSER alice");
            for key in &keys {
                assert_eq!(get(&mut client, key), None, "{key} lives after the logout");
            }
        });
        for key in &keys {
            assert_eq!(get(&mut client, key), None, "{key} came back");
        }
        assert_eq!(count(&mut client, "alice"), 0);
    }
}
