//! Time limits: idle and absolute, both on the server, both compared on every read (R6 to R9,
//! promises 4 and 5).

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::wait_until;
use crate::{Made, assert_gone, count, create, handles, now_ms, user_of};

const DAY_S: i64 = 24 * 60 * 60;

/// Waits until the session is gone; returns the last time at which it was surely there and the
/// first at which it was surely not.
fn watch_until_gone(client: &mut Client, id: &str, touching: bool) -> (i64, i64) {
    let command = format!("SESSION.VALIDATE {id}{}", if touching { "" } else { " NOTOUCH" });
    let mut last_there = now_ms();
    let mut gone = 0;
    wait_until("the session's end", || {
        let asked = now_ms();
        if client.run(&command).is_nil() {
            gone = now_ms();
            return true;
        }
        last_there = asked;
        false
    });
    (last_there, gone)
}

#[test]
fn r06_an_idle_session_ends_at_its_idle_limit() {
    let server = Server::start();
    let mut client = server.connect();
    let before = now_ms();
    let made = create(&mut client, "alice IDLE 1");
    let after = now_ms();
    let (last_there, gone) = watch_until_gone(&mut client, &made.id, false);
    assert!(last_there <= after + 1_000, "still there {} ms after", last_there - after);
    assert!(gone >= before + 1_000, "gone after {} ms", gone - before);
    assert_gone(&mut client, &made.id);
}

#[test]
fn r06_activity_moves_the_idle_limit_and_never_the_absolute_one() {
    let server = Server::start();
    let mut client = server.connect();
    let before = now_ms();
    let made = create(&mut client, "alice IDLE 1 LIFETIME 3");
    let absolute_ms = made.created_ms + 3_000;
    assert_eq!(made.expires_ms, made.created_ms + 1_000, "it says when it ends if nobody comes");
    // Touched all the time, it outlives its idle limit and dies at the absolute one.
    let (last_there, gone) = watch_until_gone(&mut client, &made.id, true);
    assert!(last_there > before + 2_000, "gone {} ms after its creation", last_there - before);
    assert!(last_there <= absolute_ms, "there {} ms too long", last_there - absolute_ms);
    assert!(gone >= absolute_ms, "gone {} ms too early", absolute_ms - gone);
    assert_gone(&mut client, &made.id);
}

#[test]
fn r06_each_kind_of_activity_counts_and_notouch_does_not() {
    let server = Server::start();
    let mut client = server.connect();
    let made = create(&mut client, "alice IDLE 100 DATA d");
    let seen = |client: &mut Client| {
        client.run(&format!("SESSION.GET {} NOTOUCH", made.id)).map()["seen"].integer()
    };
    for command in ["VALIDATE {}", "GET {}", "TOUCH {}"] {
        let before = seen(&mut client);
        wait_until("the clock to move on", || now_ms() > before + 2);
        assert_eq!(seen(&mut client), before, "NOTOUCH touched");
        client.run(&format!("SESSION.{}", command.replace("{}", &made.id)));
        assert!(seen(&mut client) > before, "{command} did not count as activity");
    }
}

#[test]
fn r07_presets_have_the_limits_of_nist() {
    let server = Server::start();
    let mut client = server.connect();
    for (name, idle_s, lifetime_s) in
        [("aal1", 0, 30 * DAY_S), ("aal2", 3_600, DAY_S), ("aal3", 900, DAY_S / 2)]
    {
        let made = create(&mut client, &format!("alice PRESET {name}"));
        let session = client.run(&format!("SESSION.GET {} NOTOUCH", made.id)).map();
        assert_eq!(session["idle"].integer(), idle_s, "{name}");
        // What is over first: the idle limit where there is one.
        let first_s = if idle_s == 0 { lifetime_s } else { idle_s };
        assert_eq!(made.expires_ms - made.created_ms, first_s * 1_000, "{name}");
        // A preset is a ceiling: its lifetime is what may be asked for at the most.
        create(&mut client, &format!("alice PRESET {name} LIFETIME {lifetime_s}"));
        let longer =
            client.run(&format!("SESSION.CREATE alice PRESET {name} LIFETIME {}", lifetime_s + 1));
        assert!(longer.error().contains("LIFETIME"), "{name}: {longer}");
    }
}

