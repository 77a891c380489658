//! The `blosc` codec: c-blosc 1's frame around blosclz, lz4, lz4hc, snappy, zlib or zstd, with its shuffles.
#![allow(unsafe_code, reason = "calls c-blosc, which is C")]

mod bits;
mod frame;

use super::buffer::Contexts;
use super::part::Wanted;
use super::step::Progress;
use super::{broken, wrong_length};
use crate::Result;

const HEADER: usize = 16;
/// c-blosc's own limit (`BLOSC_MAX_BLOCKSIZE`).
const MAX_BLOCK: usize = (i32::MAX as usize - 255 * 4) / 3;

/// The header of a blosc chunk, after its checks: what c-blosc is told is what is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// Decoded bytes.
    pub(super) decoded: usize,
    block: usize,
    flags: u8,
    type_size: usize,
}

impl Header {
    pub(super) fn read(encoded: &[u8]) -> Result<Self> {
        let Some(([version, _, flags, type_size], rest)) = encoded.split_first_chunk::<4>() else {
            return Err(broken("blosc", "it is shorter than a header"));
        };
        let Some((words, _)) = rest.split_first_chunk::<12>() else {
            return Err(broken("blosc", "it is shorter than a header"));
        };
        let word =
            |i: usize| u32::from_le_bytes([words[i], words[i + 1], words[i + 2], words[i + 3]]) as usize;
        let header =
            Self { decoded: word(0), block: word(4), flags: *flags, type_size: usize::from(*type_size) };
        if *version != 2 {
            return Err(broken("blosc", format_args!("its version is {version}, not 2")));
        }
        if word(8) != encoded.len() {
            return Err(wrong_length(format_args!("{} encoded", word(8)), encoded.len()));
        }
        // c-blosc counts in i32.
        if header.decoded > i32::MAX as usize - HEADER || encoded.len() > i32::MAX as usize {
            return Err(broken("blosc", "it claims more than 2 GiB"));
        }
        if header.decoded > 0 {
            if header.block == 0 || header.block > header.decoded || header.block > MAX_BLOCK {
                return Err(broken(
                    "blosc",
                    format_args!("its blocks of {} bytes are impossible", header.block),
                ));
            }
            if header.type_size == 0 {
                return Err(broken("blosc", "its items have no size"));
            }
        }
        Ok(header)
    }

    /// Written by what c-blosc does not know yet.
    fn is_new(self) -> bool {
        self.flags & 0x08 != 0
    }

    fn is_stored(self) -> bool {
        self.flags & 0x02 != 0
    }

    /// The name of the compressor, by the three bits of the header.
    fn compressor(self) -> &'static str {
        match self.flags >> 5 {
            0 => "blosclz",
            1 => "lz4",
            2 => "snappy",
            3 => "zlib",
            4 => "zstd",
            _ => "an unknown compressor",
        }
    }
}

/// Decodes into the start of `room`.
pub(super) fn decode(encoded: &[u8], room: &mut [u8], contexts: &mut Contexts) -> Result<Progress> {
    let header = Header::read(encoded)?;
    let Some(room) = room.get_mut(..header.decoded) else { return Ok(Progress::Full) };
    let all = 0..room.len();
    decode_some(header, encoded, room, Wanted::new(std::slice::from_ref(&all), 1, all.end), contexts)?;
    Ok(Progress::Done(room.len()))
}

/// Decodes what is `wanted` into `room`, which is as long as the whole.
pub(super) fn decode_some(
    header: Header,
    encoded: &[u8],
    room: &mut [u8],
    wanted: Wanted<'_>,
    contexts: &mut Contexts,
) -> Result<()> {
    if header.decoded == 0 {
        return Ok(());
    }
    if header.is_stored() && !header.is_new() {
        if encoded.len() != header.decoded + HEADER {
            return Err(wrong_length(format_args!("{} encoded", header.decoded + HEADER), encoded.len()));
        }
        wanted.runs().for_each(|run| room[run.clone()].copy_from_slice(&encoded[HEADER..][run]));
        return Ok(());
    }
    if let Some(frame) = frame::Frame::new(header, encoded)
        && !(frame.has_bits() && wanted.is_all())
        && frame.decode(room, wanted, contexts).is_some()
    {
        return Ok(());
    }
    // The library has two blocks of its own.
    contexts.block = Vec::new();
    decode_by_library(header, encoded, room)
}

/// The same by c-blosc, all of it.
fn decode_by_library(header: Header, encoded: &[u8], room: &mut [u8]) -> Result<()> {
    if header.compressor() == "blosclz" && has_endless_match(encoded, header.block) {
        return Err(broken("blosc", "a match is longer than its block"));
    }
    // SAFETY: both pointers are valid for the lengths given, do not overlap, and c-blosc writes no more than
    // `room.len()` bytes and reads no more than the header's encoded size, which is `encoded.len()` (checked in
    // `Header::read`). The `_ctx` function with one thread keeps no global state, so threads may run it side by side.
    let n = unsafe {
        blosc_src::blosc_decompress_ctx(encoded.as_ptr().cast(), room.as_mut_ptr().cast(), room.len(), 1)
    };
    if usize::try_from(n) == Ok(room.len()) {
        Ok(())
    } else {
        Err(broken("blosc", format_args!("its {} does not decode", header.compressor())))
    }
}

/// blosclz spells the length of a match as a row of 255s and adds it up in 32 bits without a check: a row of more than
/// eight million could overflow it. No encoder writes a match that is longer than its block.
fn has_endless_match(encoded: &[u8], block: usize) -> bool {
    const OVERFLOW: usize = i32::MAX as usize / 255;
    if encoded.len() < OVERFLOW {
        return false;
    }
    let longest = block / 255 + 64;
    let mut run = 0;
    encoded.iter().any(|&b| {
        run = if b == 255 { run + 1 } else { 0 };
        run > longest && run > OVERFLOW / 2
    })
}
