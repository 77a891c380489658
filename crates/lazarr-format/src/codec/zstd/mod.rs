//! The `zstd` codec: one frame or several, straight into the room given.

mod context;

use zstd_safe::get_error_name;

use super::broken;
use super::step::Progress;
use crate::{Code, Error, Result};
pub(super) use context::Decoder;

const MAGIC: u32 = 0xFD2F_B528;
/// The sixteen magic numbers of frames that carry no data.
const SKIPPABLE: u32 = 0x184D_2A50;

/// zstd's numbers of errors, which it promises to keep.
const CHECKSUM_WRONG: usize = 22;
const DST_SIZE_TOO_SMALL: usize = 70;

/// The decoded size of all frames, by their headers; `None` where one does not say. What follows the last frame is an
/// error, and so are zstd's formats of before 2016, whose decoders were not written for hostile bytes.
pub(super) fn claimed(mut encoded: &[u8]) -> Result<Option<u64>> {
    let mut total = Some(0u64);
    if encoded.is_empty() {
        return Err(broken("zstd", "there is not one byte"));
    }
    while !encoded.is_empty() {
        let magic = encoded.first_chunk().map(|b| u32::from_le_bytes(*b));
        if !magic.is_some_and(|m| m == MAGIC || m & !0xf == SKIPPABLE) {
            return Err(broken("zstd", "a frame does not start with zstd's magic number"));
        }
        let len = zstd_safe::find_frame_compressed_size(encoded).map_err(failed)?;
        let content = zstd_safe::get_frame_content_size(encoded)
            .map_err(|_| broken("zstd", "the header of a frame is damaged"))?;
        total = match (total, content) {
            (Some(total), Some(n)) => Some(total.saturating_add(n)),
            _ => None,
        };
        encoded = match encoded.get(len..) {
            Some(rest) if len > 0 => rest,
            _ => return Err(broken("zstd", "a frame ends early")),
        };
    }
    Ok(total)
}

/// Decodes into the start of `room`; `encoded` has passed [`claimed`].
pub(super) fn decode(context: &mut Decoder, encoded: &[u8], room: &mut [u8]) -> Result<Progress> {
    match context.decompress(encoded, room) {
        Ok(n) => Ok(Progress::Done(n)),
        Err(code) if code.wrapping_neg() == DST_SIZE_TOO_SMALL => Ok(Progress::Full),
        Err(code) if code.wrapping_neg() == CHECKSUM_WRONG => Err(unequal(encoded)),
        Err(code) => Err(failed(code)),
    }
}

/// Decodes the first `needed` bytes of what fills `out` to its last byte, by blocks; says whether it could: where
/// `encoded` is another thing than one sound frame of that size without a checksum, it has to be decoded whole.
pub(super) fn decode_prefix(context: &mut Decoder, encoded: &[u8], out: &mut [u8], needed: usize) -> bool {
    /// zstd's blocks are no larger.
    const BLOCK: usize = 128 << 10;
    // In the fifth byte: a checksum follows the blocks.
    const CHECKSUM: u8 = 4;
    let sound = out.len() > BLOCK
        && needed < out.len()
        && matches!(encoded, [_, _, _, _, flags, ..] if flags & CHECKSUM == 0)
        && encoded.first_chunk() == Some(&MAGIC.to_le_bytes())
        && zstd_safe::find_frame_compressed_size(encoded) == Ok(encoded.len())
        && matches!(zstd_safe::get_frame_content_size(encoded), Ok(Some(n)) if n == out.len() as u64);
    sound && context.prefix(encoded, out, needed).is_some()
}

/// The library does not say what it found; what should have been is the end of the frame.
fn unequal(encoded: &[u8]) -> Error {
    let e = Error::new(Code::ChunkChecksum, "the checksum of a zstd frame does not agree with its bytes");
    let stored = encoded.last_chunk().map(|b| u32::from_le_bytes(*b));
    match stored.filter(|_| zstd_safe::find_frame_compressed_size(encoded) == Ok(encoded.len())) {
        Some(stored) => e.expected(format!("0x{stored:08x}")).found("another checksum"),
        None => e.expected("the checksum at the end of each frame").found("another checksum"),
    }
}

fn failed(code: usize) -> Error {
    broken("zstd", get_error_name(code))
}
