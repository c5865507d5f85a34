//! What this node submitted and has no answer to yet: the ops, who waits for them, and which are to be
//! sent on next.
//!
//! A submission is answered with the outcomes of its ops, which come out of this node's own state machine
//! when the entry is applied here. When another node leads, that is not enough: a read on the leader
//! must show the write from the moment it is acknowledged, so the leader has to say that it has applied
//! it, too. When this node leads, its own apply is the leader's.
//!
//! Connections put submissions in from their own threads, and the proposer takes out all there are: it is
//! woken for the first one only, and so is a connections' thread when answers come ([`Post`]).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use hallpass_engine::Outcome;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::entry::Origin;
use super::onlooker::{Beside, Onlooker};
use super::origins::Origins;
use super::post::{Letter, Post};

/// Bytes of ops that may wait; past it, new submissions are refused.
const WAITING_BYTES_MAX: usize = 256 << 20;

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
    #[error("this node is stopping; a write that was under way may or may not take effect")]
    Stopped,
}

/// The answer to a submission.
pub(crate) type Answer = Result<Vec<Outcome>, Unavailable>;

/// The submissions of this node that have no answer yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    origin: Origin,
    inner: Mutex<Inner>,
    /// Told when something is to be sent on.
    queued: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// The serial of the first slot, less one: everything up to it is settled.
    settled: u64,
    /// Consecutive serials. Those settled out of order stay until they are the first.
    slots: VecDeque<Slot>,
    /// Bytes of all slots' ops.
    bytes: usize,
    /// To be sent on, in no particular order: nobody waits for two at a time.
    queue: VecDeque<u64>,
    stopped: bool,
}

#[derive(Debug)]
struct Slot {
    deadline: Instant,
    ops: Bytes,
    /// `None` once it is answered or given up.
    letter: Option<Letter>,
    queued: bool,
    /// Whether it went to another node, which has not said that it applied it.
    elsewhere: bool,
    /// Who looks on while it is applied here.
    onlooker: Option<Beside>,
    /// What came out of the state machine here.
    outcomes: Option<Vec<Outcome>>,
}

