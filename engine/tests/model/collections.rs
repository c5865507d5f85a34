//! The model's hashes, sets, sorted sets and lists.

#![allow(clippy::float_cmp)] // scores are compared as Redis compares them

use std::collections::{BTreeMap, BTreeSet};

use hallpass_engine::value::sorted::{LexBound, ScoreBound};
use hallpass_engine::{
    Combination, Key, Op, Outcome, Refusal, Side, SortedAddOptions, SortedEnd, SortedRange,
};

use super::keys::name;
use super::{Answer, Bytes, Content, Held, Model, NEVER, Name, close_to, decimal, integer};

macro_rules! access {
    ($method:ident, $variant:ident, $type:ty) => {
        /// The content of a key, made when it is absent and `create`.
        fn $method(&mut self, key: &Key<'_>, create: bool) -> Result<Option<&mut $type>, Refusal> {
            if create && !self.keys.contains_key(&name(key)) {
                let content = Content::$variant(<$type>::default());
                self.keys.insert(name(key), Held { content, deadline: NEVER, owner: None });
            }
            match self.keys.get_mut(&name(key)).map(|held| &mut held.content) {
                None => Ok(None),
                Some(Content::$variant(content)) => Ok(Some(content)),
                Some(_) => Err(Refusal::WrongType),
            }
        }
    };
}

impl Model {
    access!(hash, Hash, BTreeMap<Bytes, Bytes>);
    access!(members, Set, BTreeSet<Bytes>);
    access!(sorted, Sorted, BTreeMap<Bytes, f64>);
    access!(list, List, Vec<Bytes>);

    pub(super) fn apply_collection(&mut self, op: &Op<'_>, observed: &Outcome) -> Answer {
        let answer = match op {
            Op::HashSet { .. }
            | Op::HashDelete { .. }
            | Op::HashIncrement { .. }
            | Op::HashIncrementFloat { .. } => self.apply_hash(op, observed),
            Op::SetAdd { .. }
            | Op::SetRemove { .. }
            | Op::SetPop { .. }
            | Op::SetMove { .. }
            | Op::SetStore { .. } => self.apply_set(op, observed),
            Op::SortedAdd { key, members, options } => self.sorted_add(key, members, *options),
            Op::SortedRemove { .. } | Op::SortedRemoveRange { .. } | Op::SortedPop { .. } => {
                self.apply_sorted(op)
            }
            _ => self.apply_list(op),
        };
        self.keys.retain(|_, held| match &held.content {
            Content::Text(_) => true,
            Content::Hash(hash) => !hash.is_empty(),
            Content::Set(set) => !set.is_empty(),
            Content::Sorted(sorted) => !sorted.is_empty(),
            Content::List(list) => !list.is_empty(),
        });
        answer
    }

    fn apply_hash(&mut self, op: &Op<'_>, observed: &Outcome) -> Answer {
        Ok(match op {
            Op::HashSet { key, pairs, if_absent } => {
                let hash = self.hash(key, true)?.expect("created");
                let mut new = 0;
                for (field, value) in pairs.pairs() {
                    let known = hash.contains_key(field);
                    new += i64::from(!known);
                    if !(known && *if_absent) {
                        hash.insert(field.to_vec(), value.to_vec());
                    }
                }
                Outcome::Integer(new)
            }
            Op::HashDelete { key, fields } => {
                let Some(hash) = self.hash(key, false)? else { return Ok(Outcome::Integer(0)) };
                let removed = fields.iter().filter(|field| hash.remove(*field).is_some()).count();
                Outcome::Integer(removed as i64)
            }
            Op::HashIncrement { key, field, by } => {
                let hash = self.hash(key, true)?.expect("created");
                let old = match hash.get(*field) {
                    Some(text) => integer(text).ok_or(Refusal::HashValueNotAnInteger)?,
                    None => 0,
                };
                let new = old.checked_add(*by).ok_or(Refusal::Overflow)?;
                hash.insert(field.to_vec(), new.to_string().into_bytes());
                Outcome::Integer(new)
            }
            Op::HashIncrementFloat { key, field, by } => {
                let hash = self.hash(key, true)?.expect("created");
                let old = match hash.get(*field) {
                    Some(text) => decimal(text).ok_or(Refusal::HashValueNotAFloat)?,
                    None => 0.0,
                };
                let sum = old + decimal(by).expect("checked by the caller");
                let text = close_to(sum, observed).ok_or(Refusal::NotFinite)?;
                hash.insert(field.to_vec(), text.clone());
                Outcome::Bytes(text)
            }
            _ => unreachable!("{op:?}"),
        })
    }

