//! How arrays are cut and compressed, as data.

use serde::{Deserialize, Serialize};

use super::{Codecs, Compressor};
use crate::{Code, Error, Result};

/// What an array is for, which decides what a layout does with it where no rule names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Stored values of a sparse matrix.
    Data,
    /// Their indices.
    Indices,
    /// Where its rows (columns) start.
    Indptr,
    /// One value a row: a column of a table, its codes, its mask; names.
    Column,
    /// A matrix of two or more axes.
    Dense,
    /// Anything else: categories, buffers of awkward arrays, what is in `uns`.
    Other,
}

impl Role {
    /// As layouts name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Indices => "indices",
            Self::Indptr => "indptr",
            Self::Column => "column",
            Self::Dense => "dense",
            Self::Other => "other",
        }
    }
}

/// A length along the first axis, or a shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// So many items.
    Items(u64),
    /// So many rows: of a sparse matrix, as many stored values as these have on the average.
    Rows(u64),
    /// So many bytes, before they are compressed.
    Bytes(u64),
    /// This very shape; arrays of another number of axes are cut along the first, by its first length.
    Shape(Vec<u64>),
    /// The whole array.
    Whole,
    /// Of a shard: none.
    None,
}

/// What a matrix is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixFormat {
    /// Compressed rows: for reading cells.
    Csr,
    /// Compressed columns: for reading genes.
    Csc,
    /// Every value.
    Dense,
}

/// What holds for the arrays at some paths. What is not set is left to the rules before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// A path of arrays or of what they are in: `X`, `X/data`, `obs/*`, `layers/**`. `*` is any name, `**` any path.
    pub path: String,
    /// Only arrays that are for this. Of a `format`: `data` means matrices that are sparse, `dense` those that are dense.
    pub role: Option<Role>,
    /// What matrices of numbers are stored as, where that is not what they are.
    pub format: Option<MatrixFormat>,
    /// The inner chunk: what is decoded at once.
    pub chunk: Option<Size>,
    /// The shard: what is one file. Zarr v3 alone.
    pub shard: Option<Size>,
    /// The codec.
    pub codec: Option<Compressor>,
    /// Whether changed bytes are noticed.
    pub checksum: Option<bool>,
    /// The type of the items, where it is another than in memory: `float32`. It must hold every value; only floats may lose
    /// digits.
    pub dtype: Option<String>,
}

/// How wide indices of sparse matrices are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexWidth {
    /// As scipy has them: int32, or int64 where that is needed.
    #[default]
    Scipy,
    /// The smallest unsigned integers that hold them.
    Smallest,
}

/// How a store is laid out: data, as JSON or made in code.
///
/// ```
/// use lazarr_format::encode::Layout;
/// let mut layout = Layout::preset("rows", 3)?;
/// layout.add(r#"{"path": "obsm/X_pca", "chunk": {"rows": 512}, "codec": "zstd:5"}"#)?;
/// assert_eq!(layout, Layout::from_json(&layout.to_json())?);
/// # Ok::<(), lazarr_format::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// 2 or 3.
    #[serde(default = "three")]
    pub zarr_format: u8,
    /// How wide indices are.
    #[serde(default)]
    pub indices: IndexWidth,
    /// The rules; later ones win.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

fn three() -> u8 {
    3
}

/// What is known of an array before it is written.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What it is for.
    pub role: Role,
    /// Its shape; the first axis may be an upper bound, `u64::MAX` where nothing is known.
    pub shape: &'a [u64],
    /// Bytes of an item; a guess where it varies.
    pub item: usize,
    /// Items of a row on the average, where the array is stored values or their indices; else 1.
    pub per_row: f64,
}

/// How one array is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutting {
    /// The shape of an inner chunk.
    pub inner: Vec<u64>,
    /// The shape of a shard, a multiple of `inner`.
    pub shard: Option<Vec<u64>>,
    /// How chunks are encoded.
    pub codecs: Codecs,
    /// The type that is asked for, by name.
    pub dtype: Option<String>,
}

