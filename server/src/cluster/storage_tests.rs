//! openraft's own suite of what a log and a state machine owe it, over the real log and snapshots.

use std::sync::Arc;

use hallpass_engine::{Config, Engine, HashSeed};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::disk::{Disk, SimulatedDisk};
use super::entry::Origin;
use super::log::{Log, LogOptions};
use super::log_store::LogStore;
use super::snapshot::SnapshotStore;
use super::state::{Progress, StateMachine};
use super::types::TypeConfig;
use super::waiting::Waiting;
use crate::gate::Gate;

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine> for Builder {
    async fn build(&self) -> Result<((), LogStore, StateMachine), StorageError<TypeConfig>> {
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(1));
        let log_disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(2));
        let (log, _) = Log::open(log_disk, LogOptions::default()).expect("an empty directory");
        let snapshots = SnapshotStore::open(disk).expect("an empty directory");
        let state = StateMachine::new(
            Arc::new(Engine::new(&Config::new(HashSeed::new(1, 2)))),
            Arc::new(Gate::default()),
            Arc::new(Waiting::new(Origin { node: 1, incarnation: 1 })),
            Arc::new(Progress::default()),
            Arc::new(snapshots),
        );
        Ok(((), LogStore::new(Arc::new(log), Arc::default()), state))
    }
}

#[tokio::test]
async fn the_storage_keeps_openraft_s_contract() {
    Suite::test_all(Builder).await.expect("every test of the suite passes");
}
