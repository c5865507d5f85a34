//! An op as bytes, for a log or another node.
//!
//! ```text
//! version u8 (1) | tag u8 | fields by tag; numbers are varints (LEB128), signed ones zigzag first
//!   key      database u8, length, bytes: no hash, as each node hashes with a seed of its own
//!   words    count, then length and bytes of each        id    16 bytes
//!   float    8 bytes, little-endian                      flags one byte, see each op
//! ```
//!
//! The version stands in front of each op and not of a batch: a follower's op of an older program can
//! then go into a leader's entry as it came, beside those of a newer one. A byte buys that; a touch is
//! 18 bytes long. Tags are listed in `tag`; a fixture of every op in version 1 is decoded by a test.

use super::{
    Combination, Condition, Deadline, Due, ExpireCondition, Limits, Op, Side, SortedAddOptions,
    SortedEnd, SortedRange, tag,
};
use crate::key::{Key, SessionHash, Words};
use crate::value::sorted::{LexBound, ScoreBound};
use crate::varint;

/// The version of the format that [`Op::encode`] writes.
pub(super) const VERSION: u8 = 1;

impl Op<'_> {
    /// Appends the op as bytes, which [`OpDecoder`](super::OpDecoder) reads.
    ///
    /// Panics when [`Op::check`] refuses it, or when it takes 4 GiB: whoever makes ops checks limits
    /// before, and what cannot be decoded must not get into a log.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Err(fault) = self.check() {
            panic!("an op that cannot be applied is not encoded: {fault}");
        }
        let start = out.len();
        out.push(VERSION);
        let mut writer = Writer { out };
        match self {
            Op::SessionCreate { .. }
            | Op::SessionSave { .. }
            | Op::SessionMeta { .. }
            | Op::SessionTouch { .. }
            | Op::SessionReauthenticate { .. }
            | Op::SessionRotate { .. }
            | Op::SessionRevoke { .. }
            | Op::SessionRevokeOwned { .. }
            | Op::SessionRevokeUser { .. }
            | Op::SessionRevokeAll => writer.session_op(self),
            Op::RuleSet { .. } | Op::RuleDelete { .. } | Op::RuleIndex { .. } => {
                writer.rule_op(self);
            }
            Op::ListPush { .. }
            | Op::ListPop { .. }
            | Op::ListTrim { .. }
            | Op::ListRemove { .. }
            | Op::ListSet { .. }
            | Op::ListInsert { .. }
            | Op::ListMove { .. } => writer.list_op(self),
            Op::SortedAdd { .. }
            | Op::SortedRemove { .. }
            | Op::SortedRemoveRange { .. }
            | Op::SortedPop { .. } => writer.sorted_op(self),
            Op::HashSet { .. }
            | Op::HashDelete { .. }
            | Op::HashIncrement { .. }
            | Op::HashIncrementFloat { .. }
            | Op::SetAdd { .. }
            | Op::SetRemove { .. }
            | Op::SetPop { .. }
            | Op::SetMove { .. }
            | Op::SetStore { .. } => writer.hash_or_set_op(self),
            _ => writer.key_op(self),
        }
        assert!(u32::try_from(out.len() - start).is_ok(), "an op is shorter than 4 GiB");
    }
}

