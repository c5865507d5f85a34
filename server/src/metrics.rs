//! Counters: each thread writes its own, INFO adds them up.
//!
//! A counter has one writer, so counting is a load and a store, never a locked instruction, and two
//! threads never share a cache line. Readers may see a sum that is a few commands old.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, RwLock};

/// How many different error codes are counted, as in Redis: beyond it a client could fill memory.
const ERROR_CODES_MAX: usize = 128;

/// A number only one thread adds to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`. Only the owning thread may call this.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// What is counted for each command.
#[derive(Debug, Default)]
pub struct CommandCounters {
    /// Calls that ran, failed ones included.
    pub calls: Counter,
    /// Nanoseconds they took together.
    pub nanos: Counter,
    /// Calls refused before they ran.
    pub rejected: Counter,
    /// Calls that ran and answered an error.
    pub failed: Counter,
}

/// The counters of one thread.
#[derive(Debug)]
pub struct ThreadCounters {
    /// By [`crate::command::table::Entry::index`].
    pub commands: Box<[CommandCounters]>,
    /// Reads that found their key.
    pub hits: Counter,
    /// Reads that did not.
    pub misses: Counter,
    /// Bytes read from sockets.
    pub input_bytes: Counter,
    /// Bytes written to sockets.
    pub output_bytes: Counter,
    /// Connections taken.
    pub connections: Counter,
    /// Error replies.
    pub errors: Counter,
}

impl ThreadCounters {
    fn new(commands: usize) -> Self {
        Self {
            commands: (0..commands).map(|_| CommandCounters::default()).collect(),
            hits: Counter::default(),
            misses: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
            connections: Counter::default(),
            errors: Counter::default(),
        }
    }

    /// Counts a read of a key.
    #[inline]
    pub fn count_look(&self, found: bool) {
        if found { self.hits.add(1) } else { self.misses.add(1) }
    }
}

/// One thread's counters, shared with those who read them.
pub type SharedCounters = Arc<CachePadded<ThreadCounters>>;

/// All counters of a server.
#[derive(Debug)]
pub struct Metrics {
    commands: usize,
    threads: RwLock<Vec<SharedCounters>>,
    /// Error replies by code, in order of first appearance.
    errors: Mutex<Vec<(Box<str>, u64)>>,
    /// Connections refused because of `maxclients`.
    pub rejected_connections: AtomicU64,
    /// Connections closed because all clients took too much memory.
    pub evicted_clients: AtomicU64,
    /// Connections closed because their client read too slowly.
    pub output_limit_disconnections: AtomicU64,
    /// Connections closed because of a too large request.
    pub query_limit_disconnections: AtomicU64,
}

impl Metrics {
    /// Counters for `commands` commands, and no thread yet.
    pub fn new(commands: usize) -> Self {
        Self {
            commands,
            threads: RwLock::default(),
            errors: Mutex::default(),
            rejected_connections: AtomicU64::new(0),
            evicted_clients: AtomicU64::new(0),
            output_limit_disconnections: AtomicU64::new(0),
            query_limit_disconnections: AtomicU64::new(0),
        }
    }

    /// Counters for a thread of its own.
    pub fn add_thread(&self) -> SharedCounters {
        let counters = Arc::new(CachePadded::new(ThreadCounters::new(self.commands)));
        self.threads.write().push(Arc::clone(&counters));
        counters
    }

    /// The sum over all threads of what `pick` chooses.
    pub fn sum(&self, pick: impl Fn(&ThreadCounters) -> u64) -> u64 {
        self.threads.read().iter().map(|thread| pick(thread)).sum()
    }

    /// Counts an error reply by the code that its text begins with.
    pub fn count_error(&self, text: &[u8]) {
        let code = text.split(|byte| *byte == b' ').next().unwrap_or(text);
        let code = String::from_utf8_lossy(code);
        let mut errors = self.errors.lock();
        if let Some((_, count)) = errors.iter_mut().find(|(known, _)| **known == *code) {
            *count += 1;
        } else if errors.len() < ERROR_CODES_MAX {
            errors.push((code.into(), 1));
        }
    }

    /// Error replies by code.
    pub fn errors(&self) -> Vec<(Box<str>, u64)> {
        self.errors.lock().clone()
    }

    /// CONFIG RESETSTAT. A count that is being added to right now may survive.
    pub fn reset(&self) {
        for thread in self.threads.read().iter() {
            for command in &thread.commands {
                command.calls.reset();
                command.nanos.reset();
                command.rejected.reset();
                command.failed.reset();
            }
            for counter in [
                &thread.hits,
                &thread.misses,
                &thread.input_bytes,
                &thread.output_bytes,
                &thread.connections,
                &thread.errors,
            ] {
                counter.reset();
            }
        }
        self.errors.lock().clear();
        self.rejected_connections.store(0, Ordering::Relaxed);
        self.evicted_clients.store(0, Ordering::Relaxed);
        self.output_limit_disconnections.store(0, Ordering::Relaxed);
        self.query_limit_disconnections.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up_and_errors_are_counted_by_code() {
        let metrics = Metrics::new(1);
        let (one, two) = (metrics.add_thread(), metrics.add_thread());
        one.hits.add(2);
        two.hits.add(3);
        assert_eq!(metrics.sum(|thread| thread.hits.get()), 5);
        metrics.count_error(b"ERR a");
        metrics.count_error(b"WRONGTYPE b");
        metrics.count_error(b"ERR c");
        assert_eq!(metrics.errors(), [("ERR".into(), 2), ("WRONGTYPE".into(), 1)]);
        metrics.reset();
        assert_eq!(metrics.sum(|thread| thread.hits.get()), 0);
        assert_eq!(metrics.errors(), []);
    }
}
