//! The way back: items → bytes of a chunk, and types → the text of metadata.
//!
//! [`Layout`] is what a person asks for, as data: rules by path that say how arrays are cut and compressed. Of it and the
//! facts of an array comes a [`Cutting`], of that an [`ArraySpec`], which writes its own metadata for Zarr v2 and v3.
//! [`Encoder`] makes the bytes of an inner chunk, [`ShardBuilder`] the index of a shard, [`Nodes`] the documents of a whole
//! hierarchy, with the consolidated one last. Like the rest of this crate, nothing here does I/O.
//!
//! ```
//! use lazarr_format::DataType;
//! use lazarr_format::encode::{Facts, Layout, Role};
//! let layout = Layout::preset("random", 3)?;
//! let facts = Facts { role: Role::Data, shape: &[1 << 30], item: 4, per_row: 2000.0 };
//! let cutting = layout.cut("X/data", &facts)?;
//! assert_eq!(cutting.inner, [2048]);
//! # Ok::<(), lazarr_format::Error>(())
//! ```

mod blosc;
mod codec;
mod layout;
mod nodes;
mod presets;
mod shard;
mod spec;
#[cfg(test)]
mod tests;
mod vlen;

pub use codec::{Codecs, Compressor, Encoder, Shuffle};
pub use layout::{Cutting, Facts, IndexWidth, Layout, MatrixFormat, Role, Rule, Size};
pub use nodes::Nodes;
pub use presets::PRESETS;
pub use shard::ShardBuilder;
pub use spec::{ArraySpec, MANIFEST};
pub use vlen::vlen;
