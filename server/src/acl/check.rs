//! The check: whether a user may have a request.
//!
//! One function, [`User::check`], which dispatch asks for clients that may not do everything, and scripts
//! for each command they call. Which words are keys says the command's row; what the command does with
//! each of them says [`access_of`], after Redis' key specifications.

use hallpass_engine::Words;

use super::user::{Access, User};
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::glob;

/// Why a user may not have a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The command.
    Command,
    /// The key at this index.
    Key(usize),
    /// The channel at this index.
    Channel(usize),
}

impl Denied {
    /// What ACL LOG calls it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key(_) => "key",
            Self::Channel(_) => "channel",
        }
    }

    /// The name that was refused.
    pub fn object(self, entry: &Entry, words: Words<'_>) -> Vec<u8> {
        match self {
            Self::Command => entry.full_name.as_bytes().to_vec(),
            Self::Key(index) | Self::Channel(index) => words.at(index).to_vec(),
        }
    }

    /// What the client is told, without the code; with the name of what was refused if `verbose`.
    pub fn text(self, user: &User, entry: &Entry, words: Words<'_>, verbose: bool) -> Vec<u8> {
        let object = self.object(entry, words);
        let (action, kind): (&[u8], &[u8]) = match self {
            Self::Command => (b"run", b"command"),
            Self::Key(_) if !verbose => return b"No permissions to access a key".to_vec(),
            Self::Channel(_) if !verbose => return b"No permissions to access a channel".to_vec(),
            Self::Key(_) => (b"access", b"key"),
            Self::Channel(_) => (b"access", b"channel"),
        };
        let parts: [&[u8]; 9] = [
            b"User ",
            &user.name,
            b" has no permissions to ",
            action,
            b" the '",
            &object,
            b"' ",
            kind,
            b"",
        ];
        parts.concat()
    }

    /// The reason that EXEC gives for a request it does not run any more.
    pub fn reason_in_transaction(self) -> &'static str {
        match self {
            Self::Command => "no permission to execute the command or subcommand",
            Self::Key(_) => "no permission to touch the specified keys",
            Self::Channel(_) => {
                "no permission to access one of the channels used as arguments to the command"
            }
        }
    }
}

impl User {
    /// Whether it may have this request; `words` begins with the command's name.
    pub fn check(&self, entry: &Entry, words: Words<'_>) -> Result<(), Denied> {
        // Whoever is connected may say who it is.
        if !entry.spec.flags.has(Flags::NO_AUTH)
            && !self.commands.allow(entry.index)
            && !self.allows_first_argument(entry, words)
        {
            return Err(Denied::Command);
        }
        if !self.keys.all {
            self.check_keys(entry, words)?;
        }
        if !self.channels.all {
            self.check_channels(entry, words)?;
        }
        Ok(())
    }

    fn allows_first_argument(&self, entry: &Entry, words: Words<'_>) -> bool {
        words.len() > 1
            && self.commands.first_arguments.iter().any(|(index, argument)| {
                *index == entry.index && words.at(1).eq_ignore_ascii_case(argument)
            })
    }

    fn check_keys(&self, entry: &Entry, words: Words<'_>) -> Result<(), Denied> {
        // A shard channel is spread as keys are, and is none.
        if entry.spec.flags.has(Flags::PUBSUB) {
            return Ok(());
        }
        let keys = entry.spec.keys;
        let before_count = (keys.counted_by > 0 && keys.first > 0).then_some(keys.first as usize);
        let counted = keys.of(words).into_iter().flatten();
        let has_any = keys.first > 0 || keys.counted_by > 0;
        for (nth, index) in before_count.into_iter().chain(counted).enumerate() {
            if !has_any || index >= words.len() {
                break;
            }
            if !self.may_access(words.at(index), access_of(entry, words, nth)) {
                return Err(Denied::Key(index));
            }
        }
        Ok(())
    }

    /// Whether it may do this with a key.
    pub fn may_access(&self, key: &[u8], access: Access) -> bool {
        self.keys.all
            || self.keys.patterns.iter().any(|pattern| {
                pattern.access.covers(access) && glob::matches(&pattern.pattern, key)
            })
    }

    fn check_channels(&self, entry: &Entry, words: Words<'_>) -> Result<(), Denied> {
        let (count, literal) = match entry.spec.name {
            "publish" | "spublish" => (1, false),
            "subscribe" | "ssubscribe" => (words.len().saturating_sub(1), false),
            "psubscribe" => (words.len().saturating_sub(1), true),
            _ => return Ok(()),
        };
        let all = (1..words.len()).take(count);
        let mut refused = all.filter(|index| !self.may_hear(words.at(*index), literal));
        refused.next().map_or(Ok(()), |index| Err(Denied::Channel(index)))
    }

    /// Whether it may name a channel, or a pattern of channels, which has to be one of its own to the byte.
    pub fn may_hear(&self, name: &[u8], is_pattern: bool) -> bool {
        self.channels.all
            || self.channels.patterns.iter().any(|pattern| {
                if is_pattern { **pattern == *name } else { glob::matches(pattern, name) }
            })
    }
}

/// What a command does with its `nth` key.
fn access_of(entry: &Entry, words: Words<'_>, nth: usize) -> Access {
    let flags = entry.spec.flags;
    match (&*entry.full_name, nth) {
        // Whether there is one, how much, and of what kind: nothing of the value.
        (
            "exists" | "hexists" | "hlen" | "hstrlen" | "llen" | "memory|usage" | "scard"
            | "sismember" | "strlen" | "touch" | "type" | "zcard" | "watch",
            _,
        ) => Access::NONE,
        ("object|encoding" | "object|freq" | "object|idletime" | "object|refcount", _) => {
            Access::NONE
        }
        // The value is answered, and changed.
        (
            "getdel" | "lpop" | "rpop" | "spop" | "zpopmax" | "zpopmin" | "blpop" | "brpop"
            | "bzpopmin" | "bzpopmax" | "lmpop" | "zmpop" | "decr" | "decrby" | "getex" | "getset"
            | "hincrby" | "hincrbyfloat" | "incr" | "incrby" | "incrbyfloat" | "move" | "zincrby",
            _,
        ) => Access::BOTH,
        // Moved from the first.
        ("rename" | "renamenx" | "lmove" | "rpoplpush" | "smove" | "blmove" | "brpoplpush", 0) => {
            Access::BOTH
        }
        // From the first to the second, or into the first from the others.
        ("copy", 0)
        | (
            "sdiffstore" | "sinterstore" | "sunionstore" | "zdiffstore" | "zinterstore"
            | "zunionstore" | "zrangestore",
            1..,
        ) => Access::READ,
        ("set", _) if words.skip(3).iter().any(|word| word.eq_ignore_ascii_case(b"get")) => {
            Access::BOTH
        }
        _ if flags.has(Flags::WRITE) => Access::WRITE,
        _ if flags.has(Flags::READONLY) => Access::READ,
        // A script may do anything with what it is given.
        _ => Access::BOTH,
    }
}
