//! What the fuzz targets share: cutting input into pieces, and the check that replies are well formed.
//!
//! `targets/` has one program each for the request parser, the snapshot reader and the commands;
//! `run` builds them with coverage counters and runs them from `seeds/`. A finding becomes a test in
//! the crate it is about; nothing here is linked into what users run.

pub mod pieces;
pub mod reply;
