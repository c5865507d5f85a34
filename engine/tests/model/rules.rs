//! The model's index rules: what an op comes to for keys that are somebody's session.

use std::collections::BTreeSet;

use hallpass_engine::{FenceReply, Key, Op, Outcome, Refusal, Rule, Words};

use super::keys::name;
use super::{Answer, Bytes, Content, Model, Name};

/// Keys that are to be gone through.
#[derive(Clone, Debug)]
pub struct Job {
    number: u64,
    rule: Bytes,
    keys: Bytes,
    removes: bool,
    revoked: BTreeSet<Bytes>,
    revoked_all: bool,
}

/// Patterns of the test: a text, or one that ends in a star.
fn covers(pattern: &[u8], key: &[u8]) -> bool {
    match pattern.strip_suffix(b"*") {
        Some(start) => key.starts_with(start) && !key.is_empty(),
        None => key == pattern,
    }
}

/// Rules of the test: `/user` of a few texts, a field, or the value as it is.
fn user_of(rule: &Rule, content: &Content) -> Option<Bytes> {
    let user = match (content, &rule.source.field, &rule.source.pointer) {
        (Content::Hash(hash), Some(field), None) => hash.get(field).cloned(),
        (Content::Text(text), None, None) => Some(text.clone()),
        (Content::Text(text), None, Some(_)) => {
            // What follows the object is not looked at.
            let rest = text.strip_prefix(b"{\"user\":")?;
            let inside = &rest[..rest.iter().position(|byte| *byte == b'}')?];
            let quoted = inside.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
            let digits = inside.strip_prefix(b"-").unwrap_or(inside);
            match quoted {
                Some(text) if !text.contains(&b'"') => Some(text.to_vec()),
                None if digits.iter().all(u8::is_ascii_digit) => Some(inside.to_vec()),
                _ => None,
            }
        }
        _ => None,
    };
    user.filter(|user: &Bytes| !user.is_empty())
}

impl Model {
    fn rule_of(&self, name: &Name) -> Option<&Rule> {
        self.rules.iter().find(|rule| covers(&rule.keys, &name.1))
    }

    fn owner_by_rules(&self, name: &Name) -> Option<Bytes> {
        user_of(self.rule_of(name)?, &self.keys.get(name)?.content)
    }

    /// With nothing left to be indexed every key under a rule belongs to whom it says.
    pub fn check_index(&self) {
        if self.jobs.is_empty() {
            for (name, held) in self.keys.iter().filter(|(name, _)| self.rule_of(name).is_some()) {
                assert_eq!(held.owner, self.owner_by_rules(name), "owner of {name:?}");
            }
        }
    }

    /// Gives a key to whom its rule says.
    fn settle(&mut self, name: &Name) -> bool {
        let owner = self.owner_by_rules(name);
        let Some(held) = self.keys.get_mut(name) else { return false };
        if held.owner == owner {
            return false;
        }
        held.owner.clone_from(&owner);
        if let Some(owner) = owner {
            self.own(&owner);
        }
        self.forget_users();
        true
    }

    fn fence(&mut self, name: &Name) {
        if let Some(rule) = self.rule_of(name) {
            let (until, refuses) =
                (self.now + rule.fence_millis, rule.fence_reply == FenceReply::Error);
            if until > self.now {
                self.fences.insert(name.clone(), (until, refuses));
            }
        }
    }

    pub(super) fn apply_ruled(&mut self, op: &Op<'_>, observed: &Outcome) -> Answer {
        match op {
            Op::RuleSet { rule } => {
                self.set_rule(rule);
                return Ok(Outcome::Done);
            }
            Op::RuleDelete { name } => return Ok(self.delete_rule(name)),
            Op::RuleIndex { job, keys, done } => return Ok(self.index(*job, keys, *done)),
            Op::Flush { db } => {
                self.fences.retain(|(other, _), _| db.is_some_and(|db| *other != db));
            }
            Op::SessionRevokeUser { user, .. } => {
                self.jobs.iter_mut().for_each(|job| _ = job.revoked.insert(user.to_vec()));
            }
            Op::SessionRevokeAll => self.jobs.iter_mut().for_each(|job| job.revoked_all = true),
            _ => {}
        }
        let (makes, writes, ends) = names_of(op);
        let fence = |name: &Name| self.rule_of(name).and_then(|_| self.fences.get(name));
        let fenced: Vec<Name> =
            makes.iter().filter(|name| fence(name).is_some()).cloned().collect();
        if fenced.iter().any(|name| self.fences[name].1) {
            return Err(Refusal::Revoked);
        }
        // As if the key were absent: the op runs, and what it made goes.
        if matches!(op, Op::SetStore { .. }) && !fenced.is_empty() {
            return Err(Refusal::Revoked);
        }
        let before = self.keys.clone();
        let answer = match op {
            Op::Set { key, value, deadline, condition, get, .. }
                if self.rule_of(&name(key)).is_some() =>
            {
                let rule = self.rule_of(&name(key));
                let owner = rule.and_then(|rule| user_of(rule, &Content::Text(value.to_vec())));
                let (key, deadline, condition) = (*key, *deadline, *condition);
                let owner = owner.as_deref().filter(|_| fenced.is_empty());
                self.apply_plain(
                    &Op::Set { key, value, deadline, condition, owner, get: *get },
                    observed,
                )
            }
            _ => self.apply_plain(op, observed),
        };
        for name in &fenced {
            self.keys.remove(name);
        }
        self.forget_users();
        let outcome = answer?;
        for name in makes.iter().chain(&writes).filter(|name| !fenced.contains(name)) {
            if self.rule_of(name).is_some() {
                self.settle(name);
            }
        }
        let may_end = |name: &Name| match op {
            Op::SessionRevokeUser { .. } | Op::SessionRevokeAll => true,
            _ => ends.contains(name),
        };
        for (name, held) in &before {
            if held.owner.is_some() && !self.keys.contains_key(name) && may_end(name) {
                self.fence(name);
            }
        }
        Ok(outcome)
    }

