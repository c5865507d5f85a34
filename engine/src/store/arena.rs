//! Memory for records: size classes 8 bytes apart up to 1 KiB and 16 above, so that rounding costs 4 to
//! 8 bytes a record where general allocators lose 30 to 90 at session sizes.
//!
//! Superblocks of 2 MiB (a huge page each, but for a store's first) are cut into spans of whole pages;
//! a span holds objects of one class. The superblock's first pages hold a descriptor for each span,
//! found from an object's address by masking. A span without objects gives its pages back, and empty
//! superblocks go back to the system, when no lock is held. Larger objects come from the system's allocator;
//! tables are runs of pages.
//!
//! One lock a class, taken under a shard's lock and never the other way round; the page lock is taken
//! under a class lock. Callers give the size back when they free: records know theirs.

#![allow(unsafe_code)] // a leaf: raw memory is handled here and in the record files, nowhere else

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Objects are aligned to this many bytes.
const ALIGNMENT: usize = 8;
/// Up to this size, classes are [`ALIGNMENT`] bytes apart; above, twice as much.
const FINE_BYTES_MAX: usize = 1024;
/// Largest object that comes from a span.
const CLASS_BYTES_MAX: usize = 6144;
const FINE_CLASSES: usize = FINE_BYTES_MAX / ALIGNMENT;
const CLASSES: usize = FINE_CLASSES + (CLASS_BYTES_MAX - FINE_BYTES_MAX) / (2 * ALIGNMENT);
const PAGE_BYTES: usize = 4096;
const SUPERBLOCK_BYTES: usize = 2 << 20;
const SUPERBLOCK_PAGES: usize = SUPERBLOCK_BYTES / PAGE_BYTES;
/// Longest span, in pages.
const SPAN_PAGES_MAX: usize = 16;
/// What a class may hold for the lengths of its spans: a longer one loses less at its end, and more
/// while it fills, which matters less the more the class holds.
const CLASS_HOLDS_BYTES: [usize; 3] = [150_000, 1_000_000, 6_000_000];
/// Longest block that comes from a superblock.
const BLOCK_PAGES_MAX: usize = 256;

/// What is known of one span; it lies in its superblock's header at the index of its first page.
#[repr(C)]
#[derive(Clone, Copy)]
struct Span {
    /// Index + 1 of the first free object that was used before, 0 for none. Of a page that is not its
    /// span's first: that one.
    free: u16,
    /// Objects in use.
    live: u16,
    /// Objects never handed out begin at this index.
    fresh: u16,
    /// Size class, see [`class_bytes`], and from [`LENGTH_SHIFT`] on the number of pages; 0 pages say
    /// that this is not the span's first.
    class_and_pages: u16,
    /// Place in the class's list of spans with room, or `FULL`.
    position: u32,
}

const FULL: u32 = u32::MAX;
const LENGTH_SHIFT: u32 = 10;

#[repr(C)]
struct Header {
    spans: [Span; SUPERBLOCK_PAGES],
    /// One bit a page, set when it is in use.
    used: [u64; SUPERBLOCK_PAGES / 64],
    pages_used: u32,
    /// Place in the list of superblocks with room, or `FULL`.
    position: u32,
}

const HEADER_PAGES: usize = size_of::<Header>().div_ceil(PAGE_BYTES);

impl Span {
    fn class(self) -> usize {
        usize::from(self.class_and_pages) % (1 << LENGTH_SHIFT)
    }

    fn pages(self) -> usize {
        usize::from(self.class_and_pages >> LENGTH_SHIFT)
    }

    /// How many objects it has room for.
    fn objects(self) -> usize {
        self.pages() * PAGE_BYTES / class_bytes(self.class())
    }
}

/// A pointer to a superblock's header.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Superblock(NonNull<Header>);

/// A span: its superblock and first page.
#[derive(Clone, Copy)]
struct SpanAt {
    superblock: Superblock,
    page: usize,
}

#[derive(Default)]
struct Class {
    /// Spans that have a free object. The last one is served from.
    open: Vec<SpanAt>,
    /// Pages of all its spans.
    pages: usize,
}

