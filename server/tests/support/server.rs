//! A server process that belongs to one test: started on a free port, waited for, and killed by
//! its own process id when the test lets go of it.

use super::client::Client;
use super::{PATIENCE, wait_for};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How often a start is tried again when another process took the port in between.
const START_ATTEMPTS: usize = 5;

/// A child process that does not outlive the test.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program with its output thrown away.
    pub(crate) fn start(mut command: Command) -> Process {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process(command.spawn().expect("the program can be started"))
    }

    /// Whether it is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("our own child").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A running server; dropping it kills the process.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts the server with two threads and nothing else set.
    pub(crate) fn start() -> Server {
        Server::start_with(&[])
    }

    /// Starts the server with more flags, and returns when it answers.
    #[track_caller]
    pub(crate) fn start_with(flags: &[&str]) -> Server {
        let mut said = String::new();
        for _ in 0..START_ATTEMPTS {
            match Server::try_start(free_port(), flags) {
                Ok(server) => return server,
                Err(output) => said = output,
            }
        }
        panic!("the server did not start in {START_ATTEMPTS} attempts with {flags:?}: {said}");
    }

    /// A server that answers on this port, or what it wrote before it ended.
    pub(crate) fn try_start(port: u16, flags: &[&str]) -> Result<Server, String> {
        Server::try_start_in(port, flags, &[])
    }

    /// The same, with more variables in its environment.
    pub(crate) fn try_start_in(
        port: u16,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Server, String> {
        let log = scratch_file(&format!("server-{port}.log"));
        let output = File::create(&log).expect("the scratch directory is writable");
        let process = command(port, flags)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file handle can be cloned"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary().display()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Server { process, address, log };
        if server.wait_until_ready() { Ok(server) } else { Err(server.output()) }
    }

    /// False when the process ended before it answered.
    fn wait_until_ready(&mut self) -> bool {
        wait_for("the server to answer PING", || {
            if let Ok(Some(_)) = self.process.try_wait() {
                return Some(false);
            }
            let mut client = Client::try_connect(self.address).ok()?;
            client.try_call(&["PING"]).ok().map(|_| true)
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new RESP2 connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A new connection that has switched to RESP3.
    #[track_caller]
    pub(crate) fn connect_resp3(&self) -> Client {
        let mut client = self.connect();
        let hello = client.run("HELLO 3");
        assert_eq!(hello.map()["proto"].integer(), 3);
        client
    }

    /// What the process has written so far, stdout and stderr together.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills the process at once, as `kill -9` does, and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("our own child");
        self.process.wait().expect("our own child");
    }

    /// Sends SIGTERM to this process.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let process = &mut self.process;
        wait_for("the server to exit", || process.try_wait().expect("our own child"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already dead is as good as killed: both leave nothing behind.
        self.process.kill().ok();
        self.process.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- output of server {}:\n{}", self.process.id(), self.output());
        } else {
            fs::remove_file(&self.log).ok();
        }
    }
}

/// The program under test.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("HALLPASS_TEST_SERVER")
        .unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_hallpass-server")))
        .into()
}

/// True when the program under test is Hallpass, not a Redis that checks our expectations.
pub(crate) fn is_hallpass() -> bool {
    binary().file_name().is_some_and(|name| name.to_string_lossy().contains("hallpass"))
}

/// The command that starts the program under test on a port.
pub(crate) fn command(port: u16, flags: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(["--port", &port.to_string()]);
    if is_hallpass() {
        if !flags.contains(&"--threads") {
            command.args(["--threads", "2"]);
        }
    } else {
        command.args(["--save", "", "--appendonly", "no"]);
        command.current_dir(scratch_directory());
    }
    command.args(flags);
    command
}

/// A port nobody listens on at this moment, and that this process has not been given before: what is
/// started on it may take a while.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = unused_port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
}

fn unused_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A new file name of this process under the target directory.
pub(crate) fn scratch_file(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    scratch_directory().join(format!("{}-{number}-{name}", std::process::id()))
}

/// A new, empty directory of this process under the target directory.
pub(crate) fn scratch_folder(name: &str) -> PathBuf {
    let path = scratch_file(name);
    fs::create_dir_all(&path).expect("the scratch directory is writable");
    path
}

fn scratch_directory() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Runs the program to its end, which must come by itself; returns status, stdout and stderr.
pub(crate) fn run_to_end(mut command: Command) -> (ExitStatus, String, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary().display()));
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("our own child").is_none() {
        if Instant::now() > deadline {
            child.kill().ok();
            panic!("the program is still running after {PATIENCE:?}");
        }
        std::thread::park_timeout(std::time::Duration::from_millis(2));
    }
    let output = child.wait_with_output().expect("our own child");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stdout), text(output.stderr))
}
