//! Round trips with a real Redis: every type in every encoding that its settings lead to goes from there
//! to here and back, and is the same at each end.

use super::support::client::Client;
use super::support::redis::start_redis;
use super::support::reply::Reply;
use super::support::server::Server;
use std::collections::BTreeMap;

/// Redis' settings that decide on encodings: the defaults, the smallest, and the largest forms.
const SETTINGS: [&[(&str, &str)]; 3] = [
    &[],
    &[
        ("list-max-listpack-size", "2"),
        ("list-compress-depth", "1"),
        ("hash-max-listpack-entries", "1"),
        ("zset-max-listpack-entries", "1"),
        ("set-max-intset-entries", "1"),
    ],
    &[
        ("list-max-listpack-size", "-5"),
        ("list-compress-depth", "2"),
        ("hash-max-listpack-entries", "10000"),
        ("hash-max-listpack-value", "10000"),
        ("zset-max-listpack-entries", "10000"),
        ("zset-max-listpack-value", "10000"),
        ("set-max-intset-entries", "10000"),
    ],
];

fn is_error(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(_))
}

/// Stores values of every type and many sizes; their keys.
fn fill(client: &mut Client) -> Vec<String> {
    let mut keys = Vec::new();
    let mut put = |name: &str, command: &str, arguments: Vec<Vec<u8>>| {
        keys.push(name.to_owned());
        // Some commands at a time: Redis limits what one may be.
        for some in arguments.chunks(1000) {
            let words: Vec<Vec<u8>> = [command, name]
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .chain(some.iter().cloned())
                .collect();
            let reply = client.call(&words);
            assert!(!is_error(&reply), "{command} {name}: {reply}");
        }
    };
    let noise = |length: usize| {
        let mut state = length as u64;
        let bytes = std::iter::repeat_with(|| super::damage::roll(&mut state) as u8);
        bytes.take(length).collect::<Vec<u8>>()
    };
    // An element of each sort: integers of every width, texts of every length, bytes of any value.
    let element = |at: usize| match at % 9 {
        0 => at.to_string().into_bytes(),
        1 => (-(at as i64)).to_string().into_bytes(),
        2 => (at as i64 * 40_009).to_string().into_bytes(),
        3 => (at as i64 * -5_000_000_029).to_string().into_bytes(),
        4 => format!("0{at}").into_bytes(),
        5 => format!("element {at} ").repeat(at % 20).into_bytes(),
        6 => [format!("{at}:").into_bytes(), noise(at % 200)].concat(),
        7 => format!("{at}-{}", "a".repeat(at % 90)).into_bytes(),
        _ => format!("field{at}").into_bytes(),
    };
    for (name, text) in [
        ("string", b"a session".to_vec()),
        ("empty", Vec::new()),
        ("8 bits", b"-128".to_vec()),
        ("16 bits", b"32767".to_vec()),
        ("32 bits", b"-2147483648".to_vec()),
        ("64 bits", b"9223372036854775807".to_vec()),
        ("no integer", b"007".to_vec()),
        ("noise", noise(70_000)),
        ("compressible", "{\"user\":\"alice\",\"cart\":[]}".repeat(5000).into_bytes()),
    ] {
        put(name, "SET", vec![text]);
    }
    for count in [1, 20, 700, 3000] {
        let elements = || (0..count).map(element);
        let numbers = (0..count).map(|at| (at as i64 * 7919 - 9000).to_string().into_bytes());
        put(&format!("list of {count}"), "RPUSH", elements().collect());
        put(&format!("set of {count}"), "SADD", elements().collect());
        put(&format!("set of {count} integers"), "SADD", numbers.collect());
        let pairs = elements().zip((1..=count).rev().map(element));
        put(&format!("hash of {count}"), "HSET", pairs.flat_map(|(a, b)| [a, b]).collect());
        let scores = ["1", "-inf", "2.5", "1e300", "0.1", "inf", "-17", "123456789012"];
        let scored = elements().enumerate().map(|(at, word)| {
            let score = scores[at % scores.len()];
            [score.as_bytes().to_vec(), word]
        });
        put(&format!("sorted set of {count}"), "ZADD", scored.flatten().collect());
    }
    put("long elements", "RPUSH", vec![noise(9000), vec![b'x'; 20_000], b"short".to_vec()]);
    put("wide integers", "SADD", vec![b"-5000000000".to_vec(), b"1".to_vec()]);
    keys
}

