//! Bytes that are not the protocol: each gets Redis's error where Redis has one, the connection
//! ends, nobody else notices, and no announced length makes the server reserve memory for it.

use crate::support::client::encode_line;
use crate::support::reply::Reply;
use crate::support::server::Server;
use crate::{assert_serves, let_the_server_read, resident_bytes};

/// Sends `bytes` on a new connection; the server must answer `error` alone and close.
#[track_caller]
fn assert_refused(server: &Server, bytes: &[u8], error: &str) {
    let mut client = server.connect();
    // The server may close before all is written.
    client.send(bytes).ok();
    let replies = client.read_until_closed();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    assert_eq!(replies, [Reply::Error(error.to_owned())], "after {shown:?}");
}

#[test]
fn broken_frames_are_refused_as_redis_does() {
    let server = Server::start();
    for (bytes, error) in [
        ("*x\r\n", "ERR Protocol error: invalid multibulk length"),
        ("*2147483648\r\n", "ERR Protocol error: invalid multibulk length"),
        ("*99999999999999999999\r\n", "ERR Protocol error: invalid multibulk length"),
        ("*\r\n", "ERR Protocol error: invalid multibulk length"),
        ("*1 \r\n", "ERR Protocol error: invalid multibulk length"),
        ("*1\r\n:1\r\n", "ERR Protocol error: expected '$', got ':'"),
        ("*1\r\n*1\r\n", "ERR Protocol error: expected '$', got '*'"),
        ("*2\r\n$3\r\nGET\r\nfoo\r\n", "ERR Protocol error: expected '$', got 'f'"),
        ("*1\r\n$x\r\n", "ERR Protocol error: invalid bulk length"),
        ("*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length"),
        ("*1\r\n$-5\r\n", "ERR Protocol error: invalid bulk length"),
        ("*1\r\n$536870913\r\n", "ERR Protocol error: invalid bulk length"),
        ("*1\r\n$9223372036854775808\r\n", "ERR Protocol error: invalid bulk length"),
        ("GET \"unbalanced\r\n", "ERR Protocol error: unbalanced quotes in request"),
        ("GET 'unbalanced\r\n", "ERR Protocol error: unbalanced quotes in request"),
        ("GET \"a\"b\r\n", "ERR Protocol error: unbalanced quotes in request"),
    ] {
        assert_refused(&server, bytes.as_bytes(), error);
    }
    assert_serves(&server);
}

#[test]
fn lines_without_an_end_are_refused() {
    let server = Server::start();
    let long = |first: &str| format!("{first}{}", "1".repeat(70_000)).into_bytes();
    for (bytes, error) in [
        (long("x"), "ERR Protocol error: too big inline request"),
        (long("*"), "ERR Protocol error: too big mbulk count string"),
        (long("*1\r\n$"), "ERR Protocol error: too big bulk count string"),
    ] {
        assert_refused(&server, &bytes, error);
    }
    assert_serves(&server);
}

#[test]
fn what_came_before_a_broken_frame_is_answered() {
    let server = Server::start();
    let mut client = server.connect();
    let mut bytes = encode_line("SET key value");
    bytes.extend(encode_line("GET key"));
    bytes.extend(b"*1\r\n$-7\r\n");
    bytes.extend(encode_line("SET key other"));
    client.send(&bytes).unwrap();
    let replies = client.read_until_closed();
    assert!(replies[0].is_ok());
    assert_eq!(replies[1].text(), "value");
    assert_eq!(replies[2].error(), "ERR Protocol error: invalid bulk length");
    assert_eq!(replies.len(), 3);
    assert_eq!(server.connect().run("GET key").text(), "value");
}

/// A broken frame was answered even when the client had asked for silence, as Redis does not.
#[test]
fn a_broken_frame_in_silence_is_not_answered() {
    let server = Server::start();
    for silence in ["CLIENT REPLY OFF", "CLIENT REPLY SKIP"] {
        let mut client = server.connect();
        client.send(&[&encode_line(silence)[..], b"*x\r\n"].concat()).unwrap();
        assert_eq!(client.read_until_closed(), []);
    }
}

#[test]
fn a_stranger_may_not_announce_much() {
    let server = Server::start_with(&["--requirepass", "secret"]);
    assert_refused(&server, b"*11\r\n", "ERR Protocol error: unauthenticated multibulk length");
    assert_refused(
        &server,
        b"*2\r\n$4\r\nAUTH\r\n$16385\r\n",
        "ERR Protocol error: unauthenticated bulk length",
    );
    let mut client = server.connect();
    assert!(client.run("AUTH secret").is_ok());
    let value = "x".repeat(20_000);
    assert!(client.call(&["SET", "key", &value]).is_ok());
}

#[test]
fn announced_lengths_reserve_no_memory() {
    let server = Server::start();
    let before = resident_bytes(&server);
    let mut other = server.connect();
    let waiting: Vec<_> = (0..200)
        .map(|number| {
            let mut client = server.connect();
            let bytes: &[u8] = match number % 3 {
                0 => b"*1\r\n$536870912\r\nabc",
                1 => b"*1000000000\r\n$3\r\nGET\r\n",
                _ => b"*2\r\n$3\r\nGET\r\n$400000000\r\n",
            };
            client.send(bytes).ok();
            client
        })
        .collect();
    for _ in 0..50 {
        let_the_server_read(&mut other);
    }
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 100_000_000, "{grown} bytes more for 200 announcements");
    drop(waiting);
    assert_serves(&server);
}

#[test]
fn random_bytes_harm_nobody() {
    let server = Server::start();
    let mut other = server.connect();
    // A fixed generator: a failure comes again.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let alphabet = b"*$:+-_%~>0123456789\r\n\r\n\"' GETSETPINGHSCANMULTI\x00\xff";
    for round in 0..500 {
        let mut client = server.connect();
        let length = 1 + next() as usize % 400;
        let bytes: Vec<u8> = (0..length)
            .map(|_| match next() {
                value if round % 2 == 0 => value as u8,
                value => alphabet[value as usize % alphabet.len()],
            })
            .collect();
        client.send(&bytes).ok();
        client.finish_sending();
        client.read_until_closed();
        assert_eq!(other.run("PING").text(), "PONG", "after {bytes:?}");
    }
    assert_serves(&server);
}

#[test]
fn other_protocols_are_shown_the_door() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET stolen 1\r\n").ok();
    client.read_until_closed();
    assert_eq!(server.connect().run("EXISTS stolen").integer(), 0);
    let mut client = server.connect();
    // The beginning of a TLS handshake.
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n").ok();
    client.finish_sending();
    client.read_until_closed();
    assert_serves(&server);
}
