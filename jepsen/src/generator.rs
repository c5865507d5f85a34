//! Clients under load: how many, how fast, for how long. What each operation is, the workload draws.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::client::Client;
use crate::cluster::{Cluster, NODES};
use crate::history::recorder::Recorder;
use crate::workload::Workload;

/// How long the clients of each node wait for an answer. The patient ones see what a paused leader says when it goes
/// on. The impatient ones give up and ask it again while it is paused: only what is asked after its successor
/// has acknowledged something else can be answered wrongly.
const PATIENCE_MILLIS: [u64; 4] = [400, 900, 3000, 10_000];
/// Clients of each node.
pub const CLIENTS_PER_NODE: u64 = PATIENCE_MILLIS.len() as u64;

/// Clients under way.
#[derive(Debug)]
pub struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts clients that together do `rate` operations a second, as far as the cluster lets them.
    pub fn start(
        workload: &Arc<dyn Workload>,
        recorder: &Arc<Recorder>,
        cluster: &Cluster,
        rate: f64,
        random: &mut Rng,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let clients = NODES * CLIENTS_PER_NODE;
        let pause = Duration::from_secs_f64(clients as f64 / rate);
        let mut start = |number: u64| {
            let node = number % NODES + 1;
            let patience = Duration::from_millis(PATIENCE_MILLIS[(number / NODES) as usize]);
            let mut client = client(recorder, (number, clients), (node, cluster), patience);
            let (workload, over) = (Arc::clone(workload), Arc::clone(&over));
            let mut random = random.fork();
            std::thread::spawn(move || {
                let mut next = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    workload.act(&mut client, &mut random);
                    // Between half and one and a half of the pause: clients must not fall into step.
                    next += pause.mul_f64(0.5 + random.f64());
                    // After a stall it goes on at its pace and does not catch up.
                    next = next.max(Instant::now());
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            })
        };
        let clients = (0..clients).map(&mut start).collect();
        Self { over, clients }
    }

    /// Stops; false if a client came to grief.
    pub fn stop(self) -> bool {
        self.over.store(true, Ordering::Relaxed);
        // Each is waited for, whatever became of the others.
        let failed = self.clients.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        failed == 0
    }
}

/// A client of a node.
pub fn client(
    recorder: &Arc<Recorder>,
    numbers: (u64, u64),
    (node, cluster): (u64, &Cluster),
    patience: Duration,
) -> Client {
    Client::new(Arc::clone(recorder), numbers, (node, cluster.address(node)), patience)
}
