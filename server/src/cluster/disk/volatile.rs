//! A directory that forgets what was not synced when its process dies: `kill -9` becomes a power loss.
//!
//! The kernel's page cache outlives a killed process, so killing never tests a missing sync. Here
//! appended bytes wait in process memory until `sync_data`, and names until `sync_directory`, which
//! repeats the changes on the real directory in their order. A new file is real from the start under a
//! hidden name, which the next opening clears away. Nothing here is synced for real: the page cache is
//! this disk's platter. For tests of whole processes; it is as fast as memory, so time nothing on it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::real::{append_all, create_directory, list_files, lock_directory, open_existing};
use super::{DirectoryLock, Disk, DiskFile, LockError};

/// What the hidden names of files begin with that have no durable name yet.
const HIDDEN: &str = ".volatile-";

/// A real directory below, unsynced changes in memory.
pub struct VolatileDisk {
    directory: PathBuf,
    /// Taken at once: opening clears hidden files away, which must not be another's.
    lock: Mutex<Option<DirectoryLock>>,
    names: Mutex<Names>,
    /// How long a sync takes, half of it done.
    tearing: Option<Duration>,
}

/// The names as the process sees them, and what the real directory has not seen yet.
struct Names {
    live: BTreeMap<String, Arc<VolatileFile>>,
    pending: Vec<Change>,
    files_made: u64,
}

enum Change {
    Rename { from: String, to: String },
    Remove(String),
}

struct VolatileFile {
    content: Mutex<Content>,
    tearing: Option<Duration>,
}

struct Content {
    real: File,
    /// How much of the real file is still the file's beginning.
    kept_bytes: u64,
    /// What follows it and is not synced.
    unsynced: Vec<u8>,
}

impl VolatileDisk {
    /// The directory, which is made when it is missing. Locks it until [`Disk::lock`] hands the lock on.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, LockError> {
        Self::opened(directory, None)
    }

    /// As [`VolatileDisk::open`], and a sync takes this long: whoever is killed meanwhile leaves the first half
    /// of what was being written, and zeros for the rest.
    pub fn tearing(directory: impl Into<PathBuf>, sync_time: Duration) -> Result<Self, LockError> {
        Self::opened(directory, Some(sync_time))
    }

    fn opened(directory: impl Into<PathBuf>, tearing: Option<Duration>) -> Result<Self, LockError> {
        let directory = directory.into();
        let failed = |source| LockError::Io { directory: directory.clone(), source };
        create_directory(&directory).map_err(failed)?;
        let lock = lock_directory(&directory)?;
        let mut live = BTreeMap::new();
        for name in list_files(&directory).map_err(failed)? {
            let path = directory.join(&name);
            if name.starts_with(HIDDEN) {
                std::fs::remove_file(&path).map_err(failed)?;
                continue;
            }
            let file = VolatileFile::over(open_existing(&path).map_err(failed)?, tearing);
            live.insert(name, Arc::new(file.map_err(failed)?));
        }
        let names = Mutex::new(Names { live, pending: Vec::new(), files_made: 0 });
        Ok(Self { directory, lock: Mutex::new(Some(lock)), names, tearing })
    }
}

impl Disk for VolatileDisk {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn lock(&self) -> Result<DirectoryLock, LockError> {
        match self.lock.lock().take() {
            Some(lock) => Ok(lock),
            None => lock_directory(&self.directory),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut names = self.names.lock();
        if names.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.files_made += 1;
        let hidden = format!("{HIDDEN}{}", names.files_made);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true);
        let real = options.open(self.directory.join(&hidden))?;
        let file = Arc::new(VolatileFile::over(real, self.tearing)?);
        names.pending.push(Change::Rename { from: hidden, to: name.to_owned() });
        names.live.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let names = self.names.lock();
        let file = names.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::clone(file) as Arc<dyn DiskFile>)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names.lock().live.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = self.names.lock();
        let file = names.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.live.insert(to.to_owned(), file);
        names.pending.push(Change::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut names = self.names.lock();
        names.live.remove(name).ok_or(io::ErrorKind::NotFound)?;
        names.pending.push(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut names = self.names.lock();
        for change in std::mem::take(&mut names.pending) {
            match change {
                Change::Rename { from, to } => {
                    std::fs::rename(self.directory.join(from), self.directory.join(to))?;
                }
                Change::Remove(name) => std::fs::remove_file(self.directory.join(name))?,
            }
        }
        Ok(())
    }
}

impl VolatileFile {
    fn over(real: File, tearing: Option<Duration>) -> io::Result<Self> {
        let kept_bytes = real.metadata()?.len();
        let content = Content { real, kept_bytes, unsynced: Vec::new() };
        Ok(Self { content: Mutex::new(content), tearing })
    }
}

impl DiskFile for VolatileFile {
    fn bytes(&self) -> io::Result<u64> {
        let content = self.content.lock();
        Ok(content.kept_bytes + content.unsynced.len() as u64)
    }

    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut content = self.content.lock();
        for part in parts {
            content.unsynced.extend_from_slice(part);
        }
        Ok(())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.lock();
        let kept = content.kept_bytes.saturating_sub(offset).min(buffer.len() as u64);
        let (below, above) = buffer.split_at_mut(kept as usize);
        content.real.read_exact_at(below, offset)?;
        let start = (offset + kept).saturating_sub(content.kept_bytes) as usize;
        let end = start + above.len();
        let unsynced = content.unsynced.get(start..end);
        above.copy_from_slice(unsynced.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut content = self.content.lock();
        let unsynced = bytes.saturating_sub(content.kept_bytes);
        content.unsynced.truncate(unsynced as usize);
        content.kept_bytes = content.kept_bytes.min(bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let content = &mut *self.content.lock();
        if content.real.metadata()?.len() != content.kept_bytes {
            content.real.set_len(content.kept_bytes)?;
        }
        if let Some(time) = self.tearing {
            let (first, _) = content.unsynced.split_at(content.unsynced.len() / 2);
            append_all(&content.real, &mut [IoSlice::new(first)])?;
            content.real.set_len(content.kept_bytes + content.unsynced.len() as u64)?;
            std::thread::sleep(time);
            content.real.set_len(content.kept_bytes)?;
        }
        append_all(&content.real, &mut [IoSlice::new(&content.unsynced)])?;
        content.kept_bytes += content.unsynced.len() as u64;
        content.unsynced = Vec::new();
        Ok(())
    }
}
