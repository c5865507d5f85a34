//! Bugs to plant: each breaks one promise, and the tests that watch over it have to see that.
//!
//! Only in builds with the feature `mutants`, and only the one bug that `HALLPASS_MUTANT` names when the
//! process starts, or that [`plant`] was given. In every other build `planted` is a constant `false`, so
//! that each place costs nothing, and a process that is told to plant a bug does not start.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("planted bugs have no place in a release build: drop the feature `mutants`");

/// The environment variable that names a bug.
const CHOICE: &str = "HALLPASS_MUTANT";

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// What is not applied within a moment is acknowledged all the same. A revoke that was acknowledged may
    /// never happen.
    AcknowledgeBeforeCommit = 1,
    /// Most batches of the log are acknowledged without a sync. A power loss takes what was acknowledged.
    AcknowledgeBeforeSync,
    /// A node that holds no lease answers reads from its memory without asking the leader. Reads are stale.
    ReadWithoutBarrier,
    /// A lease goes on until this node hears of another leader. A leader that was paused answers from the past.
    LeaseIgnoresPause,
    /// A node whose state comes from a snapshot lacks the revokes that came next to it. What was revoked is back.
    SnapshotOmitsRevocations,
    /// Entries are applied at the node's own time and not at the one they carry. Nodes disagree on deadlines,
    /// and what a log is applied from again lives anew.
    ExpiryByLocalClock,
    /// A submission that lies in the log twice is applied twice. A late second time undoes what came in between.
    RetryAppliedTwice,
    /// A vote is given without writing it down. A node that starts again votes for somebody else in that term.
    VoteNotPersisted,
    /// A record that a power loss has torn is taken as it is. What was never acknowledged becomes part of the log.
    TornTailAccepted,
}

/// All bugs, by the names that choose them.
pub const ALL: [(&str, Mutant); 9] = [
    ("acknowledge-before-commit", Mutant::AcknowledgeBeforeCommit),
    ("acknowledge-before-sync", Mutant::AcknowledgeBeforeSync),
    ("read-without-barrier", Mutant::ReadWithoutBarrier),
    ("lease-ignores-pause", Mutant::LeaseIgnoresPause),
    ("snapshot-omits-revocations", Mutant::SnapshotOmitsRevocations),
    ("expiry-by-local-clock", Mutant::ExpiryByLocalClock),
    ("retry-applied-twice", Mutant::RetryAppliedTwice),
    ("vote-not-persisted", Mutant::VoteNotPersisted),
    ("torn-tail-accepted", Mutant::TornTailAccepted),
];

/// Why a bug was not planted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MutantError {
    /// No bug has that name.
    #[error("{CHOICE}: there is no planted bug '{0}'; there are {names}", names = names())]
    Unknown(String),
    /// This build has none.
    #[error("{CHOICE}: this build has no planted bugs; build it with the feature `mutants`")]
    NotBuilt,
}

fn names() -> String {
    ALL.map(|(name, _)| name).join(", ")
}

/// Plants the bug that the environment names, if it names one.
pub(crate) fn plant_from_environment() -> Result<(), MutantError> {
    match std::env::var(CHOICE) {
        Ok(name) => plant(Some(&name)),
        Err(_) => Ok(()),
    }
}

pub use self::build::plant;
pub(crate) use self::build::{acknowledge, installed, omits, planted, skips_sync, stamp};

#[cfg(feature = "mutants")]
mod build {
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    use hallpass_engine::{Op, Outcome, Stamp};
    use tokio::sync::oneshot;

    use super::{ALL, Mutant, MutantError};
    use crate::cluster::waiting::{Answer, Unavailable};

    /// The planted bug; 0 for none.
    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants a bug in this process, for all its nodes, or none.
    pub fn plant(name: Option<&str>) -> Result<(), MutantError> {
        let known = |name: &str| ALL.iter().find(|(known, _)| *known == name);
        let chosen = match name {
            None => 0,
            Some(name) => {
                let (_, mutant) = known(name).ok_or(MutantError::Unknown(name.to_owned()))?;
                *mutant as u8
            }
        };
        PLANTED.store(chosen, Relaxed);
        Ok(())
    }

