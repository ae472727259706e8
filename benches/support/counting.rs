//! An allocator that counts what is in use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the bytes in use, and remembers the most that there were.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn grew(bytes: usize) {
        PEAK.fetch_max(IN_USE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
    }
}

// SAFETY: everything is left to the system's allocator; the counts are only read.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::grew(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        Self::grew(new_size);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bytes in use.
pub(crate) fn in_use() -> usize {
    IN_USE.load(Relaxed)
}

/// The most bytes that were in use since [`forget_peak`].
#[allow(dead_code, reason = "not every bench asks for it")]
pub(crate) fn peak() -> usize {
    PEAK.load(Relaxed)
}

/// Looks for the most bytes from now on; returns those in use.
#[allow(dead_code, reason = "not every bench asks for it")]
pub(crate) fn forget_peak() -> usize {
    PEAK.store(in_use(), Relaxed);
    in_use()
}
