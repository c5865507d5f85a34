//! Ops as bytes: every op comes back as it went, version 1 stays readable, and no damage makes the
//! decoder panic, ask for much, or let through what an engine cannot apply.
//!
//! `HALLPASS_CASES=1000000 cargo test -p hallpass-engine --test op_codec` damages for longer;
//! `HALLPASS_WRITE_FIXTURE=1` writes the fixture anew, which only new ops should need.

mod damage;
mod model;

use std::borrow::Cow;
use std::fmt::Write as _;

use damage::{LARGEST, Watched, damage, roll};
use hallpass_engine::op::DecodeError;
use hallpass_engine::value::sorted::{LexBound, ScoreBound};
use hallpass_engine::{
    Cap, Combination, Condition, Config, Deadline, Decoder, Due, Engine, ExpireCondition,
    FenceReply, Fingerprint, HashSeed, Key, Limits, Op, OpDecoder, OpFault, Rule, SessionHash,
    Side, SizeLimits, SortedAddOptions, SortedEnd, SortedRange, Source, Stamp, Words,
};
use model::step::Step;
use proptest::prelude::*;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.ops");
const START: Stamp = Stamp::from_millis(1_700_000_000_000);
const KINDS: u8 = 46;

#[global_allocator]
static WATCHED: Watched = Watched;

fn seed() -> HashSeed {
    HashSeed::new(5, 6)
}

fn encoded(op: &Op<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    op.encode(&mut bytes);
    bytes
}

/// What an op can be made of.
#[derive(Clone, Debug)]
struct Parts {
    kind: u8,
    flags: u16,
    databases: (u8, u8),
    texts: [Vec<u8>; 3],
    words: Vec<Vec<u8>>,
    signed: (i64, i64),
    numbers: (u64, u64),
    floats: (f64, f64),
    ids: Vec<[u8; 16]>,
}

impl Parts {
    fn bit(&self, bit: u8) -> bool {
        self.flags >> bit & 1 == 1
    }

    fn side(&self, bit: u8) -> Side {
        if self.bit(bit) { Side::Tail } else { Side::Head }
    }

    fn deadline(&self) -> Deadline {
        match self.flags % 3 {
            0 => Deadline::Clear,
            1 => Deadline::Keep,
            _ if self.bit(15) => Deadline::After(Stamp::from_millis(self.numbers.0).millis()),
            _ => Deadline::At(Stamp::from_millis(self.numbers.0)),
        }
    }

