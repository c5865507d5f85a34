//! What the ops on hashes, sets, sorted sets and lists have in common: find the collection or make it,
//! let the op change it, keep account, and remove it when it is empty.

use crate::key::Key;
use crate::outcome::{Outcome, Refusal};
use crate::store::record::{Kind, Record};
use crate::store::scope::Scope;
use crate::time::Stamp;
use crate::value::{Collection, ListValue, SetValue, SortedValue, ValueSeed};

/// A kind of collection, as a view on [`Collection`].
pub(super) trait Shape: Sized {
    /// An empty one.
    fn empty(seed: ValueSeed) -> Self;
    /// As stored.
    fn wrap(self) -> Collection;
    /// The one in a collection, if it is of this kind.
    fn of(collection: &mut Collection) -> Option<&mut Self>;
}

macro_rules! shape {
    ($type:ty, $variant:ident, $empty:expr) => {
        impl Shape for $type {
            fn empty(seed: ValueSeed) -> Self {
                let make: fn(ValueSeed) -> Self = $empty;
                make(seed)
            }

            fn wrap(self) -> Collection {
                Collection::$variant(self)
            }

            fn of(collection: &mut Collection) -> Option<&mut Self> {
                match collection {
                    Collection::$variant(value) => Some(value),
                    _ => None,
                }
            }
        }
    };
}

shape!(crate::value::HashValue, Hash, Self::new);
shape!(SetValue, Set, Self::new);
shape!(SortedValue, Sorted, Self::new);
shape!(ListValue, List, |_| Self::new());

/// Whether a change that was made changed anything, as its result tells.
pub(super) trait Effect {
    /// Whether the collection is another now.
    fn is_change(&self) -> bool;
}

/// How many elements came, went or changed.
impl Effect for usize {
    fn is_change(&self) -> bool {
        *self > 0
    }
}

/// Whether an element came or went.
impl Effect for bool {
    fn is_change(&self) -> bool {
        *self
    }
}

/// What always changes something.
impl Effect for () {
    fn is_change(&self) -> bool {
        true
    }
}

/// An element that was moved or taken out, if there was one.
impl Effect for Option<Vec<u8>> {
    fn is_change(&self) -> bool {
        self.is_some()
    }
}

/// Members that were taken out, with their scores.
impl Effect for Vec<(Vec<u8>, f64)> {
    fn is_change(&self) -> bool {
        !self.is_empty()
    }
}

/// What was taken out, or the new value.
impl Effect for Outcome {
    fn is_change(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::List(elements) => !elements.is_empty(),
            _ => true,
        }
    }
}

/// Changes the collection of a key. Without one `change` gets an empty one if `create`, and is otherwise
/// not called (`None`). An error of `change` must leave the collection as it was.
pub(super) fn change<T: Shape, R: Effect>(
    scope: &mut Scope<'_>,
    key: &Key<'_>,
    create: bool,
    change: impl FnOnce(&mut T) -> Result<R, Refusal>,
) -> Result<Option<R>, Refusal> {
    let seed = scope.store.seed.values();
    let Some(live) = scope.find(key) else {
        if !create {
            return Ok(None);
        }
        scope.has_room(key.hash)?;
        let mut fresh = T::empty(seed);
        let result = change(&mut fresh)?;
        put(scope, key, fresh.wrap());
        return Ok(Some(result));
    };
    Scope::require(live, Kind::Collection)?;
    let collection = live.record.as_collection_mut();
    let before = collection.memory_bytes();
    let value = T::of(collection).ok_or(Refusal::WrongType)?;
    scope.shard(live.shard).before_change(live.slot);
    let result = change(value);
    scope.account(collection.memory_bytes() as i64 - before as i64);
    if result.as_ref().is_ok_and(Effect::is_change) {
        scope.written(live);
    }
    if collection.is_empty() {
        scope.remove(live);
    }
    result.map(Some)
}

/// Stores a collection under a free key, unless it is empty.
pub(super) fn put(scope: &mut Scope<'_>, key: &Key<'_>, collection: Collection) {
    if !collection.is_empty() {
        let arena = &scope.store.arena;
        let record = Record::collection(arena, key, Box::new(collection), Stamp::NEVER, None);
        scope.insert(key.hash, record);
    }
}
