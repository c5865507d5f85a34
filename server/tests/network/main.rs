//! The ways in: TLS, the Unix socket, several addresses, and who is turned away at them.

#![allow(clippy::disallowed_methods, reason = "tests measure real time")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod tls;
mod unix_socket;

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;

use support::PATIENCE;
use support::client::{encode, encode_line};
use support::reply::Reply;

/// A client over any byte stream.
struct Talk<S>(BufReader<S>);

impl<S: Read + Write> Talk<S> {
    fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends one command whose arguments hold no spaces, and reads its reply.
    fn try_run(&mut self, line: &str) -> io::Result<Reply> {
        self.0.get_mut().write_all(&encode_line(line))?;
        Reply::read(&mut self.0)
    }

    #[track_caller]
    fn run(&mut self, line: &str) -> Reply {
        self.try_run(line).unwrap_or_else(|error| panic!("no reply to {line}: {error}"))
    }

    #[track_caller]
    fn call(&mut self, arguments: &[&str]) -> Reply {
        self.0.get_mut().write_all(&encode(arguments)).expect("it takes requests");
        Reply::read(&mut self.0).expect("a reply")
    }
}

/// A TCP connection on which nothing waits for ever.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
