//! Snapshots: damage of every kind is refused without a panic or a large allocation, slices between
//! which everything changes show the instant they began at, and version 1 stays readable.
//!
//! `HALLPASS_CASES=1000000 cargo test -p hallpass-engine --test snapshot` damages for longer;
//! `HALLPASS_WRITE_FIXTURE=1` writes the fixture anew, which only a new format version should need.

mod damage;
mod model;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use damage::{LARGEST, Watched, damage, roll};
use hallpass_engine::snapshot::{RestoreError, Restorer, Snapshot, Verifier, restore, to_bytes};
use hallpass_engine::{
    Condition, Config, Deadline, Engine, HashSeed, Key, Limits, Op, Outcome, SessionHash, Side,
    SizeLimits, SortedAddOptions, Stamp, Touch, Value, Words,
};
use model::step::{Move, Step, USERS, ids};

const START: Stamp = Stamp::from_millis(1_700_000_000_000);
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.snapshot");

#[global_allocator]
static WATCHED: Watched = Watched;

fn engine(shards: usize) -> Engine {
    Engine::new(&Config { shards, ..Config::new(HashSeed::new(5, 6)) })
}

fn set<'a>(engine: &Engine, name: &'a [u8], value: &'a [u8], owner: Option<&'a [u8]>) -> Op<'a> {
    let key = Key::new(engine.seed(), 0, name);
    let (deadline, condition) = (Deadline::Clear, Condition::Always);
    Op::Set { key, value, deadline, condition, owner, get: false }
}

fn random_step(state: &mut u64) -> Step {
    let mut bytes = [0; 10];
    for byte in &mut bytes {
        *byte = roll(state) as u8;
    }
    Step(bytes)
}

/// Random ops on the small pools of names, without time passing.
fn stir(engine: &Engine, count: u32, now: Stamp, state: &mut u64) {
    for _ in 0..count {
        let step = random_step(state);
        if step.kind() == Move::Op {
            step.with_op(engine.seed(), now, |op| match op {
                // A flush is said by the test.
                Op::Flush { .. } => Outcome::Nil,
                op => engine.apply(op, now),
            });
        }
    }
}

/// One of everything, by ops alone: what the fixture holds.
fn sample() -> Engine {
    let engine = engine(4);
    let apply = |op: &Op<'_>| engine.apply(op, START);
    let key = |name| Key::new(engine.seed(), 0, name);
    apply(&set(&engine, b"string", b"value", None));
    apply(&set(&engine, b"", b"", None));
    apply(&set(&engine, b"sess:1", b"{\"user\":\"alice\"}", Some(b"alice")));
    let at = Deadline::At(START.plus_millis(86_400_000));
    let (value, condition, owner) = (&[b'x'; 5000][..], Condition::Always, None);
    let long = Key::new(engine.seed(), 15, b"long");
    apply(&Op::Set { key: long, value, deadline: at, condition, owner, get: false });
    let words: [&[u8]; 6] = [b"1", b"2", b"three", b"4", b"-5", b""];
    let words = Words::from_slices(&words);
    apply(&Op::HashSet { key: key(b"hash"), pairs: words, if_absent: false });
    apply(&Op::SetAdd { key: key(b"set"), members: words });
    apply(&Op::SetAdd { key: key(b"integers"), members: words.range(0, 2) });
    apply(&Op::ListPush { key: key(b"list"), values: words, side: Side::Head, if_exists: false });
    let members = vec![(1.5, &b"one"[..]), (f64::NEG_INFINITY, b"two"), (1.5, b"")];
    let options = SortedAddOptions::default();
    apply(&Op::SortedAdd { key: key(b"sorted"), members, options });
    let numbers: Vec<String> = (0..600).map(|number| format!("field {number}")).collect();
    let fields: Vec<&[u8]> = numbers.iter().map(String::as_bytes).collect();
    let fields = Words::from_slices(&fields);
    apply(&Op::HashSet { key: key(b"hashtable"), pairs: fields, if_absent: false });
    apply(&Op::SetAdd { key: key(b"set table"), members: fields });
    let many = (0..300).map(|at| (f64::from(at as u32), fields.at(at))).collect();
    apply(&Op::SortedAdd { key: key(b"skiplist"), members: many, options });
    for number in 0..40_u8 {
        let limits = Limits { idle_seconds: 60 * u32::from(number % 3), lifetime_seconds: 86_400 };
        // The first four: those there were when the fixture was written.
        let user = USERS[usize::from(number) % 4];
        let meta = if number % 2 == 0 { Words::EMPTY } else { words.range(0, 4) };
        let (id, data) = (SessionHash([number; 16]), &b"data"[..]);
        apply(&Op::SessionCreate { id, user, limits, data, meta, cap: None });
    }
    let id = SessionHash([3; 16]);
    apply(&Op::SessionSave { id, data: b"saved", version: Some(1) });
    apply(&Op::SessionRotate { id, new_id: SessionHash([200; 16]), grace_millis: 30_000 });
    let id = SessionHash([4; 16]);
    engine.apply(&Op::SessionReauthenticate { id }, START.plus_millis(5));
    apply(&Op::SessionRevokeUser { user: b"bob", except: Some(SessionHash([5; 16])) });
    engine
}

