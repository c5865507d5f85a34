//! Saving is update-if-live with an optional version: a slow request cannot overwrite newer data,
//! and cannot bring back a session (R14).

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::server::Server;
use crate::{count, create};

#[test]
fn r14_a_save_updates_a_live_session_only() {
    let server = Server::start();
    let mut client = server.connect();
    let made = create(&mut client, "alice DATA one");
    let version = client.run(&format!("SESSION.GET {}", made.id)).map()["version"].integer();
    assert_eq!(client.run(&format!("SESSION.SET {} two", made.id)).integer(), version + 1);
    client.run(&format!("SESSION.REVOKE {}", made.id));
    let late = client.run(&format!("SESSION.SET {} three", made.id));
    assert!(late.error().starts_with("NOSESSION"), "{late}");
    assert!(client.run(&format!("SESSION.GET {}", made.id)).is_nil());
    assert_eq!(count(&mut client, "alice"), 0);
}

#[test]
fn r14_a_slow_request_cannot_overwrite_newer_data() {
    let server = Server::start();
    let mut client = server.connect();
    let made = create(&mut client, "alice DATA one");
    let read = client.run(&format!("SESSION.GET {}", made.id)).map()["version"].integer();
    let quick = client.run(&format!("SESSION.SET {} quick VERSION {read}", made.id)).integer();
    let slow = client.run(&format!("SESSION.SET {} slow VERSION {read}", made.id));
    assert!(slow.error().starts_with("VERSION"), "{slow}");
    let session = client.run(&format!("SESSION.GET {}", made.id)).map();
    assert_eq!(session["data"].text(), "quick");
    assert_eq!(session["version"].integer(), quick);
}

/// Clients add to a number by reading, adding and saving with the version they read: none is lost.
#[test]
fn r14_compare_and_set_loses_no_update() {
    const EACH: usize = 100;
    let server = Server::start();
    let address = server.address();
    let mut client = server.connect();
    let made = create(&mut client, "alice DATA 0");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let id = &made.id;
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let mut added = 0;
                while added < EACH {
                    let session = client.run(&format!("SESSION.GET {id}")).map();
                    let number: usize = session["data"].text().parse().unwrap();
                    let version = session["version"].integer();
                    let save = format!("SESSION.SET {id} {} VERSION {version}", number + 1);
                    match client.run(&save) {
                        Reply::Integer(_) => added += 1,
                        reply => assert!(reply.error().starts_with("VERSION"), "{reply}"),
                    }
                }
            });
        }
    });
    let session = client.run(&format!("SESSION.GET {}", made.id)).map();
    assert_eq!(session["data"].text(), (4 * EACH).to_string());
}

#[test]
fn r14_data_of_any_bytes_survives() {
    let server = Server::start();
    let mut client = server.connect();
    let made = create(&mut client, "alice");
    let everything: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let saved = client.call(&[b"SESSION.SET".as_slice(), made.id.as_bytes(), &everything]);
    saved.integer();
    let session = client.run(&format!("SESSION.GET {}", made.id)).map();
    assert_eq!(session["data"], Reply::Bulk(everything));
}
