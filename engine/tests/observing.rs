//! Who is told which keys change, and fingerprints by which a later look finds out the same.

use std::sync::{Arc, Mutex};

use hallpass_engine::{
    Change, Condition, Config, Deadline, Due, Engine, ExpireCondition, Fingerprint, HashSeed, Key,
    Observer, Op, Outcome, Side, SortedAddOptions, Stamp, Words,
};

const NOW: Stamp = Stamp::from_millis(1_000_000);

#[derive(Default)]
struct Notes(Mutex<Vec<(Change, String)>>);

impl Observer for Notes {
    fn changed(&self, change: Change, db: u8, key: &[u8]) {
        assert_eq!(db, 3);
        let key = String::from_utf8_lossy(key).into_owned();
        self.0.lock().expect("no panic").push((change, key));
    }

    fn flushed(&self, db: Option<u8>) {
        self.0.lock().expect("no panic").push((Change::Removed, format!("all of {db:?}")));
    }
}

struct Watched {
    engine: Engine,
    notes: Arc<Notes>,
}

impl Watched {
    fn new(seed: u64) -> Self {
        let engine = Engine::new(&Config::new(HashSeed::new(seed, 2)));
        let notes = Arc::new(Notes::default());
        engine.observe(Arc::clone(&notes) as Arc<dyn Observer>);
        engine.wake_observer(true);
        Self { engine, notes }
    }

    fn key<'a>(&self, name: &'a str) -> Key<'a> {
        Key::new(self.engine.seed(), 3, name.as_bytes())
    }

    fn print(&self, name: &str, now: Stamp) -> Fingerprint {
        self.engine.fingerprint(self.key(name), now)
    }

    /// What is told of while `op` is applied.
    fn told(&self, op: &Op<'_>, now: Stamp) -> Vec<(Change, String)> {
        let outcome = self.engine.apply(op, now);
        assert!(!matches!(outcome, Outcome::Refused(_)), "{op:?}: {outcome:?}");
        std::mem::take(&mut self.notes.0.lock().expect("no panic"))
    }

    fn set(&self, name: &str, value: &[u8], deadline: Deadline) -> Vec<(Change, String)> {
        let (key, condition) = (self.key(name), Condition::Always);
        self.told(&Op::Set { key, value, deadline, condition, owner: None, get: false }, NOW)
    }
}

fn one(change: Change, key: &str) -> Vec<(Change, String)> {
    vec![(change, key.to_owned())]
}

#[test]
fn strings_and_deadlines() {
    let all = Watched::new(1);
    assert_eq!(all.set("a", b"1", Deadline::Clear), one(Change::Made, "a"));
    assert_eq!(all.set("a", b"1", Deadline::Clear), one(Change::Written, "a"), "in place");
    assert_eq!(all.set("a", &[b'x'; 500], Deadline::Clear), one(Change::Written, "a"));
    let expire = |key, millis| Op::Expire {
        key,
        at: Due::After(millis),
        condition: ExpireCondition::default(),
    };
    assert_eq!(all.told(&expire(all.key("a"), 50), NOW), one(Change::Deadline, "a"));
    assert_eq!(all.told(&expire(all.key("none"), 50), NOW), []);
    assert_eq!(all.told(&Op::Persist { key: all.key("a") }, NOW), one(Change::Deadline, "a"));
    assert_eq!(all.told(&Op::Persist { key: all.key("a") }, NOW), []);
    assert_eq!(all.told(&expire(all.key("a"), 0), NOW), one(Change::Removed, "a"));
    assert_eq!(all.set("a", b"", Deadline::After(0)), []);

    all.set("a", b"1", Deadline::After(50));
    let delete = Op::Delete { db: 3, keys: Words::from_slices(&[b"a", b"b"]) };
    assert_eq!(all.told(&delete, NOW.plus_millis(50)), one(Change::Expired, "a"), "found dead");
    all.set("a", b"1", Deadline::After(50));
    all.engine.sweep(NOW.plus_millis(60_000), usize::MAX);
    let swept = std::mem::take(&mut *all.notes.0.lock().expect("no panic"));
    assert_eq!(swept, one(Change::Expired, "a"));
    assert_eq!(all.told(&Op::Flush { db: Some(3) }, NOW), one(Change::Removed, "all of Some(3)"));
}

#[test]
fn a_deadline_that_was_not_there_is_not_taken_away() {
    let all = Watched::new(1);
    let persist = || Op::GetExpire { key: all.key("a"), deadline: Deadline::Clear };
    all.set("a", b"1", Deadline::Clear);
    assert_eq!(all.told(&persist(), NOW), []);
    all.set("a", b"1", Deadline::After(50));
    assert_eq!(all.told(&persist(), NOW), one(Change::Deadline, "a"));
}

#[test]
fn what_has_expired_can_be_reclaimed_by_name() {
    let all = Watched::new(1);
    let later = NOW.plus_millis(50);
    all.set("a", b"1", Deadline::After(50));
    all.engine.reclaim(all.key("a"), NOW);
    assert!(!all.engine.has_expired(all.key("a"), NOW));
    assert!(all.engine.has_expired(all.key("a"), later));
    assert_eq!(std::mem::take(&mut *all.notes.0.lock().expect("no panic")), []);
    all.engine.reclaim(all.key("a"), later);
    all.engine.reclaim(all.key("a"), later);
    assert!(!all.engine.has_expired(all.key("a"), later));
    let told = std::mem::take(&mut *all.notes.0.lock().expect("no panic"));
    assert_eq!(told, one(Change::Expired, "a"));
}

