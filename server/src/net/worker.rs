//! A worker: one thread, one `current_thread` runtime, the connections dealt to it.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::connection::Connection;
use super::listener::Arrival;
use super::stream::Stream;
use crate::cluster::Post;
use crate::pubsub::doorbell::Doorbell;
use crate::state::ServerState;

/// How many tasks run between two looks at the sockets. More than tokio's default, because the tasks of
/// one look are each other's batch (see [`super::connection`]).
const TASKS_BETWEEN_POLLS: u32 = 256;

/// A running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Where the listener puts connections.
    pub(crate) arrivals: UnboundedSender<Arrival>,
    /// The thread, which ends after the listener's last sender is gone and its connections are closed.
    pub(crate) thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the worker's thread.
    pub(crate) fn start(index: usize, server: &Arc<ServerState>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_BETWEEN_POLLS)
            .build()?;
        let (arrivals, receiver) = mpsc::unbounded_channel();
        let server = Arc::clone(server);
        let thread = std::thread::Builder::new()
            .name(format!("hallpass-{index}"))
            .spawn(move || run(&runtime, &server, receiver))?;
        Ok(Self { arrivals, thread })
    }
}

fn run(runtime: &Runtime, server: &Arc<ServerState>, mut arrivals: UnboundedReceiver<Arrival>) {
    let counters = server.metrics.add_thread();
    let post = Arc::new(Post::default());
    runtime.spawn(Arc::clone(&post).run());
    runtime.spawn(Doorbell::put_up());
    // Each connection holds a sender; when the last one is gone, all are closed.
    let (alive, mut all_closed) = mpsc::channel::<()>(1);
    runtime.block_on(async move {
        loop {
            let arrival = tokio::select! {
                biased;
                () = server.shutdown.wait() => break,
                arrival = arrivals.recv() => arrival,
            };
            let Some(Arrival { socket, client }) = arrival else { break };
            counters.connections.add(1);
            let id = client.shared.id;
            let Ok(stream) = Stream::new(socket) else {
                server.clients.remove(id);
                continue;
            };
            let shared = (Arc::clone(server), Arc::clone(&counters), Arc::clone(&post));
            let connection = Connection::new(stream, client, shared);
            let alive = alive.clone();
            runtime.spawn(async move {
                connection.serve().await;
                drop(alive);
            });
        }
        drop(alive);
        let patience = Duration::from_secs(server.settings.current().shutdown_timeout);
        // Whoever has not taken its replies by then loses them.
        let _late = tokio::time::timeout(patience, all_closed.recv()).await;
    });
}
