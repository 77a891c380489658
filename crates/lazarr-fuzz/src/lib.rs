//! What is fuzzed, and what must hold of it.
//!
//! Each target takes any bytes, and panics where a promise is broken: that hostile bytes end in an error or in values that
//! make sense, in bounded memory. `fuzz/` runs them under libFuzzer; `tests/replay.rs` runs them on the corpora and on
//! mutations of these, on stable Rust. A finding becomes a file of its target's corpus.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a target panics where a promise is broken")]
#![allow(clippy::missing_panics_doc, reason = "as above")]

mod archive;
mod blosc;
mod chunks;
mod feed;
mod matrix;
mod nodes;
mod predicates;
pub mod seeds;
mod shards;
mod text;

pub use archive::zip_directory;
pub use chunks::{
    codec_blosc, codec_bytes, codec_crc32c, codec_gzip, codec_lz4, codec_transpose, codec_zlib, codec_zstd,
};
pub use matrix::csr_assembly;
pub use nodes::{consolidated, metadata};
pub use predicates::expressions;
pub use shards::shard_index;
pub use text::vlen_utf8;

/// A target.
pub type Target = fn(&[u8]);

/// Every target with its name, which is that of its corpus and of its file in `fuzz/fuzz_targets`.
pub const TARGETS: [(&str, Target); 15] = [
    ("metadata", metadata),
    ("consolidated", consolidated),
    ("shard_index", shard_index),
    ("codec_blosc", codec_blosc),
    ("codec_zstd", codec_zstd),
    ("codec_gzip", codec_gzip),
    ("codec_zlib", codec_zlib),
    ("codec_lz4", codec_lz4),
    ("codec_crc32c", codec_crc32c),
    ("codec_bytes", codec_bytes),
    ("codec_transpose", codec_transpose),
    ("vlen_utf8", vlen_utf8),
    ("csr_assembly", csr_assembly),
    ("zip_directory", zip_directory),
    ("expressions", expressions),
];
