//! The command row: everything that is known about a command, in one place.
//!
//! A family's table is written as `CommandSpec { name: "get", .., ..CommandSpec::ROW }`. The row is
//! read by lookup, arity and flag checks, COMMAND and its DOCS, statistics, and the reference page.

use hallpass_engine::value::number::parse_i64;
use hallpass_engine::{Op, Outcome, Words};

use super::context::{LocalContext, LowerContext, ReadContext};
use super::error::CommandError;
use super::request::Request;
use crate::resp::reply::Reply;
use crate::session_id::Secret;
use crate::state::ServerState;

/// How a command is carried out.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// Looks at the engine and writes the reply. What was written before an error is taken back.
    Read(fn(&mut ReadContext<'_>, &Request<'_>) -> Result<(), CommandError>),
    /// Becomes an op, which the dispatcher applies; then the reply is written from its outcome.
    /// Neither function has a side effect: randomness is drawn while lowering and travels in the op.
    Write {
        /// Makes the op.
        lower: for<'a> fn(&LowerContext<'_>, &Request<'a>) -> Result<Op<'a>, CommandError>,
        /// Writes the reply. Refusals never get here: the dispatcher answers them.
        render: fn(&Outcome, &Request<'_>, &mut Reply<'_>),
    },
    /// As [`Run::Write`], for a command that makes a session id: the dispatcher draws the secret, which the
    /// op must not hold and the reply must.
    Mint {
        /// Makes the op.
        lower: for<'a> fn(&LowerContext<'_>, &Request<'a>, &Secret) -> Result<Op<'a>, CommandError>,
        /// Writes the reply.
        render: fn(&Outcome, &Request<'_>, &Secret, &mut Reply<'_>),
    },
    /// As [`Run::Write`], for a change of registers: it begins from what they make of the server, such as its
    /// users, and the client is bound by what comes of it before its next request.
    Register {
        /// Makes the op, an [`Op::Registers`]; made again when somebody else was faster.
        lower: for<'a> fn(&ServerState, &Request<'a>) -> Result<Op<'a>, CommandError>,
        /// Writes the reply.
        render: fn(&Outcome, &Request<'_>, &mut Reply<'_>),
    },
    /// Needs the connection and the server only.
    Local(fn(&mut LocalContext<'_>, &Request<'_>) -> Result<(), CommandError>),
    /// Begins, ends or guards a transaction: for the dispatcher, which runs what was queued.
    Transaction(Transacting),
    /// Runs a script: for the dispatcher, because a script is requests dispatched from Lua.
    Script(Scripting),
    /// Only holds subcommands.
    Container,
}

/// How a script is named, and what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scripting {
    /// By its SHA-1, and not sent whole.
    pub by_digest: bool,
    /// It may not write.
    pub read_only: bool,
}

/// What a client does about its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transacting {
    /// MULTI: what follows is queued.
    Multi,
    /// EXEC: what was queued runs.
    Exec,
    /// DISCARD: what was queued is forgotten.
    Discard,
    /// WATCH: EXEC runs nothing if one of these keys changes.
    Watch,
    /// UNWATCH: no key is watched any more.
    Unwatch,
}

/// One command, or one subcommand.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Lower case, without the container's name.
    pub name: &'static str,
    /// Words with the name (and the container's); negative for "at least".
    pub arity: i16,
    /// How it may be used.
    pub flags: Flags,
    /// Which words are keys.
    pub keys: KeyPositions,
    /// ACL categories beyond those the flags imply (see [`CommandSpec::categories_all`]).
    pub categories: Categories,
    /// The arguments, as documentation writes them.
    pub syntax: &'static str,
    /// What it does, one sentence.
    pub summary: &'static str,
    /// The Redis version that introduced it, or Hallpass' own (`hallpass 0.1`).
    pub since: &'static str,
    /// Time complexity.
    pub complexity: &'static str,
    /// Which group it is documented in: `string`, `hash`, `session`...
    pub group: &'static str,
    /// The shape of the reply, in words.
    pub reply: &'static str,
    /// Where it answers otherwise than Redis 7.2, for the reference page; empty when it does not.
    pub difference: &'static str,
    /// What the first word after the name names, for prefetching.
    pub subject: Subject,
    /// What is looked at before the arguments are read, where it shows.
    pub first_look: FirstLook,
    /// The subcommands of a container.
    pub subcommands: &'static [CommandSpec],
    /// How it is carried out.
    pub run: Run,
}

/// What Redis looks at before it reads a write's arguments, which decides between two errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstLook {
    /// Nothing: bad arguments are told first.
    None,
    /// Whether the key, if there is one, holds a string.
    String,
    /// Whether there is a key, and it holds a list.
    ExistingList,
}

