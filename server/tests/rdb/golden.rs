//! Payloads that a Redis 7.0 wrote, and those that are written here, byte by byte. The encodings that no
//! present Redis writes any more are in the conformance cases, where a Redis reads them too.

use super::{Content, RdbError, read, seal, unhex, write};
use hallpass_server::rdb::VERSION_MAX;

/// Payloads of Redis 7.0, by what is in them; the list's nodes of two values are compressed.
pub(super) const OF_REDIS: [(&str, &str); 10] = [
    ("compressed", "00c31240500a612073657373696f6e2061e03a09016e200a000aa465ca4c296adf"),
    ("integer", "00c287d612000a00e93e1e362b3b7c5e"),
    ("long integer", "000b31323334353637383930310a00304e52d727176510"),
    (
        "list",
        "120402c336404f1f4f0000000200a276616c75652030206f6620746865206c6973742c20616e642009736f6d65206d6f72\
         6523a0230031e012230123ff02c336404f1f4f0000000200a276616c75652030206f6620746865206c6973742c20616e64\
         2009736f6d65206d6f726523a0230031e012230123ff02c336404f1f4f0000000200a276616c75652030206f6620746865\
         206c6973742c20616e642009736f6d65206d6f726523a0230031e012230123ff02c336404f1f4f0000000200a276616c75\
         652030206f6620746865206c6973742c20616e642009736f6d65206d6f726523a0230031e012230123ff0a00ecc403af9c\
         ae0990",
    ),
    ("intset", "0b1404000000030000000100000002000000701101000a0085d5c1065b1dd055"),
    ("set", "0202016101620a00fe642125eb033d0d"),
    (
        "hash",
        "102424000000060084757365720585616c6963650686766973697473071101816e02dffd02ff0a009dff40523e91c015",
    ),
    (
        "sorted",
        "1128280000000800816302842d696e6605816102010181620283322e35048164028631652b31303007ff0a00d4c54260e4\
         784153",
    ),
    ("hash table", "040206766973697473c011047573657205616c6963650a004e83f19ee99b4d58"),
    ("skiplist", "0502016200000000000004400161000000000000f03f0a00f46eb73919767291"),
];

fn expected(name: &str) -> Content {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let hash = |pairs: &[(&str, &str)]| {
        Content::Hash(pairs.iter().map(|(field, value)| (bytes(field), bytes(value))).collect())
    };
    let sorted = |entries: &[(&str, f64)]| {
        let entry = |(member, score): &(&str, f64)| (bytes(member), score.to_bits());
        Content::Sorted(entries.iter().map(entry).collect())
    };
    match name {
        "compressed" => Content::Text("a session ".repeat(8).into_bytes()),
        "integer" => Content::Text(bytes("1234567")),
        "long integer" => Content::Text(bytes("12345678901")),
        "list" => {
            let value = |number| bytes(&format!("value {number} of the list, and some more"));
            Content::List((0..8).map(|number| value(number % 2)).collect())
        }
        "intset" => Content::Set(["1", "2", "70000"].map(bytes).into()),
        "set" => Content::Set(["a", "b"].map(bytes).into()),
        "hash" => hash(&[("user", "alice"), ("visits", "17"), ("n", "-3")]),
        "sorted" => sorted(&[("a", 1.0), ("b", 2.5), ("c", f64::NEG_INFINITY), ("d", 1e100)]),
        "hash table" => hash(&[("user", "alice"), ("visits", "17")]),
        "skiplist" => sorted(&[("a", 1.0), ("b", 2.5)]),
        other => panic!("no payload is named {other}"),
    }
}

#[test]
fn what_redis_wrote_is_read() {
    for (name, digits) in OF_REDIS {
        let payload = unhex(digits);
        let value = read(&payload).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Content::from(&value), expected(name), "{name}");
        // And comes back out of what is written here.
        let again = read(&write(&value)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Content::from(&again), expected(name), "{name}");
    }
}

