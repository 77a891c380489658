//! What an array's metadata says, in one form for Zarr v2 and v3.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::codec::Chain;
use crate::grid::{Axis, Grid};
use crate::{Cut, DataType, Field, KeyEncoding};

/// The value of items that are in no chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fill {
    /// One item in native byte order.
    Item(Vec<u8>),
    /// One variable-length item.
    Vlen(Vec<u8>),
}

/// How a chunk is a shard: a grid of inner chunks with an index.
#[derive(Debug, Clone)]
pub struct Sharding {
    /// The shape of an inner chunk; divides the chunk's shape.
    pub inner_shape: Vec<u64>,
    /// Whether the index stands at the start of the shard (else at its end).
    pub index_at_start: bool,
    /// Whether the index is followed by its crc32c.
    pub index_checksum: bool,
    /// Whether the index is stored big-endian.
    pub index_big_endian: bool,
}

/// Where an array is seen as one field of its structured items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Bytes of a stored item, with all its fields.
    pub stored: usize,
    /// Where the field starts in it.
    pub offset: usize,
}

/// One Zarr array: everything that is known without reading a chunk. Immutable, shared as `Arc<ArrayMeta>`.
///
/// The unit of decoding is the *inner chunk*: a chunk of an array that is not sharded, or one of the chunks in a shard.
#[derive(Debug, Clone)]
pub struct ArrayMeta {
    /// The path of the array in its store, without a leading slash; empty for the root.
    pub path: String,
    /// 2 or 3.
    pub zarr_format: u8,
    /// Items along each axis.
    pub shape: Vec<u64>,
    /// What an item is: of the field, where this is one.
    pub dtype: DataType,
    /// Set where this is one field of an array of structs ([`ArrayMeta::field`]); `fill` and `chain` are of whole items.
    pub part: Option<Part>,
    /// The shape of a chunk: of a shard, where the array is sharded; of a rectilinear grid the longest along each axis.
    /// Same rank as `shape`, no zeros.
    pub chunk_shape: Vec<u64>,
    /// How the axes are cut where chunks have several shapes; never of a sharded array.
    pub grid: Option<Arc<Grid>>,
    /// How the keys of chunks are spelled.
    pub keys: KeyEncoding,
    /// The shards' layout, where the array is sharded.
    pub sharding: Option<Sharding>,
    /// The codecs of an inner chunk.
    pub chain: Chain,
    /// The value of what is in no chunk.
    pub fill: Fill,
    /// The user attributes of the array.
    pub attributes: Map<String, Value>,
    /// The codecs as a person would name them: `sharding(zstd)`, `blosc(lz4)`.
    pub codec_name: String,
}

impl ArrayMeta {
    /// The shape of the unit of decoding: of a rectilinear grid the longest along each axis.
    pub fn inner_shape(&self) -> &[u64] {
        self.sharding.as_ref().map_or(&self.chunk_shape, |s| &s.inner_shape)
    }

    /// Number of items; `None` past 2^64.
    pub fn len(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |n, &s| n.checked_mul(s))
    }

    /// Whether there is not one item.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// How an axis is cut into inner chunks.
    pub fn cut(&self, axis: usize) -> Cut<'_> {
        match &self.grid {
            Some(grid) => grid.axes.get(axis).map_or(Cut::Every(1), Axis::cut),
            None => Cut::Every(self.inner_shape().get(axis).copied().unwrap_or(1)),
        }
    }

    /// How an axis is cut into chunks (shards).
    pub fn shard_cut(&self, axis: usize) -> Cut<'_> {
        match &self.grid {
            Some(_) => self.cut(axis),
            None => Cut::Every(self.chunk_shape.get(axis).copied().unwrap_or(1)),
        }
    }

    /// Number of inner chunks in the whole array.
    pub fn inner_count(&self) -> u64 {
        let along = self.shape.iter().enumerate().map(|(axis, &n)| self.cut(axis).count(n));
        along.fold(1, u64::saturating_mul)
    }

    /// Items in the inner chunk at this place of the grid, as it is stored.
    pub fn len_at(&self, at: &[u64]) -> u64 {
        match &self.grid {
            Some(_) => at.iter().enumerate().map(|(axis, &chunk)| self.cut(axis).len(chunk)).product(),
            None => self.inner_len(),
        }
    }

    /// Decoded bytes of the inner chunk at this place of the grid; `None` for variable-length items.
    pub fn bytes_at(&self, at: &[u64]) -> Option<u64> {
        Some(self.len_at(at) * self.stored_size()? as u64)
    }

    /// The place of the chunk (shard) that holds an inner chunk.
    pub fn shard_of(&self, at: &[u64]) -> Vec<u64> {
        let shard = at.iter().zip(self.inner_shape().iter().zip(&self.chunk_shape));
        shard
            .map(|(&at, (&inner, &outer))| if self.grid.is_some() { at } else { at * inner / outer })
            .collect()
    }

    /// Items in an inner chunk (always the full chunk: edges are padded); in the largest of a rectilinear grid.
    pub fn inner_len(&self) -> u64 {
        self.inner_shape().iter().product()
    }

    /// Bytes of an item in a decoded chunk; `None` for variable-length items.
    pub fn stored_size(&self) -> Option<usize> {
        self.part.as_ref().map_or_else(|| self.dtype.item_size(), |part| Some(part.stored))
    }

    /// Decoded bytes of an inner chunk, of the largest where they differ; `None` for variable-length items.
    pub fn inner_bytes(&self) -> Option<u64> {
        Some(self.inner_len() * self.stored_size()? as u64)
    }

    /// One field of this array of structs, as an array of its own that shares the chunks; `None` where it has no fields.
    /// `field` is one of its fields.
    pub fn field(&self, field: &Field) -> Option<Self> {
        let stored = self.dtype.item_size().filter(|_| matches!(self.dtype, DataType::Struct(_)))?;
        let part = Part { stored, offset: self.part.as_ref().map_or(0, |p| p.offset) + field.offset };
        let part = self.part.as_ref().map_or(part.clone(), |p| Part { stored: p.stored, ..part });
        Some(Self { dtype: field.dtype.clone(), part: Some(part), ..self.clone() })
    }

    /// Inner chunks in one shard (1 where the array is not sharded).
    pub fn inner_per_chunk(&self) -> u64 {
        self.chunk_shape.iter().zip(self.inner_shape()).map(|(c, i)| c / i).product()
    }

    /// Chunks (shards) along each axis.
    pub fn grid_shape(&self) -> Vec<u64> {
        self.shape.iter().enumerate().map(|(axis, &n)| self.shard_cut(axis).count(n)).collect()
    }

    /// The key of the chunk (shard) at this place of the grid.
    pub fn chunk_key(&self, at: &[u64]) -> String {
        let key = self.keys.key(at);
        if self.path.is_empty() { key } else { format!("{}/{key}", self.path) }
    }

    /// Bytes of a shard's index, with its checksum.
    pub fn shard_index_bytes(&self) -> u64 {
        match &self.sharding {
            Some(s) => 16 * self.inner_per_chunk() + if s.index_checksum { 4 } else { 0 },
            None => 0,
        }
    }
}

/// A shared array.
pub type ArrayRef = Arc<ArrayMeta>;