impl CommandSpec {
    /// What rows leave out.
    pub const ROW: Self = Self {
        name: "",
        arity: 1,
        flags: Flags::NONE,
        keys: KeyPositions::NONE,
        categories: Categories::NONE,
        syntax: "",
        summary: "",
        since: "1.0.0",
        complexity: "O(1)",
        group: "",
        reply: "",
        difference: "",
        subject: Subject::FirstKey,
        first_look: FirstLook::None,
        subcommands: &[],
        run: Run::Container,
    };

    /// Whether a request of `words` words has the right length.
    pub fn accepts(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= arity } else { words == arity }
    }

    /// All ACL categories: the row's own and those Redis derives from the flags.
    pub fn categories_all(&self) -> Categories {
        let implied = [
            (Flags::WRITE, Categories::WRITE),
            (Flags::READONLY, Categories::READ),
            (Flags::ADMIN, Categories::ADMIN.with(Categories::DANGEROUS)),
            (Flags::PUBSUB, Categories::PUBSUB),
            (Flags::FAST, Categories::FAST),
            (Flags::BLOCKING, Categories::BLOCKING),
        ];
        let mut all = self.categories;
        for (flag, categories) in implied {
            if self.flags.has(flag) {
                all = all.with(categories);
            }
        }
        if self.flags.has(Flags::FAST) { all } else { all.with(Categories::SLOW) }
    }
}

/// What a command is about: what the pipeline prefetches before it executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The first key of [`CommandSpec::keys`], if there is one.
    FirstKey,
    /// The session whose id is the word behind the name.
    Session,
}

/// Which words of a request are keys, as COMMAND INFO shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPositions {
    /// Index of the first key, 0 for none.
    pub first: i16,
    /// Index of the last key; negative counts from the last word.
    pub last: i16,
    /// Distance from key to key.
    pub step: i16,
    /// Index of a word that says how many keys follow it (SINTERCARD, EVAL); 0 for none. `first`,
    /// `last` and `step` then describe only the keys before it.
    pub counted_by: i16,
}

impl KeyPositions {
    /// No keys.
    pub const NONE: Self = Self::range(0, 0, 0);
    /// The word behind the name.
    pub const FIRST: Self = Self::range(1, 1, 1);
    /// The two words behind the name: RENAME.
    pub const TWO: Self = Self::range(1, 2, 1);
    /// All words behind the name: DEL.
    pub const ALL: Self = Self::range(1, -1, 1);
    /// Every second word behind the name: MSET.
    pub const PAIRS: Self = Self::range(1, -1, 2);

    /// The words from `first` to `last`, `step` apart.
    pub const fn range(first: i16, last: i16, step: i16) -> Self {
        Self { first, last, step, counted_by: 0 }
    }

    /// As many words as the word at `index` says, right behind it.
    pub const fn counted(index: i16) -> Self {
        Self { first: 0, last: 0, step: 0, counted_by: index }
    }
}

impl KeyPositions {
    /// The indexes of the keys among `words`. `None` when the word that counts them is no number, or
    /// counts more than there are.
    pub fn of(self, words: Words<'_>) -> Option<impl Iterator<Item = usize> + use<>> {
        let len = words.len();
        let (first, last, step) = if self.counted_by > 0 {
            let counted_by = self.counted_by.unsigned_abs() as usize;
            let count = (counted_by < len).then(|| parse_i64(words.at(counted_by)))??;
            let count = usize::try_from(count).ok().filter(|count| *count > 0)?;
            (counted_by + 1, counted_by.checked_add(count)?, 1)
        } else {
            let from_end = self.last.unsigned_abs() as usize;
            let last = if self.last < 0 { len.checked_sub(from_end)? } else { from_end };
            (self.first.unsigned_abs() as usize, last, self.step.unsigned_abs() as usize)
        };
        (last < len || self.counted_by == 0).then_some(())?;
        Some((first..(last + 1).min(len)).step_by(step.max(1)))
    }
}

