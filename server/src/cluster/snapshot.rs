//! Snapshots on disk: written while the state machine goes on, replaced in one step, checked before use.
//!
//! ```text
//! "HPSNAP" version u16  head length u32  CRC-32 of the head u32
//! head      (bincode) last applied, members, submissions applied, stamp
//! image     the engine's own format, which checks itself
//! ```
//!
//! A snapshot is written under another name, synced, renamed and the directory synced: at every moment
//! the directory holds a whole one or none. One that came from the leader is checked to its last byte
//! before the engine is emptied for it.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hallpass_engine::snapshot::{Restorer, Snapshot, Verifier};
use hallpass_engine::{Engine, Stamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::codec::{self, term_of};
use super::disk::{Disk, DiskFile};
use super::origins::Origins;
use super::state::Replicated;
use super::types::{LogId, SnapshotMeta, StoredMembership};

const MAGIC: &[u8; 6] = b"HPSNAP";
const VERSION: u16 = 1;
const PREFIX_BYTES: usize = MAGIC.len() + 2 + 4 + 4;
/// Longest head: members, and what nodes have under way.
const HEAD_BYTES_MAX: usize = codec::RECORD_BYTES_MAX;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

const NAME_PREFIX: &str = "snapshot-";
const WRITING_NAME: &str = "snapshot.writing";
const RECEIVING_PREFIX: &str = "snapshot.receiving-";

#[derive(Serialize, Deserialize)]
struct Head {
    last_applied: Option<LogId>,
    membership: StoredMembership,
    origins: Origins,
    stamp_millis: u64,
}

/// A snapshot on disk. It can be read as long as this is held, whatever becomes of its name.
#[derive(Clone)]
pub(crate) struct SnapshotFile {
    name: String,
    file: Arc<dyn DiskFile>,
}

impl std::fmt::Debug for SnapshotFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SnapshotFile({})", self.name)
    }
}

/// Reads a snapshot from its beginning.
pub(crate) struct Reader {
    file: Arc<dyn DiskFile>,
    offset: u64,
    bytes: u64,
}

impl SnapshotFile {
    /// Reads it piece by piece.
    pub(crate) fn reader(&self) -> io::Result<Reader> {
        Ok(Reader { file: Arc::clone(&self.file), offset: 0, bytes: self.file.bytes()? })
    }

    /// What is in its head, and where the engine's image begins.
    fn head(&self) -> io::Result<(Replicated, u64)> {
        let mut prefix = [0; PREFIX_BYTES];
        self.file
            .read_exact_at(&mut prefix, 0)
            .map_err(|_| self.damaged("it ends in its first bytes"))?;
        let (magic, rest) = prefix.split_at(MAGIC.len());
        let [v0, v1, l0, l1, l2, l3, c0, c1, c2, c3] = *rest else {
            unreachable!("ten bytes are left")
        };
        if magic != MAGIC {
            return Err(self.damaged("it does not begin like one"));
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            let text =
                format!("it has format version {version}; this program reads version {VERSION}");
            return Err(self.damaged(&text));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > HEAD_BYTES_MAX {
            return Err(self.damaged("its head has an impossible length"));
        }
        let mut head = vec![0; length];
        let read = self.file.read_exact_at(&mut head, PREFIX_BYTES as u64);
        read.map_err(|_| self.damaged("it ends in its head"))?;
        if crc32fast::hash(&head) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(self.damaged("the checksum of its head does not match"));
        }
        let head: Head = codec::decode(&head)?;
        let state = Replicated {
            last_applied: head.last_applied,
            membership: head.membership,
            origins: head.origins,
            stamp: Stamp::from_millis(head.stamp_millis),
        };
        Ok((state, (PREFIX_BYTES + length) as u64))
    }