/// Writes fields one after the other; each returns the writer for the next.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl Writer<'_> {
    fn rule_op(&mut self, op: &Op<'_>) {
        match op {
            Op::RuleSet { rule } => {
                let mut encoded = Vec::new();
                crate::rule::encode(rule, &mut encoded);
                self.byte(tag::RULE_SET).bytes(&encoded);
            }
            Op::RuleDelete { name } => {
                self.byte(tag::RULE_DELETE).bytes(name);
            }
            Op::RuleIndex { job, keys, done } => {
                self.byte(tag::RULE_INDEX).flag(*done).number(*job).number(keys.len() as u64);
                for key in keys {
                    self.key(key);
                }
            }
            _ => unreachable_op(),
        }
    }

    fn key_op(&mut self, op: &Op<'_>) {
        match op {
            Op::Set { key, value, deadline, condition, owner, get } => {
                let (condition, has_owner) = (condition_bits(*condition), owner.is_some());
                let flags = deadline_bits(*deadline)
                    | condition << 2
                    | u8::from(has_owner) << 4
                    | u8::from(*get) << 5;
                self.byte(tag::SET).byte(flags).key(key).bytes(value).deadline(*deadline);
                if let Some(owner) = owner {
                    self.bytes(owner);
                }
            }
            Op::SetMany { db, pairs, if_none_exist } => {
                self.byte(tag::SET_MANY).flag(*if_none_exist).byte(*db).words(*pairs);
            }
            Op::Append { key, value } => {
                self.byte(tag::APPEND).key(key).bytes(value);
            }
            Op::SetRange { key, offset, value } => {
                self.byte(tag::SET_RANGE).key(key).number(*offset).bytes(value);
            }
            Op::Increment { key, by } => {
                self.byte(tag::INCREMENT).key(key).signed(*by);
            }
            Op::IncrementFloat { key, by } => {
                self.byte(tag::INCREMENT_FLOAT).key(key).bytes(by);
            }
            Op::GetDelete { key } => {
                self.byte(tag::GET_DELETE).key(key);
            }
            Op::GetExpire { key, deadline } => {
                self.byte(tag::GET_EXPIRE).byte(deadline_bits(*deadline)).key(key);
                self.deadline(*deadline);
            }
            Op::Delete { db, keys } => {
                self.byte(tag::DELETE).byte(*db).words(*keys);
            }
            Op::Expire { key, at, condition } => {
                let (relative, millis) = match *at {
                    Due::At(at) => (0, at.millis()),
                    Due::After(millis) => (EXPIRE_AFTER, millis),
                };
                let flags = expire_bits(*condition) | relative;
                self.byte(tag::EXPIRE).byte(flags).key(key).number(millis);
            }
            Op::Persist { key } => {
                self.byte(tag::PERSIST).key(key);
            }
            Op::Rename { from, to, if_absent } => {
                self.byte(tag::RENAME).flag(*if_absent).key(from).key(to);
            }
            Op::Copy { from, to, replace } => {
                self.byte(tag::COPY).flag(*replace).key(from).key(to);
            }
            Op::Flush { db } => {
                // One database, or the number past the last for all.
                self.byte(tag::FLUSH).byte(db.unwrap_or(crate::key::DATABASES));
            }
            Op::Unchanged { keys } => {
                self.byte(tag::UNCHANGED).number(keys.len() as u64);
                for (key, fingerprint) in keys {
                    self.key(key).out.extend_from_slice(&fingerprint.0.to_le_bytes());
                }
            }
            Op::Restore { key, value, is_collection, deadline, replace } => {
                let deadline = deadline.map_or(Deadline::Clear, Deadline::from);
                let flags = deadline_bits(deadline)
                    | u8::from(*replace) << 2
                    | u8::from(*is_collection) << 3;
                self.byte(tag::RESTORE).byte(flags).key(key).bytes(value).deadline(deadline);
            }
            _ => unreachable_op(),
        }
    }

    fn hash_or_set_op(&mut self, op: &Op<'_>) {
        match op {
            Op::HashSet { key, pairs, if_absent } => {
                self.byte(tag::HASH_SET).flag(*if_absent).key(key).words(*pairs);
            }
            Op::HashDelete { key, fields } => {
                self.byte(tag::HASH_DELETE).key(key).words(*fields);
            }
            Op::HashIncrement { key, field, by } => {
                self.byte(tag::HASH_INCREMENT).key(key).bytes(field).signed(*by);
            }
            Op::HashIncrementFloat { key, field, by } => {
                self.byte(tag::HASH_INCREMENT_FLOAT).key(key).bytes(field).bytes(by);
            }
            Op::SetAdd { key, members } => {
                self.byte(tag::SET_ADD).key(key).words(*members);
            }
            Op::SetRemove { key, members } => {
                self.byte(tag::SET_REMOVE).key(key).words(*members);
            }
            Op::SetPop { key, count, seed } => {
                self.byte(tag::SET_POP).key(key).optional(*count);
                self.out.extend_from_slice(&seed.to_le_bytes());
            }
            Op::SetMove { from, to, member } => {
                self.byte(tag::SET_MOVE).key(from).key(to).bytes(member);
            }
            Op::SetStore { destination, sources, combination } => {
                let combination = match combination {
                    Combination::Intersection => 0,
                    Combination::Union => 1,
                    Combination::Difference => 2,
                };
                self.byte(tag::SET_STORE).byte(combination).key(destination).words(*sources);
            }
            _ => unreachable_op(),
        }
    }

    fn sorted_op(&mut self, op: &Op<'_>) {
        match op {
            Op::SortedAdd { key, members, options } => {
                self.byte(tag::SORTED_ADD).byte(add_bits(*options)).key(key);
                self.number(members.len() as u64);
                for (score, member) in members {
                    self.float(*score).bytes(member);
                }
            }
            Op::SortedRemove { key, members } => {
                self.byte(tag::SORTED_REMOVE).key(key).words(*members);
            }
            Op::SortedRemoveRange { key, range } => {
                self.byte(tag::SORTED_REMOVE_RANGE).key(key);
                match range {
                    SortedRange::Rank(start, stop) => self.byte(0).signed(*start).signed(*stop),
                    SortedRange::Score(lower, upper) => self.byte(1).score(*lower).score(*upper),
                    SortedRange::Lex(lower, upper) => self.byte(2).lex(*lower).lex(*upper),
                };
            }
            Op::SortedPop { key, count, end } => {
                let highest = matches!(end, SortedEnd::Highest);
                self.byte(tag::SORTED_POP).flag(highest).key(key).number(*count);
            }
            _ => unreachable_op(),
        }
    }

    fn list_op(&mut self, op: &Op<'_>) {
        match op {
            Op::ListPush { key, values, side, if_exists } => {
                let flags = side_bit(*side) | u8::from(*if_exists) << 1;
                self.byte(tag::LIST_PUSH).byte(flags).key(key).words(*values);
            }
            Op::ListPop { key, count, side } => {
                self.byte(tag::LIST_POP).byte(side_bit(*side)).key(key).optional(*count);
            }
            Op::ListTrim { key, start, stop } => {
                self.byte(tag::LIST_TRIM).key(key).signed(*start).signed(*stop);
            }
            Op::ListRemove { key, count, value } => {
                self.byte(tag::LIST_REMOVE).key(key).signed(*count).bytes(value);
            }
            Op::ListSet { key, index, value } => {
                self.byte(tag::LIST_SET).key(key).signed(*index).bytes(value);
            }
            Op::ListInsert { key, before, pivot, value } => {
                self.byte(tag::LIST_INSERT).flag(*before).key(key).bytes(pivot).bytes(value);
            }
            Op::ListMove { from, to, from_side, to_side } => {
                let flags = side_bit(*from_side) | side_bit(*to_side) << 1;
                self.byte(tag::LIST_MOVE).byte(flags).key(from).key(to);
            }
            _ => unreachable_op(),
        }
    }

    fn session_op(&mut self, op: &Op<'_>) {
        match op {
            Op::SessionCreate { id, user, limits, data, meta, cap } => {
                let evict = cap.is_some_and(|cap| cap.evict);
                let flags = u8::from(cap.is_some()) | u8::from(evict) << 1;
                self.byte(tag::SESSION_CREATE).byte(flags).id(id).bytes(user).limits(*limits);
                self.bytes(data).words(*meta);
                if let Some(cap) = cap {
                    self.number(u64::from(cap.sessions_max));
                }
            }
            Op::SessionSave { id, data, version } => {
                self.byte(tag::SESSION_SAVE).id(id).optional(version.map(u64::from)).bytes(data);
            }
            Op::SessionMeta { id, fields } => {
                self.byte(tag::SESSION_META).id(id).words(*fields);
            }
            Op::SessionTouch { id } => {
                self.byte(tag::SESSION_TOUCH).id(id);
            }
            Op::SessionReauthenticate { id } => {
                self.byte(tag::SESSION_REAUTHENTICATE).id(id);
            }
            Op::SessionRotate { id, new_id, grace_millis } => {
                self.byte(tag::SESSION_ROTATE).id(id).id(new_id).number(*grace_millis);
            }
            Op::SessionRevoke { ids } => {
                self.byte(tag::SESSION_REVOKE).ids(ids);
            }
            Op::SessionRevokeOwned { user, ids } => {
                self.byte(tag::SESSION_REVOKE_OWNED).bytes(user).ids(ids);
            }
            Op::SessionRevokeUser { user, except } => {
                self.byte(tag::SESSION_REVOKE_USER).flag(except.is_some()).bytes(user);
                if let Some(id) = except {
                    self.id(id);
                }
            }
            Op::SessionRevokeAll => {
                self.byte(tag::SESSION_REVOKE_ALL);
            }
            _ => unreachable_op(),
        }
    }

    fn byte(&mut self, byte: u8) -> &mut Self {
        self.out.push(byte);
        self
    }

    fn flag(&mut self, flag: bool) -> &mut Self {
        self.byte(u8::from(flag))
    }

    fn number(&mut self, number: u64) -> &mut Self {
        varint::push(self.out, number);
        self
    }

    fn signed(&mut self, number: i64) -> &mut Self {
        self.number(varint::zigzag(number))
    }

    fn optional(&mut self, number: Option<u64>) -> &mut Self {
        match number {
            None => self.byte(0),
            Some(number) => self.byte(1).number(number),
        }
    }

    fn float(&mut self, number: f64) -> &mut Self {
        self.out.extend_from_slice(&number.to_bits().to_le_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64).out.extend_from_slice(bytes);
        self
    }

    fn words(&mut self, words: Words<'_>) -> &mut Self {
        self.number(words.len() as u64);
        for word in words.iter() {
            self.bytes(word);
        }
        self
    }

    fn key(&mut self, key: &Key<'_>) -> &mut Self {
        self.byte(key.db()).bytes(key.bytes())
    }

    fn id(&mut self, id: &SessionHash) -> &mut Self {
        self.out.extend_from_slice(&id.0);
        self
    }

    fn ids(&mut self, ids: &[SessionHash]) -> &mut Self {
        self.number(ids.len() as u64);
        for id in ids {
            self.id(id);
        }
        self
    }

    fn limits(&mut self, limits: Limits) -> &mut Self {
        self.number(u64::from(limits.idle_seconds)).number(u64::from(limits.lifetime_seconds))
    }

    /// The stamp of a deadline that has one; which kind it is stands in the op's flags.
    fn deadline(&mut self, deadline: Deadline) -> &mut Self {
        match deadline {
            Deadline::At(at) => self.number(at.millis()),
            Deadline::After(millis) => self.number(millis),
            Deadline::Clear | Deadline::Keep => self,
        }
    }

    fn score(&mut self, bound: ScoreBound) -> &mut Self {
        self.flag(bound.exclusive).float(bound.score)
    }

    fn lex(&mut self, bound: LexBound<'_>) -> &mut Self {
        match bound {
            LexBound::Lowest => self.byte(0),
            LexBound::Highest => self.byte(1),
            LexBound::Inclusive(member) => self.byte(2).bytes(member),
            LexBound::Exclusive(member) => self.byte(3).bytes(member),
        }
    }
}

