//! ACL LOG: what was refused lately, and to whom.

use std::collections::VecDeque;

use hallpass_engine::Stamp;
use parking_lot::Mutex;

use crate::client::Client;
use crate::command::client::describe;
use crate::state::ServerState;

/// Refusals that are alike are one entry for so long.
const ALIKE_MILLIS: u64 = 60_000;

/// How many entries are looked at for one that is alike.
const ALIKE_ENTRIES: usize = 10;

/// What was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `command`, `key`, `channel` or `auth`.
    pub reason: &'static str,
    /// `toplevel`, `multi` or `lua`.
    pub context: &'static str,
    /// The command, key or channel.
    pub object: Vec<u8>,
    /// The user.
    pub user: Box<[u8]>,
}

/// An entry of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Grows by one from entry to entry.
    pub id: u64,
    /// How often it happened.
    pub count: u64,
    /// What happened.
    pub refused: Refused,
    /// When it happened first.
    pub created: Stamp,
    /// When it happened last.
    pub updated: Stamp,
    /// The client, as CLIENT LIST shows it.
    pub client: Box<str>,
}

/// The log, newest first.
#[derive(Debug, Default)]
pub struct Log {
    inner: Mutex<Inner>,
}

/// Notes what was refused to a client.
#[cold]
pub(crate) fn note(server: &ServerState, client: &Client, refused: Refused, now: Stamp) {
    client.publish(now);
    let mut text = String::new();
    describe(&mut text, &client.shared, server, now);
    let entries_max = server.settings.current().acllog_max_len as usize;
    server.acl.log.add(refused, text.trim_end().into(), now, entries_max);
}

#[derive(Debug, Default)]
struct Inner {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl Log {
    /// Adds what happened, to the entry of the same if there is one; keeps at most `entries_max`.
    pub fn add(&self, refused: Refused, client: Box<str>, now: Stamp, entries_max: usize) {
        let mut inner = self.inner.lock();
        let alike = inner.entries.iter().take(ALIKE_ENTRIES).position(|entry| {
            entry.refused == refused && now.millis_since(entry.updated) <= ALIKE_MILLIS
        });
        let entry = if let Some(entry) = alike.and_then(|at| inner.entries.remove(at)) {
            Entry { count: entry.count + 1, updated: now, client, ..entry }
        } else {
            let id = inner.next_id;
            inner.next_id += 1;
            Entry { id, count: 1, refused, created: now, updated: now, client }
        };
        inner.entries.push_front(entry);
        inner.entries.truncate(entries_max);
    }

    /// The newest `count` entries.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.inner.lock().entries.iter().take(count).cloned().collect()
    }

    /// Forgets all entries.
    pub fn clear(&self) {
        self.inner.lock().entries.clear();
    }
}
