//! SLOWLOG: the latest commands that took longer than `slowlog-log-slower-than`.
//!
//! Words are shortened as in Redis. Session ids and secrets are never recorded: every argument of a
//! command that takes one is left out.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::command::request::Request;
use crate::command::spec::Subject;
use crate::command::table::Entry;

/// The most words of a request that are kept: Redis' `SLOWLOG_ENTRY_MAX_ARGC`.
const WORDS_MAX: usize = 32;

/// The most bytes of a word that are kept: Redis' `SLOWLOG_ENTRY_MAX_STRING`.
const WORD_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Clone, Debug)]
pub struct SlowEntry {
    /// Grows by one from entry to entry.
    pub id: u64,
    /// When it ran, in seconds since the epoch.
    pub at_seconds: u64,
    /// How long it took.
    pub micros: u64,
    /// Its words, shortened.
    pub words: Vec<Vec<u8>>,
    /// Where the client connected from.
    pub address: Box<str>,
    /// The client's name.
    pub name: Box<str>,
}

/// The slow log, newest first.
#[derive(Debug, Default)]
pub struct SlowLog {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

impl SlowLog {
    /// Adds an entry and gives it its id; keeps at most `entries_max`.
    pub fn add(&self, mut entry: SlowEntry, entries_max: usize) {
        let mut inner = self.inner.lock();
        entry.id = inner.next_id;
        inner.next_id += 1;
        inner.entries.push_front(entry);
        inner.entries.truncate(entries_max);
    }

    /// The newest `count` entries.
    pub fn newest(&self, count: usize) -> Vec<SlowEntry> {
        self.inner.lock().entries.iter().take(count).cloned().collect()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries.
    pub fn clear(&self) {
        self.inner.lock().entries.clear();
    }
}

/// The words of a request as the slow log shows them.
pub fn shorten(entry: &Entry, request: &Request<'_>) -> Vec<Vec<u8>> {
    let secret_from = match &*entry.full_name {
        "acl|setuser" => 2,
        _ if entry.spec.group == "session" || entry.spec.subject == Subject::Session => 1,
        _ => usize::MAX,
    };
    let shown = if request.len() > WORDS_MAX { WORDS_MAX - 1 } else { request.len() };
    let mut words: Vec<Vec<u8>> = (0..shown)
        .map(|index| match request.word(index) {
            _ if index >= secret_from => b"(redacted)".to_vec(),
            word if word.len() > WORD_BYTES_MAX => {
                let more = format!("... ({} more bytes)", word.len() - WORD_BYTES_MAX);
                [&word[..WORD_BYTES_MAX], more.as_bytes()].concat()
            }
            word => word.to_vec(),
        })
        .collect();
    if shown < request.len() {
        words.push(format!("... ({} more arguments)", request.len() - shown).into_bytes());
    }
    words
}
