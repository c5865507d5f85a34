//! Snapshots: a consistent image out of a running store, and back into a new one.
//!
//! ```text
//! header  "HALLPASS" version u16, then a block: stamp, generations
//! blocks  length u32, CRC-32 u32, that many bytes: entries one after the other
//! end     a block of length 0 whose checksum word is the CRC-32 of the count, then the count u64
//! ```
//!
//! Fixed-width numbers are little-endian. Nothing in an image could be presented as a credential:
//! sessions are there by the hash of their id only (promise 7). Nothing that an op's outcome depends on
//! is missing: the order of a set's members is part of it, as SPOP picks by place.
//!
//! [`Snapshot`] writes an image in slices between which the store goes on. [`Restorer`] reads one into an
//! empty engine, and [`Verifier`] into nothing; both take it in pieces and refuse anything that is
//! damaged. [`to_bytes`] and [`restore()`] do it at once, for tests and small stores.

mod entry;
mod framing;
pub(crate) mod image;
mod restore;
mod verify;
mod write;

pub use self::restore::{RestoreError, Restorer, restore};
pub use self::verify::Verifier;
pub use self::write::{Snapshot, to_bytes};

const MAGIC: &[u8; 8] = b"HALLPASS";
const VERSION: u16 = 1;
/// A block is closed when it has grown past this, so it is longer by one entry at the most.
const BLOCK_BYTES: usize = 256 << 10;
