//! What can go wrong with a log: when it is opened, and while it is used.
//!
//! Each error says what failed, in which file and where, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cluster::disk::LockError;

/// Why a log in use failed. The first failure of a write or sync ends the log for good: every later
/// call gets the same error, because what a failed sync leaves behind cannot be known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused.
    #[error(
        "the log failed to {action} {}: {source}; nothing after it was acknowledged. Make room or \
         replace the disk, then start again",
        file.display()
    )]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        file: PathBuf,
        /// The disk's own words.
        source: Arc<io::Error>,
    },
    /// A record that was sound is not any more.
    #[error(
        "the log's file {} is damaged at offset {offset}: the entry {index} cannot be read back. \
         Restore this node from the others, under a new id",
        file.display()
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// The entry that should be there.
        index: u64,
    },
}

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is another's.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The disk refused.
    #[error("the log cannot be opened: failed to {action} {}: {source}", file.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        file: PathBuf,
        /// The disk's own words.
        source: Arc<io::Error>,
    },
    /// Bytes that had been durable are not what they were.
    #[error(
        "the log's file {} is damaged at offset {offset}: {what}. This is no torn write of a power \
         loss; acknowledged entries may be lost. Restore this node from the others, under a new id",
        file.display()
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What shows that it is damage.
        what: String,
    },
    /// Files are missing.
    #[error(
        "the log in {} has a gap: {what}. Put the missing files back, or restore this node from the \
         others, under a new id",
        directory.display()
    )]
    Missing {
        /// The log's directory.
        directory: PathBuf,
        /// What is missing.
        what: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "the log's file {} has format version {version} at offset {offset}, which this program does \
         not know: start it with the version that wrote it, or a later one",
        file.display()
    )]
    Unsupported {
        /// Which file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// The version found.
        version: u16,
    },
    /// No thread could be started.
    #[error("the log's writer thread cannot be started: {0}")]
    Thread(io::Error),
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io { action, file, source } => Self::Io { action, file, source },
            LogError::Damaged { file, offset, index } => {
                Self::Damaged { file, offset, what: format!("the entry {index} cannot be read") }
            }
        }
    }
}
