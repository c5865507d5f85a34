//! Several addresses, and protected mode: clients of other machines need a server with a password.

use std::io::{Read, Write};
use std::net::{IpAddr, UdpSocket};

use crate::support::server::{Server, command, free_port, run_to_end};
use crate::{Talk, connect};

/// An address of this machine that is not the loopback's, if it has one. Nothing is sent to find it.
fn outside_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn strangers_are_denied_until_there_is_a_password() {
    let Some(outside) = outside_address() else {
        eprintln!("this machine has the loopback's address only");
        return;
    };
    let server = Server::start_with(&["--bind", "* -::*"]);
    let (host, port) = (outside.to_string(), server.address().port());
    let mut stream = connect(&host, port).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("-DENIED Redis is running in protected mode because "), "{said}");
    assert!(said.ends_with("accepting connections from the outside.\r\n"), "{said}");
    assert!(!said.contains("  "), "{said}");
    let mut local = server.connect();
    assert_eq!(local.run("PING").text(), "PONG");
    assert!(local.run("INFO stats").text().contains("rejected_connections:1\r\n"));

    let outsider = || Talk::over(connect(&host, port).unwrap());
    assert!(local.run("CONFIG SET protected-mode no").is_ok());
    assert_eq!(outsider().run("PING").text(), "PONG");
    assert!(local.run("CONFIG SET protected-mode yes requirepass secret").is_ok());
    let mut client = outsider();
    assert!(client.run("PING").error().starts_with("NOAUTH"));
    assert!(client.run("AUTH secret").is_ok());
}

#[test]
fn an_address_may_be_missing_if_it_is_said_so() {
    // Of a range for documentation: no machine has it.
    let missing = "203.0.113.1";
    let server = Server::start_with(&["--bind", &format!("127.0.0.1 -{missing} -::1")]);
    assert_eq!(server.connect().run("PING").text(), "PONG");
    let bind = ["--bind", &format!("127.0.0.1 {missing}")];
    let (status, _, stderr) = run_to_end(command(free_port(), &bind));
    assert_eq!((status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains(missing), "{stderr}");
}

#[test]
fn several_addresses_have_one_port() {
    let server = Server::start_with(&["--bind", "127.0.0.1 127.0.0.2"]);
    for host in ["127.0.0.1", "127.0.0.2"] {
        let mut stream = connect(host, server.address().port()).unwrap();
        stream.write_all(b"PING\r\n").unwrap();
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+PONG\r\n");
    }
}
