//! numcodecs' `lz4`: the decoded size (u32, little-endian) and one block of lz4.

pub(super) mod block;

use super::broken;
use super::step::Progress;
use crate::Result;

/// The decoded size, and the block.
pub(super) fn split(encoded: &[u8]) -> Result<(usize, &[u8])> {
    let Some((size, block)) = encoded.split_first_chunk::<4>() else {
        return Err(broken("lz4", "it is shorter than its header"));
    };
    let size = u32::from_le_bytes(*size);
    if size > i32::MAX as u32 || block.len() > i32::MAX as usize {
        return Err(broken("lz4", "it claims more than 2 GiB"));
    }
    Ok((size as usize, block))
}

/// Decodes into the start of `room`.
pub(super) fn decode(encoded: &[u8], room: &mut [u8]) -> Result<Progress> {
    let (size, block) = split(encoded)?;
    let Some(room) = room.get_mut(..size) else { return Ok(Progress::Full) };
    match ::lz4::block::decompress_to_buffer(block, Some(size as i32), room) {
        Ok(n) if n == size => Ok(Progress::Done(n)),
        Ok(n) => Err(broken("lz4", format_args!("it decodes to {n} bytes, its header says {size}"))),
        Err(e) => Err(broken("lz4", e)),
    }
}
