//! What clients do: a mix of requests to any node, drawn from the seed, and how each is made and read.
//!
//! Requests take the way that a connection's take: writes are submitted as encoded ops, reads pass the
//! barrier and look at the engine. What came of each goes into the history.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fastrand::Rng;
use hallpass_engine::{
    Condition, Deadline, Engine, Key, Limits, Op, Outcome, Refusal, SessionHash, Stamp, Touch,
    Value, Words,
};
use hallpass_server::cluster::Cluster;
use hallpass_server::cluster::simulation::{read, submit, touch};

use crate::history::{Action, Answer, Cap, History, Seen};
use crate::machine::Machine;

const KEYS: u8 = 3;
const COUNTERS: u8 = 2;
const USERS: u8 = 5;
/// This user may have so many sessions: the oldest has to go for another.
const EVICTING: (u8, u32) = (3, 3);
/// This one, too: another is refused.
const REJECTING: (u8, u32) = (4, 2);

/// The clients.
pub(crate) struct Workload {
    random: Rng,
    last_value: u64,
    /// Sessions by their number: the user. Those that were ended, too.
    sessions: Vec<u8>,
    /// Which session a hash is: what lists are read by.
    names: Arc<Mutex<BTreeMap<SessionHash, u32>>>,
    /// How often in a thousand a read is interrupted.
    pub(crate) interrupted_permille: u64,
    pub(crate) history: History,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            last_value: 0,
            sessions: Vec::new(),
            names: Arc::default(),
            interrupted_permille: 0,
            history: History::default(),
        }
    }

    /// One request to a node.
    pub(crate) fn step(&mut self, machine: &Machine) {
        let action = self.choose();
        self.request(machine, action);
    }

    fn choose(&mut self) -> Action {
        let session = self.some_session();
        let random = &mut self.random;
        let (key, counter, user) = (random.u8(..KEYS), random.u8(..COUNTERS), random.u8(..USERS));
        match (random.u8(..100), session) {
            (0..8, _) => Action::Set { key, value: self.value() },
            (8..18, _) => Action::Get { key },
            (18..24, _) => Action::Increment { counter },
            (24..28, _) => Action::Count { counter },
            (28..44, _) | (_, None) => self.create(user),
            (44..49, Some(session)) => Action::Save { session, value: self.value() },
            (49..53, Some(session)) => {
                let user = self.sessions[session as usize];
                Action::Rotate { session, to: self.session(user) }
            }
            (53..61, Some(session)) => Action::Revoke { session },
            (61..64, Some(session)) => {
                let except = Some(session).filter(|_| random.bool());
                Action::RevokeUser { user, except }
            }
            (64..90, Some(session)) => Action::Look { session },
            (90.., Some(_)) => Action::List { user },
        }
    }

    fn value(&mut self) -> u64 {
        self.last_value += 1;
        self.last_value
    }

    fn session(&mut self, user: u8) -> u32 {
        let session = self.sessions.len() as u32;
        self.sessions.push(user);
        self.names.lock().expect("one thread").insert(hash_of(session), session);
        session
    }

    /// One of the later ones, as a rule: they may still live.
    fn some_session(&mut self) -> Option<u32> {
        let count = self.sessions.len();
        let back = if self.random.u8(..4) == 0 { count } else { count.min(12) };
        (count > 0).then(|| (count - 1 - self.random.usize(..back)) as u32)
    }

    fn create(&mut self, user: u8) -> Action {
        let lifetime_seconds = if self.random.u8(..3) == 0 { self.random.u32(1..6) } else { 0 };
        let cap = match user {
            user if user == EVICTING.0 => Some(Cap { sessions_max: EVICTING.1, evict: true }),
            user if user == REJECTING.0 => Some(Cap { sessions_max: REJECTING.1, evict: false }),
            _ => None,
        };
        Action::Create { session: self.session(user), user, lifetime_seconds, cap }
    }

    /// Everything there is, read on a node.
    pub(crate) fn read_all(&mut self, machine: &Machine) {
        let keys = (0..KEYS).map(|key| Action::Get { key });
        let counters = (0..COUNTERS).map(|counter| Action::Count { counter });
        let users = (0..USERS).map(|user| Action::List { user });
        let sessions = (0..self.sessions.len() as u32).map(|session| Action::Look { session });
        for action in keys.chain(counters).chain(users).chain(sessions).collect::<Vec<_>>() {
            self.request(machine, action);
        }
    }

    /// A write and a read on a node; their numbers in the history.
    pub(crate) fn probe(&mut self, machine: &Machine) -> [usize; 2] {
        let action = Action::Set { key: 0, value: self.value() };
        [self.request(machine, action), self.request(machine, Action::Get { key: 0 })]
    }

    fn request(&mut self, machine: &Machine, action: Action) -> usize {
        let clock = Arc::clone(&machine.clock);
        let number = self.history.asked(machine.node, action.clone(), machine.now());
        let Some(cluster) = machine.cluster().cloned() else { return number };
        let history = self.history.clone();
        if let Some(ops) = encode(&action, &cluster) {
            machine.spawn(async move {
                if let Ok(outcomes) = submit(&cluster, ops).await {
                    let answer = answer_of(&action, outcomes);
                    history.answered(number, clock.local(), answer);
                }
            });
            return number;
        }
        let interrupted = self.random.u64(..1000) < self.interrupted_permille;
        let interruption = machine.interruption(self.random.u64(500..4000));
        let names = Arc::clone(&self.names);
        machine.spawn(async move {
            let interrupted = AtomicBool::new(interrupted);
            let looking = read(&cluster, |engine, now| {
                let answer =
                    look(&action, &cluster, engine, now, &names.lock().expect("one thread"));
                if interrupted.swap(false, Ordering::Relaxed) {
                    interruption();
                }
                answer
            });
            if let Ok(answer) = looking.await {
                history.answered(number, clock.local(), answer);
            }
        });
        number
    }
}

