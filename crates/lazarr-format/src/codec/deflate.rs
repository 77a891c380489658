//! The `gzip` and `zlib` codecs, by libdeflate.
#![allow(unsafe_code, reason = "calls libdeflate, which is C")]

use std::ptr::NonNull;

use libdeflate_sys as sys;

use super::broken;
use super::step::Progress;
use crate::Result;

type Decompress = unsafe extern "C" fn(
    *mut sys::libdeflate_decompressor,
    *const std::ffi::c_void,
    usize,
    *mut std::ffi::c_void,
    usize,
    *mut usize,
    *mut usize,
) -> sys::libdeflate_result;

/// libdeflate's decoder: its tables, about 12 KiB.
pub(super) struct Inflater(NonNull<sys::libdeflate_decompressor>);

// SAFETY: the decoder is plain memory without ties to a thread, and every use of it needs `&mut`.
unsafe impl Send for Inflater {}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: the pointer is libdeflate's own and is freed this once.
        unsafe { sys::libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}

impl Inflater {
    /// `None` without memory.
    pub(super) fn new() -> Option<Self> {
        // SAFETY: has no preconditions.
        NonNull::new(unsafe { sys::libdeflate_alloc_decompressor() }).map(Self)
    }

    /// All members of a gzip file, one after the other.
    pub(super) fn gzip(&mut self, mut encoded: &[u8], room: &mut [u8]) -> Result<Progress> {
        let mut filled = 0;
        loop {
            match self.run(sys::libdeflate_gzip_decompress_ex, "gzip", encoded, &mut room[filled..])? {
                Some((read, wrote)) => {
                    filled += wrote;
                    encoded = &encoded[read..];
                }
                None => return Ok(Progress::Full),
            }
            if encoded.is_empty() {
                return Ok(Progress::Done(filled));
            }
        }
    }

    /// One zlib stream.
    pub(super) fn zlib(&mut self, encoded: &[u8], room: &mut [u8]) -> Result<Progress> {
        match self.run(sys::libdeflate_zlib_decompress_ex, "zlib", encoded, room)? {
            Some((read, wrote)) if read == encoded.len() => Ok(Progress::Done(wrote)),
            Some((read, _)) => {
                Err(broken("zlib", format_args!("{} bytes follow its end", encoded.len() - read)))
            }
            None => Ok(Progress::Full),
        }
    }

    /// Bytes read and written; `None` where `room` is too small.
    fn run(
        &mut self,
        decompress: Decompress,
        codec: &str,
        encoded: &[u8],
        room: &mut [u8],
    ) -> Result<Option<(usize, usize)>> {
        let (mut read, mut wrote) = (0, 0);
        // SAFETY: the decoder is alive; both buffers are valid for the lengths given, which libdeflate keeps to; the
        // two counts are written where it succeeds.
        let result = unsafe {
            decompress(
                self.0.as_ptr(),
                encoded.as_ptr().cast(),
                encoded.len(),
                room.as_mut_ptr().cast(),
                room.len(),
                &raw mut read,
                &raw mut wrote,
            )
        };
        match result {
            sys::libdeflate_result_LIBDEFLATE_SUCCESS
                if read > 0 && read <= encoded.len() && wrote <= room.len() =>
            {
                Ok(Some((read, wrote)))
            }
            sys::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Ok(None),
            _ => Err(broken(codec, "its stream or its checksum is damaged")),
        }
    }
}

/// The CRC-32 of gzip.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    // SAFETY: the slice is valid for its length.
    unsafe { sys::libdeflate_crc32(0, bytes.as_ptr().cast(), bytes.len()) }
}

/// The Adler-32 of zlib.
pub(super) fn adler32(bytes: &[u8]) -> u32 {
    // SAFETY: the slice is valid for its length.
    unsafe { sys::libdeflate_adler32(1, bytes.as_ptr().cast(), bytes.len()) }
}
