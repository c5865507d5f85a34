//! Publish and subscribe over many connections: delivery, order, pushes among replies, subscribers that do
//! not read, and ends of all kinds. What one connection can show is in the conformance cases.

#[path = "../support/mod.rs"]
mod support;

use support::client::{Client, encode_line};
use support::reply::Reply;
use support::server::Server;
use support::wait_until;

/// More than the sockets of both sides hold.
const MUCH_BYTES: usize = 32 << 20;

#[track_caller]
fn subscribe(client: &mut Client, line: &str) {
    let confirmed = client.run(line);
    let name = line.split_whitespace().next().expect("a command");
    assert_eq!(confirmed.items()[0].text(), name.to_lowercase());
}

/// Reads one message; its parts as text.
#[track_caller]
fn message(client: &mut Client) -> Vec<String> {
    let message = client.read().expect("a message");
    message.items().iter().map(Reply::text).collect()
}

fn subscribers(client: &mut Client, channel: &str) -> i64 {
    client.run(&format!("PUBSUB NUMSUB {channel}")).items()[1].integer()
}

fn disconnections(client: &mut Client) -> String {
    let info = client.run("INFO stats").text();
    let line = info.lines().find(|line| line.starts_with("client_output_buffer_limit"));
    line.expect("the counter").to_owned()
}

#[test]
fn every_subscriber_gets_every_message_in_order() {
    const SUBSCRIBERS: usize = 200;
    const MESSAGES: usize = 100;
    let server = Server::start();
    let mut listeners: Vec<Client> = (0..SUBSCRIBERS)
        .map(|number| if number % 2 == 0 { server.connect() } else { server.connect_resp3() })
        .collect();
    for listener in &mut listeners {
        subscribe(listener, "SUBSCRIBE news");
    }
    let mut publisher = server.connect();
    for number in 0..MESSAGES {
        let receivers = publisher.run(&format!("PUBLISH news {number}"));
        assert_eq!(receivers.integer(), SUBSCRIBERS as i64);
    }
    for listener in &mut listeners {
        for number in 0..MESSAGES {
            assert_eq!(message(listener), ["message", "news", &number.to_string()]);
        }
    }
}

#[test]
fn a_pipeline_of_messages_arrives_whole() {
    let server = Server::start();
    let (mut listener, mut publisher) = (server.connect(), server.connect());
    subscribe(&mut listener, "PSUBSCRIBE *");
    let mut pipeline = Vec::new();
    for number in 0..10_000 {
        pipeline.extend(encode_line(&format!("PUBLISH channel{number} {number}")));
    }
    publisher.send(&pipeline).expect("the server reads");
    for number in 0..10_000 {
        let (channel, number) = (format!("channel{number}"), number.to_string());
        assert_eq!(message(&mut listener), ["pmessage", "*", &channel, &number]);
        assert_eq!(publisher.read().expect("a reply").integer(), 1);
    }
}

#[test]
fn long_messages_arrive_whole() {
    let server = Server::start();
    let mut listeners = [server.connect(), server.connect_resp3()];
    for listener in &mut listeners {
        subscribe(listener, "SUBSCRIBE news");
    }
    let mut publisher = server.connect();
    let long = "0123456789".repeat(500_000);
    for _ in 0..3 {
        assert_eq!(publisher.call(&["PUBLISH", "news", &long]).integer(), 2);
        for listener in &mut listeners {
            assert!(message(listener) == ["message", "news", &long], "the long message");
        }
    }
}

/// A push never stands inside of a reply or takes its place.
#[test]
fn pushes_and_replies_are_told_apart() {
    const REQUESTS: usize = 5_000;
    let server = Server::start();
    let mut client = server.connect_resp3();
    subscribe(&mut client, "SUBSCRIBE news");
    let mut pipeline = Vec::new();
    for number in 0..REQUESTS {
        pipeline.extend(encode_line(&format!("ECHO {number}")));
        pipeline.extend(encode_line("PUBLISH news own"));
    }
    let mut others = server.connect();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..REQUESTS {
                others.run(&format!("PUBLISH news {number}"));
            }
        });
        client.send(&pipeline).expect("the server reads");
        let (mut replies, mut own, mut foreign) = (0, 0, 0);
        while replies < 2 * REQUESTS || own < REQUESTS || foreign < REQUESTS {
            match client.read().expect("a reply or push") {
                Reply::Push(parts) if parts[2].text() == "own" => {
                    own += 1;
                    assert!(2 * own <= replies, "the reply of PUBLISH comes first");
                }
                Reply::Push(parts) => {
                    assert_eq!(parts[2].text(), foreign.to_string());
                    foreign += 1;
                }
                reply if replies % 2 == 0 => {
                    assert_eq!(reply.text(), (replies / 2).to_string());
                    replies += 1;
                }
                reply => {
                    assert_eq!(reply.integer(), 1);
                    replies += 1;
                }
            }
        }
    });
}

