//! What a read asks for beside its reply: its keys may have been found at their end, or missing, and its
//! client may keep a copy of what it reads.

use hallpass_engine::{Engine, Key, Stamp, Words};

use super::Turn;
use crate::command::spec::{Flags, Run};
use crate::command::table::Entry;
use crate::keyspace::Keyspace;
use crate::tracking::{self, Own};

/// Tells of what a read command found ended or missing. `reclaims` is false where only the log may reclaim.
#[cold]
pub(super) fn tell_of_read(
    (keyspace, engine): (&Keyspace, &Engine),
    entry: &Entry,
    (db, words): (u8, Words<'_>),
    now: Stamp,
    reclaims: bool,
) {
    if !matches!(entry.spec.run, Run::Read(_)) {
        return;
    }
    // As in Redis, where these look without being seen.
    let misses = !entry.full_name.starts_with("object|") && !entry.full_name.starts_with("memory|");
    for index in entry.spec.keys.of(words).into_iter().flatten() {
        let key = Key::new(engine.seed(), db, words.at(index));
        keyspace.looked_at(engine, key, now, (reclaims, misses));
    }
}

/// Notes that a client has read what a command reads, if it reads.
#[cold]
pub(super) fn note_read(keyspace: &Keyspace, client: u64, entry: &Entry, words: Words<'_>) {
    let flags = entry.spec.flags;
    // Of a script, only what it calls counts, as in Redis.
    let reads = matches!(entry.spec.run, Run::Read(_)) && flags.has(Flags::READONLY);
    if reads && !flags.has(Flags::PUBSUB) {
        for index in entry.spec.keys.of(words).into_iter().flatten() {
            keyspace.tracking().note(client, words.at(index));
        }
    }
}

impl Turn<'_> {
    /// A request of a client that tracks is about to run.
    #[cold]
    pub(super) fn begin_tracked(&self, own: &Own, entry: &Entry, words: Words<'_>) {
        let client = self.client.shared.id;
        tracking::set_cause(self.client.cause());
        if own.notes_reads() && matches!(entry.spec.run, Run::Read(_)) {
            let (server, keyspace) = (self.server, &self.server.keyspace);
            if self.touch_slack.is_none() {
                // What has ended goes first: nobody is to be told later that it did.
                for index in entry.spec.keys.of(words).into_iter().flatten() {
                    let key = Key::new(server.engine.seed(), self.client.db, words.at(index));
                    keyspace.looked_at(&server.engine, key, self.now, (true, false));
                }
            }
            note_read(keyspace, client, entry, words);
        }
    }

    /// Sees to what a command that has run, if it is a read, has found of its keys.
    pub(super) fn attend(&self, entry: &Entry, words: Words<'_>) {
        if self.config.notify_keyspace_events.any() {
            let observed = (&*self.server.keyspace, &*self.server.engine);
            let reclaims = self.touch_slack.is_none();
            tell_of_read(observed, entry, (self.client.db, words), self.now, reclaims);
        }
        if let Some(own) = &self.client.tracking
            && own.notes_reads()
        {
            note_read(&self.server.keyspace, self.client.shared.id, entry, words);
        }
    }

    /// A request has ended, and with it, unless it was about that, what CLIENT CACHING said.
    #[cold]
    pub(super) fn end_tracked(&mut self, entry: Option<&Entry>) {
        tracking::set_cause(0);
        if let Some(own) = &mut self.client.tracking
            && self.client.transaction.is_none()
            && !entry.is_some_and(|entry| entry.full_name.starts_with("client"))
        {
            own.caching = false;
        }
    }
}
