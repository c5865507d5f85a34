//! The names of events: what Redis calls it that an op did this to a key.
//!
//! The engine tells which keys an op made, wrote to or removed; the op says which command of Redis that was.
//! Where Redis has another order than the engine, Redis' is taken.

use hallpass_engine::{Change, Combination, Deadline, Engine, Key, Op, Outcome, Side, SortedEnd};
use hallpass_engine::{SortedRange, Stamp};

use super::{Event, Events};

/// What the engine told of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) change: Change,
    pub(crate) db: u8,
    pub(crate) key: Box<[u8]>,
}

impl Told {
    fn event(&self, class: Events, name: &'static str) -> Event {
        Event { class, name, db: self.db, key: self.key.clone() }
    }

    /// The event of what ends a key whatever the op; `None` for what depends on that.
    fn ending(&self) -> Option<Event> {
        match self.change {
            Change::Expired => Some(self.event(Events::EXPIRED, "expired")),
            Change::Evicted => Some(self.event(Events::EVICTED, "evicted")),
            Change::Revoked => Some(self.event(Events::GENERIC, "del")),
            _ => None,
        }
    }
}

/// The events of what was reclaimed without an op.
pub(crate) fn of_reclaimed(told: &[Told]) -> Vec<Event> {
    told.iter().filter_map(Told::ending).collect()
}

/// The keys that an op reads as a read command of Redis does, and that are not there.
pub(crate) fn missed(engine: &Engine, op: &Op<'_>, now: Stamp) -> Vec<Event> {
    let mut missed = Vec::new();
    let mut look = |key: Key<'_>| {
        if !engine.look(key, now, |entry| entry.is_some()) {
            missed.push(Event::of(Events::MISS, "keymiss", &key));
        }
    };
    match op {
        Op::Set { key, get: true, .. }
        | Op::GetDelete { key }
        | Op::GetExpire { key, .. }
        | Op::Copy { from: key, .. } => look(*key),
        Op::SetStore { destination, sources, .. } => {
            sources.iter().for_each(|key| look(Key::new(engine.seed(), destination.db(), key)));
        }
        _ => {}
    }
    missed
}

/// The events of an op that was applied, in order. `missed` is what [`missed`] found before.
pub(crate) fn of_op(
    op: &Op<'_>,
    outcome: &Outcome,
    told: &[Told],
    missed: Vec<Event>,
) -> Vec<Event> {
    let mut events: Vec<Event> = told.iter().filter_map(Told::ending).collect();
    if !matches!(outcome, Outcome::Refused(hallpass_engine::Refusal::OutOfMemory)) {
        events.extend(missed);
    }
    let rest: Vec<&Told> = told.iter().filter(|told| told.ending().is_none()).collect();
    match op {
        Op::Rename { from, to, .. } => moved(from.db() != to.db(), &rest, &mut events),
        Op::ListMove { from_side, to_side, .. } => {
            list_move(&rest, (*from_side, *to_side), &mut events);
        }
        Op::SetMove { from, .. } => {
            for told in rest {
                let taken = told.key[..] == *from.bytes();
                changed(told, (Events::SET, if taken { "srem" } else { "sadd" }), &mut events);
            }
        }
        _ => each(op, &rest, &mut events),
    }
    events
}

/// The events of ops that do the same to each key.
fn each(op: &Op<'_>, told: &[&Told], events: &mut Vec<Event>) {
    for (at, told_one) in told.iter().enumerate() {
        let next = told.get(at + 1);
        let gives_way = told_one.change == Change::Removed
            && next.is_some_and(|next| next.change == Change::Made && next.key == told_one.key);
        if gives_way {
            // What takes its place is told of next.
            continue;
        }
        let replaces = at
            .checked_sub(1)
            .and_then(|before| told.get(before))
            .is_some_and(|before| before.change == Change::Removed && before.key == told_one.key);
        let Some(name) = name_of(op, told_one.change) else { continue };
        // Redis makes a key anew for RESTORE and COPY, and overwrites it for the others.
        let renewed = matches!(op, Op::Restore { .. } | Op::Copy { .. });
        if told_one.change == Change::Made && replaces && !renewed {
            events.push(told_one.event(name.0, name.1));
        } else {
            changed(told_one, name, events);
        }
        let has_deadline =
            matches!(op, Op::Set { deadline: Deadline::At(_) | Deadline::After(_), .. });
        if has_deadline && told_one.change != Change::Removed {
            events.push(told_one.event(Events::GENERIC, "expire"));
        }
    }
}

