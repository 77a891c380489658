//! The `bz2` codec.

use std::io::Read;

use bzip2::bufread::MultiBzDecoder;

use super::broken;
use super::step::Progress;
use crate::Result;

/// Decodes all streams, one after the other, into the start of `room`.
pub(super) fn decode(encoded: &[u8], room: &mut [u8]) -> Result<Progress> {
    let mut reader = MultiBzDecoder::new(encoded);
    let mut filled = 0;
    loop {
        let mut more = [0];
        let full = filled == room.len();
        let into = if full { &mut more[..] } else { &mut room[filled..] };
        match reader.read(into) {
            Ok(0) => return Ok(Progress::Done(filled)),
            Ok(_) if full => return Ok(Progress::Full),
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(broken("bz2", e)),
        }
    }
}
