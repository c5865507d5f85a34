//! A directory of the operating system: `fdatasync` for data, `fsync` of the directory for names.
//!
//! The lock is `flock` on a file of its own, so it goes with the process however that ends. Writes go
//! to the end of what was appended, which lies before the file's own end when room is reserved.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FallocateFlags;

use super::{DirectoryLock, Disk, DiskFile, LOCK_NAME, LockError};

/// A real directory.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
}

impl RealDisk {
    /// The directory, which is made when it is missing. Its own name is made durable, too.
    pub fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        create_directory(&directory)?;
        Ok(Self { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Disk for RealDisk {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn lock(&self) -> Result<DirectoryLock, LockError> {
        lock_directory(&self.directory)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(self.path(name))?;
        Ok(Arc::new(RealFile { file, end: AtomicU64::new(0) }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(name))?;
        let end = AtomicU64::new(file.metadata()?.len());
        Ok(Arc::new(RealFile { file, end }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        list_files(&self.directory)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        sync_directory(&self.directory)
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    /// Where the next append goes. One thread appends at a time.
    end: AtomicU64,
}

impl DiskFile for RealFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.end.load(Ordering::Acquire))
    }

    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let end = self.end.load(Ordering::Acquire);
        let written = write_all_at(&self.file, parts, end)?;
        self.end.store(end + written, Ordering::Release);
        Ok(())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        self.end.fetch_min(bytes, Ordering::AcqRel);
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let end = self.end.load(Ordering::Acquire);
        let room = bytes.saturating_sub(end);
        if room > 0 {
            rustix::fs::fallocate(&self.file, FallocateFlags::empty(), end, room)?;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Makes a directory and those above it, each with a durable name.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_directory(parent)?;
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    sync_directory(parent)
}

pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

pub(super) fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

pub(super) fn list_files(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        // A name that is no UTF-8 is none of ours.
        if let Some(name) = name.to_str()
            && entry.file_type()?.is_file()
            && name != LOCK_NAME
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Writes everything from `offset` on, however little the system takes at a time; how many bytes.
fn write_all_at(file: &File, mut parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<u64> {
    // Empty slices at the front would look like a write that makes no progress.
    IoSlice::advance_slices(&mut parts, 0);
    let mut done = 0;
    while !parts.is_empty() {
        match rustix::io::pwritev(file, parts, offset + done) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                done += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

/// Appends everything to a file that was opened for that.
pub(super) fn append_all(mut file: &File, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Empty slices at the front would look like a write that makes no progress.
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match file.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn lock_directory(directory: &Path) -> Result<DirectoryLock, LockError> {
    let failed = |source| LockError::Io { directory: directory.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(directory.join(LOCK_NAME)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(failed)?;
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            write!(file, "process {}", std::process::id()).map_err(failed)?;
            Ok(DirectoryLock::new(file))
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The holder's name is a help only: without it the answer stays the same.
            let _ = file.take(64).read_to_string(&mut holder);
            if holder.is_empty() {
                "another process".clone_into(&mut holder);
            }
            Err(LockError::InUse { directory: directory.to_owned(), holder })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
