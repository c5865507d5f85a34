//! Requests that arrive in pieces, all at once, or on a connection that is half closed.

use crate::support::client::{encode, encode_line};
use crate::support::reply::Reply;
use crate::support::server::Server;
use crate::{assert_serves, let_the_server_read};
use std::io::Write;

/// A pipeline with each kind of frame: binary arguments, empty ones, inline, and an error.
fn pipeline() -> (Vec<u8>, Vec<Reply>) {
    let mut bytes = encode(&[b"SET".as_slice(), b"key\r\n", b"\x00\xff value\r\n"]);
    bytes.extend(encode(&[b"GET".as_slice(), b"key\r\n"]));
    bytes.extend(encode(&[b"ECHO".as_slice(), b""]));
    bytes.extend(b"ECHO inline\r\n");
    bytes.extend(b"*0\r\n\r\n");
    bytes.extend(encode_line("GET a b"));
    bytes.extend(encode_line("HSET hash field value"));
    bytes.extend(encode_line("HGETALL hash"));
    bytes.extend(encode_line("DEL hash"));
    let bulk = |text: &[u8]| Reply::Bulk(text.to_vec());
    let replies = vec![
        Reply::Simple("OK".to_owned()),
        bulk(b"\x00\xff value\r\n"),
        bulk(b""),
        bulk(b"inline"),
        Reply::Error("ERR wrong number of arguments for 'get' command".to_owned()),
        Reply::Integer(1),
        Reply::Array(vec![bulk(b"field"), bulk(b"value")]),
        Reply::Integer(1),
    ];
    (bytes, replies)
}

#[test]
fn a_pipeline_may_be_split_at_every_byte() {
    let server = Server::start();
    let mut other = server.connect();
    let mut client = server.connect();
    let (bytes, expected) = pipeline();
    for split in 1..bytes.len() {
        client.send(&bytes[..split]).unwrap();
        let_the_server_read(&mut other);
        client.send(&bytes[split..]).unwrap();
        for reply in &expected {
            assert_eq!(client.read().unwrap(), *reply, "split after byte {split}");
        }
    }
}

#[test]
fn a_pipeline_may_come_byte_by_byte() {
    let server = Server::start();
    let mut other = server.connect();
    let mut client = server.connect();
    let (bytes, expected) = pipeline();
    for byte in &bytes {
        client.send(&[*byte]).unwrap();
        let_the_server_read(&mut other);
    }
    for reply in &expected {
        assert_eq!(client.read().unwrap(), *reply);
    }
}

#[test]
fn ten_thousand_commands_in_one_write_are_answered_in_order() {
    let server = Server::start();
    let mut client = server.connect();
    let mut bytes = Vec::new();
    for number in 0..10_000 {
        bytes.extend(encode_line(&format!("SET key:{number} value:{number}")));
        bytes.extend(encode_line(&format!("GET key:{number}")));
        bytes.extend(encode_line("INCR counter"));
    }
    let mut socket = client.socket().try_clone().unwrap();
    let writer = std::thread::spawn(move || socket.write_all(&bytes));
    for number in 0..10_000 {
        assert!(client.read().unwrap().is_ok());
        assert_eq!(client.read().unwrap().text(), format!("value:{number}"));
        assert_eq!(client.read().unwrap().integer(), number + 1);
    }
    writer.join().unwrap().unwrap();
}

#[test]
fn a_large_value_survives_the_round_trip() {
    let server = Server::start();
    let mut client = server.connect();
    let value: Vec<u8> = (0..16_000_000_u32).map(|place| (place % 251) as u8).collect();
    assert!(client.call(&[b"SET".as_slice(), b"large", &value]).is_ok());
    assert_eq!(client.run("STRLEN large").integer(), 16_000_000);
    assert!(client.run("GET large") == Reply::Bulk(value), "the value came back changed");
    assert_serves(&server);
}

#[test]
fn many_arguments_in_one_command() {
    let server = Server::start();
    let mut client = server.connect();
    let mut arguments = vec!["MSET".to_owned()];
    for number in 0..20_000 {
        arguments.extend([format!("key:{number}"), number.to_string()]);
    }
    assert!(client.call(&arguments).is_ok());
    assert_eq!(client.run("DBSIZE").integer(), 20_000);
    let mut arguments = vec!["MGET".to_owned()];
    arguments.extend((0..20_000).map(|number| format!("key:{number}")));
    let reply = client.call(&arguments);
    for (number, item) in reply.items().iter().enumerate() {
        assert_eq!(item.text(), number.to_string());
    }
    arguments[0] = "DEL".to_owned();
    assert_eq!(client.call(&arguments).integer(), 20_000);
}

#[test]
fn a_half_closed_connection_still_gets_its_replies() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(&encode_line("INCR counter").repeat(1_000)).unwrap();
    client.finish_sending();
    let replies = client.read_until_closed();
    assert_eq!(replies.len(), 1_000);
    assert_eq!(replies.last().unwrap().integer(), 1_000);
    assert_serves(&server);
}

#[test]
fn a_connection_that_ends_in_the_middle_of_a_request_changes_nothing() {
    let server = Server::start();
    let whole = encode_line("SET cut value");
    for length in 1..whole.len() {
        let mut client = server.connect();
        client.send(&whole[..length]).unwrap();
        client.finish_sending();
        assert!(client.read_until_closed().is_empty(), "an answer to {length} bytes");
    }
    assert_eq!(server.connect().run("EXISTS cut").integer(), 0);
    assert_serves(&server);
}

#[test]
fn empty_requests_are_skipped() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(&b"\r\n*0\r\n*-1\r\n\n".repeat(1_000)).unwrap();
    assert_eq!(client.run("ECHO after").text(), "after");
}

#[test]
fn requests_after_quit_are_not_run() {
    let server = Server::start();
    let mut client = server.connect();
    let mut bytes = encode_line("SET before 1");
    bytes.extend(encode_line("QUIT"));
    bytes.extend(encode_line("SET after 1"));
    client.send(&bytes).unwrap();
    let replies = client.read_until_closed();
    assert_eq!(replies.len(), 2, "{replies:?}");
    assert!(replies.iter().all(Reply::is_ok));
    let mut other = server.connect();
    assert_eq!(other.run("EXISTS before").integer(), 1);
    assert_eq!(other.run("EXISTS after").integer(), 0);
}
