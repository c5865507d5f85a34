//! Reading a snapshot: every byte is checked before it is believed, and nothing is allocated by a length
//! that the bytes at hand do not back.

use std::sync::atomic::Ordering;

use super::entry::{self, Entry, SessionEntry};
use super::{MAGIC, VERSION};
use crate::engine::Engine;
use crate::key::{DATABASES, Key};
use crate::session::create::insert_parts;
use crate::store::record::{Record, SessionParts};
use crate::store::scope::{Scope, Spot};
use crate::time::Stamp;
use crate::user::record::UserRecord;
use crate::user::shard::UserName;
use crate::value::Collection;
use crate::varint;

/// Why a snapshot could not be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The bytes do not begin like a snapshot.
    #[error("this is not a Hallpass snapshot: it does not begin with HALLPASS")]
    NotASnapshot,
    /// It was written by a later version.
    #[error("the snapshot has format version {0}; this program reads version {VERSION}")]
    Version(u16),
    /// It ends before its end mark.
    #[error("the snapshot ends at byte {0}, before its end mark: it was cut off")]
    Truncated(usize),
    /// A checksum does not match, or the content is not what a checksum would allow.
    #[error("the snapshot is damaged near byte {0}")]
    Damaged(usize),
    /// The engine holds entries already.
    #[error("a snapshot is restored into an empty engine")]
    NotEmpty,
    /// The engine is configured for less than the snapshot holds.
    #[error("the snapshot holds an entry that the engine's limits do not allow, near byte {0}")]
    OverLimit(usize),
}

/// Reads a snapshot into an empty engine and returns the stamp it was taken at.
///
/// # Errors
/// A [`RestoreError`] that says what is wrong. The engine is then to be dropped: it may hold a part.
pub fn restore(engine: &Engine, snapshot: &[u8]) -> Result<Stamp, RestoreError> {
    let statistics = engine.statistics();
    if statistics.sessions > 0 || (0..DATABASES).any(|db| engine.database(db).keys > 0) {
        return Err(RestoreError::NotEmpty);
    }
    let mut reader = Reader { all: snapshot, at: 0 };
    let magic = snapshot.get(..MAGIC.len()).ok_or(RestoreError::NotASnapshot)?;
    if magic != MAGIC {
        return Err(RestoreError::NotASnapshot);
    }
    reader.at = MAGIC.len();
    let version = u16::from_le_bytes(reader.take()?);
    if version != VERSION {
        return Err(RestoreError::Version(version));
    }
    let mut header = reader.block()?.ok_or(RestoreError::Damaged(reader.at))?;
    let damaged = RestoreError::Damaged(reader.at);
    let stamp = Stamp::from_millis(varint::take(&mut header).ok_or(damaged)?);
    let generations = varint::take(&mut header).filter(|count| *count < 1 << 48).ok_or(damaged)?;
    engine.store.generations.store(generations, Ordering::Relaxed);
    let mut entries = 0;
    while let Some(mut block) = reader.block()? {
        let end = reader.at;
        while !block.is_empty() {
            let at = end - block.len();
            let entry = entry::decode(&mut block).ok_or(RestoreError::Damaged(at))?;
            if entry.generation() > generations {
                return Err(RestoreError::Damaged(at));
            }
            put(engine, &entry, stamp, at)?;
            entries += 1;
        }
    }
    if u64::from_le_bytes(reader.take()?) != entries || reader.at != snapshot.len() {
        return Err(RestoreError::Damaged(reader.at));
    }
    Ok(stamp)
}

struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let rest = self.all.get(self.at..).unwrap_or_default();
        let taken = rest.first_chunk::<N>().ok_or(RestoreError::Truncated(self.all.len()))?;
        self.at += N;
        Ok(*taken)
    }

    /// The next block, checked; `None` at the end mark, whose count follows and is checked here.
    fn block(&mut self) -> Result<Option<&'a [u8]>, RestoreError> {
        let start = self.at;
        let length = u32::from_le_bytes(self.take()?) as usize;
        let checksum = u32::from_le_bytes(self.take()?);
        let checked = if length == 0 { 8 } else { length };
        let block = self.all.get(self.at..self.at + checked);
        let block = block.ok_or(RestoreError::Truncated(self.all.len()))?;
        if crc32fast::hash(block) != checksum {
            return Err(RestoreError::Damaged(start));
        }
        if length == 0 {
            return Ok(None);
        }
        self.at += length;
        Ok(Some(block))
    }
}

