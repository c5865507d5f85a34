//! EXEC on a server that keeps a log: one submission, which is applied as one.

use bytes::Bytes;
use hallpass_engine::{Stamp, Words};

use super::buffers::Buffers;
use super::connection::Connection;
use crate::cluster::{Cluster, Unavailable};

impl Connection {
    /// Runs an EXEC that is the next request.
    pub(super) async fn run_transaction(&mut self, cluster: &Cluster, buffers: &mut Buffers) {
        let ready = self.client.transaction.as_ref().is_some_and(|queued| !queued.aborted);
        let frame = buffers.requests.frames[buffers.next];
        let spans = buffers.requests.words(frame);
        let now = self.server.clock.now();
        let denied = buffers.prepared.first().is_some_and(|ready| {
            self.turn(now).denies(Words::from_spans(&buffers.input, spans), ready)
        });
        if !ready || denied || !self.client.authenticated || spans.len() != 1 {
            // It will be refused, as on any server.
            let end = buffers.next + 1;
            return self.run_local(buffers, end).await;
        }
        buffers.next += 1;
        buffers.prepared.remove(0);
        let (transaction, watch) = (self.client.transaction.take(), self.client.watch.take());
        let Some(transaction) = transaction else { return };
        let now = self.server.clock.now().max(cluster.applied_stamp());
        let planned = self.turn(now).plan(transaction, watch.as_deref(), &mut buffers.output);
        let Some(mut plan) = planned else { return };
        if plan.only_looks() {
            match self.look_at(cluster).await {
                Ok(now) => {
                    let inside = cluster.entered().await;
                    let output = &mut buffers.output;
                    self.turn(now).finish_look(&plan, watch.as_deref(), output);
                    drop(inside);
                }
                Err(why) => self.turn(now).finish_plan(&plan, Err(why), &mut buffers.output),
            }
        } else {
            let server = self.server.clone();
            let onlooker = plan.onlooker(&self.turn(now), &server);
            let ops = Bytes::from(std::mem::take(&mut plan.ops));
            let answer = cluster.submit_transaction(&self.post, ops, onlooker).await;
            let now = self.server.clock.now();
            self.turn(now).finish_plan(&plan, answer, &mut buffers.output);
        }
        self.pass_touches_on(cluster);
    }

    /// When a read that begins now looks at the store.
    pub(super) async fn look_at(&self, cluster: &Cluster) -> Result<Stamp, Unavailable> {
        match cluster.read_at_once() {
            Some(now) => Ok(now),
            None => cluster.barrier().await,
        }
    }
}
