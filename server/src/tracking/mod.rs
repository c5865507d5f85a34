//! CLIENT TRACKING: telling clients that keep copies of keys when those are no longer true.
//!
//! A client is noted for the keys it reads ([`table`]), or in broadcast mode for all keys that begin with one
//! of its prefixes. When a key changes, those who are noted for it get a message, in their own mailbox or in
//! that of the client they redirect to, and are forgotten for this key.
//!
//! Other threads change keys while one is read, so a client is noted before its read and once more behind it:
//! a change in between either finds it noted, or has put a message into its mailbox already, which is written
//! behind the reply. Every node does this for the clients it has, with what it applies.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dashmap::DashMap;
use parking_lot::RwLock;

use self::table::Table;
use crate::client::{Client, ClientShared};
use crate::pubsub::{self, Told};
use crate::resp::reply::Protocol;
use crate::state::Settings;

mod table;

thread_local! {
    /// The client whose request this thread runs, if it does not want to hear of its own changes; 0 for none.
    static CAUSE: Cell<u64> = const { Cell::new(0) };
}

/// Says who makes the changes of this thread until it is said anew; 0 for nobody in particular.
pub(crate) fn set_cause(client: u64) {
    CAUSE.set(client);
}

/// What a tracking client has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// BCAST: all keys with its prefixes, read or not.
    pub(crate) broadcast: bool,
    /// OPTIN: only what is read behind CLIENT CACHING YES.
    pub(crate) opt_in: bool,
    /// OPTOUT: all but what is read behind CLIENT CACHING NO.
    pub(crate) opt_out: bool,
    /// NOLOOP: nothing of its own changes.
    pub(crate) no_loop: bool,
}

/// A tracking client's private half.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) tracker: Arc<Tracker>,
    /// CLIENT CACHING was given for the next command.
    pub(crate) caching: bool,
    /// In order.
    pub(crate) prefixes: BTreeSet<Arc<[u8]>>,
}

impl Own {
    /// Whether what is read now is noted.
    pub(crate) fn notes_reads(&self) -> bool {
        let mode = self.tracker.mode;
        let left_out = (mode.opt_in && !self.caching) || (mode.opt_out && self.caching);
        !mode.broadcast && !left_out
    }
}

impl Client {
    /// Its number, if it does not want to hear of its own changes; otherwise 0.
    pub(crate) fn cause(&self) -> u64 {
        let no_loop = self.tracking.as_ref().is_some_and(|own| own.tracker.mode.no_loop);
        if no_loop { self.shared.id } else { 0 }
    }
}

/// A tracking client as those see it who tell it of changes.
#[derive(Debug)]
pub(crate) struct Tracker {
    shared: Arc<ClientShared>,
    pub(crate) mode: Mode,
    /// Who gets its messages.
    redirect: Option<Arc<ClientShared>>,
    /// Whether that client turned out to be gone.
    broken: AtomicBool,
}

impl Tracker {
    /// The client that gets its messages; 0 when it does itself.
    pub(crate) fn redirect_id(&self) -> u64 {
        self.redirect.as_ref().map_or(0, |target| target.id)
    }

    /// Whether that client is gone, and that has been noticed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Who is to get a message of this client, if anybody can.
    fn receiver(&self, settings: &Settings) -> Option<&Arc<ClientShared>> {
        let target = self.redirect.as_ref().unwrap_or(&self.shared);
        let mailbox = target.mailbox.get()?;
        if self.redirect.is_some() && mailbox.is_closed() {
            self.broken.store(true, Ordering::Relaxed);
            let own = self.shared.mailbox.get()?;
            if own.protocol() == Protocol::Resp3 {
                pubsub::tell(settings, &[&self.shared], Told::RedirectionBroken(target.id));
            }
            return None;
        }
        // RESP2 has no pushes: only who listens to a channel expects a message.
        let listens = self.redirect.is_some() && target.is_subscriber();
        (mailbox.protocol() == Protocol::Resp3 || listens).then_some(target)
    }
}

/// Keys that have changed, by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed<'a> {
    pub(crate) key: &'a [u8],
    /// Whether a command changed it; it has ended by itself otherwise.
    pub(crate) commanded: bool,
}

/// Clients by number.
type Trackers = BTreeMap<u64, Arc<Tracker>>;

/// Who tracks what.
#[derive(Debug)]
pub(crate) struct Tracking {
    trackers: DashMap<u64, Arc<Tracker>>,
    /// How many there are: while there are none, a change costs one load.
    count: AtomicUsize,
    prefixes: RwLock<BTreeMap<Arc<[u8]>, Trackers>>,
    table: Table,
    settings: Arc<Settings>,
}

impl Tracking {
    pub(crate) fn new(settings: &Arc<Settings>) -> Self {
        Self {
            trackers: DashMap::default(),
            count: AtomicUsize::new(0),
            prefixes: RwLock::default(),
            table: Table::default(),
            settings: Arc::clone(settings),
        }
    }

