//! Indexing what was stored before a rule was set, and taking back what a deleted one had indexed.
//!
//! It goes slice by slice: whoever has time asks [`Engine::index_slice`] for keys that do not belong to
//! whom they should, and applies an [`Op::RuleIndex`] about them; in a cluster the leader does, through
//! the log. Writes settle their own keys from the moment a rule is there, so one pass is enough, and it
//! matters to nobody where it begins.
//!
//! Who is logged out while keys are still to be indexed is noted. Such a key of theirs was there before the
//! logout, as every write since would have indexed it: so it is ended where the pass comes to it.

use std::sync::Arc;

use super::registry::{IndexState, Job, Jobs, RuleStatus, Rules};
use super::write::{fence_of, settle, user_in};
use super::{FENCE_MILLIS_DEFAULT, FenceReply, RULES_MAX, Rule, Source, fence};
use crate::engine::Engine;
use crate::expiry::sweep;
use crate::key::{HashSeed, Key};
use crate::op::Op;
use crate::outcome::{Outcome, Refusal};
use crate::store::scope::{Scope, Spot};
use crate::time::Stamp;

/// How many slots are looked at under one guard.
const SLOTS_A_GUARD: u32 = 64;
/// How many slots are looked at for one slice.
const SLOTS_A_SLICE: u32 = 4096;
/// How many keys a slice has at the most.
const KEYS_A_SLICE: usize = 512;
/// A slice is closed when its keys have so many bytes.
const BYTES_A_SLICE: usize = 64 << 10;

/// How far a pass has come, on the node that makes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndexCursor {
    job: u64,
    shard: usize,
    slot: u32,
}

/// Keys that do not belong to whom they should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSlice {
    job: u64,
    keys: Vec<(u8, Vec<u8>)>,
    done: bool,
}

impl IndexCursor {
    /// Whether the next slice begins a pass. What was begun before the rule was set may be under way
    /// until then: who applies ops on several threads waits for it here.
    pub fn begins(&self, engine: &Engine) -> bool {
        engine.store.rules.jobs().list.first().is_some_and(|job| job.number != self.job)
    }
}

impl IndexSlice {
    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.done
    }

    /// The op to apply.
    pub fn op(&self, seed: &HashSeed) -> Op<'_> {
        let keys = self.keys.iter().map(|(db, key)| Key::new(seed, *db, key)).collect();
        Op::RuleIndex { job: self.job, keys, done: self.done }
    }
}

impl Engine {
    /// The next slice of what is to be indexed; `None` when nothing is. Changes nothing but the cursor:
    /// the slice's op does.
    pub fn index_slice(&self, cursor: &mut IndexCursor, now: Stamp) -> Option<IndexSlice> {
        let store = &self.store;
        if !store.rules.active() {
            return None;
        }
        let (job, pattern) = {
            let jobs = store.rules.jobs();
            let job = jobs.list.first()?;
            (job.number, job.keys.clone())
        };
        if cursor.job != job {
            *cursor = IndexCursor { job, ..IndexCursor::default() };
        }
        let (rules, epoch) = (store.rules.rules(), store.epoch());
        let mut slice = IndexSlice { job, keys: Vec::new(), done: false };
        let (mut looked_at, mut bytes) = (0, 0);
        while looked_at < SLOTS_A_SLICE && slice.keys.len() < KEYS_A_SLICE && bytes < BYTES_A_SLICE
        {
            let Some(cell) = store.shards.get(cursor.shard) else {
                slice.done = true;
                cursor.job = 0;
                break;
            };
            let shard = cell.lock.read();
            let end = shard.slots.len().min(cursor.slot.saturating_add(SLOTS_A_GUARD));
            for slot in cursor.slot..end {
                let Some(record) = shard.slots.get(slot) else { continue };
                if record.in_session_space()
                    || !crate::glob::matches(&pattern, record.key_bytes())
                    || !shard.is_live(record, epoch, now)
                {
                    continue;
                }
                let rule = rules.of_key(record.key_bytes());
                let user = rule.and_then(|rule| user_in(rule, record, self.sizes.user_bytes_max));
                if record.owner_name() != user.as_deref() {
                    bytes += record.key_bytes().len();
                    slice.keys.push((record.db(), record.key_bytes().to_vec()));
                }
            }
            looked_at += end - cursor.slot + 1;
            if end < shard.slots.len() {
                cursor.slot = end;
            } else {
                (cursor.shard, cursor.slot) = (cursor.shard + 1, 0);
            }
        }
        Some(slice)
    }

    /// The rules and how far they have come, with those that are being removed.
    pub fn rules(&self) -> Vec<RuleStatus> {
        let registry = &self.store.rules;
        let (jobs, rules) = (registry.jobs(), registry.rules());
        let mut all: Vec<RuleStatus> = rules.list.iter().map(|rule| status(&jobs, rule)).collect();
        let removed = jobs.list.iter().filter(|job| job.removes).map(|job| RuleStatus {
            rule: Arc::new(Rule {
                name: job.rule.clone(),
                keys: job.keys.clone(),
                source: Source::default(),
                fence_millis: FENCE_MILLIS_DEFAULT,
                fence_reply: FenceReply::default(),
            }),
            state: IndexState::Removing,
            indexed: job.indexed,
        });
        all.extend(removed);
        all
    }
}