    fn key(&self) -> Key<'_> {
        Key::new(&seed(), self.databases.0, &self.texts[0])
    }

    fn other(&self) -> Key<'_> {
        Key::new(&seed(), self.databases.1, &self.texts[1])
    }

    fn id(&self, index: usize) -> SessionHash {
        SessionHash(self.ids.get(index).copied().unwrap_or([7; 16]))
    }

    fn ids(&self) -> Vec<SessionHash> {
        self.ids.iter().copied().map(SessionHash).collect()
    }

    fn range(&self) -> SortedRange<'_> {
        let lex = |text, bits: u16| match bits % 4 {
            0 => LexBound::Lowest,
            1 => LexBound::Highest,
            2 => LexBound::Inclusive(text),
            _ => LexBound::Exclusive(text),
        };
        let score = |score, bit| ScoreBound { score, exclusive: self.bit(bit) };
        match self.flags % 3 {
            0 => SortedRange::Rank(self.signed.0, self.signed.1),
            1 => SortedRange::Score(score(self.floats.0, 3), score(self.floats.1, 4)),
            _ => SortedRange::Lex(
                lex(&self.texts[1], self.flags >> 3),
                lex(&self.texts[2], self.flags >> 5),
            ),
        }
    }

    fn rule(&self) -> Rule {
        let named = |front: &str, text: &[u8]| [front.as_bytes(), text].concat();
        let mut decoders = vec![
            Decoder::Base64,
            Decoder::Url,
            Decoder::Json,
            Decoder::JavaString,
            Decoder::Strip(self.texts[2].clone()),
            [Decoder::Php, Decoder::PhpSession, Decoder::Django, Decoder::MessagePack]
                [usize::from(self.flags) % 4]
                .clone(),
        ];
        decoders.drain(..usize::from(self.flags >> 4) % 6);
        Rule {
            name: named("rule ", &self.texts[0]),
            keys: named("*", &self.texts[1]),
            source: Source {
                field: self.bit(1).then(|| self.texts[1].clone()),
                decoders,
                pointer: Some(named("/", &self.texts[2])),
            },
            fence_millis: self.numbers.0 % 3_600_001,
            fence_reply: if self.bit(2) { FenceReply::Error } else { FenceReply::Ok },
        }
    }

    /// Hands over the op of this kind. Exhaustive as [`name`] is: a new op has to be added here.
    fn with_op<R>(&self, use_op: impl FnOnce(&Op<'_>) -> R) -> R {
        let words: Vec<&[u8]> = self.words.iter().map(Vec::as_slice).collect();
        let all = Words::from_slices(&words);
        let pairs = all.range(0, all.len() / 2 * 2);
        let [_, second, third] = &self.texts;
        let (key, other, db) = (self.key(), self.other(), self.databases.0);
        let (id, (by, stop), (number, large)) = (self.id(0), self.signed, self.numbers);
        let count = self.bit(9).then_some(number);
        let op = match self.kind % KINDS {
            0 => Op::Set {
                key,
                value: second,
                deadline: self.deadline(),
                condition: [Condition::Always, Condition::IfAbsent, Condition::IfPresent]
                    [usize::from(self.flags >> 2) % 3],
                owner: self.bit(10).then_some(third),
                get: self.bit(11),
            },
            1 => Op::SetMany { db, pairs, if_none_exist: self.bit(0) },
            2 => Op::Append { key, value: second },
            3 => Op::SetRange { key, offset: number, value: second },
            4 => Op::Increment { key, by },
            5 => Op::IncrementFloat { key, by: second },
            6 => Op::GetDelete { key },
            7 => Op::GetExpire { key, deadline: self.deadline() },
            8 => Op::Delete { db, keys: all },
            9 => Op::Expire {
                key,
                at: match Stamp::from_millis(number) {
                    after if self.bit(15) => Due::After(after.millis()),
                    at => Due::At(at),
                },
                condition: ExpireCondition {
                    if_none: self.bit(0),
                    if_some: self.bit(1),
                    if_later: self.bit(2),
                    if_sooner: self.bit(3),
                },
            },
            10 => Op::Persist { key },
            11 => Op::Rename { from: key, to: other, if_absent: self.bit(0) },
            12 => Op::Copy { from: key, to: other, replace: self.bit(0) },
            13 => Op::Flush { db: self.bit(0).then_some(db) },
            14 => Op::HashSet { key, pairs, if_absent: self.bit(0) },
            15 => Op::HashDelete { key, fields: all },
            16 => Op::HashIncrement { key, field: second, by },
            17 => Op::HashIncrementFloat { key, field: second, by: third },
            18 => Op::SetAdd { key, members: all },
            19 => Op::SetRemove { key, members: all },
            20 => Op::SetPop { key, count, seed: large },
            21 => Op::SetMove { from: key, to: other, member: third },
            22 => Op::SetStore {
                destination: key,
                sources: all,
                combination: [
                    Combination::Intersection,
                    Combination::Union,
                    Combination::Difference,
                ][usize::from(self.flags) % 3],
            },
            23 => {
                let scores = [self.floats.0, self.floats.1, -0.0];
                let scored = |(at, word): (usize, &'_ [u8])| (scores[at % 3], word.to_vec());
                let members: Vec<_> = all.iter().enumerate().map(scored).collect();
                let members = members.iter().map(|(score, word)| (*score, &word[..])).collect();
                let options = SortedAddOptions {
                    if_absent: self.bit(0),
                    if_present: self.bit(1),
                    if_greater: self.bit(2),
                    if_less: self.bit(3),
                    report_changed: self.bit(4),
                    increment: self.bit(5),
                };
                return use_op(&Op::SortedAdd { key, members, options });
            }
            24 => Op::SortedRemove { key, members: all },
            25 => Op::SortedRemoveRange { key, range: self.range() },
            26 => {
                let end = if self.bit(0) { SortedEnd::Highest } else { SortedEnd::Lowest };
                Op::SortedPop { key, count: number, end }
            }
            27 => Op::ListPush { key, values: all, side: self.side(0), if_exists: self.bit(1) },
            28 => Op::ListPop { key, count, side: self.side(0) },
            29 => Op::ListTrim { key, start: by, stop },
            30 => Op::ListRemove { key, count: by, value: second },
            31 => {
                if self.bit(8) {
                    Op::ListSet { key, index: by, value: second }
                } else {
                    Op::ListInsert { key, before: self.bit(0), pivot: second, value: third }
                }
            }
            32 => Op::ListMove {
                from: key,
                to: other,
                from_side: self.side(0),
                to_side: self.side(1),
            },
            33 => Op::SessionCreate {
                id,
                user: second,
                limits: Limits { idle_seconds: number as u32, lifetime_seconds: large as u32 },
                data: third,
                meta: pairs,
                cap: self.bit(0).then_some(Cap { sessions_max: by as u32, evict: self.bit(1) }),
            },
            34 => {
                let version = self.bit(0).then_some(number as u32);
                Op::SessionSave { id, data: second, version }
            }
            35 => Op::SessionMeta { id, fields: pairs },
            36 => {
                if self.bit(0) {
                    Op::SessionTouch { id }
                } else {
                    Op::SessionReauthenticate { id }
                }
            }
            37 => Op::SessionRotate { id, new_id: self.id(1), grace_millis: large },
            38 => {
                if self.bit(0) {
                    Op::SessionRevoke { ids: self.ids() }
                } else {
                    Op::SessionRevokeOwned { user: second, ids: self.ids() }
                }
            }
            39 => {
                if self.bit(0) {
                    Op::SessionRevokeUser { user: second, except: self.bit(1).then_some(id) }
                } else {
                    Op::SessionRevokeAll
                }
            }
            40 => Op::Restore {
                key,
                value: second.into(),
                is_collection: self.bit(4),
                deadline: match Stamp::from_millis(number) {
                    _ if self.bit(0) => None,
                    after if self.bit(15) => Some(Due::After(after.millis())),
                    at => Some(Due::At(at)),
                },
                replace: self.bit(5),
            },
            42 => Op::RuleSet { rule: Box::new(self.rule()) },
            43 => Op::RuleDelete { name: second },
            44 => Op::RuleIndex { job: large, keys: vec![key, other], done: self.bit(0) },
            45 => {
                let name = |text: &'_ [u8]| -> Cow<'_, [u8]> { text.to_vec().into() };
                let value = self.bit(1).then(|| name(third));
                let mut changes = vec![(name(second), value), (name(third), None)];
                changes.truncate(usize::from(self.flags) % 3);
                Op::Registers { seen: self.bit(0).then_some(number), changes }
            }
            _ => {
                let fingerprint = |number| Fingerprint(u128::from(number) << 64 | 1);
                let mut keys = vec![(key, fingerprint(number)), (other, fingerprint(large))];
                keys.truncate(usize::from(self.flags) % 3);
                Op::Unchanged { keys }
            }
        };
        use_op(&op)
    }
}

/// The op's name in the fixture.
fn name(op: &Op<'_>) -> &'static str {
    match op {
        Op::Set { .. } => "Set",
        Op::SetMany { .. } => "SetMany",
        Op::Append { .. } => "Append",
        Op::SetRange { .. } => "SetRange",
        Op::Increment { .. } => "Increment",
        Op::IncrementFloat { .. } => "IncrementFloat",
        Op::GetDelete { .. } => "GetDelete",
        Op::GetExpire { .. } => "GetExpire",
        Op::Delete { .. } => "Delete",
        Op::Expire { .. } => "Expire",
        Op::Persist { .. } => "Persist",
        Op::Rename { .. } => "Rename",
        Op::Copy { .. } => "Copy",
        Op::Flush { .. } => "Flush",
        Op::Restore { .. } => "Restore",
        Op::Unchanged { .. } => "Unchanged",
        Op::Registers { .. } => "Registers",
        Op::HashSet { .. } => "HashSet",
        Op::HashDelete { .. } => "HashDelete",
        Op::HashIncrement { .. } => "HashIncrement",
        Op::HashIncrementFloat { .. } => "HashIncrementFloat",
        Op::SetAdd { .. } => "SetAdd",
        Op::SetRemove { .. } => "SetRemove",
        Op::SetPop { .. } => "SetPop",
        Op::SetMove { .. } => "SetMove",
        Op::SetStore { .. } => "SetStore",
        Op::SortedAdd { .. } => "SortedAdd",
        Op::SortedRemove { .. } => "SortedRemove",
        Op::SortedRemoveRange { .. } => "SortedRemoveRange",
        Op::SortedPop { .. } => "SortedPop",
        Op::ListPush { .. } => "ListPush",
        Op::ListPop { .. } => "ListPop",
        Op::ListTrim { .. } => "ListTrim",
        Op::ListRemove { .. } => "ListRemove",
        Op::ListSet { .. } => "ListSet",
        Op::ListInsert { .. } => "ListInsert",
        Op::ListMove { .. } => "ListMove",
        Op::SessionCreate { .. } => "SessionCreate",
        Op::SessionSave { .. } => "SessionSave",
        Op::SessionMeta { .. } => "SessionMeta",
        Op::SessionTouch { .. } => "SessionTouch",
        Op::SessionReauthenticate { .. } => "SessionReauthenticate",
        Op::SessionRotate { .. } => "SessionRotate",
        Op::SessionRevoke { .. } => "SessionRevoke",
        Op::SessionRevokeOwned { .. } => "SessionRevokeOwned",
        Op::SessionRevokeUser { .. } => "SessionRevokeUser",
        Op::SessionRevokeAll => "SessionRevokeAll",
        Op::RuleSet { .. } => "RuleSet",
        Op::RuleDelete { .. } => "RuleDelete",
        Op::RuleIndex { .. } => "RuleIndex",
    }
}

/// Each kind with flags of every sort, from fixed parts: what the fixture holds.
fn samples() -> Vec<Parts> {
    let words: [&[u8]; 5] = [b"field", b"", b"1", b"a longer value", b"odd"];
    let of = |kind: u8, flags: u16| Parts {
        kind,
        flags,
        databases: (kind % 16, 15),
        texts: [b"key".to_vec(), b"3.5".to_vec(), b"alice".to_vec()],
        words: words.iter().map(|word| word.to_vec()).collect(),
        signed: (-300, i64::MAX),
        numbers: (1_700_000_000_000, u64::MAX),
        floats: (1.5, f64::NEG_INFINITY),
        ids: vec![[0xab; 16], [0xcd; 16]],
    };
    let flags = [0b0000_0000, 0b1111_1111_0001, 0b0101_0000_0101, 0b1010_1111_1010];
    let kinds = (0..KINDS).flat_map(|kind| flags.iter().map(move |flags| (kind, *flags)));
    kinds.map(|(kind, flags)| of(kind, flags)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn version_1_is_read() {
    let lines: Vec<String> = samples()
        .iter()
        .map(|parts| parts.with_op(|op| format!("{} {}", name(op), hex(&encoded(op)))))
        .collect();
    if std::env::var_os("HALLPASS_WRITE_FIXTURE").is_some() {
        std::fs::write(FIXTURE, lines.join("\n") + "\n").expect("the fixture is written");
    }
    let fixture = std::fs::read_to_string(FIXTURE).expect("the fixture is there");
    let mut names = std::collections::BTreeSet::new();
    let mut decoder = OpDecoder::new();
    assert_eq!(fixture.lines().count(), lines.len());
    for (line, parts) in fixture.lines().zip(samples()) {
        let (expected, digits) = line.split_once(' ').expect("a name and bytes");
        let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(digit).collect();
        let seed = seed();
        let op = decoder.decode(&seed, &bytes).expect("version 1 is read");
        parts.with_op(|sample| assert_eq!(&op, sample));
        assert_eq!(name(&op), expected);
        assert_eq!(hex(&encoded(&op)), digits, "and written as ever");
        names.insert(name(&op));
    }
    assert_eq!(names.len(), 50, "every op is in the fixture");
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(any::<u8>(), 120..140),
    ]
}

fn parts() -> impl Strategy<Value = Parts> {
    let signed = || prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>()];
    let number = || prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0..1000_u64];
    let float =
        || prop_oneof![Just(f64::INFINITY), Just(-0.0), Just(f64::MIN_POSITIVE), -1e300..1e300_f64];
    let plain = (any::<u8>(), any::<u16>(), (0..16_u8, 0..16_u8), [bytes(), bytes(), bytes()]);
    let rest = (
        prop::collection::vec(bytes(), 0..7),
        (signed(), signed()),
        (number(), number()),
        (float(), float()),
        prop::collection::vec(any::<[u8; 16]>(), 0..4),
    );
    (plain, rest).prop_map(
        |((kind, flags, databases, texts), (words, signed, numbers, floats, ids))| Parts {
            kind,
            flags,
            databases,
            texts,
            words,
            signed,
            numbers,
            floats,
            ids,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn every_op_comes_back(all in prop::collection::vec(parts(), 1..4)) {
        let (seed, mut decoder, mut batch) = (seed(), OpDecoder::new(), Vec::new());
        for parts in &all {
            parts.with_op(|op| op.encode(&mut batch));
        }
        // One after the other out of one buffer, with one decoder.
        let mut rest = &batch[..];
        for parts in &all {
            let (op, length) = decoder.decode_first(&seed, rest).expect("what was encoded");
            parts.with_op(|original| assert_eq!(&op, original));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_cut_off_or_followed_is_refused(parts in parts()) {
        let (seed, mut decoder) = (seed(), OpDecoder::new());
        let mut bytes = parts.with_op(encoded);
        for length in 0..bytes.len() {
            let refused = decoder.decode(&seed, &bytes[..length]).expect_err("it is cut off");
            let DecodeError::Truncated { at, .. } = refused else { panic!("{refused:?}") };
            assert!(at <= length);
        }
        let (at, tag) = (bytes.len(), bytes[1]);
        bytes.push(0);
        assert_eq!(decoder.decode(&seed, &bytes), Err(DecodeError::Trailing { at, tag }));
    }
}

#[test]
fn ops_are_short() {
    let touch = Op::SessionTouch { id: SessionHash([9; 16]) };
    assert_eq!(encoded(&touch).len(), 18);
    let key = Key::new(&seed(), 0, b"counter");
    assert_eq!(encoded(&Op::Increment { key, by: -3 }), b"\x01\x05\x00\x07counter\x05");
}

#[test]
fn errors_say_what_and_where() {
    let decode = |bytes: &[u8]| {
        let (seed, mut decoder) = (seed(), OpDecoder::new());
        decoder.decode(&seed, bytes).map(|_| ()).expect_err("no op")
    };
    assert_eq!(decode(&[]), DecodeError::Truncated { at: 0, tag: 0 });
    assert_eq!(decode(&[2, 99]), DecodeError::Version { version: 2 });
    for tag in [0, 18, 31, 36, 47, 53, 79, 87, 95, 106, 111, 115, 255] {
        assert_eq!(decode(&[1, tag]), DecodeError::UnknownTag { at: 1, tag });
        assert!(decode(&[1, tag]).to_string().contains(&format!("tag {tag}, at byte 1")));
    }
    // A database there is not, flags there are not, a number of more than 64 bits.
    assert_eq!(decode(&[1, 11, 16, 0]), DecodeError::Invalid { at: 3, tag: 11, what: "database" });
    assert_eq!(decode(&[1, 12, 2]), DecodeError::Invalid { at: 3, tag: 12, what: "flags" });
    // There is no deadline to keep for a value that is new.
    let kept = DecodeError::Invalid { at: 6, tag: 15, what: "deadline" };
    assert_eq!(decode(&[1, 15, 1, 0, 0, 0]), kept);
    let long = [&[1, 5, 0, 0][..], &[0xff; 10]].concat();
    assert_eq!(decode(&long), DecodeError::Invalid { at: 4, tag: 5, what: "number" });
}

#[test]
fn what_no_engine_can_apply_is_refused() {
    let long = vec![b'k'; 65_536];
    let most = &long[1..];
    let data = vec![0; 1 << 24];
    let (seed, words) = (seed(), [&long[..], b"value", b"odd"]);
    let words = Words::from_slices(&words);
    let key = Key::new(&seed, 0, b"key");
    let at_the_limit = Op::Rename { from: key, to: Key::new(&seed, 1, most), if_absent: true };
    let bytes = encoded(&at_the_limit);
    assert_eq!(OpDecoder::new().decode(&seed, &bytes), Ok(at_the_limit));

    // Such bytes are written by hand here: encode refuses to.
    let key_head = [&[1, 11, 0, 0x80, 0x80, 4][..], &long].concat();
    let mut decoder = OpDecoder::new();
    let refused = decoder.decode(&seed, &key_head).expect_err("a key too long");
    let fault = OpFault::KeyTooLong(65_536);
    assert_eq!(refused, DecodeError::Refused { at: key_head.len(), tag: 11, fault });
    let nan = [&[1, 64, 0, 0, 0, 1][..], &f64::NAN.to_le_bytes(), &[1, b'm']].concat();
    let refused = decoder.decode(&seed, &nan).expect_err("no score");
    let fault = OpFault::ScoreNotANumber;
    assert_eq!(refused, DecodeError::Refused { at: nan.len(), tag: 64, fault });

    let limits = Limits::default();
    let (id, cap, meta) = (SessionHash([1; 16]), None, Words::EMPTY);
    let create = |user, data, meta| Op::SessionCreate { id, user, limits, data, meta, cap };
    for (op, fault) in [
        (Op::Persist { key: Key::new(&seed, 0, &long) }, OpFault::KeyTooLong(65_536)),
        (Op::Delete { db: 0, keys: words }, OpFault::KeyTooLong(65_536)),
        (Op::Delete { db: 16, keys: meta }, OpFault::NoSuchDatabase(16)),
        (Op::Flush { db: Some(200) }, OpFault::NoSuchDatabase(200)),
        (Op::SetMany { db: 0, pairs: words, if_none_exist: true }, OpFault::OddPairs(3)),
        (Op::HashSet { key, pairs: words, if_absent: true }, OpFault::OddPairs(3)),
        (Op::SessionMeta { id, fields: words }, OpFault::OddPairs(3)),
        (create(&long, b"", meta), OpFault::UserTooLong(65_536)),
        (create(b"", &data, meta), OpFault::DataTooLong(1 << 24)),
        (create(b"", b"", words), OpFault::OddPairs(3)),
        (Op::SessionSave { id, data: &data, version: None }, OpFault::DataTooLong(1 << 24)),
        (Op::SessionRevokeUser { user: &long, except: None }, OpFault::UserTooLong(65_536)),
    ] {
        assert_eq!(op.check(), Err(fault), "{}", name(&op));
        let encoding = std::panic::AssertUnwindSafe(|| encoded(&op));
        assert!(std::panic::catch_unwind(encoding).is_err(), "{}", name(&op));
    }
}

#[test]
fn no_damage_panics_or_asks_for_much_or_breaks_an_engine() {
    let cases = std::env::var("HALLPASS_CASES").ok().and_then(|cases| cases.parse().ok());
    let sizes = SizeLimits { value_bytes_max: 4096, ..SizeLimits::default() };
    let engine = Engine::new(&Config { shards: 2, sizes, ..Config::new(seed()) });
    let samples = samples();
    let (mut decoder, mut state, mut applied) = (OpDecoder::new(), 1, 0_u32);
    for case in 0..cases.unwrap_or(60_000_u32) {
        let mut bytes = if roll(&mut state).is_multiple_of(3) {
            samples[roll(&mut state) as usize % samples.len()].with_op(encoded)
        } else {
            let step = Step(std::array::from_fn(|_| roll(&mut state) as u8));
            step.with_op(&seed(), START, encoded)
        };
        if roll(&mut state).is_multiple_of(4) {
            // Another op's fields under this tag, or the op unharmed.
            if let Some(tag) = bytes.get_mut(1) {
                *tag = roll(&mut state) as u8 % 110;
            }
        } else if !roll(&mut state).is_multiple_of(3) {
            damage(&mut bytes, &mut state);
        }
        let seed = seed();
        LARGEST.set(0);
        let decoded = decoder.decode(&seed, &bytes);
        assert!(LARGEST.get() <= 64 + 24 * bytes.len(), "case {case}: {}", LARGEST.get());
        if let Ok(op) = decoded {
            engine.apply(&op, START);
            applied += 1;
        }
    }
    engine.digest(START);
    assert!(applied > 10_000, "many were ops all the same: {applied}");
}