/// Declares a set of named bits with the names Redis uses.
macro_rules! bits {
    ($(#[$doc:meta])* $type:ident: $($(#[$item_doc:meta])* $constant:ident = $name:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $type(u32);

        impl $type {
            /// The empty set.
            pub const NONE: Self = Self(0);
            bits!(@constants 0, $($(#[$item_doc])* $constant)*);

            /// Redis' names, in the order of the bits.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Both sets together.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether all bits of `other` are in this set.
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The bit of this name, in any case.
            pub fn find(name: &str) -> Option<Self> {
                let at = Self::NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
                Some(Self(1 << at))
            }

            /// The names of the members.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::NAMES
                    .iter()
                    .enumerate()
                    .filter(move |(bit, _)| self.0 & (1 << bit) != 0)
                    .map(|(_, name)| *name)
            }
        }
    };
    (@constants $bit:expr, $(#[$doc:meta])* $constant:ident $($rest:tt)*) => {
        $(#[$doc])*
        pub const $constant: Self = Self(1 << ($bit));
        bits!(@constants $bit + 1, $($rest)*);
    };
    (@constants $bit:expr,) => {};
}

bits! {
    /// How a command may be used.
    Flags:
    /// May change the store.
    WRITE = "write",
    /// Looks at keys and changes none.
    READONLY = "readonly",
    /// Refused when `maxmemory` is reached.
    DENYOOM = "denyoom",
    /// For administrators.
    ADMIN = "admin",
    /// Belongs to publish and subscribe.
    PUBSUB = "pubsub",
    /// Not in scripts.
    NOSCRIPT = "noscript",
    /// May wait.
    BLOCKING = "blocking",
    /// Allowed while data is being loaded.
    LOADING = "loading",
    /// Allowed on a replica that has lost its leader.
    STALE = "stale",
    /// Not recorded in the slow log: it may hold a password.
    SKIP_SLOWLOG = "skip_slowlog",
    /// Constant or logarithmic time.
    FAST = "fast",
    /// Allowed before authentication.
    NO_AUTH = "no_auth",
    /// Which words are keys depends on other words.
    MOVABLEKEYS = "movablekeys",
    /// Allowed while a script runs too long.
    ALLOW_BUSY = "allow_busy",
    /// Not between MULTI and EXEC.
    NO_MULTI = "no_multi",
}

bits! {
    /// ACL categories.
    Categories:
    /// Touches keys of any type.
    KEYSPACE = "keyspace",
    /// Reads.
    READ = "read",
    /// Writes.
    WRITE = "write",
    /// Sets.
    SET = "set",
    /// Sorted sets.
    SORTEDSET = "sortedset",
    /// Lists.
    LIST = "list",
    /// Hashes.
    HASH = "hash",
    /// Strings.
    STRING = "string",
    /// Bitmaps: none of these exists here, but rules may name the category.
    BITMAP = "bitmap",
    /// Estimates of cardinality: likewise.
    HYPERLOGLOG = "hyperloglog",
    /// Places: likewise.
    GEO = "geo",
    /// Streams: likewise.
    STREAM = "stream",
    /// Publish and subscribe.
    PUBSUB = "pubsub",
    /// Administration.
    ADMIN = "admin",
    /// Constant or logarithmic time.
    FAST = "fast",
    /// The others.
    SLOW = "slow",
    /// May wait.
    BLOCKING = "blocking",
    /// Easily misused.
    DANGEROUS = "dangerous",
    /// About the connection.
    CONNECTION = "connection",
    /// Transactions.
    TRANSACTION = "transaction",
    /// Scripts.
    SCRIPTING = "scripting",
    /// Sessions and users: Hallpass' own.
    SESSION = "session",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arity_is_exact_or_a_minimum() {
        let row = CommandSpec { arity: 2, ..CommandSpec::ROW };
        assert!(row.accepts(2) && !row.accepts(1) && !row.accepts(3));
        let row = CommandSpec { arity: -2, ..CommandSpec::ROW };
        assert!(row.accepts(2) && !row.accepts(1) && row.accepts(3));
    }

    #[test]
    fn keys_are_found_by_position_or_by_count() {
        let keys = |positions: KeyPositions, request: &str| {
            let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
            positions.of(Words::from_slices(&words)).map(Iterator::collect::<Vec<_>>)
        };
        assert_eq!(keys(KeyPositions::FIRST, "get a"), Some(vec![1]));
        assert_eq!(keys(KeyPositions::ALL, "del a b c"), Some(vec![1, 2, 3]));
        assert_eq!(keys(KeyPositions::PAIRS, "mset a 1 b 2"), Some(vec![1, 3]));
        assert_eq!(keys(KeyPositions::TWO, "rename a b"), Some(vec![1, 2]));
        assert_eq!(keys(KeyPositions::counted(1), "sintercard 2 a b LIMIT 1"), Some(vec![2, 3]));
        assert_eq!(keys(KeyPositions::counted(1), "sintercard 3 a b"), None);
        assert_eq!(keys(KeyPositions::counted(1), "sintercard x a"), None);
    }

    #[test]
    fn flags_imply_categories() {
        let row = CommandSpec { flags: Flags::READONLY.with(Flags::FAST), ..CommandSpec::ROW };
        assert_eq!(row.categories_all().names().collect::<Vec<_>>(), ["read", "fast"]);
        let row = CommandSpec { flags: Flags::ADMIN, ..CommandSpec::ROW };
        assert_eq!(
            row.categories_all().names().collect::<Vec<_>>(),
            ["admin", "slow", "dangerous"]
        );
    }
}
