//! What a random test does next: a few bytes, read as an op on small pools of names, so that everything
//! meets everything. Bytes shrink well, and the same step can be told to engines of different seeds.

use std::fmt;

use hallpass_engine::value::sorted::{LexBound, ScoreBound};
use hallpass_engine::value::{Collection, HashValue, ListValue, SetValue, SortedValue, ValueSeed};
use hallpass_engine::{
    Cap, Combination, Condition, Deadline, Due, ExpireCondition, FenceReply, HashSeed, Key, Limits,
    Op, Rule, SessionHash, Side, SortedAddOptions, SortedEnd, SortedRange, Source, Stamp, Words,
};
use proptest::prelude::*;

pub const KEYS: [&[u8]; 9] = [
    b"a",
    b"b",
    b"sess:1",
    b"sess:2",
    b"sess:3",
    b"",
    b"h",
    b"z",
    b"a name that is somewhat longer than the others",
];
pub const DATABASES: [u8; 3] = [0, 1, 15];
pub const USERS: [&[u8]; 5] = [b"alice", b"bob", b"", b"carol of the long name", b"10"];
const VALUES: [&[u8]; 11] = [
    b"{\"user\":\"alice\"}",
    b"{\"user\":\"bob\"}",
    b"10",
    b"",
    b"3.5",
    b"abc",
    b"-7",
    b"9223372036854775807",
    b"a value that takes a few more bytes than the smallest size class of the arena holds",
    b"x",
    b"{\"user\":10}",
];
const MEMBERS: [&[u8]; 6] = [b"1", b"2", b"three", b"4", b"-5", b"a member"];
const NUMBERS: [i64; 8] = [0, 1, 2, 3, -1, -2, 5, i64::MAX];
const SCORES: [f64; 6] = [0.0, 1.0, 2.5, -3.0, f64::INFINITY, f64::NEG_INFINITY];
const WAITS: [u64; 16] = [
    0,
    0,
    0,
    1,
    1,
    60,
    127,
    128,
    1000,
    1000,
    5000,
    60_000,
    3_600_000,
    100_000_000,
    40 * 86_400_000,
    10 * 365 * 86_400_000,
];
const DELAYS: [i64; 12] = [
    -1000,
    0,
    1,
    100,
    128,
    1000,
    1000,
    10_000,
    60_000,
    3_600_000,
    40 * 86_400_000,
    10 * 365 * 86_400_000,
];
const GRACES: [u64; 5] = [0, 1, 0, 3000, 100_000];
const IDLE: [u32; 5] = [0, 1, 60, 3600, 60];
const LIFETIME: [u32; 5] = [0, 0, 2, 120, 86_400];

/// Fourteen ids, most of which fall into different shards.
pub fn id(number: u8) -> SessionHash {
    let number = number % 14;
    let mut bytes = [number.wrapping_mul(37); 16];
    bytes[7] = number << 4;
    SessionHash(bytes)
}

pub fn ids() -> impl Iterator<Item = SessionHash> {
    (0..14).map(id)
}

/// One step: its kind and what it is about.
#[derive(Clone, Copy)]
pub struct Step(pub [u8; 10]);

/// What kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Apply the op.
    Op,
    /// Let so many milliseconds pass.
    Wait(u64),
    /// Validate a session, with or without touching it.
    Validate(SessionHash, bool),
    /// Sweep with a budget.
    Sweep(usize),
    /// Sweep until nothing is left, and count.
    Settle,
    /// Begin a snapshot, or write a slice of the one that was begun.
    Snapshot,
    /// Go through a snapshot at once.
    RoundTrip,
    /// Index a slice of what was there before a rule.
    Index,
}

pub fn step() -> impl Strategy<Value = Step> {
    any::<[u8; 10]>().prop_map(Step)
}

pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..most)
}

/// Takes choices off a step's bytes.
struct Choices<'s>(std::slice::Iter<'s, u8>);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, pool: &[T]) -> T {
        pool[usize::from(self.byte()) % pool.len()]
    }

    fn bit(&mut self, bit: u8) -> bool {
        self.0.as_slice().last().is_some_and(|last| last >> bit & 1 == 1)
    }

    fn side(&mut self, bit: u8) -> Side {
        if self.bit(bit) { Side::Head } else { Side::Tail }
    }

    fn db(&mut self) -> u8 {
        // Mostly the first, so that keys meet.
        if self.bit(7) && self.bit(6) { self.pick(&DATABASES) } else { DATABASES[0] }
    }

    fn key(&mut self, seed: &HashSeed) -> Key<'static> {
        let db = self.db();
        Key::new(seed, db, self.pick(&KEYS))
    }

    fn id(&mut self) -> SessionHash {
        id(self.byte())
    }

    fn stamp(&mut self, now: Stamp) -> Stamp {
        match now.millis().checked_add_signed(self.pick(&DELAYS)) {
            Some(millis) => Stamp::from_millis(millis),
            None => now,
        }
    }

    fn due(&mut self, now: Stamp) -> Due {
        let at = self.stamp(now);
        let ahead = !at.is_never() && at > now && self.bit(1);
        if ahead { Due::After(at.millis_since(now)) } else { Due::At(at) }
    }

    fn deadline(&mut self, now: Stamp) -> Deadline {
        match self.byte() % 4 {
            0 => Deadline::Clear,
            1 => Deadline::Keep,
            _ => self.due(now).into(),
        }
    }
}

