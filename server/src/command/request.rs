//! One request as a command sees it: words, keys with their hashes, numbers.
//!
//! Reading a word never allocates. A command's row checks the number of words before it runs, so
//! [`word`](Request::word) may be called for every index the arity guarantees.

use hallpass_engine::value::number::parse_i64;
use hallpass_engine::{HashSeed, Hint, Key, SessionHash, SessionKey, Words};

use super::error::CommandError;
use crate::session_id;

/// What the prefetch stage found out about a request's subject, so that it is not computed again.
#[derive(Clone, Copy, Debug, Default)]
pub enum Subject {
    /// Nothing.
    #[default]
    Unknown,
    /// The hash of the key that is the word at `index`, in database `db`.
    Key {
        /// Which word.
        index: u16,
        /// The database it was hashed for.
        db: u8,
        /// The key's hash.
        hash: u64,
    },
    /// The hash of the session id behind the command's name.
    Session(SessionHash),
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    words: Words<'a>,
    seed: &'a HashSeed,
    subject: Subject,
    hint: Hint,
    db: u8,
}

impl<'a> Request<'a> {
    /// A request of `words` in database `db`.
    #[inline]
    pub fn new(words: Words<'a>, seed: &'a HashSeed, db: u8, subject: Subject) -> Self {
        Self { words, seed, subject, hint: Hint::default(), db }
    }

    /// The same request, whose subject a prefetch may have found.
    #[inline]
    #[must_use]
    pub fn hinted(self, hint: Hint) -> Self {
        Self { hint, ..self }
    }

    /// How many words there are, the command's name included.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are no words; never true for a request that reached a command.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The seed that keys are hashed with, here and in the engine.
    pub fn seed(&self) -> &'a HashSeed {
        self.seed
    }

    /// The client's database.
    pub fn db(&self) -> u8 {
        self.db
    }

    /// The word at `index`; 0 is the command's name. Panics past the end.
    #[inline]
    pub fn word(&self, index: usize) -> &'a [u8] {
        self.words.at(index)
    }

    /// The word at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.words.len()).then(|| self.words.at(index))
    }

    /// The words from `start` on.
    pub fn words_from(&self, start: usize) -> Words<'a> {
        self.words.skip(start)
    }

    /// The words `start..end`.
    pub fn words(&self, start: usize, end: usize) -> Words<'a> {
        self.words.range(start, end)
    }

    /// The key that is the word at `index`, in the client's database.
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        let bytes = self.word(index);
        match self.subject {
            Subject::Key { index: at, db, hash } if usize::from(at) == index && db == self.db => {
                Key::with_hash(hash, self.hint, db, bytes)
            }
            _ => Key::new(self.seed, self.db, bytes),
        }
    }

    /// The key that is the word at `index`, in another database.
    pub fn key_in(&self, db: u8, index: usize) -> Key<'a> {
        Key::new(self.seed, db, self.word(index))
    }

    /// The hash of the session id that is the word at `index`.
    #[inline]
    pub fn session(&self, index: usize) -> SessionHash {
        match self.subject {
            Subject::Session(hash) if index == 1 => hash,
            _ => session_id::hash(self.word(index)),
        }
    }

    /// The session whose id is the word behind the command's name, for reading it.
    #[inline]
    pub fn session_key(&self) -> SessionKey {
        SessionKey::new(self.session(1), self.hint)
    }

    /// The word at `index` as an integer, or `ERR value is not an integer or out of range`.
    pub fn integer(&self, index: usize) -> Result<i64, CommandError> {
        parse_i64(self.word(index)).ok_or(CommandError::NotAnInteger)
    }

    /// The word at `index` as an integer that is not negative, or Redis' error for one that is.
    pub fn integer_positive(&self, index: usize) -> Result<i64, CommandError> {
        match parse_i64(self.word(index)) {
            Some(value) if value >= 0 => Ok(value),
            _ => Err(CommandError::OutOfRangePositive),
        }
    }

    /// Whether the word at `index` is `text` in any case; `text` is lower case.
    pub fn is(&self, index: usize, text: &str) -> bool {
        self.word(index).eq_ignore_ascii_case(text.as_bytes())
    }
}

/// What there is of a word for Redis where it takes it for a C string: it ends at a zero byte.
pub(crate) fn c_string(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == 0).next().unwrap_or_default()
}