/// What a key holds, in an order and form that do not depend on the server.
fn content(client: &mut Client, key: &str) -> (String, Vec<Reply>) {
    let kind = client.call(&["TYPE", key]).text();
    let reply = match kind.as_str() {
        "string" => client.call(&["GET", key]),
        "list" => client.call(&["LRANGE", key, "0", "-1"]),
        "set" => client.call(&["SMEMBERS", key]),
        "hash" => client.call(&["HGETALL", key]),
        "zset" => client.call(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
        other => panic!("{key} is of type {other}"),
    };
    let by_text = |reply: &Reply| format!("{reply:?}");
    let items = match kind.as_str() {
        "string" => vec![reply],
        "list" => reply.items().to_vec(),
        "set" => {
            let sorted: BTreeMap<String, Reply> =
                reply.items().iter().map(|item| (by_text(item), item.clone())).collect();
            sorted.into_values().collect()
        }
        "hash" => {
            let pairs = reply.items().chunks(2).map(|pair| (by_text(&pair[0]), pair.to_vec()));
            pairs.collect::<BTreeMap<_, _>>().into_values().flatten().collect()
        }
        _ => {
            // Two servers may write a score with other digits.
            let pairs = reply.items().chunks(2).flat_map(|pair| {
                let score: f64 = pair[1].text().parse().expect("a score");
                [pair[0].clone(), Reply::Double(score.to_string())]
            });
            pairs.collect()
        }
    };
    (kind, items)
}

fn dump(client: &mut Client, key: &str) -> Vec<u8> {
    match client.call(&["DUMP", key]) {
        Reply::Bulk(payload) => payload,
        other => panic!("DUMP {key}: {other}"),
    }
}

fn restore(client: &mut Client, key: &str, payload: &[u8]) {
    let reply = client.call(&[&b"RESTORE"[..], key.as_bytes(), b"0", payload, b"REPLACE"]);
    assert!(reply.is_ok(), "RESTORE {key}: {reply}");
}

#[test]
fn values_go_from_redis_to_here_and_back() {
    let Some((_process, address)) = start_redis() else { return };
    let server = Server::start();
    let (mut redis, mut ours) = (Client::connect(address), server.connect());
    let mut kinds = std::collections::BTreeSet::new();
    for settings in SETTINGS {
        redis.call(&["FLUSHALL"]);
        ours.call(&["FLUSHALL"]);
        for (name, value) in settings {
            let reply = redis.call(&["CONFIG", "SET", name, value]);
            assert!(reply.is_ok(), "{name}: {reply}");
        }
        for key in fill(&mut redis) {
            let payload = dump(&mut redis, &key);
            kinds.insert(payload[0]);
            restore(&mut ours, &key, &payload);
            let there = content(&mut redis, &key);
            assert_eq!(content(&mut ours, &key), there, "{key} came here with {settings:?}");
            // Back under another name: what was there cannot be taken for what came.
            let back = format!("{key}, back");
            restore(&mut redis, &back, &dump(&mut ours, &key));
            assert_eq!(content(&mut redis, &back), there, "{key} went back with {settings:?}");
            let encoding =
                |client: &mut Client, key: &str| client.call(&["OBJECT", "ENCODING", key]).text();
            let (first, last) = (encoding(&mut redis, &key), encoding(&mut redis, &back));
            // Redis compares a string with 44 bytes; one that is loaded may be kept the other way.
            let strings = ["embstr", "raw"];
            let same =
                first == last || strings.contains(&&first[..]) && strings.contains(&&last[..]);
            assert!(same, "{key}: {first} became {last} with {settings:?}");
        }
    }
    assert!(kinds.len() >= 8, "each type in several encodings: {kinds:?}");
}

#[test]
fn values_made_here_are_what_redis_would_have_made() {
    let Some((_process, address)) = start_redis() else { return };
    let server = Server::start();
    let (mut redis, mut ours) = (Client::connect(address), server.connect());
    for key in fill(&mut ours) {
        restore(&mut redis, &key, &dump(&mut ours, &key));
        let here = content(&mut ours, &key);
        assert_eq!(content(&mut redis, &key), here, "{key}");
    }
}