/// Once UNSUBSCRIBE is confirmed, nothing of the channel comes any more.
#[test]
fn nothing_comes_behind_the_confirmation_of_an_unsubscribe() {
    let server = Server::start();
    let (mut listener, mut publisher) = (server.connect(), server.connect());
    let done = std::sync::atomic::AtomicBool::new(false);
    let done = &done;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                publisher.run("PUBLISH news x");
            }
        });
        let mut messages = 0;
        for _ in 0..300 {
            subscribe(&mut listener, "SUBSCRIBE news");
            listener.send(&encode_line("UNSUBSCRIBE news")).expect("the server reads");
            while message(&mut listener)[0] == "message" {
                messages += 1;
            }
            assert_eq!(listener.run("PING").text(), "PONG");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(messages > 0, "the publisher was not in time once");
    });
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_and_the_others_are_not() {
    let server = Server::start_with(&["--client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let mut slow = [server.connect(), server.connect_resp3()];
    let mut quick = server.connect();
    for client in slow.iter_mut().chain([&mut quick]) {
        subscribe(client, "SUBSCRIBE news");
    }
    let mut publisher = server.connect();
    let payload = "p".repeat(64 << 10);
    let mut published = 0;
    wait_until("the slow ones to be closed", || {
        assert!(publisher.call(&["PUBLISH", "news", &payload]).integer() >= 1);
        published += 1;
        // Reading at once, this one never has much waiting.
        assert_eq!(message(&mut quick)[2].len(), payload.len());
        subscribers(&mut publisher, "news") == 1
    });
    assert_eq!(disconnections(&mut publisher), "client_output_buffer_limit_disconnections:2");
    for client in &mut slow {
        let taken = client.read_until_closed();
        assert!(taken.len() < published, "it was closed before it could have read everything");
    }
    assert_eq!(publisher.run("PUBLISH news end").integer(), 1);
    assert_eq!(message(&mut quick)[2], "end");
}

#[test]
fn past_the_soft_limit_for_its_time_a_subscriber_is_closed() {
    let server = Server::start_with(&["--client-output-buffer-limit", "pubsub 0 1mb 1"]);
    let mut slow = server.connect();
    subscribe(&mut slow, "SUBSCRIBE news");
    let mut publisher = server.connect();
    let payload = "p".repeat(1 << 20);
    for _ in 0..MUCH_BYTES / payload.len() {
        assert_eq!(publisher.call(&["PUBLISH", "news", &payload]).integer(), 1);
    }
    // Nobody publishes any more: it is closed all the same.
    wait_until("the slow one to be closed", || subscribers(&mut publisher, "news") == 0);
    assert_eq!(disconnections(&mut publisher), "client_output_buffer_limit_disconnections:1");
}

#[test]
fn without_a_limit_a_subscriber_may_read_late() {
    let server = Server::start_with(&["--client-output-buffer-limit", "pubsub 0 0 0"]);
    let mut late = server.connect();
    subscribe(&mut late, "SUBSCRIBE news");
    let mut publisher = server.connect();
    let payload = "p".repeat(100_000);
    let messages = 2 * MUCH_BYTES / payload.len();
    for _ in 0..messages {
        assert_eq!(publisher.call(&["PUBLISH", "news", &payload]).integer(), 1);
    }
    let listed = publisher.run("CLIENT LIST TYPE pubsub").text();
    assert!(!listed.contains(" omem=0 "), "what waits is shown: {listed}");
    for _ in 0..messages {
        assert_eq!(message(&mut late)[2].len(), payload.len());
    }
}

#[test]
fn whoever_leaves_is_forgotten() {
    let server = Server::start();
    let mut observer = server.connect();
    let ends: [fn(Client); 4] = [
        drop,
        |mut client| drop(client.run("QUIT")),
        |client| {
            client.finish_sending();
            std::mem::forget(client);
        },
        |mut client| assert_eq!(client.run("RESET").text(), "RESET"),
    ];
    for end in ends {
        let mut client = server.connect();
        for line in ["SUBSCRIBE news", "PSUBSCRIBE n*", "SSUBSCRIBE news"] {
            subscribe(&mut client, line);
        }
        assert_eq!(observer.run("PUBLISH news x").integer(), 2);
        for _ in 0..2 {
            message(&mut client);
        }
        end(client);
        wait_until("the subscriber to be forgotten", || {
            subscribers(&mut observer, "news") == 0
                && observer.run("PUBSUB NUMPAT").integer() == 0
                && observer.run("PUBSUB SHARDCHANNELS").items().is_empty()
        });
        assert_eq!(observer.run("PUBLISH news x").integer(), 0);
    }
}

#[test]
fn the_idle_timeout_spares_subscribers() {
    let server = Server::start_with(&["--timeout", "1"]);
    let (mut listener, mut idle) = (server.connect(), server.connect());
    subscribe(&mut listener, "SUBSCRIBE news");
    // Idle since before the last word of the subscriber, and closed for it.
    assert_eq!(idle.run("PING").text(), "PONG");
    assert!(idle.read_until_closed().is_empty());
    let mut later = server.connect();
    assert_eq!(later.run("PING").text(), "PONG");
    assert!(later.read_until_closed().is_empty());
    assert_eq!(server.connect().run("PUBLISH news x").integer(), 1);
    assert_eq!(message(&mut listener)[2], "x");
}

/// A pause of writes holds PUBLISH, which tells of them, as in Redis.
#[test]
fn a_pause_of_writes_holds_what_is_published() {
    let server = Server::start();
    let (mut listener, mut publisher) = (server.connect(), server.connect());
    subscribe(&mut listener, "SUBSCRIBE news");
    let mut other = server.connect();
    assert!(other.run("CLIENT PAUSE 600000 WRITE").is_ok());
    publisher.send(&encode_line("PUBLISH news held")).expect("the server reads");
    wait_until("the request to be there", || {
        other.run("CLIENT LIST").text().lines().filter(|line| line.contains("cmd=NULL")).count()
            == 1
    });
    assert_eq!(other.run("PUBSUB NUMSUB news").items()[1].integer(), 1);
    assert!(other.run("CLIENT UNPAUSE").is_ok());
    assert_eq!(publisher.read().expect("a reply").integer(), 1);
    assert_eq!(message(&mut listener)[2], "held");
}

#[test]
fn a_stop_ends_subscribers() {
    let mut server = Server::start();
    let mut listener = server.connect();
    subscribe(&mut listener, "SUBSCRIBE news");
    server.terminate();
    assert!(listener.read_until_closed().is_empty());
    assert_eq!(server.wait_for_exit().code(), Some(0));
}
