//! A blocking client that hides nothing: it writes the bytes it is told to and returns replies as
//! they are. Every read has a deadline, so a server that stops answering fails the test.

use super::PATIENCE;
use super::reply::Reply;
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

/// One connection.
pub(crate) struct Client {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects, speaking RESP2 until told otherwise.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let writer = TcpStream::connect_timeout(&address, PATIENCE)?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(PATIENCE))?;
        writer.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Client { writer, reader })
    }

    /// As `try_connect`; panics when the server does not accept.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("the server accepts a connection")
    }

    /// Sends one command whose arguments hold no spaces, and returns its reply.
    #[track_caller]
    pub(crate) fn run(&mut self, line: &str) -> Reply {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        self.call(&arguments)
    }

    /// Sends one command and returns its reply; panics when the connection fails.
    #[track_caller]
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Reply {
        let name = String::from_utf8_lossy(arguments[0].as_ref()).into_owned();
        self.try_call(arguments).unwrap_or_else(|error| panic!("no reply to {name}: {error}"))
    }

    /// Sends one command and returns its reply.
    pub(crate) fn try_call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<Reply> {
        self.send(&encode(arguments))?;
        self.read()
    }

    /// Writes bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// Reads the next reply.
    pub(crate) fn read(&mut self) -> io::Result<Reply> {
        Reply::read(&mut self.reader)
    }

    /// Reads until the server closes; returns what came before. A reset counts as closed.
    pub(crate) fn read_until_closed(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        loop {
            match self.read() {
                Ok(reply) => replies.push(reply),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the server keeps the connection open; it sent {replies:?}")
                }
                Err(_) => return replies,
            }
        }
    }

    /// Ends the sending half; the server sees the end of our requests and may still answer.
    pub(crate) fn finish_sending(&self) {
        self.writer.shutdown(std::net::Shutdown::Write).expect("the socket is open");
    }

    /// The raw socket, for tests that need its options.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.writer
    }
}

/// A command as an array of bulk strings.
pub(crate) fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// As `encode`, for a line whose arguments hold no spaces.
pub(crate) fn encode_line(line: &str) -> Vec<u8> {
    encode(&line.split_whitespace().collect::<Vec<_>>())
}