    fn apply_set(&mut self, op: &Op<'_>, observed: &Outcome) -> Answer {
        Ok(match op {
            Op::SetAdd { key, members } => {
                let set = self.members(key, true)?.expect("created");
                let new = members.iter().filter(|member| set.insert(member.to_vec())).count();
                Outcome::Integer(new as i64)
            }
            Op::SetRemove { key, members } => {
                let Some(set) = self.members(key, false)? else { return Ok(Outcome::Integer(0)) };
                let removed = members.iter().filter(|member| set.remove(*member)).count();
                Outcome::Integer(removed as i64)
            }
            Op::SetPop { key, count, .. } => {
                let Some(set) = self.members(key, false)? else {
                    return Ok(count.map_or(Outcome::Nil, |_| Outcome::List(Vec::new())));
                };
                let wanted = count.map_or(1, |count| count as usize).min(set.len());
                let popped = match observed {
                    Outcome::Bytes(member) if count.is_none() => vec![member.clone()],
                    Outcome::List(members) if count.is_some() => members.clone(),
                    _ => Vec::new(),
                };
                // Whichever members it took: the right number, each of them once.
                let taken = popped.iter().filter(|member| set.remove(*member)).count();
                if taken != wanted || popped.len() != wanted {
                    return Ok(Outcome::Skipped);
                }
                observed.clone()
            }
            Op::SetMove { from, to, member } => {
                if self.members(from, false)?.is_none() {
                    return Ok(Outcome::Flag(false));
                }
                self.members(to, false)?;
                let moved = match self.members(from, false)? {
                    Some(set) if name(from) == name(to) => set.contains(*member),
                    Some(set) => set.remove(*member),
                    None => false,
                };
                if moved {
                    self.members(to, true)?.expect("created").insert(member.to_vec());
                }
                Outcome::Flag(moved)
            }
            Op::SetStore { destination, sources, combination } => {
                let mut sets = Vec::new();
                for source in sources.iter() {
                    sets.push(self.set_named(&(destination.db(), source.to_vec()))?);
                }
                let mut combined = sets[0].clone();
                for set in &sets[1..] {
                    match combination {
                        Combination::Intersection => combined.retain(|it| set.contains(it)),
                        Combination::Union => combined.extend(set.iter().cloned()),
                        Combination::Difference => combined.retain(|it| !set.contains(it)),
                    }
                }
                let size = combined.len() as i64;
                let content = Content::Set(combined);
                self.put(name(destination), Held { content, deadline: NEVER, owner: None });
                Outcome::Integer(size)
            }
            _ => unreachable!("{op:?}"),
        })
    }

    fn set_named(&self, name: &Name) -> Result<BTreeSet<Bytes>, Refusal> {
        match self.keys.get(name).map(|held| &held.content) {
            None => Ok(BTreeSet::new()),
            Some(Content::Set(set)) => Ok(set.clone()),
            Some(_) => Err(Refusal::WrongType),
        }
    }

