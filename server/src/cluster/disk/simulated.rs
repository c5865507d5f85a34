//! A directory in memory that does, by a seed, what disks and power do at their worst.
//!
//! Clones share one directory. [`SimulatedDisk::crash`] ends all of them, with the files opened through
//! them, and returns what a new process finds: the synced content, and of the rest what [`Remains`] says.
//! On request the power goes after a number of operations, a sync fails, the disk is full, or bits
//! flip. The same seed and the same calls give the same bytes.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Weak};

use fastrand::Rng;
use parking_lot::Mutex;

use super::{DirectoryLock, Disk, DiskFile, LockError};

/// What a crash writes or leaves out in one piece.
const BLOCK_BYTES: usize = 512;

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing at all.
    Nothing,
    /// Of each file's appended bytes, and of the directory's changes, a prefix.
    Prefix,
    /// Of each file any of the blocks and any length, zeros in the holes; of the directory's changes
    /// any that are possible.
    Blocks,
    /// All of it, as when a process dies and the machine does not: it stays unsynced, and the next
    /// crash may take it.
    Everything,
}

/// A handle to a directory in memory.
#[derive(Clone)]
pub struct SimulatedDisk {
    machine: Arc<Mutex<Machine>>,
    /// Which start of the machine this handle belongs to.
    start: u64,
}

struct Machine {
    random: Rng,
    starts: u64,
    files: Vec<Content>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Change>,
    lock: Weak<()>,
    operations: u64,
    power_until: Option<u64>,
    syncs: u64,
    failing_sync: Option<u64>,
    capacity_bytes: Option<u64>,
}

#[derive(Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Where the next append goes: before the end when room is reserved.
    end: usize,
    /// Whether a sync has failed: the system then thinks the bytes clean, and no later one helps.
    forgotten: bool,
}

#[derive(Clone)]
enum Change {
    Create { name: String, file: usize },
    Rename { from: String, to: String },
    Remove(String),
}

impl SimulatedDisk {
    /// An empty directory.
    pub fn new(seed: u64) -> Self {
        let machine = Machine {
            random: Rng::with_seed(seed),
            starts: 0,
            files: Vec::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            lock: Weak::new(),
            operations: 0,
            power_until: None,
            syncs: 0,
            failing_sync: None,
            capacity_bytes: None,
        };
        Self { machine: Arc::new(Mutex::new(machine)), start: 0 }
    }

    /// Puts a durable file there, replacing what bears the name.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut machine = self.machine.lock();
        let file = machine.files.len();
        let (live, durable, end) = (bytes.to_vec(), bytes.to_vec(), bytes.len());
        machine.files.push(Content { live, durable, end, forgotten: false });
        machine.live.insert(name.to_owned(), file);
        machine.durable.insert(name.to_owned(), file);
    }

    /// A file's bytes as a process sees them, and so of all files: names and bytes.
    pub fn content(&self) -> BTreeMap<String, Vec<u8>> {
        let machine = self.machine.lock();
        let bytes = |file: &usize| machine.files.get(*file).map(|content| content.live.clone());
        machine
            .live
            .iter()
            .filter_map(|(name, file)| bytes(file).map(|bytes| (name.clone(), bytes)))
            .collect()
    }

    /// How many operations have changed or synced something: create, append, truncate, rename,
    /// remove and both syncs count, reads do not.
    pub fn operations(&self) -> u64 {
        self.machine.lock().operations
    }

    /// Cuts the power after so many operations, counted from the beginning: all later ones fail.
    pub fn cut_power_after(&self, operations: u64) {
        self.machine.lock().power_until = Some(operations);
    }

    /// Lets the sync fail that comes after so many others, and the bytes it was for be forgotten.
    pub fn fail_sync_after(&self, syncs: u64) {
        let mut machine = self.machine.lock();
        machine.failing_sync = Some(machine.syncs + syncs);
    }

    /// Bounds what the files hold together; an append beyond it writes what fits and fails.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine.lock().capacity_bytes = bytes;
    }

    /// Flips one bit of a file, both as seen and on the platter. False when the file is not that long.
    pub fn flip_bit(&self, name: &str, bit: u64) -> bool {
        let mut machine = self.machine.lock();
        let Some(file) = machine.live.get(name).copied() else { return false };
        let Some(content) = machine.files.get_mut(file) else { return false };
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        let mut flipped = false;
        for bytes in [&mut content.live, &mut content.durable] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= mask;
                flipped = true;
            }
        }
        flipped
    }

    /// Ends every handle and file of this directory and returns what the next start finds. Faults
    /// that were asked for are over.
    #[must_use = "the old handles are dead"]
    pub fn crash(&self, remains: Remains) -> Self {
        let machine = &mut *self.machine.lock();
        if remains != Remains::Everything {
            machine.lose(remains);
        }
        machine.starts += 1;
        machine.lock = Weak::new();
        machine.power_until = None;
        machine.failing_sync = None;
        machine.capacity_bytes = None;
        Self { machine: Arc::clone(&self.machine), start: machine.starts }
    }

    /// The machine, if this handle's power is on.
    fn running<T>(&self, work: impl FnOnce(&mut Machine) -> io::Result<T>) -> io::Result<T> {
        let mut machine = self.machine.lock();
        if machine.starts == self.start { work(&mut machine) } else { Err(no_power()) }
    }

    /// As [`Self::running`], for an operation that counts.
    fn operate<T>(&self, work: impl FnOnce(&mut Machine) -> io::Result<T>) -> io::Result<T> {
        self.running(|machine| {
            if machine.power_until.is_some_and(|until| machine.operations >= until) {
                return Err(no_power());
            }
            machine.operations += 1;
            work(machine)
        })
    }

    fn handle(&self, file: usize) -> Arc<dyn DiskFile> {
        Arc::new(SimulatedFile { disk: self.clone(), file })
    }
}

