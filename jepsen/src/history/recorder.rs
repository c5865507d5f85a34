//! Writes a history down while it happens. Shared by all clients; a line's place is its order.
//!
//! An invocation is recorded before its first byte is sent and an end after its last byte has come, so an
//! operation takes effect between its two lines or never.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{History, Kind, Op, Process};

/// The history of a run under way.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    ops: Mutex<Vec<Op>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { began: Instant::now(), ops: Mutex::default() }
    }
}

impl Recorder {
    /// Since the run began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Appends a line.
    pub fn record(
        &self,
        process: Process,
        kind: Kind,
        f: &str,
        value: Value,
        node: u64,
        error: Option<String>,
    ) {
        let mut ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock is read under the lock: times and places agree.
        let time = self.began.elapsed().as_nanos() as u64;
        let index = ops.len() as u64;
        ops.push(Op { index, time, process, kind, f: f.to_owned(), value, node, error });
    }

    /// What was recorded so far.
    pub fn history(&self) -> History {
        History { ops: self.ops.lock().unwrap_or_else(PoisonError::into_inner).clone() }
    }
}
