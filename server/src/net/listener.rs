//! The listener: binds the addresses, accepts in threads of its own, deals sockets to the workers.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::sync::mpsc::UnboundedSender;

use crate::client::{Client, ClientShared};
use crate::config::Config;
use crate::error::StartError;
use crate::state::ServerState;

/// How long to wait when the process has no descriptor left.
const RETRY: Duration = Duration::from_millis(50);

/// A connection on its way to a worker.
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) client: Client,
}

/// The sockets that are listened on.
#[derive(Debug)]
pub(crate) struct Listeners {
    listeners: Vec<Arc<TcpListener>>,
    /// Where they are bound, with the ports in use.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Binds all addresses of the configuration.
    pub(crate) fn bind(config: &Config) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for host in config.bind.split_whitespace() {
            // With port 0 the first address chooses the port, and the others take the same.
            let port = addresses.first().map_or(config.port as u16, SocketAddr::port);
            let address = resolve(host, port)?;
            let listener = listen(address, config.tcp_backlog as i32)
                .map_err(|source| StartError::Listen { address, source })?;
            addresses.push(
                listener.local_addr().map_err(|source| StartError::Listen { address, source })?,
            );
            listeners.push(Arc::new(listener));
        }
        if listeners.is_empty() {
            return Err(StartError::NoAddress);
        }
        Ok(Self { listeners, addresses })
    }

    /// Starts one accepting thread for each address.
    pub(crate) fn start(
        &self,
        server: &Arc<ServerState>,
        workers: &[UnboundedSender<Arrival>],
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let turn = Arc::new(AtomicUsize::new(0));
        let start = |listener: &Arc<TcpListener>| {
            let acceptor = Acceptor {
                listener: Arc::clone(listener),
                server: Arc::clone(server),
                workers: workers.to_vec(),
                turn: Arc::clone(&turn),
            };
            std::thread::Builder::new().name("hallpass-accept".into()).spawn(move || acceptor.run())
        };
        self.listeners.iter().map(start).collect()
    }

    /// Makes the accepting threads return.
    pub(crate) fn stop(&self) {
        for listener in &self.listeners {
            // Wakes a blocked accept. An error means the socket is gone already.
            let _gone = SockRef::from(&**listener).shutdown(std::net::Shutdown::Both);
        }
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, StartError> {
    // Redis' spellings: `*` is every address, a leading `-` only says that a failure would be fine.
    let host = match host.trim_start_matches('-') {
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

/// One accepting thread.
struct Acceptor {
    listener: Arc<TcpListener>,
    server: Arc<ServerState>,
    workers: Vec<UnboundedSender<Arrival>>,
    /// Whose turn it is to get a socket, over all addresses.
    turn: Arc<AtomicUsize>,
}

impl Acceptor {
    fn run(&self) {
        loop {
            let accepted = self.listener.accept();
            if self.server.shutdown.has_begun() {
                return;
            }
            match accepted {
                Ok((stream, address)) => self.admit(stream, address),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    crate::log::line(format_args!("cannot accept a connection: {error}"));
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn admit(&self, mut stream: TcpStream, address: SocketAddr) {
        let config = self.server.settings.current();
        if self.server.clients.len() as u64 >= config.maxclients {
            self.server.metrics.rejected_connections.fetch_add(1, Ordering::Relaxed);
            // Best effort: a client that does not read must not hold up the others.
            let _unread = stream.set_nonblocking(true);
            let _unread = stream.write(b"-ERR max number of clients reached\r\n");
            return;
        }
        match prepare(&stream, &config) {
            Ok(local) => {
                let client = self.introduce(&stream, address, local);
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.workers.len();
                let shared = Arc::clone(&client.shared);
                self.server.clients.insert(shared);
                let id = client.shared.id;
                if self.workers[turn].send(Arrival { stream, client }).is_err() {
                    // The worker has stopped: the server is going down.
                    self.server.clients.remove(id);
                }
            }
            // The client has left already.
            Err(_) => drop(stream),
        }
    }

    fn introduce(&self, stream: &TcpStream, address: SocketAddr, local: SocketAddr) -> Client {
        let shared = ClientShared::new(
            self.server.clients.next_id(),
            address.to_string().into(),
            local.to_string().into(),
            descriptor(stream),
            self.server.clock.now(),
        );
        Client::new(Arc::new(shared), &self.server.acl.users())
    }
}

fn prepare(stream: &TcpStream, config: &Config) -> io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    if config.tcp_keepalive > 0 {
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(config.tcp_keepalive))
            .with_interval(Duration::from_secs((config.tcp_keepalive / 3).max(1)))
            .with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    stream.local_addr()
}

#[cfg(unix)]
fn descriptor(stream: &TcpStream) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(stream)
}

#[cfg(not(unix))]
fn descriptor(_stream: &TcpStream) -> i32 {
    -1
}
