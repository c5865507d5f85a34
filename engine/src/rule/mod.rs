//! Index rules: whose session is this plain key?
//!
//! An application that stores its sessions under keys of its own says nowhere whose they are. A [`Rule`]
//! tells where the user stands in such a value; from then on the keys are owned entries, listed and ended
//! like the sessions made with [`Op::SessionCreate`](crate::Op::SessionCreate).
//!
//! `user` reads the user out of a value; `registry` holds the rules and what is still to be indexed;
//! `write` is the way of an op that writes to a key under a rule; `fence` keeps ended keys dead for
//! a while; `index` goes through what was stored before a rule was. Without rules an op pays for all of
//! this with one look at a flag.

mod codec;
pub(crate) mod fence;
pub(crate) mod index;
pub(crate) mod registry;
pub(crate) mod user;
pub(crate) mod write;

pub(crate) use self::codec::{decode, encode};
pub use self::index::{IndexCursor, IndexSlice};
pub use self::registry::{IndexState, RuleStatus};

use crate::glob;

/// How many rules there may be.
pub const RULES_MAX: usize = 64;
/// The longest fence: an hour.
pub const FENCE_MILLIS_MAX: u64 = 3_600_000;
/// The fence of a rule that names none.
pub const FENCE_MILLIS_DEFAULT: u64 = 10_000;
/// How many decoders a rule may chain.
pub const DECODERS_MAX: usize = 8;
/// The longest name, pattern, field, pointer or prefix.
pub const WORD_BYTES_MAX: usize = 1024;

/// Where whose session a key is stands in its value, and what becomes of the key when it is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is set and deleted by. Of several rules for a key the first by name decides.
    pub name: Vec<u8>,
    /// The keys it is about, in all databases: a pattern as KEYS takes it.
    pub keys: Vec<u8>,
    /// Where the user stands.
    pub source: Source,
    /// For how long a key that was ended stays dead, in milliseconds; 0 for not at all.
    pub fence_millis: u64,
    /// What a write to such a key is answered.
    pub fence_reply: FenceReply,
}

/// Where in a value the user stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The field of a hash; otherwise the value is a string.
    pub field: Option<Vec<u8>>,
    /// What is done to the bytes found there, one after the other.
    pub decoders: Vec<Decoder>,
    /// Which part of the document it is then, as RFC 6901 says; otherwise all of it.
    pub pointer: Option<Vec<u8>>,
}

/// One step from what an application stores to what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// Base64 in either alphabet, padded or not.
    Base64,
    /// Percent-encoding.
    Url,
    /// A JSON string, whose content goes on.
    Json,
    /// A string as Java serialises it.
    JavaString,
    /// A document as PHP's `serialize` writes it; strings that hold one are opened, too.
    Php,
    /// A document as PHP's own session handler writes it: `name|value` again and again.
    PhpSession,
    /// A session of Django, signed or in the older form; of no other part than `/_auth_user_id`, if the
    /// rule has no pointer.
    Django,
    /// A document in `MessagePack`.
    MessagePack,
    /// A prefix, without which there is no user.
    Strip(Vec<u8>),
}

/// What a write to a fenced key is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FenceReply {
    /// As if it had worked.
    #[default]
    Ok,
    /// [`Refusal::Revoked`](crate::Refusal::Revoked).
    Error,
}

/// Why a rule is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// A name or pattern is empty.
    #[error("a rule has a name and a pattern")]
    Empty,
    /// A word is too long.
    #[error(
        "a name, pattern, field, pointer or prefix of a rule has at most {WORD_BYTES_MAX} bytes"
    )]
    WordTooLong,
    /// Too many decoders.
    #[error("a rule has at most {DECODERS_MAX} decoders")]
    TooManyDecoders,
    /// The fence is too long.
    #[error("a fence is at most {FENCE_MILLIS_MAX} milliseconds long")]
    FenceTooLong,
    /// A pointer does not begin with a slash.
    #[error("a pointer is empty or begins with '/'")]
    Pointer,
    /// A document decoder is followed by another.
    #[error("php, php-session, msgpack and django are the last decoder")]
    DocumentInside,
    /// A document of many parts without a pointer to one.
    #[error("php-session and msgpack need a pointer")]
    NoPointer,
}

impl Decoder {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Url => "url",
            Self::Json => "json",
            Self::JavaString => "java-string",
            Self::Php => "php",
            Self::PhpSession => "php-session",
            Self::Django => "django",
            Self::MessagePack => "msgpack",
            Self::Strip(_) => "strip",
        }
    }

    /// The decoder of a name, in any case; `strip:` is followed by the prefix.
    pub fn named(name: &[u8]) -> Option<Self> {
        const STRIP: usize = "strip:".len();
        if let Some((head, prefix)) = name.split_at_checked(STRIP)
            && head.eq_ignore_ascii_case(b"strip:")
        {
            return Some(Self::Strip(prefix.to_vec()));
        }
        let all = [
            Self::Base64,
            Self::Url,
            Self::Json,
            Self::JavaString,
            Self::Php,
            Self::PhpSession,
            Self::Django,
            Self::MessagePack,
        ];
        all.into_iter().find(|decoder| name.eq_ignore_ascii_case(decoder.name().as_bytes()))
    }

    /// Whether what it gives has parts, so that nothing but a pointer may follow.
    fn is_document(&self) -> bool {
        matches!(self, Self::Php | Self::PhpSession | Self::Django | Self::MessagePack)
    }
}

impl Rule {
    /// Whether it is about this key.
    pub fn covers(&self, key: &[u8]) -> bool {
        glob::matches(&self.keys, key)
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    /// The first [`RuleFault`] found.
    pub fn check(&self) -> Result<(), RuleFault> {
        let Source { field, decoders, pointer } = &self.source;
        if self.name.is_empty() || self.keys.is_empty() {
            return Err(RuleFault::Empty);
        }
        let prefixes = decoders.iter().filter_map(|decoder| match decoder {
            Decoder::Strip(prefix) => Some(prefix),
            _ => None,
        });
        let words = [&self.name, &self.keys].into_iter().chain(field).chain(pointer);
        if words.chain(prefixes).any(|word| word.len() > WORD_BYTES_MAX) {
            return Err(RuleFault::WordTooLong);
        }
        if decoders.len() > DECODERS_MAX {
            return Err(RuleFault::TooManyDecoders);
        }
        if self.fence_millis > FENCE_MILLIS_MAX {
            return Err(RuleFault::FenceTooLong);
        }
        if pointer.as_ref().is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with(b"/"))
        {
            return Err(RuleFault::Pointer);
        }
        if let Some((last, others)) = decoders.split_last() {
            if others.iter().any(Decoder::is_document) {
                return Err(RuleFault::DocumentInside);
            }
            let needs_pointer = matches!(last, Decoder::PhpSession | Decoder::MessagePack);
            if needs_pointer && pointer.is_none() {
                return Err(RuleFault::NoPointer);
            }
        }
        Ok(())
    }
}