fn now_of_sample() -> Stamp {
    START.plus_millis(10)
}

#[test]
fn version_1_is_read() {
    let (sample, now) = (sample(), now_of_sample());
    if std::env::var_os("HALLPASS_WRITE_FIXTURE").is_some() {
        let bytes = to_bytes(&sample, now).expect("the only one");
        std::fs::write(FIXTURE, bytes).expect("the fixture is written");
    }
    let fixture = std::fs::read(FIXTURE).expect("the fixture is there");
    let restored = engine(2);
    assert_eq!(restore(&restored, &fixture), Ok(now));
    assert_eq!(restored.digest(now), sample.digest(now));
    for user in USERS {
        assert_eq!(restored.session_count(user, now), sample.session_count(user, now));
        assert_eq!(restored.generation(user, now), sample.generation(user, now));
    }
    let by_alias = |engine: &Engine| {
        engine.session(&SessionHash([3; 16]), now, Touch::No, |view| view.map(|view| view.handle))
    };
    assert_eq!(by_alias(&restored), Some(SessionHash([200; 16])));
    let key = Key::new(restored.seed(), 0, b"sess:1");
    restored.look(key, now, |entry| assert_eq!(entry.and_then(|it| it.owner), Some(&b"alice"[..])));
    assert_eq!(restored.statistics().memory_bytes, sample.statistics().memory_bytes - unswept());
}

/// What the sample holds beside what a snapshot takes: the revoked sessions of one user.
fn unswept() -> u64 {
    let sample = sample();
    let before = sample.statistics().memory_bytes;
    while sample.sweep(now_of_sample(), 1000).more {}
    before - sample.statistics().memory_bytes
}

#[test]
fn slices_show_the_instant_they_began_at() {
    for (seed, shards) in [(1, 1), (2, 4), (3, 1), (4, 2)] {
        let mut state = seed;
        let engine = engine(shards);
        let value = [b'v'; 900];
        let names: Vec<[u8; 4]> = (0..2500_u32).map(u32::to_le_bytes).collect();
        for (number, name) in names.iter().enumerate() {
            let owner = (number % 5 == 0).then_some(USERS[number / 5 % USERS.len()]);
            engine.apply(&set(&engine, name, &value, owner), START);
        }
        stir(&engine, 2000, START, &mut state);
        let digest = engine.digest(START);
        let mut bytes = Vec::new();
        let mut snapshot = Snapshot::begin(&engine, START, &mut bytes).expect("the only one");
        assert!(Snapshot::begin(&engine, START, &mut Vec::new()).is_none(), "one at a time");
        let (mut slices, mut now) = (1, START);
        while snapshot.write_slice(&mut bytes) {
            slices += 1;
            now = now.plus_millis(700);
            stir(&engine, 300, now, &mut state);
            for _ in 0..150 {
                let name = &names[roll(&mut state) as usize % names.len()];
                let key = Key::new(engine.seed(), 0, name);
                match roll(&mut state) % 4 {
                    0 => engine.apply(&set(&engine, name, b"short", None), now),
                    1 => engine.apply(&set(&engine, name, &value, Some(USERS[1])), now),
                    2 => engine.apply(&Op::GetDelete { key }, now),
                    _ => engine.apply(&Op::Append { key, value: b"more" }, now),
                };
            }
            while engine.sweep(now, 50).more {}
            if slices == 7 && seed > 2 {
                engine.apply(&Op::SessionRevokeAll, now);
                engine.apply(&Op::Flush { db: None }, now);
            }
        }
        assert!(slices > 5, "changes came between slices: {slices}");
        let restored = self::engine(2);
        assert_eq!(restore(&restored, &bytes), Ok(START));
        assert_eq!(restored.digest(START), digest, "seed {seed}");
        drop(snapshot);
        assert!(to_bytes(&engine, now).is_some(), "another one may begin");
    }
}

