use super::*;
use crate::op::SortedEnd;
use proptest::prelude::*;

fn plain(sorted: &mut SortedValue, member: &[u8], score: f64) -> Added {
    sorted.add(member, score, SortedAddOptions::default()).unwrap()
}

fn contents(entries: Entries<'_>) -> Vec<(Vec<u8>, f64)> {
    entries.map(|(member, score)| (member.to_vec(), score)).collect()
}

impl SortedValue {
    fn check(&self) {
        let bytes: usize = self.iter().map(|(member, _)| self.entry_bytes(member.len())).sum();
        assert_eq!(bytes, self.entries_bytes);
        if let Form::Large(large) = &self.form {
            large.order.check();
            let mut seen: Vec<_> =
                large.order.slots(0..large.map.len()).map(|slot| slot.member).collect();
            seen.sort_unstable();
            assert!(seen.iter().enumerate().all(|(index, &member)| index == member as usize));
            for slot in large.order.slots(0..large.map.len()) {
                assert_eq!(large.map[slot.member as usize].to_bits(), slot.score.to_bits());
            }
        }
    }
}

/// What a sorted set is: a vector that is sorted again after each change.
#[derive(Default)]
struct Model(Vec<(f64, Vec<u8>)>);

#[expect(clippy::float_cmp, reason = "scores are compared as they are")]
impl Model {
    fn add(&mut self, member: &[u8], score: f64, options: SortedAddOptions) -> Option<Added> {
        let found = self.0.iter().position(|entry| entry.1 == member);
        let added = match found {
            None if options.if_present => Added::Skipped,
            None => {
                self.0.push((score, member.to_vec()));
                Added::New(score)
            }
            Some(_) if options.if_absent => Added::Skipped,
            Some(index) => {
                let old = self.0[index].0;
                let new = if options.increment { old + score } else { score };
                if new.is_nan() {
                    return None;
                }
                if (options.if_greater && new <= old) || (options.if_less && new >= old) {
                    Added::Skipped
                } else if new == old {
                    Added::Same(new)
                } else {
                    self.0[index].0 = new;
                    Added::Changed(new)
                }
            }
        };
        self.0.sort_by(|left, right| {
            left.0.partial_cmp(&right.0).unwrap().then_with(|| left.1.cmp(&right.1))
        });
        Some(added)
    }

    fn listing(&self, reverse: bool) -> Vec<(Vec<u8>, f64)> {
        let mut listing: Vec<_> =
            self.0.iter().map(|(score, member)| (member.clone(), *score)).collect();
        if reverse {
            listing.reverse();
        }
        listing
    }
}

fn by_rank(listing: Vec<(Vec<u8>, f64)>, start: i64, stop: i64) -> Vec<(Vec<u8>, f64)> {
    let length = listing.len() as i64;
    let from_end = |index: i64| if index < 0 { index + length } else { index };
    let (start, stop) = (from_end(start).max(0), from_end(stop));
    let place = |(index, _): &(usize, _)| (start..=stop).contains(&(*index as i64));
    listing.into_iter().enumerate().filter(place).map(|(_, entry)| entry).collect()
}

fn limited(listing: Vec<(Vec<u8>, f64)>, window: Window) -> Vec<(Vec<u8>, f64)> {
    if window.offset < 0 {
        return Vec::new();
    }
    let count = if window.count < 0 { usize::MAX } else { window.count as usize };
    listing.into_iter().skip(window.offset as usize).take(count).collect()
}

#[derive(Debug, Clone)]
enum Change {
    Add(Vec<u8>, f64, SortedAddOptions),
    Remove(Vec<u8>),
    RemoveByRank(i64, i64),
    RemoveByScore(ScoreBound, ScoreBound),
    RemoveByLex(Vec<u8>, Vec<u8>),
    Pop(SortedEnd, usize),
    Reread,
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-20i32..20).prop_map(f64::from),
        1 => Just(0.5),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => (0u16..400).prop_map(|number| format!("m{number}").into_bytes()),
        1 => (0u8..4).prop_map(|byte| vec![byte; 70]),
    ]
}

