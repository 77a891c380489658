//! The memory of a result: allocated once, zeroed by the system, filled by many threads at disjoint places.
#![allow(unsafe_code, reason = "an aligned allocation that threads fill at disjoint places")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use lazarr_format::{Code, Error, Result};

use crate::ledger::{Budget, Charge};

/// The alignment of small buffers: enough for any item, and no more than the system's own. Above that, zeroed memory would
/// be zeroed by hand, on one thread, before anything is read; so the threads that fill a result touch its pages first.
const ALIGN: usize = 16;

/// From this size on, a buffer is a mapping of its own, on huge pages where the system has them: filling a large result
/// costs more in page faults than in decoding.
const LARGE: usize = 4 << 20;

/// Owned bytes, aligned to 16, or to their items where they were a vector before. Charged to the ledger until [`Buffer::release`].
#[derive(Debug)]
pub struct Buffer {
    ptr: NonNull<u8>,
    len: usize,
    owner: Owner,
    charge: Option<Charge>,
}

/// Whose the memory of a buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Nobody's: there is none.
    Nobody,
    /// A mapping of its own.
    Mapping,
    /// The allocator's, by this layout.
    Heap(Layout),
}

// SAFETY: the buffer owns its memory alone; shared access is read-only but for `Target`, whose users write disjointly.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zero bytes, charged first.
    pub fn zeroed(len: u64, budget: &Budget, what: &str) -> Result<Self> {
        let charge = budget.charge(len, what)?;
        let mut buffer = Self::allocate(len)?;
        buffer.charge = Some(charge);
        Ok(buffer)
    }

    fn allocate(len: u64) -> Result<Self> {
        let no_memory = || Error::new(Code::OutOfMemory, format!("{len} bytes could not be allocated"));
        let size = usize::try_from(len).map_err(|_| no_memory())?;
        if size == 0 {
            return Ok(Self { ptr: NonNull::dangling(), len: 0, owner: Owner::Nobody, charge: None });
        }
        if size >= LARGE
            && let Some(ptr) = pages::map(size)
        {
            return Ok(Self { ptr, len: size, owner: Owner::Mapping, charge: None });
        }
        let layout = Layout::from_size_align(size, ALIGN).map_err(|_| no_memory())?;
        // SAFETY: the layout has a size above zero.
        let ptr = unsafe { alloc_zeroed(layout) };
        let ptr = NonNull::new(ptr).ok_or_else(no_memory)?;
        Ok(Self { ptr, len: size, owner: Owner::Heap(layout), charge: None })
    }

    /// Takes over items that were charged.
    pub(crate) fn of<T: Plain>(items: Vec<T>, charge: Charge) -> Self {
        let mut items = ManuallyDrop::new(items);
        let len = size_of_val(&items[..]);
        let owner = Layout::array::<T>(items.capacity()).ok().filter(|layout| layout.size() > 0);
        let (Some(layout), Some(ptr)) = (owner, NonNull::new(items.as_mut_ptr().cast())) else {
            return Self { ptr: NonNull::dangling(), len: 0, owner: Owner::Nobody, charge: None };
        };
        Self { ptr, len, owner: Owner::Heap(layout), charge: Some(charge) }
    }

    /// A copy of these bytes, charged first.
    pub fn copy_of(bytes: &[u8], budget: &Budget, what: &str) -> Result<Self> {
        let mut buffer = Self::zeroed(bytes.len() as u64, budget, what)?;
        buffer.as_mut_slice().copy_from_slice(bytes);
        Ok(buffer)
    }

    /// Gives the charge back: the result was handed out and counts no more.
    pub fn release(&mut self) {
        self.charge = None;
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `ptr` is valid for `len` initialised bytes (dangling only for len 0).
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The bytes, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of the first byte.
    pub fn address(&self) -> usize {
        self.ptr.as_ptr() as usize
    }

    /// A place that threads may write at together; see [`Target`].
    pub(crate) fn target(&mut self) -> Target {
        Target { ptr: self.ptr, len: self.len, mapped: self.owner == Owner::Mapping }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.owner {
            Owner::Nobody => {}
            Owner::Mapping => pages::unmap(self.ptr, self.len),
            // SAFETY: allocated with this very layout.
            Owner::Heap(layout) => unsafe { dealloc(self.ptr.as_ptr(), layout) },
        }
    }
}

