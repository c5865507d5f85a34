//! Who is told when keys change: transactions that watch some, and who subscribed to notifications,
//! and clients that keep copies.
//!
//! The engine calls this from whichever thread changes a key, while the key's shard is held: a mark is set
//! there, and all else is only noted. When the op is applied and no shard is held any more, what was noted
//! becomes events, which are published. While there are any to publish, ops are applied one at a time: so
//! events come in the order of the changes they tell of.
//!
//! It is asleep, and costs nothing, for as long as nobody has a reason to be told.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::{DashMap, DashSet};
use hallpass_engine::{Change, Engine, Key, Observer, Op, Outcome, Stamp};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::client::{Client, ClientShared};
use crate::notify::naming::{self, Told};
use crate::notify::{Event, Events};
use crate::pubsub::PubSub;
use crate::state::Settings;
use crate::tracking::{Changed, Mode, Tracking};

/// A database's number and a key behind it.
type Name = SmallVec<[u8; 64]>;

fn name(db: u8, key: &[u8]) -> Name {
    let mut name = Name::with_capacity(1 + key.len());
    name.push(db);
    name.extend_from_slice(key);
    name
}

thread_local! {
    /// What this thread was told since it began an op, if somebody will make something of it.
    static NOTED: RefCell<Option<Vec<Told>>> = const { RefCell::new(None) };
}

/// Set when something a client watches has changed.
pub(crate) type Mark = Arc<AtomicBool>;

/// Called when registers changed.
type Hook = Box<dyn Fn() + Send + Sync>;

/// Who is told of which keys.
pub struct Keyspace {
    watched: DashMap<Name, Vec<Mark>>,
    /// Which events are published.
    events: AtomicU16,
    /// Held while something is changed that events are published of.
    turn: Mutex<()>,
    /// Entries whose end was published before they were reclaimed.
    announced: DashSet<Name>,
    /// Whom to tell that registers changed.
    registers: OnceLock<Hook>,
    /// How many reasons there are to be told at all.
    reasons: Mutex<usize>,
    tracking: Tracking,
    pubsub: Arc<PubSub>,
    settings: Arc<Settings>,
}

impl Keyspace {
    /// Tells nobody of anything yet.
    pub(crate) fn new(pubsub: &Arc<PubSub>, settings: &Arc<Settings>) -> Self {
        Self {
            watched: DashMap::default(),
            events: AtomicU16::new(0),
            turn: Mutex::default(),
            announced: DashSet::default(),
            registers: OnceLock::new(),
            reasons: Mutex::default(),
            tracking: Tracking::new(settings),
            pubsub: Arc::clone(pubsub),
            settings: Arc::clone(settings),
        }
    }

    /// Has `hook` called whenever registers change; only the first is.
    pub(crate) fn follow_registers(&self, hook: Hook) {
        let _first = self.registers.set(hook);
    }

    /// Sets `mark` when the key changes from now on; false when that was so already.
    pub(crate) fn watch(&self, engine: &Engine, db: u8, key: &[u8], mark: &Mark) -> bool {
        let mut marks = self.watched.entry(name(db, key)).or_default();
        if marks.iter().any(|other| Arc::ptr_eq(other, mark)) {
            return false;
        }
        marks.push(Arc::clone(mark));
        drop(marks);
        self.begin(engine);
        true
    }

    /// Undoes one [`watch`](Self::watch) of a key.
    pub(crate) fn unwatch(&self, engine: &Engine, db: u8, key: &[u8], mark: &Mark) {
        let name = name(db, key);
        if let Some(mut marks) = self.watched.get_mut(&name)
            && let Some(at) = marks.iter().position(|other| Arc::ptr_eq(other, mark))
        {
            marks.swap_remove(at);
        }
        self.watched.remove_if(&name, |_, marks| marks.is_empty());
        self.end(engine);
    }

    /// Publishes these events from now on (`notify-keyspace-events`).
    pub(crate) fn notify(&self, engine: &Engine, events: Events) {
        let mut reasons = self.reasons.lock();
        let before = Events::from_bits(self.events.swap(events.bits(), Ordering::SeqCst));
        *reasons += usize::from(events.any());
        *reasons -= usize::from(before.any());
        engine.wake_observer(*reasons > 0);
        if !events.any() {
            self.announced.clear();
        }
    }

    /// Who tracks what.
    pub(crate) fn tracking(&self) -> &Tracking {
        &self.tracking
    }

    /// Begins to track for a client, or goes on otherwise.
    pub(crate) fn track(
        &self,
        engine: &Engine,
        client: &mut Client,
        (mode, redirect, prefixes): (Mode, Option<Arc<ClientShared>>, &[&[u8]]),
    ) {
        if self.tracking.enable(client, mode, redirect, prefixes) {
            self.begin(engine);
        }
    }

    /// Tracks for a client no more.
    pub(crate) fn untrack(&self, engine: &Engine, client: &mut Client) {
        if self.tracking.disable(client) {
            self.end(engine);
        }
    }

    /// One more reason to be told.
    fn begin(&self, engine: &Engine) {
        let mut reasons = self.reasons.lock();
        *reasons += 1;
        engine.wake_observer(true);
    }

    /// One less.
    fn end(&self, engine: &Engine) {
        let mut reasons = self.reasons.lock();
        *reasons -= 1;
        engine.wake_observer(*reasons > 0);
    }