#[test]
fn an_abandoned_snapshot_leaves_no_trace() {
    let engine = sample();
    let now = now_of_sample();
    let digest = engine.digest(now);
    drop(Snapshot::begin(&engine, now, &mut Vec::new()));
    let bytes = to_bytes(&engine, now).expect("the first was given up");
    let restored = self::engine(1);
    assert_eq!(restore(&restored, &bytes), Ok(now));
    assert_eq!(restored.digest(now), digest);
    assert_eq!(restore(&restored, &bytes), Err(RestoreError::NotEmpty));
}

/// What a verifier says of an image that it gets in pieces of so many bytes.
fn verify(image: &[u8], piece: usize) -> Result<Stamp, RestoreError> {
    let mut verifier = Verifier::new(engine(1).sizes());
    let refused = image.chunks(piece).find_map(|piece| verifier.feed(piece).err());
    let result = verifier.finish();
    assert!(refused.is_none_or(|error| result == Err(error)), "an error stays");
    result
}

#[test]
fn an_image_is_read_in_pieces_of_any_size() {
    let (engine, now) = (sample(), now_of_sample());
    let names: Vec<[u8; 4]> = (0..900_u32).map(u32::to_le_bytes).collect();
    for name in &names {
        engine.apply(&set(&engine, name, &[b'v'; 900], None), now);
    }
    let image = to_bytes(&engine, now).expect("the only one");
    assert!(blocks(&image).len() > 3);
    let mut state = 1;
    for piece in [1, 7, 8, 1000, image.len(), 0] {
        let target = Arc::new(self::engine(4));
        let mut restorer = Restorer::new(Arc::clone(&target)).expect("it is empty");
        let mut rest = &image[..];
        LARGEST.set(0);
        while !rest.is_empty() {
            let random = roll(&mut state) as usize % 5000;
            let (head, tail) =
                rest.split_at(if piece == 0 { random } else { piece }.min(rest.len()));
            restorer.feed(head).expect("the image is whole");
            rest = tail;
        }
        assert!(LARGEST.get() <= 2 << 20, "no more than a block or a superblock at a time");
        assert_eq!(restorer.finish(), Ok(now));
        assert_eq!(target.digest(now), engine.digest(now));
        // Read back, it is a store like the one it came from, to the order of every set.
        let again = to_bytes(&target, now).expect("the only one");
        let (mut entries, mut expected) = (collections(&again), collections(&image));
        entries.sort_unstable();
        expected.sort_unstable();
        assert_eq!(entries, expected);
    }
}

/// The byte forms of an image's collections, order and encoding of each included.
fn collections(image: &[u8]) -> Vec<Vec<u8>> {
    let engine = engine(1);
    restore(&engine, image).expect("a whole image");
    let mut forms = Vec::new();
    engine.scan(0, 0, usize::MAX, now_of_sample(), |key, entry| {
        if let Value::Collection(collection) = entry.value {
            let mut form = key.to_vec();
            collection.encode_into(&mut form);
            forms.push(form);
        }
    });
    forms
}

#[test]
fn a_store_that_was_reset_takes_the_state_of_another() {
    let (engine, now) = (sample(), now_of_sample());
    let image = to_bytes(&engine, now).expect("the only one");
    assert_eq!(verify(&image, 4096), Ok(now));
    // Another history: more logouts, and everything that the image has, differently.
    let other = self::engine(2);
    stir(&other, 3000, now, &mut 9);
    other.apply(&Op::SessionRevokeAll, now);
    assert_eq!(restore(&other, &image), Err(RestoreError::NotEmpty));
    other.reset();
    assert_eq!(other.digest(now), self::engine(1).digest(now), "as good as new");
    assert_eq!(other.statistics().memory_bytes, 0);
    assert_eq!(restore(&other, &image), Ok(now));
    assert_eq!(other.digest(now), engine.digest(now));
    // From here on both answer alike.
    let mut state = 4;
    for _ in 0..2000 {
        let step = random_step(&mut state);
        if step.kind() == Move::Op {
            let outcome =
                |engine: &Engine| step.with_op(engine.seed(), now, |op| engine.apply(op, now));
            assert_eq!(outcome(&other), outcome(&engine), "{step:?}");
        }
    }
    assert_eq!(other.digest(now), engine.digest(now));
}

