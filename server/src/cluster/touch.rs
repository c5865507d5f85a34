//! Touches, gathered: which sessions were seen so much later than the log knows that it has to be told.
//!
//! A read that finds a session whose last touch in the log is older than the slack notes its id here and
//! goes on. One task submits what has gathered, many sessions at a time; a session is noted once
//! however often it is read meanwhile. A touch that gets lost with a leader is noted again by the next
//! read: the session may then end up to the slack early, never late.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallpass_engine::{Op, SessionHash};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::propose::Proposer;

/// What is noted within so long goes into one submission.
const GATHER: Duration = Duration::from_millis(10);
/// Sessions of one submission.
const SESSIONS_MAX: usize = 4096;
/// Sessions that may be noted; past it, further ones wait for the next read.
const NOTED_MAX: usize = 1 << 20;

/// The touches of one node that are not in the log yet.
#[derive(Debug, Default)]
pub(crate) struct Touches {
    noted: Mutex<Noted>,
    some: Notify,
}

#[derive(Debug, Default)]
struct Noted {
    /// Noted and not yet submitted, in no order: touches commute.
    waiting: Vec<SessionHash>,
    /// Those, and the ones on their way.
    known: BTreeSet<SessionHash>,
}

impl Touches {
    /// Notes sessions.
    pub(crate) fn note(&self, sessions: &[SessionHash]) {
        let mut noted = self.noted.lock();
        for &session in sessions {
            if noted.known.len() < NOTED_MAX && noted.known.insert(session) {
                noted.waiting.push(session);
            }
        }
        drop(noted);
        self.some.notify_one();
    }

    fn take(&self) -> Vec<SessionHash> {
        let mut noted = self.noted.lock();
        let rest = noted.waiting.len().saturating_sub(SESSIONS_MAX);
        noted.waiting.split_off(rest)
    }

    fn done(&self, sessions: &[SessionHash]) {
        let mut noted = self.noted.lock();
        for session in sessions {
            noted.known.remove(session);
        }
    }

    /// Submits what is noted, until the node stops.
    pub(crate) async fn run(self: Arc<Self>, proposer: Proposer, patience: Duration) {
        loop {
            self.some.notified().await;
            tokio::time::sleep(GATHER).await;
            loop {
                let sessions = self.take();
                if sessions.is_empty() {
                    break;
                }
                let mut ops = Vec::with_capacity(18 * sessions.len());
                for id in &sessions {
                    Op::SessionTouch { id: *id }.encode(&mut ops);
                }
                // Lost touches are noted again: see the file's head.
                let _lost = proposer.submit(Bytes::from(ops), patience, None, None).await;
                self.done(&sessions);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_noted_once_until_its_touch_is_in_the_log() {
        let touches = Touches::default();
        let (a, b) = (SessionHash([1; 16]), SessionHash([2; 16]));
        touches.note(&[a, b, a]);
        touches.note(&[a]);
        let taken = touches.take();
        assert_eq!(taken.len(), 2);
        touches.note(&[a]);
        assert!(touches.take().is_empty(), "noted again while on its way");
        touches.done(&taken);
        touches.note(&[a]);
        assert_eq!(touches.take(), [a]);
    }

    #[test]
    fn submissions_are_bounded() {
        let touches = Touches::default();
        let id = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_le_bytes());
            SessionHash(id)
        };
        touches.note(&(0..10_000).map(id).collect::<Vec<_>>());
        let sizes: Vec<usize> =
            std::iter::from_fn(|| Some(touches.take().len()).filter(|taken| *taken > 0)).collect();
        assert_eq!(sizes, [4096, 4096, 1808]);
    }
}
