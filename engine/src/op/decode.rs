//! An op out of bytes that may be damaged or hostile: from a log, or from another node.
//!
//! Nothing is copied but lists of numbers: strings are borrowed from the bytes, and lists of words are
//! spans in a list that the decoder keeps for the next op. Nothing is allocated by a count that the bytes
//! at hand do not back. What decodes can be applied without a panic: see [`Op::check`].

use thiserror::Error;

use super::encode::{EXPIRE_AFTER, VERSION};
use super::{
    Cap, Combination, Condition, Deadline, Due, ExpireCondition, Fingerprint, Limits, Op, OpFault,
    Side, SortedAddOptions, SortedEnd, SortedRange, tag,
};
use crate::key::{DATABASES, HashSeed, Key, SessionHash, Span, Words};
use crate::time::Stamp;
use crate::value::sorted::{LexBound, ScoreBound};
use crate::varint;

/// How many spans a decoder keeps between ops; what a larger op needed is given back at the next.
const SPANS_KEPT_MAX: usize = 1 << 14;

/// Why bytes are not an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// It was written by a later program.
    #[error("an op of format version {version}; this program reads version {VERSION}")]
    Version {
        /// The version found.
        version: u8,
    },
    /// No op has this tag.
    #[error("no op has the tag {tag}, at byte {at}")]
    UnknownTag {
        /// Offset of the tag.
        at: usize,
        /// The tag found.
        tag: u8,
    },
    /// The bytes end within the op.
    #[error("the op with tag {tag} is cut off: the field at byte {at} does not fit into the bytes")]
    Truncated {
        /// Offset of the field.
        at: usize,
        /// The op's tag; 0 when there is none.
        tag: u8,
    },
    /// A number, flag or kind that the format does not have.
    #[error("the op with tag {tag} has no valid {what} at byte {at}")]
    Invalid {
        /// Offset of the field.
        at: usize,
        /// The op's tag.
        tag: u8,
        /// What should be there.
        what: &'static str,
    },
    /// No engine could apply it.
    #[error("the op with tag {tag}, up to byte {at}, cannot be applied: {fault}")]
    Refused {
        /// Offset of the op's end.
        at: usize,
        /// The op's tag.
        tag: u8,
        /// What is wrong.
        fault: OpFault,
    },
    /// Bytes follow the op.
    #[error("bytes follow the op with tag {tag}, from byte {at} on")]
    Trailing {
        /// Offset of the first of them.
        at: usize,
        /// The op's tag.
        tag: u8,
    },
    /// The offsets of words would not fit.
    #[error("an op is shorter than 4 GiB; these are {0} bytes")]
    TooLong(usize),
}

/// Reads ops, keeping the memory that their lists of words need from one to the next.
#[derive(Debug, Default)]
pub struct OpDecoder {
    spans: Vec<Span>,
}

impl OpDecoder {
    /// A decoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the op that fills `bytes` exactly. `seed` is the engine's: keys are hashed with it.
    ///
    /// # Errors
    /// The bytes are not an op, or not one that can be applied.
    pub fn decode<'a>(
        &'a mut self,
        seed: &HashSeed,
        bytes: &'a [u8],
    ) -> Result<Op<'a>, DecodeError> {
        let (op, length) = self.decode_first(seed, bytes)?;
        if length < bytes.len() {
            let tag = bytes.get(1).copied().unwrap_or(0);
            return Err(DecodeError::Trailing { at: length, tag });
        }
        Ok(op)
    }

    /// Whether `bytes` begin with an [`Op::Unchanged`], at the cost of a look: the ops behind it are a
    /// transaction's.
    #[inline]
    pub fn is_guard(bytes: &[u8]) -> bool {
        matches!(bytes, [VERSION, tag::UNCHANGED, ..])
    }

    /// Reads the op that `bytes` begin with, and says how many bytes it takes.
    ///
    /// # Errors
    /// The bytes do not begin with an op, or not with one that can be applied.
    pub fn decode_first<'a>(
        &'a mut self,
        seed: &HashSeed,
        bytes: &'a [u8],
    ) -> Result<(Op<'a>, usize), DecodeError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(DecodeError::TooLong(bytes.len()));
        }
        let mut reader = Reader { bytes, rest: bytes, tag: 0, seed };
        let version = reader.byte()?;
        if version != VERSION {
            return Err(DecodeError::Version { version });
        }
        reader.tag = reader.byte()?;
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT_MAX);
        let op = reader.op(&mut self.spans)?;
        let (at, tag) = (reader.at(), reader.tag);
        op.check().map_err(|fault| DecodeError::Refused { at, tag, fault })?;
        Ok((op, at))
    }
}

