use super::*;
use proptest::prelude::*;

fn set(members: &[&str]) -> SetValue {
    let mut set = SetValue::new(ValueSeed::new(3, 4));
    for member in members {
        set.insert(member.as_bytes());
    }
    set
}

fn names<'a>(members: impl IntoIterator<Item = Member<'a>>) -> Vec<String> {
    members.into_iter().map(|member| String::from_utf8_lossy(&member).into_owned()).collect()
}

fn reread(set: &SetValue) -> SetValue {
    let mut bytes = Vec::new();
    set.encode_into(&mut bytes);
    let mut reader = Reader::new(&bytes);
    let read = SetValue::decode(&mut reader, ValueSeed::new(5, 6)).unwrap();
    reader.finish().unwrap();
    let mut again = Vec::new();
    read.encode_into(&mut again);
    assert_eq!(again, bytes);
    assert_eq!(read.memory_bytes(), set.memory_bytes());
    assert_eq!(read.encoding(), set.encoding());
    read
}

#[derive(Debug, Clone)]
enum Change {
    Insert(Vec<u8>),
    Remove(Vec<u8>),
    Pop(u64),
    Reread,
}

fn change() -> impl Strategy<Value = Change> {
    let member = || {
        prop_oneof![
            200 => (-300i64..300).prop_map(|number| number.to_string().into_bytes()),
            1 => (0u8..9).prop_map(|byte| vec![byte; 3]),
            1 => Just(vec![b'x'; 65]),
        ]
    };
    prop_oneof![
        30 => member().prop_map(Change::Insert),
        8 => member().prop_map(Change::Remove),
        1 => any::<u64>().prop_map(Change::Pop),
        1 => Just(Change::Reread),
    ]
}

proptest! {
    #[test]
    fn behaves_as_an_ordered_set(changes in prop::collection::vec(change(), 1..600)) {
        let mut set = set(&[]);
        let mut model: Vec<Vec<u8>> = Vec::new();
        for change in changes {
            match change {
                Change::Insert(member) => {
                    prop_assert_eq!(set.insert(&member), !model.contains(&member));
                    if !model.contains(&member) {
                        model.push(member);
                    }
                }
                Change::Remove(member) => {
                    let found = model.iter().position(|stored| *stored == member);
                    prop_assert_eq!(set.remove(&member), found.is_some());
                    if let Some(index) = found {
                        model.remove(index);
                    }
                }
                Change::Pop(seed) => {
                    let popped = set.pop(seed);
                    prop_assert_eq!(popped.is_none(), model.is_empty());
                    if let Some(member) = popped {
                        prop_assert!(model.contains(&member));
                        model.retain(|stored| *stored != member);
                    }
                }
                Change::Reread => set = reread(&set),
            }
            prop_assert_eq!(set.len(), model.len());
        }
        let mut members: Vec<Vec<u8>> = set.iter().map(|member| member.to_vec()).collect();
        for (index, member) in members.iter().enumerate() {
            prop_assert!(set.contains(member));
            prop_assert!(set.at(index).is_some_and(|at| *at == **member));
        }
        if set.encoding() == "hashtable" {
            let bytes: usize =
                members.iter().map(|member| memory::member_bytes(member.len())).sum();
            prop_assert_eq!(set.table_bytes, bytes);
        }
        members.sort();
        model.sort();
        prop_assert_eq!(members, model);
    }
}

#[test]
fn the_encoding_follows_redis_limits_and_stays() {
    let integers = |count: usize| {
        let mut set = set(&[]);
        for number in 0..count {
            set.insert(number.to_string().as_bytes());
        }
        set
    };
    assert_eq!(integers(512).encoding(), "intset");
    assert_eq!(integers(513).encoding(), "hashtable");
    for (count, member, encoding) in [
        (127, vec![b'a'; 64], "listpack"),
        (128, vec![b'a'], "hashtable"),
        (1, vec![b'a'; 65], "hashtable"),
        (1, b"01".to_vec(), "listpack"),
    ] {
        let mut set = integers(count);
        set.insert(&member);
        assert_eq!(set.encoding(), encoding, "{count}");
        set.remove(&member);
        assert_eq!(reread(&set).encoding(), encoding);
    }
    for (count, first, encoding) in [
        (512, "1", "intset"),
        (513, "1", "hashtable"),
        (128, "a", "intset"),
        (129, "a", "hashtable"),
    ] {
        let mut set = set(&[]);
        set.expect(count, first.as_bytes());
        assert_eq!(set.encoding(), encoding);
    }
}

#[test]
fn intsets_iterate_in_ascending_order() {
    let set = set(&["5", "-3", "100", "0"]);
    assert_eq!(names(set.iter()), ["-3", "0", "5", "100"]);
    assert!(!set.contains(b"05"));
    assert!(!set.contains(b"x"));
}

#[test]
fn algebra() {
    let (a, b) = (set(&["a", "b", "c", "1"]), set(&["c", "1", "d"]));
    let seed = ValueSeed::default();
    let intersection =
        |sets: &[Option<&SetValue>], limit| names(SetValue::intersection(sets, limit)).join(" ");
    assert_eq!(intersection(&[Some(&a), Some(&b)], usize::MAX), "c 1");
    assert_eq!(intersection(&[Some(&a), Some(&b)], 1), "c");
    assert_eq!(intersection(&[Some(&a), Some(&a)], usize::MAX), "a b c 1");
    assert_eq!(intersection(&[Some(&a), None], usize::MAX), "");
    assert_eq!(intersection(&[], usize::MAX), "");
    let union = SetValue::union(&[Some(&a), None, Some(&b)], seed);
    assert_eq!(names(union.iter()), ["a", "b", "c", "1", "d"]);
    let difference = SetValue::difference(&[Some(&a), Some(&b), None], seed);
    assert_eq!(names(difference.iter()), ["a", "b"]);
    assert!(SetValue::difference(&[None, Some(&b)], seed).is_empty());
    assert!(SetValue::difference(&[Some(&a), Some(&a)], seed).is_empty());
}

#[test]
fn popping_many_follows_the_seed() {
    for members in [100, 1000] {
        let mut first = set(&[]);
        for number in 0..members {
            first.insert(format!("m{number}").as_bytes());
        }
        let mut second = reread(&first);
        assert_eq!(first.pop_many(11, 30), second.pop_many(11, 30));
        assert_eq!(names(first.iter()), names(second.iter()));
        assert_eq!(first.len(), members - 30);
        assert_eq!(first.pop_many(1, usize::MAX).len(), members - 30);
        assert!(first.is_empty());
        assert!(first.pop(1).is_none());
    }
}

#[test]
fn random_members_follow_the_seed() {
    let set = set(&["1", "2", "3"]);
    assert_eq!(names(set.random_members(5, 10)), ["1", "2", "3"]);
    assert_eq!(set.random_members(5, -10).count(), 10);
    assert!(set.random_member(5).is_some());
}

#[test]
fn scan_of_a_table_visits_everything() {
    let mut set = set(&[]);
    for number in 0..1000 {
        set.insert(format!("m{number}").as_bytes());
    }
    let (mut cursor, mut visited) = (0, std::collections::BTreeSet::new());
    loop {
        cursor = set.scan(cursor, 10, |member| {
            visited.insert(member.to_vec());
        });
        if cursor == 0 {
            break;
        }
        let first = set.at(0).map(|member| member.to_vec()).unwrap();
        set.remove(&first);
    }
    assert!(set.iter().all(|member| visited.contains(&*member)));
}