fn bound() -> impl Strategy<Value = ScoreBound> {
    (score(), any::<bool>()).prop_map(|(score, exclusive)| ScoreBound { score, exclusive })
}

fn options() -> impl Strategy<Value = SortedAddOptions> {
    prop_oneof![
        6 => Just(SortedAddOptions::default()),
        1 => (0u8..32).prop_map(|bits| SortedAddOptions {
            if_absent: bits & 1 != 0,
            if_present: bits & 2 != 0,
            if_greater: bits & 4 != 0,
            if_less: bits & 8 != 0,
            report_changed: false,
            increment: bits & 16 != 0,
        }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        40 => (member(), score(), options()).prop_map(|(member, score, options)| {
            Change::Add(member, score, options)
        }),
        8 => member().prop_map(Change::Remove),
        1 => (-9i64..9, -9i64..9).prop_map(|(start, stop)| Change::RemoveByRank(start, stop)),
        1 => (bound(), bound()).prop_map(|(lower, upper)| Change::RemoveByScore(lower, upper)),
        1 => (member(), member()).prop_map(|(lower, upper)| Change::RemoveByLex(lower, upper)),
        1 => (any::<bool>(), 0usize..9).prop_map(|(lowest, count)| {
            Change::Pop(if lowest { SortedEnd::Lowest } else { SortedEnd::Highest }, count)
        }),
        1 => Just(Change::Reread),
    ]
}

fn reread(sorted: &SortedValue) -> SortedValue {
    let mut bytes = Vec::new();
    sorted.encode_into(&mut bytes);
    let mut reader = Reader::new(&bytes);
    let read = SortedValue::decode(&mut reader, ValueSeed::new(7, 8)).unwrap();
    reader.finish().unwrap();
    let mut again = Vec::new();
    read.encode_into(&mut again);
    assert_eq!(again, bytes);
    assert_eq!(read.memory_bytes(), sorted.memory_bytes());
    assert_eq!(read.encoding(), sorted.encoding());
    read
}

fn within(lower: ScoreBound, upper: ScoreBound, score: f64) -> bool {
    let above = if lower.exclusive { score > lower.score } else { score >= lower.score };
    above && if upper.exclusive { score < upper.score } else { score <= upper.score }
}

#[expect(clippy::float_cmp, reason = "scores are compared as they are")]
fn apply(sorted: &mut SortedValue, model: &mut Model, change: Change) {
    match change {
        Change::Add(member, score, options) => {
            let added = sorted.add(&member, score, options).ok();
            assert_eq!(added, model.add(&member, score, options));
        }
        Change::Remove(member) => {
            let before = model.0.len();
            model.0.retain(|entry| entry.1 != member);
            assert_eq!(sorted.remove(&member), before != model.0.len());
        }
        Change::RemoveByRank(start, stop) => {
            let gone = by_rank(model.listing(false), start, stop);
            model.0.retain(|entry| !gone.iter().any(|(member, _)| *member == entry.1));
            assert_eq!(sorted.remove_by_rank(start, stop), gone.len());
        }
        Change::RemoveByScore(lower, upper) => {
            let before = model.0.len();
            model.0.retain(|entry| !within(lower, upper, entry.0));
            assert_eq!(sorted.remove_by_score(lower, upper), before - model.0.len());
        }
        Change::RemoveByLex(lower, upper) => {
            // Lex ranges mean something only where all scores are equal.
            if model.0.windows(2).all(|pair| pair[0].0 == pair[1].0) {
                let before = model.0.len();
                model.0.retain(|entry| !(lower <= entry.1 && entry.1 < upper));
                let removed =
                    sorted.remove_by_lex(LexBound::Inclusive(&lower), LexBound::Exclusive(&upper));
                assert_eq!(removed, before - model.0.len());
            }
        }
        Change::Pop(end, count) => {
            let reverse = end == SortedEnd::Highest;
            let popped: Vec<_> = model.listing(reverse).into_iter().take(count).collect();
            model.0.retain(|entry| !popped.iter().any(|(member, _)| *member == entry.1));
            assert_eq!(sorted.pop(end, count), popped);
        }
        Change::Reread => *sorted = reread(sorted),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn behaves_as_a_vector_that_is_sorted_after_each_change(
        changes in prop::collection::vec(change(), 1..700),
        ranks in prop::collection::vec((-300i64..300, -300i64..300), 8),
        bounds in prop::collection::vec((bound(), bound(), -1i64..9, -1i64..9), 8),
    ) {
        let mut sorted = SortedValue::new(ValueSeed::new(1, 2));
        let mut model = Model::default();
        for change in changes {
            apply(&mut sorted, &mut model, change);
            prop_assert_eq!(sorted.len(), model.0.len());
        }
        sorted.check();
        prop_assert_eq!(contents(sorted.iter()), model.listing(false));
        for (rank, (member, score)) in model.listing(false).into_iter().enumerate() {
            prop_assert_eq!(sorted.score(&member), Some(score));
            prop_assert_eq!(sorted.rank(&member), Some(rank));
            prop_assert_eq!(sorted.reverse_rank(&member), Some(model.0.len() - 1 - rank));
            prop_assert_eq!(sorted.at(rank), Some((&member[..], score)));
        }
        for (start, stop) in ranks {
            for reverse in [false, true] {
                let entries = sorted.range_by_rank(start, stop, reverse);
                prop_assert_eq!(contents(entries), by_rank(model.listing(reverse), start, stop));
            }
        }
        for (lower, upper, offset, count) in bounds {
            let window = Window { offset, count };
            for reverse in [false, true] {
                let mut expected = model.listing(reverse);
                expected.retain(|(_, score)| within(lower, upper, *score));
                prop_assert_eq!(sorted.count_by_score(lower, upper), expected.len());
                let entries = sorted.range_by_score(lower, upper, window, reverse);
                prop_assert_eq!(entries.len(), entries.clone().count());
                prop_assert_eq!(contents(entries), limited(expected, window));
            }
        }
    }

    /// Removals and score changes between the steps of a scan must not hide what stays.
    #[test]
    fn scan_visits_what_is_there_from_start_to_end(
        removals in prop::collection::vec(0u16..600, 0..200),
        count in 1usize..50,
    ) {
        let mut sorted = SortedValue::new(ValueSeed::default());
        for number in 0..600 {
            plain(&mut sorted, number.to_string().as_bytes(), f64::from(number % 7));
        }
        let mut seen = std::collections::BTreeSet::new();
        let (mut cursor, mut removals) = (0, removals.into_iter());
        loop {
            cursor = sorted.scan(cursor, count, |member, _| { seen.insert(member.to_vec()); });
            if cursor == 0 { break; }
            for number in removals.by_ref().take(5) {
                sorted.remove(number.to_string().as_bytes());
                plain(&mut sorted, (number + 1000).to_string().as_bytes(), 0.0);
            }
        }
        sorted.check();
        for (member, _) in sorted.iter().filter(|(member, _)| member.len() < 4) {
            prop_assert!(seen.contains(member));
        }
    }
}

#[test]
fn many_entries_in_every_order_of_insertion() {
    let score_of = |number: u64| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64;
    for scores in [|n: u64| n as f64, |n: u64| -(n as f64), |_| 0.0] {
        let mut sorted = SortedValue::new(ValueSeed::default());
        for number in 0..6000u64 {
            plain(&mut sorted, format!("{number:05}").as_bytes(), scores(number));
        }
        sorted.check();
        for number in 0..6000u64 {
            plain(&mut sorted, format!("{number:05}").as_bytes(), score_of(number));
        }
        sorted.check();
        assert!(sorted.iter().is_sorted_by_key(|(_, score)| score));
        assert_eq!(sorted.remove_by_rank(1000, 4999), 4000);
        sorted.check();
        let sorted = reread(&sorted);
        assert_eq!(contents(sorted.range_by_rank(0, -1, true)).len(), 2000);
    }
}

#[test]
fn the_encoding_follows_size_and_stays() {
    let mut sorted = SortedValue::new(ValueSeed::default());
    for number in 0..128 {
        plain(&mut sorted, format!("{number}").as_bytes(), 1.0);
    }
    assert_eq!(sorted.encoding(), "listpack");
    plain(&mut sorted, b"one more", 1.0);
    assert_eq!(sorted.encoding(), "skiplist");
    sorted.remove_by_rank(1, -1);
    assert_eq!(sorted.encoding(), "skiplist");
    assert_eq!(reread(&sorted).encoding(), "skiplist");

    let mut sorted = SortedValue::new(ValueSeed::default());
    plain(&mut sorted, &[b'x'; 64], 1.0);
    assert_eq!(sorted.encoding(), "listpack");
    plain(&mut sorted, &[b'x'; 65], 1.0);
    assert_eq!(sorted.encoding(), "skiplist");
}

#[test]
fn not_a_number_is_refused_and_changes_nothing() {
    let mut sorted = SortedValue::new(ValueSeed::default());
    assert!(sorted.add(b"a", f64::NAN, SortedAddOptions::default()).is_err());
    assert!(sorted.is_empty());
    plain(&mut sorted, b"a", f64::INFINITY);
    assert_eq!(sorted.increment(b"a", f64::NEG_INFINITY), Err(NotANumber));
    assert_eq!(sorted.score(b"a"), Some(f64::INFINITY));
    assert_eq!(sorted.increment(b"b", 1.5), Ok(1.5));
    assert_eq!(sorted.increment(b"b", 1.5), Ok(3.0));
}

#[test]
fn lex_ranges() {
    for extra in [0, 300] {
        let mut sorted = SortedValue::new(ValueSeed::default());
        for member in ["a", "b", "c", "d"] {
            plain(&mut sorted, member.as_bytes(), 0.0);
        }
        for number in 0..extra {
            plain(&mut sorted, format!("z{number:03}").as_bytes(), 0.0);
        }
        let names = |lower, upper, window, reverse| -> Vec<String> {
            let entries = sorted.range_by_lex(lower, upper, window, reverse);
            entries.map(|(member, _)| String::from_utf8_lossy(member).into_owned()).collect()
        };
        let (b, d) = (LexBound::Inclusive(b"b"), LexBound::Exclusive(b"d"));
        assert_eq!(names(b, d, Window::ALL, false), ["b", "c"]);
        assert_eq!(names(LexBound::Lowest, d, Window { offset: 1, count: 2 }, false), ["b", "c"]);
        assert_eq!(names(LexBound::Lowest, d, Window { offset: 0, count: 2 }, true), ["c", "b"]);
        assert!(names(LexBound::Highest, LexBound::Lowest, Window::ALL, false).is_empty());
        assert!(names(d, b, Window::ALL, false).is_empty());
        assert_eq!(sorted.count_by_lex(LexBound::Lowest, LexBound::Highest), 4 + extra);
    }
}

#[test]
fn random_entries_follow_their_seed() {
    let mut sorted = SortedValue::new(ValueSeed::default());
    for number in 0..500 {
        plain(&mut sorted, format!("{number}").as_bytes(), f64::from(number));
    }
    assert!(sorted.random_entries(3, 10).eq(sorted.random_entries(3, 10)));
    assert_eq!(sorted.random_entries(3, 10).count(), 10);
    assert_eq!(sorted.random_entries(3, -1000).count(), 1000);
    assert_eq!(sorted.random_entries(3, 1000).count(), 500);
}
