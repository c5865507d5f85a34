use super::*;
use crate::op::{Side, SortedAddOptions};
use proptest::prelude::*;

fn collections(elements: usize) -> Vec<Collection> {
    let seed = ValueSeed::new(1, 2);
    let (mut hash, mut set) = (HashValue::new(seed), SetValue::new(seed));
    let (mut sorted, mut list) = (SortedValue::new(seed), ListValue::new());
    let mut integers = SetValue::new(seed);
    for number in 0..elements {
        let name = format!("name {number}");
        hash.insert(name.as_bytes(), b"value");
        set.insert(name.as_bytes());
        integers.insert(number.to_string().as_bytes());
        sorted.add(name.as_bytes(), number as f64 / 2.0, SortedAddOptions::default()).unwrap();
        list.push(Side::Tail, name.as_bytes());
    }
    vec![
        Collection::Hash(hash),
        Collection::Set(set),
        Collection::Set(integers),
        Collection::Sorted(sorted),
        Collection::List(list),
    ]
}

fn encoded(collection: &Collection) -> Vec<u8> {
    let mut bytes = Vec::new();
    collection.encode_into(&mut bytes);
    bytes
}

fn elements_of(collection: &Collection) -> Vec<Vec<u8>> {
    let mut elements = Vec::new();
    collection.for_each_element(|element| elements.push(element.to_vec()));
    elements.sort_unstable();
    elements
}

#[test]
fn what_is_read_back_is_the_same() {
    for elements in [1, 20, 2000] {
        for collection in collections(elements) {
            let bytes = encoded(&collection);
            let read = Collection::decode(&bytes, ValueSeed::new(8, 9)).unwrap();
            assert_eq!(encoded(&read), bytes);
            assert_eq!(elements_of(&read), elements_of(&collection));
            assert_eq!(read.kind(), collection.kind());
            assert_eq!(read.len(), elements);
            assert_eq!(read.memory_bytes(), collection.memory_bytes());
            assert_eq!(read.encoding(), collection.encoding());
        }
    }
}

#[test]
fn cut_or_extended_bytes_are_refused() {
    for collection in collections(30) {
        let bytes = encoded(&collection);
        for length in 0..bytes.len() {
            let cut = Collection::decode(&bytes[..length], ValueSeed::default());
            assert_eq!(cut.err(), Some(DecodeError::Truncated), "{length}");
        }
        let extended = [&bytes[..], &[0]].concat();
        let read = Collection::decode(&extended, ValueSeed::default());
        assert_eq!(read.err(), Some(DecodeError::Trailing));
    }
    assert!(Collection::decode(&[0], ValueSeed::default()).is_err());
    assert!(Collection::decode(&[4, 0, 0], ValueSeed::default()).is_err());
}

#[test]
fn digests_of_hashes_and_sets_do_not_see_the_order() {
    let seed = ValueSeed::default();
    let build = |names: [&str; 3]| {
        let (mut hash, mut set) = (HashValue::new(seed), SetValue::new(seed));
        for name in names {
            hash.insert(name.as_bytes(), name.as_bytes());
            set.insert(name.as_bytes());
        }
        (elements_of(&Collection::Hash(hash)), elements_of(&Collection::Set(set)))
    };
    assert_eq!(build(["a", "b", "c"]), build(["c", "a", "b"]));
    assert_ne!(build(["a", "b", "c"]), build(["c", "a", "d"]));
}

proptest! {
    #[test]
    fn garbage_never_panics(kind in 0u8..6, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let bytes = [&[kind][..], &bytes].concat();
        if let Ok(collection) = Collection::decode(&bytes, ValueSeed::default()) {
            let again = Collection::decode(&encoded(&collection), ValueSeed::default()).unwrap();
            prop_assert_eq!(encoded(&again), encoded(&collection));
        }
    }

    #[test]
    fn damaged_bytes_never_panic(
        which in 0usize..5,
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&collections(150)[which]);
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(collection) = Collection::decode(&bytes, ValueSeed::default()) {
            collection.for_each_element(|_| ());
            let _ = collection.memory_bytes();
        }
    }
}