    fn damaged(&self, what: &str) -> io::Error {
        let text = format!("the snapshot {} cannot be used: {what}", self.name);
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    /// Hands all bytes from `offset` on to `take`.
    fn for_each_chunk(
        &self,
        offset: u64,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let bytes = self.file.bytes()?;
        let mut reader = Reader { file: Arc::clone(&self.file), offset, bytes };
        while let Some(chunk) = reader.read(CHUNK_BYTES)? {
            take(&chunk)?;
        }
        Ok(())
    }
}

impl Reader {
    fn read(&mut self, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let length = (self.bytes - self.offset).min(bytes_max as u64) as usize;
        if length == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; length];
        self.file.read_exact_at(&mut chunk, self.offset)?;
        self.offset += length as u64;
        Ok(Some(chunk))
    }

    /// The next piece, of at most so many bytes; `None` at the end.
    pub(crate) fn next(&mut self, bytes_max: usize) -> io::Result<Option<Bytes>> {
        // From the page cache, as a rule: it was written a moment ago.
        Ok(self.read(bytes_max)?.map(Bytes::from))
    }
}

/// The snapshots of one node.
pub(crate) struct SnapshotStore {
    disk: Arc<dyn Disk>,
    current: Mutex<Option<SnapshotFile>>,
    /// Counts snapshots that came from a leader since the start.
    receptions: AtomicU64,
}

impl SnapshotStore {
    /// Finds the newest snapshot, and clears away what an interrupted start left.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let mut newest = None;
        for name in disk.list()? {
            if name == WRITING_NAME || name.starts_with(RECEIVING_PREFIX) {
                disk.remove(&name)?;
            } else if name.starts_with(NAME_PREFIX) {
                newest = newest.max(Some(name));
            }
        }
        let current = match newest {
            Some(name) => Some(SnapshotFile { file: disk.open(&name)?, name }),
            None => None,
        };
        Ok(Self { disk, current: Mutex::new(current), receptions: AtomicU64::new(0) })
    }

    /// The newest snapshot.
    pub(crate) fn current(&self) -> io::Result<Option<(SnapshotMeta, SnapshotFile)>> {
        let Some(file) = self.current.lock().clone() else { return Ok(None) };
        let (state, _) = file.head()?;
        Ok(Some((meta_of(&state), file)))
    }

    /// Fixes the instant of a new snapshot; to be called between two entries.
    pub(crate) fn begin(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        state: Replicated,
    ) -> io::Result<Writing> {
        let mut first = Vec::new();
        let snapshot = Snapshot::begin(Arc::clone(engine), state.stamp, &mut first)
            .ok_or_else(|| io::Error::other("another snapshot is being written"))?;
        Ok(Writing { store: Arc::clone(self), state, snapshot, first })
    }

    /// A file for a snapshot that a leader sends.
    pub(crate) fn receive(&self) -> io::Result<Receiving> {
        // A name of its own: an earlier reception may not be over yet.
        let number = self.receptions.fetch_add(1, Ordering::Relaxed);
        let name = format!("{RECEIVING_PREFIX}{number}");
        let file = self.disk.create(&name)?;
        Ok(Receiving { name, file, disk: Arc::clone(&self.disk), complete: false })
    }

    /// Checks a snapshot, makes it the current one, and fills the engine from it.
    pub(crate) fn install(
        &self,
        engine: &Engine,
        snapshot: SnapshotFile,
    ) -> io::Result<Replicated> {
        let (state, image_at) = snapshot.head()?;
        let mut verifier = Verifier::new(engine.sizes());
        let damaged =
            |error: hallpass_engine::snapshot::RestoreError| snapshot.damaged(&error.to_string());
        snapshot.for_each_chunk(image_at, |chunk| verifier.feed(chunk).map_err(damaged))?;
        verifier.finish().map_err(damaged)?;
        self.keep(&state, &snapshot)?;
        engine.reset();
        let mut restorer = Restorer::new(engine).map_err(damaged)?;
        snapshot.for_each_chunk(image_at, |chunk| restorer.feed(chunk).map_err(damaged))?;
        restorer.finish().map_err(damaged)?;
        Ok(state)
    }

    /// Gives a complete file its name and removes those it replaces.
    fn keep(&self, state: &Replicated, snapshot: &SnapshotFile) -> io::Result<()> {
        let name = name_of(state);
        let mut current = self.current.lock();
        if current.as_ref().is_some_and(|current| current.name > name) {
            // A newer one came from the leader while this one was written, and the log begins after it.
            self.disk.remove(&snapshot.name)?;
            return Ok(());
        }
        if snapshot.name != name {
            snapshot.file.sync_data()?;
            self.disk.rename(&snapshot.name, &name)?;
            self.disk.sync_directory()?;
        }
        for other in self.disk.list()? {
            if other.starts_with(NAME_PREFIX) && other != name {
                self.disk.remove(&other)?;
            }
        }
        self.disk.sync_directory()?;
        *current = Some(SnapshotFile { name, file: Arc::clone(&snapshot.file) });
        Ok(())
    }
}