#[derive(Default)]
struct Pages {
    /// Superblocks that may have free pages, each with a length that no run of its free pages exceeds: the
    /// headers of those that cannot serve are not looked at.
    open: Vec<(Superblock, usize)>,
    /// Empty ones: used again, or given back when no lock is held. One is kept, so that a store at the brink
    /// does not fault one in and give it back in turn.
    empty: Vec<Superblock>,
}

/// The allocator of records. Freeing with the wrong size corrupts it, so only the record files do.
pub(crate) struct Arena {
    classes: Box<[Mutex<Class>]>,
    pages: Mutex<Pages>,
    superblocks: AtomicUsize,
}

// SAFETY: the raw pointers in `Class` and `Pages` lead to memory owned by the arena, and every access
// to a header happens under the lock of the class or of the pages, as said at each function.
unsafe impl Send for Arena {}
// SAFETY: as above; there is no interior mutability outside the locks but the atomic counter.
unsafe impl Sync for Arena {}

/// The size class of an object.
const fn class_of(bytes: usize) -> usize {
    if bytes <= FINE_BYTES_MAX {
        bytes.div_ceil(ALIGNMENT) - 1
    } else {
        FINE_CLASSES + (bytes - FINE_BYTES_MAX).div_ceil(2 * ALIGNMENT) - 1
    }
}

/// The size of the objects of a class.
const fn class_bytes(class: usize) -> usize {
    if class < FINE_CLASSES {
        (class + 1) * ALIGNMENT
    } else {
        FINE_BYTES_MAX + (class + 1 - FINE_CLASSES) * 2 * ALIGNMENT
    }
}

/// The size an object of `bytes` really takes.
pub(crate) const fn rounded(bytes: usize) -> usize {
    if bytes > CLASS_BYTES_MAX {
        bytes.next_multiple_of(2 * ALIGNMENT)
    } else {
        class_bytes(class_of(bytes))
    }
}

/// How many pages a span of objects of `size` bytes has: what wastes least when the class holds so many
/// bytes. A short span loses more at its end, a long one more while it fills.
const fn span_pages(size: usize, holds_bytes: usize) -> usize {
    // Both losses as parts of a million.
    let mut best = (SPAN_PAGES_MAX, usize::MAX);
    let mut pages = 1;
    while pages <= SPAN_PAGES_MAX {
        let bytes = pages * PAGE_BYTES;
        if bytes >= 4 * size {
            let tail = (bytes % size) * 1_000_000 / bytes;
            let filling = bytes / 2 * 1_000_000 / holds_bytes;
            if tail + filling < best.1 {
                best = (pages, tail + filling);
            }
        }
        pages += 1;
    }
    best.0
}

/// The lengths of spans, by what their class holds and by class.
const SPAN_PAGES: [[u8; CLASSES]; CLASS_HOLDS_BYTES.len()] = {
    let mut table = [[0_u8; CLASSES]; CLASS_HOLDS_BYTES.len()];
    let mut tier = 0;
    while tier < CLASS_HOLDS_BYTES.len() {
        let mut class = 0;
        while class < CLASSES {
            table[tier][class] = span_pages(class_bytes(class), CLASS_HOLDS_BYTES[tier]) as u8;
            class += 1;
        }
        tier += 1;
    }
    table
};

/// How many pages the next span of a class has when the class has so many already.
fn next_span_pages(class_index: usize, pages: usize) -> usize {
    let holds = |bytes: &usize| pages * PAGE_BYTES < 2 * *bytes;
    let tier = CLASS_HOLDS_BYTES.iter().position(holds).unwrap_or(CLASS_HOLDS_BYTES.len() - 1);
    usize::from(SPAN_PAGES[tier][class_index])
}

fn superblock_layout() -> Layout {
    Layout::from_size_align(SUPERBLOCK_BYTES, SUPERBLOCK_BYTES).expect("a power of two")
}

/// Memory on huge pages, which save lookups an address translation. They are asked for before the memory
/// is touched: moving it onto one later stalls everybody for milliseconds.
fn reserve_huge(layout: Layout) -> NonNull<u8> {
    // SAFETY: the layout's size is not zero.
    let start =
        NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: the range is one live allocation; advice does not change its content. A kernel without
    // huge pages refuses, which costs speed only.
    unsafe {
        libc::madvise(start.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE);
    }
    start
}