impl Waiting {
    /// The submissions of one start of this node: none yet.
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, inner: Mutex::default(), queued: Notify::new() }
    }

    /// Who submits.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Queues a submission, to be answered by `deadline`, through `post` if the answer comes from there.
    pub(crate) fn submit(
        &self,
        ops: Bytes,
        deadline: Instant,
        post: Option<&Arc<Post>>,
        onlooker: Option<Box<dyn Onlooker>>,
    ) -> Result<oneshot::Receiver<Answer>, Unavailable> {
        let (letter, receiver) = Letter::new(post);
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Err(Unavailable::Stopped);
        }
        if inner.bytes + ops.len() > WAITING_BYTES_MAX {
            return Err(Unavailable::Overloaded);
        }
        inner.bytes += ops.len();
        let letter = Some(letter);
        let (queued, elsewhere, onlooker) = (true, false, onlooker.map(Beside));
        let slot = Slot { deadline, ops, letter, queued, elsewhere, onlooker, outcomes: None };
        inner.slots.push_back(slot);
        let serial = inner.settled + inner.slots.len() as u64;
        inner.queue.push_back(serial);
        drop(inner);
        self.queued.notify_one();
        Ok(receiver)
    }

    /// Waits until something is to be sent on.
    pub(crate) async fn some_queued(&self) {
        self.queued.notified().await;
    }

    /// Whether something is to be sent on.
    pub(crate) fn is_queued(&self) -> bool {
        !self.inner.lock().queue.is_empty()
    }

    /// Whether nothing waits at all.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.lock().slots.is_empty()
    }

    /// Takes what is to be sent on, until it is more than `bytes_max`, and gives each to `send`: its serial,
    /// the serial up to which nothing is awaited, and its ops. `elsewhere` says that they go to another
    /// node. The serials that were taken.
    pub(crate) fn take(
        &self,
        elsewhere: bool,
        bytes_max: usize,
        mut send: impl FnMut(u64, u64, &Bytes),
    ) -> Vec<u64> {
        let inner = &mut *self.inner.lock();
        let settled = inner.settled;
        let mut taken = Vec::with_capacity(inner.queue.len());
        let mut bytes = 0;
        while bytes <= bytes_max
            && let Some(serial) = inner.queue.pop_front()
        {
            let Some(slot) = slot_of(&mut inner.slots, settled, serial) else { continue };
            slot.queued = false;
            if slot.letter.is_none() {
                continue;
            }
            slot.elsewhere = elsewhere;
            bytes += slot.ops.len();
            send(serial, settled, &slot.ops);
            taken.push(serial);
        }
        taken
    }

    /// Queues again those of `serials` that somebody still waits for.
    pub(crate) fn again(&self, serials: &[u64]) {
        let inner = &mut *self.inner.lock();
        for serial in serials {
            if let Some(slot) = slot_of(&mut inner.slots, inner.settled, *serial)
                && slot.letter.is_some()
                && !std::mem::replace(&mut slot.queued, true)
            {
                inner.queue.push_back(*serial);
            }
        }
    }

    /// Queues everything again: what is on its way may never be heard of.
    pub(crate) fn all_again(&self) {
        let inner = &mut *self.inner.lock();
        for (serial, slot) in (inner.settled + 1..).zip(&mut inner.slots) {
            if slot.letter.is_some() && !std::mem::replace(&mut slot.queued, true) {
                inner.queue.push_back(serial);
            }
        }
    }

    /// Who looks on while a submission is applied: to be asked once, by the state machine.
    pub(crate) fn onlooker(&self, serial: u64) -> Option<Box<dyn Onlooker>> {
        let inner = &mut *self.inner.lock();
        let slot = slot_of(&mut inner.slots, inner.settled, serial)?;
        slot.onlooker.take().map(|Beside(onlooker)| onlooker)
    }

    /// The state machine of this node has applied submissions, and came to these outcomes, which are taken.
    pub(crate) fn applied(&self, outcomes: &mut Vec<(u64, Vec<Outcome>)>) {
        let inner = &mut *self.inner.lock();
        let mut posts = Posts::default();
        for (serial, outcomes) in outcomes.drain(..) {
            let Some(slot) = slot_of(&mut inner.slots, inner.settled, serial) else { continue };
            if slot.elsewhere {
                slot.outcomes = Some(outcomes);
            } else {
                slot.answer(Ok(outcomes), &mut inner.bytes, &mut posts);
            }
        }
        inner.settle();
        posts.deliver();
    }

    /// The leader has applied submissions.
    pub(crate) fn confirmed(&self, serials: &[u64]) {
        let inner = &mut *self.inner.lock();
        let mut posts = Posts::default();
        for serial in serials {
            let Some(slot) = slot_of(&mut inner.slots, inner.settled, *serial) else { continue };
            slot.elsewhere = false;
            if let Some(outcomes) = slot.outcomes.take() {
                slot.answer(Ok(outcomes), &mut inner.bytes, &mut posts);
            }
        }
        inner.settle();
        posts.deliver();
    }

    /// Gives up what should have been answered by `now`.
    pub(crate) fn expire(&self, now: Instant) {
        self.fail(Unavailable::Indeterminate, |_, slot| slot.deadline <= now);
    }

    /// After a snapshot took the place of entries that were never applied here: what they came to for
    /// this node's submissions is lost.
    pub(crate) fn skipped(&self, origins: &Origins) {
        let Origin { node, incarnation } = self.origin;
        self.fail(Unavailable::Indeterminate, |serial, _| {
            origins.was_applied(node, incarnation, serial) != Some(false)
        });
    }

    /// Answers everything that waits, now and from now on, with `Stopped`.
    pub(crate) fn stop(&self) {
        self.inner.lock().stopped = true;
        self.fail(Unavailable::Stopped, |_, _| true);
    }

    fn fail(&self, why: Unavailable, which: impl Fn(u64, &Slot) -> bool) {
        let inner = &mut *self.inner.lock();
        let mut posts = Posts::default();
        for (serial, slot) in (inner.settled + 1..).zip(&mut inner.slots) {
            if slot.letter.is_some() && which(serial, slot) {
                slot.answer(Err(why), &mut inner.bytes, &mut posts);
            }
        }
        inner.settle();
        posts.deliver();
    }
}

fn slot_of(slots: &mut VecDeque<Slot>, settled: u64, serial: u64) -> Option<&mut Slot> {
    slots.get_mut(serial.checked_sub(settled + 1)? as usize)
}

impl Inner {
    /// Lets go of the slots at the front that are answered.
    fn settle(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.letter.is_none()) {
            self.slots.pop_front();
            self.settled += 1;
        }
    }
}

impl Slot {
    fn answer(&mut self, answer: Answer, bytes: &mut usize, posts: &mut Posts) {
        if let Some(letter) = self.letter.take() {
            *bytes -= std::mem::take(&mut self.ops).len();
            posts.put(letter, answer);
        }
    }
}

/// Answers on their way, and which threads are to be told.
#[derive(Default)]
struct Posts {
    told: Vec<Arc<Post>>,
}

impl Posts {
    fn put(&mut self, letter: Letter, answer: Answer) {
        if let Some(post) = letter.send(answer)
            && !self.told.iter().any(|told| Arc::ptr_eq(told, &post))
        {
            self.told.push(post);
        }
    }

