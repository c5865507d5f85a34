//! Chance from the operating system, replaced: what asks for it gets bytes from the run's seed.
//!
//! The standard library seeds its hash tables with it, and tokio the order in which it wakes tasks. Only a
//! process that simulates one seed from its start to its end is repeatable, so each seed has its own.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

static STATE: AtomicU64 = AtomicU64::new(0);

/// From here on the bytes follow from `seed`. To be called before anything asks.
pub(crate) fn seed(seed: u64) {
    STATE.store(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), Ordering::Relaxed);
}

/// What libc has under this name, which the standard library calls.
///
/// # Safety
/// `buffer` is valid for `length` bytes of writing.
// SAFETY: the name, the arguments and the result are libc's; nothing else in this program has the name.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for offset in 0..length {
        let drawn = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // SAFETY: the caller promises `length` bytes from `buffer` on.
        unsafe { buffer.add(offset).write((mixed >> 56) as u8) };
    }
    length as isize
}
