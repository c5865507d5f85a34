//! What a read of memory costs that has to wait for the one before it: the measure of what a lookup costs
//! that comes to several places, each of which says where the next one is.
//!
//! A buffer as large as the store, on huge pages like the store's, is a chain through all its cache lines
//! in random order.

#![allow(unsafe_code)] // a leaf: the advice to use huge pages

use std::hint::black_box;
use std::time::Instant;

use crate::median;

const LINE_WORDS: usize = 8;
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// Reads that are timed, and how many times; the median counts.
const READS: u64 = 1_000_000;
const ROUNDS: usize = 3;

/// Nanoseconds of a read that depends on the one before, in a buffer of `bytes`.
pub(crate) fn nanos_a_read(bytes: u64) -> f64 {
    let lines = (bytes as usize / 64).max(2);
    let mut buffer: Vec<u64> = Vec::with_capacity(lines * LINE_WORDS + HUGE_PAGE_BYTES / 8);
    on_huge_pages(&mut buffer);
    buffer.resize(lines * LINE_WORDS, 0);
    // Sattolo: one cycle through all lines.
    let mut random = fastrand::Rng::with_seed(1);
    for line in 0..lines {
        buffer[line * LINE_WORDS] = line as u64;
    }
    for line in (1..lines).rev() {
        let other = random.usize(0..line);
        buffer.swap(line * LINE_WORDS, other * LINE_WORDS);
    }
    let chase = |reads: u64| {
        let mut line = 0;
        for _ in 0..reads {
            line = buffer[line as usize * LINE_WORDS];
        }
        black_box(line)
    };
    chase(READS / 4);
    median((0..ROUNDS).map(|_| {
        let start = Instant::now();
        chase(READS);
        start.elapsed().as_nanos() as f64 / READS as f64
    }))
}

fn on_huge_pages(buffer: &mut Vec<u64>) {
    let start = buffer.as_mut_ptr().addr().next_multiple_of(HUGE_PAGE_BYTES);
    let end =
        (buffer.as_mut_ptr().addr() + buffer.capacity() * 8) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if start < end {
        let offset = (start - buffer.as_mut_ptr().addr()) / 8;
        // SAFETY: the range lies in the buffer's own allocation; advice does not change its content.
        // Refused, it costs speed only.
        let _ = unsafe {
            rustix::mm::madvise(
                buffer.as_mut_ptr().add(offset).cast(),
                end - start,
                rustix::mm::Advice::LinuxHugepage,
            )
        };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_chain_of_any_length_is_walked() {
        for bytes in [0, 128, 1000, 5 << 20] {
            assert!(super::nanos_a_read(bytes) > 0.0);
        }
    }
}
