//! Snapshots: a consistent image out of a running store, and back into a new one.
//!
//! ```text
//! header  "HALLPASS" version u16, then a block: stamp, generations
//! blocks  length u32, CRC-32 u32, that many bytes: entries one after the other
//! end     a block of length 0 whose checksum word is the CRC-32 of the count, then the count u64
//! ```
//!
//! Fixed-width numbers are little-endian. Nothing in an image could be presented as a credential:
//! sessions are there by the hash of their id only (promise 7). [`Snapshot`] writes it in slices between
//! which the store goes on; [`restore()`] reads it into an empty engine and refuses anything that is
//! damaged, leaving that engine to be dropped.

mod entry;
pub(crate) mod image;
mod restore;
mod write;

pub use self::restore::{RestoreError, restore};
pub use self::write::{Snapshot, to_bytes};

const MAGIC: &[u8; 8] = b"HALLPASS";
const VERSION: u16 = 1;
/// A block is closed when it has grown past this, so it is longer by one entry at the most.
const BLOCK_BYTES: usize = 256 << 10;
