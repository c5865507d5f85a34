//! The listener: accepts in threads of its own, turns away who may not come in, deals sockets to the workers.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::sync::mpsc::UnboundedSender;

use super::addresses::{Bound, Listener, bind};
use super::stream::Socket;
use super::unix_socket::SocketFile;
use crate::client::{Client, ClientShared};
use crate::config::Config;
use crate::error::StartError;
use crate::state::ServerState;

/// How long to wait when the process has no descriptor left.
const RETRY: Duration = Duration::from_millis(50);

/// A connection on its way to a worker. A client that is `closing` already is told that it is turned away.
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    pub(crate) client: Client,
}

/// The sockets that are listened on.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<Arc<Listener>>,
    /// Where plain TCP is bound, with the ports in use.
    pub(crate) plain: Vec<SocketAddr>,
    /// Where TLS is bound.
    pub(crate) secured: Vec<SocketAddr>,
    socket_file: Option<SocketFile>,
}

impl Listeners {
    /// Binds all that the configuration names.
    pub(crate) fn bind(config: &Config) -> Result<Self, StartError> {
        let Bound { listeners, plain, secured, socket_file } = bind(config)?;
        let sockets = listeners.into_iter().map(Arc::new).collect();
        Ok(Self { sockets, plain, secured, socket_file })
    }

    /// The Unix socket's path.
    pub(crate) fn socket_path(&self) -> Option<&Path> {
        self.socket_file.as_ref().map(SocketFile::path)
    }

    /// Starts one accepting thread for each address.
    pub(crate) fn start(
        &self,
        server: &Arc<ServerState>,
        workers: &[UnboundedSender<Arrival>],
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let turn = Arc::new(AtomicUsize::new(0));
        let start = |listener: &Arc<Listener>| {
            let acceptor = Acceptor {
                listener: Arc::clone(listener),
                server: Arc::clone(server),
                workers: workers.to_vec(),
                turn: Arc::clone(&turn),
            };
            std::thread::Builder::new().name("hallpass-accept".into()).spawn(move || acceptor.run())
        };
        self.sockets.iter().map(start).collect()
    }

    /// Makes the accepting threads return. Who looks for the Unix socket finds none from here on.
    pub(crate) fn stop(&mut self) {
        drop(self.socket_file.take());
        for listener in &self.sockets {
            // Wakes a blocked accept. An error means the socket is gone already.
            let _gone = SockRef::from(&listener.as_fd()).shutdown(std::net::Shutdown::Both);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) | Self::Tls(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// One accepting thread.
struct Acceptor {
    listener: Arc<Listener>,
    server: Arc<ServerState>,
    workers: Vec<UnboundedSender<Arrival>>,
    /// Whose turn it is to get a socket, over all addresses.
    turn: Arc<AtomicUsize>,
}

impl Acceptor {
    fn run(&self) {
        loop {
            let accepted = self.accept();
            if self.server.shutdown.has_begun() {
                return;
            }
            match accepted {
                Ok((socket, address)) => self.admit(socket, address),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    crate::log::line(format_args!("cannot accept a connection: {error}"));
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// Waits for the next connection. One over the Unix socket comes from no address.
    fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        Ok(match &*self.listener {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                (Socket::Tcp(stream), Some(address))
            }
            Listener::Tls(listener) => {
                let (stream, address) = listener.accept()?;
                (Socket::Tls(stream), Some(address))
            }
            Listener::Unix(listener) => (Socket::Unix(listener.accept()?.0), None),
        })
    }

    fn admit(&self, socket: Socket, address: Option<SocketAddr>) {
        let config = self.server.settings.current();
        if self.server.clients.len() as u64 >= config.maxclients {
            self.server.metrics.rejected_connections.fetch_add(1, Ordering::Relaxed);
            refuse(socket);
            return;
        }
        let Ok(local) = socket.prepare(&config) else {
            // The client has left already.
            return;
        };
        let mut client = self.introduce(&socket, address, local, &config);
        if self.is_kept_out(address, &config) {
            self.server.metrics.rejected_connections.fetch_add(1, Ordering::Relaxed);
            client.closing = true;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        let shared = Arc::clone(&client.shared);
        self.server.clients.insert(shared);
        let id = client.shared.id;
        if self.workers[turn].send(Arrival { socket, client }).is_err() {
            // The worker has stopped: the server is going down.
            self.server.clients.remove(id);
        }
    }

    fn introduce(
        &self,
        socket: &Socket,
        address: Option<SocketAddr>,
        local: Option<SocketAddr>,
        config: &Config,
    ) -> Client {
        // Both ends of a Unix socket are shown as its path, as in Redis.
        let shown = |address: Option<SocketAddr>| match address {
            Some(address) => address.to_string().into(),
            None => format!("{}:0", config.unixsocket).into(),
        };
        let shared = ClientShared::new(
            self.server.clients.next_id(),
            shown(address),
            shown(local),
            socket.descriptor(),
            self.server.clock.now(),
        );
        Client::new(Arc::new(shared), &self.server.acl.users())
    }

    /// Whether a client of another machine finds a server without a password, by mistake as a rule.
    fn is_kept_out(&self, address: Option<SocketAddr>, config: &Config) -> bool {
        config.protected_mode
            && address.is_some_and(|address| !address.ip().to_canonical().is_loopback())
            && self.server.acl.users().default_user().needs_no_password()
    }
}

/// Tells a client that there are too many. Under TLS nothing can be said before the handshake.
fn refuse(socket: Socket) {
    let text = b"-ERR max number of clients reached\r\n";
    // Best effort: a client that does not read must not hold up the others.
    let _unread = match socket {
        Socket::Tcp(mut stream) => stream.set_nonblocking(true).and_then(|()| stream.write(text)),
        Socket::Unix(mut stream) => stream.set_nonblocking(true).and_then(|()| stream.write(text)),
        Socket::Tls(_) => return,
    };
}

impl Socket {
    /// Sets what a connection needs; gives its own address, which a Unix socket has none of.
    fn prepare(&self, config: &Config) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(stream) | Self::Tls(stream) => prepare(stream, config).map(Some),
            Self::Unix(stream) => stream.set_nonblocking(true).map(|()| None),
        }
    }

    fn descriptor(&self) -> i32 {
        match self {
            Self::Tcp(stream) | Self::Tls(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
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
