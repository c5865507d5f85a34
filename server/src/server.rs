//! The server as a value: start it, learn where it listens, stop it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crate::acl;
use crate::cluster::mutant;
use crate::config::Config;
use crate::error::StartError;
use crate::maintenance;
use crate::net::listener::Listeners;
use crate::net::tls::TlsError;
use crate::net::worker::Worker;
use crate::raft_thread::RaftThread;
use crate::state::ServerState;

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    state: Arc<ServerState>,
    listeners: Listeners,
    threads: Vec<JoinHandle<()>>,
    raft: Option<RaftThread>,
}

impl Server {
    /// Starts a server: binds its addresses, then starts its threads.
    pub fn start(config: Config) -> Result<Self, StartError> {
        mutant::plant_from_environment()?;
        let listeners = Listeners::bind(&config)?;
        let worker_count = config.thread_count();
        let users = acl::file::configured(&config).map_err(StartError::Users)?;
        let state = Arc::new(ServerState::new(config));
        state.acl.begin_with(users);
        state.client_tls.load(&state.settings.current())?;
        if let Some(address) = listeners.plain.first().or(listeners.secured.first()) {
            state.port.store(address.port(), Ordering::Relaxed);
        }
        let mut server = Self { state, listeners, threads: Vec::new(), raft: None };
        server.raft = RaftThread::start(&server.state)?;
        // From here on a failure drops `server`, which stops what was started.
        server.start_threads(worker_count).map_err(StartError::Thread)?;
        Ok(server)
    }

    fn start_threads(&mut self, worker_count: usize) -> std::io::Result<()> {
        let state = Arc::clone(&self.state);
        self.threads.push(
            std::thread::Builder::new()
                .name("hallpass-sweep".into())
                .spawn(move || maintenance::run(&state))?,
        );
        let mut arrivals = Vec::new();
        for index in 0..worker_count {
            let worker = Worker::start(index, &self.state)?;
            arrivals.push(worker.arrivals);
            self.threads.push(worker.thread);
        }
        self.threads.extend(self.listeners.start(&self.state, &arrivals)?);
        Ok(())
    }

    /// Where it listens, with the ports in use; none when plain TCP is turned off.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listeners.plain
    }

    /// Where it listens for clients that speak TLS.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.listeners.secured
    }

    /// The Unix socket it listens on.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.listeners.socket_path()
    }

    /// Reads the files of TLS for clients again: new connections get what they hold now. When one cannot be
    /// used, nothing changes.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.state.client_tls.load(&self.state.settings.current())
    }

    /// What its threads share.
    pub fn state(&self) -> &Arc<ServerState> {
        &self.state
    }

    /// Stops: takes no more connections, answers what was read, closes, ends the threads.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.state.begin_shutdown();
        self.listeners.stop();
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                crate::log::line(format_args!("a thread panicked"));
            }
        }
        // After the connections: what they have under way is still answered.
        drop(self.raft.take());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
