//! A table in the arena: a slice of zeroed memory that is given back when it is dropped.
//!
//! Tables and slots lie in superblocks like the records, so that they are on huge pages too, and leave
//! no holes behind when they grow.

#![allow(unsafe_code)] // a leaf: raw memory from the arena

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use super::arena::Arena;

/// A type for which all bytes zero is a value, which needs no drop, and whose size is such that the arena
/// aligns it: a multiple of 64, or any for one that is aligned to a byte.
///
/// # Safety
/// As said.
pub(super) unsafe trait Zeroed: Copy {}

/// A slice in the arena.
pub(super) struct Block<T: Zeroed> {
    start: NonNull<T>,
    length: usize,
    arena: Arc<Arena>,
}

// SAFETY: it owns its memory, as a box does.
unsafe impl<T: Zeroed + Send> Send for Block<T> {}
// SAFETY: as above.
unsafe impl<T: Zeroed + Sync> Sync for Block<T> {}

impl<T: Zeroed> Block<T> {
    /// So many zeroed values, at least one.
    pub(super) fn new(arena: &Arc<Arena>, length: usize) -> Self {
        let start = arena.allocate_block(length * size_of::<T>()).cast();
        Self { start, length, arena: Arc::clone(arena) }
    }
}

impl<T: Zeroed> Deref for Block<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the block holds so many values, zeroed or written since.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T: Zeroed> DerefMut for Block<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and this is the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T: Zeroed> Drop for Block<T> {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this size, and nobody refers to it any more.
        unsafe { self.arena.free_block(self.start.cast(), self.length * size_of::<T>()) };
    }
}
