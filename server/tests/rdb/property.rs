//! Any value comes back from what is written of it.

use super::{Content, read, seed, write};
use hallpass_engine::value::{Collection, HashValue, ListValue, SetValue, SortedValue};
use hallpass_engine::{Side, SortedAddOptions};
use hallpass_server::rdb::Value;
use proptest::prelude::*;

/// Texts, many of which are integers of some width.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..10),
        prop::collection::vec(any::<u8>(), 60..70),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (any::<i64>(), 0..64_u32).prop_map(|(number, by)| (number >> by).to_string().into_bytes()),
        (-9..9_i8).prop_map(|number| format!("0{number}").into_bytes()),
    ]
}

/// Scores but negative zero, which a small sorted set does not keep, as in Redis.
fn score() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("a number", |score| !score.is_nan()).prop_map(|score| score + 0.0)
}

fn content() -> impl Strategy<Value = Content> {
    let length = || prop_oneof![1..8_usize, 120..140_usize];
    let texts = move || length().prop_flat_map(|length| prop::collection::vec(text(), length));
    let halves = |texts: Vec<Vec<u8>>| texts.into_iter().map(|text| (text.clone(), text));
    let scored = (length(), prop::collection::vec((text(), score()), 140));
    prop_oneof![
        text().prop_map(Content::Text),
        texts().prop_map(Content::List),
        texts().prop_map(|texts| Content::Set(texts.into_iter().collect())),
        texts().prop_map(move |texts| Content::Hash(halves(texts).collect())),
        scored.prop_map(|(length, scored)| {
            let entry = |(member, score): (Vec<u8>, f64)| (member, score.to_bits());
            Content::Sorted(scored.into_iter().take(length).map(entry).collect())
        }),
    ]
}

fn stored(content: &Content) -> Value {
    Value::Collection(match content {
        Content::Text(text) => return Value::String(text.clone()),
        Content::List(values) => {
            let mut list = ListValue::new();
            for value in values {
                list.push(Side::Tail, value);
            }
            Collection::List(list)
        }
        Content::Set(members) => {
            let mut set = SetValue::new(seed());
            for member in members {
                assert!(set.insert(member));
            }
            Collection::Set(set)
        }
        Content::Hash(pairs) => {
            let mut hash = HashValue::new(seed());
            for (field, value) in pairs {
                assert!(hash.insert(field, value));
            }
            Collection::Hash(hash)
        }
        Content::Sorted(entries) => {
            let mut sorted = SortedValue::new(seed());
            for (member, score) in entries {
                let options = SortedAddOptions::default();
                sorted.add(member, f64::from_bits(*score), options).expect("a number");
            }
            Collection::Sorted(sorted)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn what_is_written_is_read(content in content()) {
        let written = write(&stored(&content));
        let value = read(&written).expect("what was written");
        prop_assert_eq!(Content::from(&value), content);
        // The same value is the same bytes, in whatever order it was put in.
        prop_assert_eq!(write(&value).len(), written.len());
    }
}
