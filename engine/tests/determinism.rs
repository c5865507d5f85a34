//! The same log on several nodes: engines of different seeds, shards and sweeps, one of which is now and
//! then replaced by a snapshot of another and the rest of the log, give the same outcome to every op and
//! hold the same, to the order of a set's members.
//!
//! Ops travel as bytes. Reads go to some engines only, at times of their own. Not compared, because they
//! differ between nodes: cursors, the order of a list of sessions, random keys, statistics.
//!
//! `HALLPASS_CASES=500 cargo test -p hallpass-engine --test determinism` runs it longer.

mod model;

use std::cell::Cell;

use hallpass_engine::snapshot::{Restorer, Snapshot, Verifier};
use hallpass_engine::{
    Combination, Config, Engine, Evictable, HashSeed, Key, Limits, Op, OpDecoder, Outcome, Refusal,
    SessionHash, Side, SortedAddOptions, SortedEnd, Stamp, Touch, Value, Words,
};
use model::step::{KEYS, Move, Step, USERS, ids};

const START: u64 = 1_700_000_000_000;
const LARGE: [&[u8]; 4] = [b"large", b"larger", b"largest", b"a"];

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn step(&mut self) -> Step {
        let (a, b) = (self.roll().to_le_bytes(), self.roll().to_le_bytes());
        Step([a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0], b[1]])
    }
}

/// An op of the log, as bytes, and what it came to.
struct LogEntry {
    now: Stamp,
    op: Vec<u8>,
    outcome: Outcome,
}

struct Cluster {
    nodes: Vec<Engine>,
    log: Vec<LogEntry>,
    now: Stamp,
    decoder: OpDecoder,
}

impl Cluster {
    fn new() -> Self {
        let node = |seed, shards, threads| {
            Engine::new(&Config { shards, threads, ..Config::new(HashSeed::new(seed, seed * 3)) })
        };
        Self {
            nodes: vec![node(1, 4, 2), node(99, 1, 1), node(7, 256, 8), node(1, 4, 2)],
            log: Vec::new(),
            now: Stamp::from_millis(START),
            decoder: OpDecoder::new(),
        }
    }

