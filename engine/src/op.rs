//! Everything that changes the store, as data: the seam that standalone, cluster and tests share.
//!
//! [`crate::Engine::apply`] takes an [`Op`] and a [`crate::Stamp`] and is a function of those and the
//! state. Ops borrow from the request they were read from, carry absolute deadlines and whatever
//! randomness they need, and hold hashes of session ids, never ids. Many commands lower to one op:
//! SET, SETEX, SETNX, GETSET and PSETEX are all [`Op::Set`].
//!
//! [`Op::encode`] and [`OpDecoder`] are an op's way through a log or to another node.

mod check;
mod decode;
mod encode;
mod tag;

pub use self::check::OpFault;
pub use self::decode::{DecodeError, OpDecoder};

use std::borrow::Cow;

use crate::key::{Key, SessionHash, Words};
use crate::rule::Rule;
use crate::time::Stamp;
use crate::value::sorted::{LexBound, ScoreBound};

/// A register's name and its new value; `None` to delete it.
pub type RegisterChange<'a> = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>);

/// One change of the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Op<'a> {
    /// Stores a string. Outcome: `Done`, or with `get` the old value as `Bytes`/`Nil`; `Skipped` (or
    /// with `get` the old value) when the condition did not hold.
    Set {
        /// The key to write.
        key: Key<'a>,
        /// The string to store.
        value: &'a [u8],
        /// What becomes of the deadline.
        deadline: Deadline,
        /// When to write at all.
        condition: Condition,
        /// Whose entry this is; it is then listed and revoked with that user's sessions.
        owner: Option<&'a [u8]>,
        /// Whether to answer with the value that was there (`WrongType` when it is no string).
        get: bool,
    },
    /// Stores several strings in one step, without deadlines. Outcome: `Done`, or `Flag(false)` when
    /// `if_none_exist` and one exists (`Flag(true)` when it wrote).
    SetMany {
        /// The database.
        db: u8,
        /// Key, value, key, value...
        pairs: Words<'a>,
        /// MSETNX: write all or nothing.
        if_none_exist: bool,
    },
    /// Appends to a string, creating it. Outcome: `Integer` new length.
    Append {
        /// The key.
        key: Key<'a>,
        /// What to append.
        value: &'a [u8],
    },
    /// Overwrites part of a string, padding with zero bytes. Outcome: `Integer` new length.
    SetRange {
        /// The key.
        key: Key<'a>,
        /// First byte to write.
        offset: u64,
        /// The bytes to write; empty changes nothing.
        value: &'a [u8],
    },
    /// Adds to an integer string. Outcome: `Integer`.
    Increment {
        /// The key.
        key: Key<'a>,
        /// What to add.
        by: i64,
    },
    /// Adds to a decimal string. Outcome: `Bytes`, the new value as text.
    IncrementFloat {
        /// The key.
        key: Key<'a>,
        /// The text of what to add, checked by the caller to be a number.
        by: &'a [u8],
    },
    /// Reads and deletes a string. Outcome: `Bytes` or `Nil`.
    GetDelete {
        /// The key.
        key: Key<'a>,
    },
    /// Reads a string and moves its deadline. Outcome: `Bytes` or `Nil`.
    GetExpire {
        /// The key.
        key: Key<'a>,
        /// What becomes of the deadline.
        deadline: Deadline,
    },
    /// Deletes keys. Outcome: `Integer`, how many existed.
    Delete {
        /// The database.
        db: u8,
        /// The keys.
        keys: Words<'a>,
    },
    /// Sets a deadline. Outcome: `Flag`. A deadline that has passed deletes the key.
    Expire {
        /// The key.
        key: Key<'a>,
        /// The new deadline.
        at: Due,
        /// When to set it at all.
        condition: ExpireCondition,
    },
    /// Takes the deadline away. Outcome: `Flag`.
    Persist {
        /// The key.
        key: Key<'a>,
    },
    /// Renames, carrying value, deadline and owner. Outcome: `Done`; with `if_absent` `Flag`. Between
    /// databases (MOVE) an absent key is `Flag(false)` and not refused.
    Rename {
        /// The present name.
        from: Key<'a>,
        /// The new name; what is there is replaced.
        to: Key<'a>,
        /// RENAMENX: leave an existing `to` alone.
        if_absent: bool,
    },
    /// Copies value, deadline and owner, also between databases. Outcome: `Flag`.
    Copy {
        /// The key to copy.
        from: Key<'a>,
        /// Where to.
        to: Key<'a>,
        /// Whether an existing `to` is replaced.
        replace: bool,
    },
    /// Stores a whole value of any type, without an owner. Outcome: `Done`; `KeyExists` when there is a key
    /// and it is not to be replaced; `Malformed` when the bytes are no collection. A deadline that has
    /// passed stores nothing and removes what is to be replaced.
    Restore {
        /// The key to write.
        key: Key<'a>,
        /// A string, or the byte form of a collection ([`crate::value::Collection::encode_into`]).
        value: Cow<'a, [u8]>,
        /// Which of the two.
        is_collection: bool,
        /// When it ends; `None` for never.
        deadline: Option<Due>,
        /// Whether an existing key is replaced.
        replace: bool,
    },
    /// Empties one database (sessions stay), or with `None` everything, sessions too. Outcome: `Done`.
    Flush {
        /// The database, or all.
        db: Option<u8>,
    },

    /// Changes nothing. Outcome: `Flag`, whether each key is as it was when its fingerprint was taken. For
    /// whoever applies the ops that follow only then: it is how a transaction reaches replicas, all of
    /// which then decide alike.
    Unchanged {
        /// The keys, each with its [`Engine::fingerprint`](crate::Engine::fingerprint).
        keys: Vec<(Key<'a>, Fingerprint)>,
    },

    /// Sets and deletes registers in one step: named values that belong to the state and are no keys.
    /// Outcome: `Integer`, how many changes; `Flag(false)` and none when others came since `seen`.
    Registers {
        /// The [`Registers::version`](crate::Registers::version) that the changes were made from; `None`
        /// to make them in any case.
        seen: Option<u64>,
        /// Names with their new values; `None` to delete one.
        changes: Vec<RegisterChange<'a>>,
    },

    /// Sets hash fields. Outcome: `Integer`, how many were new.
    HashSet {
        /// The key.
        key: Key<'a>,
        /// Field, value, field, value...
        pairs: Words<'a>,
        /// HSETNX: leave an existing field alone.
        if_absent: bool,
    },
    /// Deletes hash fields. Outcome: `Integer`, how many existed.
    HashDelete {
        /// The key.
        key: Key<'a>,
        /// The fields.
        fields: Words<'a>,
    },
    /// Adds to an integer field. Outcome: `Integer`.
    HashIncrement {
        /// The key.
        key: Key<'a>,
        /// The field.
        field: &'a [u8],
        /// What to add.
        by: i64,
    },
    /// Adds to a decimal field. Outcome: `Bytes`, the new value as text.
    HashIncrementFloat {
        /// The key.
        key: Key<'a>,
        /// The field.
        field: &'a [u8],
        /// The text of what to add, checked by the caller to be a number.
        by: &'a [u8],
    },

    /// Adds members. Outcome: `Integer`, how many were new.
    SetAdd {
        /// The key.
        key: Key<'a>,
        /// The members.
        members: Words<'a>,
    },
    /// Removes members. Outcome: `Integer`, how many were there.
    SetRemove {
        /// The key.
        key: Key<'a>,
        /// The members.
        members: Words<'a>,
    },
    /// Takes random members out. Outcome: with `count` `List`, without `Bytes`/`Nil`.
    SetPop {
        /// The key.
        key: Key<'a>,
        /// How many; `None` for the single form.
        count: Option<u64>,
        /// The randomness, drawn by the proposer.
        seed: u64,
    },
    /// Moves a member between sets. Outcome: `Flag`.
    SetMove {
        /// The set to take it from.
        from: Key<'a>,
        /// The set to put it into.
        to: Key<'a>,
        /// The member.
        member: &'a [u8],
    },
    /// Stores a combination of sets. Outcome: `Integer`, its size.
    SetStore {
        /// Where to store it.
        destination: Key<'a>,
        /// The sets, in the destination's database.
        sources: Words<'a>,
        /// How they are combined.
        combination: Combination,
    },

    /// Adds members with scores. Outcome: `Integer` (new ones, with `report_changed` new and changed
    /// ones); with `increment` `Float` or `Nil` when a condition kept it from happening.
    SortedAdd {
        /// The key.
        key: Key<'a>,
        /// Scores and members.
        members: Vec<(f64, &'a [u8])>,
        /// NX, XX, GT, LT, CH, INCR.
        options: SortedAddOptions,
    },
    /// Removes members. Outcome: `Integer`.
    SortedRemove {
        /// The key.
        key: Key<'a>,
        /// The members.
        members: Words<'a>,
    },
    /// Removes a range. Outcome: `Integer`.
    SortedRemoveRange {
        /// The key.
        key: Key<'a>,
        /// Which.
        range: SortedRange<'a>,
    },
    /// Takes members from one end. Outcome: `ScoredList`.
    SortedPop {
        /// The key.
        key: Key<'a>,
        /// How many at the most.
        count: u64,
        /// Which end.
        end: SortedEnd,
    },

    /// Pushes values, one after the other. Outcome: `Integer` new length (0: `if_exists` and absent).
    ListPush {
        /// The key.
        key: Key<'a>,
        /// The values.
        values: Words<'a>,
        /// Which end.
        side: Side,
        /// LPUSHX, RPUSHX: only onto an existing list.
        if_exists: bool,
    },
    /// Pops values. Outcome: with `count` `List` or `Nil` when absent, without `Bytes`/`Nil`.
    ListPop {
        /// The key.
        key: Key<'a>,
        /// How many; `None` for the single form.
        count: Option<u64>,
        /// Which end.
        side: Side,
    },
    /// Keeps a range. Outcome: `Done`.
    ListTrim {
        /// The key.
        key: Key<'a>,
        /// First index kept; negative counts from the end.
        start: i64,
        /// Last index kept; negative counts from the end.
        stop: i64,
    },
    /// Removes equal values. Outcome: `Integer`.
    ListRemove {
        /// The key.
        key: Key<'a>,
        /// How many: from the head when positive, from the tail when negative, all when zero.
        count: i64,
        /// The value.
        value: &'a [u8],
    },
    /// Replaces one value. Outcome: `Done`, `NoSuchKey` or `IndexOutOfRange`.
    ListSet {
        /// The key.
        key: Key<'a>,
        /// Which; negative counts from the end.
        index: i64,
        /// The new value.
        value: &'a [u8],
    },
    /// Inserts beside a value. Outcome: `Integer` new length, 0 without the key, -1 without the pivot.
    ListInsert {
        /// The key.
        key: Key<'a>,
        /// Before the pivot, or after it.
        before: bool,
        /// The value to look for.
        pivot: &'a [u8],
        /// The value to insert.
        value: &'a [u8],
    },
    /// Moves a value from one list's end to another's. Outcome: `Bytes` or `Nil`.
    ListMove {
        /// The list to pop from.
        from: Key<'a>,
        /// The list to push to; may be the same.
        to: Key<'a>,
        /// The end to pop.
        from_side: Side,
        /// The end to push.
        to_side: Side,
    },

    /// Starts a session. Outcome: `Session`, or `SessionExists`, `SessionLimit`.
    SessionCreate {
        /// The hash of its id.
        id: SessionHash,
        /// Whose it is.
        user: &'a [u8],
        /// Idle and absolute limit.
        limits: Limits,
        /// The caller's data.
        data: &'a [u8],
        /// Name, value, name, value...: what LIST shows, such as address and user agent.
        meta: Words<'a>,
        /// How many sessions the user may have, this one included.
        cap: Option<Cap>,
    },
    /// Replaces a live session's data. Outcome: `Integer` new version, `NoSession`, `VersionMismatch`.
    SessionSave {
        /// The session.
        id: SessionHash,
        /// The new data.
        data: &'a [u8],
        /// The version that must be current (compare-and-set).
        version: Option<u32>,
    },
    /// Sets metadata fields of a live session. Outcome: `Integer`, its version, which stays; `NoSession`.
    SessionMeta {
        /// The session.
        id: SessionHash,
        /// Name, value, name, value...; an empty value removes the field.
        fields: Words<'a>,
    },
    /// Moves the idle deadline of a live session. Outcome: `Flag`.
    SessionTouch {
        /// The session.
        id: SessionHash,
    },
    /// Records a fresh authentication and restarts both limits. Outcome: `Session` or `NoSession`.
    SessionReauthenticate {
        /// The session.
        id: SessionHash,
    },
    /// Gives a live session a new id; the old one dies in the same step, or `grace_millis` later.
    /// Outcome: `Session` (the new one), `NoSession`, `SessionExists`.
    SessionRotate {
        /// The session.
        id: SessionHash,
        /// The hash of the new id.
        new_id: SessionHash,
        /// How long the old id keeps working, in milliseconds; 0 ends it at once. It ends sooner when
        /// that of a later rotation does, and after 15 more; the id stays taken until its grace is over.
        grace_millis: u64,
    },
    /// Ends sessions. Outcome: `Integer`, how many were live.
    SessionRevoke {
        /// The sessions.
        ids: Vec<SessionHash>,
    },
    /// Ends sessions of one user by their handles; another user's are left alone. Outcome: `Integer`.
    SessionRevokeOwned {
        /// The user.
        user: &'a [u8],
        /// The sessions.
        ids: Vec<SessionHash>,
    },
    /// Logs a user out everywhere, at the cost of one write. Outcome: `Integer`, how many were live.
    SessionRevokeUser {
        /// The user.
        user: &'a [u8],
        /// A session of this user that lives on.
        except: Option<SessionHash>,
    },
    /// Logs everybody out, at the cost of one write. Outcome: `Integer`, how many were live.
    SessionRevokeAll,

    /// Sets an index rule, or replaces the one of its name, and begins to index what is stored. Outcome:
    /// `Done`, or `TooManyRules`. No other op may be applied at the same time.
    RuleSet {
        /// The rule.
        rule: Box<Rule>,
    },
    /// Deletes an index rule, and begins to take what it indexed from its users. Outcome: `Flag`, whether
    /// there was one. No other op may be applied at the same time.
    RuleDelete {
        /// The rule's name.
        name: &'a [u8],
    },
    /// Indexes some of what was stored before a rule was set or deleted: one slice that
    /// [`Engine::index_slice`](crate::Engine::index_slice) found. Outcome: `Integer`, how many entries have
    /// another owner now.
    RuleIndex {
        /// What it is a slice of.
        job: u64,
        /// The keys.
        keys: Vec<Key<'a>>,
        /// Whether it is the last one.
        done: bool,
    },
}

impl Op<'_> {
    /// Whether it may need memory: then it is refused at the memory limit. Ends never are (promise 6).
    pub fn may_grow(&self) -> bool {
        !matches!(
            self,
            Self::GetDelete { .. }
                | Self::GetExpire { .. }
                | Self::Delete { .. }
                | Self::Expire { .. }
                | Self::Persist { .. }
                | Self::Rename { .. }
                | Self::Flush { .. }
                | Self::Unchanged { .. }
                | Self::Registers { .. }
                | Self::HashDelete { .. }
                | Self::SetRemove { .. }
                | Self::SetPop { .. }
                | Self::SortedRemove { .. }
                | Self::SortedRemoveRange { .. }
                | Self::SortedPop { .. }
                | Self::ListPop { .. }
                | Self::ListTrim { .. }
                | Self::ListRemove { .. }
                | Self::SessionTouch { .. }
                | Self::SessionReauthenticate { .. }
                | Self::SessionRotate { .. }
                | Self::SessionRevoke { .. }
                | Self::SessionRevokeOwned { .. }
                | Self::SessionRevokeUser { .. }
                | Self::SessionRevokeAll
                | Self::RuleSet { .. }
                | Self::RuleDelete { .. }
                | Self::RuleIndex { .. }
        )
    }
}