/// In an EXPIRE's flags: the deadline is counted from when it is applied.
pub(super) const EXPIRE_AFTER: u8 = 16;

fn deadline_bits(deadline: Deadline) -> u8 {
    match deadline {
        Deadline::Clear => 0,
        Deadline::Keep => 1,
        Deadline::At(_) => 2,
        Deadline::After(_) => 3,
    }
}

fn condition_bits(condition: Condition) -> u8 {
    match condition {
        Condition::Always => 0,
        Condition::IfAbsent => 1,
        Condition::IfPresent => 2,
    }
}

fn expire_bits(condition: ExpireCondition) -> u8 {
    let ExpireCondition { if_none, if_some, if_later, if_sooner } = condition;
    bits(&[if_none, if_some, if_later, if_sooner])
}

fn add_bits(options: SortedAddOptions) -> u8 {
    let SortedAddOptions { if_absent, if_present, if_greater, if_less, report_changed, increment } =
        options;
    bits(&[if_absent, if_present, if_greater, if_less, report_changed, increment])
}

fn side_bit(side: Side) -> u8 {
    match side {
        Side::Head => 0,
        Side::Tail => 1,
    }
}

/// Flags, the first in the lowest bit.
fn bits(flags: &[bool]) -> u8 {
    flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag))
}

fn unreachable_op() -> ! {
    unreachable!("Op::encode sends each op to the function of its family")
}
