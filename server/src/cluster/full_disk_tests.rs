//! A node whose disk is full: it acknowledges nothing more, says why it cannot go on, and has everything
//! acknowledged once there is room again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallpass_engine::{Condition, Config, Deadline, Engine, HashSeed, Key, Op};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::clock::SystemClock;
use super::disk::{Remains, SimulatedDisk};
use super::node::{Cluster, ClusterConfig, Parts};

const CAPACITY_BYTES: u64 = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(20);

/// A node over a log that is full after so many bytes, and what it says when it cannot go on.
async fn node(
    disk: &SimulatedDisk,
    log_disk: &SimulatedDisk,
) -> (Arc<Cluster>, mpsc::UnboundedReceiver<String>) {
    let (sender, reasons) = mpsc::unbounded_channel();
    let parts = Parts {
        disk: Arc::new(disk.clone()),
        log_disk: Arc::new(log_disk.clone()),
        engine: Arc::new(Engine::new(&Config::new(HashSeed::new(1, 2)))),
        clock: Arc::new(SystemClock::default()),
        draw: 7,
        listener: None,
        tls: None,
        fatal: Arc::new(move |reason| drop(sender.send(reason))),
    };
    (Cluster::start(ClusterConfig::alone(1), parts).await.expect("it starts"), reasons)
}

fn write_of(cluster: &Cluster, number: u32) -> Bytes {
    let name = number.to_le_bytes();
    let mut bytes = Vec::new();
    let op = Op::Set {
        key: Key::new(cluster.engine().seed(), 0, &name),
        value: &[7; 4000],
        deadline: Deadline::Clear,
        condition: Condition::Always,
        owner: None,
        get: false,
    };
    op.encode(&mut bytes);
    bytes.into()
}

#[tokio::test]
async fn a_full_disk_stops_the_node_and_loses_nothing_acknowledged() {
    let (disk, log_disk) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let (cluster, mut reasons) = node(&disk, &log_disk).await;
    log_disk.set_capacity(Some(CAPACITY_BYTES));
    let mut acknowledged = 0;
    while cluster.submit(write_of(&cluster, acknowledged)).await.is_ok() {
        acknowledged += 1;
        assert!(acknowledged < 100, "more was acknowledged than fits");
    }
    assert!(acknowledged > 20, "{acknowledged}");
    let reason = timeout(PATIENCE, reasons.recv()).await.expect("in time").expect("a reason");
    assert!(reason.contains("write"), "{reason}");
    cluster.stop().await;
    drop(cluster);

    let (disk, log_disk) = (disk.crash(Remains::Everything), log_disk.crash(Remains::Everything));
    let (cluster, _reasons) = node(&disk, &log_disk).await;
    let found = cluster.read(|engine, now| {
        let found = |number: &u32| {
            let name = number.to_le_bytes();
            let key = Key::new(engine.seed(), 0, &name);
            engine.look(key, now, |entry| entry.is_some())
        };
        (0..acknowledged).filter(found).count()
    });
    assert_eq!(found.await, Ok(acknowledged as usize));
    assert!(cluster.submit(write_of(&cluster, acknowledged)).await.is_ok(), "there is room again");
    cluster.stop().await;
}
