//! Ids: where they come from, what they say, and where they must never be seen (R1 to R5, promise 7).

use crate::support::client::encode_line;
use crate::support::server::Server;
use crate::{assert_gone, count, create, handles, user_of};
use std::collections::BTreeSet;

/// Characters of 256 bits in base64url without padding.
const ID_CHARACTERS: usize = 43;

#[test]
fn r01_ids_are_256_random_bits() {
    let server = Server::start();
    let mut client = server.connect();
    let mut seen = BTreeSet::new();
    let mut ones = [0_u32; ID_CHARACTERS];
    for _ in 0..10_000 {
        let id = create(&mut client, "alice").id;
        assert_eq!(id.len(), ID_CHARACTERS, "{id}");
        assert!(
            id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
            "{id}"
        );
        for (place, byte) in id.bytes().enumerate() {
            ones[place] += u32::from(byte.is_ascii_lowercase());
        }
        assert!(seen.insert(id), "an id came twice");
    }
    // 26 of 64 characters are lower case; a counter, a time or a constant in any place would show.
    // The last character carries four bits only, so its alphabet is another one.
    for (place, count) in ones[..ID_CHARACTERS - 1].iter().enumerate() {
        assert!((3_500..4_700).contains(count), "place {place}: {count} of 10000 are lower case");
    }
}

#[test]
fn r02_a_client_may_not_choose_an_id() {
    let server = Server::start();
    let mut client = server.connect();
    let refused = client.run("SESSION.CREATE alice ID chosen-by-the-client");
    assert!(refused.error().starts_with("ERR"), "{refused}");
    assert_eq!(count(&mut client, "alice"), 0);
}

#[test]
fn r02_an_import_never_overwrites() {
    let server = Server::start_with(&["--session-import", "yes"]);
    let mut client = server.connect();
    let made = create(&mut client, "alice ID imported-id DATA first");
    assert_eq!(made.id, "imported-id");
    let again = client.run("SESSION.CREATE mallory ID imported-id DATA second");
    assert!(matches!(again.error(), error if !error.is_empty()), "{again}");
    assert_eq!(user_of(&mut client, "imported-id").as_deref(), Some("alice"));
    let session = client.run("SESSION.GET imported-id").map();
    assert_eq!(session["data"].text(), "first");
    assert_eq!(count(&mut client, "mallory"), 0);
}

/// The id is in the reply that made it and nowhere else, whatever one asks.
#[test]
fn r03_and_promise_7_ids_are_shown_nowhere() {
    let server = Server::start();
    let mut client = server.connect();
    client.run("CONFIG SET slowlog-log-slower-than 0");
    let made = create(&mut client, "alice DATA secret META agent firefox");
    let id = &made.id;
    for command in ["VALIDATE {}", "GET {}", "SET {} more", "META {} a b", "TOUCH {}", "REAUTH {}"]
    {
        client.run(&format!("SESSION.{}", command.replace("{}", id)));
    }
    let second = client.run(&format!("SESSION.ROTATE {id}")).map()["id"].text();
    // Errors must not quote an id either.
    let errors = [
        client.run(&format!("SESSION.SET {id} late")),
        client.run(&format!("SESSION.SET {second} data VERSION 99")),
        client.run(&format!("SESSION.VALIDATE {second} NONSENSE")),
        client.run(&format!("SESSION.REVOKEHANDLE alice {second}")),
    ];
    let mut shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for command in [
        "SESSION.LIST alice",
        "SLOWLOG GET -1",
        "INFO everything",
        "CLIENT LIST",
        "CLIENT INFO",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "CONFIG GET *",
    ] {
        shown.push(client.run(command).to_string());
    }
    shown.push(server.output());
    for text in &shown {
        assert!(!text.contains(id.as_str()) && !text.contains(&second), "an id is shown in {text}");
    }
    assert!(
        shown[4].contains(&client.run(&format!("SESSION.GET {second}")).map()["handle"].text())
    );
}

#[test]
fn r03_a_handle_opens_nothing() {
    let server = Server::start();
    let mut client = server.connect();
    let made = create(&mut client, "alice");
    assert_eq!(user_of(&mut client, &made.handle), None);
    assert_eq!(client.run(&format!("SESSION.REVOKE {}", made.handle)).integer(), 0);
    assert!(
        client.run(&format!("SESSION.ROTATE {}", made.handle)).error().starts_with("NOSESSION")
    );
    assert_eq!(user_of(&mut client, &made.id).as_deref(), Some("alice"));
}

