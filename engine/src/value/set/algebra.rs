//! Intersection, union and difference of sets, some of which may not exist.

use super::{Member, SetValue};
use crate::value::seed::ValueSeed;

impl SetValue {
    /// SINTER and SINTERCARD: the members that all sets share, in the order of the smallest set (the
    /// first of several equally small ones), `limit` of them at the most. A set that does not exist is
    /// empty.
    pub fn intersection<'a>(sets: &[Option<&'a SetValue>], limit: usize) -> Vec<Member<'a>> {
        let existing: Vec<&SetValue> = sets.iter().copied().flatten().collect();
        if existing.len() < sets.len() {
            return Vec::new();
        }
        let Some(smallest) = existing.iter().copied().min_by_key(|set| set.len()) else {
            return Vec::new();
        };
        let in_all = |member: &Member<'_>| {
            existing.iter().all(|set| std::ptr::eq(*set, smallest) || set.contains(member))
        };
        smallest.iter().filter(in_all).take(limit).collect()
    }

    /// SUNION: a set of the members that any of the sets has.
    pub fn union(sets: &[Option<&SetValue>], seed: ValueSeed) -> SetValue {
        Self::from_members(sets.iter().copied().flatten().flat_map(SetValue::iter), seed)
    }

    /// SDIFF: a set of the members of the first set that none of the others has.
    pub fn difference(sets: &[Option<&SetValue>], seed: ValueSeed) -> SetValue {
        let Some((Some(first), others)) = sets.split_first() else {
            return Self::new(seed);
        };
        let in_none =
            |member: &Member<'_>| !others.iter().copied().flatten().any(|set| set.contains(member));
        Self::from_members(first.iter().filter(in_none), seed)
    }

    /// A set of `members`, of which some may be repeated.
    pub fn from_members<'a>(
        members: impl IntoIterator<Item = Member<'a>>,
        seed: ValueSeed,
    ) -> SetValue {
        let mut set = Self::new(seed);
        for member in members {
            set.insert(&member);
        }
        set
    }
}
