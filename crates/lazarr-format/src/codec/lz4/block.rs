//! A block of lz4, whole or its first bytes.
#![allow(unsafe_code, reason = "calls lz4, which is C; copies that write ahead of what they are for")]

use std::ffi::c_int;

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
///
/// lz4's own way to stop early is much slower by the byte than its way to the end; the walk here is slower by about a third.
pub(in super::super) fn decode_prefix(block: &[u8], out: &mut [u8], needed: usize) -> bool {
    if needed >= out.len() / 4 * 3 { decode(block, out) } else { walk(block, out, needed).is_some() }
}

/// Bytes that one step of a copy moves, whether or not all of them are needed.
const STEP: usize = 16;

/// Decodes sequences until `needed` bytes are there. `None` where the block is damaged.
fn walk(block: &[u8], out: &mut [u8], needed: usize) -> Option<()> {
    let (mut from, mut to) = (0, 0);
    while to < needed {
        let token = *block.get(from)?;
        from += 1;
        let literals = usize::from(token >> 4);
        if literals < 15 && block.len() - from >= STEP && out.len() - to >= STEP {
            // SAFETY: `STEP` bytes are in both; they are different slices.
            unsafe { step(block.as_ptr().add(from), out.as_mut_ptr().add(to)) };
            from += literals;
            to += literals;
        } else {
            let literals = if literals == 15 { 15 + more(block, &mut from)? } else { literals };
            let source = block.get(from..from.checked_add(literals)?)?;
            out.get_mut(to..to + literals)?.copy_from_slice(source);
            from += literals;
            to += literals;
            // The last sequence has no match.
            if to >= needed {
                break;
            }
        }
        let offset = usize::from(u16::from_le_bytes(*block.get(from..)?.first_chunk()?));
        from += 2;
        let mut len = usize::from(token & 15);
        if len == 15 {
            len += more(block, &mut from)?;
        }
        len += 4;
        if offset == 0 || offset > to || len > out.len() - to {
            return None;
        }
        repeat(out, to, offset, len);
        to += len;
    }
    Some(())
}

/// The rest of a length: bytes are added up to the first that is not 255.
fn more(block: &[u8], from: &mut usize) -> Option<usize> {
    let mut sum = 0;
    loop {
        let byte = *block.get(*from)?;
        *from += 1;
        sum += usize::from(byte);
        if byte != 255 {
            return Some(sum);
        }
    }
}

/// Writes `len` bytes at `to`, each what stands `offset` before it; up to `STEP` bytes behind may change.
#[inline]
fn repeat(out: &mut [u8], to: usize, offset: usize, len: usize) {
    debug_assert!(offset > 0 && offset <= to && len <= out.len() - to);
    if offset == 1 {
        let byte = out[to - 1];
        out[to..to + len].fill(byte);
    } else if out.len() - to - len < STEP {
        for i in to..to + len {
            out[i] = out[i - offset];
        }
    } else if offset >= STEP {
        let mut at = 0;
        while at < len {
            // SAFETY: at most `len + STEP` bytes from `to` on are written, which `out` has; what is read ends where it is
            // written, or before.
            unsafe {
                let out = out.as_mut_ptr().add(to + at);
                step(out.sub(offset), out);
            }
            at += STEP;
        }
    } else {
        let mut pattern = [0; STEP];
        let source = &out[to - offset..to];
        pattern.iter_mut().zip(source.iter().cycle()).for_each(|(p, s)| *p = *s);
        let stride = STEP - STEP % offset;
        let mut at = 0;
        while at < len {
            // SAFETY: as above.
            unsafe { step(pattern.as_ptr(), out.as_mut_ptr().add(to + at)) };
            at += stride;
        }
    }
}

/// Copies `STEP` bytes.
///
/// # Safety
///
/// `STEP` bytes can be read at `from` and written at `to`, and do not overlap.
#[inline]
unsafe fn step(from: *const u8, to: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { std::ptr::copy_nonoverlapping(from, to, STEP) };
}