    fn sorted_add(
        &mut self,
        key: &Key<'_>,
        members: &[(f64, &[u8])],
        options: SortedAddOptions,
    ) -> Answer {
        let sorted = self.sorted(key, !options.if_present)?;
        let Some(sorted) = sorted else {
            return Ok(if options.increment { Outcome::Nil } else { Outcome::Integer(0) });
        };
        let (mut new, mut changed, mut last) = (0, 0, None);
        for &(score, member) in members {
            let old = sorted.get(member).copied();
            let score = if options.increment { score + old.unwrap_or(0.0) } else { score };
            let barred = match old {
                None => options.if_present,
                Some(old) => {
                    if !options.if_absent && score.is_nan() {
                        return Err(Refusal::ScoreNotANumber);
                    }
                    options.if_absent
                        || options.if_greater && score <= old
                        || options.if_less && score >= old
                }
            };
            last = (!barred).then_some(score);
            if !barred {
                new += i64::from(old.is_none());
                changed += i64::from(old.is_some_and(|old| old != score));
                sorted.insert(member.to_vec(), score);
            }
        }
        Ok(if options.increment {
            last.map_or(Outcome::Nil, Outcome::Float)
        } else {
            Outcome::Integer(if options.report_changed { new + changed } else { new })
        })
    }

    /// Whether a range of members means something: when all scores are equal.
    pub fn lex_is_defined(&self, key: &Key<'_>) -> bool {
        match self.keys.get(&name(key)).map(|held| &held.content) {
            Some(Content::Sorted(sorted)) => {
                let mut scores = sorted.values();
                scores.next().is_none_or(|first| scores.all(|score| score == first))
            }
            _ => true,
        }
    }

    fn apply_sorted(&mut self, op: &Op<'_>) -> Answer {
        let (Op::SortedRemove { key, .. }
        | Op::SortedRemoveRange { key, .. }
        | Op::SortedPop { key, .. }) = op
        else {
            unreachable!("{op:?}")
        };
        let nothing = match op {
            Op::SortedPop { .. } => Outcome::ScoredList(Vec::new()),
            _ => Outcome::Integer(0),
        };
        let Some(sorted) = self.sorted(key, false)? else { return Ok(nothing) };
        let mut order: Vec<(f64, Bytes)> =
            sorted.iter().map(|(member, score)| (*score, member.clone())).collect();
        order.sort_by(|a, b| a.partial_cmp(b).expect("no score is NaN"));
        let length = order.len() as i64;
        let index = |index: i64| if index < 0 { index + length } else { index };
        let picked: Vec<(f64, Bytes)> = match op {
            Op::SortedRemove { members, .. } => {
                let named = |member: &Bytes| members.iter().any(|other| other == member);
                order.into_iter().filter(|(_, member)| named(member)).collect()
            }
            Op::SortedPop { count, end, .. } => {
                if *end == SortedEnd::Highest {
                    order.reverse();
                }
                order.into_iter().take(*count as usize).collect()
            }
            Op::SortedRemoveRange { range, .. } => order
                .into_iter()
                .enumerate()
                .filter(|(at, (score, member))| match range {
                    SortedRange::Rank(start, stop) => {
                        (index(*start)..=index(*stop)).contains(&(*at as i64))
                    }
                    SortedRange::Score(from, to) => score_between(*score, from, to),
                    SortedRange::Lex(from, to) => lex_before(from, member) && lex_after(to, member),
                })
                .map(|(_, entry)| entry)
                .collect(),
            _ => unreachable!(),
        };
        for (_, member) in &picked {
            sorted.remove(member);
        }
        Ok(match op {
            Op::SortedPop { .. } => {
                Outcome::ScoredList(picked.into_iter().map(|(score, it)| (it, score)).collect())
            }
            _ => Outcome::Integer(picked.len() as i64),
        })
    }

