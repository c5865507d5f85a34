//! Exactly once: which submissions have been applied, so that one that lies in the log twice is not
//! applied twice.
//!
//! Part of the replicated state: it changes only by what the log says, and it is in every snapshot. For
//! each node the latest start counts; a submission of an earlier start was answered by nobody, so it is
//! dropped. Of the latest start all serials up to `settled` are over, and of those above it the applied
//! ones are remembered: as many as the node had under way at one time.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::entry::Submission;
use super::mutant::{self, Mutant};
use super::types::NodeId;

/// What has been applied, by node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origins {
    nodes: BTreeMap<NodeId, Applied>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Applied {
    incarnation: u64,
    settled: u64,
    /// Applied serials above `settled`, in order: nearly always they come in order, too.
    serials: VecDeque<u64>,
}

impl Origins {
    /// Whether a submission is to be applied now; it is then taken as applied.
    pub(crate) fn admit(&mut self, submission: &Submission) -> bool {
        let applied = self.nodes.entry(submission.origin.node).or_default();
        let incarnation = submission.origin.incarnation;
        if incarnation < applied.incarnation {
            return false;
        }
        if incarnation > applied.incarnation {
            *applied = Applied { incarnation, ..Applied::default() };
        }
        if submission.settled > applied.settled {
            applied.settled = submission.settled;
            let over = applied.serials.partition_point(|serial| *serial <= submission.settled);
            applied.serials.drain(..over);
        }
        (submission.serial > applied.settled && applied.insert(submission.serial))
            || mutant::planted(Mutant::RetryAppliedTwice)
    }

    /// Whether a submission of the node's start `incarnation` was applied; `None` when that is not
    /// remembered.
    pub(crate) fn was_applied(&self, node: NodeId, incarnation: u64, serial: u64) -> Option<bool> {
        let applied = self.nodes.get(&node).filter(|applied| applied.incarnation == incarnation);
        match applied {
            None => Some(false),
            Some(applied) if serial <= applied.settled => None,
            Some(applied) => Some(applied.serials.binary_search(&serial).is_ok()),
        }
    }
}

impl Applied {
    /// False when it is there already.
    fn insert(&mut self, serial: u64) -> bool {
        if self.serials.back().is_none_or(|last| *last < serial) {
            self.serials.push_back(serial);
            return true;
        }
        match self.serials.binary_search(&serial) {
            Ok(_) => false,
            Err(place) => {
                self.serials.insert(place, serial);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cluster::entry::Origin;

    fn submission(incarnation: u64, serial: u64, settled: u64) -> Submission {
        Submission { origin: Origin { node: 1, incarnation }, serial, settled, ops: Bytes::new() }
    }

    #[test]
    fn a_submission_is_applied_once_however_often_it_comes() {
        let mut origins = Origins::default();
        assert!(origins.admit(&submission(1, 2, 0)));
        assert!(origins.admit(&submission(1, 1, 0)));
        assert!(!origins.admit(&submission(1, 2, 0)));
        assert!(!origins.admit(&submission(1, 1, 1)));
        assert!(origins.admit(&submission(1, 3, 1)));
    }

    #[test]
    fn what_was_given_up_is_not_applied_later() {
        let mut origins = Origins::default();
        assert!(origins.admit(&submission(1, 5, 4)));
        assert!(!origins.admit(&submission(1, 3, 2)));
        assert_eq!(origins.was_applied(1, 1, 3), None);
        assert_eq!(origins.was_applied(1, 1, 5), Some(true));
        assert_eq!(origins.was_applied(1, 1, 6), Some(false));
    }

    #[test]
    fn a_new_start_ends_what_the_old_one_had_under_way() {
        let mut origins = Origins::default();
        assert!(origins.admit(&submission(1, 7, 6)));
        assert!(origins.admit(&submission(2, 1, 0)));
        assert!(!origins.admit(&submission(1, 8, 6)));
        assert!(!origins.admit(&submission(2, 1, 0)));
    }

    #[test]
    fn only_what_is_under_way_is_remembered() {
        let mut origins = Origins::default();
        for serial in 1..=1000 {
            assert!(origins.admit(&submission(1, serial, serial.saturating_sub(10))));
        }
        assert!(origins.nodes[&1].serials.len() <= 10);
    }
}