/// Appends and syncs, piece by piece: what a snapshot leaves unwritten the log's next sync may have to wait
/// for.
fn append_durably(file: &dyn DiskFile, bytes: &[u8]) -> io::Result<()> {
    file.append(&mut [IoSlice::new(bytes)])?;
    file.sync_data()
}

/// Ordered as the snapshots are.
fn name_of(state: &Replicated) -> String {
    let (term, index) = state.last_applied.map_or((0, 0), |id| (term_of(&id), id.index));
    format!("{NAME_PREFIX}{index:020}-{term:020}")
}

fn meta_of(state: &Replicated) -> SnapshotMeta {
    SnapshotMeta { last_log_id: state.last_applied, last_membership: state.membership.clone() }
}

/// A snapshot whose instant is fixed, to be written from any thread.
pub(crate) struct Writing {
    store: Arc<SnapshotStore>,
    state: Replicated,
    snapshot: Snapshot<Arc<Engine>>,
    /// What the image begins with.
    first: Vec<u8>,
}

impl Writing {
    /// Writes it and makes it the current one.
    pub(crate) fn write(mut self) -> io::Result<(SnapshotMeta, SnapshotFile)> {
        let disk = &self.store.disk;
        if disk.list()?.iter().any(|name| name == WRITING_NAME) {
            disk.remove(WRITING_NAME)?;
        }
        let file = disk.create(WRITING_NAME)?;
        let head = codec::encode(&Head {
            last_applied: self.state.last_applied,
            membership: self.state.membership.clone(),
            origins: self.state.origins.clone(),
            stamp_millis: self.state.stamp.millis(),
        });
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("too much is under way for a snapshot's head"));
        }
        let mut out = Vec::with_capacity(CHUNK_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(head.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
        out.extend_from_slice(&head);
        out.append(&mut self.first);
        let mut more = true;
        while more {
            more = self.snapshot.write_slice(&mut out);
            if out.len() >= CHUNK_BYTES || !more {
                append_durably(&*file, &out)?;
                out.clear();
            }
        }
        let written = SnapshotFile { name: WRITING_NAME.to_owned(), file };
        self.store.keep(&self.state, &written)?;
        self.store.current()?.ok_or_else(|| io::Error::other("a snapshot was just kept"))
    }
}

/// A snapshot on its way from the leader.
pub(crate) struct Receiving {
    name: String,
    file: Arc<dyn DiskFile>,
    disk: Arc<dyn Disk>,
    complete: bool,
}

impl Receiving {
    /// Takes the next piece.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        append_durably(&*self.file, bytes)
    }

    /// All pieces are here.
    pub(crate) fn finish(mut self) -> SnapshotFile {
        self.complete = true;
        SnapshotFile { name: self.name.clone(), file: Arc::clone(&self.file) }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.complete {
            // Given up. What cannot be removed now is cleared away by the next start.
            let _left = self.disk.remove(&self.name);
        }
    }
}