#[test]
fn r04_rotation_swaps_the_id_in_one_step() {
    let server = Server::start();
    let mut client = server.connect();
    let first = create(&mut client, "alice LIFETIME 600 DATA kept META agent firefox");
    let reply = client.run(&format!("SESSION.ROTATE {}", first.id)).map();
    let second = reply["id"].text();
    assert_ne!(second, first.id);
    assert_gone(&mut client, &first.id);
    let session = client.run(&format!("SESSION.GET {second}")).map();
    assert_eq!(session["data"].text(), "kept");
    assert_eq!(session["meta"].map()["agent"].text(), "firefox");
    assert_eq!(session["created"].integer(), first.created_ms);
    assert_eq!(session["expires"].integer(), first.expires_ms, "the absolute limit does not move");
    assert_eq!(count(&mut client, "alice"), 1);
}

/// Many clients rotate one id at the same time: one of them wins, the others hold a dead one.
#[test]
fn r04_one_rotation_wins() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..50 {
        let first = create(&mut client, "alice");
        let request = encode_line(&format!("SESSION.ROTATE {}", first.id));
        let mut rivals: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for rival in &mut rivals {
            rival.send(&request).unwrap();
        }
        let replies: Vec<_> = rivals.iter_mut().map(|rival| rival.read().unwrap()).collect();
        let winners: Vec<_> = replies.iter().filter(|reply| reply_is_map(reply)).collect();
        assert_eq!(winners.len(), 1, "{replies:?}");
        assert_eq!(user_of(&mut client, &winners[0].map()["id"].text()).as_deref(), Some("alice"));
        assert_eq!(count(&mut client, "alice"), 1);
        client.run("SESSION.REVOKEUSER alice");
    }
}

fn reply_is_map(reply: &crate::support::reply::Reply) -> bool {
    !matches!(reply, crate::support::reply::Reply::Error(_))
}

#[test]
fn r04_the_old_id_works_during_grace_and_no_longer() {
    let server = Server::start();
    let mut client = server.connect();
    let first = create(&mut client, "alice");
    let second = client.run(&format!("SESSION.ROTATE {} GRACE 2000", first.id)).map()["id"].text();
    assert_eq!(user_of(&mut client, &second).as_deref(), Some("alice"));
    assert_eq!(user_of(&mut client, &first.id).as_deref(), Some("alice"));
    assert_eq!(count(&mut client, "alice"), 1, "two ids, but one session");
    crate::support::wait_until("the end of grace", || user_of(&mut client, &first.id).is_none());
    assert_gone(&mut client, &first.id);
    assert_eq!(user_of(&mut client, &second).as_deref(), Some("alice"));
}

#[test]
fn r04_a_revoke_ends_grace_too() {
    let server = Server::start();
    let mut client = server.connect();
    let first = create(&mut client, "alice");
    let second = client.run(&format!("SESSION.ROTATE {} GRACE 60000", first.id)).map()["id"].text();
    assert_eq!(client.run(&format!("SESSION.REVOKE {second}")).integer(), 1);
    assert_gone(&mut client, &second);
    assert_gone(&mut client, &first.id);

    let first = create(&mut client, "alice");
    let second = client.run(&format!("SESSION.ROTATE {} GRACE 60000", first.id)).map()["id"].text();
    client.run("SESSION.REVOKEUSER alice");
    assert_gone(&mut client, &second);
    assert_gone(&mut client, &first.id);
}

#[test]
fn r05_lists_show_handles_that_are_not_ids() {
    let server = Server::start();
    let mut client = server.connect();
    let made: Vec<_> = (0..20).map(|_| create(&mut client, "alice")).collect();
    let listed = handles(&mut client, "alice");
    let mut expected: Vec<String> = made.iter().map(|made| made.handle.clone()).collect();
    expected.sort();
    assert_eq!(listed, expected);
    for made in &made {
        assert!(!made.id.contains(&made.handle) && !made.handle.contains(&made.id));
        assert_eq!(user_of(&mut client, &made.handle), None);
    }
}
