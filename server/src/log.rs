//! The log: short lines on stderr, each with the time. Ids, secrets and values never appear in it.

use std::fmt::Arguments;

/// Writes one line.
pub fn line(message: Arguments<'_>) {
    let seconds = crate::clock::wall_micros() / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    eprintln!("{hours:02}:{minutes:02}:{seconds:02} {message}");
}
