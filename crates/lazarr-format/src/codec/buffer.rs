//! Working memory that is sized fallibly, and the decoder contexts.

use super::deflate::Inflater;
use super::zstd::Decoder;
use crate::{Code, Error, Result};

/// Decoder contexts, made when first needed.
#[derive(Default)]
pub(super) struct Contexts {
    zstd: Option<Decoder>,
    inflate: Option<Inflater>,
    /// A block of blosc before it is put in order.
    pub(super) block: Vec<u8>,
}

impl Contexts {
    pub(super) fn zstd(&mut self) -> Result<&mut Decoder> {
        if self.zstd.is_none() {
            self.zstd = Some(Decoder::new().ok_or_else(|| out_of_memory(128 << 10))?);
        }
        self.zstd.as_mut().ok_or_else(|| out_of_memory(0))
    }

    pub(super) fn inflate(&mut self) -> Result<&mut Inflater> {
        if self.inflate.is_none() {
            self.inflate = Some(Inflater::new().ok_or_else(|| out_of_memory(32 << 10))?);
        }
        self.inflate.as_mut().ok_or_else(|| out_of_memory(0))
    }
}

/// The first `len` bytes of a reused buffer, which grows where it is too small. Their values are unspecified.
pub(super) fn sized(buffer: &mut Vec<u8>, len: usize) -> Result<&mut [u8]> {
    if buffer.len() < len {
        // Nothing in it is worth copying to a larger allocation.
        *buffer = Vec::new();
        buffer.try_reserve_exact(len).map_err(|_| out_of_memory(len))?;
        buffer.resize(len, 0);
    }
    Ok(&mut buffer[..len])
}

pub(super) fn out_of_memory(bytes: usize) -> Error {
    Error::new(Code::OutOfMemory, format!("no memory for {bytes} bytes to decode a chunk"))
}
