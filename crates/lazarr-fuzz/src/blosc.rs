//! c-blosc itself, as the oracle.
#![allow(unsafe_code, reason = "calls c-blosc, which is C")]

/// What c-blosc makes of a frame whose header claims what is there; `None` where it makes nothing.
pub(crate) fn decoded(frame: &[u8], len: usize) -> Option<Vec<u8>> {
    let number = |at: usize| Some(u32::from_le_bytes(*frame.get(at..)?.first_chunk()?) as usize);
    if *frame.first()? != 2 || number(4)? != len || number(12)? != frame.len() || frame[3] == 0 {
        return None;
    }
    // blosclz can overflow: lazarr looks before it asks.
    if frame[2] >> 5 == 0 && frame[2] & 2 == 0 {
        return None;
    }
    let mut out = vec![0; len];
    // SAFETY: both buffers are valid for their lengths, which are those of the header.
    let n =
        unsafe { blosc_src::blosc_decompress_ctx(frame.as_ptr().cast(), out.as_mut_ptr().cast(), len, 1) };
    (usize::try_from(n) == Ok(len)).then_some(out)
}
