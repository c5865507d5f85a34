//! A directory, as the log and the snapshots need it, and nothing a file system does not promise.
//!
//! What is appended is durable only after [`DiskFile::sync_data`], and a name that was created, renamed
//! or removed only after [`Disk::sync_directory`]; until then a power loss may keep any part of it. Three
//! implementations: [`RealDisk`]; [`VolatileDisk`], which holds in process memory what is not synced, so
//! that `kill -9` is a power loss; and [`SimulatedDisk`], in memory, which loses, tears, fails and fills
//! up on request. There is no free-space call: a full disk is an append's own error.

mod real;
mod simulated;
mod volatile;

#[cfg(test)]
pub(in crate::cluster) mod tests;

use std::any::Any;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::real::RealDisk;
pub use self::simulated::{Remains, SimulatedDisk};
pub use self::volatile::VolatileDisk;

/// The file that is locked while a directory is in use; it holds the process id of its user.
const LOCK_NAME: &str = "LOCK";

/// A directory of files with flat names.
///
/// Names are plain: no separators. All calls may come from any thread.
pub trait Disk: Send + Sync + 'static {
    /// Where it is, for messages.
    fn directory(&self) -> &Path;

    /// Takes the directory for this process until the lock is dropped.
    fn lock(&self) -> Result<DirectoryLock, LockError>;

    /// Makes a new, empty file; an existing one is an error.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file to read and append.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// The names of all files, sorted, without the lock's own.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name, replacing what bore it, in one step.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name; who has the file open can go on reading it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every name created, renamed or removed before durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// An open file that grows at its end only.
pub trait DiskFile: Send + Sync {
    /// The file's length, without the room that was reserved since it was opened.
    fn bytes(&self) -> io::Result<u64>;

    /// Writes all the parts, one after the other, at the end. After an error any prefix of them may be
    /// there. The slices are used up.
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Fills the buffer from `offset` on; the file's end before that is an error.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Shortens the file; of what was reserved nothing stays.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Makes room after what was appended, up to so many bytes in all, and fills it with zeros: appends that
    /// do not make the file longer are made durable with less work. Until it is cut off, or filled, the
    /// next opening finds the zeros at the file's end. A disk need not do it.
    fn reserve(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    /// Makes everything appended or cut so far durable. After an error none of it can be relied on,
    /// and a later success says nothing about it: the system may have dropped the bytes.
    fn sync_data(&self) -> io::Result<()>;
}

/// A directory's lock, held until this is dropped.
pub struct DirectoryLock {
    _held: Box<dyn Any + Send + Sync>,
}

impl DirectoryLock {
    /// A lock that is given back when `held` is dropped.
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self { _held: Box::new(held) }
    }
}

impl std::fmt::Debug for DirectoryLock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DirectoryLock")
    }
}

/// Why a directory was not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error(
        "the directory {} is in use by {holder}: stop that, or choose another directory",
        directory.display()
    )]
    InUse {
        /// Which directory.
        directory: PathBuf,
        /// Who has it, as far as the lock file says.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("the directory {} cannot be locked: {source}", directory.display())]
    Io {
        /// Which directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}
