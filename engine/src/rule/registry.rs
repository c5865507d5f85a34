//! The rules of a store, what is still to be indexed, and the locks that make a ruled write one step.
//!
//! What is replicated are the rules and the jobs; ops change them, so they are the same on every node, in
//! snapshots and in the digest. A *job* is what a new, changed or deleted rule leaves to do: to go through
//! the keys of its pattern once.
//!
//! A write to a key under a rule takes several looks at the store. The *stripe* of its key is held all the
//! while, and a logout holds all of them: so a logout comes before the whole write or after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard, RwLock};
use smallvec::SmallVec;

use super::Rule;
use crate::key::Key;
use crate::time::Stamp;
use crate::user::record::{EPOCHS, UserRecord};
use crate::varint;

/// How many stripes there are.
const STRIPES: usize = 64;

/// The stripes that an op holds.
pub(crate) type Stripes<'s> = SmallVec<[MutexGuard<'s, ()>; 2]>;

/// How far a rule has come with what was stored before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// Keys that were there when it was set are being indexed.
    Indexing,
    /// Every key is indexed.
    Ready,
    /// It was deleted, and its keys are being taken from their users.
    Removing,
}

/// A rule and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStatus {
    /// The rule; of a deleted one only the name and the pattern say something.
    pub rule: Arc<Rule>,
    /// How far it has come.
    pub state: IndexState,
    /// How many keys that were there before got another owner.
    pub indexed: u64,
}

/// The rules of a store.
pub(crate) struct Registry {
    /// Whether there are rules or jobs: all that an op looks at where there are none.
    active: AtomicBool,
    rules: RwLock<Arc<Rules>>,
    jobs: Mutex<Jobs>,
    stripes: [CachePadded<Mutex<()>>; STRIPES],
    /// When the incarnations ended that the sweep has not come to, by address.
    ended: Mutex<BTreeMap<u64, Stamp>>,
    /// When the epochs ended, by their remainder.
    epochs_ended: [AtomicU64; EPOCHS as usize],
}

/// Rules in the order of their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) list: Vec<Arc<Rule>>,
}

/// What is to be done, and was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) list: Vec<Job>,
    /// How many keys each rule has indexed in jobs that are over, by name.
    pub(crate) indexed: BTreeMap<Vec<u8>, u64>,
    /// The number of the last job.
    pub(crate) last: u64,
}

/// A pattern whose keys are to be gone through.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) rule: Vec<u8>,
    pub(crate) keys: Vec<u8>,
    /// Whether the rule is gone.
    pub(crate) removes: bool,
    pub(crate) indexed: u64,
    /// Who was logged out since it began: what is found of theirs was there before, and ends.
    pub(crate) revoked: BTreeSet<Vec<u8>>,
    /// Everybody was.
    pub(crate) revoked_all: bool,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            active: AtomicBool::new(false),
            rules: RwLock::default(),
            jobs: Mutex::default(),
            stripes: std::array::from_fn(|_| CachePadded::default()),
            ended: Mutex::default(),
            epochs_ended: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Rules {
    /// The rule that decides about a key.
    pub(crate) fn of_key(&self, key: &[u8]) -> Option<&Arc<Rule>> {
        self.list.iter().find(|rule| rule.covers(key))
    }

    /// The place of a rule, or where it would be.
    pub(crate) fn position(&self, name: &[u8]) -> Result<usize, usize> {
        self.list.binary_search_by(|rule| rule.name.as_slice().cmp(name))
    }
}