fn status(jobs: &Jobs, rule: &Arc<Rule>) -> RuleStatus {
    let job = jobs.list.iter().find(|job| !job.removes && job.rule == rule.name);
    let before = jobs.indexed.get(&rule.name).copied().unwrap_or(0);
    RuleStatus {
        rule: Arc::clone(rule),
        state: if job.is_some() { IndexState::Indexing } else { IndexState::Ready },
        indexed: job.map_or(before, |job| job.indexed),
    }
}

/// INDEX.SET.
pub(crate) fn set(engine: &Engine, rule: &Rule, now: Stamp) -> Result<Outcome, Refusal> {
    let registry = &engine.store.rules;
    let _held = registry.hold_all();
    let mut rules = Rules::clone(&registry.rules());
    let mut old = None;
    match rules.position(&rule.name) {
        Ok(at) if rules.list.get(at).is_some_and(|present| **present == *rule) => {
            return Ok(Outcome::Done);
        }
        Ok(at) => {
            old = rules.list.get_mut(at).map(|old| std::mem::replace(old, rule.clone().into()));
        }
        Err(_) if rules.list.len() >= RULES_MAX => return Err(Refusal::TooManyRules),
        Err(at) => rules.list.insert(at, Arc::new(rule.clone())),
    }
    leave_fences(engine, now);
    registry.replace(rules, |jobs| {
        jobs.indexed.remove(&rule.name);
        if let Some(old) = old.filter(|old| old.keys != rule.keys) {
            jobs.begin(&old.name, &old.keys, true);
        }
        jobs.begin(&rule.name, &rule.keys, false);
    });
    Ok(Outcome::Done)
}

/// INDEX.DEL.
pub(crate) fn delete(engine: &Engine, name: &[u8], now: Stamp) -> Outcome {
    let registry = &engine.store.rules;
    let _held = registry.hold_all();
    let mut rules = Rules::clone(&registry.rules());
    let Ok(at) = rules.position(name) else { return Outcome::Flag(false) };
    leave_fences(engine, now);
    let old = rules.list.remove(at);
    registry.replace(rules, |jobs| {
        jobs.indexed.remove(name);
        jobs.begin(name, &old.keys, true);
    });
    Outcome::Flag(true)
}

/// What a logout ended is fenced as the rules say that were there then: so it is swept before they change.
fn leave_fences(engine: &Engine, now: Stamp) {
    while sweep::sweep(&engine.store, now, usize::MAX).more {}
}

impl Jobs {
    /// Adds a job, which takes the place of those for the same rule that are to index.
    fn begin(&mut self, rule: &[u8], keys: &[u8], removes: bool) {
        self.last += 1;
        let mut job = Job {
            number: self.last,
            rule: rule.to_vec(),
            keys: keys.to_vec(),
            removes,
            indexed: 0,
            revoked: std::collections::BTreeSet::new(),
            revoked_all: false,
        };
        self.list.retain_mut(|other| {
            let replaced = other.rule == rule && (!other.removes || other.keys == keys);
            if replaced && !removes {
                job.revoked.append(&mut other.revoked);
                job.revoked_all |= other.revoked_all;
            }
            !replaced
        });
        self.list.push(job);
    }
}

/// Applies one slice.
pub(crate) fn apply(
    engine: &Engine,
    number: u64,
    keys: &[Key<'_>],
    done: bool,
    now: Stamp,
) -> Outcome {
    let registry = &engine.store.rules;
    let mut changed = 0;
    for key in keys {
        let _held = registry.hold(std::iter::once(key));
        changed += i64::from(apply_key(engine, number, key, now));
    }
    // Not while a stripe is held by whoever waits for another: rules stay, jobs change.
    let _held = registry.hold_all();
    let rules = Rules::clone(&registry.rules());
    registry.replace(rules, |jobs| {
        let Some(at) = jobs.list.iter().position(|job| job.number == number) else { return };
        if let Some(job) = jobs.list.get_mut(at) {
            job.indexed += changed.cast_unsigned();
        }
        if done {
            let job = jobs.list.remove(at);
            if !job.removes {
                jobs.indexed.insert(job.rule, job.indexed);
            }
        }
    });
    Outcome::Integer(changed)
}

fn apply_key(engine: &Engine, number: u64, key: &Key<'_>, now: Stamp) -> bool {
    let store = &engine.store;
    fence::leave(store, key, now);
    let rules = store.rules.rules();
    let rule = rules.of_key(key.bytes);
    if let Some(rule) = rule
        && was_logged_out(engine, number, key, rule, now)
    {
        {
            let mut scope = Scope::of(store, &[Spot::Key(*key)], None, now);
            if let Some(live) = scope.find(key) {
                scope.remove(live);
            }
        }
        fence::raise(store, &fence_of(key, rule, now), now);
        return true;
    }
    settle(engine, key, rule.map(Arc::as_ref), now)
}

/// Whether a key that is not indexed yet belongs to somebody who was logged out since the job began.
fn was_logged_out(engine: &Engine, number: u64, key: &Key<'_>, rule: &Rule, now: Stamp) -> bool {
    let store = &engine.store;
    let user = {
        let shard = store.read(key.hash);
        let Some(found) = shard.find_key(key) else { return false };
        if !shard.is_live(found.record, store.epoch(), now) {
            return false;
        }
        let user = user_in(rule, found.record, engine.sizes.user_bytes_max);
        user.filter(|user| found.record.owner_name() != Some(user))
    };
    let Some(user) = user else { return false };
    let jobs = store.rules.jobs();
    let job = jobs.list.iter().find(|job| job.number == number);
    job.is_some_and(|job| {
        !job.removes && job.rule == rule.name && (job.revoked_all || job.revoked.contains(&user))
    })
}
