//! Is there an order of the operations that a sequential object could have gone through, each between its
//! invocation and its end? Wing and Gong's search with Lowe's memo, as Horn and Kroening describe it
//! ("Faster linearizability checking via P-compositionality", 2015).
//!
//! An operation of unknown outcome may be put anywhere after its invocation, or nowhere. So of two ways to the same
//! state past the same known operations, the one that used fewer unknown ones can do all that the other can, and
//! the memo keeps only such. Parts of a history that
//! touch different objects are checked apart, by the caller. The search is exponential at worst, so it
//! has a budget of steps; past it the answer is `Unknown`, which is not a pass.

#![allow(clippy::disallowed_types, reason = "the memo is looked up, never iterated")]

use std::collections::HashMap;
use std::hash::Hash;

/// A sequential object.
pub trait Model {
    /// What it holds.
    type State: Clone + Eq + Hash;
    /// An operation, with what came back when that is known.
    type Call: PartialEq;

    /// What it holds at first.
    fn initial(&self) -> Self::State;

    /// What it holds after `call`; `None` when `call` cannot have happened in `state`.
    fn step(&self, state: &Self::State, call: &Self::Call) -> Option<Self::State>;

    /// Whether nothing that could still happen makes `next` possible after `state`, and then all of `later`: what certainly
    /// happened and is yet to come. `next` is what ends first of it, `later` what began only after that.
    /// May say no when it does not know; the search is only longer then.
    fn dooms(&self, _state: &Self::State, _next: &Self::Call, _later: &[&Self::Call]) -> bool {
        false
    }
}

/// An operation and when it was under way.
#[derive(Clone, Debug)]
pub struct Operation<C> {
    /// What.
    pub call: C,
    /// The place of its invocation in the history.
    pub invoked: u64,
    /// The place of its end; `None` when its outcome is unknown.
    pub ended: Option<u64>,
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is such an order.
    Linearizable,
    /// There is none. Of all orders that were tried, the one that came furthest could not place the operation whose
    /// invocation is at `invoked`.
    Not {
        /// A place in the history.
        invoked: u64,
    },
    /// The budget was spent.
    Unknown,
}

/// The head of the list, before the first event.
const HEAD: usize = 0;

/// Events in the order of the history, as a list out of which operations are taken and put back.
struct Events {
    /// The operation, and whether this is its invocation.
    what: Vec<(usize, bool)>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where each operation's invocation and end lie.
    places: Vec<(usize, Option<usize>)>,
}

impl Events {
    fn new<C>(operations: &[Operation<C>]) -> Self {
        let mut order: Vec<(u64, usize, bool)> = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            order.push((operation.invoked, number, true));
            order.extend(operation.ended.map(|ended| (ended, number, false)));
        }
        order.sort_unstable();
        let mut places = vec![(HEAD, None); operations.len()];
        let mut what = vec![(usize::MAX, false)];
        for (place, (_, number, invokes)) in order.iter().enumerate() {
            if let Some(known) = places.get_mut(*number) {
                if *invokes {
                    known.0 = place + 1;
                } else {
                    known.1 = Some(place + 1);
                }
            }
            what.push((*number, *invokes));
        }
        let events = what.len();
        let next = (1..=events).map(|place| place % events).collect();
        let previous = (0..events).map(|place| (place + events - 1) % events).collect();
        Self { what, next, previous, places }
    }

    /// The known operations that are not placed and are not `number`, by their ends.
    fn ahead(&self, number: usize) -> impl Iterator<Item = usize> {
        let places = std::iter::successors(Some(self.next[HEAD]), |place| Some(self.next[*place]));
        let events = places.take_while(|place| *place != HEAD).map(|place| self.what[place]);
        events.filter(move |(other, invokes)| !invokes && *other != number).map(|(other, _)| other)
    }

    fn unlink(&mut self, place: usize) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before] = after;
        self.previous[after] = before;
    }

    fn relink(&mut self, place: usize) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before] = place;
        self.previous[after] = place;
    }

    fn take(&mut self, number: usize) {
        let (invocation, end) = self.places[number];
        self.unlink(invocation);
        if let Some(end) = end {
            self.unlink(end);
        }
    }

    fn put_back(&mut self, number: usize) {
        let (invocation, end) = self.places[number];
        if let Some(end) = end {
            self.relink(end);
        }
        self.relink(invocation);
    }
}

/// A set of operations, by number.
type Set = Vec<u64>;

/// Where the search has been: for the known operations placed and the state they led to, the smallest sets of unknown
/// operations that were placed as well.
struct Memo<S>(HashMap<(Set, S), Vec<Set>>);

