//! What the bytes mean.
//!
//! This crate turns the text of metadata into types and the bytes of a chunk into items, and does nothing else: no I/O,
//! no threads. [`metadata`] reads Zarr v2 and v3 into one [`ArrayMeta`]; [`codec`] decodes an inner chunk straight into
//! the caller's slice; [`shard`] reads the index of a shard; [`anndata`] makes the typed tree of elements that the rest
//! of the house works with. [`encode`] goes the other way.

pub mod anndata;
mod array;
pub mod codec;
mod dtype;
pub mod encode;
mod error;
pub mod grid;
mod keys;
pub mod metadata;
mod range;
pub mod shard;

pub use array::{ArrayMeta, ArrayRef, Fill, Part, Sharding};
pub use dtype::{DataType, Field, MAX_ITEM, TimeUnit};
pub use error::{Code, Error, Kind, Result, escape};
pub use grid::Cut;
pub use keys::KeyEncoding;
pub use range::{ByteRange, Profile, Version};