    /// Whether anybody tracks anything.
    pub(crate) fn is_on(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// How many clients track.
    pub(crate) fn client_count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many keys are noted, and how many clients with them.
    pub(crate) fn table_size(&self) -> (usize, usize) {
        self.table.size()
    }

    /// How many prefixes are waited for.
    pub(crate) fn prefix_count(&self) -> usize {
        self.prefixes.read().len()
    }

    /// The tracker of a client, for CLIENT LIST.
    pub(crate) fn tracker(&self, client: u64) -> Option<Arc<Tracker>> {
        self.trackers.get(&client).map(|tracker| Arc::clone(&tracker))
    }

    /// Begins to track for a client, or goes on otherwise; whether it is new.
    pub(crate) fn enable(
        &self,
        client: &mut Client,
        mode: Mode,
        redirect: Option<Arc<ClientShared>>,
        prefixes: &[&[u8]],
    ) -> bool {
        client.open_mailbox();
        if let Some(target) = &redirect {
            pubsub::open_mailbox_of(target);
        }
        let (shared, broken) = (Arc::clone(&client.shared), AtomicBool::new(false));
        let tracker = Arc::new(Tracker { shared, mode, redirect, broken });
        let id = client.shared.id;
        let mut own =
            Own { tracker: Arc::clone(&tracker), caching: false, prefixes: BTreeSet::new() };
        let before = client.tracking.take();
        if let Some(before) = &before {
            own.caching = before.caching;
            own.prefixes.clone_from(&before.prefixes);
        }
        if mode.broadcast {
            let everything: &[&[u8]] = &[b""];
            let prefixes = if prefixes.is_empty() { everything } else { prefixes };
            own.prefixes.extend(prefixes.iter().map(|prefix| Arc::from(*prefix)));
            let mut all = self.prefixes.write();
            for prefix in &own.prefixes {
                all.entry(Arc::clone(prefix)).or_default().insert(id, Arc::clone(&tracker));
            }
        }
        let is_new = self.trackers.insert(id, tracker).is_none();
        self.count.fetch_add(usize::from(is_new), Ordering::SeqCst);
        client.tracking = Some(Box::new(own));
        is_new
    }

    /// Tracks for a client no more; whether that was so before. What is noted of its reads is forgotten when
    /// it is come upon.
    pub(crate) fn disable(&self, client: &mut Client) -> bool {
        let Some(own) = client.tracking.take() else { return false };
        let id = client.shared.id;
        let mut all = self.prefixes.write();
        for prefix in &own.prefixes {
            if let Some(trackers) = all.get_mut(prefix) {
                trackers.remove(&id);
                if trackers.is_empty() {
                    all.remove(prefix);
                }
            }
        }
        drop(all);
        self.trackers.remove(&id);
        self.count.fetch_sub(1, Ordering::SeqCst);
        true
    }

    /// Notes that a client has read a key.
    pub(crate) fn note(&self, client: u64, key: &[u8]) {
        let keys_max = self.settings.current().tracking_table_max_keys;
        let is_tracked = |id: u64| self.trackers.contains_key(&id);
        for (key, clients) in self.table.note(key, client, keys_max, is_tracked) {
            // It had to make room: who reads it again is noted again.
            self.tell_noted(&key, &clients, 0);
        }
    }

    /// Tells of what one op changed.
    pub(crate) fn changed(&self, changes: &[Changed<'_>]) {
        let cause = CAUSE.get();
        for change in changes {
            if let Some(clients) = self.table.take(change.key) {
                self.tell_noted(change.key, &clients, cause);
            }
        }
        for (commanded, cause) in [(true, cause), (false, 0)] {
            let keys: BTreeSet<&[u8]> = changes
                .iter()
                .filter(|change| change.commanded == commanded)
                .map(|change| change.key)
                .collect();
            if !keys.is_empty() {
                self.tell_broadcast(&keys, cause);
            }
        }
    }

    fn tell_noted(&self, key: &[u8], clients: &[u64], cause: u64) {
        let trackers = clients.iter().filter_map(|client| self.tracker(*client));
        let wanted = |tracker: &Arc<Tracker>| {
            let own = tracker.mode.no_loop && tracker.shared.id == cause;
            !tracker.mode.broadcast && !own
        };
        let trackers: Vec<_> = trackers.filter(wanted).collect();
        self.tell(trackers.iter(), Some(&[key]));
    }

    fn tell_broadcast(&self, keys: &BTreeSet<&[u8]>, cause: u64) {
        for (prefix, trackers) in &*self.prefixes.read() {
            let keys: Vec<&[u8]> =
                keys.iter().filter(|key| key.starts_with(prefix)).copied().collect();
            if keys.is_empty() {
                continue;
            }
            let wanted =
                |tracker: &&Arc<Tracker>| !(tracker.mode.no_loop && tracker.shared.id == cause);
            self.tell(trackers.values().filter(wanted), Some(&keys));
        }
    }

    fn tell<'t>(&self, to: impl Iterator<Item = &'t Arc<Tracker>>, keys: Option<&[&[u8]]>) {
        let receivers: Vec<_> = to.filter_map(|tracker| tracker.receiver(&self.settings)).collect();
        pubsub::tell(&self.settings, &receivers, Told::Invalidated(keys));
    }

    /// Tells everybody that nothing is true any more.
    pub(crate) fn flushed(&self) {
        self.table.clear();
        let trackers: Vec<_> = self.trackers.iter().map(|tracker| Arc::clone(&tracker)).collect();
        self.tell(trackers.iter(), None);
    }
}
