//! Positioned reads to the end of a vector, into memory that was not zeroed first.
#![allow(unsafe_code, reason = "pread writes to spare capacity")]

use std::fs::File;
use std::io;

/// Reads `len` bytes from `start` to the end of `out`, for which there is room already; returns how many there were.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, start: u64, len: usize, out: &mut Vec<u8>) -> io::Result<usize> {
    use std::os::fd::AsRawFd;
    let mut got = 0;
    while got < len {
        let spare = out.spare_capacity_mut();
        let room = spare.len().min(len - got);
        if room == 0 {
            break;
        }
        let at = start
            .checked_add(got as u64)
            .and_then(|at| libc::off_t::try_from(at).ok())
            .ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: `spare` is valid for writes of `room` bytes.
        let n = unsafe { libc::pread(file.as_raw_fd(), spare.as_mut_ptr().cast(), room, at) };
        match usize::try_from(n) {
            Ok(0) => break,
            Ok(n) => {
                got += n;
                // SAFETY: pread has written `n` bytes of the `room` behind the end.
                unsafe { out.set_len(out.len() + n) };
            }
            Err(_) => {
                let e = io::Error::last_os_error();
                if e.kind() != io::ErrorKind::Interrupted {
                    return Err(e);
                }
            }
        }
    }
    Ok(got)
}

#[cfg(not(unix))]
pub(crate) fn read_at(mut file: &File, start: u64, len: usize, out: &mut Vec<u8>) -> io::Result<usize> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(start))?;
    file.take(len as u64).read_to_end(out)
}
