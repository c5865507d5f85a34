//! The model's strings and keys.

use hallpass_engine::value::{Collection, ValueSeed};
use hallpass_engine::{Condition, Deadline, Due, Key, Op, Outcome, Refusal};

use super::{Answer, Bytes, Content, Held, Model, NEVER, Name, alive, close_to, decimal, integer};

pub(super) fn name(key: &Key<'_>) -> Name {
    (key.db(), key.bytes().to_vec())
}

/// What a collection's byte form says.
fn content(form: &[u8]) -> Option<Content> {
    Some(match Collection::decode(form, ValueSeed::default()).ok()? {
        Collection::Hash(hash) => {
            let pair = |(field, value): (&[u8], &[u8])| (field.to_vec(), value.to_vec());
            Content::Hash(hash.iter().map(pair).collect())
        }
        Collection::Set(set) => Content::Set(set.iter().map(|member| member.to_vec()).collect()),
        Collection::Sorted(sorted) => {
            Content::Sorted(sorted.iter().map(|(member, score)| (member.to_vec(), score)).collect())
        }
        Collection::List(list) => Content::List(list.iter().map(<[u8]>::to_vec).collect()),
    })
}

impl Model {
    fn text(&self, name: &Name) -> Result<Option<Bytes>, Refusal> {
        match self.keys.get(name).map(|held| &held.content) {
            Some(Content::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Refusal::WrongType),
            None => Ok(None),
        }
    }

    /// Changes a string, keeping deadline and owner.
    fn rewrite(&mut self, name: &Name, text: Bytes) {
        let fresh = Held { content: Content::Text(Vec::new()), deadline: NEVER, owner: None };
        self.keys.entry(name.clone()).or_insert(fresh).content = Content::Text(text);
    }

    /// Puts something under a key, whatever was there.
    pub(super) fn put(&mut self, name: Name, held: Held) {
        if self.keys.get(&name).is_none_or(|old| old.owner != held.owner) {
            self.keys.remove(&name);
            self.forget_users();
        }
        if let Some(owner) = &held.owner {
            self.own(owner);
        }
        self.keys.insert(name, held);
    }

    pub(super) fn apply_key(&mut self, op: &Op<'_>, observed: &Outcome) -> Answer {
        match op {
            Op::Set { .. } => return self.set(op),
            Op::SetMany { db, pairs, if_none_exist } => {
                let name = |key: &[u8]| (*db, key.to_vec());
                if *if_none_exist
                    && pairs.pairs().any(|(key, _)| self.keys.contains_key(&name(key)))
                {
                    return Ok(Outcome::Flag(false));
                }
                for (key, value) in pairs.pairs() {
                    let content = Content::Text(value.to_vec());
                    self.put(name(key), Held { content, deadline: NEVER, owner: None });
                }
                return Ok(if *if_none_exist { Outcome::Flag(true) } else { Outcome::Done });
            }
            Op::Rename { from, to, if_absent } => {
                return self.rename(name(from), name(to), *if_absent);
            }
            Op::Copy { from, to, replace } => return self.copy(name(from), name(to), *replace),
            Op::Restore { .. } => return self.restore(op),
            Op::Flush { db: Some(db) } => self.keys.retain(|(other, _), _| other != db),
            Op::Flush { db: None } => {
                self.keys.clear();
                self.sessions.clear();
                self.aliases.clear();
            }
            // The model takes no fingerprints: a test of its own does.
            Op::Unchanged { .. } => return Ok(observed.clone()),
            Op::Delete { db, keys } => {
                let mut removed = 0;
                for key in keys.iter() {
                    removed += i64::from(self.keys.remove(&(*db, key.to_vec())).is_some());
                }
                return Ok(Outcome::Integer(removed));
            }
            _ => return self.change_string(op, observed),
        }
        Ok(Outcome::Done)
    }

    fn set(&mut self, op: &Op<'_>) -> Answer {
        let Op::Set { key, value, deadline, condition, owner, get } = op else { unreachable!() };
        let name = name(key);
        let old =
            if *get { Some(self.text(&name)?.map_or(Outcome::Nil, Outcome::Bytes)) } else { None };
        let exists = self.keys.contains_key(&name);
        if *condition == Condition::IfAbsent && exists
            || *condition == Condition::IfPresent && !exists
        {
            return Ok(old.unwrap_or(Outcome::Skipped));
        }
        let deadline = match deadline {
            Deadline::Clear => NEVER,
            Deadline::Keep => self.keys.get(&name).map_or(NEVER, |held| held.deadline),
            Deadline::At(at) => at.millis(),
            Deadline::After(millis) => self.now + millis,
        };
        if alive(deadline, self.now) {
            let content = Content::Text(value.to_vec());
            self.put(name, Held { content, deadline, owner: owner.map(<[u8]>::to_vec) });
        } else {
            self.keys.remove(&name);
        }
        Ok(old.unwrap_or(Outcome::Done))
    }