#[test]
fn what_is_written_stays_the_same() {
    let written = |name: &str| {
        let (_, digits) = OF_REDIS.iter().find(|(other, _)| *other == name).expect("a payload");
        write(&read(&unhex(digits)).expect("a payload of Redis"))
    };
    let sealed = |content: &[u8]| seal(content, 8);
    assert_eq!(written("integer"), sealed(b"\x00\xc2\x87\xd6\x12\x00"));
    assert_eq!(written("long integer"), sealed(b"\x00\x0b12345678901"));
    assert_eq!(written("intset"), sealed(b"\x02\x03\xc0\x01\xc0\x02\xc2\x70\x11\x01\x00"));
    let hash = b"\x04\x03\x04user\x05alice\x06visits\xc0\x11\x01n\xc0\xfd";
    assert_eq!(written("hash"), sealed(hash));
    let sorted = b"\x05\x02\x01a\0\0\0\0\0\0\xf0\x3f\x01b\0\0\0\0\0\0\x04\x40";
    assert_eq!(written("skiplist"), sealed(sorted));
    // Lengths of one, two and five bytes.
    for (length, head) in [
        (63, &b"\x00\x3f"[..]),
        (64, b"\x00\x40\x40"),
        (16_383, b"\x00\x7f\xff"),
        (16_384, b"\x00\x80\x00\x00\x40\x00"),
    ] {
        let payload = sealed(&[head, &vec![b'x'; length]].concat());
        assert_eq!(write(&read(&payload).expect("a string")), payload);
    }
}

#[test]
fn the_frame_is_checked_first() {
    let payload = unhex(OF_REDIS[0].1);
    let refused = |payload: &[u8]| match read(payload) {
        Err(RdbError::Checksum | RdbError::Version(_)) => {}
        other => panic!("{payload:?} is read as {other:?}"),
    };
    for at in 0..payload.len() {
        refused(&payload[..at]);
        let mut changed = payload.clone();
        changed[at] ^= 0x01;
        refused(&changed);
    }
    let content = &payload[..payload.len() - 10];
    assert!(read(&seal(content, VERSION_MAX)).is_ok());
    let later = VERSION_MAX + 1;
    assert_eq!(read(&seal(content, later)).err(), Some(RdbError::Version(later)));
}

#[test]
fn each_fault_has_its_name() {
    let refused = |content: &[u8]| read(&seal(content, 10)).expect_err("no value");
    assert_eq!(refused(b""), RdbError::Truncated);
    assert_eq!(refused(b"\x00\x03ab"), RdbError::Truncated);
    assert_eq!(refused(b"\x00\x03abcd"), RdbError::Trailing);
    assert_eq!(refused(b"\x01\x81\x40\0\0\0\0\0\0\0"), RdbError::Truncated);
    assert_eq!(refused(b"\x02\x02\x01a\x01a"), RdbError::Duplicate);
    assert_eq!(refused(b"\x04\x02\x01a\x01b\x01a\x01c"), RdbError::Duplicate);
    assert_eq!(refused(b"\x01\x00"), RdbError::Empty);
    assert_eq!(refused(b"\x08"), RdbError::UnknownKind(8));
    assert_eq!(refused(b"\x16"), RdbError::UnknownKind(22));
    assert_eq!(refused(b"\x0f"), RdbError::Unsupported("streams"));
    assert_eq!(refused(b"\x07"), RdbError::Unsupported("values of modules"));
    // A mebibyte and a byte: two compressed bytes for every 264.
    let long = [&b"\x00\x80\x00\x10\x00\x01"[..], &vec![b'x'; (1 << 20) + 1]].concat();
    assert_eq!(refused(&long), RdbError::ElementTooLong);
}

#[test]
fn few_compressed_bytes_do_not_become_many() {
    // A list of strings of 265 bytes each, in nine.
    let compressed = b"\xc3\x05\x41\x09\x00a\xe0\xff\x00";
    let count = (1_u32 << 24) / 265;
    let mut content = b"\x01\x80".to_vec();
    content.extend_from_slice(&count.to_be_bytes());
    (0..count).for_each(|_| content.extend_from_slice(compressed));
    assert_eq!(read(&seal(&content, 10)).err(), Some(RdbError::ValueTooLarge));
}
