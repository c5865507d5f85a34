//! When a follower has to hear at once that entries are committed, and when that can wait for company.
//!
//! A commit that nothing follows costs a message of its own to each follower, and its answer: nearly as
//! much as the entries themselves. A follower whose clients wait for it gets it at once; any other with
//! the next entries, or a few milliseconds later.
//!
//! And while anything is unanswered, only entries are sent. openraft takes an answer for that of every
//! request so far that ends with the same entry, and begins the leader's lease when the last of them was
//! sent: a leader that was stopped, and finds an old answer when it goes on, would count it for news it
//! has only just sent, and answer from the past.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::cluster::types::NodeId;

/// How long a follower that nobody asks may wait to hear of a commit.
const HOLD: Duration = Duration::from_millis(5);
/// How long a follower counts as asked after it sent its clients' requests on.
const ASKED: Duration = Duration::from_millis(100);

/// What is known of one node's followers, and of the end of its log.
#[derive(Debug, Default)]
pub(crate) struct Urgency {
    /// The last entry's index.
    last: watch::Sender<u64>,
    asked: Mutex<BTreeMap<NodeId, Instant>>,
}

/// When something was last sent to one follower, and what.
#[derive(Debug)]
pub(crate) struct Pace {
    node: NodeId,
    last: watch::Receiver<u64>,
    sent: u64,
    hold_until: Instant,
}

impl Urgency {
    /// The log ends with another entry.
    pub(crate) fn appended(&self, index: u64) {
        self.last.send_replace(index);
    }

    /// A follower's clients wait for what is committed.
    pub(crate) fn asked(&self, node: NodeId) {
        self.asked.lock().insert(node, Instant::now());
        self.last.send_modify(|_| ());
    }

    fn is_asked(&self, node: NodeId) -> bool {
        self.asked.lock().get(&node).is_some_and(|asked| asked.elapsed() < ASKED)
    }

    /// The pace of messages to one follower.
    pub(crate) fn pace(&self, node: NodeId) -> Pace {
        Pace { node, last: self.last.subscribe(), sent: 0, hold_until: Instant::now() }
    }
}

impl Pace {
    /// Notes that entries up to an index were sent, or nothing but news of a commit.
    pub(crate) fn sent(&mut self, last: Option<u64>) {
        self.sent = self.sent.max(last.unwrap_or(0));
        self.hold_until = Instant::now() + HOLD;
    }

    /// Waits until there is something to send that should not wait; `all_answered` says that nothing sent
    /// before still waits for its answer.
    pub(crate) async fn due(&mut self, urgency: &Urgency, all_answered: bool) {
        let (node, sent) = (self.node, self.sent);
        if !all_answered {
            // An error means that the node is stopping: openraft then ends this, too.
            let _more = self.last.wait_for(|last| *last > sent).await;
            return;
        }
        let due = self.last.wait_for(|last| *last > sent || urgency.is_asked(node));
        tokio::select! {
            biased;
            _ = due => {}
            () = sleep_until(self.hold_until) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Whether something is due, though the hold is not over.
    fn is_due(pace: &mut Pace, urgency: &Urgency) -> bool {
        pace.hold_until = Instant::now() + Duration::from_mins(1);
        pace.due(urgency, true).now_or_never().is_some()
    }

    #[tokio::test]
    async fn news_of_a_commit_waits_for_entries_or_for_a_client() {
        let urgency = Urgency::default();
        let mut pace = urgency.pace(2);
        urgency.appended(7);
        assert!(is_due(&mut pace, &urgency));
        pace.sent(Some(7));
        assert!(!is_due(&mut pace, &urgency));
        urgency.asked(3);
        assert!(!is_due(&mut pace, &urgency), "it is another that was asked");
        urgency.appended(8);
        assert!(is_due(&mut pace, &urgency));
        pace.sent(Some(8));
        urgency.asked(2);
        assert!(is_due(&mut pace, &urgency));
        pace.sent(None);
        assert!(is_due(&mut pace, &urgency), "its clients wait for the next, too");
        let unanswered = pace.due(&urgency, false).now_or_never();
        assert!(unanswered.is_none(), "news went out behind an unanswered request");
        urgency.appended(9);
        assert!(pace.due(&urgency, false).now_or_never().is_some(), "entries may");
    }

    #[tokio::test]
    async fn it_does_not_wait_for_long() {
        let urgency = Urgency::default();
        let mut pace = urgency.pace(2);
        pace.due(&urgency, true).await;
        pace.sent(Some(1));
        pace.due(&urgency, true).await;
        assert!(Instant::now() >= pace.hold_until);
    }
}