    fn rename(&mut self, from: Name, to: Name, if_absent: bool) -> Answer {
        if !self.keys.contains_key(&from) {
            return if from.0 == to.0 { Err(Refusal::NoSuchKey) } else { Ok(Outcome::Flag(false)) };
        }
        let flag = |flag| if if_absent { Outcome::Flag(flag) } else { Outcome::Done };
        if from == to || if_absent && self.keys.contains_key(&to) {
            return Ok(flag(false));
        }
        if let Some(held) = self.keys.remove(&from) {
            self.keys.insert(to, held);
        }
        Ok(flag(true))
    }

    fn copy(&mut self, from: Name, to: Name, replace: bool) -> Answer {
        if from == to {
            return Err(Refusal::SameKey);
        }
        let source = self.keys.get(&from).cloned();
        match source {
            Some(held) if replace || !self.keys.contains_key(&to) => {
                self.keys.insert(to, held);
                Ok(Outcome::Flag(true))
            }
            _ => Ok(Outcome::Flag(false)),
        }
    }

    fn restore(&mut self, op: &Op<'_>) -> Answer {
        let Op::Restore { key, value, is_collection, deadline, replace } = op else {
            unreachable!()
        };
        let content = if *is_collection {
            content(value).ok_or(Refusal::Malformed)?
        } else {
            Content::Text(value.to_vec())
        };
        let name = name(key);
        if self.keys.contains_key(&name) && !replace {
            return Err(Refusal::KeyExists);
        }
        self.keys.remove(&name);
        self.forget_users();
        let deadline = match deadline {
            None => NEVER,
            Some(Due::At(at)) => at.millis(),
            Some(Due::After(millis)) => self.now + millis,
        };
        if alive(deadline, self.now) {
            self.put(name, Held { content, deadline, owner: None });
        }
        Ok(Outcome::Done)
    }

    fn change_string(&mut self, op: &Op<'_>, observed: &Outcome) -> Answer {
        Ok(match op {
            Op::Append { key, value } => {
                let mut text = self.text(&name(key))?.unwrap_or_default();
                text.extend_from_slice(value);
                let length = text.len();
                self.rewrite(&name(key), text);
                Outcome::Integer(length as i64)
            }
            Op::SetRange { key, offset, value } => {
                let mut text = self.text(&name(key))?.unwrap_or_default();
                if !value.is_empty() {
                    let (start, end) = (*offset as usize, *offset as usize + value.len());
                    text.resize(text.len().max(end), 0);
                    text[start..end].copy_from_slice(value);
                    self.rewrite(&name(key), text.clone());
                }
                Outcome::Integer(text.len() as i64)
            }
            Op::Increment { key, by } => {
                let old = match self.text(&name(key))? {
                    Some(text) => integer(&text).ok_or(Refusal::NotAnInteger)?,
                    None => 0,
                };
                let new = old.checked_add(*by).ok_or(Refusal::Overflow)?;
                self.rewrite(&name(key), new.to_string().into_bytes());
                Outcome::Integer(new)
            }
            Op::IncrementFloat { key, by } => {
                let old = match self.text(&name(key))? {
                    Some(text) => decimal(&text).ok_or(Refusal::NotAFloat)?,
                    None => 0.0,
                };
                let sum = old + decimal(by).expect("checked by the caller");
                let text = close_to(sum, observed).ok_or(Refusal::NotFinite)?;
                self.rewrite(&name(key), text.clone());
                Outcome::Bytes(text)
            }
            Op::GetDelete { key } => {
                let text = self.text(&name(key))?;
                self.keys.remove(&name(key));
                text.map_or(Outcome::Nil, Outcome::Bytes)
            }
            Op::GetExpire { key, deadline } => {
                let Some(text) = self.text(&name(key))? else { return Ok(Outcome::Nil) };
                match deadline {
                    Deadline::Keep => {}
                    Deadline::Clear => self.move_deadline(&name(key), NEVER),
                    Deadline::At(at) => self.move_deadline(&name(key), at.millis()),
                    Deadline::After(millis) => {
                        self.move_deadline(&name(key), self.now + millis);
                    }
                }
                Outcome::Bytes(text)
            }
            Op::Persist { key } => match self.keys.get_mut(&name(key)) {
                Some(held) if held.deadline != NEVER => {
                    held.deadline = NEVER;
                    Outcome::Flag(true)
                }
                _ => Outcome::Flag(false),
            },
            Op::Expire { key, at, condition } => {
                let Some(held) = self.keys.get(&name(key)) else { return Ok(Outcome::Flag(false)) };
                let at = match at {
                    Due::At(at) => at.millis(),
                    Due::After(millis) => self.now + millis,
                };
                let old = held.deadline;
                let holds = (!condition.if_none || old == NEVER)
                    && (!condition.if_some || old != NEVER)
                    && (!condition.if_later || old != NEVER && at > old)
                    && (!condition.if_sooner || old == NEVER || at < old);
                if holds {
                    self.move_deadline(&name(key), at);
                }
                Outcome::Flag(holds)
            }
            _ => unreachable!("{op:?}"),
        })
    }

    fn move_deadline(&mut self, name: &Name, deadline: u64) {
        if alive(deadline, self.now) {
            self.keys.get_mut(name).expect("looked at before").deadline = deadline;
        } else {
            self.keys.remove(name);
        }
    }
}
