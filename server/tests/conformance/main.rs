//! Conformance: the cases of the `.case` files beside this one, each run in RESP2 and RESP3, over a
//! socket, in-process and on both kinds of nodes of a cluster, and each a test of its own. The files say what a client sees; this says how they are run. The
//! README beside it explains the format, and how to check or record expectations with a real Redis.

mod case;
mod notation;
#[path = "../support/mod.rs"]
mod support;
mod target;

use case::{Case, CaseFile, Request, Step};
use libtest_mimic::{Arguments, Failed, Trial};
use notation::{Captures, Protocol};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use support::client::encode;
use support::reply::Reply;
use support::wait_for;
use target::{Connection, Running, SharedCluster, Way, address_given};

fn main() {
    let mut arguments = Arguments::from_args();
    // Cases share a server and empty it, so they run one after another.
    arguments.test_threads = Some(1);
    let files = read_case_files();
    if std::env::var_os("HALLPASS_CONFORMANCE_RECORD").is_some() {
        record(&files);
        return;
    }
    let shared = SharedCluster::default();
    let trials = files.into_iter().flat_map(|(_, file)| trials_of(&file, &shared)).collect();
    // The last case lets go of the nodes, so that they end with it.
    drop(shared);
    libtest_mimic::run(&arguments, trials).exit();
}

fn read_case_files() -> Vec<(PathBuf, CaseFile)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let entries = fs::read_dir(&folder).expect("the folder of the cases");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a readable case file");
        let file = CaseFile::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        (path, file)
    };
    paths.into_iter().map(read).collect()
}

/// The target of one file, started by its first case and stopped when its last one is dropped.
struct Target {
    way: Way,
    flags: Vec<String>,
    shared: SharedCluster,
    running: Mutex<Option<Running>>,
}

/// The cases of a file in every way that the environment asks for.
fn trials_of(file: &CaseFile, shared: &SharedCluster) -> Vec<Trial> {
    let elsewhere = std::env::var_os("HALLPASS_TEST_SERVER").is_some() || address_given().is_some();
    if address_given().is_some() && !file.flags.is_empty() {
        return Vec::new();
    }
    let ways: &[Way] = if elsewhere {
        &[Way::Socket]
    } else if file.flags.is_empty() {
        &[Way::Socket, Way::Embedded, Way::Leader, Way::Follower]
    } else {
        &[Way::Socket, Way::Embedded]
    };
    ways.iter().flat_map(|way| trials_in(*way, file, shared)).collect()
}

fn trials_in(way: Way, file: &CaseFile, shared: &SharedCluster) -> Vec<Trial> {
    let (flags, shared) = (file.flags.clone(), Arc::clone(shared));
    let target = Arc::new(Target { way, flags, shared, running: Mutex::new(None) });
    let mut trials = Vec::new();
    for case in &file.cases {
        for (protocol, suffix) in [(Protocol::Resp2, "resp2"), (Protocol::Resp3, "resp3")] {
            if case.only.is_some_and(|only| only != protocol)
                || (way == Way::Embedded && case.socket_only)
            {
                continue;
            }
            let (case, target) = (case.clone(), Arc::clone(&target));
            let way = match way {
                Way::Socket => "",
                Way::Embedded => ", embedded",
                Way::Leader => ", leader",
                Way::Follower => ", follower",
            };
            let name = format!("{}: {} ({suffix}{way})", file.name, case.title);
            let source = file.name.clone();
            trials.push(Trial::test(name, move || {
                // A case that panicked leaves the server as it was; the next one empties it.
                let mut running = target.running.lock().unwrap_or_else(PoisonError::into_inner);
                let running = running.get_or_insert_with(|| {
                    Running::start(target.way, &target.flags, &target.shared)
                });
                if case.hallpass_only && !running.is_hallpass {
                    return Ok(());
                }
                run_case(&case, protocol, running, &source)
            }));
        }
    }
    trials
}

fn run_case(
    case: &Case,
    protocol: Protocol,
    running: &Running,
    source: &str,
) -> Result<(), Failed> {
    let mut session = CaseRun::begin(running, protocol);
    for step in &case.steps {
        let place = format!("{source}.case:{}", step.line);
        let expectation = step
            .expectation(protocol, running.is_redis_7_0)
            .ok_or_else(|| format!("{place}: no expectation; record or write one"))?;
        let Some(expected) = &expectation.reply else {
            session.send(step).map_err(|error| format!("{place}: {error}"))?;
            continue;
        };
        let mut last = String::new();
        let mut attempt = || {
            let reply = session.ask(step).map_err(|error| format!("{place}: {error}"))?;
            let fits = expected.fits(&reply, protocol, &mut session.captures);
            last = format!("{place}: expected {}\n      got {reply}", expectation.text);
            Ok::<bool, String>(fits)
        };
        let fits = if step.eventually {
            wait_for(&format!("the reply of {place}"), || match attempt() {
                Ok(false) => None,
                done => Some(done),
            })?
        } else {
            attempt()?
        };
        if !fits {
            return Err(last.into());
        }
    }
    Ok(())
}

