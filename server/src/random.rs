//! Randomness: the operating system's for secrets, a fast generator for everything else.
//!
//! Only the server draws randomness; what an op needs travels in the op (design.md, section 2).

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = Cell::new(from_system());
}

/// Fills `bytes` from the operating system's generator.
///
/// Panics when it fails: a server that cannot draw session ids must not go on.
pub fn fill(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the operating system gives no randomness: {error}");
    }
}

/// 64 bits from the operating system.
pub fn from_system() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// 64 bits from this thread's generator (SplitMix64): for SPOP and RANDOMKEY, not for secrets.
pub fn next() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}