impl Disk for SimulatedDisk {
    fn directory(&self) -> &Path {
        Path::new("simulated")
    }

    fn lock(&self) -> Result<DirectoryLock, LockError> {
        let mut machine = self.machine.lock();
        if machine.lock.upgrade().is_some() {
            let holder = "another user of the simulated disk".to_owned();
            return Err(LockError::InUse { directory: self.directory().to_owned(), holder });
        }
        let held = Arc::new(());
        machine.lock = Arc::downgrade(&held);
        Ok(DirectoryLock::new(held))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.operate(|machine| {
            if machine.live.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let file = machine.files.len();
            machine.files.push(Content::default());
            machine.change(Change::Create { name: name.to_owned(), file });
            Ok(self.handle(file))
        })
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.running(|machine| Ok(self.handle(machine.named(name)?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.running(|machine| Ok(machine.live.keys().cloned().collect()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate(|machine| {
            machine.named(from)?;
            machine.change(Change::Rename { from: from.to_owned(), to: to.to_owned() });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.operate(|machine| {
            machine.named(name)?;
            machine.change(Change::Remove(name.to_owned()));
            Ok(())
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.operate(|machine| {
            machine.count_sync()?;
            machine.durable.clone_from(&machine.live);
            machine.pending.clear();
            Ok(())
        })
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
}

impl DiskFile for SimulatedFile {
    fn bytes(&self) -> io::Result<u64> {
        self.disk.running(|machine| Ok(machine.content(self.file)?.end as u64))
    }

    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.disk.operate(|machine| {
            let free = machine.free_bytes();
            let content = machine.content(self.file)?;
            let mut room = free.saturating_add(content.live.len() - content.end);
            for part in parts {
                let (fits, beyond) = part.split_at(room.min(part.len()));
                content.write(fits);
                room -= fits.len();
                if !beyond.is_empty() {
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            Ok(())
        })
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.running(|machine| {
            let start = offset as usize;
            let bytes = machine.content(self.file)?.live.get(start..start + buffer.len());
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.disk.operate(|machine| {
            let content = machine.content(self.file)?;
            content.live.truncate(bytes as usize);
            content.end = content.end.min(content.live.len());
            Ok(())
        })
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.disk.operate(|machine| {
            let free = machine.free_bytes();
            let content = machine.content(self.file)?;
            let more = (bytes as usize).saturating_sub(content.live.len());
            if more > free {
                return Err(io::ErrorKind::StorageFull.into());
            }
            content.live.resize(content.live.len() + more, 0);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.operate(|machine| {
            let counted = machine.count_sync();
            let content = machine.content(self.file)?;
            content.forgotten |= counted.is_err();
            if !content.forgotten {
                content.durable.clone_from(&content.live);
            }
            counted
        })
    }
}

impl Machine {
    /// Makes of the unsynced what is left of it, and that durable.
    fn lose(&mut self, remains: Remains) {
        let mut names = self.durable.clone();
        let pending = std::mem::take(&mut self.pending);
        let prefix = self.random.usize(..=pending.len());
        for (position, change) in pending.into_iter().enumerate() {
            let kept = match remains {
                Remains::Nothing => false,
                Remains::Prefix => position < prefix,
                Remains::Blocks => self.random.bool(),
                Remains::Everything => true,
            };
            if kept {
                change.apply(&mut names);
            }
        }
        for content in &mut self.files {
            content.lose(remains, &mut self.random);
        }
        self.live.clone_from(&names);
        self.durable = names;
    }

    fn named(&self, name: &str) -> io::Result<usize> {
        Ok(*self.live.get(name).ok_or(io::ErrorKind::NotFound)?)
    }

    /// How much the files may still grow together.
    fn free_bytes(&self) -> usize {
        let named = self.live.values().filter_map(|file| self.files.get(*file));
        let used: usize = named.map(|file| file.live.len()).sum();
        let capacity = self.capacity_bytes.map_or(usize::MAX, |bytes| bytes as usize);
        capacity.saturating_sub(used)
    }

    fn content(&mut self, file: usize) -> io::Result<&mut Content> {
        Ok(self.files.get_mut(file).ok_or(io::ErrorKind::NotFound)?)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    fn count_sync(&mut self) -> io::Result<()> {
        let failing = self.failing_sync == Some(self.syncs);
        self.syncs += 1;
        if failing { Err(io::Error::other("the simulated sync failed")) } else { Ok(()) }
    }
}

impl Change {
    /// Does the change where it is possible: a rename needs its file.
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create { name, file } => {
                names.insert(name.clone(), *file);
            }
            Self::Rename { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Content {
    /// Writes over reserved room, and longer.
    fn write(&mut self, bytes: &[u8]) {
        let over = bytes.len().min(self.live.len() - self.end);
        let (inside, beyond) = bytes.split_at(over);
        if let Some(room) = self.live.get_mut(self.end..self.end + over) {
            room.copy_from_slice(inside);
        }
        self.live.extend_from_slice(beyond);
        self.end += bytes.len();
    }

    fn lose(&mut self, remains: Remains, random: &mut Rng) {
        let left = match remains {
            Remains::Nothing => self.durable.clone(),
            Remains::Everything => self.live.clone(),
            Remains::Prefix => self.prefix(random),
            Remains::Blocks => self.blocks(random),
        };
        let end = left.len();
        *self = Self { live: left.clone(), durable: left, end, forgotten: false };
    }

    /// The durable bytes with a part of what was written after them. A cut happened or did not.
    fn prefix(&self, random: &mut Rng) -> Vec<u8> {
        let alike =
            self.live.iter().zip(&self.durable).take_while(|(live, durable)| live == durable);
        let alike = alike.count();
        let room = self.durable.get(alike..).unwrap_or_default();
        if self.live.len() >= self.durable.len() && room.iter().all(|byte| *byte == 0) {
            let end = random.usize(alike..=self.live.len());
            let written = self.live.iter().take(end);
            return written.chain(self.durable.iter().skip(end)).copied().collect();
        }
        if random.bool() { self.live.clone() } else { self.durable.clone() }
    }

    /// Each block as seen or as durable, and a length between the two.
    fn blocks(&self, random: &mut Rng) -> Vec<u8> {
        let (shorter, longer) =
            (self.live.len().min(self.durable.len()), self.live.len().max(self.durable.len()));
        let bytes = match random.u8(..3) {
            0 => shorter,
            1 => longer,
            _ => random.usize(shorter..=longer),
        };
        let mut left = vec![0; bytes];
        for (number, block) in left.chunks_mut(BLOCK_BYTES).enumerate() {
            let source = if random.bool() { &self.live } else { &self.durable };
            let start = number * BLOCK_BYTES;
            let end = source.len().min(start + block.len());
            if let Some(source) = source.get(start..end)
                && let Some(block) = block.get_mut(..source.len())
            {
                block.copy_from_slice(source);
            }
        }
        left
    }
}

fn no_power() -> io::Error {
    io::Error::other("the simulated power is off")
}
