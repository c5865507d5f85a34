//! The server over real sockets: starting, stopping, limits, kills, pauses, slow readers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::*;

/// How long a condition may take to come true before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(change: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config { port: 0, threads: 2, ..Config::default() };
    change(&mut config);
    Server::start(config).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    connect_to(server.addresses()[0])
}

fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends an inline request and reads as many bytes as the expected reply has.
fn check(stream: &mut TcpStream, request: &str, expected: &str) {
    stream.write_all(request.as_bytes()).unwrap();
    stream.write_all(b"\r\n").unwrap();
    expect(stream, expected);
}

fn expect(stream: &mut TcpStream, expected: &str) {
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(String::from_utf8_lossy(&reply), expected);
}

/// Whether the other side closes without another byte.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Waits until `holds` does, or fails.
#[allow(clippy::disallowed_methods, reason = "a test's deadline is wall time")]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_server_starts_answers_and_stops() {
    let server = start(|_| {});
    let mut stream = connect(&server);
    check(&mut stream, "PING", "+PONG\r\n");
    check(&mut stream, "SET a 1", "+OK\r\n");
    check(&mut stream, "GET a", "$1\r\n1\r\n");
    let address = server.addresses()[0];
    server.shutdown();
    assert!(is_closed(&mut stream));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_port_in_use_is_refused() {
    let server = start(|_| {});
    let port = u64::from(server.addresses()[0].port());
    let error = Server::start(Config { port, ..Config::default() }).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on 127.0.0.1:{port}: ")));
}

#[test]
fn quit_and_protocol_errors_close_after_the_replies_before_them() {
    let server = start(|_| {});
    let mut stream = connect(&server);
    check(&mut stream, "PING\r\nQUIT\r\nPING", "+PONG\r\n+OK\r\n");
    assert!(is_closed(&mut stream));
    let mut stream = connect(&server);
    check(&mut stream, "PING\r\n*1\r\n$x", "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
    assert!(is_closed(&mut stream));
    wait_until("the registry forgets them", || server.state().clients.is_empty());
}

#[test]
fn a_request_that_looks_like_http_closes_the_connection() {
    let server = start(|_| {});
    let mut stream = connect(&server);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\n\r\nSET a 1\r\n").unwrap();
    assert!(is_closed(&mut stream));
    let mut stream = connect(&server);
    check(&mut stream, "EXISTS a", ":0\r\n");
}

#[test]
fn more_than_maxclients_are_told_so() {
    let server = start(|config| config.maxclients = 1);
    let mut first = connect(&server);
    check(&mut first, "PING", "+PONG\r\n");
    let mut second = connect(&server);
    expect(&mut second, "-ERR max number of clients reached\r\n");
    assert!(is_closed(&mut second));
    drop(first);
    wait_until("the first is gone", || server.state().clients.is_empty());
    check(&mut connect(&server), "PING", "+PONG\r\n");
}

#[test]
fn strangers_authenticate_first_also_within_a_pipeline() {
    let server = start(|config| config.requirepass = "secret".into());
    let mut stream = connect(&server);
    check(&mut stream, "GET a", "-NOAUTH Authentication required.\r\n");
    check(
        &mut stream,
        "AUTH wrong",
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
    );
    // Twelve words are more than a stranger may send, but by then it is none.
    let keys = "k ".repeat(11);
    let count = 12;
    let mut pipeline = format!("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*{count}\r\n$6\r\nEXISTS\r\n");
    for key in keys.split_whitespace() {
        pipeline += &["$", &key.len().to_string(), "\r\n", key, "\r\n"].concat();
    }
    stream.write_all(pipeline.as_bytes()).unwrap();
    expect(&mut stream, "+OK\r\n:0\r\n");
    check(&mut stream, "RESET", "+RESET\r\n");
    check(&mut stream, "GET a", "-NOAUTH Authentication required.\r\n");
    check(&mut stream, "HELLO 3 AUTH default secret", "%7\r\n");
}

#[test]
fn a_killed_client_is_closed() {
    let server = start(|_| {});
    let (mut victim, mut killer) = (connect(&server), connect(&server));
    check(&mut victim, "PING", "+PONG\r\n");
    let address = victim.local_addr().unwrap();
    check(&mut killer, &format!("CLIENT KILL ADDR {address}"), ":1\r\n");
    assert!(is_closed(&mut victim));
    check(&mut killer, "CLIENT KILL ID 999999", ":0\r\n");
    check(&mut killer, "CLIENT KILL TYPE normal SKIPME no", ":1\r\n");
    assert!(is_closed(&mut killer));
}

#[test]
fn a_pause_holds_writes_until_it_is_lifted() {
    let server = start(|_| {});
    let (mut paused, mut other) = (connect(&server), connect(&server));
    check(&mut other, "CLIENT PAUSE 600000 WRITE", "+OK\r\n");
    paused.write_all(b"GET a\r\nSET a 1\r\nGET a\r\n").unwrap();
    expect(&mut paused, "$-1\r\n");
    check(&mut other, "GET a", "$-1\r\n");
    check(&mut other, "CLIENT UNPAUSE", "+OK\r\n");
    expect(&mut paused, "+OK\r\n$1\r\n1\r\n");
}

#[test]
fn replies_can_be_turned_off() {
    let server = start(|_| {});
    let mut stream = connect(&server);
    let requests = "CLIENT REPLY SKIP\r\nPING\r\nECHO a\r\nCLIENT REPLY OFF\r\nPING\r\nNOSUCH\r\n\
                    CLIENT REPLY ON\r\nECHO b";
    check(&mut stream, requests, "$1\r\na\r\n+OK\r\n$1\r\nb\r\n");
}

#[test]
fn a_slow_reader_stops_reading_and_holds_up_nobody() {
    let server = start(|config| config.threads = 1);
    let mut slow = connect(&server);
    let value = "v".repeat(100_000);
    check(&mut slow, &format!("SET big {value}"), "+OK\r\n");
    slow.set_nonblocking(true).unwrap();
    // Far more replies than sockets hold. The server stops reading, so this has to block at some point.
    let burst = "GET big\r\n".repeat(1000);
    let mut sent = 0;
    let blocked = loop {
        match slow.write(&burst.as_bytes()[sent % burst.len()..]) {
            Ok(bytes) => sent += bytes,
            Err(error) => break error.kind() == ErrorKind::WouldBlock,
        }
        assert!(sent < 1 << 30, "the server keeps reading");
    };
    assert!(blocked);
    let mut other = connect(&server);
    check(&mut other, "PING", "+PONG\r\n");
    let resident = server.state().clients.list();
    let waiting =
        |client: &Arc<crate::client::ClientShared>| client.output_bytes.load(Ordering::Relaxed) > 0;
    wait_until("the slow client's output is seen", || resident.iter().any(waiting));
    assert!(resident.iter().all(|client| client.output_bytes.load(Ordering::Relaxed) < 2 << 20));
}

#[test]
fn past_the_hard_output_limit_a_client_is_closed() {
    let server = start(|config| config.client_output_buffer_limit.normal.hard_bytes = 64 << 10);
    let mut stream = connect(&server);
    let value = "v".repeat(1_000_000);
    check(&mut stream, &format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\n{value}"), "+OK\r\n");
    let requests = "GET a\r\n".repeat(100);
    // The server closes on the way; how far the write came does not matter.
    let _closed = stream.write_all(requests.as_bytes());
    let metrics = &server.state().metrics;
    wait_until("the client is closed", || {
        metrics.output_limit_disconnections.load(Ordering::Relaxed) == 1
    });
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    let server = start(|config| config.timeout = 1);
    let mut stream = connect(&server);
    check(&mut stream, "PING", "+PONG\r\n");
    assert!(is_closed(&mut stream));
}

#[test]
fn large_arguments_arrive_whole_in_any_pieces() {
    let server = start(|_| {});
    let mut stream = connect(&server);
    let value: String = ('a'..='z').cycle().take(3_000_000).collect();
    let request = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n{value}\r\n", value.len());
    for piece in request.as_bytes().chunks(77_777) {
        stream.write_all(piece).unwrap();
    }
    expect(&mut stream, "+OK\r\n");
    check(&mut stream, "GET a", &format!("${}\r\n{value}\r\n", value.len()));
}

#[test]
fn deep_pipelines_are_answered_in_order() {
    let server = start(|_| {});
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for number in 0..50_000 {
            writer.write_all(format!("INCR a\r\nECHO {number}\r\n").as_bytes()).unwrap();
        }
    });
    for number in 0..50_000 {
        let text = number.to_string();
        expect(&mut stream, &format!(":{}\r\n${}\r\n{text}\r\n", number + 1, text.len()));
    }
    sender.join().unwrap();
}

