//! Who waits for what was submitted: connections of this node, by the serial of their submission.
//!
//! A submission is answered with the outcomes of its ops, which come out of this node's own state machine
//! when the entry is applied here. When another node leads, that is not enough: a read on the leader
//! must show the write from the moment it is acknowledged, so the leader has to say that it has applied
//! it, too. When this node leads, its own apply is the leader's.

use std::collections::BTreeMap;

use hallpass_engine::Outcome;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::entry::Origin;
use super::origins::Origins;

/// Why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No leader is known, or it cannot reach a majority.
    #[error("no majority of the cluster can be reached")]
    NoQuorum,
    /// Submitted, and not heard of in time: it may still happen, or not.
    #[error("the cluster did not answer in time; the write may or may not take effect")]
    Indeterminate,
    /// More is waiting than this node takes.
    #[error("too many writes are waiting for the cluster")]
    Overloaded,
    /// The node is stopping, or its disk has failed.
    #[error("this node has stopped")]
    Stopped,
}

/// The answer to a submission.
pub(crate) type Answer = Result<Vec<Outcome>, Unavailable>;

/// The submissions of this node that have no answer yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    origin: Origin,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    last_serial: u64,
    slots: BTreeMap<u64, Slot>,
    stopped: bool,
}

#[derive(Debug)]
struct Slot {
    deadline: Instant,
    answer: oneshot::Sender<Answer>,
    /// Whether it went to another node, which has not said that it applied it.
    elsewhere: bool,
    /// What came out of the state machine here.
    outcomes: Option<Vec<Outcome>>,
}

impl Waiting {
    /// The submissions of one start of this node: none yet.
    pub(crate) fn new(origin: Origin) -> Self {
        let inner = Inner { last_serial: 0, slots: BTreeMap::new(), stopped: false };
        Self { origin, inner: Mutex::new(inner) }
    }

    /// Who submits.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// A new submission, to be answered by `deadline`.
    pub(crate) fn enter(
        &self,
        deadline: Instant,
    ) -> Result<(u64, oneshot::Receiver<Answer>), Unavailable> {
        let (answer, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Err(Unavailable::Stopped);
        }
        inner.last_serial += 1;
        let serial = inner.last_serial;
        inner.slots.insert(serial, Slot { deadline, answer, elsewhere: false, outcomes: None });
        Ok((serial, receiver))
    }

    /// The serial up to which nothing is awaited.
    pub(crate) fn settled(&self) -> u64 {
        let inner = self.inner.lock();
        inner.slots.first_key_value().map_or(inner.last_serial, |(serial, _)| serial - 1)
    }

    /// Whether a submission still waits.
    pub(crate) fn is_waiting(&self, serial: u64) -> bool {
        self.inner.lock().slots.contains_key(&serial)
    }

    /// Notes, before they are sent, that submissions go to another node.
    pub(crate) fn send_elsewhere(&self, serials: &[u64]) {
        self.mark(serials, true);
    }

    /// Notes that this node proposes them itself.
    pub(crate) fn keep_here(&self, serials: &[u64]) {
        self.mark(serials, false);
    }

    fn mark(&self, serials: &[u64], elsewhere: bool) {
        let mut inner = self.inner.lock();
        for serial in serials {
            if let Some(slot) = inner.slots.get_mut(serial) {
                slot.elsewhere = elsewhere;
            }
        }
    }

    /// The state machine of this node has applied a submission.
    pub(crate) fn applied(&self, serial: u64, outcomes: Vec<Outcome>) {
        let mut inner = self.inner.lock();
        let Some(slot) = inner.slots.get_mut(&serial) else { return };
        slot.outcomes = Some(outcomes);
        if !slot.elsewhere {
            inner.answer(serial);
        }
    }

    /// The leader has applied submissions.
    pub(crate) fn confirmed(&self, serials: &[u64]) {
        let mut inner = self.inner.lock();
        for serial in serials {
            if let Some(slot) = inner.slots.get_mut(serial) {
                slot.elsewhere = false;
                if slot.outcomes.is_some() {
                    inner.answer(*serial);
                }
            }
        }
    }

    /// Gives up what should have been answered by `now`.
    pub(crate) fn expire(&self, now: Instant) {
        let mut inner = self.inner.lock();
        // Serials are given out in the order of deadlines.
        while let Some(first) = inner.slots.first_entry()
            && first.get().deadline <= now
        {
            first.remove().fail(Unavailable::Indeterminate);
        }
    }

