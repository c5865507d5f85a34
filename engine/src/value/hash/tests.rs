use super::*;
use proptest::prelude::*;

fn hash() -> HashValue {
    HashValue::new(ValueSeed::new(3, 4))
}

fn reread(hash: &HashValue) -> HashValue {
    let mut bytes = Vec::new();
    hash.encode_into(&mut bytes);
    let mut reader = Reader::new(&bytes);
    let read = HashValue::decode(&mut reader, ValueSeed::new(5, 6)).unwrap();
    reader.finish().unwrap();
    let mut again = Vec::new();
    read.encode_into(&mut again);
    assert_eq!(again, bytes);
    assert_eq!(read.memory_bytes(), hash.memory_bytes());
    assert_eq!(read.encoding(), hash.encoding());
    read
}

#[derive(Debug, Clone)]
enum Change {
    Insert(u8, usize),
    InsertIfAbsent(u8, usize),
    Remove(u8),
    Reread,
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = || prop_oneof![9 => 0usize..60, 1 => 60usize..900];
    prop_oneof![
        8 => (any::<u8>(), bytes()).prop_map(|(field, bytes)| Change::Insert(field, bytes)),
        2 => (any::<u8>(), bytes()).prop_map(|(field, bytes)| Change::InsertIfAbsent(field, bytes)),
        4 => any::<u8>().prop_map(Change::Remove),
        1 => Just(Change::Reread),
    ]
}

proptest! {
    #[test]
    fn behaves_as_an_ordered_map(changes in prop::collection::vec(change(), 1..500)) {
        let mut hash = hash();
        let mut model: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for change in changes {
            match change {
                Change::Insert(field, bytes) => {
                    let (field, value) = (vec![field; 5], vec![field; bytes]);
                    let found = model.iter().position(|entry| entry.0 == field);
                    prop_assert_eq!(hash.insert(&field, &value), found.is_none());
                    match found {
                        Some(index) => model[index].1 = value,
                        None => model.push((field, value)),
                    }
                }
                Change::InsertIfAbsent(field, bytes) => {
                    let (field, value) = (vec![field; 5], vec![field; bytes]);
                    let absent = !model.iter().any(|entry| entry.0 == field);
                    prop_assert_eq!(hash.insert_if_absent(&field, &value), absent);
                    if absent {
                        model.push((field, value));
                    }
                }
                Change::Remove(field) => {
                    let field = vec![field; 5];
                    let found = model.iter().position(|entry| entry.0 == field);
                    prop_assert_eq!(hash.remove(&field), found.is_some());
                    match found {
                        Some(index) if model.len() > 128 => drop(model.swap_remove(index)),
                        Some(index) => drop(model.remove(index)),
                        None => {}
                    }
                }
                Change::Reread => hash = reread(&hash),
            }
            prop_assert_eq!(hash.len(), model.len());
        }
        prop_assert!(hash.iter().eq(model.iter().map(|entry| (&entry.0[..], &entry.1[..]))));
        for (index, (field, value)) in model.iter().enumerate() {
            prop_assert_eq!(hash.get(field), Some(&value[..]));
            prop_assert_eq!(hash.at(index), Some((&field[..], &value[..])));
        }
        if let Form::Table(_) = hash.form {
            let bytes: usize =
                model.iter().map(|entry| memory::pair_bytes(entry.0.len(), entry.1.len())).sum();
            prop_assert_eq!(hash.table_bytes, bytes);
        }
    }

    #[test]
    fn scan_visits_what_is_there_from_start_to_end(
        fields in 1u16..300,
        removals in prop::collection::vec(0u16..300, 0..300),
        count in 1usize..40,
    ) {
        let mut hash = hash();
        hash.insert(b"0", &[0; 65]);
        for number in 1..fields {
            hash.insert(number.to_string().as_bytes(), b"");
        }
        prop_assert_eq!(hash.encoding(), "hashtable");
        let mut seen = std::collections::BTreeSet::new();
        let (mut cursor, mut removals) = (0, removals.into_iter());
        loop {
            cursor = hash.scan(cursor, count, |field, _| { seen.insert(field.to_vec()); });
            if cursor == 0 { break; }
            for number in removals.by_ref().take(7) {
                hash.remove(number.to_string().as_bytes());
                hash.insert((number + 1000).to_string().as_bytes(), b"");
            }
        }
        for (field, _) in hash.iter().filter(|(field, _)| field.len() < 4) {
            prop_assert!(seen.contains(field));
        }
    }
}