/// An observer sees an op as a whole, too, and from outside.
#[test]
fn what_is_told_of_is_told_while_the_op_is_applied() {
    #[derive(Default)]
    struct Outside(Mutex<Vec<&'static str>>);

    impl Outside {
        fn note(&self, what: &'static str) {
            self.0.lock().expect("no panic").push(what);
        }
    }

    impl Observer for Outside {
        fn changed(&self, _: Change, _: u8, _: &[u8]) {
            self.note("changed");
        }

        fn flushed(&self, _: Option<u8>) {}

        fn applying(
            &self,
            engine: &Engine,
            op: &Op<'_>,
            now: Stamp,
            apply: &mut dyn FnMut() -> Outcome,
        ) -> Outcome {
            self.note("begins");
            let Op::Set { key, .. } = op else { panic!("{op:?}") };
            assert!(!engine.look(*key, now, |entry| entry.is_some()), "no lock is held");
            let outcome = apply();
            assert!(engine.look(*key, now, |entry| entry.is_some()), "it was applied");
            self.note("ends");
            outcome
        }

        fn reclaiming(&self, reclaim: &mut dyn FnMut()) {
            self.note("sweeps");
            reclaim();
        }
    }

    let engine = Engine::new(&Config::new(HashSeed::new(1, 2)));
    let outside = Arc::new(Outside::default());
    engine.observe(Arc::clone(&outside) as Arc<dyn Observer>);
    engine.wake_observer(true);
    let (key, deadline) = (Key::new(engine.seed(), 0, b"a"), Deadline::After(50));
    let (value, condition) = (&b"1"[..], Condition::Always);
    let set = Op::Set { key, value, deadline, condition, owner: None, get: false };
    assert_eq!(engine.apply(&set, NOW), Outcome::Done);
    engine.sweep(NOW.plus_millis(60_000), usize::MAX);
    let noted = std::mem::take(&mut *outside.0.lock().expect("no panic"));
    assert_eq!(noted, ["begins", "changed", "ends", "sweeps", "changed"]);
}

#[test]
fn collections_tell_only_of_what_is_another_then() {
    let all = Watched::new(1);
    let words = |words: &'static [&'static [u8]]| Words::from_slices(words);
    let hash = all.key("hash");
    let set_field = |if_absent| Op::HashSet { key: hash, pairs: words(&[b"f", b"1"]), if_absent };
    assert_eq!(all.told(&set_field(false), NOW), one(Change::Made, "hash"));
    assert_eq!(all.told(&set_field(false), NOW), one(Change::Written, "hash"), "as Redis does");
    assert_eq!(all.told(&set_field(true), NOW), []);
    let add = Op::HashIncrement { key: hash, field: b"f", by: -1 };
    assert_eq!(all.told(&add, NOW), one(Change::Written, "hash"), "to 0, which is a change");
    let delete = |field| Op::HashDelete { key: hash, fields: words(field) };
    assert_eq!(all.told(&delete(&[b"g"]), NOW), []);
    let gone = all.told(&delete(&[b"f"]), NOW);
    assert_eq!(gone, [one(Change::Written, "hash"), one(Change::Removed, "hash")].concat());

    let set = Op::SetAdd { key: all.key("set"), members: words(&[b"a"]) };
    assert_eq!(all.told(&set, NOW), one(Change::Made, "set"));
    assert_eq!(all.told(&set, NOW), []);
    let scored = |score| Op::SortedAdd {
        key: all.key("zset"),
        members: vec![(score, b"a")],
        options: SortedAddOptions::default(),
    };
    assert_eq!(all.told(&scored(1.0), NOW), one(Change::Made, "zset"));
    assert_eq!(all.told(&scored(1.0), NOW), []);
    assert_eq!(all.told(&scored(2.0), NOW), one(Change::Written, "zset"));
    let (key, side) = (all.key("list"), Side::Head);
    let push = Op::ListPush { key, values: words(&[b"a"]), side, if_exists: false };
    assert_eq!(all.told(&push, NOW), one(Change::Made, "list"));
    let missing = Op::ListRemove { key, count: 0, value: b"b" };
    assert_eq!(all.told(&missing, NOW), []);
}

#[test]
fn nobody_is_told_while_nobody_wants_to_know() {
    let all = Watched::new(1);
    all.engine.wake_observer(false);
    assert_eq!(all.set("a", b"1", Deadline::Clear), []);
    all.engine.wake_observer(true);
    assert_eq!(all.set("a", b"2", Deadline::Clear), one(Change::Written, "a"));
}

#[test]
fn fingerprints_are_those_of_what_is_there_on_every_engine() {
    let (one, other) = (Watched::new(1), Watched::new(99));
    assert_eq!(one.print("a", NOW), Fingerprint::ABSENT);
    one.set("a", b"1", Deadline::After(50));
    let first = one.print("a", NOW);
    other.set("a", b"0", Deadline::Clear);
    assert_ne!(other.print("a", NOW), first, "another value");
    other.set("a", b"1", Deadline::Clear);
    assert_ne!(other.print("a", NOW), first, "another deadline");
    other.set("a", b"1", Deadline::After(50));
    assert_eq!(other.print("a", NOW), first);
    other.set("b", b"1", Deadline::After(50));
    assert_ne!(other.print("b", NOW), first, "another key");
    assert_eq!(one.print("a", NOW.plus_millis(50)), Fingerprint::ABSENT, "it has ended");

    let guard = |keys| Op::Unchanged { keys };
    let holds = |keys| other.engine.apply(&guard(keys), NOW);
    assert_eq!(holds(vec![]), Outcome::Flag(true));
    assert_eq!(holds(vec![(other.key("a"), first)]), Outcome::Flag(true));
    let absent = (other.key("none"), Fingerprint::ABSENT);
    assert_eq!(holds(vec![(other.key("a"), first), absent]), Outcome::Flag(true));
    assert_eq!(holds(vec![absent, (other.key("b"), first)]), Outcome::Flag(false));
}
