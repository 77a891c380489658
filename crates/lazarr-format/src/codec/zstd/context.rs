//! zstd's decoder: frames as a whole, or block by block up to where it is enough.
#![allow(unsafe_code, reason = "calls zstd, which is C")]

use std::ffi::c_void;
use std::ptr::NonNull;

use zstd_sys as sys;

// zstd's interface without buffers of its own: blocks are decoded side by side into one slice, which is all the history
// that they refer to.
unsafe extern "C" {
    fn ZSTD_decompressBegin(context: *mut sys::ZSTD_DCtx) -> usize;
    fn ZSTD_nextSrcSizeToDecompress(context: *mut sys::ZSTD_DCtx) -> usize;
    fn ZSTD_decompressContinue(
        context: *mut sys::ZSTD_DCtx,
        to: *mut c_void,
        room: usize,
        from: *const c_void,
        len: usize,
    ) -> usize;
}

/// A decoder, with its tables of about 150 KiB.
pub(in super::super) struct Decoder(NonNull<sys::ZSTD_DCtx>);

// SAFETY: the context is plain memory without ties to a thread, and every use of it needs `&mut`.
unsafe impl Send for Decoder {}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the context is zstd's own and is freed this once.
        unsafe { sys::ZSTD_freeDCtx(self.0.as_ptr()) };
    }
}

impl Decoder {
    /// `None` without memory.
    pub(in super::super) fn new() -> Option<Self> {
        // SAFETY: has no preconditions.
        NonNull::new(unsafe { sys::ZSTD_createDCtx() }).map(Self)
    }

    /// All frames of `encoded` into the start of `room`: bytes written, or zstd's code of the error.
    pub(in super::super) fn decompress(&mut self, encoded: &[u8], room: &mut [u8]) -> Result<usize, usize> {
        // SAFETY: the context is alive; both buffers are valid for their lengths, which zstd keeps to.
        let n = unsafe {
            sys::ZSTD_decompressDCtx(
                self.0.as_ptr(),
                room.as_mut_ptr().cast(),
                room.len(),
                encoded.as_ptr().cast(),
                encoded.len(),
            )
        };
        if is_error(n) || n > room.len() { Err(n) } else { Ok(n) }
    }

    /// The blocks of the one frame that `encoded` is, up to the one that fills the first `needed` bytes of `room`, which is
    /// as long as the whole. `None` where that fails: decoding the whole then says why.
    pub(super) fn prefix(&mut self, encoded: &[u8], room: &mut [u8], needed: usize) -> Option<()> {
        let context = self.0.as_ptr();
        // SAFETY: the context is alive.
        if is_error(unsafe { ZSTD_decompressBegin(context) }) {
            return None;
        }
        let (mut rest, mut filled) = (encoded, 0);
        let start = room.as_mut_ptr();
        loop {
            // SAFETY: as above.
            let len = unsafe { ZSTD_nextSrcSizeToDecompress(context) };
            // The end of the frame.
            if len == 0 {
                return (filled == room.len()).then_some(());
            }
            let (piece, after) = rest.split_at_checked(len)?;
            rest = after;
            let left = room.len() - filled;
            // SAFETY: as above; `filled` is within `room`, and `piece` and what is left of `room` are valid for their lengths,
            // which zstd keeps to. What earlier blocks wrote lies right before, in the same slice, and is as it was left.
            let n = unsafe {
                ZSTD_decompressContinue(
                    context,
                    start.add(filled).cast(),
                    left,
                    piece.as_ptr().cast(),
                    piece.len(),
                )
            };
            if is_error(n) || n > left {
                return None;
            }
            filled += n;
            // What ends the frame is checked by zstd only when it is read.
            if filled >= needed && filled < room.len() {
                return Some(());
            }
        }
    }
}

fn is_error(code: usize) -> bool {
    // SAFETY: looks at the number alone.
    unsafe { sys::ZSTD_isError(code) != 0 }
}
