//! Who this node is, kept in its data directory: its number, the directory's own name, how often it has
//! been started, and which directory each peer had when it was first met.
//!
//! A node's number stands for the votes and entries in its directory. A node that comes back under its
//! old number with an empty directory has forgotten what it promised, and could let acknowledged
//! writes be lost; so peers remember each number's directory and refuse another one, and a new directory
//! takes no part in votes until it is settled (`arrival`). The file is replaced in one step, and durable
//! before anything relies on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Deserialize;

use super::disk::Disk;
use super::types::NodeId;

const NAME: &str = "identity.toml";
const NEW_NAME: &str = "identity.new";
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a directory cannot serve a node.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It is another node's.
    #[error(
        "it belongs to node {found}, not to node {wanted}: start that node on it, or use another directory"
    )]
    OtherNode {
        /// Whose it is.
        found: NodeId,
        /// Who wanted it.
        wanted: NodeId,
    },
    /// The file does not say what it should.
    #[error("its file {NAME} cannot be used: {0}")]
    Damaged(String),
    /// The disk's own error.
    #[error("its file {NAME} cannot be read or written: {0}")]
    Io(#[from] io::Error),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    node: NodeId,
    directory: u128,
    starts: u64,
    settled: bool,
    peers: BTreeMap<NodeId, u128>,
}

#[derive(Deserialize)]
struct File {
    node: NodeId,
    directory: String,
    starts: u64,
    /// Directories from before this was written down have long been settled.
    #[serde(default = "yes")]
    settled: bool,
    #[serde(default)]
    peers: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// The identity of a running node.
pub(crate) struct IdentityStore {
    disk: Arc<dyn Disk>,
    record: Mutex<Record>,
}

impl IdentityStore {
    /// Reads the directory's identity, or gives a new directory one, and counts a start.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        node: NodeId,
        new_directory: u128,
    ) -> Result<Self, IdentityError> {
        let found = read(&*disk)?;
        let mut record = found.unwrap_or_else(|| Record {
            node,
            directory: new_directory,
            starts: 0,
            settled: false,
            peers: BTreeMap::new(),
        });
        if record.node != node {
            return Err(IdentityError::OtherNode { found: record.node, wanted: node });
        }
        record.starts += 1;
        write(&*disk, &record)?;
        Ok(Self { disk, record: Mutex::new(record) })
    }

    /// The directory's own name.
    pub(crate) fn directory(&self) -> u128 {
        self.record.lock().directory
    }

    /// Which start of the node this is, from 1.
    pub(crate) fn starts(&self) -> u64 {
        self.record.lock().starts
    }

    /// Whether the node may vote, and stand for election.
    pub(crate) fn settled(&self) -> bool {
        self.record.lock().settled
    }

    /// From now on the node may.
    pub(crate) fn settle(&self) -> Result<(), String> {
        let mut record = self.record.lock();
        let changed = Record { settled: true, ..record.clone() };
        self.replace(&mut record, changed)
    }

    /// Meets a peer: remembers its directory for good, or finds that it is another one than before.
    pub(crate) fn meet(&self, peer: NodeId, directory: u128) -> Result<(), String> {
        let mut record = self.record.lock();
        match record.peers.get(&peer) {
            Some(known) if *known == directory => return Ok(()),
            Some(_) => {
                return Err(format!(
                    "node {peer} is known here with another data directory. A node that lost its data \
                     must come back under a new number: remove {peer} (RAFT.REMOVE) and add the new one"
                ));
            }
            None => {}
        }
        let mut changed = record.clone();
        changed.peers.insert(peer, directory);
        self.replace(&mut record, changed)
    }

    fn replace(&self, record: &mut Record, changed: Record) -> Result<(), String> {
        write(&*self.disk, &changed)
            .map_err(|error| format!("the identity was not stored: {error}"))?;
        *record = changed;
        Ok(())
    }
}

impl std::fmt::Debug for IdentityStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("IdentityStore")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

fn read(disk: &dyn Disk) -> Result<Option<Record>, IdentityError> {
    if !disk.list()?.iter().any(|name| name == NAME) {
        return Ok(None);
    }
    let file = disk.open(NAME)?;
    let length = file.bytes()?;
    if length > FILE_BYTES_MAX {
        return Err(IdentityError::Damaged(format!("it has {length} bytes")));
    }
    let mut text = vec![0; length as usize];
    file.read_exact_at(&mut text, 0)?;
    let text =
        String::from_utf8(text).map_err(|error| IdentityError::Damaged(error.to_string()))?;
    let file: File =
        toml::from_str(&text).map_err(|error| IdentityError::Damaged(error.to_string()))?;
    let directory_of = |text: &str| {
        u128::from_str_radix(text, 16)
            .map_err(|_| IdentityError::Damaged(format!("{text:?} is no directory's name")))
    };
    let mut peers = BTreeMap::new();
    for (peer, directory) in &file.peers {
        let number =
            peer.parse().map_err(|_| IdentityError::Damaged(format!("{peer:?} is no number")))?;
        peers.insert(number, directory_of(directory)?);
    }
    let directory = directory_of(&file.directory)?;
    let File { node, starts, settled, .. } = file;
    Ok(Some(Record { node, directory, starts, settled, peers }))
}

fn write(disk: &dyn Disk, record: &Record) -> io::Result<()> {
    let mut text = String::from(
        "# Who this Hallpass node is. Written by the server; not to be edited or copied.\n",
    );
    // Writing into memory does not fail.
    let _infallible = write!(
        text,
        "node = {}\ndirectory = \"{:032x}\"\nstarts = {}\nsettled = {}\n\n[peers]\n",
        record.node, record.directory, record.starts, record.settled
    );
    for (peer, directory) in &record.peers {
        let _infallible = writeln!(text, "{peer} = \"{directory:032x}\"");
    }
    if disk.list()?.iter().any(|name| name == NEW_NAME) {
        disk.remove(NEW_NAME)?;
    }
    let file = disk.create(NEW_NAME)?;
    file.append(&mut [IoSlice::new(text.as_bytes())])?;
    file.sync_data()?;
    disk.rename(NEW_NAME, NAME)?;
    disk.sync_directory()
}
