//! Fresh memory for a result, each way that may be the fastest.
#![allow(unsafe_code, reason = "maps memory that threads write at disjoint places")]

use std::ptr::NonNull;

/// How memory is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A mapping on huge pages that all threads populate before they decode.
    Populated,
    /// A mapping on huge pages, made when they are touched.
    Touched,
    /// The system's allocator: small results may meet pages that were in use before.
    Heap,
}

impl Way {
    /// Those that make sense for so many bytes.
    pub(crate) fn all(bytes: usize) -> &'static [Self] {
        if bytes < (1 << 20) || !cfg!(target_os = "linux") {
            &[Self::Heap]
        } else {
            &[Self::Populated, Self::Touched, Self::Heap]
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Populated => "huge pages, populated",
            Self::Touched => "huge pages, touched",
            Self::Heap => "heap",
        }
    }
}

/// What the process has had of the processor, in all its threads.
pub(crate) fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the struct, and nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What is populated at once.
pub(crate) const PIECE: usize = 4 << 20;
const HUGE: usize = 2 << 20;

/// Memory that nobody has written to.
pub(crate) struct Fresh {
    start: NonNull<u8>,
    len: usize,
    mapping: Option<(NonNull<u8>, usize)>,
    heap: Vec<u8>,
}

// SAFETY: the memory is owned, and is written only through `write`, whose callers keep to disjoint ranges.
unsafe impl Send for Fresh {}
// SAFETY: as above.
unsafe impl Sync for Fresh {}

impl Fresh {
    pub(crate) fn new(len: usize, way: Way) -> Result<Self, String> {
        match way {
            Way::Heap => {
                let mut heap = Vec::with_capacity(len);
                let start = NonNull::new(heap.as_mut_ptr()).ok_or("no memory")?;
                Ok(Self { start, len, mapping: None, heap })
            }
            Way::Populated | Way::Touched => Self::map(len),
        }
    }

    #[cfg(target_os = "linux")]
    fn map(len: usize) -> Result<Self, String> {
        let room = len.next_multiple_of(HUGE) + HUGE;
        // SAFETY: a new private mapping; the pointers stay within it.
        let (base, start) = unsafe {
            let base = libc::mmap(
                std::ptr::null_mut(),
                room,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            );
            if base == libc::MAP_FAILED {
                return Err("no memory".to_owned());
            }
            let base: *mut u8 = base.cast();
            let start = base.add(base.align_offset(HUGE));
            libc::madvise(start.cast(), len.next_multiple_of(HUGE), libc::MADV_HUGEPAGE);
            (base, start)
        };
        match (NonNull::new(base), NonNull::new(start)) {
            (Some(base), Some(start)) => {
                Ok(Self { start, len, mapping: Some((base, room)), heap: Vec::new() })
            }
            _ => Err("no memory".to_owned()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn map(len: usize) -> Result<Self, String> {
        Self::new(len, Way::Heap)
    }

    /// Makes the pages of piece `i` of a mapping.
    pub(crate) fn populate(&self, i: usize) {
        #[cfg(target_os = "linux")]
        if self.mapping.is_some() && i * PIECE < self.len {
            let len = PIECE.min(self.len.next_multiple_of(HUGE) - i * PIECE);
            // SAFETY: within the mapping, and what the pages hold stays as it is.
            unsafe {
                libc::madvise(self.start.as_ptr().add(i * PIECE).cast(), len, libc::MADV_POPULATE_WRITE)
            };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = i;
    }

    /// Writes `from`, over and over, to `start..end`.
    ///
    /// # Safety
    /// No other thread writes to this range.
    pub(crate) unsafe fn write(&self, start: usize, end: usize, from: &[u8]) {
        let end = end.min(self.len);
        let mut at = start;
        while at < end && !from.is_empty() {
            let n = from.len().min(end - at);
            // SAFETY: the range is within the memory, which does not overlap with `from`; the caller's promise.
            unsafe { self.start.as_ptr().add(at).copy_from_nonoverlapping(from.as_ptr(), n) };
            at += n;
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some((base, room)) = self.mapping {
            // SAFETY: the very mapping that was made, unmapped once.
            unsafe { libc::munmap(base.as_ptr().cast(), room) };
        }
        self.heap.clear();
    }
}
