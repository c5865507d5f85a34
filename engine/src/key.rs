//! What the engine is asked about: keys, session hashes, and lists of words in one buffer.
//!
//! A [`Key`] carries its hash, so that a server computes it once for prefetching and lookup. A
//! [`SessionHash`] is all the engine ever learns of a session id (requirement R3). [`Words`] lets a
//! request parser and a log decoder hand over argument lists without copying or allocating.

use std::fmt;

use siphasher::sip::SipHasher13;

use crate::value::ValueSeed;

/// How many numbered Redis databases there are.
pub const DATABASES: u8 = 16;

/// The secret seed of the key hash.
///
/// SipHash-1-3 with a secret seed keeps clients from choosing keys that collide. It gives the same
/// hash on every machine, so nodes of a cluster that share the seed agree on shards and slots.
#[derive(Clone, Copy, Debug)]
pub struct HashSeed {
    hasher: SipHasher13,
    values: ValueSeed,
}

impl HashSeed {
    /// A seed from 128 bits, which should come from the operating system's generator.
    pub fn new(low: u64, high: u64) -> Self {
        let hasher = SipHasher13::new_with_keys(low, high);
        Self { hasher, values: ValueSeed::new(low.rotate_left(32), !high) }
    }

    /// The seed of hashes, sets and sorted sets.
    pub fn values(&self) -> ValueSeed {
        self.values
    }

    /// The hash of `bytes` in the name space `space` (a database number).
    pub(crate) fn hash(&self, space: u8, bytes: &[u8]) -> u64 {
        // The database is folded in afterwards: one short multiplication instead of a second write.
        let hash = self.hasher.hash(bytes);
        (hash ^ u64::from(space)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ hash
    }
}

/// A key of one of the numbered databases, with its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) hint: Hint,
    pub(crate) db: u8,
}

// A hint says where to look, not which key it is.
impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.db, self.bytes, self.hash) == (other.db, other.bytes, other.hash)
    }
}

impl Eq for Key<'_> {}

/// Where a prefetch found what is probably sought: a read of it then looks there first.
///
/// It may be of another key or out of date: what lies there is compared before it is believed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    /// The slot + 1; 0 when there is none.
    slot: u32,
}

impl Hint {
    /// The slot to look into.
    pub(crate) fn of(slot: u32) -> Self {
        Self { slot: slot + 1 }
    }

    /// The slot to look into, if the prefetch found one.
    #[inline]
    pub(crate) fn slot(self) -> Option<u32> {
        self.slot.checked_sub(1)
    }
}

impl<'a> Key<'a> {
    /// A key of database `db` (below [`DATABASES`]), hashed with the store's seed.
    pub fn new(seed: &HashSeed, db: u8, bytes: &'a [u8]) -> Self {
        assert!(db < DATABASES, "there are {DATABASES} databases");
        Self { hash: seed.hash(db, bytes), bytes, hint: Hint::default(), db }
    }

    /// A key whose hash is known from an earlier [`Key::new`] with the same seed, database and bytes, and
    /// perhaps its place from a prefetch of that hash.
    #[inline]
    pub fn with_hash(hash: u64, hint: Hint, db: u8, bytes: &'a [u8]) -> Self {
        assert!(db < DATABASES, "there are {DATABASES} databases");
        Self { hash, bytes, hint, db }
    }

    /// The key's name.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The database it lives in.
    pub fn db(&self) -> u8 {
        self.db
    }

    /// The hash that picks shard and bucket; what the prefetch stages take.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// The stored form of a session id: the first 128 bits of its SHA-256.
///
/// Ids are 256 random bits, so neither the id nor a second one with the same hash can be found from
/// it. Printed in base64url it is the session's public *handle* (requirement R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionHash(pub [u8; 16]);

/// A session id's hash with its probable place: what reads of sessions take.
#[derive(Clone, Copy, Debug)]
pub struct SessionKey {
    pub(crate) id: SessionHash,
    pub(crate) hint: Hint,
}

impl SessionKey {
    /// The session of `id`, which a prefetch of its hash may have found.
    pub fn new(id: SessionHash, hint: Hint) -> Self {
        Self { id, hint }
    }

