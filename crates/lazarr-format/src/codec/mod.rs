//! Bytes of an inner chunk → items, straight into the caller's slice.

use crate::{Code, DataType, Error, Fill, Result};
use serde_json::Value;

/// Per-thread working memory: decoder contexts and intermediate buffers, reused from chunk to chunk.
#[derive(Default)]
pub struct Scratch {}

/// A decoded chunk of variable-length items, in C order: item `i` is `bytes[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, Default)]
pub struct Vlen {
    /// One more than there are items.
    pub offsets: Vec<u64>,
    /// The items, one after the other. UTF-8 where the type is a string (each item by itself).
    pub bytes: Vec<u8>,
}

/// What the codecs of an array need to know of it.
#[derive(Debug, Clone, Copy)]
pub struct ChunkSpec<'a> {
    /// The shape of the inner chunk.
    pub shape: &'a [u64],
    /// What an item is.
    pub dtype: &'a DataType,
    /// The fill value.
    pub fill: &'a Fill,
}

/// The codecs of an inner chunk.
#[derive(Debug, Clone)]
pub struct Chain {}

impl Chain {
    /// From the `codecs` list of v3 metadata (for a shard: the inner list).
    pub fn from_v3(codecs: &[Value], spec: ChunkSpec<'_>) -> Result<Self> {
        let _ = (codecs, spec);
        Ok(Self {})
    }

    /// From `filters`, `compressor` and `order` of v2 metadata; `dtype` is v2's own JSON.
    pub fn from_v2(
        zarray: &serde_json::Map<String, Value>,
        big_endian: bool,
        spec: ChunkSpec<'_>,
    ) -> Result<Self> {
        let _ = (zarray, big_endian, spec);
        Ok(Self {})
    }

    /// As a person would name it: `zstd`, `blosc(lz4)`, `none`.
    pub fn name(&self) -> String {
        String::new()
    }

    /// Decodes a chunk of fixed-size items into `out`, which is exactly as long as the chunk: native byte order, C order.
    pub fn decode_into(&self, encoded: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
        let _ = (encoded, out, scratch);
        Err(Error::new(Code::Internal, ""))
    }

    /// Decodes a chunk of `items` variable-length items; refuses more than `max_bytes` of decoded bytes.
    pub fn decode_vlen(
        &self,
        encoded: &[u8],
        items: usize,
        max_bytes: u64,
        scratch: &mut Scratch,
    ) -> Result<Vlen> {
        let _ = (encoded, items, max_bytes, scratch);
        Err(Error::new(Code::Internal, ""))
    }

    /// An upper bound of the working memory that decoding one chunk takes beside `encoded` and `out`, in bytes.
    pub fn scratch_bytes(&self, decoded: u64) -> u64 {
        decoded
    }
}