/// The fewest bytes a key takes: its database and a length of 0.
const KEY_BYTES_MIN: usize = 2;

/// The fewest bytes a change of a register takes: a length of 0 and the flag for no value.
const REGISTER_BYTES_MIN: usize = 2;

/// A cursor over the bytes of one op.
struct Reader<'a, 's> {
    bytes: &'a [u8],
    rest: &'a [u8],
    tag: u8,
    seed: &'s HashSeed,
}

impl<'a> Reader<'a, '_> {
    fn op(&mut self, spans: &'a mut Vec<Span>) -> Result<Op<'a>, DecodeError> {
        match self.tag {
            tag::SET..tag::HASH_SET => self.key_op(spans),
            tag::HASH_SET..tag::SORTED_ADD => self.hash_or_set_op(spans),
            tag::SORTED_ADD..tag::LIST_PUSH => self.sorted_op(spans),
            tag::LIST_PUSH..tag::SESSION_CREATE => self.list_op(spans),
            tag::SESSION_CREATE..tag::RULE_SET => self.session_op(spans),
            _ => self.rule_op(),
        }
    }

    fn key_op(&mut self, spans: &'a mut Vec<Span>) -> Result<Op<'a>, DecodeError> {
        Ok(match self.tag {
            tag::SET => {
                let flags = self.flags(6)?;
                let (key, value) = (self.key()?, self.bytes()?);
                let deadline = self.deadline(flags & 0b11)?;
                let condition = match flags >> 2 & 0b11 {
                    0 => Condition::Always,
                    1 => Condition::IfAbsent,
                    2 => Condition::IfPresent,
                    _ => return Err(self.invalid("condition")),
                };
                let owner = if flags & 1 << 4 == 0 { None } else { Some(self.bytes()?) };
                Op::Set { key, value, deadline, condition, owner, get: flags & 1 << 5 != 0 }
            }
            tag::SET_MANY => {
                let (if_none_exist, db) = (self.flag()?, self.db()?);
                Op::SetMany { db, pairs: self.words(spans)?, if_none_exist }
            }
            tag::APPEND => Op::Append { key: self.key()?, value: self.bytes()? },
            tag::SET_RANGE => {
                Op::SetRange { key: self.key()?, offset: self.number()?, value: self.bytes()? }
            }
            tag::INCREMENT => Op::Increment { key: self.key()?, by: self.signed()? },
            tag::INCREMENT_FLOAT => Op::IncrementFloat { key: self.key()?, by: self.bytes()? },
            tag::GET_DELETE => Op::GetDelete { key: self.key()? },
            tag::GET_EXPIRE => {
                let flags = self.flags(2)?;
                Op::GetExpire { key: self.key()?, deadline: self.deadline(flags)? }
            }
            tag::DELETE => Op::Delete { db: self.db()?, keys: self.words(spans)? },
            tag::EXPIRE => {
                let flags = self.flags(5)?;
                let condition = ExpireCondition {
                    if_none: flags & 1 != 0,
                    if_some: flags & 2 != 0,
                    if_later: flags & 4 != 0,
                    if_sooner: flags & 8 != 0,
                };
                let key = self.key()?;
                let at = match flags & EXPIRE_AFTER {
                    0 => Due::At(self.stamp()?),
                    _ => Due::After(self.stamp()?.millis()),
                };
                Op::Expire { key, at, condition }
            }
            tag::PERSIST => Op::Persist { key: self.key()? },
            tag::RENAME => {
                let if_absent = self.flag()?;
                Op::Rename { from: self.key()?, to: self.key()?, if_absent }
            }
            tag::COPY => {
                let replace = self.flag()?;
                Op::Copy { from: self.key()?, to: self.key()?, replace }
            }
            tag::FLUSH => {
                let db = self.byte()?;
                if db > DATABASES {
                    return Err(self.invalid("database"));
                }
                Op::Flush { db: (db < DATABASES).then_some(db) }
            }
            tag::UNCHANGED => {
                let count = self.count(KEY_BYTES_MIN + size_of::<u128>())?;
                let mut keys = Vec::with_capacity(count);
                for _ in 0..count {
                    keys.push((self.key()?, Fingerprint(u128::from_le_bytes(self.take()?))));
                }
                Op::Unchanged { keys }
            }
            tag::REGISTERS => {
                let is_conditional = self.flag()?;
                let version = self.number()?;
                if !is_conditional && version != 0 {
                    return Err(self.invalid("version"));
                }
                let seen = is_conditional.then_some(version);
                let count = self.count(REGISTER_BYTES_MIN)?;
                let mut changes = Vec::with_capacity(count);
                for _ in 0..count {
                    let name = self.bytes()?.into();
                    let value = if self.flag()? { Some(self.bytes()?.into()) } else { None };
                    changes.push((name, value));
                }
                Op::Registers { seen, changes }
            }
            tag::RESTORE => {
                let flags = self.flags(4)?;
                let (key, value) = (self.key()?, self.bytes()?.into());
                let deadline = match self.deadline(flags & 0b11)? {
                    Deadline::Clear => None,
                    Deadline::At(at) => Some(Due::At(at)),
                    Deadline::After(millis) => Some(Due::After(millis)),
                    Deadline::Keep => return Err(self.invalid("deadline")),
                };
                let (replace, is_collection) = (flags & 1 << 2 != 0, flags & 1 << 3 != 0);
                Op::Restore { key, value, is_collection, deadline, replace }
            }
            _ => return Err(self.unknown()),
        })
    }

    fn rule_op(&mut self) -> Result<Op<'a>, DecodeError> {
        Ok(match self.tag {
            tag::RULE_SET => {
                let mut encoded = self.bytes()?;
                match crate::rule::decode(&mut encoded).filter(|_| encoded.is_empty()) {
                    Some(rule) => Op::RuleSet { rule: Box::new(rule) },
                    None => return Err(self.invalid("rule")),
                }
            }
            tag::RULE_DELETE => Op::RuleDelete { name: self.bytes()? },
            tag::RULE_INDEX => {
                let (done, job) = (self.flag()?, self.number()?);
                let count = self.count(KEY_BYTES_MIN)?;
                let mut keys = Vec::with_capacity(count);
                for _ in 0..count {
                    keys.push(self.key()?);
                }
                Op::RuleIndex { job, keys, done }
            }
            _ => return Err(self.unknown()),
        })
    }

    fn hash_or_set_op(&mut self, spans: &'a mut Vec<Span>) -> Result<Op<'a>, DecodeError> {
        Ok(match self.tag {
            tag::HASH_SET => {
                let if_absent = self.flag()?;
                Op::HashSet { key: self.key()?, pairs: self.words(spans)?, if_absent }
            }
            tag::HASH_DELETE => Op::HashDelete { key: self.key()?, fields: self.words(spans)? },
            tag::HASH_INCREMENT => {
                Op::HashIncrement { key: self.key()?, field: self.bytes()?, by: self.signed()? }
            }
            tag::HASH_INCREMENT_FLOAT => {
                Op::HashIncrementFloat { key: self.key()?, field: self.bytes()?, by: self.bytes()? }
            }
            tag::SET_ADD => Op::SetAdd { key: self.key()?, members: self.words(spans)? },
            tag::SET_REMOVE => Op::SetRemove { key: self.key()?, members: self.words(spans)? },
            tag::SET_POP => {
                let (key, count) = (self.key()?, self.optional()?);
                Op::SetPop { key, count, seed: u64::from_le_bytes(self.take()?) }
            }
            tag::SET_MOVE => {
                Op::SetMove { from: self.key()?, to: self.key()?, member: self.bytes()? }
            }
            tag::SET_STORE => {
                let combination = match self.byte()? {
                    0 => Combination::Intersection,
                    1 => Combination::Union,
                    2 => Combination::Difference,
                    _ => return Err(self.invalid("combination")),
                };
                let (destination, sources) = (self.key()?, self.words(spans)?);
                Op::SetStore { destination, sources, combination }
            }
            _ => return Err(self.unknown()),
        })
    }

    fn sorted_op(&mut self, spans: &'a mut Vec<Span>) -> Result<Op<'a>, DecodeError> {
        Ok(match self.tag {
            tag::SORTED_ADD => {
                let flags = self.flags(6)?;
                let options = SortedAddOptions {
                    if_absent: flags & 1 != 0,
                    if_present: flags & 2 != 0,
                    if_greater: flags & 4 != 0,
                    if_less: flags & 8 != 0,
                    report_changed: flags & 16 != 0,
                    increment: flags & 32 != 0,
                };
                let key = self.key()?;
                let count = self.count(9)?;
                let mut members = Vec::with_capacity(count);
                for _ in 0..count {
                    members.push((self.float()?, self.bytes()?));
                }
                Op::SortedAdd { key, members, options }
            }
            tag::SORTED_REMOVE => {
                Op::SortedRemove { key: self.key()?, members: self.words(spans)? }
            }
            tag::SORTED_REMOVE_RANGE => {
                let key = self.key()?;
                let range = match self.byte()? {
                    0 => SortedRange::Rank(self.signed()?, self.signed()?),
                    1 => SortedRange::Score(self.score()?, self.score()?),
                    2 => SortedRange::Lex(self.lex()?, self.lex()?),
                    _ => return Err(self.invalid("kind of range")),
                };
                Op::SortedRemoveRange { key, range }
            }
            tag::SORTED_POP => {
                let end = if self.flag()? { SortedEnd::Highest } else { SortedEnd::Lowest };
                Op::SortedPop { key: self.key()?, count: self.number()?, end }
            }
            _ => return Err(self.unknown()),
        })
    }

    fn list_op(&mut self, spans: &'a mut Vec<Span>) -> Result<Op<'a>, DecodeError> {
        Ok(match self.tag {
            tag::LIST_PUSH => {
                let flags = self.flags(2)?;
                let (side, if_exists) = (side(flags), flags & 2 != 0);
                Op::ListPush { key: self.key()?, values: self.words(spans)?, side, if_exists }
            }
            tag::LIST_POP => {
                let side = side(self.flags(1)?);
                Op::ListPop { key: self.key()?, count: self.optional()?, side }
            }
            tag::LIST_TRIM => {
                Op::ListTrim { key: self.key()?, start: self.signed()?, stop: self.signed()? }
            }
            tag::LIST_REMOVE => {
                Op::ListRemove { key: self.key()?, count: self.signed()?, value: self.bytes()? }
            }
            tag::LIST_SET => {
                Op::ListSet { key: self.key()?, index: self.signed()?, value: self.bytes()? }
            }
            tag::LIST_INSERT => {
                let before = self.flag()?;
                let (key, pivot, value) = (self.key()?, self.bytes()?, self.bytes()?);
                Op::ListInsert { key, before, pivot, value }
            }
            tag::LIST_MOVE => {
                let flags = self.flags(2)?;
                let (from_side, to_side) = (side(flags), side(flags >> 1));
                Op::ListMove { from: self.key()?, to: self.key()?, from_side, to_side }
            }
            _ => return Err(self.unknown()),
        })
    }

    fn session_op(&mut self, spans: &'a mut Vec<Span>) -> Result<Op<'a>, DecodeError> {
        Ok(match self.tag {
            tag::SESSION_CREATE => {
                let flags = self.flags(2)?;
                let (id, user, limits) = (self.id()?, self.bytes()?, self.limits()?);
                let (data, meta) = (self.bytes()?, self.words(spans)?);
                let cap = match flags {
                    0 => None,
                    1 | 3 => Some(Cap { sessions_max: self.number32()?, evict: flags == 3 }),
                    _ => return Err(self.invalid("cap")),
                };
                Op::SessionCreate { id, user, limits, data, meta, cap }
            }
            tag::SESSION_SAVE => {
                let id = self.id()?;
                let version = if self.flag()? { Some(self.number32()?) } else { None };
                Op::SessionSave { id, data: self.bytes()?, version }
            }
            tag::SESSION_META => Op::SessionMeta { id: self.id()?, fields: self.words(spans)? },
            tag::SESSION_TOUCH => Op::SessionTouch { id: self.id()? },
            tag::SESSION_REAUTHENTICATE => Op::SessionReauthenticate { id: self.id()? },
            tag::SESSION_ROTATE => {
                let (id, new_id) = (self.id()?, self.id()?);
                Op::SessionRotate { id, new_id, grace_millis: self.number()? }
            }
            tag::SESSION_REVOKE => Op::SessionRevoke { ids: self.ids()? },
            tag::SESSION_REVOKE_OWNED => {
                Op::SessionRevokeOwned { user: self.bytes()?, ids: self.ids()? }
            }
            tag::SESSION_REVOKE_USER => {
                let excepts = self.flag()?;
                let user = self.bytes()?;
                let except = if excepts { Some(self.id()?) } else { None };
                Op::SessionRevokeUser { user, except }
            }
            tag::SESSION_REVOKE_ALL => Op::SessionRevokeAll,
            _ => return Err(self.unknown()),
        })
    }

    /// Offset of the next byte.
    fn at(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    fn truncated(&self) -> DecodeError {
        DecodeError::Truncated { at: self.at(), tag: self.tag }
    }

    /// The error for the field that was just read.
    fn invalid(&self, what: &'static str) -> DecodeError {
        DecodeError::Invalid { at: self.at(), tag: self.tag, what }
    }

    fn unknown(&self) -> DecodeError {
        DecodeError::UnknownTag { at: 1, tag: self.tag }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// A byte of which only the lowest `count` bits may be set.
    fn flags(&mut self, count: u32) -> Result<u8, DecodeError> {
        let flags = self.byte()?;
        if u32::from(flags) >> count == 0 { Ok(flags) } else { Err(self.invalid("flags")) }
    }

    fn flag(&mut self) -> Result<bool, DecodeError> {
        self.flags(1).map(|flags| flags == 1)
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut rest = self.rest;
        let Some(number) = varint::take(&mut rest) else {
            let cut_off = self.rest.len() < 10 && self.rest.iter().all(|byte| *byte >= 0x80);
            return Err(if cut_off { self.truncated() } else { self.invalid("number") });
        };
        self.rest = rest;
        Ok(number)
    }

    fn number32(&mut self) -> Result<u32, DecodeError> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.invalid("number of 32 bits"))
    }

    fn signed(&mut self) -> Result<i64, DecodeError> {
        self.number().map(varint::unzigzag)
    }

    fn optional(&mut self) -> Result<Option<u64>, DecodeError> {
        if self.flag()? { self.number().map(Some) } else { Ok(None) }
    }

    fn float(&mut self) -> Result<f64, DecodeError> {
        self.take().map(u64::from_le_bytes).map(f64::from_bits)
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.number()?;
        let taken = usize::try_from(length).ok().and_then(|at| self.rest.split_at_checked(at));
        let (taken, rest) = taken.ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    /// A count of elements of at least `element_bytes_min` bytes each, which the rest can hold.
    fn count(&mut self, element_bytes_min: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let fits = count.checked_mul(element_bytes_min).is_some_and(|all| all <= self.rest.len());
        if fits { Ok(count) } else { Err(self.truncated()) }
    }

    fn words(&mut self, spans: &'a mut Vec<Span>) -> Result<Words<'a>, DecodeError> {
        let count = self.count(1)?;
        spans.reserve(count);
        for _ in 0..count {
            let word = self.bytes()?;
            // Offsets fit: the bytes of one op are fewer than 4 GiB.
            let start = (self.at() - word.len()) as u32;
            spans.push(Span { start, length: word.len() as u32 });
        }
        Ok(Words::from_spans(self.bytes, spans))
    }

    fn db(&mut self) -> Result<u8, DecodeError> {
        let db = self.byte()?;
        if db < DATABASES { Ok(db) } else { Err(self.invalid("database")) }
    }

    fn key(&mut self) -> Result<Key<'a>, DecodeError> {
        let db = self.db()?;
        Ok(Key::new(self.seed, db, self.bytes()?))
    }

    fn id(&mut self) -> Result<SessionHash, DecodeError> {
        self.take().map(SessionHash)
    }

    fn ids(&mut self) -> Result<Vec<SessionHash>, DecodeError> {
        let count = self.count(16)?;
        (0..count).map(|_| self.id()).collect()
    }

    fn limits(&mut self) -> Result<Limits, DecodeError> {
        Ok(Limits { idle_seconds: self.number32()?, lifetime_seconds: self.number32()? })
    }

    fn stamp(&mut self) -> Result<Stamp, DecodeError> {
        let millis = self.number()?;
        let stamp = Stamp::from_millis(millis);
        if stamp.millis() == millis { Ok(stamp) } else { Err(self.invalid("stamp")) }
    }

    fn deadline(&mut self, kind: u8) -> Result<Deadline, DecodeError> {
        match kind {
            0 => Ok(Deadline::Clear),
            1 => Ok(Deadline::Keep),
            2 => self.stamp().map(Deadline::At),
            3 => Ok(Deadline::After(self.stamp()?.millis())),
            _ => Err(self.invalid("deadline")),
        }
    }

    fn score(&mut self) -> Result<ScoreBound, DecodeError> {
        Ok(ScoreBound { exclusive: self.flag()?, score: self.float()? })
    }

    fn lex(&mut self) -> Result<LexBound<'a>, DecodeError> {
        Ok(match self.byte()? {
            0 => LexBound::Lowest,
            1 => LexBound::Highest,
            2 => LexBound::Inclusive(self.bytes()?),
            3 => LexBound::Exclusive(self.bytes()?),
            _ => return Err(self.invalid("end of a range")),
        })
    }
}

fn side(flags: u8) -> Side {
    if flags & 1 == 0 { Side::Head } else { Side::Tail }
}