    /// Replicates an op: proposed by the first node, applied by all.
    fn replicate(&mut self, op: &Op<'_>) -> Outcome {
        let mut bytes = Vec::new();
        op.encode(&mut bytes);
        let mut outcomes = Vec::new();
        for node in &self.nodes {
            let op = self.decoder.decode(node.seed(), &bytes).expect("it was encoded");
            outcomes.push(node.apply(&op, self.now));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{op:?}: {outcomes:?}");
        let outcome = outcomes.pop().expect("there are nodes");
        self.log.push(LogEntry { now: self.now, op: bytes, outcome: outcome.clone() });
        outcome
    }

    /// A random op: on the small pools of names, or on collections that have outgrown their small forms.
    fn random_op(&mut self, dice: &mut Dice) {
        let step = dice.step();
        let seed = HashSeed::new(1, 3);
        if dice.below(3) == 0 {
            large_op(dice, &seed, |op| self.replicate(op));
        } else if step.kind() == Move::Op {
            let now = self.now;
            step.with_op(&seed, now, |op| self.replicate(op));
        } else if let Move::Wait(millis) = step.kind() {
            self.now = self.now.plus_millis(millis.min(86_400_000));
        }
    }

    /// What happens on one node only and may not show: sweeps, reads, and touches that are reported.
    fn disturb(&self, dice: &mut Dice) {
        let later = self.now.plus_millis(dice.below(100_000));
        let due = Cell::new(false);
        let touch = Touch::Due { slack_divisor: dice.below(20) as u32, due: &due };
        match dice.below(8) {
            // The second sweeps much, the third never, the last now and then.
            0..4 => drop(self.nodes[1].sweep(self.now, dice.below(40) as usize)),
            4 => drop(self.nodes[3].sweep(self.now, 5)),
            5 => {
                for id in ids() {
                    self.nodes[2].validate(&id, later, touch, |_| ());
                    self.nodes[0].session(&id, later, touch, |_| ());
                }
            }
            _ => {
                for user in USERS {
                    self.nodes[dice.below(4) as usize].session_count(user, later);
                    self.nodes[0].generation(user, later);
                }
            }
        }
    }

    /// Everything that is the same on every node.
    fn compare(&self) {
        let first = &self.nodes[0];
        let digest = first.digest(self.now);
        for node in &self.nodes[1..] {
            assert_eq!(node.digest(self.now), digest);
            for user in USERS {
                let of = |node: &Engine| {
                    let mut handles = Vec::new();
                    node.sessions_of(user, 0, usize::MAX, self.now, |view| {
                        handles.push((view.handle, view.seen, view.expires, view.version));
                    });
                    handles.sort_unstable();
                    (handles, node.session_count(user, self.now), node.generation(user, self.now))
                };
                assert_eq!(of(node), of(first), "{user:?}");
            }
            for name in LARGE.iter().chain(&KEYS) {
                let form = |node: &Engine| {
                    let key = Key::new(node.seed(), 0, name);
                    node.look(key, self.now, |entry| match entry?.value {
                        Value::String(text) => Some(text.to_vec()),
                        Value::Collection(collection) => {
                            // Order and encoding included: SPOP picks by place.
                            let mut form = Vec::new();
                            collection.encode_into(&mut form);
                            Some(form)
                        }
                    })
                };
                assert_eq!(form(node), form(first), "{name:?}");
            }
        }
    }

    /// Replaces the last node's state by a snapshot of another, taken while ops go on, and the log after
    /// it. Its outcomes are what they were.
    fn install(&mut self, dice: &mut Dice) {
        let source = dice.below(3) as usize;
        let (position, stamp) = (self.log.len(), self.now);
        let mut image = Vec::new();
        let nodes = std::mem::take(&mut self.nodes);
        let mut snapshot =
            Snapshot::begin(&nodes[source], stamp, &mut image).expect("one at a time");
        let mut others = Self {
            nodes: Vec::new(),
            log: std::mem::take(&mut self.log),
            now: self.now,
            decoder: OpDecoder::new(),
        };
        let mut ops = Vec::new();
        for _ in 0..dice.below(30) {
            // The log grows on the side, and each op is applied to the node the snapshot is taken of.
            others.random_op_alone(dice, &nodes, &mut ops);
            nodes[1].sweep(others.now, 3);
        }
        while snapshot.write_slice(&mut image) {}
        drop(snapshot);
        let mut verifier = Verifier::new(nodes[3].sizes());
        verifier.feed(&image).expect("a whole image");
        assert_eq!(verifier.finish(), Ok(stamp));
        nodes[3].reset();
        let mut restorer = Restorer::new(&nodes[3]).expect("it was reset");
        image.chunks(1000).for_each(|piece| restorer.feed(piece).expect("a whole image"));
        assert_eq!(restorer.finish(), Ok(stamp));
        (self.nodes, self.log, self.now) = (nodes, others.log, others.now);
        for entry in &self.log[position..] {
            let node = &self.nodes[3];
            let op = self.decoder.decode(node.seed(), &entry.op).expect("it was encoded");
            assert_eq!(node.apply(&op, entry.now), entry.outcome, "{op:?} after an install");
        }
    }

    /// An op for all nodes but the last, which is away.
    fn random_op_alone(&mut self, dice: &mut Dice, nodes: &[Engine], bytes: &mut Vec<u8>) {
        bytes.clear();
        let (step, seed, now) = (dice.step(), HashSeed::new(1, 3), self.now);
        if dice.below(3) == 0 {
            large_op(dice, &seed, |op| op.encode(bytes));
        } else if step.kind() == Move::Op {
            step.with_op(&seed, now, |op| op.encode(bytes));
        } else {
            self.now = now.plus_millis(dice.below(3000));
            return;
        }
        let outcomes: Vec<Outcome> = nodes[..3]
            .iter()
            .map(|node| {
                let op = self.decoder.decode(node.seed(), bytes).expect("it was encoded");
                node.apply(&op, now)
            })
            .collect();
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
        let outcome = outcomes[0].clone();
        self.log.push(LogEntry { now, op: bytes.clone(), outcome });
    }
}

/// An op on collections of hundreds of elements.
fn large_op<R>(dice: &mut Dice, seed: &HashSeed, apply: impl FnOnce(&Op<'_>) -> R) -> R {
    let key = Key::new(seed, 0, LARGE[dice.below(4) as usize]);
    let other = Key::new(seed, 0, LARGE[dice.below(4) as usize]);
    let from = dice.below(300);
    let texts: Vec<String> = (0..=dice.below(160))
        .map(|number| match dice.below(20) {
            0 => (from + number).to_string(),
            _ => format!("member {}", (from + number * 7) % 400),
        })
        .collect();
    let words: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    let words = Words::from_slices(&words);
    let count = Some(dice.below(60));
    let op = match dice.below(16) {
        0..5 => Op::SetAdd { key, members: words },
        5 => Op::SetRemove { key, members: words },
        6 | 7 => Op::SetPop { key, count, seed: dice.roll() },
        8 => Op::SetPop { key, count: None, seed: dice.roll() },
        9 => Op::SetMove { from: key, to: other, member: words.at(0) },
        10 => {
            let combination =
                [Combination::Union, Combination::Intersection, Combination::Difference]
                    [dice.below(3) as usize];
            let sources: [&[u8]; 2] = [LARGE[0], LARGE[1]];
            let sources = Words::from_slices(&sources);
            return apply(&Op::SetStore { destination: other, sources, combination });
        }
        11 => {
            let members = words.iter().map(|word| (from as f64 / 3.0, word)).collect();
            let options = SortedAddOptions { increment: false, ..SortedAddOptions::default() };
            Op::SortedAdd { key: other, members, options }
        }
        12 => Op::SortedPop { key: other, count: from / 4, end: SortedEnd::Highest },
        13 => {
            let pairs = words.range(0, words.len() / 2 * 2);
            Op::HashSet { key: other, pairs, if_absent: from.is_multiple_of(2) }
        }
        14 => Op::ListPush { key: other, values: words, side: Side::Tail, if_exists: false },
        _ => Op::Rename { from: key, to: other, if_absent: true },
    };
    apply(&op)
}

#[test]
fn the_same_log_comes_to_the_same_on_every_node() {
    let cases = std::env::var("HALLPASS_CASES").ok().and_then(|cases| cases.parse().ok());
    for case in 0..cases.unwrap_or(12_u64) {
        let (mut dice, mut cluster) = (Dice(case << 8), Cluster::new());
        for round in 0..400 {
            cluster.random_op(&mut dice);
            cluster.disturb(&mut dice);
            if round % 10 == 0 {
                cluster.compare();
            }
            if dice.below(60) == 0 {
                cluster.install(&mut dice);
                cluster.compare();
            }
        }
        cluster.compare();
        assert!(cluster.log.len() > 200);
    }
}

fn session(number: u8, idle_seconds: u32) -> Op<'static> {
    let limits = Limits { idle_seconds, lifetime_seconds: 0 };
    let (id, data, meta, cap) = (SessionHash([number; 16]), &b"data"[..], Words::EMPTY, None);
    Op::SessionCreate { id, user: b"alice", limits, data, meta, cap }
}

#[test]
fn a_proposer_asks_for_room_and_makes_it_by_ops() {
    let mut cluster = Cluster::new();
    for number in 0..50 {
        cluster.replicate(&session(number, 100 + u32::from(number)));
    }
    cluster.replicate(&session(60, 0));
    // An alias ends sooner than anything else, and is no way to make room.
    let (id, new_id) = (SessionHash([49; 16]), SessionHash([70; 16]));
    cluster.replicate(&Op::SessionRotate { id, new_id, grace_millis: 5000 });
    let leader = &cluster.nodes[0];
    let used = leader.memory_bytes();
    let create = session(61, 60);
    assert_eq!(leader.has_room_for(&create, 0), Ok(()));
    assert_eq!(leader.has_room_for(&create, used + 1), Ok(()));
    assert_eq!(leader.has_room_for(&create, used), Err(Refusal::OutOfMemory));
    // What ends or only moves something needs none.
    let touch = Op::SessionTouch { id: SessionHash([1; 16]) };
    assert_eq!(leader.has_room_for(&touch, used), Ok(()));

    assert!(leader.eviction_candidates(0, cluster.now).is_empty());
    let everything = leader.eviction_candidates(u64::MAX, cluster.now);
    assert_eq!(everything.len(), 50, "what has no deadline is not for evicting");
    let ids: Vec<SessionHash> = leader
        .eviction_candidates(500, cluster.now)
        .iter()
        .map(|candidate| match candidate {
            Evictable::Session(id) => *id,
            Evictable::Key { .. } => panic!("there are no keys"),
        })
        .collect();
    assert!((2..10).contains(&ids.len()), "about as many bytes as were asked for");
    let soonest = (0..ids.len() as u8).map(|number| SessionHash([number; 16]));
    assert!(ids.iter().copied().eq(soonest), "those that end soonest: {ids:?}");
    let revoked = cluster.replicate(&Op::SessionRevoke { ids: ids.clone() });
    assert_eq!(revoked, Outcome::Integer(ids.len() as i64));
    assert!(cluster.nodes[0].memory_bytes() + 500 <= used);
    let later = cluster.now.plus_millis(200_000);
    assert!(cluster.nodes[0].eviction_candidates(u64::MAX, later).is_empty(), "the dead go anyway");
    cluster.compare();
}