    fn apply_list(&mut self, op: &Op<'_>) -> Answer {
        Ok(match op {
            Op::ListPush { key, values, side, if_exists } => {
                let Some(list) = self.list(key, !if_exists)? else {
                    return Ok(Outcome::Integer(0));
                };
                values.iter().for_each(|value| push(list, *side, value.to_vec()));
                Outcome::Integer(list.len() as i64)
            }
            Op::ListPop { key, count, side } => {
                let Some(list) = self.list(key, false)? else { return Ok(Outcome::Nil) };
                match count {
                    None => Outcome::Bytes(pop(list, *side)),
                    Some(count) => {
                        let count = (*count as usize).min(list.len());
                        Outcome::List((0..count).map(|_| pop(list, *side)).collect())
                    }
                }
            }
            Op::ListTrim { key, start, stop } => {
                if let Some(list) = self.list(key, false)? {
                    let length = list.len() as i64;
                    let index = |at: i64| if at < 0 { at + length } else { at };
                    let mut at = 0;
                    list.retain(|_| {
                        at += 1;
                        (index(*start)..=index(*stop)).contains(&(at - 1))
                    });
                }
                Outcome::Done
            }
            Op::ListRemove { key, count, value } => {
                let Some(list) = self.list(key, false)? else { return Ok(Outcome::Integer(0)) };
                let mut left = if *count == 0 { u64::MAX } else { count.unsigned_abs() };
                let before = list.len();
                let mut keep = |other: &Bytes| {
                    let goes = other == value && left > 0;
                    left -= u64::from(goes);
                    !goes
                };
                if *count < 0 {
                    list.reverse();
                    list.retain(&mut keep);
                    list.reverse();
                } else {
                    list.retain(&mut keep);
                }
                Outcome::Integer((before - list.len()) as i64)
            }
            Op::ListSet { key, index, value } => {
                let list = self.list(key, false)?.ok_or(Refusal::NoSuchKey)?;
                let at = if *index < 0 { *index + list.len() as i64 } else { *index };
                let place = usize::try_from(at).ok().and_then(|at| list.get_mut(at));
                *place.ok_or(Refusal::IndexOutOfRange)? = value.to_vec();
                Outcome::Done
            }
            Op::ListInsert { key, before, pivot, value } => {
                let Some(list) = self.list(key, false)? else { return Ok(Outcome::Integer(0)) };
                let Some(at) = list.iter().position(|other| other == pivot) else {
                    return Ok(Outcome::Integer(-1));
                };
                list.insert(if *before { at } else { at + 1 }, value.to_vec());
                Outcome::Integer(list.len() as i64)
            }
            Op::ListMove { from, to, from_side, to_side } => {
                if self.list(from, false)?.is_none() {
                    return Ok(Outcome::Nil);
                }
                self.list(to, false)?;
                let value = pop(self.list(from, false)?.expect("looked at"), *from_side);
                push(self.list(to, true)?.expect("created"), *to_side, value.clone());
                Outcome::Bytes(value)
            }
            _ => unreachable!("{op:?}"),
        })
    }
}

fn push(list: &mut Vec<Bytes>, side: Side, value: Bytes) {
    match side {
        Side::Head => list.insert(0, value),
        Side::Tail => list.push(value),
    }
}

/// Off a list that is not empty.
fn pop(list: &mut Vec<Bytes>, side: Side) -> Bytes {
    match side {
        Side::Head => list.remove(0),
        Side::Tail => list.pop().expect("no list is empty"),
    }
}

fn score_between(score: f64, from: &ScoreBound, to: &ScoreBound) -> bool {
    let above = if from.exclusive { score > from.score } else { score >= from.score };
    above && if to.exclusive { score < to.score } else { score <= to.score }
}

fn lex_before(from: &LexBound<'_>, member: &[u8]) -> bool {
    match from {
        LexBound::Lowest => true,
        LexBound::Highest => false,
        LexBound::Inclusive(end) => member >= *end,
        LexBound::Exclusive(end) => member > *end,
    }
}

fn lex_after(to: &LexBound<'_>, member: &[u8]) -> bool {
    match to {
        LexBound::Lowest => false,
        LexBound::Highest => true,
        LexBound::Inclusive(end) => member <= *end,
        LexBound::Exclusive(end) => member < *end,
    }
}