impl Step {
    pub fn kind(&self) -> Move {
        let [kind, choice, ..] = self.0;
        match kind {
            0..176 => Move::Op,
            176..184 => Move::Index,
            184..200 => Move::Wait(WAITS[usize::from(choice) % WAITS.len()]),
            200..222 => Move::Validate(id(choice), self.0[2] & 1 == 1),
            222..234 => Move::Sweep(usize::from(choice) % 8),
            234..240 => Move::Settle,
            240..252 => Move::Snapshot,
            252.. => Move::RoundTrip,
        }
    }

    /// Hands the op of this step over, as an engine with `seed` takes it.
    pub fn with_op<R>(&self, seed: &HashSeed, now: Stamp, apply: impl FnOnce(&Op<'_>) -> R) -> R {
        let mut choices = Choices(self.0[1..].iter());
        match self.0[0] % 46 {
            kind @ 0..14 => with_key_op(kind, &mut choices, seed, now, apply),
            kind @ 14..29 => with_collection_op(kind, &mut choices, seed, apply),
            44.. => apply(&with_rule_op(&mut choices)),
            kind => with_session_op(kind, &mut choices, apply),
        }
    }
}

const RULES: [&[u8]; 2] = [b"express", b"spring"];
const PATTERNS: [&[u8]; 4] = [b"sess:*", b"h", b"sess:1", b"*"];
const FENCES: [u64; 4] = [0, 60, 5000, 100_000];

fn with_rule_op(choices: &mut Choices<'_>) -> Op<'static> {
    let name = choices.pick(&RULES);
    if choices.byte().is_multiple_of(4) {
        return Op::RuleDelete { name };
    }
    let (keys, fence_millis) = (choices.pick(&PATTERNS).to_vec(), choices.pick(&FENCES));
    let source = match choices.byte() % 4 {
        0 => Source { field: Some(MEMBERS[2].to_vec()), ..Source::default() },
        1 => Source::default(),
        _ => Source { pointer: Some(b"/user".to_vec()), ..Source::default() },
    };
    let fence_reply = if choices.bit(5) { FenceReply::Error } else { FenceReply::Ok };
    let name = name.to_vec();
    Op::RuleSet { rule: Box::new(Rule { name, keys, source, fence_millis, fence_reply }) }
}

fn with_key_op<R>(
    kind: u8,
    choices: &mut Choices<'_>,
    seed: &HashSeed,
    now: Stamp,
    apply: impl FnOnce(&Op<'_>) -> R,
) -> R {
    let key = choices.key(seed);
    let op = match kind {
        0..=3 => Op::Set {
            key,
            value: choices.pick(&VALUES),
            deadline: choices.deadline(now),
            condition: choices.pick(&[
                Condition::Always,
                Condition::Always,
                Condition::IfAbsent,
                Condition::IfPresent,
            ]),
            owner: choices.bit(0).then(|| choices.pick(&USERS)),
            get: choices.bit(1),
        },
        4 => {
            let words = [choices.pick(&KEYS), choices.pick(&VALUES), choices.pick(&KEYS), b"2"];
            let pairs = Words::from_slices(&words);
            let op = Op::SetMany { db: key.db(), pairs, if_none_exist: choices.bit(0) };
            return apply(&op);
        }
        5 => match choices.byte() % 5 {
            0 => Op::Append { key, value: choices.pick(&VALUES) },
            1 => {
                let offset = u64::from(choices.byte() % 90);
                Op::SetRange { key, offset, value: choices.pick(&VALUES) }
            }
            2 => Op::Increment { key, by: choices.pick(&NUMBERS) },
            3 => Op::IncrementFloat { key, by: choices.pick(&[b"0.5", b"-1.5", b"200"]) },
            _ => Op::GetDelete { key },
        },
        6 => Op::GetExpire { key, deadline: choices.deadline(now) },
        7 => {
            let words = [key.bytes(), choices.pick(&KEYS), key.bytes()];
            let count = 1 + usize::from(choices.byte()) % 3;
            let keys = Words::from_slices(&words[..count]);
            return apply(&Op::Delete { db: key.db(), keys });
        }
        8 | 9 => {
            let at = choices.due(now);
            let condition = match choices.byte() % 12 {
                0 => ExpireCondition { if_none: true, ..Default::default() },
                1 => ExpireCondition { if_some: true, ..Default::default() },
                2 => ExpireCondition { if_later: true, ..Default::default() },
                3 => ExpireCondition { if_sooner: true, ..Default::default() },
                4 => ExpireCondition { if_some: true, if_later: true, ..Default::default() },
                _ => ExpireCondition::default(),
            };
            Op::Expire { key, at, condition }
        }
        10 => Op::Persist { key },
        11 | 12 => Op::Rename { from: key, to: choices.key(seed), if_absent: choices.bit(0) },
        _ => match choices.byte() % 24 {
            0 => Op::Flush { db: None },
            1 => Op::Flush { db: Some(key.db()) },
            2..8 => {
                let (text, form) = (choices.pick(&VALUES), whole(choices));
                let is_collection = choices.bit(2);
                Op::Restore {
                    key,
                    value: if is_collection { form.into() } else { text.into() },
                    is_collection,
                    deadline: choices.bit(3).then(|| choices.due(now)),
                    replace: choices.bit(0),
                }
            }
            _ => Op::Copy { from: key, to: choices.key(seed), replace: choices.bit(0) },
        },
    };
    apply(&op)
}

/// A collection's byte form, or now and then something that is none.
fn whole(choices: &mut Choices<'_>) -> Vec<u8> {
    let (seed, mut form) = (ValueSeed::default(), Vec::new());
    let words = [choices.pick(&MEMBERS), choices.pick(&MEMBERS), choices.pick(&VALUES)];
    let collection = match choices.byte() % 5 {
        0 => {
            let mut hash = HashValue::new(seed);
            for word in words {
                hash.insert(word, words[2]);
            }
            Collection::Hash(hash)
        }
        1 => {
            let mut set = SetValue::new(seed);
            for word in words {
                set.insert(word);
            }
            Collection::Set(set)
        }
        2 => {
            let (mut sorted, options) = (SortedValue::new(seed), SortedAddOptions::default());
            for word in words {
                let _ = sorted.add(word, choices.pick(&SCORES), options);
            }
            Collection::Sorted(sorted)
        }
        3 => {
            let mut list = ListValue::new();
            for word in words {
                list.push(Side::Tail, word);
            }
            Collection::List(list)
        }
        _ => return words[2].to_vec(),
    };
    collection.encode_into(&mut form);
    form
}

fn with_collection_op<R>(
    kind: u8,
    choices: &mut Choices<'_>,
    seed: &HashSeed,
    apply: impl FnOnce(&Op<'_>) -> R,
) -> R {
    let key = choices.key(seed);
    let words = [choices.pick(&MEMBERS), choices.pick(&VALUES), choices.pick(&MEMBERS), b"77"];
    let [word, value, other, _] = words;
    let all = Words::from_slices(&words);
    let some = Words::from_slices(&words[..3]);
    let count = choices.bit(1).then(|| u64::from(choices.byte() % 4));
    let number = choices.pick(&NUMBERS);
    let op = match kind {
        14 | 15 => Op::HashSet { key, pairs: all, if_absent: choices.bit(0) },
        16 => match choices.byte() % 3 {
            0 => Op::HashDelete { key, fields: some },
            1 => Op::HashIncrement { key, field: word, by: number },
            _ => Op::HashIncrementFloat { key, field: word, by: b"0.5" },
        },
        17 | 18 => Op::SetAdd { key, members: some },
        19 => Op::SetRemove { key, members: some },
        20 => Op::SetPop { key, count, seed: u64::from(choices.byte()) << 32 | 7 },
        21 => {
            let to = Key::new(seed, key.db(), choices.pick(&KEYS));
            Op::SetMove { from: key, to, member: word }
        }
        22 => {
            let sources = [choices.pick(&KEYS), choices.pick(&KEYS)];
            let combination = choices.pick(&[
                Combination::Intersection,
                Combination::Union,
                Combination::Difference,
            ]);
            let sources = Words::from_slices(&sources);
            return apply(&Op::SetStore { destination: key, sources, combination });
        }
        23 | 24 => {
            let options = match choices.byte() % 8 {
                0 => SortedAddOptions { if_absent: true, ..Default::default() },
                1 => SortedAddOptions { if_present: true, ..Default::default() },
                2 => SortedAddOptions { if_greater: true, ..Default::default() },
                3 => SortedAddOptions { if_less: true, ..Default::default() },
                4 => SortedAddOptions { if_greater: true, increment: true, ..Default::default() },
                5 => SortedAddOptions { increment: true, ..Default::default() },
                6 => SortedAddOptions { report_changed: true, ..Default::default() },
                _ => SortedAddOptions::default(),
            };
            let mut members = vec![(choices.pick(&SCORES), word), (choices.pick(&SCORES), other)];
            members.truncate(if options.increment { 1 } else { 2 });
            Op::SortedAdd { key, members, options }
        }
        25 => match choices.byte() % 5 {
            0 => Op::SortedRemove { key, members: some },
            1 => Op::SortedRemoveRange { key, range: SortedRange::Rank(number, 3) },
            2 => {
                let from = ScoreBound { score: choices.pick(&SCORES), exclusive: choices.bit(0) };
                let to = ScoreBound { score: choices.pick(&SCORES), exclusive: choices.bit(2) };
                Op::SortedRemoveRange { key, range: SortedRange::Score(from, to) }
            }
            3 => {
                let range = SortedRange::Lex(LexBound::Exclusive(word), LexBound::Inclusive(other));
                Op::SortedRemoveRange { key, range }
            }
            _ => {
                let end = if choices.bit(0) { SortedEnd::Lowest } else { SortedEnd::Highest };
                Op::SortedPop { key, count: count.unwrap_or(1), end }
            }
        },
        26 => Op::ListPush { key, values: some, side: choices.side(0), if_exists: choices.bit(2) },
        27 => match choices.byte() % 3 {
            0 => Op::ListPop { key, count, side: choices.side(0) },
            1 => Op::ListTrim { key, start: number, stop: choices.pick(&NUMBERS) },
            _ => Op::ListPush { key, values: some, side: choices.side(0), if_exists: false },
        },
        _ => match choices.byte() % 4 {
            0 => Op::ListRemove { key, count: number, value: word },
            1 => Op::ListSet { key, index: number, value },
            2 => Op::ListInsert { key, before: choices.bit(0), pivot: word, value },
            _ => Op::ListMove {
                from: key,
                to: choices.key(seed),
                from_side: choices.side(0),
                to_side: choices.side(1),
            },
        },
    };
    apply(&op)
}

fn with_session_op<R>(kind: u8, choices: &mut Choices<'_>, apply: impl FnOnce(&Op<'_>) -> R) -> R {
    let id = choices.id();
    let user = choices.pick(&USERS);
    let fields: [&[u8]; 4] = [choices.pick(&MEMBERS), choices.pick(&VALUES), b"ip", b"::1"];
    let fields = Words::from_slices(&fields);
    let op = match kind {
        29..=32 => Op::SessionCreate {
            id,
            user,
            limits: Limits {
                idle_seconds: choices.pick(&IDLE),
                lifetime_seconds: choices.pick(&LIFETIME),
            },
            data: choices.pick(&VALUES),
            meta: if choices.bit(0) { fields } else { Words::EMPTY },
            cap: choices.bit(1).then(|| Cap {
                sessions_max: u32::from(1 + choices.byte() % 3),
                evict: choices.bit(2),
            }),
        },
        33 | 34 => {
            let version = choices.bit(0).then(|| u32::from(1 + choices.byte() % 3));
            Op::SessionSave { id, data: choices.pick(&VALUES), version }
        }
        35 => Op::SessionMeta { id, fields },
        36 => Op::SessionTouch { id },
        37 => Op::SessionReauthenticate { id },
        38..=40 => {
            let (new_id, grace_millis) = (choices.id(), choices.pick(&GRACES));
            Op::SessionRotate { id, new_id, grace_millis }
        }
        41 => match choices.byte() % 2 {
            0 => Op::SessionRevoke { ids: vec![id, choices.id(), id] },
            _ => Op::SessionRevokeOwned { user, ids: vec![id, choices.id()] },
        },
        42 => Op::SessionRevokeUser { user, except: choices.bit(0).then_some(id) },
        _ => match choices.byte() % 4 {
            0 => Op::SessionRevokeAll,
            _ => Op::SessionRevokeUser { user, except: Some(id) },
        },
    };
    apply(&op)
}

impl fmt::Debug for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Move::Op => self.with_op(&HashSeed::new(1, 2), Stamp::from_millis(1_000_000), |op| {
                write!(formatter, "{op:?} {:?}", self.0)
            }),
            other => write!(formatter, "{other:?} {:?}", self.0),
        }
    }
}
