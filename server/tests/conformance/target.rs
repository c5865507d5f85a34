//! What a case runs against: the server program over a socket, the same commands in-process, or a node
//! of a cluster of three.

use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::reply::Reply;
use crate::support::server::Server;
use hallpass_server::Embedded;
use hallpass_server::config::arguments::{self, Invocation};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The ways to reach the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Socket,
    Embedded,
    Leader,
    Follower,
}

/// The three nodes that all files of cases share, once the first one needs them.
pub(crate) type SharedCluster = Arc<Mutex<Option<Cluster>>>;

/// A target that is up.
pub(crate) struct Running {
    access: Access,
    /// Has the commands that Redis does not have.
    pub(crate) is_hallpass: bool,
    pub(crate) is_redis_7_0: bool,
}

enum Access {
    /// A process; ours to stop unless somebody else started it.
    Address { address: SocketAddr, _process: Option<Server> },
    /// A node of a cluster.
    Node { address: SocketAddr, _cluster: SharedCluster },
    /// A server in this process, whose listening socket nobody uses.
    InProcess(hallpass_server::Server),
}

impl Running {
    pub(crate) fn start(way: Way, flags: &[String], shared: &SharedCluster) -> Running {
        let access = match (way, address_given()) {
            (Way::Leader | Way::Follower, _) => {
                let mut cluster = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let cluster = cluster.get_or_insert_with(|| Cluster::start(3));
                let number = if way == Way::Leader { cluster.leader() } else { cluster.follower() };
                let address = cluster.server(number).address();
                Access::Node { address, _cluster: Arc::clone(shared) }
            }
            (Way::Embedded, _) => Access::InProcess(start_in_process(flags)),
            (Way::Socket, Some(address)) => Access::Address { address, _process: None },
            (Way::Socket, None) => {
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                let server = Server::start_with(&flags);
                Access::Address { address: server.address(), _process: Some(server) }
            }
        };
        let mut running = Running { access, is_hallpass: false, is_redis_7_0: false };
        let mut connection = running.connect();
        if let Some(place) = flags.iter().position(|flag| flag == "--requirepass") {
            connection.call(&format!("AUTH {}", flags[place + 1]));
        }
        let info = connection.call("INFO").text();
        running.is_hallpass = info.contains("hallpass_version:");
        running.is_redis_7_0 = info.contains("redis_version:7.0.");
        running
    }

    /// A new connection that speaks RESP2.
    pub(crate) fn connect(&self) -> Connection {
        match &self.access {
            Access::Address { address, .. } | Access::Node { address, .. } => {
                Connection::Socket(Client::connect(*address))
            }
            Access::InProcess(server) => Connection::Embedded {
                client: Box::new(Embedded::connect(server.state())),
                replies: Vec::new(),
            },
        }
    }
}

fn start_in_process(flags: &[String]) -> hallpass_server::Server {
    let fixed = ["--port", "0", "--threads", "1"].map(OsString::from);
    let flags = fixed.into_iter().chain(flags.iter().map(OsString::from));
    match arguments::parse(flags) {
        Ok(Invocation::Serve(config)) => {
            hallpass_server::Server::start(*config).expect("a free port and threads")
        }
        other => panic!("the flags of the case file are not those of a server: {other:?}"),
    }
}

/// A server that somebody else started and that all cases shall use.
pub(crate) fn address_given() -> Option<SocketAddr> {
    let address = std::env::var("HALLPASS_TEST_ADDRESS").ok()?;
    Some(address.parse().expect("HALLPASS_TEST_ADDRESS is host:port"))
}

/// Takes the bytes of requests and gives their replies.
pub(crate) enum Connection {
    Socket(Client),
    Embedded { client: Box<Embedded>, replies: Vec<u8> },
}

impl Connection {
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Connection::Socket(client) => client.send(bytes),
            Connection::Embedded { client, replies } => {
                replies.extend(client.feed(bytes));
                Ok(())
            }
        }
    }

    pub(crate) fn read(&mut self) -> io::Result<Reply> {
        match self {
            Connection::Socket(client) => client.read(),
            Connection::Embedded { replies, .. } => {
                let mut rest = replies.as_slice();
                let reply = Reply::read(&mut rest)?;
                let consumed = replies.len() - rest.len();
                replies.drain(..consumed);
                Ok(reply)
            }
        }
    }

    /// Sends one command whose words hold no spaces, and returns its reply.
    pub(crate) fn call(&mut self, line: &str) -> Reply {
        self.send(&crate::support::client::encode_line(line)).expect("the target listens");
        self.read().expect("the target answers")
    }
}