impl Registry {
    /// Whether there is anything to look at.
    #[inline]
    pub(crate) fn active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// The rules as they are now.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// What is to be done. Nothing is locked below it.
    pub(crate) fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock()
    }

    /// Puts other rules and jobs in place. The caller holds all stripes.
    pub(crate) fn replace(&self, rules: Rules, change: impl FnOnce(&mut Jobs)) {
        let mut jobs = self.jobs.lock();
        change(&mut jobs);
        let active = !rules.list.is_empty() || !jobs.list.is_empty();
        *self.rules.write() = Arc::new(rules);
        if !active {
            self.ended.lock().clear();
        }
        self.active.store(active, Ordering::Relaxed);
    }

    /// Forgets everything, for a store that takes another's state.
    pub(crate) fn clear(&self) {
        self.replace(Rules::default(), |jobs| *jobs = Jobs::default());
    }

    /// Holds the stripes of some keys.
    pub(crate) fn hold<'k>(&self, keys: impl Iterator<Item = &'k Key<'k>>) -> Stripes<'_> {
        let mut indexes: SmallVec<[usize; 4]> =
            keys.map(|key| key.hash as usize % STRIPES).collect();
        indexes.sort_unstable();
        indexes.dedup();
        indexes.iter().filter_map(|index| self.stripes.get(*index)).map(|one| one.lock()).collect()
    }

    /// Holds all stripes.
    pub(crate) fn hold_all(&self) -> Stripes<'_> {
        self.stripes.iter().map(|stripe| stripe.lock()).collect()
    }

    /// Notes when an incarnation was logged out.
    pub(crate) fn note_ended(&self, user: UserRecord, now: Stamp) {
        self.ended.lock().insert(user.address(), now);
    }

    /// Notes when everybody was logged out.
    pub(crate) fn note_epoch_ended(&self, epoch: u32, now: Stamp) {
        if let Some(ended) = self.epochs_ended.get((epoch % EPOCHS) as usize) {
            ended.store(now.millis(), Ordering::Release);
        }
    }

    /// Forgets an incarnation that is about to be freed.
    pub(crate) fn forget_ended_user(&self, user: UserRecord) {
        self.ended.lock().remove(&user.address());
    }

    /// Forgets all incarnations.
    pub(crate) fn forget_ended(&self) {
        self.ended.lock().clear();
    }

    /// When an incarnation was logged out, alone or with everybody.
    pub(super) fn ended_at(&self, user: UserRecord) -> Option<Stamp> {
        match user.epoch_kept() {
            None => self.ended.lock().get(&user.address()).copied(),
            Some(epoch) => {
                let ended = self.epochs_ended.get(usize::from(epoch))?;
                Some(Stamp::from_millis(ended.load(Ordering::Acquire)))
            }
        }
    }

    /// Rules and jobs as bytes; empty when there never were any.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (jobs, rules) = (self.jobs.lock(), self.rules());
        let mut out = Vec::new();
        if jobs.last == 0 {
            return out;
        }
        varint::push(&mut out, jobs.last);
        varint::push(&mut out, rules.list.len() as u64);
        for rule in &rules.list {
            super::encode(rule, &mut out);
            varint::push(&mut out, jobs.indexed.get(&rule.name).copied().unwrap_or(0));
        }
        varint::push(&mut out, jobs.list.len() as u64);
        for job in &jobs.list {
            varint::push(&mut out, job.number);
            out.push(u8::from(job.removes) | u8::from(job.revoked_all) << 1);
            varint::push_bytes(&mut out, &job.rule);
            varint::push_bytes(&mut out, &job.keys);
            varint::push(&mut out, job.indexed);
            varint::push(&mut out, job.revoked.len() as u64);
            job.revoked.iter().for_each(|user| varint::push_bytes(&mut out, user));
        }
        out
    }

    /// Takes what [`Registry::encode`] gave.
    pub(crate) fn restore(&self, (rules, restored): (Rules, Jobs)) {
        self.replace(rules, |jobs| *jobs = restored);
    }
}

/// Reads what [`Registry::encode`] gave; `None` when the bytes are something else.
pub(crate) fn decode(mut rest: &[u8]) -> Option<(Rules, Jobs)> {
    let rest = &mut rest;
    let mut jobs = Jobs { last: varint::take(rest)?, ..Jobs::default() };
    let mut rules = Rules::default();
    for _ in 0..varint::take(rest)? {
        let rule = super::decode(rest)?;
        jobs.indexed.insert(rule.name.clone(), varint::take(rest)?);
        if rules.list.last().is_some_and(|last| last.name >= rule.name) {
            return None;
        }
        rules.list.push(Arc::new(rule));
    }
    for _ in 0..varint::take(rest)? {
        let number = varint::take(rest)?;
        let (&flags, after) = rest.split_first()?;
        *rest = after;
        let (rule, keys) = (varint::take_bytes(rest)?.to_vec(), varint::take_bytes(rest)?.to_vec());
        let indexed = varint::take(rest)?;
        let mut revoked = BTreeSet::new();
        for _ in 0..varint::take(rest)? {
            revoked.insert(varint::take_bytes(rest)?.to_vec());
        }
        let (removes, revoked_all) = (flags & 1 != 0, flags & 2 != 0);
        if flags > 3 {
            return None;
        }
        jobs.list.push(Job { number, rule, keys, removes, indexed, revoked, revoked_all });
    }
    rest.is_empty().then_some((rules, jobs))
}
