//! Bytes of an inner chunk → items, straight into the caller's slice.
//!
//! A [`Chain`] is made once from metadata and decodes every chunk of its array. The codecs that nearly every array has
//! (`bytes`, `transpose`, `blosc`, `zstd`, `gzip`, `zlib`, `crc32c`, `vlen-utf8`, …) are decoded here: the innermost
//! compressor writes into the caller's slice, what stands between two steps lives in [`Scratch`] and is reused. Codecs
//! that few arrays have (`packbits`, `pcodec`, shards in shards, …) go through zarrs, after the
//! compressors around them were taken off here.
//!
//! Nothing is allocated because a header says so: buffers are as large as the chunk must be by its shape, or grow
//! step by step up to a limit that the caller sets.
//!
//! ```
//! use lazarr_format::codec::{Chain, ChunkSpec, Scratch};
//! use lazarr_format::{DataType, Fill};
//!
//! let codecs = [serde_json::json!({"name": "bytes", "configuration": {"endian": "big"}})];
//! let spec = ChunkSpec { shape: &[2], dtype: &DataType::UInt(2), fill: &Fill::Item(vec![0, 0]) };
//! let chain = Chain::from_v3(&codecs, spec)?;
//! let mut out = [0; 4];
//! chain.decode_into(&[1, 2, 3, 4], &mut out, &mut Scratch::default())?;
//! assert_eq!(u16::from_ne_bytes([out[0], out[1]]), 0x0102);
//! # Ok::<(), lazarr_format::Error>(())
//! ```

mod blosc;
mod buffer;
mod bz2;
mod chain;
mod checksum;
mod deflate;
mod filter;
mod lz4;
mod part;
mod rare;
mod shuffle;
mod step;
mod swap;
mod transpose;
mod unshuffle;
mod vlen;
mod zstd;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{Code, DataType, Error, Fill, Result};
use buffer::Contexts;
use chain::Plan;

/// Per-thread working memory: decoder contexts and intermediate buffers, reused from chunk to chunk.
#[derive(Default)]
pub struct Scratch {
    /// What the step just done has written.
    front: Vec<u8>,
    /// What the step now running writes.
    back: Vec<u8>,
    /// A decoded chunk in its stored order of axes.
    plane: Vec<u8>,
    contexts: Contexts,
}

impl Scratch {
    /// The bytes that the buffers hold on to between chunks (decoder contexts, about 200 KiB, not counted).
    pub fn held_bytes(&self) -> u64 {
        let block = self.contexts.block.capacity();
        (self.front.capacity() + self.back.capacity() + self.plane.capacity() + block) as u64
    }
}

/// Is asked for so many bytes before they are allocated, and may refuse.
pub type Room<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

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

/// The codecs of an inner chunk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Chain {
    plan: Arc<Plan>,
}

impl Chain {
    /// From the `codecs` list of v3 metadata (for a shard: the inner list).
    ///
    /// Errors: [`Code::CodecUnknown`] names a codec that is not known or was left out of this build;
    /// [`Code::MetadataField`] where the list or a configuration makes no sense.
    pub fn from_v3(codecs: &[Value], spec: ChunkSpec<'_>) -> Result<Self> {
        Ok(Self { plan: Arc::new(Plan::from_v3(codecs, spec)?) })
    }

    /// From `filters`, `compressor` and `order` of v2 metadata (`zarray` is the whole object); `big_endian` says whether
    /// its `dtype` is stored so. Errors are those of [`Chain::from_v3`].
    pub fn from_v2(zarray: &Map<String, Value>, big_endian: bool, spec: ChunkSpec<'_>) -> Result<Self> {
        Ok(Self { plan: Arc::new(Plan::from_v2(zarray, big_endian, spec)?) })
    }

    /// As a person would name it: `zstd`, `blosc(lz4)`, `none`, `shuffle+zlib`.
    pub fn name(&self) -> String {
        self.plan.name.clone()
    }