fn huge_layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes.next_multiple_of(SUPERBLOCK_BYTES), SUPERBLOCK_BYTES)
        .expect("tables are shorter than the address space")
}

fn large_layout(bytes: usize) -> Layout {
    Layout::from_size_align(rounded(bytes), ALIGNMENT)
        .expect("objects are shorter than the address space")
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Arena {
    /// An arena that holds nothing yet.
    pub(crate) fn new() -> Self {
        let classes = (0..CLASSES).map(|_| Mutex::new(Class::default())).collect();
        Self { classes, pages: Mutex::new(Pages::default()), superblocks: AtomicUsize::new(0) }
    }

    /// Memory for `bytes` bytes (at least 1), aligned to 8, its content undefined.
    pub(crate) fn allocate(&self, bytes: usize) -> NonNull<u8> {
        assert!(bytes > 0, "an object has at least one byte");
        if bytes > CLASS_BYTES_MAX {
            let layout = large_layout(bytes);
            // SAFETY: the layout's size is not zero.
            return NonNull::new(unsafe { alloc(layout) })
                .unwrap_or_else(|| handle_alloc_error(layout));
        }
        let class_index = class_of(bytes);
        let mut class = self.classes[class_index].lock();
        let at = match class.open.last() {
            Some(&at) => at,
            None => self.open_span(&mut class, class_index),
        };
        // SAFETY: the class lock is held, and `at` was taken from the class's own list.
        unsafe { take_object(&mut class, at) }
    }

    /// Gives memory back.
    ///
    /// # Safety
    /// `object` came from [`Arena::allocate`] of this arena with a size that rounds to the same as
    /// `bytes`, was not freed since, and nothing refers to it any more.
    pub(crate) unsafe fn free(&self, object: NonNull<u8>, bytes: usize) {
        if bytes > CLASS_BYTES_MAX {
            // SAFETY: by the contract it came from `alloc` with this very layout.
            unsafe { dealloc(object.as_ptr(), large_layout(bytes)) };
            return;
        }
        let class_index = class_of(bytes);
        let mut class = self.classes[class_index].lock();
        // SAFETY: the object lies in an open span by the contract, and the class lock is held.
        let emptied = unsafe { put_object(&mut class, object, class_index) };
        if let Some(at) = emptied {
            self.close_span(&mut class, at);
        }
    }

    /// Zeroed memory for `bytes` bytes (at least 1) that stays for long: a table. Aligned to 64 when
    /// `bytes` is a multiple of that.
    pub(crate) fn allocate_block(&self, bytes: usize) -> NonNull<u8> {
        let start = if bytes <= CLASS_BYTES_MAX {
            self.allocate(bytes)
        } else if bytes <= BLOCK_PAGES_MAX * PAGE_BYTES {
            let at = self.take_pages(bytes.div_ceil(PAGE_BYTES));
            // SAFETY: the pages were taken for this block, and lie inside the superblock.
            unsafe { at.object(0, PAGE_BYTES) }
        } else {
            reserve_huge(huge_layout(bytes))
        };
        // SAFETY: just allocated with this size.
        unsafe { start.write_bytes(0, bytes) };
        start
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// It came from [`Arena::allocate_block`] of this arena with these `bytes`, was not freed since, and
    /// nothing refers to it any more.
    pub(crate) unsafe fn free_block(&self, start: NonNull<u8>, bytes: usize) {
        if bytes <= CLASS_BYTES_MAX {
            // SAFETY: by the contract.
            unsafe { self.free(start, bytes) };
        } else if bytes <= BLOCK_PAGES_MAX * PAGE_BYTES {
            let offset = start.as_ptr().addr() % SUPERBLOCK_BYTES;
            // SAFETY: superblocks are aligned to their size, and the block lies in one.
            let superblock = Superblock(unsafe { start.sub(offset) }.cast());
            let at = SpanAt { superblock, page: offset / PAGE_BYTES };
            self.put_pages(at, bytes.div_ceil(PAGE_BYTES));
        } else {
            // SAFETY: by the contract it was allocated with this layout.
            unsafe { dealloc(start.as_ptr(), huge_layout(bytes)) };
        }
    }

    /// Bytes reserved from the system for spans.
    #[cfg(test)]
    fn reserved_bytes(&self) -> usize {
        self.superblocks.load(Ordering::Relaxed) * SUPERBLOCK_BYTES
    }

    fn open_span(&self, class: &mut Class, class_index: usize) -> SpanAt {
        let (at, count) = self.take_span(class_index, class.pages);
        // SAFETY: the pages were just taken for this span, so its descriptors are ours to write, and
        // those of other spans are not touched.
        unsafe {
            let spans = at.superblock.spans();
            for page in at.page + 1..at.page + count {
                let free = at.page as u16;
                let rest = Span { free, live: 0, fresh: 0, class_and_pages: 0, position: FULL };
                spans.add(page).write(rest);
            }
            spans.add(at.page).write(Span {
                free: 0,
                live: 0,
                fresh: 0,
                class_and_pages: class_index as u16 | (count as u16) << LENGTH_SHIFT,
                position: class.open.len() as u32,
            });
        }
        class.open.push(at);
        class.pages += count;
        at
    }

    /// Takes an empty span off its class and frees its pages.
    fn close_span(&self, class: &mut Class, at: SpanAt) {
        // SAFETY: the class lock is held; the span belongs to this class.
        let count = unsafe {
            unlist(class, at);
            (*at.descriptor()).pages()
        };
        class.pages -= count;
        self.put_pages(at, count);
    }

    /// Pages for another span of a class that has so many already. A superblock's last pages serve for
    /// shorter spans before another one is reserved.
    fn take_span(&self, class_index: usize, pages: usize) -> (SpanAt, usize) {
        let count = next_span_pages(class_index, pages);
        let shorter = SPAN_PAGES.iter().rev().map(|lengths| usize::from(lengths[class_index]));
        let mut pages = self.pages.lock();
        for count in std::iter::once(count).chain(shorter.filter(|length| *length < count)) {
            if let Some(at) = pages.claim(count) {
                return (at, count);
            }
        }
        (self.reserve(&mut pages, count), count)
    }

    fn take_pages(&self, count: usize) -> SpanAt {
        let mut pages = self.pages.lock();
        pages.claim(count).unwrap_or_else(|| self.reserve(&mut pages, count))
    }

    /// Reserves a superblock and takes pages from it.
    fn reserve(&self, pages: &mut Pages, count: usize) -> SpanAt {
        let superblock = pages.empty.pop().unwrap_or_else(|| {
            let first = self.superblocks.fetch_add(1, Ordering::Relaxed) == 0;
            Superblock::reserve(first)
        });
        pages.list(superblock);
        pages.claim(count).expect("a fresh superblock has room")
    }

    fn put_pages(&self, at: SpanAt, count: usize) {
        let mut pages = self.pages.lock();
        // SAFETY: the page lock is held and the span's pages are no longer used by anyone.
        let (pages_used, position) = unsafe {
            at.superblock.release_run(at.page, count);
            (at.superblock.pages_used() as usize, at.superblock.position())
        };
        if position == FULL {
            pages.list(at.superblock);
        } else if let Some((_, longest)) = pages.open.get_mut(position as usize) {
            // The run may have joined others.
            *longest = SUPERBLOCK_PAGES - pages_used;
        }
        if pages_used == HEADER_PAGES {
            pages.unlist(at.superblock);
            pages.empty.push(at.superblock);
        }
    }

    /// Gives empty superblocks back to the system. To be called without a shard's lock: it takes the system
    /// some time.
    pub(crate) fn give_back(&self) {
        loop {
            let mut pages = self.pages.lock();
            if pages.empty.len() <= 1 {
                return;
            }
            let Some(superblock) = pages.empty.pop() else { return };
            drop(pages);
            self.superblocks.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: no span is left in it, it is in no list, and it was reserved with this layout.
            unsafe { dealloc(superblock.0.as_ptr().cast(), superblock_layout()) };
        }
    }
}

impl Pages {
    /// Takes `count` free pages in a row, from the newest superblock that has them.
    fn claim(&mut self, count: usize) -> Option<SpanAt> {
        let mut place = self.open.len();
        while place > 0 {
            place -= 1;
            let (superblock, longest) = self.open.get_mut(place)?;
            if *longest < count {
                continue;
            }
            let superblock = *superblock;
            // SAFETY: superblocks in the list are alive, and the page lock is held by whoever has `self`.
            match unsafe { superblock.claim_run(count) } {
                Ok(page) => {
                    return Some(SpanAt { superblock, page });
                }
                Err(0) => self.unlist(superblock),
                Err(found) => *longest = found,
            }
        }
        None
    }

    fn list(&mut self, superblock: Superblock) {
        // SAFETY: the superblock is alive, and the page lock is held by whoever has `self`.
        unsafe { superblock.set_position(self.open.len() as u32) };
        self.open.push((superblock, SUPERBLOCK_PAGES));
    }

    fn unlist(&mut self, superblock: Superblock) {
        // SAFETY: as in `list`; so is the superblock that moves into the gap.
        unsafe {
            let place = superblock.position();
            superblock.set_position(FULL);
            self.open.swap_remove(place as usize);
            if let Some((moved, _)) = self.open.get(place as usize) {
                moved.set_position(place);
            }
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // Records are freed by their shards before the arena goes; what is left are superblocks with no
        // object, which may be full of empty spans or listed.
        let pages = self.pages.get_mut();
        let mut seen = std::mem::take(&mut pages.empty);
        seen.extend(pages.open.iter().map(|(superblock, _)| *superblock));
        for class in &mut self.classes {
            for at in &class.get_mut().open {
                if !seen.contains(&at.superblock) {
                    seen.push(at.superblock);
                }
            }
        }
        for superblock in seen {
            // SAFETY: nothing refers to the arena any more, and each superblock is listed once.
            unsafe { dealloc(superblock.0.as_ptr().cast(), superblock_layout()) };
        }
    }
}

impl Superblock {
    /// A fresh one. The first of a store is not on a huge page, which is resident whole: an idle server
    /// stays small.
    fn reserve(first: bool) -> Self {
        let layout = superblock_layout();
        let start = if first {
            // SAFETY: the layout's size is not zero.
            NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
        } else {
            reserve_huge(layout)
        };
        let superblock = Self(start.cast());
        let mut used = [0_u64; SUPERBLOCK_PAGES / 64];
        used[0] = (1 << HEADER_PAGES) - 1;
        // SAFETY: the header lies inside the allocation and nobody else knows it yet. Span descriptors
        // are written before they are read, when a span is opened.
        unsafe {
            let header = superblock.0.as_ptr();
            (&raw mut (*header).used).write(used);
            (&raw mut (*header).pages_used).write(HEADER_PAGES as u32);
            (&raw mut (*header).position).write(FULL);
        }
        superblock
    }

    /// The descriptors. # Safety: the superblock is alive.
    unsafe fn spans(self) -> *mut Span {
        // SAFETY: by the contract the header is there.
        unsafe { (&raw mut (*self.0.as_ptr()).spans).cast() }
    }

    /// # Safety: the superblock is alive and the page lock is held.
    unsafe fn pages_used(self) -> u32 {
        // SAFETY: by the contract.
        unsafe { (*self.0.as_ptr()).pages_used }
    }

    /// # Safety: the superblock is alive and the page lock is held.
    unsafe fn position(self) -> u32 {
        // SAFETY: by the contract.
        unsafe { (*self.0.as_ptr()).position }
    }

    /// # Safety: the superblock is alive and the page lock is held.
    unsafe fn set_position(self, position: u32) {
        // SAFETY: by the contract.
        unsafe { (*self.0.as_ptr()).position = position }
    }

    /// Finds and marks `count` free pages in a row; how long the longest run is, if it is shorter.
    ///
    /// # Safety: alive, and the page lock is held.
    unsafe fn claim_run(self, count: usize) -> Result<usize, usize> {
        // SAFETY: by the contract nobody else touches `used` and `pages_used` now; class locks guard
        // the descriptors, which this does not touch.
        let (used, pages_used) = unsafe {
            let header = self.0.as_ptr();
            (&mut (*header).used, &mut (*header).pages_used)
        };
        let (mut run, mut longest) = (0, 0);
        for page in HEADER_PAGES..SUPERBLOCK_PAGES {
            run = if used[page / 64] >> (page % 64) & 1 == 0 { run + 1 } else { 0 };
            longest = longest.max(run);
            if run == count {
                let first = page + 1 - count;
                for taken in first..=page {
                    used[taken / 64] |= 1 << (taken % 64);
                }
                *pages_used += count as u32;
                return Ok(first);
            }
        }
        Err(longest)
    }

    /// Marks pages as free. # Safety: alive, the page lock is held, the pages are unused.
    unsafe fn release_run(self, first: usize, count: usize) {
        // SAFETY: as in `claim_run`.
        let (used, pages_used) = unsafe {
            let header = self.0.as_ptr();
            (&mut (*header).used, &mut (*header).pages_used)
        };
        for page in first..first + count {
            used[page / 64] &= !(1 << (page % 64));
        }
        *pages_used -= count as u32;
    }
}

impl SpanAt {
    /// The span's descriptor. # Safety: the span is open.
    unsafe fn descriptor(self) -> *mut Span {
        // SAFETY: by the contract; the page index lies inside the superblock.
        unsafe { self.superblock.spans().add(self.page) }
    }

    /// The object at `index`. # Safety: the span is open and has such an object.
    unsafe fn object(self, index: usize, size: usize) -> NonNull<u8> {
        let offset = self.page * PAGE_BYTES + index * size;
        // SAFETY: by the contract the object lies inside the superblock.
        unsafe { self.superblock.0.cast::<u8>().add(offset) }
    }
}

/// Takes the span off the class's list of those with room.
///
/// # Safety
/// The class lock is held and the span is in the list.
unsafe fn unlist(class: &mut Class, at: SpanAt) {
    // SAFETY: by the contract; the span moved into the gap is in the same list and so open, too.
    unsafe {
        let position = (*at.descriptor()).position as usize;
        class.open.swap_remove(position);
        if let Some(moved) = class.open.get(position) {
            (*moved.descriptor()).position = position as u32;
        }
        (*at.descriptor()).position = FULL;
    }
}

/// Takes one object out of a span with room.
///
/// # Safety
/// The class lock is held and the span is in the class's list.
unsafe fn take_object(class: &mut Class, at: SpanAt) -> NonNull<u8> {
    // SAFETY: by the contract the descriptor is ours. A free object holds the index + 1 of the next one
    // in its first two bytes.
    unsafe {
        let span = &mut *at.descriptor();
        let size = class_bytes(span.class());
        let objects = span.objects();
        let object = if span.free != 0 {
            let object = at.object(usize::from(span.free) - 1, size);
            span.free = object.cast::<u16>().read();
            object
        } else {
            span.fresh += 1;
            at.object(usize::from(span.fresh) - 1, size)
        };
        span.live += 1;
        if usize::from(span.live) == objects {
            unlist(class, at);
        }
        object
    }
}

/// The span that holds an object, and the object's offset in its superblock.
///
/// # Safety
/// The object is in use.
unsafe fn span_of(object: NonNull<u8>) -> (SpanAt, usize) {
    let offset = object.as_ptr().addr() % SUPERBLOCK_BYTES;
    // SAFETY: superblocks are aligned to their size, so stepping back by the offset lands on the header
    // of the one that holds the object; the descriptors were written when its span was opened.
    unsafe {
        let superblock = Superblock(object.sub(offset).cast());
        let page = offset / PAGE_BYTES;
        let span = *superblock.spans().add(page);
        let first = if span.pages() == 0 { usize::from(span.free) } else { page };
        (SpanAt { superblock, page: first }, offset)
    }
}

/// Puts an object back and returns its span when that is empty now.
///
/// # Safety
/// The class lock is held; the object is in use and belongs to the class.
unsafe fn put_object(class: &mut Class, object: NonNull<u8>, class_index: usize) -> Option<SpanAt> {
    // SAFETY: by the contract the span is open and its descriptor ours while the class lock is held.
    unsafe {
        let (at, offset) = span_of(object);
        let span = &mut *at.descriptor();
        assert_eq!(span.class(), class_index, "an object is freed with its own size");
        let size = class_bytes(class_index);
        let index = (offset - at.page * PAGE_BYTES) / size;
        object.cast::<u16>().write(span.free);
        span.free = index as u16 + 1;
        span.live -= 1;
        if span.position == FULL {
            span.position = class.open.len() as u32;
            class.open.push(at);
        }
        (span.live == 0).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(arena: &Arena, bytes: usize, stamp: u8) -> NonNull<u8> {
        let object = arena.allocate(bytes);
        // SAFETY: the object has `bytes` bytes.
        unsafe { object.write_bytes(stamp, bytes) };
        object
    }

    #[test]
    fn objects_keep_their_bytes_and_memory_is_reused() {
        let arena = Arena::new();
        let count = if cfg!(miri) { 200 } else { 20_000 };
        let mut held = Vec::new();
        for round in 0..3_u8 {
            for index in 0..count {
                let bytes = 1 + (index * 37) % 5000;
                held.push((fill(&arena, bytes, index as u8 ^ round), bytes, index as u8 ^ round));
            }
            for (object, bytes, stamp) in held.drain(..) {
                // SAFETY: it was allocated with this size above and is freed once.
                unsafe {
                    assert_eq!(object.read(), stamp);
                    assert_eq!(object.add(bytes - 1).read(), stamp);
                    arena.free(object, bytes);
                }
            }
        }
        arena.give_back();
        assert_eq!(arena.reserved_bytes(), SUPERBLOCK_BYTES, "all but a spare one went back");
    }

    #[test]
    fn spans_waste_little() {
        for (tier, at_most) in [(0, 25), (1, 6), (2, 6)] {
            for (class, pages) in SPAN_PAGES[tier].into_iter().enumerate() {
                let size = class_bytes(class);
                let bytes = usize::from(pages) * PAGE_BYTES;
                assert!(bytes / size >= 4, "a span of {size}-byte objects holds several");
                let tail = bytes % size;
                assert!(tail * 100 <= bytes * at_most, "{size}: {tail} of {bytes} unused");
            }
        }
    }

    // A full superblock at the end of the list kept those before it from being asked: with every one
    // that filled up a new one was reserved, however much room the others had.
    #[test]
    fn freed_pages_are_used_again() {
        let arena = Arena::new();
        let mut old: Vec<_> = (0..4000).map(|_| arena.allocate(4000)).collect();
        // One in a hundred stays, so that no superblock goes back.
        let go = old.iter().enumerate().filter(|(index, _)| index % 100 != 0);
        for (_, object) in go {
            // SAFETY: it was allocated with this size and is freed once.
            unsafe { arena.free(*object, 4000) };
        }
        let before = arena.reserved_bytes();
        let new: Vec<_> = (0..3000).map(|_| arena.allocate(2000)).collect();
        assert_eq!(arena.reserved_bytes(), before, "the freed pages suffice");
        old = old.into_iter().step_by(100).collect();
        for (objects, bytes) in [(old, 4000), (new, 2000)] {
            for object in objects {
                // SAFETY: as above.
                unsafe { arena.free(object, bytes) };
            }
        }
        arena.give_back();
        assert_eq!(arena.reserved_bytes(), SUPERBLOCK_BYTES, "all but a spare one went back");
    }

    #[test]
    fn blocks_of_every_size_are_zeroed_and_given_back() {
        let arena = Arena::new();
        for _ in 0..2 {
            let mut held = Vec::new();
            for bytes in [64, 384, 4096, 6144, 12_288, 100_032, 1 << 20, (1 << 20) + 64, 3 << 20] {
                let start = arena.allocate_block(bytes);
                assert_eq!(start.as_ptr().addr() % 64, 0);
                // SAFETY: the block has `bytes` bytes.
                unsafe {
                    assert!(
                        std::slice::from_raw_parts(start.as_ptr(), bytes).iter().all(|b| *b == 0)
                    );
                    start.write_bytes(7, bytes);
                }
                held.push((start, bytes));
            }
            for (start, bytes) in held {
                // SAFETY: it was allocated with this size above and is freed once.
                unsafe { arena.free_block(start, bytes) };
            }
        }
        arena.give_back();
        assert_eq!(arena.reserved_bytes(), SUPERBLOCK_BYTES, "all but a spare one went back");
    }
}
