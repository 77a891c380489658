//! c-blosc's encoder.
#![allow(unsafe_code, reason = "calls c-blosc, which is C")]

use std::ffi::CStr;

/// A frame around `raw`; `None` where c-blosc has no such compressor or cannot take so many bytes.
pub(super) fn compress(
    raw: &[u8],
    compressor: &CStr,
    level: u8,
    shuffle: u8,
    type_size: usize,
) -> Option<Vec<u8>> {
    let room = raw.len().checked_add(blosc_src::BLOSC_MAX_OVERHEAD as usize)?;
    let mut out: Vec<u8> = Vec::new();
    out.try_reserve_exact(room).ok()?;
    // SAFETY: `raw` is valid for its length and `out` for `room` bytes, the name ends in a zero, and c-blosc writes no more
    // than `room`. The `_ctx` function with one thread keeps no global state, so threads may run it side by side.
    let n = unsafe {
        blosc_src::blosc_compress_ctx(
            i32::from(level),
            i32::from(shuffle),
            type_size,
            raw.len(),
            raw.as_ptr().cast(),
            out.as_mut_ptr().cast(),
            room,
            compressor.as_ptr(),
            0,
            1,
        )
    };
    let n = usize::try_from(n).ok().filter(|n| (1..=room).contains(n))?;
    // SAFETY: c-blosc has written the first `n` bytes of the room that was reserved.
    unsafe { out.set_len(n) };
    Some(out)
}
