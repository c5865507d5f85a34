//! CLIENT PAUSE: for a while, all commands or only the writing ones wait.

use std::sync::atomic::{AtomicU64, Ordering};

use hallpass_engine::Stamp;
use parking_lot::Mutex;

use crate::command::spec::{CommandSpec, Flags};

/// The pause in effect. Checking it costs one load while there is none.
#[derive(Debug, Default)]
pub struct Pause {
    /// When the longest pause ends, in milliseconds; 0 without one.
    until_millis: AtomicU64,
    ends: Mutex<Ends>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    /// Pauses everything.
    all_millis: u64,
    /// Pauses writes.
    write_millis: u64,
}

impl Pause {
    /// Pauses until `until`; an earlier, longer pause of the same kind stays.
    pub fn begin(&self, until: Stamp, writes_only: bool) {
        let mut ends = self.ends.lock();
        let end = if writes_only { &mut ends.write_millis } else { &mut ends.all_millis };
        *end = (*end).max(until.millis());
        self.until_millis.store(ends.all_millis.max(ends.write_millis), Ordering::Release);
    }

    /// CLIENT UNPAUSE.
    pub fn end(&self) {
        *self.ends.lock() = Ends::default();
        self.until_millis.store(0, Ordering::Release);
    }

    /// Whether there is a pause of any kind.
    #[inline]
    pub fn is_on(&self, now: Stamp) -> bool {
        self.until_millis.load(Ordering::Acquire) > now.millis()
    }

    /// Until when `command` has to wait, if it has to.
    #[inline]
    pub fn holds(&self, command: &CommandSpec, now: Stamp) -> Option<Stamp> {
        if !self.is_on(now) {
            return None;
        }
        let until = self.until(Self::is_writing(command));
        // CLIENT itself goes through, or nobody could end the pause.
        let exempt = command.flags.has(Flags::NO_AUTH) || command.group == "connection";
        (until > now.millis() && !exempt).then(|| Stamp::from_millis(until))
    }

    /// Whether a pause of writes holds a command: what is published is held with the writes it tells of, as
    /// in Redis.
    pub fn is_writing(command: &CommandSpec) -> bool {
        command.flags.has(Flags::WRITE) || command.flags.has(Flags::PUBSUB.with(Flags::FAST))
    }

    /// Until when an EXEC has to wait whose requests write something.
    #[cold]
    pub fn holds_writes(&self, now: Stamp) -> Option<Stamp> {
        let until = self.until(true);
        (until > now.millis()).then(|| Stamp::from_millis(until))
    }

    fn until(&self, writes: bool) -> u64 {
        let ends = *self.ends.lock();
        if writes { ends.all_millis.max(ends.write_millis) } else { ends.all_millis }
    }
}
