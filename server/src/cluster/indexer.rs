//! Index rules in a cluster: the leader looks for what a rule has yet to index, and has it indexed through
//! the log, slice by slice. It also proposes the rules of its configuration file, once each time it
//! begins to lead.
//!
//! Each slice is awaited before the next, so the log never holds more than one. Whoever leads next begins a
//! pass of its own: what was indexed already is not found again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallpass_engine::rule::IndexCursor;
use hallpass_engine::{Engine, Op, Rule};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::leadership::Leadership;
use super::propose::Proposer;
use super::state::Progress;
use super::types::NodeId;

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);

/// The task.
pub(crate) struct Indexer {
    pub(crate) own: NodeId,
    pub(crate) engine: Arc<Engine>,
    pub(crate) proposer: Proposer,
    pub(crate) progress: Arc<Progress>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) patience: Duration,
    /// The rules of the configuration file.
    pub(crate) rules: Vec<Rule>,
}

impl Indexer {
    /// Runs until the node stops.
    pub(crate) async fn run(self) {
        let (mut cursor, mut proposed_in) = (IndexCursor::default(), None);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(term) = self.term_led() else {
                cursor = IndexCursor::default();
                continue;
            };
            // An entry of this term shows that what earlier leaders proposed is applied.
            if proposed_in != Some(term) && self.progress.term() == term && self.propose().await {
                proposed_in = Some(term);
            }
            while self.term_led() == Some(term) {
                let Some(slice) = self.engine.index_slice(&mut cursor, self.progress.stamp())
                else {
                    break;
                };
                if !slice.is_empty() && !self.submit(&slice.op(self.engine.seed())).await {
                    // Nobody knows whether it was applied: another pass finds out.
                    cursor = IndexCursor::default();
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// The term in which this node leads, if it does.
    fn term_led(&self) -> Option<u64> {
        let leadership = self.leadership.borrow();
        (leadership.leader == Some(self.own)).then_some(leadership.term)
    }

    /// Proposes the rules of the file that are not there or otherwise; whether all are.
    async fn propose(&self) -> bool {
        for rule in &self.rules {
            let known = self.engine.rules();
            if known.iter().any(|status| *status.rule == *rule) {
                continue;
            }
            if !self.submit(&Op::RuleSet { rule: Box::new(rule.clone()) }).await {
                return false;
            }
        }
        true
    }

    async fn submit(&self, op: &Op<'_>) -> bool {
        let mut ops = Vec::new();
        op.encode(&mut ops);
        self.proposer.submit(Bytes::from(ops), self.patience, None, None).await.is_ok()
    }
}