/// Items whose bytes are all initialised, whatever their value.
pub(crate) trait Plain {}

impl Plain for u8 {}
impl Plain for u64 {}

/// Where sinks write. Two threads never write the same byte: destinations of a placement are disjoint, and each chunk is
/// placed by one thread. A target does not keep its buffer alive: the program that owns both outlives the execution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    ptr: NonNull<u8>,
    len: usize,
    mapped: bool,
}

// SAFETY: writes are disjoint, see `Target`.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    /// How many bytes there are whose pages are better made before they are written, by all threads together.
    pub(crate) fn fresh_bytes(self) -> usize {
        if self.mapped { self.len } else { 0 }
    }

    /// Makes the pages of some bytes of [`Target::fresh_bytes`]; what they hold stays as it is.
    pub(crate) fn populate(self, start: usize, len: usize) {
        if self.mapped && start < self.len {
            pages::populate(self.ptr, start, len.min(self.len - start));
        }
    }

    /// A stretch to write to; `None` outside of the buffer.
    ///
    /// # Safety
    /// The buffer must be alive, and nobody else may read or write this stretch while the slice lives.
    pub(crate) unsafe fn stretch<'b>(self, start: usize, len: usize) -> Option<&'b mut [u8]> {
        let end = start.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: in bounds; exclusiveness is the caller's promise.
        Some(unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr().add(start), len) })
    }
}

/// Memory of the system, mapped and unmapped by hand.
#[cfg(target_os = "linux")]
mod pages {
    use std::ptr::{NonNull, null_mut};

    const HUGE: usize = 2 << 20;

    /// Zeroed memory that begins on a huge page and is on huge pages up to the last whole one; `None` where the system
    /// gives none.
    pub(super) fn map(len: usize) -> Option<NonNull<u8>> {
        let room = len.checked_add(HUGE)?;
        // SAFETY: a new private mapping, at a place of the system's choice.
        let base = unsafe {
            libc::mmap(
                null_mut(),
                room,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return None;
        }
        let before = base.addr().next_multiple_of(HUGE) - base.addr();
        let end = before + pages_of(len);
        // SAFETY: both stretches lie in the mapping just made, on whole pages, and nobody knows of them.
        unsafe {
            if before > 0 {
                libc::munmap(base, before);
            }
            if end < pages_of(room) {
                libc::munmap(base.byte_add(end), pages_of(room) - end);
            }
            let start = base.byte_add(before);
            // A wish: without huge pages all goes on.
            libc::madvise(start, len / HUGE * HUGE, libc::MADV_HUGEPAGE);
            NonNull::new(start.cast())
        }
    }

    pub(super) fn unmap(ptr: NonNull<u8>, len: usize) {
        // SAFETY: mapped by `map` with this length; its owner is gone.
        unsafe { libc::munmap(ptr.as_ptr().cast(), pages_of(len)) };
    }

    pub(super) fn populate(ptr: NonNull<u8>, start: usize, len: usize) {
        let page = page();
        let (from, to) = (start / page * page, pages_of(start + len));
        // SAFETY: within the mapping. It makes pages and changes none; where the system cannot, writing makes them.
        unsafe { libc::madvise(ptr.as_ptr().add(from).cast(), to - from, libc::MADV_POPULATE_WRITE) };
    }

    fn pages_of(len: usize) -> usize {
        len.next_multiple_of(page())
    }

    fn page() -> usize {
        // SAFETY: asks for a constant of the system.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096).max(4096)
    }
}

/// Elsewhere every buffer is the allocator's.
#[cfg(not(target_os = "linux"))]
mod pages {
    use std::ptr::NonNull;

    pub(super) fn map(_: usize) -> Option<NonNull<u8>> {
        None
    }

    pub(super) fn unmap(_: NonNull<u8>, _: usize) {}

    pub(super) fn populate(_: NonNull<u8>, _: usize, _: usize) {}
}
