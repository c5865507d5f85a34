//! Binding: every address of the configuration, for plain TCP and for TLS, and the Unix socket.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::unix_socket::{self, SocketFile};
use crate::config::Config;
use crate::error::StartError;

/// A socket that is listened on.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener),
    Unix(UnixListener),
}

/// All sockets that are listened on.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    pub(crate) listeners: Vec<Listener>,
    /// Where plain TCP is bound, with the ports in use.
    pub(crate) plain: Vec<SocketAddr>,
    /// Where TLS is bound.
    pub(crate) secured: Vec<SocketAddr>,
    pub(crate) socket_file: Option<SocketFile>,
}

/// Binds all that the configuration names.
pub(crate) fn bind(config: &Config) -> Result<Bound, StartError> {
    let mut bound = Bound::default();
    if let Some(port) = config.plain_port() {
        let made = bind_hosts(config, port)?;
        bound.plain = made.iter().map(|(_, address)| *address).collect();
        bound.listeners.extend(made.into_iter().map(|(listener, _)| Listener::Tcp(listener)));
    }
    if config.tls_port != 0 {
        let made = bind_hosts(config, config.tls_port as u16)?;
        bound.secured = made.iter().map(|(_, address)| *address).collect();
        bound.listeners.extend(made.into_iter().map(|(listener, _)| Listener::Tls(listener)));
    }
    if !config.unixsocket.is_empty() {
        let (listener, file) = unix_socket::listen(config)?;
        bound.listeners.push(Listener::Unix(listener));
        bound.socket_file = Some(file);
    }
    if bound.listeners.is_empty() {
        return Err(StartError::NoAddress);
    }
    Ok(bound)
}

/// Binds one port on all addresses of `bind`.
fn bind_hosts(config: &Config, port: u16) -> Result<Vec<(TcpListener, SocketAddr)>, StartError> {
    let mut made: Vec<(TcpListener, SocketAddr)> = Vec::new();
    for host in config.bind.split_whitespace() {
        let optional = host.starts_with('-');
        // With port 0 the first address chooses the port, and the others take the same.
        let port = made.first().map_or(port, |(_, address)| address.port());
        let address = resolve(host, port)?;
        let listening = listen(address, config.tcp_backlog as i32)
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        match listening {
            Ok((address, listener)) => made.push((listener, address)),
            Err(error) if may_be_missing(&error, optional) => {}
            Err(source) => return Err(StartError::Listen { address, source }),
        }
    }
    Ok(made)
}

/// The errors that Redis goes on after: this machine has no such address, or not this kind of addresses.
fn may_be_missing(error: &io::Error, optional: bool) -> bool {
    match Errno::from_io_error(error) {
        Some(Errno::ADDRNOTAVAIL) => optional,
        Some(errno) => [
            Errno::NOPROTOOPT,
            Errno::PROTONOSUPPORT,
            Errno::SOCKTNOSUPPORT,
            Errno::PFNOSUPPORT,
            Errno::AFNOSUPPORT,
        ]
        .contains(&errno),
        None => false,
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, StartError> {
    // Redis' spellings: `*` is every address, a leading `-` only says that a failure would be fine.
    let host = match host.strip_prefix('-').unwrap_or(host) {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    let wrong = |reason: String| StartError::Address { host: host.to_owned(), reason };
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    addresses.next().ok_or_else(|| wrong("it has no address".to_owned()))
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Each family has its own socket, so both can be bound to one port.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}
