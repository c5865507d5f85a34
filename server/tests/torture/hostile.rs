//! Clients that mean harm: each would have the server's memory, its connections or its time. What one of
//! them costs stays bounded, and another client's PING is answered all the while.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::{Client, encode, encode_line};
use crate::support::server::Server;
use crate::support::wait_until;
use crate::{assert_serves, resident_bytes};

const MEGABYTE: u64 = 1 << 20;

/// Runs `attack` with a client that looks on; while the attackers it gives back are there, the server may
/// not have grown by more than `bytes_max`.
#[track_caller]
fn assert_bounded<A>(server: &Server, bytes_max: u64, attack: impl FnOnce(&mut Client) -> A) -> A {
    let mut onlooker = server.connect();
    assert_eq!(onlooker.run("PING").text(), "PONG");
    let before = resident_bytes(server);
    let attackers = attack(&mut onlooker);
    assert_eq!(onlooker.run("PING").text(), "PONG");
    let grown = resident_bytes(server).saturating_sub(before);
    assert!(grown < bytes_max, "{grown} bytes more");
    attackers
}

#[test]
fn strangers_may_announce_small_things_only() {
    let server = Server::start_with(&["--requirepass", "secret"]);
    let mut known = server.connect();
    assert!(known.run("AUTH secret").is_ok());
    let before = resident_bytes(&server);
    let mut strangers = Vec::new();
    for (bytes, error) in [
        ("*1\r\n$16385\r\n", "ERR Protocol error: unauthenticated bulk length"),
        ("*1\r\n$536870912\r\n", "ERR Protocol error: unauthenticated bulk length"),
        ("*11\r\n", "ERR Protocol error: unauthenticated multibulk length"),
        ("*1048576\r\n", "ERR Protocol error: unauthenticated multibulk length"),
    ] {
        for _ in 0..50 {
            let mut stranger = server.connect();
            stranger.send(bytes.as_bytes()).unwrap();
            let replies = stranger.read_until_closed();
            assert_eq!(replies.len(), 1, "{bytes:?}: {replies:?}");
            assert_eq!(replies[0].error(), error, "{bytes:?}");
        }
        // What is allowed waits for its rest, in vain.
        let mut stranger = server.connect();
        stranger.send(b"*10\r\n$16384\r\n").unwrap();
        strangers.push(stranger);
        assert_eq!(known.run("PING").text(), "PONG");
    }
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 16 * MEGABYTE, "{grown} bytes more");
    let mut stranger = server.connect();
    assert!(stranger.call(&["AUTH", "default", "wrong"]).error().starts_with("WRONGPASS"));
    assert!(stranger.run("AUTH secret").is_ok(), "it may still become a known one");
}

/// A stranger that floods with small requests and reads nothing is not given more than the sockets hold.
#[test]
fn strangers_that_read_nothing_are_bounded() {
    let server = Server::start_with(&["--requirepass", "secret"]);
    let before = resident_bytes(&server);
    let floods = encode_line("GET key").repeat(10_000);
    let mut strangers: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for stranger in &mut strangers {
        stranger.socket().set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        while stranger.send(&floods).is_ok() {}
    }
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 64 * MEGABYTE, "{grown} bytes more");
    let mut known = server.connect();
    assert!(known.run("AUTH secret").is_ok());
}

#[test]
fn those_who_say_nothing_are_closed_by_the_timeout() {
    let server = Server::start_with(&["--requirepass", "secret", "--timeout", "1"]);
    let mut silent: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    // The beginning of a request is not enough to stay.
    for client in silent.iter_mut().take(10) {
        client.send(b"*2\r\n$4\r\nAU").unwrap();
    }
    for client in &mut silent {
        assert!(client.read_until_closed().is_empty());
    }
}

#[test]
fn requests_that_come_byte_by_byte_hold_up_nobody() {
    let server = Server::start();
    assert_bounded(&server, 64 * MEGABYTE, |onlooker| {
        let mut slow: Vec<Client> = (0..300).map(|_| server.connect()).collect();
        for byte in encode_line("ECHO patience") {
            for client in &mut slow {
                client.send(&[byte]).unwrap();
            }
            assert_eq!(onlooker.run("PING").text(), "PONG");
        }
        for client in &mut slow {
            assert_eq!(client.read().unwrap().text(), "patience");
        }
    });
}

#[test]
fn pipelines_of_large_replies_that_nobody_reads_are_bounded() {
    const CLIENTS: u64 = 8;
    let server = Server::start();
    let value = "v".repeat(MEGABYTE as usize);
    assert!(server.connect().call(&["SET", "large", &value]).is_ok());
    // A reply under way, the next one behind it, and room to grow.
    let greedy = assert_bounded(&server, CLIENTS * 8 * MEGABYTE, |onlooker| {
        let mut greedy: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
        let requests = encode_line("GET large").repeat(1000);
        for client in &mut greedy {
            client.socket().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            // A write that times out means that the server makes us wait.
            for _ in 0..10 {
                if client.send(&requests).is_err() {
                    break;
                }
            }
            assert_eq!(onlooker.run("PING").text(), "PONG");
        }
        greedy
    });
    let mut onlooker = server.connect();
    let limit = ["CONFIG", "SET", "client-output-buffer-limit", "normal 64kb 0 0"];
    assert!(onlooker.call(&limit).is_ok());
    wait_until("them to be closed", || {
        onlooker.run("INFO clients").text().contains("connected_clients:1\r\n")
    });
    drop(greedy);
    assert_serves(&server);
}