/// The event of one change that has this name unless the key went.
fn changed(told: &Told, (class, name): (Events, &'static str), events: &mut Vec<Event>) {
    match told.change {
        Change::Removed => events.push(told.event(Events::GENERIC, "del")),
        change => {
            if change == Change::Made {
                events.push(told.event(Events::NEW, "new"));
            }
            events.push(told.event(class, name));
        }
    }
}

/// RENAME and MOVE: the new key, and then both names.
fn moved(between_databases: bool, told: &[&Told], events: &mut Vec<Event>) {
    let made = told.iter().find(|told| told.change == Change::Made);
    let removed = told.iter().rev().find(|told| told.change == Change::Removed);
    let (Some(to), Some(from)) = (made, removed) else { return };
    let (name_from, name_to) =
        if between_databases { ("move_from", "move_to") } else { ("rename_from", "rename_to") };
    events.push(to.event(Events::NEW, "new"));
    events.push(from.event(Events::GENERIC, name_from));
    events.push(to.event(Events::GENERIC, name_to));
}

/// LMOVE: Redis pushes first and pops then.
fn list_move(told: &[&Told], (from, to): (Side, Side), events: &mut Vec<Event>) {
    let Some(popped) = told.first() else { return };
    let pushed = told.last().filter(|last| last.change != Change::Removed).unwrap_or(popped);
    changed(pushed, (Events::LIST, push_name(to)), events);
    events.push(popped.event(Events::LIST, pop_name(from)));
    if told.iter().any(|told| told.change == Change::Removed) {
        events.push(popped.event(Events::GENERIC, "del"));
    }
}

fn push_name(side: Side) -> &'static str {
    match side {
        Side::Head => "lpush",
        Side::Tail => "rpush",
    }
}

fn pop_name(side: Side) -> &'static str {
    match side {
        Side::Head => "lpop",
        Side::Tail => "rpop",
    }
}

/// What Redis calls a change that an op made, with its class. `None` for what it does not tell.
fn name_of(op: &Op<'_>, change: Change) -> Option<(Events, &'static str)> {
    Some(match op {
        Op::Set { .. } | Op::SetMany { .. } => (Events::STRING, "set"),
        Op::Append { .. } => (Events::STRING, "append"),
        Op::SetRange { .. } => (Events::STRING, "setrange"),
        Op::Increment { .. } => (Events::STRING, "incrby"),
        Op::IncrementFloat { .. } => (Events::STRING, "incrbyfloat"),
        Op::Persist { .. } | Op::GetExpire { deadline: Deadline::Clear, .. } => {
            (Events::GENERIC, "persist")
        }
        Op::Expire { .. } | Op::GetExpire { .. } => (Events::GENERIC, "expire"),
        Op::Copy { .. } => (Events::GENERIC, "copy_to"),
        Op::Restore { .. } => (Events::GENERIC, "restore"),
        Op::HashSet { .. } => (Events::HASH, "hset"),
        Op::HashDelete { .. } => (Events::HASH, "hdel"),
        Op::HashIncrement { .. } => (Events::HASH, "hincrby"),
        Op::HashIncrementFloat { .. } => (Events::HASH, "hincrbyfloat"),
        Op::SetAdd { .. } => (Events::SET, "sadd"),
        Op::SetRemove { .. } => (Events::SET, "srem"),
        Op::SetPop { .. } => (Events::SET, "spop"),
        Op::SetStore { combination, .. } => {
            let name = match combination {
                Combination::Intersection => "sinterstore",
                Combination::Union => "sunionstore",
                Combination::Difference => "sdiffstore",
            };
            (Events::SET, name)
        }
        Op::SortedAdd { options, .. } => {
            (Events::SORTED, if options.increment { "zincr" } else { "zadd" })
        }
        Op::SortedRemove { .. } => (Events::SORTED, "zrem"),
        Op::SortedRemoveRange { range, .. } => {
            let name = match range {
                SortedRange::Rank(..) => "zremrangebyrank",
                SortedRange::Score(..) => "zremrangebyscore",
                SortedRange::Lex(..) => "zremrangebylex",
            };
            (Events::SORTED, name)
        }
        Op::SortedPop { end, .. } => {
            let name = if *end == SortedEnd::Lowest { "zpopmin" } else { "zpopmax" };
            (Events::SORTED, name)
        }
        Op::ListPush { side, .. } => (Events::LIST, push_name(*side)),
        Op::ListPop { side, .. } => (Events::LIST, pop_name(*side)),
        Op::ListTrim { .. } => (Events::LIST, "ltrim"),
        Op::ListRemove { .. } => (Events::LIST, "lrem"),
        Op::ListSet { .. } => (Events::LIST, "lset"),
        Op::ListInsert { .. } => (Events::LIST, "linsert"),
        // Whatever else ends a key.
        _ if change == Change::Removed => (Events::GENERIC, "del"),
        _ => return None,
    })
}