    /// Decodes a chunk of fixed-size items into `out`, which is exactly as long as the chunk: native byte order, C order.
    ///
    /// Errors: [`Code::ChunkLength`] where the chunk decodes to another length than `out` has, [`Code::ChunkDecode`]
    /// where it does not decode, [`Code::ChunkChecksum`]. What `out` holds after an error is unspecified.
    pub fn decode_into(&self, encoded: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
        self.plan.decode_into(encoded, out, scratch)
    }

    /// As [`Chain::decode_into`], but only the items in `wanted` (positions in the chunk, ascending, disjoint) must come out
    /// right: what else `out` holds afterwards is unspecified. Codecs that cannot be decoded in part, and those that
    /// notice changed items only when they see all of them, decode the whole.
    ///
    /// Errors: those of [`Chain::decode_into`]; damage outside of what is decoded may pass unnoticed.
    pub fn decode_some(
        &self,
        encoded: &[u8],
        out: &mut [u8],
        wanted: &[Range<usize>],
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.plan.decode_some(encoded, out, wanted, scratch)
    }

    /// Decodes a chunk of `items` variable-length items; refuses one whose decompressed form (a length of 4 bytes and
    /// the bytes of each item) is larger than `max_bytes`.
    ///
    /// Errors: those of [`Chain::decode_into`], and [`Code::StringData`] for a string that is not UTF-8.
    pub fn decode_vlen(
        &self,
        encoded: &[u8],
        items: usize,
        max_bytes: u64,
        scratch: &mut Scratch,
    ) -> Result<Vlen> {
        self.decode_vlen_within(encoded, items, max_bytes, scratch, &mut |_| Ok(()))
    }

    /// As [`Chain::decode_vlen`]; `reserve` is asked for every byte before it is allocated: for those by which the buffers
    /// of `scratch` grow, and for those of the result.
    ///
    /// Errors: those of [`Chain::decode_vlen`] and of `reserve`.
    pub fn decode_vlen_within(
        &self,
        encoded: &[u8],
        items: usize,
        max_bytes: u64,
        scratch: &mut Scratch,
        reserve: Room<'_>,
    ) -> Result<Vlen> {
        self.plan.decode_vlen(encoded, items, max_bytes, scratch, reserve)
    }

    /// An upper bound of the working memory that decoding one chunk takes beside `encoded` and `out`, in bytes:
    /// `decoded` is the length of `out`, or the `max_bytes` of a chunk of variable-length items.
    pub fn scratch_bytes(&self, decoded: u64) -> u64 {
        self.plan.scratch_bytes(decoded)
    }

    /// Whether the stored bytes are the items themselves, so that any part of a chunk can be read without the rest.
    pub fn is_plain_copy(&self) -> bool {
        self.plan.is_plain_copy()
    }

    /// Whether chunks of any shape are decoded: where the order of items or a codec depends on the shape, those of
    /// [`ChunkSpec::shape`] alone.
    pub fn suits_any_shape(&self) -> bool {
        self.plan.suits_any_shape()
    }

    /// Whether stored bytes that were changed so that the items change are noticed when they are decoded, because a
    /// checksum of the items or of something they are made from is among the codecs (`crc32c`, `zstd` with `checksum`,
    /// `gzip`, `zlib`, …).
    pub fn validates(&self) -> bool {
        self.plan.validates()
    }
}

/// The error of a chunk that decodes to another length than it must.
fn wrong_length(expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
    Error::new(Code::ChunkLength, "the chunk decodes to the wrong length")
        .expected(format!("{expected} bytes"))
        .found(format!("{found} bytes"))
}

/// The error of a chunk that `codec` cannot decode.
fn broken(codec: &str, why: impl std::fmt::Display) -> Error {
    Error::new(Code::ChunkDecode, format!("the chunk is not valid {codec}: {why}"))
        .help("The chunk is damaged, or was written with other codecs than its metadata says")
}