#[test]
fn an_image_shows_its_instant_while_other_threads_go_on() {
    for round in 0..6_u64 {
        let engine = Arc::new(engine(4));
        let value = [b'v'; 600];
        let names: Vec<[u8; 4]> = (0..3000_u32).map(u32::to_le_bytes).collect();
        for (number, name) in names.iter().enumerate() {
            let owner = (number % 5 == 0).then_some(USERS[number / 5 % USERS.len()]);
            engine.apply(&set(&engine, name, &value, owner), START);
        }
        stir(&engine, 1500, START, &mut (round + 1));
        // The thread that applies begins the snapshot between two ops; another one writes it.
        let digest = engine.digest(START);
        let mut bytes = Vec::new();
        let snapshot = Snapshot::begin(Arc::clone(&engine), START, &mut bytes);
        let mut snapshot = snapshot.expect("the only one");
        let (written, begun) = (AtomicBool::new(false), Barrier::new(2));
        let (image, applied) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                // Ops come first, so that there are some whatever time this thread is given.
                begun.wait();
                while snapshot.write_slice(&mut bytes) {
                    std::thread::yield_now();
                }
                drop(snapshot);
                written.store(true, Ordering::Release);
                bytes
            });
            let sweeper = scope.spawn(|| {
                while !written.load(Ordering::Acquire) {
                    engine.sweep(START, 64);
                    std::thread::yield_now();
                }
            });
            let (mut state, mut applied) = (round, 0_u32);
            // A few thousand ops at the most, so that a writer that is given little time comes to an end.
            while !written.load(Ordering::Acquire) && applied < 1000 {
                let now = START.plus_millis(u64::from(applied));
                stir(&engine, 10, now, &mut state);
                let name = &names[roll(&mut state) as usize % names.len()];
                let op = match roll(&mut state) % 3 {
                    0 => set(&engine, name, b"short", None),
                    1 => set(&engine, name, &value, Some(USERS[1])),
                    _ => Op::GetDelete { key: Key::new(engine.seed(), 0, name) },
                };
                engine.apply(&op, now);
                applied += 1;
                if applied == 5 {
                    begun.wait();
                }
                if applied == 40 && round % 2 == 1 {
                    engine.apply(&Op::SessionRevokeAll, now);
                    engine.apply(&Op::Flush { db: None }, now);
                }
            }
            sweeper.join().expect("no panic");
            (writer.join().expect("no panic"), applied)
        });
        assert_eq!(verify(&image, 10_000), Ok(START));
        let restored = self::engine(1);
        assert_eq!(restore(&restored, &image), Ok(START));
        assert_eq!(restored.digest(START), digest, "round {round} after {applied} ops");
    }
}

#[test]
fn what_is_kept_for_a_snapshot_leaves_with_the_next_slice() {
    let engine = engine(4);
    let names: Vec<[u8; 4]> = (0..4000_u32).map(u32::to_le_bytes).collect();
    for name in &names {
        engine.apply(&set(&engine, name, &[b'v'; 900], None), START);
    }
    let mut bytes = Vec::new();
    let mut snapshot = Snapshot::begin(&engine, START, &mut bytes).expect("the only one");
    assert!(snapshot.write_slice(&mut bytes));
    // The last shard's turn is far away, and everything in it changes.
    for name in &names {
        engine.apply(&set(&engine, name, b"other", None), START);
    }
    let before = bytes.len();
    snapshot.write_slice(&mut bytes);
    let all = names.len() * 900;
    assert!(bytes.len() - before > all / 2, "{} of {all}", bytes.len() - before);
}