/// What a key holds, in short: two are equal when value, deadline and owner are, on every engine that has
/// applied the same ops. [`ABSENT`](Self::ABSENT) when there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// Of a key that is not there.
    pub const ABSENT: Self = Self(0);
}

/// What a write does with the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// No deadline: what was there goes.
    Clear,
    /// What was there stays (KEEPTTL; GETEX without an option).
    Keep,
    /// This one.
    At(Stamp),
    /// So many milliseconds after the op is applied.
    After(u64),
}

/// When something ends. What a client counts from now is counted from when the op is applied: then the clock
/// of whoever submits it does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Then.
    At(Stamp),
    /// So many milliseconds after the op is applied.
    After(u64),
}

impl Due {
    /// The moment, for an op that is applied `now`.
    #[inline]
    pub const fn stamp(self, now: Stamp) -> Stamp {
        match self {
            Self::At(at) => at,
            Self::After(millis) => now.plus_millis(millis),
        }
    }
}

impl From<Due> for Deadline {
    fn from(due: Due) -> Self {
        match due {
            Due::At(at) => Self::At(at),
            Due::After(millis) => Self::After(millis),
        }
    }
}

/// When SET writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Always,
    /// NX.
    IfAbsent,
    /// XX.
    IfPresent,
}

/// When EXPIRE sets the deadline. Redis allows XX together with GT or LT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireCondition {
    /// NX: only without a deadline.
    pub if_none: bool,
    /// XX: only with one.
    pub if_some: bool,
    /// GT: only later (no deadline counts as infinitely late).
    pub if_later: bool,
    /// LT: only sooner.
    pub if_sooner: bool,
}