    /// After a snapshot took the place of entries that were never applied here: what they came to for
    /// this node's submissions is lost.
    pub(crate) fn skipped(&self, origins: &Origins) {
        let mut inner = self.inner.lock();
        let Origin { node, incarnation } = self.origin;
        let lost = |serial: u64| origins.was_applied(node, incarnation, serial) != Some(false);
        let serials: Vec<u64> =
            inner.slots.keys().copied().filter(|&serial| lost(serial)).collect();
        for serial in serials {
            if let Some(slot) = inner.slots.remove(&serial) {
                slot.fail(Unavailable::Indeterminate);
            }
        }
    }

    /// Answers everything that waits, now and from now on, with `Stopped`.
    pub(crate) fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        for slot in std::mem::take(&mut inner.slots).into_values() {
            slot.fail(Unavailable::Stopped);
        }
    }
}

impl Inner {
    fn answer(&mut self, serial: u64) {
        if let Some(slot) = self.slots.remove(&serial) {
            let outcomes = slot.outcomes.unwrap_or_default();
            // The client may have left meanwhile.
            let _gone = slot.answer.send(Ok(outcomes));
        }
    }
}

impl Slot {
    fn fail(self, why: Unavailable) {
        let _gone = self.answer.send(Err(why));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn waiting() -> Waiting {
        Waiting::new(Origin { node: 1, incarnation: 1 })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test]
    async fn what_this_node_proposes_is_answered_when_it_is_applied_here() {
        let waiting = waiting();
        let (serial, receiver) = waiting.enter(soon()).expect("running");
        waiting.applied(serial, vec![Outcome::Done]);
        assert_eq!(receiver.await, Ok(Ok(vec![Outcome::Done])));
        assert_eq!(waiting.settled(), serial);
    }

    #[tokio::test]
    async fn what_another_node_proposes_is_answered_when_both_have_applied_it() {
        for leader_first in [false, true] {
            let waiting = waiting();
            let (serial, mut receiver) = waiting.enter(soon()).expect("running");
            waiting.send_elsewhere(&[serial]);
            if leader_first {
                waiting.confirmed(&[serial]);
            } else {
                waiting.applied(serial, vec![Outcome::Nil]);
            }
            assert!(receiver.try_recv().is_err(), "answered by one of the two");
            assert_eq!(waiting.settled(), serial - 1);
            if leader_first {
                waiting.applied(serial, vec![Outcome::Nil]);
            } else {
                waiting.confirmed(&[serial]);
            }
            assert_eq!(receiver.await, Ok(Ok(vec![Outcome::Nil])));
        }
    }

    #[tokio::test]
    async fn what_is_late_is_given_up_and_settled() {
        let waiting = waiting();
        let now = Instant::now();
        let (_, first) = waiting.enter(now).expect("running");
        let (second, _second) = waiting.enter(now + Duration::from_secs(1)).expect("running");
        waiting.expire(now);
        assert_eq!(first.await, Ok(Err(Unavailable::Indeterminate)));
        assert!(waiting.is_waiting(second));
        assert_eq!(waiting.settled(), second - 1);
    }

    #[tokio::test]
    async fn what_a_snapshot_skipped_is_answered_as_unknown() {
        let waiting = waiting();
        let (serial, receiver) = waiting.enter(soon()).expect("running");
        let (other, _other) = waiting.enter(soon()).expect("running");
        let mut origins = Origins::default();
        let ops = bytes::Bytes::new();
        let origin = waiting.origin();
        origins.admit(&crate::cluster::entry::Submission { origin, serial, settled: 0, ops });
        waiting.skipped(&origins);
        assert_eq!(receiver.await, Ok(Err(Unavailable::Indeterminate)));
        assert!(waiting.is_waiting(other));
    }

    #[tokio::test]
    async fn a_stopped_node_answers_at_once() {
        let waiting = waiting();
        let (_, receiver) = waiting.enter(soon()).expect("running");
        waiting.stop();
        assert_eq!(receiver.await, Ok(Err(Unavailable::Stopped)));
        assert_eq!(waiting.enter(soon()).err(), Some(Unavailable::Stopped));
    }
}
