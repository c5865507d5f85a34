//! One node: a server process, its directory and its output. It is killed, stopped and continued by process id.

use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// The port clients use, at the node's own address.
pub const PORT: u16 = 6379;
/// The port peers use.
pub const CLUSTER_PORT: u16 = 7379;
/// How long a node may take to stop when it is asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its number, from 1.
    pub number: u64,
    /// Where clients reach it.
    pub address: SocketAddr,
    directory: PathBuf,
    child: Option<Child>,
    /// How often it was started.
    starts: u64,
}

impl Node {
    /// A node that does not run yet. Its data and its output lie in `directory`.
    pub fn new(number: u64, address: std::net::Ipv4Addr, directory: PathBuf) -> Self {
        let address = SocketAddr::V4(SocketAddrV4::new(address, PORT));
        Self { number, address, directory, child: None, starts: 0 }
    }

    /// Where its data lies.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Where its output goes, all starts after one another.
    pub fn log_file(&self) -> PathBuf {
        self.directory.join("output.log")
    }

    /// The file that says how wrong its clocks are.
    pub fn clock_file(&self) -> PathBuf {
        self.directory.join("clock")
    }

    /// Sets its clocks: how far the wall clock is off, and how fast elapsed time runs, in thousandths.
    pub fn set_clock(&self, offset_millis: i64, rate_thousandths: u64) -> Result<()> {
        // In one step: the node reads it whenever it likes.
        let written = self.directory.join("clock.new");
        fs::write(&written, format!("{offset_millis} {rate_thousandths}\n"))?;
        fs::rename(written, self.clock_file()).context("the node's clock file")
    }

    /// Starts it, with a command that is complete but for its output.
    pub fn start(&mut self, mut command: Command) -> Result<()> {
        if self.child.is_some() {
            bail!("node {} runs already", self.number);
        }
        fs::create_dir_all(&self.directory).context("the node's directory")?;
        let log = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("node {}", self.number))?);
        self.starts += 1;
        Ok(())
    }

    /// Whether its process is there.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().context("kill")?;
        child.wait().context("wait")?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits; kills it when that takes too long, which is an error.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.runs() {
            if Instant::now() > deadline {
                self.kill()?;
                bail!("node {} did not stop within {STOP_PATIENCE:?}", self.number);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut child = self.child.take().context("not running")?;
        Ok(child.wait()?)
    }

    /// Stops it from running (SIGSTOP); whether it has stopped.
    pub fn pause(&mut self) -> Result<bool> {
        self.signal(Signal::STOP)?;
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if self.is_paused() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(false)
    }

    /// Lets it run on (SIGCONT).
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn is_paused(&self) -> bool {
        let Some(child) = &self.child else { return false };
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        // The state follows the name, which is in brackets and may hold anything.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if !self.runs() {
            bail!("node {} does not run", self.number);
        }
        let child = self.child.as_ref().context("not running")?;
        let pid = Pid::from_raw(child.id() as i32).context("a process id is above 0")?;
        kill_process(pid, signal).with_context(|| format!("{signal:?} to node {}", self.number))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A paused process dies of SIGKILL, too.
        let _gone = self.kill();
    }
}
