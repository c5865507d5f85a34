//! The per-user list: exact at all times, and a limit on it that holds under concurrent logins
//! (R12, promise 3).

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::server::Server;
use crate::support::wait_until;
use crate::{Made, assert_gone, count, create, handles, now_ms, user_of};
use std::collections::BTreeMap;

/// Eight clients log in at once, thirty times each, for a user who may have five sessions.
fn race_for_a_limit(server: &Server, action: &str) -> (Vec<Made>, usize) {
    let address = server.address();
    let (mut made, mut refused) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let logins: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let command = format!("SESSION.CREATE alice LIMIT 5 {action}");
                    (0..30).map(|_| client.run(&command)).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut watcher = server.connect();
        while logins.iter().any(|login| !login.is_finished()) {
            assert!(count(&mut watcher, "alice") <= 5, "more than the limit at some moment");
        }
        for login in logins {
            for reply in login.join().unwrap() {
                match reply {
                    Reply::Error(error) => {
                        assert!(error.starts_with("SESSIONLIMIT"), "{error}");
                        refused += 1;
                    }
                    other => made.push(Made::of(&other)),
                }
            }
        }
    });
    (made, refused)
}

#[test]
fn r12_a_limit_refuses_exactly() {
    let server = Server::start();
    let (made, refused) = race_for_a_limit(&server, "REJECT");
    assert_eq!((made.len(), refused), (5, 235));
    let mut client = server.connect();
    assert_eq!(count(&mut client, "alice"), 5);
    // One leaves, one may come.
    client.run(&format!("SESSION.REVOKE {}", made[0].id));
    create(&mut client, "alice LIMIT 5 REJECT");
    assert!(client.run("SESSION.CREATE alice LIMIT 5 REJECT").error().starts_with("SESSIONLIMIT"));
    assert_eq!(count(&mut client, "alice"), 5);
}

#[test]
fn r12_a_limit_ends_the_oldest() {
    let server = Server::start();
    let (made, refused) = race_for_a_limit(&server, "EVICT");
    assert_eq!((made.len(), refused), (240, 0));
    let mut client = server.connect();
    assert_eq!(count(&mut client, "alice"), 5);
    let live = made.iter().filter(|made| user_of(&mut client, &made.id).is_some()).count();
    assert_eq!(live, 5);
    // The one that goes is the one that has been there longest, to the millisecond.
    client.run("SESSION.REVOKEUSER alice");
    let mut made: Vec<Made> = Vec::new();
    while made.len() < 8 {
        let next = create(&mut client, "alice LIMIT 5 EVICT");
        wait_until("the clock to move on", || now_ms() > next.created_ms);
        made.push(next);
    }
    let mut expected: Vec<String> = made[3..].iter().map(|made| made.handle.clone()).collect();
    expected.sort();
    assert_eq!(handles(&mut client, "alice"), expected);
    assert_gone(&mut client, &made[0].id);
}

#[test]
fn r12_expired_sessions_do_not_count() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..3 {
        create(&mut client, "alice LIFETIME 3 LIMIT 3 REJECT");
    }
    assert!(client.run("SESSION.CREATE alice LIMIT 3 REJECT").error().starts_with("SESSIONLIMIT"));
    wait_until("room for a login", || {
        !matches!(client.run("SESSION.CREATE alice LIMIT 3 REJECT"), Reply::Error(_))
    });
    assert!(count(&mut client, "alice") <= 3);
}

/// A long walk of random operations; after each, what the server says about every user is what a model
/// of three maps says.
#[test]
fn promise_3_the_list_never_drifts() {
    const USERS: [&str; 3] = ["alice", "bob", "carol"];
    let server = Server::start();
    let mut client = server.connect();
    let mut model: BTreeMap<&str, Vec<Made>> = USERS.iter().map(|user| (*user, vec![])).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for step in 0..3_000 {
        let user = USERS[random(USERS.len())];
        let sessions = model.get_mut(user).expect("a known user");
        let chosen = (!sessions.is_empty()).then(|| random(sessions.len()));
        match (random(20), chosen) {
            (0..=8, _) | (_, None) => {
                sessions.push(create(&mut client, &format!("{user} IDLE 600")));
            }
            (9..=11, Some(place)) => {
                let gone = sessions.remove(place);
                assert_eq!(client.run(&format!("SESSION.REVOKE {}", gone.id)).integer(), 1);
            }
            (12..=13, Some(place)) => {
                let gone = sessions.remove(place);
                let command = format!("SESSION.REVOKEHANDLE {user} {}", gone.handle);
                assert_eq!(client.run(&command).integer(), 1);
            }
            (14..=16, Some(place)) => {
                let reply = client.run(&format!("SESSION.ROTATE {}", sessions[place].id));
                sessions[place] = Made::of(&reply);
            }
            (17, Some(place)) => {
                let kept = sessions.swap_remove(place);
                let ended = sessions.len() as i64;
                let command = format!("SESSION.REVOKEUSER {user} EXCEPT {}", kept.id);
                assert_eq!(client.run(&command).integer(), ended);
                *sessions = vec![kept];
            }
            (18, Some(_)) if step % 7 == 0 => {
                let ended = std::mem::take(sessions).len() as i64;
                assert_eq!(client.run(&format!("SESSION.REVOKEUSER {user}")).integer(), ended);
            }
            (_, Some(place)) => {
                client.run(&format!("SESSION.SET {} step:{step}", sessions[place].id));
            }
        }
        assert_eq!(count(&mut client, user), model[user].len() as i64, "step {step}");
        if step % 10 == 0 {
            assert_matches_model(&mut client, user, &model[user], step);
        }
    }
}

#[track_caller]
fn assert_matches_model(client: &mut Client, user: &str, sessions: &[Made], step: usize) {
    let listed = handles(client, user);
    let mut expected: Vec<String> = sessions.iter().map(|made| made.handle.clone()).collect();
    expected.sort();
    assert_eq!(listed, expected, "the list of {user} after step {step}");
    for made in sessions {
        assert_eq!(user_of(client, &made.id).as_deref(), Some(user));
    }
}

/// Three logins at the same moment: a list kept by read, change and write loses one of them.
#[test]
fn promise_3_concurrent_logins_are_all_listed() {
    let server = Server::start();
    let mut client = server.connect();
    for round in 0..100 {
        let user = format!("user{round}");
        let request = crate::support::client::encode_line(&format!("SESSION.CREATE {user}"));
        let mut devices: Vec<_> = (0..3).map(|_| server.connect()).collect();
        for device in &mut devices {
            device.send(&request).unwrap();
        }
        let mut made: Vec<String> =
            devices.iter_mut().map(|device| Made::of(&device.read().unwrap()).handle).collect();
        let listed = handles(&mut client, &user);
        made.sort();
        assert_eq!(listed, made);
    }
}
