//! Layouts for what people do. The figures behind them are in the guide.

use super::{Compressor, IndexWidth, Layout, MatrixFormat, Role, Rule, Shuffle, Size};
use crate::{Code, Error, Result};

/// The names of the presets, and what each is for.
pub const PRESETS: [(&str, &str); 6] = [
    ("rows", "reading rows, contiguous or filtered, and whole matrices: the default"),
    ("genes", "reading single genes: sparse X and layers are csc"),
    ("both", "rows and genes"),
    ("random", "random rows: training"),
    ("archive", "the smallest files"),
    ("viewer", "a browser, over a network: genes, embeddings, tables; sparse X and layers are csc"),
];

const KI: u64 = 1 << 10;
const MI: u64 = 1 << 20;

/// What differs between presets.
struct Choice {
    /// Items of an inner chunk of a sparse matrix.
    sparse: u64,
    /// Bytes of an inner chunk of a dense matrix with rows as a unit; of one with columns as a unit a shape.
    dense: Size,
    /// Items of an inner chunk of row starts.
    starts: u64,
    /// Rows of an inner chunk of a table.
    column: u64,
    /// Sparse matrices of cells × genes are csc.
    by_gene: bool,
    codec: Compressor,
    /// Bytes of a shard, before compression.
    shard: u64,
}

fn blosc(name: &str, level: u8) -> Compressor {
    Compressor::Blosc { name: name.to_owned(), level, shuffle: Shuffle::Bytes }
}

impl Layout {
    /// The preset of this name, see [`PRESETS`], for Zarr 2 or 3.
    pub fn preset(name: &str, zarr_format: u8) -> Result<Self> {
        let base = Choice {
            sparse: 16 * KI,
            dense: Size::Bytes(256 * KI),
            starts: 64 * KI,
            column: 128 * KI,
            by_gene: false,
            codec: blosc("lz4", 5),
            shard: 256 * MI,
        };
        let choice = match name {
            "rows" => base,
            "genes" => Choice { dense: Size::Shape(vec![4 * KI, 16]), by_gene: true, ..base },
            "both" => Choice { sparse: 4 * KI, dense: Size::Shape(vec![256, 256]), ..base },
            "random" => Choice {
                sparse: 2 * KI,
                dense: Size::Bytes(16 * KI),
                starts: 16 * KI,
                shard: 64 * MI,
                ..base
            },
            "archive" => Choice {
                sparse: 128 * KI,
                dense: Size::Bytes(MI),
                codec: blosc("zstd", 7),
                shard: 512 * MI,
                ..base
            },
            "viewer" => Choice {
                sparse: 8 * KI,
                dense: Size::Shape(vec![16 * KI, 8]),
                column: 64 * KI,
                by_gene: true,
                codec: blosc("zstd", 5),
                shard: 32 * MI,
                ..base
            },
            _ => {
                let names = PRESETS.map(|(name, _)| name).join(", ");
                return Err(Error::new(Code::Layout, "there is no preset of this name")
                    .expected(format!("one of {names}"))
                    .found(format!("`{name}`")));
            }
        };
        Ok(choice.layout(zarr_format))
    }
}

impl Choice {
    fn layout(self, zarr_format: u8) -> Layout {
        let at = |path: &str, role: Option<Role>, chunk: Size| Rule {
            path: path.to_owned(),
            role,
            chunk: Some(chunk),
            ..Rule::default()
        };
        // Without shards each chunk is a file: they are larger, so that files stay few.
        let flat = zarr_format == 2;
        let least = |n: u64, at_least: u64| if flat { n.max(at_least) } else { n };
        let sparse = least(self.sparse, 256 * KI);
        let dense = match self.dense {
            Size::Bytes(n) => Size::Bytes(least(n, MI)),
            Size::Shape(shape) if flat => Size::Shape(shape.iter().map(|n| n * 2).collect()),
            other => other,
        };
        let mut rules = vec![
            Rule {
                path: "**".to_owned(),
                chunk: Some(Size::Bytes(least(256 * KI, MI))),
                shard: Some(Size::Bytes(self.shard)),
                codec: Some(self.codec.clone()),
                ..Rule::default()
            },
            at("**", Some(Role::Data), Size::Items(sparse)),
            at("**", Some(Role::Indices), Size::Items(sparse)),
            at("**", Some(Role::Indptr), Size::Items(self.starts)),
            at("**", Some(Role::Column), Size::Items(self.column)),
            at("**", Some(Role::Dense), Size::Bytes(least(256 * KI, MI))),
        ];
        for path in ["X", "layers/*", "raw/X"] {
            rules.push(at(path, Some(Role::Dense), dense.clone()));
            if self.by_gene {
                let format = Some(MatrixFormat::Csc);
                rules.push(Rule { path: path.to_owned(), role: Some(Role::Data), format, ..Rule::default() });
            }
        }
        // Embeddings go by rows, never by columns.
        for path in ["obsm/*", "varm/*"] {
            rules.push(at(path, Some(Role::Dense), Size::Bytes(least(128 * KI, MI))));
        }
        // Other readers take indices as they are stored, and scipy computes with 32 and 64 bits alone.
        Layout { zarr_format, indices: IndexWidth::Scipy, rules }
    }
}
