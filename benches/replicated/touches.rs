//! Touches: how many bytes of log validating a session costs when its touch is due, beside writing it anew.
//!
//! What the leader's log has written is what is replicated: it sends followers the same entries. The server
//! counts it (`raft_log_bytes_written`); its files say less, because they reserve room ahead.

use std::time::{Duration, Instant};

use hallpass_benches::error::{Error, Result};
use hallpass_benches::generator::{Generator, create_sessions};
use hallpass_benches::table::Table;

use crate::load;
use crate::options::Options;
use crate::system::{self, Kind, System};

const SESSIONS: usize = 100_000;
/// A touch is due when it moves the deadline by a sixteenth of this.
const IDLE_SECONDS: u64 = 80;
const DUE: Duration = Duration::from_millis(IDLE_SECONDS * 1000 / 16 + 200);
const CLIENTS: usize = 50;
const PIPELINE: usize = 16;
/// Touches are gathered for some milliseconds: after so long without a new record all are in the log.
const QUIET: Duration = Duration::from_millis(500);
const QUIET_MAX: Duration = Duration::from_secs(30);
/// While nothing happens the log may still grow by a record that says how late it is.
const IDLE_BYTES_MAX: u64 = 1024;

/// Nothing is timed: a node that waits long for a processor is waited for.
const PATIENT: [&str; 2] = ["--cluster-timeout", "10000"];

/// What a log has written.
#[derive(Debug, Clone, Copy)]
struct Written {
    bytes: u64,
    records: u64,
}

/// Validates each of many sessions once, then writes as many keys.
pub(crate) fn measure(options: &Options) -> Result<Vec<Table>> {
    let mut options = options.clone();
    options.flags.extend(PATIENT.map(str::to_owned));
    let systems = system::start(&options, &[Kind::Leader])?;
    let system = systems.first().ok_or(Error::NoServers)?;
    eprintln!("creating {SESSIONS} sessions");
    let ids = create_sessions(system.port()?, &load::create(SESSIONS, IDLE_SECONDS))?;
    std::thread::sleep(DUE);
    let before = settled(system)?;
    let mut generator = Generator::connect(system.port()?, CLIENTS)?;
    let found = generator.send_all(&load::each(b"SESSION.VALIDATE", &ids), PIPELINE)?;
    if found.nils > 0 {
        return Err(Error::Refused(format!("{} of {SESSIONS} sessions were gone", found.nils)));
    }
    let touched = settled(system)?;
    // What is validated again at once has been touched: nothing is due.
    generator.send_all(&load::each(b"SESSION.VALIDATE", &ids), PIPELINE)?;
    let again = settled(system)?;
    generator.send_all(&load::fill(0..SESSIONS), PIPELINE)?;
    let set = settled(system)?;
    let heading = ["operations", "log bytes each", "records", "to a SET"];
    let title = format!("Bytes of the leader's log for {SESSIONS} operations");
    let mut table = Table::new(title, &heading);
    let bytes_set = set.bytes - again.bytes;
    for (name, first, last) in [
        ("SESSION.VALIDATE, a touch due", before, touched),
        ("SESSION.VALIDATE again at once", touched, again),
        ("SET of 400 bytes", again, set),
    ] {
        let bytes = last.bytes - first.bytes;
        let to_set = match bytes {
            0 => "none".to_owned(),
            _ => format!("1/{:.1}", bytes_set as f64 / bytes as f64),
        };
        table.push(vec![
            name.to_owned(),
            format!("{:.2}", bytes as f64 / SESSIONS as f64),
            (last.records - first.records).to_string(),
            to_set,
        ]);
    }
    Ok(vec![table])
}

/// What the log has written, once it has written nothing of weight for a while.
fn settled(system: &System) -> Result<Written> {
    let look = || -> Result<Written> {
        Ok(Written {
            bytes: system.info("replication", "raft_log_bytes_written")?,
            records: system.info("replication", "raft_log_records_written")?,
        })
    };
    let deadline = Instant::now() + QUIET_MAX;
    let mut last = look()?;
    loop {
        std::thread::sleep(QUIET);
        let now = look()?;
        if now.bytes - last.bytes < IDLE_BYTES_MAX {
            return Ok(now);
        }
        if Instant::now() > deadline {
            let what = "the log to come to rest".to_owned();
            return Err(Error::Waited { patience: QUIET_MAX, what });
        }
        last = now;
    }
}