/// Thousands of sessions end at once, and none is seen afterwards: no read waits for a sweeper.
#[test]
fn r08_and_promise_4_expired_is_never_returned() {
    let server = Server::start();
    let mut client = server.connect();
    let made: Vec<Made> = (0..3_000).map(|_| create(&mut client, "alice LIFETIME 1")).collect();
    let last = made.last().expect("some").expires_ms;
    wait_until("the last deadline", || now_ms() > last);
    // Asked in the very millisecond after: the sweeper cannot have been by for all of them.
    assert_eq!(count(&mut client, "alice"), 0);
    assert!(handles(&mut client, "alice").is_empty());
    for made in &made {
        assert_eq!(user_of(&mut client, &made.id), None);
    }
    for made in made.iter().step_by(500) {
        assert_gone(&mut client, &made.id);
    }
}

#[test]
fn r08_expired_keys_are_gone_for_every_command() {
    let server = Server::start();
    let mut client = server.connect();
    for number in 0..2_000 {
        client.run(&format!("SET key:{number} value PX 300"));
    }
    let deadline = now_ms() + 300;
    wait_until("the last deadline", || now_ms() > deadline);
    assert_eq!(
        client.run("MGET key:0 key:1999").items().iter().filter(|item| !item.is_nil()).count(),
        0
    );
    assert!(client.run("KEYS *").items().is_empty());
    assert_eq!(client.run("EXISTS key:0 key:1000 key:1999").integer(), 0);
    assert!(client.run("SET key:0 new NX").is_ok());
}

#[test]
fn r09_reauthentication_restarts_both_limits_and_is_remembered() {
    let server = Server::start();
    let mut client = server.connect();
    let idle = create(&mut client, "alice IDLE 50 LIFETIME 5000");
    let absolute = create(&mut client, "alice LIFETIME 100");
    wait_until("the clock to move on", || now_ms() > absolute.created_ms + 5);
    for (made, limit_ms) in [(&idle, 50_000), (&absolute, 100_000)] {
        client.run(&format!("SESSION.TOUCH {}", made.id));
        let touched = client.run(&format!("SESSION.GET {} NOTOUCH", made.id)).map();
        assert_eq!(touched["authenticated"].integer(), made.created_ms, "a touch is none");
        client.run(&format!("SESSION.REAUTH {}", made.id));
        let after = client.run(&format!("SESSION.GET {} NOTOUCH", made.id)).map();
        let authenticated = after["authenticated"].integer();
        assert!(authenticated > made.created_ms);
        assert_eq!(after["expires"].integer(), authenticated + limit_ms);
        assert_eq!(after["seen"].integer(), authenticated);
        assert_eq!(after["created"].integer(), made.created_ms);
    }
}

/// Touching allocates nothing: a hundred thousand touches leave the accounted memory where it was.
#[test]
fn promise_5_touching_is_cheap() {
    let server = Server::start();
    let mut client = server.connect();
    let made: Vec<Made> =
        (0..1_000).map(|_| create(&mut client, "alice IDLE 600 LIFETIME 6000")).collect();
    let used = |client: &mut Client| {
        let info = client.run("INFO memory").text();
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
        line.expect("a line").parse::<i64>().expect("a number")
    };
    let before = used(&mut client);
    for _ in 0..100 {
        let mut bytes = Vec::new();
        for made in &made {
            bytes
                .extend(crate::support::client::encode_line(&format!("SESSION.TOUCH {}", made.id)));
        }
        client.send(&bytes).unwrap();
        for _ in &made {
            assert_eq!(client.read().unwrap().integer(), 1);
        }
    }
    assert_eq!(used(&mut client), before);
}