    fn set_rule(&mut self, rule: &Rule) {
        let at = self.rules.iter().position(|other| other.name == rule.name);
        if at.is_some_and(|at| self.rules[at] == *rule) {
            return;
        }
        if let Some(at) = at {
            let old = self.rules.remove(at);
            if old.keys != rule.keys {
                self.begin(&old.name, &old.keys, true);
            }
        }
        self.rules.push(rule.clone());
        self.rules.sort_by(|one, other| one.name.cmp(&other.name));
        self.begin(&rule.name, &rule.keys, false);
    }

    fn delete_rule(&mut self, name: &[u8]) -> Outcome {
        let Some(at) = self.rules.iter().position(|rule| rule.name == name) else {
            return Outcome::Flag(false);
        };
        let old = self.rules.remove(at);
        self.begin(name, &old.keys, true);
        Outcome::Flag(true)
    }

    fn begin(&mut self, rule: &[u8], keys: &[u8], removes: bool) {
        self.last_job += 1;
        let (mut revoked, mut revoked_all) = (BTreeSet::new(), false);
        for other in std::mem::take(&mut self.jobs) {
            if other.rule != rule || other.removes && other.keys != keys {
                self.jobs.push(other);
            } else if !removes {
                revoked.extend(other.revoked);
                revoked_all |= other.revoked_all;
            }
        }
        let (number, rule, keys) = (self.last_job, rule.to_vec(), keys.to_vec());
        self.jobs.push(Job { number, rule, keys, removes, revoked, revoked_all });
    }

    fn index(&mut self, number: u64, keys: &[Key<'_>], done: bool) -> Outcome {
        let mut changed = 0;
        for key in keys {
            let name = name(key);
            let (owner, rule) = (self.owner_by_rules(&name), self.rule_of(&name));
            let job = self.jobs.iter().find(|job| job.number == number);
            let ends = match (&owner, job, rule, self.keys.get(&name)) {
                (Some(user), Some(job), Some(rule), Some(held)) => {
                    !job.removes
                        && job.rule == rule.name
                        && held.owner != owner
                        && (job.revoked_all || job.revoked.contains(user))
                }
                _ => false,
            };
            if ends {
                self.keys.remove(&name);
                self.forget_users();
                self.fence(&name);
                changed += 1;
            } else {
                changed += i64::from(self.settle(&name));
            }
        }
        if done {
            self.jobs.retain(|job| job.number != number);
        }
        Outcome::Integer(changed)
    }
}

/// The keys that an op may make, those it may write to, and those it may end.
fn names_of(op: &Op<'_>) -> (Vec<Name>, Vec<Name>, Vec<Name>) {
    let all = |db: u8, words: Words<'_>| words.iter().map(|key| (db, key.to_vec())).collect();
    let (mut makes, mut writes, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    match op {
        Op::Set { key, .. } => {
            makes.push(name(key));
            ends.push(name(key));
        }
        Op::SetMany { db, pairs, .. } => {
            makes = pairs.pairs().map(|(key, _)| (*db, key.to_vec())).collect();
        }
        Op::Append { key, .. }
        | Op::SetRange { key, .. }
        | Op::Increment { key, .. }
        | Op::IncrementFloat { key, .. }
        | Op::Restore { key, .. }
        | Op::HashSet { key, .. }
        | Op::HashIncrement { key, .. }
        | Op::HashIncrementFloat { key, .. }
        | Op::SetAdd { key, .. }
        | Op::SortedAdd { key, .. }
        | Op::ListPush { key, .. }
        | Op::Rename { to: key, .. }
        | Op::Copy { to: key, .. }
        | Op::SetMove { to: key, .. }
        | Op::ListMove { to: key, .. }
        | Op::SetStore { destination: key, .. } => makes.push(name(key)),
        Op::HashDelete { key, .. } => writes.push(name(key)),
        Op::GetDelete { key } | Op::GetExpire { key, .. } | Op::Expire { key, .. } => {
            ends.push(name(key));
        }
        Op::Delete { db, keys } => ends = all(*db, *keys),
        _ => {}
    }
    (makes, writes, ends)
}