#[test]
fn each_damage_has_its_error() {
    let bytes = to_bytes(&sample(), now_of_sample()).expect("the only one");
    let read = |bytes: &[u8]| {
        let result = restore(&engine(1), bytes);
        assert_eq!(verify(bytes, bytes.len().max(1)), result, "without an engine, too");
        assert_eq!(verify(bytes, 13), result, "and in pieces");
        result
    };
    assert_eq!(read(b""), Err(RestoreError::NotASnapshot));
    assert_eq!(read(b"REDIS0011"), Err(RestoreError::NotASnapshot));
    let mut later = bytes.clone();
    later[8..10].copy_from_slice(&2_u16.to_le_bytes());
    assert_eq!(read(&later), Err(RestoreError::Version(2)));
    for length in (8..bytes.len()).step_by(7).chain(bytes.len() - 20..bytes.len()) {
        assert_eq!(read(&bytes[..length]), Err(RestoreError::Truncated(length)));
    }
    for at in (10..bytes.len()).step_by(11) {
        for bit in [0, 3, 7] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let refused = read(&flipped);
            let known =
                matches!(refused, Err(RestoreError::Damaged(_) | RestoreError::Truncated(_)));
            assert!(known, "bit {bit} of byte {at}: {refused:?}");
        }
    }
    assert!(matches!(read(&[&bytes[..], b"x"].concat()), Err(RestoreError::Damaged(_))));
    let sizes = SizeLimits { session_bytes_max: 2, ..SizeLimits::default() };
    let small = Engine::new(&Config { sizes, ..Config::new(HashSeed::new(5, 6)) });
    assert!(matches!(restore(&small, &bytes), Err(RestoreError::OverLimit(_))));
}

/// The blocks of a snapshot, header block first, without their frames.
fn blocks(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut blocks, mut rest) = (Vec::new(), &bytes[10..]);
    loop {
        let length = u32::from_le_bytes(rest[..4].try_into().expect("four bytes")) as usize;
        if length == 0 {
            return blocks;
        }
        blocks.push(rest[8..8 + length].to_vec());
        rest = &rest[8 + length..];
    }
}

/// A snapshot of these blocks with checksums that are right.
fn assemble(blocks: &[Vec<u8>], count: u64) -> Vec<u8> {
    let mut out = b"HALLPASS\x01\x00".to_vec();
    for block in blocks.iter().filter(|block| !block.is_empty()) {
        out.extend_from_slice(&(block.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
        out.extend_from_slice(block);
    }
    let count = count.to_le_bytes();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&crc32fast::hash(&count).to_le_bytes());
    out.extend_from_slice(&count);
    out
}

#[test]
fn no_damage_makes_the_reader_panic_or_ask_for_much() {
    let cases = std::env::var("HALLPASS_CASES").ok().and_then(|cases| cases.parse().ok());
    let now = now_of_sample();
    // Small ones, so that damage hits something else each time.
    let images: Vec<Vec<Vec<u8>>> = (0..24)
        .map(|seed| {
            let engine = if seed == 0 { sample() } else { engine(1) };
            stir(&engine, 30 + seed * 4, now, &mut u64::from(seed));
            blocks(&to_bytes(&engine, now).expect("the only one"))
        })
        .collect();
    let (mut read, mut state) = (0, 1);
    for case in 0..cases.unwrap_or(2500_u32) {
        let mut blocks = images[roll(&mut state) as usize % images.len()].clone();
        let block = roll(&mut state) as usize % blocks.len();
        damage(&mut blocks[block], &mut state);
        // The count of entries is right or not; a reader finds out last, so most of it is read anyway.
        let bytes = assemble(&blocks, roll(&mut state) % 40);
        let engine = engine(1);
        LARGEST.set(0);
        let result = restore(&engine, &bytes);
        // A superblock of the arena is the largest piece: 2 MiB.
        assert!(LARGEST.get() <= (2 << 20) + 64 * bytes.len(), "case {case}: {}", LARGEST.get());
        read += u32::from(result.is_ok());
        assert_ne!(result, Err(RestoreError::NotEmpty));
        // A verifier finds all faults but entries that are there twice.
        let verified = verify(&bytes, 100);
        assert!(result.is_err() || verified == result, "case {case}: {verified:?}");
        use_it(&engine, now);
    }
    println!("{read} damaged images were still images");
}

/// Whatever was read, up to the damage or to the end, is a store like any other.
fn use_it(engine: &Engine, now: Stamp) {
    engine.digest(now);
    for id in ids() {
        engine.session(&id, now, Touch::Now, |view| {
            assert!(view.is_none_or(|view| view.meta.iter().count() < 1000));
        });
    }
    let mut state = 7;
    stir(engine, 20, now, &mut state);
    let image = to_bytes(engine, now).expect("the only one");
    // A user name of another length than the limits allow cannot come from here: it reads back.
    assert_eq!(restore(&self::engine(1), &image), Ok(now));
    while engine.sweep(now.plus_millis(1000), 100).more {}
    engine.apply(&Op::Flush { db: None }, now);
    assert_eq!(engine.statistics().memory_bytes, 0);
}