/// Whoever ends its own half still gets every reply.
#[test]
fn half_closed_connections_are_answered_in_full() {
    let server = Server::start();
    let value = "v".repeat(1_000_000);
    assert!(server.connect().call(&["SET", "large", &value]).is_ok());
    let mut client = server.connect();
    client.send(&encode_line("GET large").repeat(30)).unwrap();
    client.send(&encode_line("ECHO last")).unwrap();
    client.finish_sending();
    let replies = client.read_until_closed();
    assert_eq!(replies.len(), 31);
    assert!(replies[..30].iter().all(|reply| reply.text() == value));
    assert_eq!(replies[30].text(), "last");
    // Half a request is none.
    let mut client = server.connect();
    client.send(b"*1\r\n$4\r\nPI").unwrap();
    client.finish_sending();
    assert!(client.read_until_closed().is_empty());
}

#[test]
fn floods_of_connections_are_told_the_limit() {
    let server = Server::start_with(&["--maxclients", "50"]);
    assert_bounded(&server, 32 * MEGABYTE, |onlooker| {
        // Those of the start may still be leaving.
        wait_until("the onlooker to be alone", || {
            onlooker.run("INFO clients").text().contains("connected_clients:1\r\n")
        });
        let mut flood: Vec<Client> = (0..500).map(|_| server.connect()).collect();
        for client in flood.iter_mut().skip(49) {
            let replies = client.read_until_closed();
            // What it says may be lost with the reset that ends it; it never gets in.
            assert!(
                replies.iter().all(|reply| reply.error() == "ERR max number of clients reached"),
                "{replies:?}"
            );
        }
        assert!(onlooker.run("INFO stats").text().contains("rejected_connections:451\r\n"));
        drop(flood);
        wait_until("there to be room again", || {
            onlooker.run("INFO clients").text().contains("connected_clients:1\r\n")
        });
    });
    assert_serves(&server);
}

#[test]
fn subscribers_that_never_read_are_closed() {
    let server = Server::start_with(&["--client-output-buffer-limit", "pubsub 2mb 1mb 1"]);
    let mut deaf = server.connect();
    deaf.run("SUBSCRIBE news");
    assert_bounded(&server, 32 * MEGABYTE, |onlooker| {
        let message = "m".repeat(100_000);
        wait_until("it to be closed", || {
            onlooker.call(&["PUBLISH", "news", &message]).integer() == 0
        });
        let statistics = onlooker.run("INFO stats").text();
        assert!(statistics.contains("client_output_buffer_limit_disconnections:1\r\n"));
    });
    assert_serves(&server);
}

/// A client that takes this port for one of TLS, and one that sends what looks like it for ever.
#[test]
fn tls_on_the_plain_port_does_no_harm() {
    let server = Server::start();
    assert_bounded(&server, 32 * MEGABYTE, |onlooker| {
        let hello =
            [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc][..], &[7; 508]].concat();
        let mut waiting: Vec<TcpStream> = Vec::new();
        for _ in 0..100 {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(&hello).unwrap();
            waiting.push(stream);
        }
        assert_eq!(onlooker.run("PING").text(), "PONG");
        let mut client = server.connect();
        client.send(&hello.repeat(130)).ok();
        let replies = client.read_until_closed();
        assert_eq!(replies[0].error(), "ERR Protocol error: too big inline request");
        waiting
    });
}

#[test]
fn transactions_without_an_end_are_told_the_limit() {
    let server = Server::start_with(&["--client-query-buffer-limit", "1mb"]);
    assert_bounded(&server, 32 * MEGABYTE, |onlooker| {
        let value = "v".repeat(100_000);
        let mut client = server.connect();
        assert!(client.run("MULTI").is_ok());
        for number in 0..200 {
            let reply = client.call(&["SET", "key", &value]);
            if number < 10 {
                assert_eq!(reply.text(), "QUEUED");
            } else {
                assert!(reply.error().contains("'client-query-buffer-limit'"), "{reply:?}");
            }
        }
        assert!(onlooker.run("CLIENT LIST").text().contains(" multi=10 "));
        assert!(client.run("EXEC").error().starts_with("EXECABORT"));
        assert!(client.run("GET key").is_nil());
        client
    });
    assert_serves(&server);
}

/// The largest goes first, but not one that asked to stay.
#[test]
fn past_the_limit_of_all_clients_the_largest_are_closed() {
    let server = Server::start_with(&["--maxmemory-clients", "10mb"]);
    let mut onlooker = server.connect();
    let queue = |megabytes: usize| {
        let mut client = server.connect();
        if megabytes == 6 {
            assert!(client.run("CLIENT NO-EVICT ON").is_ok());
        }
        assert!(client.run("MULTI").is_ok());
        let value = "v".repeat(megabytes << 20);
        client.send(&encode(&["SET", "key", &value])).unwrap();
        client
    };
    let mut protected = queue(6);
    assert_eq!(protected.read().unwrap().text(), "QUEUED");
    let mut largest = queue(3);
    assert_eq!(largest.read().unwrap().text(), "QUEUED");
    let mut other = queue(2);
    assert_eq!(other.read().unwrap().text(), "QUEUED");
    assert!(largest.read_until_closed().is_empty());
    assert!(onlooker.run("INFO stats").text().contains("evicted_clients:1\r\n"));
    for client in [&mut protected, &mut other] {
        client.send(&encode_line("EXEC")).unwrap();
        let replies = client.read().unwrap();
        assert!(format!("{replies:?}").contains("OK"), "{replies:?}");
    }
    assert!(onlooker.run("CONFIG SET maxmemory-clients 5%").is_ok());
    let shown = onlooker.run("CONFIG GET maxmemory-clients").map();
    assert_eq!(shown["maxmemory-clients"].text(), "5%");
}
