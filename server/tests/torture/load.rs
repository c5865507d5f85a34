//! Many connections, and some that do not read what they asked for.

use crate::support::client::{Client, encode_line};
use crate::support::server::Server;
use crate::support::wait_until;
use crate::{assert_serves, resident_bytes};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::Write;
use std::time::{Duration, Instant};

/// Connections of the crowd test; both halves are in this process, the server's are its own.
const CROWD: usize = 3_000;

/// Lets this process open as many sockets as the machine allows.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit is ours to take");
}

#[test]
fn thousands_of_connections_are_served() {
    raise_descriptor_limit();
    let server = Server::start();
    let mut clients: Vec<Client> = (0..CROWD).map(|_| server.connect()).collect();
    for round in 0..2 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&encode_line(&format!("SET key:{number} {round}:{number}"))).unwrap();
            client.send(&encode_line(&format!("GET key:{number}"))).unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert!(client.read().unwrap().is_ok());
            assert_eq!(client.read().unwrap().text(), format!("{round}:{number}"));
        }
    }
    let info = clients[0].run("INFO clients").text();
    assert!(info.contains(&format!("connected_clients:{CROWD}\r\n")), "{info}");
    clients.truncate(1);
    wait_until("the server to notice that they left", || {
        clients[0].run("INFO clients").text().contains("connected_clients:1\r\n")
    });
    assert_serves(&server);
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let server = Server::start();
    for number in 0..3_000 {
        let mut client = server.connect();
        client.send(&encode_line("PING")).unwrap();
        // Every other one leaves without its answer.
        if number % 2 == 0 {
            assert_eq!(client.read().unwrap().text(), "PONG");
        }
    }
    let mut client = server.connect();
    wait_until("the server to notice that they left", || {
        client.run("INFO clients").text().contains("connected_clients:1\r\n")
    });
}

/// Replies pile up for clients that do not read; the others are answered as if nothing were, and in
/// the end every reply is there.
#[test]
fn slow_readers_stall_nobody() {
    const REQUESTS: usize = 1_000;
    const VALUE_BYTES: usize = 100_000;
    let server = Server::start();
    let mut other = server.connect();
    let value = "v".repeat(VALUE_BYTES);
    assert!(other.call(&["SET", "large", &value]).is_ok());
    let mut slow: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut slow {
        client.send(&encode_line("GET large").repeat(REQUESTS)).unwrap();
    }
    let mut worst = Duration::ZERO;
    for number in 0..2_000 {
        // Several connections, so that each of the server's threads is asked.
        let mut fresh = (number % 200 == 0).then(|| server.connect());
        let client = fresh.as_mut().unwrap_or(&mut other);
        let started = Instant::now();
        assert_eq!(client.run("PING").text(), "PONG");
        worst = worst.max(started.elapsed());
    }
    assert!(worst < Duration::from_secs(5), "a PING took {worst:?} beside slow readers");
    for client in &mut slow {
        for _ in 0..REQUESTS {
            assert_eq!(client.read().unwrap().text().len(), VALUE_BYTES);
        }
    }
    assert_serves(&server);
}

/// A client that never reads may not fill the server's memory: it is made to wait, or let go.
#[test]
fn a_reader_that_never_reads_is_bounded() {
    let server = Server::start();
    let mut other = server.connect();
    let value = "v".repeat(1_000_000);
    assert!(other.call(&["SET", "large", &value]).is_ok());
    let before = resident_bytes(&server);
    let mut greedy = server.connect();
    greedy.socket().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    // Asks for 2 GB. A write that times out means the server makes us wait: that is enough.
    for _ in 0..20 {
        if greedy.send(&encode_line("GET large").repeat(100)).is_err() {
            break;
        }
        assert_eq!(other.run("PING").text(), "PONG");
    }
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 600_000_000, "{grown} bytes more for one client that does not read");
    drop(greedy);
    assert_serves(&server);
}

#[test]
fn connections_torn_down_with_replies_underway_harm_nobody() {
    let server = Server::start();
    let mut other = server.connect();
    let value = "v".repeat(1_000_000);
    assert!(other.call(&["SET", "large", &value]).is_ok());
    for _ in 0..100 {
        let mut client = server.connect();
        client.send(&encode_line("GET large").repeat(20)).unwrap();
        client.socket().flush().unwrap();
        // Dropped with unread data: the kernel answers the server with a reset.
        drop(client);
        assert_eq!(other.run("PING").text(), "PONG");
    }
    assert_serves(&server);
}