/// A session's hash: different in every byte.
fn hash_of(session: u32) -> SessionHash {
    let mut random = Rng::with_seed(u64::from(session));
    SessionHash(std::array::from_fn(|_| random.u8(..)))
}

fn user_name(user: u8) -> [u8; 1] {
    [b'a' + user]
}

fn key_name(key: u8) -> [u8; 2] {
    [b'k', b'0' + key]
}

fn counter_name(counter: u8) -> [u8; 2] {
    [b'c', b'0' + counter]
}

/// The ops of an action that writes.
fn encode(action: &Action, cluster: &Cluster) -> Option<Bytes> {
    let seed = cluster.engine().seed();
    let mut ops = Vec::new();
    match action {
        Action::Set { key, value } => Op::Set {
            key: Key::new(seed, 0, &key_name(*key)),
            value: &value.to_le_bytes(),
            deadline: Deadline::Clear,
            condition: Condition::Always,
            owner: None,
            get: false,
        }
        .encode(&mut ops),
        Action::Increment { counter } => {
            Op::Increment { key: Key::new(seed, 0, &counter_name(*counter)), by: 1 }
                .encode(&mut ops);
        }
        Action::Create { session, user, lifetime_seconds, cap } => Op::SessionCreate {
            id: hash_of(*session),
            user: &user_name(*user),
            limits: Limits { idle_seconds: 0, lifetime_seconds: *lifetime_seconds },
            data: &0_u64.to_le_bytes(),
            meta: Words::EMPTY,
            cap: cap.map(|cap| hallpass_engine::Cap {
                sessions_max: cap.sessions_max,
                evict: cap.evict,
            }),
        }
        .encode(&mut ops),
        Action::Save { session, value } => {
            Op::SessionSave { id: hash_of(*session), data: &value.to_le_bytes(), version: None }
                .encode(&mut ops);
        }
        Action::Rotate { session, to } => {
            let (id, new_id) = (hash_of(*session), hash_of(*to));
            Op::SessionRotate { id, new_id, grace_millis: 0 }.encode(&mut ops);
        }
        Action::Revoke { session } => {
            Op::SessionRevoke { ids: vec![hash_of(*session)] }.encode(&mut ops);
        }
        Action::RevokeUser { user, except } => {
            let except = except.map(hash_of);
            Op::SessionRevokeUser { user: &user_name(*user), except }.encode(&mut ops);
        }
        Action::Get { .. } | Action::Count { .. } | Action::Look { .. } | Action::List { .. } => {
            return None;
        }
    }
    Some(ops.into())
}

fn answer_of(action: &Action, outcomes: Vec<Outcome>) -> Answer {
    let [outcome]: [Outcome; 1] = outcomes.try_into().expect("an outcome for each op");
    match outcome {
        Outcome::Done => Answer::Done,
        Outcome::Integer(number) => Answer::Number(number),
        Outcome::Session(brief) => Answer::Made { expires: brief.expires.millis() },
        Outcome::Refused(Refusal::NoSession | Refusal::SessionLimit(_)) => {
            Answer::Refused(format!("{outcome:?}"))
        }
        other => panic!("{action:?} is answered {other:?}"),
    }
}

/// Looks at what an action reads.
fn look(
    action: &Action,
    cluster: &Cluster,
    engine: &Engine,
    now: Stamp,
    names: &BTreeMap<SessionHash, u32>,
) -> Answer {
    let stored = |name: &[u8]| {
        engine.look(Key::new(engine.seed(), 0, name), now, |entry| match entry?.value {
            Value::String(bytes) => Some(bytes.to_vec()),
            Value::Collection(_) => panic!("a key that is no string"),
        })
    };
    match action {
        Action::Get { key } => Answer::Stored(stored(&key_name(*key)).map(|bytes| number(&bytes))),
        Action::Count { counter } => {
            let text = stored(&counter_name(*counter)).unwrap_or_else(|| b"0".to_vec());
            let text = String::from_utf8(text).expect("a counter's digits");
            Answer::Number(text.parse().expect("a counter's number"))
        }
        Action::Look { session } => {
            let (id, due) = (hash_of(*session), Cell::new(false));
            let seen =
                engine.session(&id, now, Touch::Due { slack_divisor: 16, due: &due }, |view| {
                    view.map(|view| Seen {
                        user: view.user[0] - b'a',
                        value: number(view.data),
                        version: view.version,
                    })
                });
            if due.get() {
                touch(cluster, &[id]);
            }
            Answer::Seen { at: now.millis(), session: seen }
        }
        Action::List { user } => {
            let (mut sessions, mut cursor) = (BTreeSet::new(), 0);
            loop {
                let visit = |view: hallpass_engine::engine::SessionView<'_>| {
                    sessions.insert(names[&view.handle]);
                };
                cursor = engine.sessions_of(&user_name(*user), cursor, 100, now, visit);
                if cursor == 0 {
                    break;
                }
            }
            let count = engine.session_count(&user_name(*user), now);
            Answer::Listed { at: now.millis(), sessions, count }
        }
        other => panic!("{other:?} is no read"),
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}