/// Puts an entry into the engine. `at` is where it stands, for the error.
fn put(engine: &Engine, entry: &Entry<'_>, now: Stamp, at: usize) -> Result<(), RestoreError> {
    let store = &engine.store;
    let over_limit = RestoreError::OverLimit(at);
    match entry {
        Entry::Plain { db, key, deadline, owner, value, is_collection } => {
            if *db >= DATABASES {
                return Err(RestoreError::Damaged(at));
            }
            let sizes = &engine.sizes;
            // The limit on values bounds each string and element, so not a collection's whole form.
            let value_bytes_max = if *is_collection { usize::MAX } else { sizes.value_bytes_max };
            if key.len() > sizes.key_bytes_max
                || value.len() > value_bytes_max
                || owner.is_some_and(|(name, _)| name.len() > sizes.user_bytes_max)
            {
                return Err(over_limit);
            }
            let key = Key::new(&store.seed, *db, key);
            let name = owner.map(|(name, _)| UserName::new(&store.seed, name));
            let mut scope = Scope::of(store, &[Spot::Key(key)], name.as_slice(), now);
            if scope.find(&key).is_some() {
                return Err(RestoreError::Damaged(at));
            }
            scope.has_room(key.hash).map_err(|_| over_limit)?;
            let collection = if *is_collection {
                let decoded = Collection::decode(value, store.seed.values());
                Some(decoded.map_err(|_| RestoreError::Damaged(at))?)
            } else {
                None
            };
            let owner = match (name, owner) {
                (Some(name), Some((_, generation))) => Some(user(&mut scope, name, *generation)),
                _ => None,
            };
            let record = match collection {
                Some(collection) => {
                    Record::collection(&store.arena, &key, Box::new(collection), *deadline, owner)
                }
                None => Record::string(&store.arena, &key, value, *deadline, owner),
            };
            let live = scope.insert(key.hash, record);
            if let Some(owner) = owner {
                let location = scope.location(live);
                scope.link(owner, location, *deadline);
            }
        }
        Entry::Session(session) => put_session(engine, session, now, at)?,
        Entry::Alias { id, stands_for, created, deadline } => {
            let mut scope = Scope::of(store, &[Spot::Session(*id)], &[], now);
            if scope.find_session(id).is_some() {
                return Err(RestoreError::Damaged(at));
            }
            scope.has_room(id.hash()).map_err(|_| over_limit)?;
            let record = Record::alias(&store.arena, *id, (*stands_for, *created), *deadline);
            scope.insert(id.hash(), record);
        }
    }
    Ok(())
}

fn put_session(
    engine: &Engine,
    session: &SessionEntry<'_>,
    now: Stamp,
    at: usize,
) -> Result<(), RestoreError> {
    let store = &engine.store;
    let over_limit = RestoreError::OverLimit(at);
    let sizes = &engine.sizes;
    if session.data.len() > sizes.session_bytes_max
        || session.meta.len() > sizes.meta_bytes_max
        || session.user.len() > sizes.user_bytes_max
    {
        return Err(over_limit);
    }
    let name = UserName::new(&store.seed, session.user);
    let mut scope = Scope::of(store, &[Spot::Session(session.id)], &[name], now);
    if scope.find_session(&session.id).is_some() {
        return Err(RestoreError::Damaged(at));
    }
    let hash = session.id.hash();
    scope.has_room(hash).map_err(|_| over_limit)?;
    let limits = scope.acquire_limits(hash, session.limits).ok_or(over_limit)?;
    let parts = SessionParts {
        id: session.id,
        user: user(&mut scope, name, session.generation),
        created: session.created,
        seen: session.seen,
        authenticated: session.authenticated,
        limits,
        version: session.version,
        meta: session.meta,
        data: session.data,
    };
    insert_parts(&mut scope, &parts, session.limits);
    Ok(())
}

/// The user of a restored entry, with the generation it had.
fn user(scope: &mut Scope<'_>, name: UserName<'_>, generation: u64) -> UserRecord {
    let user = scope.user(name);
    user.set_generation(generation);
    user
}
