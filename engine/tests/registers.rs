//! Registers: values that belong to the state and are no keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hallpass_engine::{
    Change, Config, Engine, HashSeed, Observer, Op, Outcome, Refusal, Stamp, snapshot,
};

const NOW: Stamp = Stamp::from_millis(1_700_000_000_000);

fn engine(seed: u64) -> Engine {
    Engine::new(&Config { shards: 4, ..Config::new(HashSeed::new(seed, 1)) })
}

fn change(name: &str, value: Option<&str>, seen: Option<u64>) -> Op<'static> {
    let value = value.map(|value| value.as_bytes().to_vec().into());
    Op::Registers { seen, changes: vec![(name.as_bytes().to_vec().into(), value)] }
}

#[test]
fn they_outlive_a_flush_and_reach_another_engine_by_snapshot() {
    let first = engine(1);
    assert_eq!(first.apply(&change("acl/user/a", Some("on"), None), NOW), Outcome::Integer(1));
    assert_eq!(first.apply(&change("acl/user/b", Some("off"), None), NOW), Outcome::Integer(1));
    assert_eq!(first.apply(&change("config/x", Some("1"), None), NOW), Outcome::Integer(1));
    assert_eq!(first.apply(&change("acl/user/b", None, None), NOW), Outcome::Integer(1));
    let before = first.digest(NOW);
    first.apply(&Op::Flush { db: None }, NOW);
    assert_eq!(first.digest(NOW), before, "there were no keys, and the registers stayed");
    let registers = first.registers();
    let users: Vec<_> = registers.under(b"acl/user/").collect();
    assert_eq!(users, [(&b"a"[..], &b"on"[..])]);

    let second = engine(2);
    snapshot::restore(&second, &snapshot::to_bytes(&first, NOW).unwrap()).unwrap();
    assert_eq!((second.registers(), second.digest(NOW)), (registers, before));
    second.reset();
    assert_eq!(second.registers().get(b"config/x"), None);
}

#[test]
fn a_change_made_from_an_older_version_is_refused() {
    let engine = engine(1);
    assert_eq!(engine.apply(&change("a", Some("1"), Some(0)), NOW), Outcome::Integer(1));
    assert_eq!(engine.apply(&change("a", Some("2"), Some(0)), NOW), Outcome::Flag(false));
    assert_eq!(engine.registers().get(b"a"), Some(&b"1"[..]));
    assert_eq!(engine.apply(&change("a", Some("2"), Some(1)), NOW), Outcome::Integer(1));
}

#[test]
fn they_are_few_and_small() {
    let engine = engine(1);
    let refused = Outcome::Refused(Refusal::TooManyRegisters);
    assert_eq!(engine.apply(&change(&"n".repeat(1025), Some("1"), None), NOW), refused);
    assert_eq!(engine.apply(&change("a", Some(&"v".repeat(65_537)), None), NOW), refused);
    let name = |index: usize| index.to_string().into_bytes().into();
    let many = |count: usize| {
        let changes = (0..count).map(|index| (name(index), Some(b"1"[..].into()))).collect();
        Op::Registers { seen: None, changes }
    };
    assert_eq!(engine.apply(&many(4097), NOW), refused);
    assert_eq!(engine.registers().version(), 0, "a refused change changes nothing");
    assert_eq!(engine.apply(&many(4096), NOW), Outcome::Integer(4096));
}

#[derive(Default)]
struct Counting(AtomicUsize);

impl Observer for Counting {
    fn changed(&self, _: Change, _: u8, _: &[u8]) {}

    fn flushed(&self, _: Option<u8>) {}

    fn registers_changed(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_observer_is_told_of_changes_and_of_a_restored_snapshot() {
    let (first, second) = (engine(1), engine(2));
    let told = Arc::new(Counting::default());
    second.observe(Arc::clone(&told) as Arc<dyn Observer>);
    first.apply(&change("a", Some("1"), None), NOW);
    snapshot::restore(&second, &snapshot::to_bytes(&first, NOW).unwrap()).unwrap();
    assert_eq!(told.0.load(Ordering::Relaxed), 1);
    second.apply(&change("a", None, None), NOW);
    assert_eq!(told.0.load(Ordering::Relaxed), 2);
}
