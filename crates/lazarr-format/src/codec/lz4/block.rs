//! A block of lz4, whole or its first bytes.
#![allow(unsafe_code, reason = "calls lz4, which is C")]

use std::ffi::{c_char, c_int};

unsafe extern "C" {
    fn LZ4_decompress_safe_partial(
        from: *const c_char,
        to: *mut c_char,
        len: c_int,
        needed: c_int,
        room: c_int,
    ) -> c_int;
}

/// Decodes `block` into `out`; says whether it filled it to the last byte.
pub(in super::super) fn decode(block: &[u8], out: &mut [u8]) -> bool {
    let (Ok(len), Ok(room)) = (c_int::try_from(block.len()), c_int::try_from(out.len())) else {
        return false;
    };
    // SAFETY: both are valid for their lengths, and do not overlap; lz4 keeps to them.
    let n =
        unsafe { lz4_sys::LZ4_decompress_safe(block.as_ptr().cast(), out.as_mut_ptr().cast(), len, room) };
    n == room
}

/// As [`decode`], but of `out` only the first `needed` bytes must come out right.
pub(in super::super) fn decode_prefix(block: &[u8], out: &mut [u8], needed: usize) -> bool {
    // What stops early is slower by the byte.
    if needed >= out.len() / 2 {
        return decode(block, out);
    }
    let (Ok(len), Ok(room), Ok(needed)) =
        (c_int::try_from(block.len()), c_int::try_from(out.len()), c_int::try_from(needed))
    else {
        return false;
    };
    // SAFETY: as above; `needed` is less than `room`.
    let n = unsafe {
        LZ4_decompress_safe_partial(block.as_ptr().cast(), out.as_mut_ptr().cast(), len, needed, room)
    };
    n >= needed
}
