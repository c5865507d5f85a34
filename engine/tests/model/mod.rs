//! A naive model of the engine: ordered maps, one thing after the other, everything dead thrown away at
//! once. It shares nothing with the engine but what an op and an outcome are.
//!
//! `keys`, `collections` and `sessions` apply the ops of their kind. Where chance decides (SPOP) or text
//! is long arithmetic (INCRBYFLOAT) the model checks what the engine answered and goes along with it.

#![allow(dead_code, unreachable_pub)] // each test binary uses a part of this module

mod collections;
mod keys;
mod rules;
mod sessions;
pub mod step;

use std::collections::{BTreeMap, BTreeSet};

use hallpass_engine::{Limits, Op, Outcome, Refusal, Rule, SessionHash, Stamp};

pub type Bytes = Vec<u8>;
pub type Name = (u8, Bytes);
pub type Answer = Result<Outcome, Refusal>;

pub const NEVER: u64 = Stamp::NEVER.millis();

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Text(Bytes),
    Hash(BTreeMap<Bytes, Bytes>),
    Set(BTreeSet<Bytes>),
    Sorted(BTreeMap<Bytes, f64>),
    List(Vec<Bytes>),
}

/// What lies under a plain key.
#[derive(Clone, Debug)]
pub struct Held {
    pub content: Content,
    pub deadline: u64,
    pub owner: Option<Bytes>,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub user: Bytes,
    pub created: u64,
    pub seen: u64,
    pub authenticated: u64,
    pub limits: Limits,
    pub data: Bytes,
    pub meta: Vec<(Bytes, Bytes)>,
    pub version: u32,
}

#[derive(Clone, Debug)]
pub struct Alias {
    target: SessionHash,
    created: u64,
    deadline: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub now: u64,
    pub keys: BTreeMap<Name, Held>,
    pub sessions: BTreeMap<SessionHash, Session>,
    pub aliases: BTreeMap<SessionHash, Alias>,
    /// How many logouts of users there were, and of everybody.
    pub drawn: u64,
    pub generations: BTreeMap<Bytes, u64>,
    /// Index rules, in the order of their names.
    pub rules: Vec<Rule>,
    /// What is to be indexed.
    pub jobs: Vec<rules::Job>,
    pub last_job: u64,
    /// Until when a key is fenced, and whether writes to it are refused.
    pub fences: BTreeMap<Name, (u64, bool)>,
    /// Deadlines that passed: what lies within the wheel's present tick may not be swept yet.
    pub passed: Vec<u64>,
}

impl Session {
    pub fn ends(&self) -> u64 {
        after(self.authenticated, self.limits.lifetime_seconds)
    }

    pub fn expires(&self) -> u64 {
        after(self.seen, self.limits.idle_seconds).min(self.ends())
    }
}

fn after(start: u64, seconds: u32) -> u64 {
    if seconds == 0 { NEVER } else { (start + u64::from(seconds) * 1000).min(NEVER) }
}

fn alive(deadline: u64, now: u64) -> bool {
    deadline > now || deadline == NEVER
}

impl Model {
    /// Moves time on and throws away what has ended.
    pub fn advance(&mut self, now: u64) {
        self.now = now;
        let passed = &mut self.passed;
        let mut keep = |deadline| {
            let keep = alive(deadline, now);
            if !keep {
                passed.push(deadline);
            }
            keep
        };
        self.keys.retain(|_, held| keep(held.deadline));
        self.sessions.retain(|_, session| keep(session.expires()));
        self.aliases.retain(|_, alias| keep(alias.deadline));
        self.fences.retain(|_, (until, _)| alive(*until, now));
        self.forget_users();
    }

    /// A user without anything live begins anew.
    fn forget_users(&mut self) {
        let mut generations = std::mem::take(&mut self.generations);
        generations.retain(|user, _| self.count_of(user) > 0);
        self.generations = generations;
    }

    fn own(&mut self, user: &[u8]) {
        self.generations.entry(user.to_vec()).or_insert(self.drawn);
    }

    pub fn generation(&self, user: &[u8]) -> u64 {
        self.generations.get(user).copied().unwrap_or(self.drawn)
    }

    /// Live sessions and owned keys of a user.
    pub fn count_of(&self, user: &[u8]) -> u64 {
        let keys = self.keys.values().filter(|held| held.owner.as_deref() == Some(user));
        (keys.count() + self.sessions_of(user).len()) as u64
    }

    pub fn sessions_of(&self, user: &[u8]) -> Vec<SessionHash> {
        let of_user = self.sessions.iter().filter(|(_, session)| session.user == user);
        of_user.map(|(id, _)| *id).collect()
    }

    /// The live session of an id or of an alias.
    pub fn resolve(&self, id: &SessionHash) -> Option<SessionHash> {
        let (mut id, mut created) = (*id, None);
        for _ in 0..16 {
            if let Some(session) = self.sessions.get(&id) {
                return created.is_none_or(|created| created == session.created).then_some(id);
            }
            let alias = self.aliases.get(&id)?;
            if created.is_some_and(|created| created != alias.created) {
                return None;
            }
            (id, created) = (alias.target, Some(alias.created));
        }
        None
    }

    /// Applies an op to what is live at `now`, which does not run backwards.
    pub fn apply(&mut self, op: &Op<'_>, now: Stamp, observed: &Outcome) -> Outcome {
        self.advance(now.millis());
        let answer = self.apply_ruled(op, observed);
        self.forget_users();
        answer.unwrap_or_else(Outcome::Refused)
    }

    fn apply_plain(&mut self, op: &Op<'_>, observed: &Outcome) -> Answer {
        match op {
            Op::SessionCreate { .. }
            | Op::SessionSave { .. }
            | Op::SessionMeta { .. }
            | Op::SessionTouch { .. }
            | Op::SessionReauthenticate { .. }
            | Op::SessionRotate { .. }
            | Op::SessionRevoke { .. }
            | Op::SessionRevokeOwned { .. }
            | Op::SessionRevokeUser { .. }
            | Op::SessionRevokeAll => self.apply_session(op),
            Op::Set { .. }
            | Op::SetMany { .. }
            | Op::Append { .. }
            | Op::SetRange { .. }
            | Op::Increment { .. }
            | Op::IncrementFloat { .. }
            | Op::GetDelete { .. }
            | Op::GetExpire { .. }
            | Op::Delete { .. }
            | Op::Expire { .. }
            | Op::Persist { .. }
            | Op::Rename { .. }
            | Op::Copy { .. }
            | Op::Restore { .. }
            | Op::Flush { .. }
            | Op::Unchanged { .. } => self.apply_key(op, observed),
            _ => self.apply_collection(op, observed),
        }
    }
}

/// Goes along with an answer that is a decimal number close to `expected`.
fn close_to(expected: f64, observed: &Outcome) -> Option<Bytes> {
    let Outcome::Bytes(text) = observed else { return None };
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    ((number - expected).abs() <= expected.abs() * 1e-9 + 1e-9).then(|| text.clone())
}

/// The text as a 64-bit integer, if it is one the way Redis writes them.
fn integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn decimal(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
