//! What tests of readers share: bytes damaged in many ways, and an allocator that notes the sizes asked
//! for. A binary that uses it says `#[global_allocator] static WATCHED: Watched = Watched;`.

#![allow(unsafe_code)] // the allocator
#![allow(unreachable_pub)] // each test binary has this module of its own

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, noting the largest piece that a thread asked for.
pub struct Watched;

thread_local! {
    pub static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: by the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: by the caller's contract.
        unsafe { System.dealloc(start, layout) }
    }
}

pub fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Damages bytes somewhere: flips, cuts, splices, and lengths that are much too large.
pub fn damage(bytes: &mut Vec<u8>, state: &mut u64) {
    for _ in 0..=roll(state) % 3 {
        let length = bytes.len().max(1);
        let (at, other) = (roll(state) as usize % length, roll(state) as usize % length);
        match roll(state) % 7 {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (roll(state) % 8);
                }
            }
            2 => bytes.truncate(at),
            3 => {
                let piece = bytes[at.min(other)..at.max(other).min(at.min(other) + 64)].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => drop(bytes.drain(at.min(other)..at.max(other).min(at.min(other) + 40))),
            5 => {
                let varint = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
                let keep = 10 - roll(state) as usize % 9;
                bytes.splice(at..(at + 1).min(bytes.len()), varint[10 - keep..].iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = [0, 1, 0x7f, 0x80, 0xff, 3][roll(state) as usize % 6];
                }
            }
        }
    }
}