impl<S: Eq + Hash> Memo<S> {
    /// Whether this is new; it is then remembered.
    fn enter(&mut self, known: &Set, unknown: &Set, state: S) -> bool {
        let visited = self.0.entry((known.clone(), state)).or_default();
        let within = |small: &Set, large: &Set| {
            small.iter().zip(large).all(|(small, large)| small & !large == 0)
        };
        if visited.iter().any(|before| within(before, unknown)) {
            return false;
        }
        visited.retain(|before| !within(unknown, before));
        visited.push(unknown.clone());
        true
    }
}

/// What has been placed.
struct Placed {
    known: Set,
    unknown: Set,
    left: usize,
}

impl Placed {
    fn unknown_has(&self, number: usize) -> bool {
        self.unknown[number / 64] & (1 << (number % 64)) != 0
    }

    fn flip(&mut self, number: usize, known: bool) {
        let set = if known { &mut self.known } else { &mut self.unknown };
        set[number / 64] ^= 1 << (number % 64);
    }
}

/// For each unknown operation, the last one before it that is just the same: there is no use for the later one
/// while the earlier one is not placed.
fn twins<C: PartialEq>(operations: &[Operation<C>]) -> Vec<Option<usize>> {
    let unknown = |number: &usize| operations[*number].ended.is_none();
    let twin = |number: usize| {
        let same = |before: &usize| operations[*before].call == operations[number].call;
        let earlier = |before: &usize| operations[*before].invoked < operations[number].invoked;
        (0..operations.len())
            .filter(unknown)
            .filter(earlier)
            .filter(same)
            .max_by_key(|at| operations[*at].invoked)
    };
    (0..operations.len()).map(|number| unknown(&number).then(|| twin(number)).flatten()).collect()
}

/// Searches; takes the steps it needs from `budget`.
pub fn check<M: Model>(model: &M, operations: &[Operation<M::Call>], budget: &mut u64) -> Answer {
    let mut events = Events::new(operations);
    let mut state = model.initial();
    let nothing = vec![0_u64; operations.len().div_ceil(64)];
    let known = |number: usize| operations[number].ended.is_some();
    let left = (0..operations.len()).filter(|number| known(*number)).count();
    let mut placed = Placed { known: nothing.clone(), unknown: nothing, left };
    let twins = twins(operations);
    let mut memo = Memo(HashMap::new());
    let mut trail: Vec<(usize, M::State)> = Vec::new();
    let (mut furthest, mut stuck) = (usize::MAX, 0);
    let mut place = events.next[HEAD];
    // At each place the known operations are tried first: the fewer unknown ones an order needs, the better it is.
    let mut among_known = true;
    while placed.left > 0 {
        if *budget == 0 {
            return Answer::Unknown;
        }
        *budget -= 1;
        let (number, invokes) = events.what[place];
        if place != HEAD && invokes {
            let tried = known(number) == among_known
                && twins[number].is_none_or(|twin| placed.unknown_has(twin));
            let after = if tried { model.step(&state, &operations[number].call) } else { None };
            let doomed = |after: &M::State| {
                let mut ahead = events.ahead(number).filter_map(|other| operations.get(other));
                let Some(next) = ahead.next() else { return false };
                // What has begun by then may come before it, whatever has to come in between.
                let later = ahead.filter(|other| next.ended.is_some_and(|end| end < other.invoked));
                model.dooms(after, &next.call, &later.map(|other| &other.call).collect::<Vec<_>>())
            };
            let after = after.filter(|after| !doomed(after));
            // An unknown operation that changes nothing need not have happened.
            if let Some(after) = after.filter(|after| among_known || *after != state) {
                placed.flip(number, among_known);
                if memo.enter(&placed.known, &placed.unknown, after.clone()) {
                    trail.push((number, std::mem::replace(&mut state, after)));
                    events.take(number);
                    placed.left -= usize::from(among_known);
                    (place, among_known) = (events.next[HEAD], true);
                    continue;
                }
                placed.flip(number, among_known);
            }
            place = events.next[place];
            continue;
        }
        // An end is reached whose operation is not placed: nothing that follows may come before it.
        if among_known {
            (place, among_known) = (events.next[HEAD], false);
            continue;
        }
        if placed.left < furthest {
            furthest = placed.left;
            stuck = operations.get(number).map_or(0, |operation| operation.invoked);
        }
        let Some((last, before)) = trail.pop() else { return Answer::Not { invoked: stuck } };
        among_known = known(last);
        placed.flip(last, among_known);
        events.put_back(last);
        placed.left += usize::from(among_known);
        state = before;
        place = events.next[events.places[last].0];
    }
    Answer::Linearizable
}