/// How sets are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// Members of all.
    Intersection,
    /// Members of any.
    Union,
    /// Members of the first that no other has.
    Difference,
}

/// Options of ZADD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SortedAddOptions {
    /// NX: only new members.
    pub if_absent: bool,
    /// XX: only existing members.
    pub if_present: bool,
    /// GT: an existing score only grows.
    pub if_greater: bool,
    /// LT: an existing score only shrinks.
    pub if_less: bool,
    /// CH: count changed members, too.
    pub report_changed: bool,
    /// INCR: add to the score of the single member.
    pub increment: bool,
}

/// A range of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SortedRange<'a> {
    /// By index, inclusive; negative counts from the end.
    Rank(i64, i64),
    /// By score.
    Score(ScoreBound, ScoreBound),
    /// By member, for members of equal score.
    Lex(LexBound<'a>, LexBound<'a>),
}

/// An end of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortedEnd {
    /// The lowest scores.
    Lowest,
    /// The highest scores.
    Highest,
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Left.
    Head,
    /// Right.
    Tail,
}

/// A session's limits, each 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limits {
    /// Idle limit in seconds: every touch starts it anew.
    pub idle_seconds: u32,
    /// Absolute limit in seconds from the authentication: nothing but REAUTH moves it.
    pub lifetime_seconds: u32,
}

/// A limit on a user's concurrent sessions (requirement R12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// How many sessions the user may have, the new one included; at least 1.
    pub sessions_max: u32,
    /// End the oldest (true), or refuse the new one (false).
    pub evict: bool,
}