/// The connections and captures of one case while it runs.
struct CaseRun<'a> {
    running: &'a Running,
    protocol: Protocol,
    connections: BTreeMap<String, Connection>,
    captures: Captures,
}

impl CaseRun<'_> {
    fn begin(running: &Running, protocol: Protocol) -> CaseRun<'_> {
        running.connect().call("FLUSHALL");
        CaseRun { running, protocol, connections: BTreeMap::new(), captures: Captures::new() }
    }

    fn connection(&mut self, name: &str) -> &mut Connection {
        self.connections.entry(name.to_owned()).or_insert_with(|| {
            let mut connection = self.running.connect();
            if self.protocol == Protocol::Resp3 {
                connection.call("HELLO 3");
            }
            connection
        })
    }

    fn send(&mut self, step: &Step) -> Result<(), String> {
        let bytes = match &step.request {
            Request::Raw(bytes) => bytes.clone(),
            Request::Command(words) => {
                let arguments: Result<Vec<_>, _> =
                    words.iter().map(|word| word.bytes(&self.captures)).collect();
                encode(&arguments?)
            }
        };
        self.connection(&step.connection).send(&bytes).map_err(|error| error.to_string())
    }

    fn ask(&mut self, step: &Step) -> Result<Reply, String> {
        self.send(step)?;
        self.connection(&step.connection).read().map_err(|error| format!("no reply: {error}"))
    }
}

/// Writes the replies of the server under test below commands that have none yet.
fn record(files: &[(PathBuf, CaseFile)]) {
    for (path, file) in files {
        let running = Running::start(Way::Socket, &file.flags, &SharedCluster::default());
        let mut missing: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for case in &file.cases {
            let mut replies: BTreeMap<usize, Vec<(Protocol, Reply)>> = BTreeMap::new();
            for protocol in [Protocol::Resp2, Protocol::Resp3] {
                if case.only.is_some_and(|only| only != protocol) {
                    continue;
                }
                let mut session = CaseRun::begin(&running, protocol);
                for step in &case.steps {
                    let known = step.expectation(protocol, running.is_redis_7_0);
                    if known.is_some_and(|known| known.reply.is_none()) {
                        session.send(step).expect("the server listens");
                        continue;
                    }
                    let reply = session
                        .ask(step)
                        .unwrap_or_else(|error| panic!("{}:{}: {error}", file.name, step.line));
                    match known.and_then(|known| known.reply.as_ref()) {
                        // For its captures; whether it fits is what a normal run says.
                        Some(expected) => {
                            let mut fits = expected.fits(&reply, protocol, &mut session.captures);
                            while step.eventually && !fits {
                                let reply = session.ask(step).expect("the server answers");
                                fits = expected.fits(&reply, protocol, &mut session.captures);
                            }
                        }
                        None => replies.entry(step.line).or_default().push((protocol, reply)),
                    }
                }
            }
            missing.extend(replies.into_iter().map(|(line, both)| (line, recorded(&both))));
        }
        if !missing.is_empty() {
            insert_lines(path, &missing);
        }
    }
}

/// The shortest notation that fits what both protocols answered.
fn recorded(both: &[(Protocol, Reply)]) -> Vec<String> {
    let fits_both = |text: &str| {
        let expected = notation::Expected::parse(text).expect("our own notation");
        both.iter().all(|(protocol, reply)| expected.fits(reply, *protocol, &mut Captures::new()))
    };
    let candidates = both.iter().rev().flat_map(|(_, reply)| {
        let text = match reply {
            // Quoted, or the space at its end would be lost.
            Reply::Error(text) if text.ends_with(' ') => format!("-\"{text}\""),
            other => other.to_string(),
        };
        [text.clone(), text.replace("nil", "nil*")]
    });
    if let Some(text) = candidates.into_iter().find(|text| fits_both(text)) {
        return vec![text];
    }
    let line = |(protocol, reply): &(Protocol, Reply)| match protocol {
        Protocol::Resp2 => format!("2: {reply}"),
        Protocol::Resp3 => format!("3: {reply}"),
    };
    both.iter().map(line).collect()
}

fn insert_lines(path: &Path, missing: &BTreeMap<usize, Vec<String>>) {
    let text = fs::read_to_string(path).expect("a readable case file");
    let mut out = String::new();
    for (index, line) in text.lines().enumerate() {
        out.push_str(line);
        out.push('\n');
        for reply in missing.get(&(index + 1)).into_iter().flatten() {
            out.push_str("    ");
            out.push_str(reply);
            out.push('\n');
        }
    }
    fs::write(path, out).expect("a writable case file");
}
