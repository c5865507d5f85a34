//! Reading a snapshot: every byte is checked before it is believed, and nothing is allocated by a length
//! that the bytes at hand do not back.

use std::ops::Deref;
use std::sync::atomic::Ordering;

use super::VERSION;
use super::entry::{Entry, SessionEntry};
use super::framing::{Framing, Sink};
use super::verify::check;
use crate::engine::Engine;
use crate::key::{DATABASES, Key};
use crate::rule::registry;
use crate::session::create::insert_parts;
use crate::store::record::{Alone, Owner, Record, SessionParts};
use crate::store::scope::{Scope, Spot};
use crate::time::Stamp;
use crate::user::record::UserRecord;
use crate::user::shard::UserName;
use crate::value::Collection;

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

/// Reads a snapshot into an empty engine, piece by piece: pushed by whoever reads the file or the socket.
///
/// Nobody else may apply ops or look at the engine meanwhile: it shows a part of the entries. After an
/// error it holds a part and is to be emptied with [`Engine::reset`], or dropped. A node that replaces
/// what it has goes about it like this: check the whole file with a
/// [`Verifier`](super::Verifier), stop reads and applies, reset, restore, go on from the log entry that
/// the file was taken after.
pub struct Restorer<E: Deref<Target = Engine>> {
    engine: E,
    framing: Framing,
}

impl<E: Deref<Target = Engine>> Restorer<E> {
    /// A restorer into `engine`, given by reference or in an `Arc`.
    ///
    /// # Errors
    /// [`RestoreError::NotEmpty`].
    pub fn new(engine: E) -> Result<Self, RestoreError> {
        let statistics = engine.statistics();
        if statistics.sessions > 0 || (0..DATABASES).any(|db| engine.database(db).keys > 0) {
            return Err(RestoreError::NotEmpty);
        }
        Ok(Self { engine, framing: Framing::new() })
    }

    /// Takes the next bytes, a piece of any length. Holds one block at the most; a block's entries are
    /// stored once its checksum was found right.
    ///
    /// # Errors
    /// A [`RestoreError`] that says what is wrong; it stays wrong.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.framing.feed(bytes, &mut Store(&self.engine))
    }

    /// The end of the bytes: the stamp the snapshot was taken at, if they were a whole one.
    ///
    /// # Errors
    /// What was wrong with it; [`RestoreError::Truncated`] when its end is not there.
    pub fn finish(self) -> Result<Stamp, RestoreError> {
        let stamp = self.framing.finish()?;
        self.engine.store.observed.tell_registers_changed();
        Ok(stamp)
    }
}

/// Reads a snapshot that is in memory into an empty engine and returns the stamp it was taken at.
///
/// # Errors
/// A [`RestoreError`] that says what is wrong. The engine may then hold a part: see [`Restorer`].
pub fn restore(engine: &Engine, snapshot: &[u8]) -> Result<Stamp, RestoreError> {
    let mut restorer = Restorer::new(engine)?;
    restorer.feed(snapshot)?;
    restorer.finish()
}

/// The engine as a place for entries.
struct Store<'e>(&'e Engine);

impl Sink for Store<'_> {
    fn begin(&mut self, generations: u64) {
        self.0.store.generations.store(generations, Ordering::Relaxed);
    }

    fn entry(&mut self, entry: &Entry<'_>, now: Stamp, at: usize) -> Result<(), RestoreError> {
        check(entry, &self.0.sizes, at)?;
        put(self.0, entry, now, at)
    }
}

/// Puts an entry that was checked into the engine. `at` is where it stands, for the error.
fn put(engine: &Engine, entry: &Entry<'_>, now: Stamp, at: usize) -> Result<(), RestoreError> {
    let store = &engine.store;
    let over_limit = RestoreError::OverLimit(at);
    match entry {
        Entry::Plain { db, key, deadline, owner, value, is_collection } => {
            let key = Key::new(&store.seed, *db, key);
            let name = owner.map(|(name, _)| UserName::new(&store.seed, name));
            let mut scope = Scope::of(store, &[Spot::Key(key)], name, now);
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
        Entry::Rules(rules) => {
            let rules = registry::decode(rules).ok_or(RestoreError::Damaged(at))?;
            store.rules.restore(rules);
        }
        Entry::Register { name, value } => {
            let mut registers = store.registers.lock();
            if registers.get(name).is_some() {
                return Err(RestoreError::Damaged(at));
            }
            if !registers.change(name, Some(value)) {
                return Err(over_limit);
            }
        }
        Entry::Registers { version } => store.registers.lock().set_version(*version),
        Entry::Session(session) => put_session(engine, session, now, at)?,
        Entry::Alias { id, stands_for, created, deadline } => {
            let mut scope = Scope::of(store, &[Spot::Session(*id)], None, now);
            if let Some(live) = scope.find_session(id) {
                // A fence is written twice when the sweep put it up while the dead key was still there.
                let fence = live.record.is_fence() && *created == Stamp::NEVER;
                return if fence { Ok(()) } else { Err(RestoreError::Damaged(at)) };
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
    let name = UserName::new(&store.seed, session.user);
    let mut scope = Scope::of(store, &[Spot::Session(session.id)], Some(name), now);
    if scope.find_session(&session.id).is_some() {
        return Err(RestoreError::Damaged(at));
    }
    let hash = session.id.hash();
    scope.has_room(hash).map_err(|_| over_limit)?;
    let limits = scope.acquire_limits(hash, session.limits).ok_or(over_limit)?;
    let owner = match scope.owner_of_another(name) {
        Owner::User(user) => {
            user.set_generation(session.generation);
            Owner::User(user)
        }
        Owner::Alone(alone) => Owner::Alone(Alone { generation: session.generation, ..alone }),
    };
    let parts = SessionParts {
        id: session.id,
        owner,
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