    /// The hash of its id.
    pub fn id(&self) -> &SessionHash {
        &self.id
    }
}

impl From<&SessionHash> for SessionKey {
    fn from(id: &SessionHash) -> Self {
        Self::new(*id, Hint::default())
    }
}

impl SessionHash {
    /// The 64 bits that pick shard and bucket; what the prefetch stages take.
    pub fn hash(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Where one word lies in a buffer: byte offset and length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub length: u32,
}

/// A list of byte strings, either lying in one buffer (a request, a log entry) or given one by one.
/// Two are equal when their words are, wherever they lie.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Spans { buffer: &'a [u8], spans: &'a [Span] },
    Slices(&'a [&'a [u8]]),
}

impl<'a> Words<'a> {
    /// No words.
    pub const EMPTY: Words<'static> = Words { source: Source::Slices(&[]) };

    /// The words that `spans` mark in `buffer`.
    ///
    /// A span that reaches past the buffer's end is a programming error and panics when it is read.
    pub fn from_spans(buffer: &'a [u8], spans: &'a [Span]) -> Self {
        Self { source: Source::Spans { buffer, spans } }
    }

    /// The words of a slice of slices: for programs that embed the engine, and for tests.
    pub fn from_slices(slices: &'a [&'a [u8]]) -> Self {
        Self { source: Source::Slices(slices) }
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        match self.source {
            Source::Spans { spans, .. } => spans.len(),
            Source::Slices(slices) => slices.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The word at `index`. Panics past the end.
    pub fn at(&self, index: usize) -> &'a [u8] {
        match self.source {
            Source::Spans { buffer, spans } => {
                let span = spans[index];
                let start = span.start as usize;
                &buffer[start..start + span.length as usize]
            }
            Source::Slices(slices) => slices[index],
        }
    }

    /// The words from `start` on. Panics when `start` lies past the end.
    #[must_use]
    pub fn skip(&self, start: usize) -> Self {
        self.range(start, self.len())
    }

    /// The words `start..end`. Panics when the range does not lie inside.
    #[must_use]
    pub fn range(&self, start: usize, end: usize) -> Self {
        let source = match self.source {
            Source::Spans { buffer, spans } => Source::Spans { buffer, spans: &spans[start..end] },
            Source::Slices(slices) => Source::Slices(&slices[start..end]),
        };
        Self { source }
    }

    /// The words in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + use<'a> {
        let words = *self;
        (0..words.len()).map(move |index| words.at(index))
    }

    /// The words two by two: names and values. A last odd word is left out.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let words = *self;
        (0..words.len() / 2).map(move |pair| (words.at(2 * pair), words.at(2 * pair + 1)))
    }
}

impl PartialEq for Words<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Words<'_> {}

impl fmt::Debug for Words<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_slices_read_alike() {
        let buffer = b"abcde";
        let spans = [
            Span { start: 0, length: 2 },
            Span { start: 2, length: 0 },
            Span { start: 2, length: 3 },
        ];
        let from_spans = Words::from_spans(buffer, &spans);
        let slices: [&[u8]; 3] = [b"ab", b"", b"cde"];
        let from_slices = Words::from_slices(&slices);
        assert!(from_spans.iter().eq(from_slices.iter()));
        assert_eq!(from_spans.skip(1).at(1), b"cde");
        assert_eq!(from_slices.pairs().collect::<Vec<_>>(), [(&b"ab"[..], &b""[..])]);
    }

    #[test]
    fn databases_hash_apart() {
        let seed = HashSeed::new(1, 2);
        assert_ne!(Key::new(&seed, 0, b"a").hash(), Key::new(&seed, 1, b"a").hash());
        assert_eq!(Key::new(&seed, 3, b"a").hash(), Key::new(&seed, 3, b"a").hash());
    }
}