#[test]
fn a_stop_lets_a_client_take_its_replies() {
    let server = start(|_| {});
    let mut stream = connect(&server);
    let value = "v".repeat(900_000);
    check(&mut stream, &format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$900000\r\n{value}"), "+OK\r\n");
    // More than the socket holds, so the reply is still on its way when the stop begins.
    let gets = 20;
    stream.write_all("GET a\r\n".repeat(gets).as_bytes()).unwrap();
    expect(&mut stream, "$900000\r\n");
    let stopping = std::thread::spawn(move || server.shutdown());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() >= value.len(), "only {} bytes", rest.len());
    stopping.join().unwrap();
}

#[test]
fn a_batch_that_changes_what_it_prefetched_sees_its_own_changes() {
    let server = start(|_| {});
    let mut stream = connect(&server);
    // More than the processor's caches are taken to hold.
    let value = "v".repeat(1 << 20);
    for number in 0..6 {
        let key = format!("filler{number}");
        let request = format!("*3\r\n$3\r\nSET\r\n$7\r\n{key}\r\n${}\r\n{value}", value.len());
        check(&mut stream, &request, "+OK\r\n");
    }
    let state = server.state();
    wait_until("prefetching", || state.prefetch.load(std::sync::atomic::Ordering::Relaxed));
    check(&mut stream, "SET a 1", "+OK\r\n");
    let batch = ["GET a", "DEL a", "GET a", "SET b 2", "GET a", "SET a 33", "GET a", "GET b"];
    let expected = "$1\r\n1\r\n:1\r\n$-1\r\n+OK\r\n$-1\r\n+OK\r\n$2\r\n33\r\n$1\r\n2\r\n";
    check(&mut stream, &batch.join("\r\n"), expected);
}