    fn events(&self) -> Events {
        Events::from_bits(self.events.load(Ordering::Relaxed))
    }

    /// A read has looked at this key: sees to the end that it may have found, and to the absence.
    ///
    /// What has expired is reclaimed here, or with `reclaims` false, where only the log may do that, its end
    /// is published ahead of it. With `misses`, an absent key is told of.
    pub(crate) fn looked_at(
        &self,
        engine: &Engine,
        key: Key<'_>,
        now: Stamp,
        (reclaims, misses): (bool, bool),
    ) {
        if engine.has_expired(key, now) {
            if reclaims {
                engine.reclaim(key, now);
            } else if self.events().any() {
                let _turn = self.turn.lock();
                // Asked again, because it may have been reclaimed and told of meanwhile.
                if engine.has_expired(key, now)
                    && self.announced.insert(name(key.db(), key.bytes()))
                {
                    self.publish(&[Event::of(Events::EXPIRED, "expired", &key)]);
                }
            }
        }
        if misses
            && self.events().has(Events::MISS)
            && !engine.look(key, now, |entry| entry.is_some())
        {
            let _turn = self.turn.lock();
            self.publish(&[Event::of(Events::MISS, "keymiss", &key)]);
        }
    }

    fn publish(&self, events: &[Event]) {
        let wanted = self.events();
        for event in events {
            event.publish(wanted, &self.pubsub, &self.settings);
        }
    }

    /// Notes what is told on this thread while `work` runs.
    fn noting<R>(work: impl FnOnce() -> R) -> (R, Vec<Told>) {
        NOTED.set(Some(Vec::new()));
        let result = work();
        (result, NOTED.take().unwrap_or_default())
    }

    /// Tells clients that track what was noted.
    fn invalidate(&self, told: &[Told]) {
        if self.tracking.is_on() && !told.is_empty() {
            let changed = told
                .iter()
                .map(|told| Changed { key: &told.key, commanded: is_commanded(told.change) });
            self.tracking.changed(&changed.collect::<Vec<_>>());
        }
    }

    /// Takes the ends out of what was noted that were published ahead.
    fn without_announced(&self, told: &mut Vec<Told>) {
        if !self.announced.is_empty() {
            told.retain(|told| {
                let announced = self.announced.remove(&name(told.db, &told.key)).is_some();
                !(announced && told.change == Change::Expired)
            });
        }
    }
}

impl Observer for Keyspace {
    fn changed(&self, change: Change, db: u8, key: &[u8]) {
        let noted = NOTED.with_borrow_mut(|noted| match noted {
            Some(noted) => {
                noted.push(Told { change, db, key: key.into() });
                true
            }
            None => false,
        });
        if !noted && self.tracking.is_on() {
            // Tracking was turned on while this op was under way.
            self.tracking.changed(&[Changed { key, commanded: is_commanded(change) }]);
        }
        // What had ended by itself was not visible any more: who watched it notices that by looking.
        if matches!(change, Change::Expired | Change::Revoked) {
            return;
        }
        if let Some(marks) = self.watched.get(&name(db, key)) {
            marks.iter().for_each(|mark| mark.store(true, Ordering::Release));
        }
    }

    fn registers_changed(&self) {
        if let Some(hook) = self.registers.get() {
            hook();
        }
    }

    fn flushed(&self, db: Option<u8>) {
        for entry in &self.watched {
            if db.is_none() || entry.key().first().copied() == db {
                entry.value().iter().for_each(|mark| mark.store(true, Ordering::Release));
            }
        }
        if self.tracking.is_on() {
            self.tracking.flushed();
        }
        self.announced.retain(|name| db.is_some() && name.first().copied() != db);
    }

    fn applying(
        &self,
        engine: &Engine,
        op: &Op<'_>,
        now: Stamp,
        apply: &mut dyn FnMut() -> Outcome,
    ) -> Outcome {
        let wanted = self.events();
        if !wanted.any() {
            if !self.tracking.is_on() {
                return apply();
            }
            let (outcome, told) = Self::noting(apply);
            self.invalidate(&told);
            return outcome;
        }
        let _turn = self.turn.lock();
        let missed =
            if wanted.has(Events::MISS) { naming::missed(engine, op, now) } else { Vec::new() };
        let (outcome, mut told) = Self::noting(apply);
        self.invalidate(&told);
        self.without_announced(&mut told);
        self.publish(&naming::of_op(op, &outcome, &told, missed));
        outcome
    }

    fn reclaiming(&self, reclaim: &mut dyn FnMut()) {
        if !self.events().any() {
            if !self.tracking.is_on() {
                return reclaim();
            }
            let ((), told) = Self::noting(reclaim);
            return self.invalidate(&told);
        }
        let _turn = self.turn.lock();
        let ((), mut told) = Self::noting(reclaim);
        self.invalidate(&told);
        self.without_announced(&mut told);
        self.publish(&naming::of_reclaimed(&told));
    }
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keyspace").field("watched", &self.watched).finish_non_exhaustive()
    }
}

/// Whether it was a command that did this.
fn is_commanded(change: Change) -> bool {
    !matches!(change, Change::Expired | Change::Evicted | Change::Revoked)
}
