//! What a read of a session does about its idle limit: nothing, move it, or say that it should be moved.
//!
//! Alone, a read moves the idle deadline itself: one store (promise 5). A node that keeps the same state
//! as others may change it by ops of the log only, so there a read stores nothing and tells its caller
//! when a [`crate::Op::SessionTouch`] is due: not at each read, but once the deadline would move by more
//! than a part of the idle limit, the slack. A session may then end up to the slack early, never late.

use std::cell::Cell;

use crate::op::Limits;
use crate::session::read::touch_record;
use crate::store::record::Record;
use crate::store::shard::Shard;
use crate::time::Stamp;

/// Without an idle limit only what is shown as last seen is at stake: true to the minute.
const SLACK_WITHOUT_IDLE_MILLIS: u64 = 60_000;

/// What a read of a session does about its idle limit.
#[derive(Clone, Copy, Debug)]
pub enum Touch<'a> {
    /// Nothing: the session counts as not seen.
    No,
    /// Moves the idle deadline at once, outside of any log.
    Now,
    /// Stores nothing and says whether a touch is due, for the caller to propose.
    Due {
        /// The idle limit is divided by this: by less than that the deadline may lag behind. With 0 every
        /// touch is due that moves it by a millisecond.
        slack_divisor: u32,
        /// Set by the read: whether a touch is due. A session that is not live needs none.
        due: &'a Cell<bool>,
    },
}

impl Touch<'_> {
    /// Does to a live session what the read of it is to do.
    #[inline]
    pub(crate) fn apply(self, live: Option<(&Shard, Record)>, now: Stamp) {
        match self {
            Self::No => {}
            Self::Now => {
                if let Some((_, record)) = live {
                    touch_record(record, now);
                }
            }
            Self::Due { slack_divisor, due } => due.set(live.is_some_and(|(shard, record)| {
                let (seen, _) = record.seen();
                is_due(shard.limits_of(record), now.millis_since(seen), slack_divisor)
            })),
        }
    }
}

/// Whether a touch is due for a session that was last seen so long ago.
fn is_due(limits: Limits, unseen_millis: u64, slack_divisor: u32) -> bool {
    let idle_millis = u64::from(limits.idle_seconds) * 1000;
    let slack_millis = match (idle_millis, slack_divisor) {
        (_, 0) => 0,
        (0, _) => SLACK_WITHOUT_IDLE_MILLIS,
        (idle_millis, divisor) => idle_millis / u64::from(divisor),
    };
    unseen_millis > slack_millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touch_is_due_past_the_slack() {
        let limits = |idle_seconds| Limits { idle_seconds, lifetime_seconds: 0 };
        for (idle, divisor, slack) in [
            (1600, 16, 100_000),
            (1, 16, 62),
            (1, u32::MAX, 0),
            (1600, 0, 0),
            (1600, 1, 1_600_000),
            (0, 16, 60_000),
            (0, 0, 0),
            (u32::MAX, 1, 4_294_967_295_000),
        ] {
            assert!(!is_due(limits(idle), slack, divisor), "{idle} / {divisor}");
            assert!(is_due(limits(idle), slack + 1, divisor), "{idle} / {divisor}");
        }
    }
}
