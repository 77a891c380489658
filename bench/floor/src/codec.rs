//! The codecs' own libraries, with what they keep between chunks.
#![allow(unsafe_code, reason = "calls c-blosc, which is C")]

use libdeflater::Decompressor;
use zstd_safe::DCtx;

/// How an inner chunk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// As it is.
    Stored,
    /// One zstd frame.
    Zstd,
    /// c-blosc 1, whatever is inside.
    Blosc,
    /// A gzip member.
    Gzip,
}

/// The contexts and the scratch of one thread.
pub(crate) struct Decoder {
    zstd: DCtx<'static>,
    gzip: Decompressor,
    scratch: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { zstd: DCtx::create(), gzip: Decompressor::new(), scratch: Vec::new() }
    }

    /// The decoded bytes, in scratch that the next chunk overwrites.
    pub(crate) fn decode(&mut self, codec: Codec, encoded: &[u8]) -> Result<&[u8], String> {
        let size = decoded_size(codec, encoded)?;
        if self.scratch.len() < size {
            self.scratch.resize(size, 0);
        }
        let room = &mut self.scratch[..size];
        let wrote = match codec {
            Codec::Stored => {
                room.copy_from_slice(encoded);
                size
            }
            Codec::Zstd => self
                .zstd
                .decompress(room, encoded)
                .map_err(|code| format!("zstd: {}", zstd_safe::get_error_name(code)))?,
            Codec::Gzip => {
                self.gzip.gzip_decompress(encoded, room).map_err(|error| format!("gzip: {error}"))?
            }
            Codec::Blosc => {
                // SAFETY: both pointers are valid for the lengths that c-blosc is told (the encoded one stands in the
                // header and was compared), and do not overlap. One thread: no global state.
                let n = unsafe {
                    blosc_src::blosc_decompress_ctx(
                        encoded.as_ptr().cast(),
                        room.as_mut_ptr().cast(),
                        room.len(),
                        1,
                    )
                };
                usize::try_from(n).map_err(|_| format!("blosc: {n}"))?
            }
        };
        if wrote == size {
            Ok(&self.scratch[..size])
        } else {
            Err(format!("{wrote} bytes instead of {size}"))
        }
    }
}

/// What the frame itself says.
fn decoded_size(codec: Codec, encoded: &[u8]) -> Result<usize, String> {
    let word = |at: usize| {
        let bytes = encoded.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map(|b| u32::from_le_bytes(b) as usize).ok_or_else(|| "a chunk is too short".to_owned())
    };
    match codec {
        Codec::Stored => Ok(encoded.len()),
        Codec::Zstd => match zstd_safe::get_frame_content_size(encoded) {
            Ok(Some(size)) => Ok(size as usize),
            _ => Err("zstd: the frame does not say its size".to_owned()),
        },
        Codec::Blosc if word(12)? != encoded.len() => Err("blosc: another length".to_owned()),
        Codec::Blosc => word(4),
        Codec::Gzip => word(encoded.len().saturating_sub(4)),
    }
}
