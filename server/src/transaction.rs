//! A client's transaction: the requests queued between MULTI and EXEC, and the keys it watches.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hallpass_engine::{Engine, Key, Span, Words};

use crate::command::spec::Run;
use crate::command::table::Entry;
use crate::keyspace::{Keyspace, Mark};

/// Requests queued since MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    requests: Vec<Queued>,
    /// Whether a request was refused: EXEC will then run nothing.
    pub(crate) aborted: bool,
    /// Whether there is a script among them.
    pub(crate) has_scripts: bool,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    entry: &'static Entry,
    first_span: usize,
    spans: usize,
}

impl Transaction {
    /// Queues a request; false when it would grow past `bytes_max`.
    pub(crate) fn queue(
        &mut self,
        entry: &'static Entry,
        words: Words<'_>,
        bytes_max: usize,
    ) -> bool {
        let length: usize = words.iter().map(<[u8]>::len).sum();
        // Spans count in 32 bits.
        let bytes_max = bytes_max.min(u32::MAX as usize);
        if self.memory_bytes() + length + words.len() * size_of::<Span>() > bytes_max {
            return false;
        }
        let first_span = self.spans.len();
        for word in words.iter() {
            let span = Span { start: self.bytes.len() as u32, length: word.len() as u32 };
            self.bytes.extend_from_slice(word);
            self.spans.push(span);
        }
        self.has_scripts |= matches!(entry.spec.run, Run::Script(_));
        self.requests.push(Queued { entry, first_span, spans: words.len() });
        true
    }

    /// How many requests are queued.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Bytes they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.len()
            + self.spans.len() * size_of::<Span>()
            + self.requests.len() * size_of::<Queued>()
    }

    /// The requests in order.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&'static Entry, Words<'_>)> {
        (0..self.len()).map(|at| self.request(at))
    }

    /// The request at a position. Panics past the end.
    pub(crate) fn request(&self, at: usize) -> (&'static Entry, Words<'_>) {
        let Queued { entry, first_span, spans } = self.requests[at];
        (entry, Words::from_spans(&self.bytes, &self.spans[first_span..first_span + spans]))
    }
}

/// The keys a client watches since its first WATCH.
pub struct Watch {
    engine: Arc<Engine>,
    keyspace: Arc<Keyspace>,
    /// Set when one of them has changed.
    mark: Mark,
    keys: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    db: u8,
    key: Box<[u8]>,
    /// Whether it was there.
    existed: bool,
}

impl Watch {
    /// Nothing yet.
    pub(crate) fn new(engine: &Arc<Engine>, keyspace: &Arc<Keyspace>) -> Self {
        let (engine, keyspace) = (Arc::clone(engine), Arc::clone(keyspace));
        Self { engine, keyspace, mark: Mark::default(), keys: Vec::new() }
    }

    /// Watches one more key. `exists` looks whether it is there.
    pub(crate) fn add(&mut self, db: u8, key: &[u8], exists: impl FnOnce() -> bool) {
        if self.keyspace.watch(&self.engine, db, key, &self.mark) {
            // Only now: what changes after this look is noticed.
            self.keys.push(Watched { db, key: key.into(), existed: exists() });
        }
    }

    /// Whether a key has changed since it was watched, or has ended by itself, which `exists` finds out.
    pub(crate) fn is_broken(&self, exists: impl Fn(&Key<'_>) -> bool) -> bool {
        let seed = self.engine.seed();
        self.mark.load(Ordering::Acquire)
            || self.keys.iter().any(|watched| {
                watched.existed && !exists(&Key::new(seed, watched.db, &watched.key))
            })
    }

    /// The keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        let seed = self.engine.seed();
        self.keys.iter().map(|watched| Key::new(seed, watched.db, &watched.key))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for watched in &self.keys {
            self.keyspace.unwatch(&self.engine, watched.db, &watched.key, &self.mark);
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").field("keys", &self.keys).finish_non_exhaustive()
    }
}