/// No chunk has more bytes before it is compressed: c-blosc counts in 31 bits.
const MOST_BYTES: u64 = 1 << 30;
/// No shard has more inner chunks: its index would be larger than what is read by it.
const MOST_INNER: u64 = 1 << 22;

impl Rule {
    /// From JSON; `path` may be left out, for who sets it.
    ///
    /// Errors: `Layout`.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| bad(&e))
    }
}

impl Layout {
    /// From JSON.
    pub fn from_json(text: &str) -> Result<Self> {
        let layout: Self = serde_json::from_str(text).map_err(|e| bad(&e))?;
        layout.check()?;
        Ok(layout)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The same with one more rule.
    ///
    /// Errors: `Layout` where the rule cannot hold.
    pub fn with(&self, rule: Rule) -> Result<Self> {
        let mut layout = self.clone();
        layout.rules.push(rule);
        layout.check()?;
        Ok(layout)
    }

    /// Adds a rule, as JSON.
    pub fn add(&mut self, rule: &str) -> Result<()> {
        *self = self.with(Rule::from_json(rule)?)?;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if !matches!(self.zarr_format, 2 | 3) {
            return Err(Error::new(Code::Layout, "the layout names a version of Zarr that is not written")
                .expected("zarr_format 2 or 3")
                .found(self.zarr_format.to_string()));
        }
        for rule in &self.rules {
            let sizes = rule.chunk.iter().chain(&rule.shard);
            let zero = |size: &Size| match size {
                Size::Items(n) | Size::Rows(n) | Size::Bytes(n) => *n == 0,
                Size::Shape(shape) => shape.is_empty() || shape.contains(&0),
                Size::Whole | Size::None => false,
            };
            if sizes.into_iter().any(zero) {
                return Err(Error::new(Code::Layout, "a chunk or shard of the layout has no items")
                    .element(&*rule.path)
                    .expected("1 or more"));
            }
            if rule.format.is_some() && !matches!(rule.role, None | Some(Role::Data | Role::Dense)) {
                return Err(Error::new(
                    Code::Layout,
                    "a format is that of a matrix, and not of one of its arrays",
                )
                .element(&*rule.path)
                .expected("no role, \"data\" (what is sparse) or \"dense\" (what is dense)"));
            }
            if rule.chunk == Some(Size::None) {
                return Err(Error::new(Code::Layout, "an array cannot be without chunks")
                    .element(&*rule.path)
                    .help("\"none\" is for shards; \"whole\" makes one chunk of an array"));
            }
        }
        Ok(())
    }

    /// What the matrix at a path is stored as, by what it is: sparse or dense. `None`: as it is.
    ///
    /// ```
    /// use lazarr_format::encode::{Layout, MatrixFormat};
    /// let mut layout = Layout::preset("rows", 3)?;
    /// layout.add(r#"{"path": "X", "format": "csc"}"#)?;
    /// assert_eq!(layout.format("X", true), Some(MatrixFormat::Csc));
    /// assert_eq!(layout.format("obsp/distances", true), None);
    /// # Ok::<(), lazarr_format::Error>(())
    /// ```
    pub fn format(&self, path: &str, sparse: bool) -> Option<MatrixFormat> {
        let role = if sparse { Role::Data } else { Role::Dense };
        let mut rules = self.rules.iter().rev().filter(|r| r.role.is_none_or(|r| r == role));
        rules.find(|r| r.format.is_some() && matches(&r.path, path))?.format
    }

    /// How the array at a path is written.
    ///
    /// Errors: `Layout` where a rule does not fit the array.
    pub fn cut(&self, path: &str, facts: &Facts<'_>) -> Result<Cutting> {
        let mut chosen = Rule::default();
        for rule in self.rules.iter().filter(|r| r.role.is_none_or(|role| role == facts.role)) {
            if !matches(&rule.path, path) {
                continue;
            }
            let Rule { chunk, shard, codec, checksum, dtype, .. } = rule.clone();
            chosen.chunk = chunk.or(chosen.chunk);
            chosen.shard = shard.or(chosen.shard);
            chosen.codec = codec.or(chosen.codec);
            chosen.checksum = checksum.or(chosen.checksum);
            chosen.dtype = dtype.or(chosen.dtype);
        }
        let codecs = Codecs {
            compressor: chosen.codec.unwrap_or(Compressor::Zstd { level: 3 }),
            checksum: chosen.checksum.unwrap_or(true),
        };
        let rank = facts.shape.len();
        let inner = shape_of(chosen.chunk.as_ref().unwrap_or(&Size::Bytes(256 << 10)), facts);
        let inner: Vec<u64> = inner.iter().zip(facts.shape).map(|(&c, &n)| c.clamp(1, n.max(1))).collect();
        let bytes = inner.iter().fold(facts.item.max(1) as u64, |n, &c| n.saturating_mul(c));
        if bytes > MOST_BYTES {
            return Err(Error::new(Code::Layout, "a chunk of the layout is too large")
                .element(path)
                .expected(format!("at most {MOST_BYTES} bytes"))
                .found(format!("{bytes}")));
        }
        let shard = match chosen.shard {
            Some(size) if size != Size::None && self.zarr_format == 3 && rank > 0 => {
                let outer = shape_of(&size, facts);
                let explicit = matches!(size, Size::Shape(_));
                let whole = inner.iter().zip(facts.shape).all(|(&c, &n)| n <= c);
                let outer =
                    outer.iter().zip(&inner).zip(facts.shape).enumerate().map(|(k, ((&s, &c), &n))| {
                        // The other axes whole, unless the shape was given: then shards are rows of chunks.
                        let s = if k == 0 || explicit { s } else { n };
                        s.min(n.max(1)).max(1).div_ceil(c).saturating_mul(c)
                    });
                let mut outer: Vec<u64> = outer.collect();
                let per: u64 =
                    outer.iter().zip(&inner).skip(1).fold(1, |n, (&s, &c)| n.saturating_mul(s / c));
                outer[0] = outer[0].min(inner[0].saturating_mul((MOST_INNER / per).max(1)));
                // One chunk needs no index.
                (!whole && outer != inner).then_some(outer)
            }
            _ => None,
        };
        Ok(Cutting { inner, shard, codecs, dtype: chosen.dtype })
    }
}

fn bad(e: &serde_json::Error) -> Error {
    Error::new(Code::Layout, "the layout is not understood").found(e.to_string())
}

/// A size as a shape of the array's rank.
fn shape_of(size: &Size, facts: &Facts<'_>) -> Vec<u64> {
    let shape = facts.shape;
    let Some((_, rest)) = shape.split_first() else { return Vec::new() };
    let row = rest.iter().fold(1u64, |n, &m| n.saturating_mul(m)).max(1);
    let with_rows = |rows: u64| [&[rows.max(1)][..], rest].concat();
    let items = |n: u64| {
        if n >= row {
            return with_rows(n / row);
        }
        // Less than a row: a piece of one, where that is simple.
        match rest {
            [_] => vec![1, n.max(1)],
            _ => with_rows(1),
        }
    };
    match size {
        Size::Items(n) => items(*n),
        Size::Rows(n) => with_rows((*n as f64 * facts.per_row.max(1.0 / *n as f64)).round() as u64),
        Size::Bytes(n) => items(n / facts.item.max(1) as u64),
        Size::Shape(given) if given.len() == shape.len() => given.clone(),
        // A shape is meant for arrays of its rank: others are cut along their first axis, by its first length.
        Size::Shape(given) => with_rows(given.first().copied().unwrap_or(1)),
        Size::Whole | Size::None => shape.iter().map(|&n| n.max(1)).collect(),
    }
}

/// Whether a pattern names this path, or something that it is in.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).collect();
    let path: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    (0..=path.len()).any(|n| parts_match(&pattern, &path[..n]))
}

fn parts_match(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=path.len()).any(|n| parts_match(rest, &path[n..])),
        (Some((part, rest)), Some((name, names))) => name_matches(part, name) && parts_match(rest, names),
        _ => false,
    }
}

/// `*` is any part of a name.
fn name_matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    // Each place where what follows may begin.
    rest.char_indices().map(|(i, _)| i).chain([rest.len()]).any(|i| name_matches(after, &rest[i..]))
}