    /// Whether this bug is planted.
    pub(crate) fn planted(mutant: Mutant) -> bool {
        PLANTED.load(Relaxed) == mutant as u8
    }

    /// Waits for a submission's answer; planted, not for long: then it was one revoke that found a session.
    pub(crate) async fn acknowledge(answer: oneshot::Receiver<Answer>) -> Answer {
        if !planted(Mutant::AcknowledgeBeforeCommit) {
            return answer.await.unwrap_or(Err(Unavailable::Stopped));
        }
        match tokio::time::timeout(Duration::from_millis(3), answer).await {
            Ok(answer) => answer.unwrap_or(Err(Unavailable::Stopped)),
            Err(_) => Ok(vec![Outcome::Integer(1)]),
        }
    }

    /// Whether a batch of the log is not synced: 15 of 16 are not.
    pub(crate) fn skips_sync() -> bool {
        static BATCHES: AtomicU64 = AtomicU64::new(0);
        planted(Mutant::AcknowledgeBeforeSync) && BATCHES.fetch_add(1, Relaxed) % 16 != 15
    }

    /// When an entry is applied: at its own stamp, or planted, at this node's time.
    pub(crate) fn stamp(of_entry: Stamp) -> Stamp {
        if planted(Mutant::ExpiryByLocalClock) {
            return Stamp::from_millis(crate::clock::wall_micros() / 1000);
        }
        of_entry
    }

    /// Ops after a snapshot whose revokes it lacks.
    const OPS_NEXT_TO_SNAPSHOT: u64 = 64;
    static OPS_LEFT: AtomicU64 = AtomicU64::new(0);

    /// A snapshot was installed.
    pub(crate) fn installed() {
        OPS_LEFT.store(OPS_NEXT_TO_SNAPSHOT, Relaxed);
    }

    /// Whether an op is left out, being a revoke next to a snapshot.
    pub(crate) fn omits(op: &Op<'_>) -> bool {
        if !planted(Mutant::SnapshotOmitsRevocations) {
            return false;
        }
        let left = OPS_LEFT.load(Relaxed);
        OPS_LEFT.store(left.saturating_sub(1), Relaxed);
        let revokes = matches!(
            op,
            Op::SessionRevoke { .. }
                | Op::SessionRevokeOwned { .. }
                | Op::SessionRevokeUser { .. }
                | Op::SessionRevokeAll
        );
        left > 0 && revokes
    }
}

#[cfg(not(feature = "mutants"))]
mod build {
    use hallpass_engine::{Op, Stamp};
    use tokio::sync::oneshot;

    use super::{Mutant, MutantError};
    use crate::cluster::waiting::{Answer, Unavailable};

    /// Plants a bug: not in this build.
    pub fn plant(name: Option<&str>) -> Result<(), MutantError> {
        name.map_or(Ok(()), |_| Err(MutantError::NotBuilt))
    }

    pub(crate) const fn planted(_mutant: Mutant) -> bool {
        false
    }

    pub(crate) async fn acknowledge(answer: oneshot::Receiver<Answer>) -> Answer {
        answer.await.unwrap_or(Err(Unavailable::Stopped))
    }

    pub(crate) const fn skips_sync() -> bool {
        false
    }

    pub(crate) const fn stamp(of_entry: Stamp) -> Stamp {
        of_entry
    }

    pub(crate) const fn installed() {}

    pub(crate) const fn omits(_op: &Op<'_>) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_is_answered_with_all_that_are() {
        let refused = plant(Some("no-such-bug")).expect_err("nothing is planted").to_string();
        if cfg!(feature = "mutants") {
            assert!(ALL.iter().all(|(name, _)| refused.contains(name)), "{refused}");
        } else {
            assert!(refused.contains("feature `mutants`"), "{refused}");
        }
    }
}