    fn deliver(self) {
        self.told.iter().for_each(|post| post.deliver());
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

    /// A submission, and what waits for it; it counts from 1.
    fn submitted(waiting: &Waiting) -> oneshot::Receiver<Answer> {
        waiting.submit(Bytes::from_static(b"ops"), soon(), None, None).expect("running")
    }

    fn taken(waiting: &Waiting, elsewhere: bool) -> Vec<u64> {
        waiting.take(elsewhere, usize::MAX, |_, _, _| {})
    }

    fn applied(waiting: &Waiting, serial: u64, outcome: Outcome) {
        waiting.applied(&mut vec![(serial, vec![outcome])]);
    }

    fn settled(waiting: &Waiting) -> u64 {
        waiting.inner.lock().settled
    }

    #[tokio::test]
    async fn what_this_node_proposes_is_answered_when_it_is_applied_here() {
        let waiting = waiting();
        let receiver = submitted(&waiting);
        assert_eq!(taken(&waiting, false), [1]);
        applied(&waiting, 1, Outcome::Done);
        assert_eq!(receiver.await, Ok(Ok(vec![Outcome::Done])));
        assert_eq!(settled(&waiting), 1);
        assert_eq!(waiting.inner.lock().bytes, 0);
    }

    #[tokio::test]
    async fn what_another_node_proposes_is_answered_when_both_have_applied_it() {
        for leader_first in [false, true] {
            let waiting = waiting();
            let mut receiver = submitted(&waiting);
            assert_eq!(taken(&waiting, true), [1]);
            if leader_first {
                waiting.confirmed(&[1]);
            } else {
                applied(&waiting, 1, Outcome::Nil);
            }
            assert!(receiver.try_recv().is_err(), "answered by one of the two");
            assert_eq!(settled(&waiting), 0);
            if leader_first {
                applied(&waiting, 1, Outcome::Nil);
            } else {
                waiting.confirmed(&[1]);
            }
            assert_eq!(receiver.await, Ok(Ok(vec![Outcome::Nil])));
        }
    }

    /// It went to a leader that fell, is in the log nevertheless, and this node leads now.
    #[tokio::test]
    async fn what_was_applied_for_another_leader_is_answered_when_it_is_proposed_again() {
        let waiting = waiting();
        let receiver = submitted(&waiting);
        taken(&waiting, true);
        applied(&waiting, 1, Outcome::Done);
        waiting.all_again();
        assert_eq!(taken(&waiting, false), [1]);
        waiting.confirmed(&[1]);
        assert_eq!(receiver.await, Ok(Ok(vec![Outcome::Done])));
    }

    #[tokio::test]
    async fn what_is_late_is_given_up_and_settled() {
        let waiting = waiting();
        let now = Instant::now();
        let first = waiting.submit(Bytes::new(), now, None, None).expect("running");
        let mut second = submitted(&waiting);
        waiting.expire(now);
        assert_eq!(first.await, Ok(Err(Unavailable::Indeterminate)));
        assert!(second.try_recv().is_err());
        assert_eq!(settled(&waiting), 1);
        assert_eq!(taken(&waiting, false), [2], "nobody waits for the first any more");
    }

    #[tokio::test]
    async fn what_is_sent_on_is_queued_once_however_often_it_is_asked_for() {
        let waiting = waiting();
        let _receivers = [submitted(&waiting), submitted(&waiting)];
        waiting.some_queued().await;
        assert_eq!(taken(&waiting, false), [1, 2]);
        assert!(!waiting.is_queued());
        waiting.again(&[2]);
        waiting.all_again();
        assert_eq!(taken(&waiting, false), [2, 1]);
    }

    #[tokio::test]
    async fn what_is_sent_on_at_a_time_is_bounded() {
        let waiting = waiting();
        let _receivers: Vec<_> = (0..5).map(|_| submitted(&waiting)).collect();
        assert_eq!(waiting.take(false, 6, |_, _, _| {}), [1, 2, 3]);
        assert_eq!(waiting.take(false, 6, |_, _, _| {}), [4, 5]);
    }

    #[tokio::test]
    async fn what_a_snapshot_skipped_is_answered_as_unknown() {
        let waiting = waiting();
        let (first, mut second) = (submitted(&waiting), submitted(&waiting));
        let mut origins = Origins::default();
        let origin = waiting.origin();
        let ops = Bytes::new();
        origins.admit(&crate::cluster::entry::Submission { origin, serial: 1, settled: 0, ops });
        waiting.skipped(&origins);
        assert_eq!(first.await, Ok(Err(Unavailable::Indeterminate)));
        assert!(second.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_stopped_node_answers_at_once() {
        let waiting = waiting();
        let receiver = submitted(&waiting);
        waiting.stop();
        assert_eq!(receiver.await, Ok(Err(Unavailable::Stopped)));
        assert_eq!(
            waiting.submit(Bytes::new(), soon(), None, None).err(),
            Some(Unavailable::Stopped)
        );
    }

    #[tokio::test]
    async fn answers_come_through_the_post_together() {
        let waiting = waiting();
        let post = Arc::new(Post::default());
        let submit = || waiting.submit(Bytes::new(), soon(), Some(&post), None).expect("running");
        let (mut first, second) = (submit(), submit());
        waiting.applied(&mut vec![(1, vec![Outcome::Done]), (2, vec![Outcome::Nil])]);
        assert!(first.try_recv().is_err(), "not delivered yet");
        let delivering = Arc::clone(&post).run();
        tokio::pin!(delivering);
        tokio::select! {
            biased;
            () = &mut delivering => {}
            answer = second => assert_eq!(answer, Ok(Ok(vec![Outcome::Nil]))),
        }
        assert_eq!(first.try_recv(), Ok(Ok(vec![Outcome::Done])));
    }
}