#[test]
fn the_encoding_follows_redis_limits_and_stays() {
    let mut small = hash();
    for number in 0..512 {
        small.insert(format!("{number}").as_bytes(), &[b'x'; 64]);
    }
    assert_eq!(small.encoding(), "listpack");
    assert!(!small.insert(b"5", b"again"));
    assert_eq!(small.encoding(), "listpack");
    small.insert(b"512", b"");
    assert_eq!(small.encoding(), "hashtable");
    small.remove(b"512");
    assert_eq!(reread(&small).encoding(), "hashtable");

    let mut long = hash();
    long.insert(b"field", &[b'x'; 65]);
    assert_eq!(long.encoding(), "hashtable");
    let mut long = hash();
    long.insert(&[b'x'; 65], b"");
    assert_eq!(long.encoding(), "hashtable");

    let mut expected = hash();
    expected.expect(513, 0);
    assert_eq!(expected.encoding(), "hashtable");
}

#[test]
fn a_listpack_is_scanned_whole() {
    let mut hash = hash();
    for number in 0..100 {
        hash.insert(format!("{number}").as_bytes(), b"");
    }
    let mut visited = 0;
    assert_eq!(hash.scan(0, 10, |_, _| visited += 1), 0);
    assert_eq!(visited, 100);
}

#[test]
fn increments_refuse_what_redis_refuses() {
    let mut hash = hash();
    assert_eq!(hash.increment_by(b"n", 5), Ok(5));
    assert_eq!(hash.increment_by(b"n", -7), Ok(-2));
    assert_eq!(hash.get(b"n"), Some(&b"-2"[..]));
    hash.insert(b"n", b"9223372036854775807");
    assert_eq!(hash.increment_by(b"n", 1), Err(IncrementError::Overflow));
    hash.insert(b"n", b" 1");
    assert_eq!(hash.increment_by(b"n", 1), Err(IncrementError::NotAnInteger));
    assert_eq!(hash.get(b"n"), Some(&b" 1"[..]));

    let number = |text: &str| LongDouble::parse(text.as_bytes()).unwrap();
    assert_eq!(hash.increment_by_float(b"n", number("1")), Err(IncrementError::NotAFloat));
    assert_eq!(hash.increment_by_float(b"f", number("10.5")).as_deref(), Ok("10.5"));
    assert_eq!(hash.increment_by_float(b"f", number("0.1")).as_deref(), Ok("10.6"));
    assert_eq!(hash.get(b"f"), Some(&b"10.6"[..]));
    assert_eq!(hash.increment_by_float(b"f", number("inf")), Err(IncrementError::NotFinite));
}

#[test]
fn random_fields_follow_their_seed() {
    for fields in [50, 500] {
        let mut hash = hash();
        for number in 0..fields {
            hash.insert(format!("{number}").as_bytes(), b"v");
        }
        assert!(hash.random_fields(9, 10).eq(hash.random_fields(9, 10)));
        let names: std::collections::BTreeSet<_> =
            hash.random_fields(9, 10).map(|(field, _)| field).collect();
        assert_eq!(names.len(), 10);
        assert_eq!(hash.random_fields(9, -1000).count(), 1000);
        assert_eq!(hash.random_fields(9, 1000).count(), fields);
        assert!(hash.random_field(9).is_some());
    }
    assert!(hash().random_field(9).is_none());
}

#[test]
fn a_session_of_six_fields_takes_one_allocation() {
    let mut hash = hash();
    for number in 0..6 {
        hash.insert(format!("sessionAttr:{number}").as_bytes(), &[b'x'; 50]);
    }
    assert!(matches!(hash.form, Form::Packed { .. }));
    // 6 fields of 13 bytes, 6 values of 50, and a byte of length before each.
    assert_eq!(hash.memory_bytes(), allocation_bytes(6 * (13 + 50 + 2)));
}
