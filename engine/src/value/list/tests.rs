use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Change {
    Push(Side, u8),
    Pop(Side),
    Set(i64, u8),
    Trim(i64, i64),
    Remove(i64, u8),
    Insert(bool, u8, u8),
    Reread,
}

/// Ten values, two of them long, so that lists pass the listpack's limit both ways.
fn value(number: u8) -> Vec<u8> {
    match number % 10 {
        8 => vec![b'a'; 3000],
        9 => vec![b'b'; 5000],
        number => number.to_string().into_bytes(),
    }
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Head), Just(Side::Tail)]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (side(), 0u8..10).prop_map(|(side, value)| Change::Push(side, value)),
        2 => side().prop_map(Change::Pop),
        1 => (-9i64..9, 0u8..10).prop_map(|(index, value)| Change::Set(index, value)),
        1 => (-30i64..30, -30i64..30).prop_map(|(start, stop)| Change::Trim(start, stop)),
        1 => (-3i64..4, 0u8..10).prop_map(|(count, value)| Change::Remove(count, value)),
        2 => (any::<bool>(), 0u8..10, 0u8..10)
            .prop_map(|(before, pivot, value)| Change::Insert(before, pivot, value)),
        1 => Just(Change::Reread),
    ]
}

fn reread(list: &ListValue) -> ListValue {
    let mut bytes = Vec::new();
    list.encode_into(&mut bytes);
    let mut reader = Reader::new(&bytes);
    let read = ListValue::decode(&mut reader).unwrap();
    reader.finish().unwrap();
    assert_eq!(read.values, list.values);
    assert_eq!(read.memory_bytes(), list.memory_bytes());
    assert_eq!(read.listpack_bytes, list.listpack_bytes);
    assert_eq!(read.encoding(), list.encoding());
    read
}

/// LRANGE's reading of two indexes, told the slow way: which of all indexes are in.
fn kept(start: i64, stop: i64, length: usize) -> Vec<usize> {
    let from_end = |index: i64| if index < 0 { index + length as i64 } else { index };
    let (start, stop) = (from_end(start), from_end(stop));
    (0..length).filter(|&index| (start..=stop).contains(&(index as i64))).collect()
}

fn apply(list: &mut ListValue, model: &mut Vec<Vec<u8>>, change: Change) {
    match change {
        Change::Push(side, number) => {
            let at = if side == Side::Head { 0 } else { model.len() };
            model.insert(at, value(number));
            list.push(side, &value(number));
        }
        Change::Pop(side) => {
            let expected = match side {
                _ if model.is_empty() => None,
                Side::Head => Some(model.remove(0)),
                Side::Tail => model.pop(),
            };
            assert_eq!(list.pop(side), expected);
        }
        Change::Set(index, number) => {
            let place = kept(index, index, model.len()).first().copied();
            assert_eq!(list.get(index), place.map(|place| &model[place][..]));
            assert_eq!(list.set(index, &value(number)), place.is_some());
            if let Some(place) = place {
                model[place] = value(number);
            }
        }
        Change::Trim(start, stop) => {
            let kept = kept(start, stop, model.len());
            let expected: Vec<_> = kept.iter().map(|&index| model[index].clone()).collect();
            let range: Vec<_> = list.range(start, stop).map(<[u8]>::to_vec).collect();
            assert_eq!(range, expected);
            // Trimming at random leaves nothing to test with: do it to longer lists only.
            if model.len() > 20 {
                list.trim(start, stop);
                *model = expected;
            }
        }
        Change::Remove(count, number) => {
            let mut equal: Vec<_> =
                (0..model.len()).filter(|&index| model[index] == value(number)).collect();
            if count < 0 {
                equal.reverse();
            }
            if count != 0 {
                equal.truncate(count.unsigned_abs() as usize);
            }
            assert_eq!(list.remove(count, &value(number)), equal.len());
            equal.sort_unstable();
            equal.into_iter().rev().for_each(|index| drop(model.remove(index)));
        }
        Change::Insert(before, pivot, number) => {
            let found = model.iter().position(|stored| *stored == value(pivot));
            let expected = found.map(|index| {
                model.insert(if before { index } else { index + 1 }, value(number));
                model.len()
            });
            assert_eq!(list.insert(before, &value(pivot), &value(number)), expected);
        }
        Change::Reread => *list = reread(list),
    }
}

proptest! {
    #[test]
    fn behaves_as_a_vector(changes in prop::collection::vec(change(), 1..200)) {
        let mut list = ListValue::new();
        let mut model = Vec::new();
        for change in changes {
            apply(&mut list, &mut model, change);
            prop_assert_eq!(list.len(), model.len());
        }
        prop_assert!(list.iter().eq(model.iter().map(|value| &value[..])));
        let bytes: usize = model.iter().map(|value| value_bytes(value)).sum();
        prop_assert_eq!(list.memory_bytes(), bytes);
        let bytes: usize = model.iter().map(|value| listpack_entry_bytes(value)).sum();
        prop_assert_eq!(list.listpack_bytes, bytes);
    }
}

#[test]
fn positions_as_lpos_finds_them() {
    let mut list = ListValue::new();
    for value in ["a", "b", "c", "1", "2", "3", "c", "c"] {
        list.push(Side::Tail, value.as_bytes());
    }
    let find =
        |rank, count, length_max| list.positions(b"c", PositionQuery { rank, count, length_max });
    assert_eq!(find(1, 1, 0), [2]);
    assert_eq!(find(2, 1, 0), [6]);
    assert_eq!(find(-1, 1, 0), [7]);
    assert_eq!(find(-1, 2, 0), [7, 6]);
    assert_eq!(find(1, 0, 0), [2, 6, 7]);
    assert_eq!(find(-2, 0, 0), [6, 2]);
    assert_eq!(find(1, 0, 7), [2, 6]);
    assert_eq!(find(-1, 0, 1), [7]);
    assert!(find(4, 1, 0).is_empty());
    assert!(find(i64::MIN, 0, 0).is_empty());
    assert!(find(0, 0, 0).is_empty());
}

#[test]
fn the_encoding_follows_the_listpack_size() {
    let mut list = ListValue::new();
    // 100 bytes are 103 in a listpack: 79 values and the frame are 8144 bytes.
    for _ in 0..79 {
        list.push(Side::Tail, &[b'x'; 100]);
    }
    assert_eq!(list.encoding(), "listpack");
    list.push(Side::Tail, &[b'x'; 100]);
    assert_eq!(list.encoding(), "quicklist");
    while list.len() > 40 {
        list.pop(Side::Head);
    }
    assert_eq!(list.encoding(), "quicklist");
    list.pop(Side::Head);
    assert_eq!(list.encoding(), "listpack");
    assert!(list.set(0, &[b'y'; 9000]));
    assert_eq!(list.encoding(), "quicklist");
    assert!(list.set(0, b"y"));
    assert_eq!(list.encoding(), "listpack");
    list.expect(9000);
    assert_eq!(list.encoding(), "quicklist");
}

#[test]
fn integers_are_short_in_a_listpack() {
    for (value, bytes) in [
        (&b"0"[..], 2),
        (b"127", 2),
        (b"128", 3),
        (b"-1", 3),
        (b"-4097", 4),
        (b"40000", 5),
        (b"10000000", 6),
        (b"10000000000", 10),
        (b"007", 5),
        (b"", 2),
        (&[b'x'; 63], 65),
        (&[b'x'; 64], 67),
        (&[b'x'; 126], 130),
        (&[b'x'; 5000], 5007),
    ] {
        assert_eq!(listpack_entry_bytes(value), bytes, "{}", value.len());
    }
}
