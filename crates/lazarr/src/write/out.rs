//! An element under way: the arrays that its blocks go to.

use lazarr_format::anndata::{NullableKind, SparseFormat};
use lazarr_format::encode::{ArraySpec, Cutting, Facts, IndexWidth, Role};
use lazarr_format::{Code, DataType, Error, Result};
use serde_json::{Map, Value as Json, json};

use super::array::ArrayOut;
use super::cast;
use super::element::{Attributes, encoding, join, not_written, rows_of, write_value};
use super::job::Job;
use super::turn::{Turned, View};
use crate::buffer::Buffer;
use crate::program::index_width;
use crate::value::{Dense, Strings, Value};

mod point;

pub(super) use point::Parts;

/// What is known of an element before it comes.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) role: Role,
    /// Rows (columns, of csc).
    pub(super) rows: Option<u64>,
    /// Stored values of a sparse matrix; never too small.
    pub(super) stored: Option<u64>,
    /// Stored values of a row, on the average.
    pub(super) per_row: f64,
}

impl Known {
    pub(super) fn new(role: Role, rows: Option<u64>) -> Self {
        Self { role, rows, stored: None, per_row: 1.0 }
    }
}

pub(super) fn facts(role: Role, shape: &[u64], item: usize) -> Facts<'_> {
    Facts { role, shape, item, per_row: 1.0 }
}

/// An array by the layout, and the type that its items are cast to.
pub(super) fn spec(
    job: &Job<'_>,
    path: &str,
    dtype: &DataType,
    shape: &[u64],
    role: Role,
    attributes: Attributes,
    per_row: Option<f64>,
) -> Result<(ArraySpec, Option<DataType>)> {
    // Text takes about so much.
    let item = dtype.item_size().unwrap_or(16);
    let facts = Facts { per_row: per_row.unwrap_or(1.0), ..facts(role, shape, item) };
    let mut cutting = job.cut(path, &facts, dtype)?;
    // What the store has stays as it is cut.
    if let Some((inner, shard, codecs)) = job.old.get(path).and_then(|old| old.cutting.as_ref())
        && inner.len() == shape.len()
    {
        let (inner, shard, codecs) = (inner.clone(), shard.clone(), codecs.clone());
        cutting = Cutting { inner, shard, codecs, dtype: None };
    }
    let to = match &cutting.dtype {
        Some(name) => {
            let to = cast::named(name).map_err(|e| e.element(path))?;
            (dtype.is_numeric() && to != *dtype).then_some(to)
        }
        None => None,
    };
    // Structs are never in shards: zarr-python does not read them there.
    if matches!(dtype, DataType::Struct(_)) {
        cutting.shard = None;
    }
    let spec = ArraySpec {
        path: path.to_owned(),
        shape: shape.to_vec(),
        dtype: to.clone().unwrap_or_else(|| dtype.clone()),
        inner: cutting.inner,
        shard: cutting.shard,
        codecs: cutting.codecs,
        keys: job.keys(path),
        attributes,
    };
    Ok((spec, to))
}

/// An element under way.
pub(super) enum Out<'j> {
    Dense(DenseOut<'j>),
    Strings(ArrayOut<'j>),
    Sparse(Box<SparseOut<'j>>),
    Categorical { codes: DenseOut<'j> },
    Nullable { values: Box<Out<'j>>, mask: DenseOut<'j> },
    Turned(Box<Turned<'j>>),
}

pub(super) struct DenseOut<'j> {
    job: &'j Job<'j>,
    array: ArrayOut<'j>,
    dtype: DataType,
    rest: Vec<u64>,
    to: Option<DataType>,
}

pub(super) struct SparseOut<'j> {
    job: &'j Job<'j>,
    path: String,
    format: SparseFormat,
    minor: u64,
    major: u64,
    data: DenseOut<'j>,
    indices: (ArrayOut<'j>, DataType),
    indptr: (ArrayOut<'j>, DataType),
    stored: u64,
}

pub(super) fn changed(what: &str) -> Error {
    Error::new(Code::NotWritten, format!("a block of rows has another {what} than those before"))
        .help("All blocks of an element are of one kind, type and width")
}

impl<'j> DenseOut<'j> {
    pub(super) fn open(
        job: &'j Job<'j>,
        path: &str,
        dtype: &DataType,
        shape: &[u64],
        role: Role,
        attributes: Attributes,
        per_row: Option<f64>,
    ) -> Result<Self> {
        let (spec, to) = spec(job, path, dtype, shape, role, attributes, per_row)?;
        let array = ArrayOut::new(job, spec)?;
        Ok(Self { job, array, dtype: dtype.clone(), rest: shape[1..].to_vec(), to })
    }

    pub(super) fn push(&mut self, dense: &Dense) -> Result<()> {
        if dense.dtype != self.dtype {
            return Err(changed("type").expected(self.dtype.to_string()).found(dense.dtype.to_string()));
        }
        if dense.shape.get(1..) != Some(&self.rest[..]) {
            return Err(changed("width"));
        }
        if self.rest.contains(&0) {
            self.array.push_empty_rows(dense.shape.first().copied().unwrap_or(0));
        }
        self.push_bytes(dense.data.as_slice())
    }

    pub(super) fn finish(self) -> Result<()> {
        self.array.finish().map(|_| ())
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        match &self.to {
            None => self.array.push(bytes),
            Some(to) => self.array.push(cast::cast(&self.dtype, to, bytes, &self.job.budget)?.as_slice()),
        }
    }
}

impl<'j> Out<'j> {
    pub(super) fn open(job: &'j Job<'j>, path: &str, first: &Value, known: Known) -> Result<Self> {
        let with_rows = |shape: &[u64]| {
            let rest = shape.get(1..).unwrap_or_default();
            [&[known.rows.unwrap_or(u64::MAX)][..], rest].concat()
        };
        if let Some(turned) = Turned::of(job, path, first, known)? {
            return Ok(Self::Turned(Box::new(turned)));
        }
        match first {
            Value::Dense(d) if !d.shape.is_empty() => {
                let kind = if matches!(d.dtype, DataType::Struct(_)) { "rec-array" } else { "array" };
                let role = role_of(known.role, d.shape.len());
                let shape = with_rows(&d.shape);
                let out =
                    DenseOut::open(job, path, &d.dtype, &shape, role, encoding(kind, "0.2.0", &[]), None)?;
                Ok(Self::Dense(out))
            }
            Value::Strings(s) if !s.shape().is_empty() => {
                let (dtype, kind) =
                    if s.is_utf8() { (DataType::String, "string-array") } else { (DataType::Bytes, "array") };
                let shape = with_rows(s.shape());
                let spec = spec(job, path, &dtype, &shape, known.role, encoding(kind, "0.2.0", &[]), None)?.0;
                Ok(Self::Strings(ArrayOut::new(job, spec)?))
            }
            Value::Sparse(s) => {
                let minor = s.shape[1 - s.format.major_axis()];
                let out = SparseOut::open(job, path, s.format, minor, &s.dtype, known)?;
                Ok(Self::Sparse(Box::new(out)))
            }
            Value::Categorical { codes, categories, ordered } => {
                let more = [("ordered", Json::from(*ordered))];
                job.group(path, encoding("categorical", "0.2.0", &more));
                write_value(job, &join(path, "categories")?, categories, Role::Other)?;
                let count = rows_of(categories);
                let width = if count <= 1 << 7 {
                    1
                } else if count <= 1 << 15 {
                    2
                } else if count <= 1 << 31 {
                    4
                } else {
                    8
                };
                let path = join(path, "codes")?;
                let need = DataType::Int(width);
                let dtype = job.old.get(&path).and_then(|old| old.holds(&need)).unwrap_or(need);
                let (mut spec, _) = spec(
                    job,
                    &path,
                    &dtype,
                    &with_rows(&codes.shape),
                    Role::Column,
                    encoding("array", "0.2.0", &[]),
                    None,
                )?;
                spec.dtype = dtype;
                let to = (codes.dtype != spec.dtype).then(|| spec.dtype.clone());
                let array = ArrayOut::new(job, spec)?;
                let codes = DenseOut { job, array, dtype: codes.dtype.clone(), rest: Vec::new(), to };
                Ok(Self::Categorical { codes })
            }
            Value::Nullable { values, mask, kind } => {
                let (name, more) = match kind {
                    NullableKind::Integer => ("nullable-integer", None),
                    NullableKind::Boolean => ("nullable-boolean", None),
                    NullableKind::String { nan } => {
                        ("nullable-string-array", Some(if *nan { "NaN" } else { "NA" }))
                    }
                };
                let more: Vec<_> = more.into_iter().map(|na| ("na-value", Json::from(na))).collect();
                job.group(path, encoding(name, "0.1.0", &more));
                let values = Self::open(job, &join(path, "values")?, values, known)?;
                let dtype = DataType::Bool;
                let path = join(path, "mask")?;
                let shape = with_rows(&mask.shape);
                let (mut spec, _) =
                    spec(job, &path, &dtype, &shape, Role::Column, encoding("array", "0.2.0", &[]), None)?;
                spec.dtype = dtype;
                let array = ArrayOut::new(job, spec)?;
                let mask = DenseOut {
                    job,
                    array,
                    dtype: mask.dtype.clone(),
                    rest: mask.shape[1..].to_vec(),
                    to: None,
                };
                Ok(Self::Nullable { values: Box::new(values), mask })
            }
            _ => Err(not_written("this cannot be written in blocks of rows", "Write it whole")),
        }
    }

    pub(super) fn push(&mut self, value: &Value) -> Result<()> {
        match (self, value) {
            (Self::Dense(out), Value::Dense(d)) => out.push(d),
            (Self::Strings(out), Value::Strings(s)) => push_strings(out, s),
            (Self::Sparse(out), Value::Sparse(s)) => out.push(&View::of(s)),
            (Self::Turned(out), value) => out.push(value),
            (Self::Categorical { codes: out }, Value::Categorical { codes, .. }) => out.push(codes),
            (Self::Nullable { values: out, mask: mask_out }, Value::Nullable { values, mask, .. }) => {
                out.push(values)?;
                mask_out.push(mask)
            }
            _ => Err(changed("kind")),
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        match self {
            Self::Dense(out) | Self::Categorical { codes: out } => out.finish(),
            Self::Strings(out) => out.finish().map(|_| ()),
            Self::Sparse(out) => out.finish(),
            Self::Turned(out) => out.finish(),
            Self::Nullable { values, mask } => {
                values.finish()?;
                mask.array.finish().map(|_| ())
            }
        }
    }
}

impl Out<'_> {
    /// The next row that comes is this one, before which so many values are stored; `starts` reads row starts of the old
    /// matrix. False where an array cannot go on from there.
    pub(super) fn go_on(&mut self, row: u64, stored: u64, starts: Starts<'_>) -> Result<bool> {
        Ok(match self {
            Self::Dense(out) | Self::Categorical { codes: out } => out.array.go_on(row)?,
            Self::Strings(out) => out.go_on(row)?,
            // What changes its format is another matrix.
            Self::Turned(_) => false,
            Self::Nullable { values, mask } => values.go_on(row, stored, starts)? && mask.array.go_on(row)?,
            Self::Sparse(out) => {
                (out.stored, out.major) = (stored, row);
                let (data, indices) = (&mut out.data.array, &mut out.indices.0);
                if !(data.go_on(stored)? && indices.go_on(stored)?) {
                    return Ok(false);
                }
                let (indptr, dtype) = &mut out.indptr;
                // Its own files end elsewhere: what lies between comes from the old ones.
                indptr.go_on(indptr.begins().min(row + 1))?;
                while indptr.rows() < row + 1 {
                    let at = indptr.rows();
                    let (bytes, width) = starts(at, (row + 1).min(at + STARTS))?;
                    let cast = cast::indices(bytes.as_slice(), width, 0, dtype, &out.job.budget)?;
                    indptr.push(cast.as_slice())?;
                }
                true
            }
        })
    }
}

/// So many row starts are taken over at a time.
const STARTS: u64 = 1 << 16;

/// Row starts of an old matrix, from one to another, and their width.
pub(super) type Starts<'s> = &'s dyn Fn(u64, u64) -> Result<(Buffer, u8)>;

fn role_of(role: Role, rank: usize) -> Role {
    match role {
        Role::Other if rank > 1 => Role::Dense,
        other => other,
    }
}

fn push_strings(out: &mut ArrayOut<'_>, s: &Strings) -> Result<()> {
    out.push_items((0..s.len()).map(|i| s.get(i).unwrap_or_default()))?;
    out.count_rows(s.shape().first().copied().unwrap_or(0));
    Ok(())
}

impl<'j> SparseOut<'j> {
    pub(super) fn open(
        job: &'j Job<'j>,
        path: &str,
        format: SparseFormat,
        minor: u64,
        dtype: &DataType,
        known: Known,
    ) -> Result<Self> {
        let stored = known.stored.unwrap_or(u64::MAX);
        let rows = known.rows.unwrap_or(u64::MAX);
        let smallest = |most: u64| {
            DataType::UInt(match most {
                0..=0xff => 1,
                0x100..=0xffff => 2,
                0x1_0000..=0xffff_ffff => 4,
                _ => 8,
            })
        };
        let (index_type, start_type) = match job.layout.indices {
            IndexWidth::Smallest => (smallest(minor.saturating_sub(1)), smallest(stored)),
            IndexWidth::Scipy => {
                let width = DataType::Int(index_width(rows, minor, stored));
                (width.clone(), width)
            }
        };
        let kept = |name: &str, need: DataType| -> Result<DataType> {
            Ok(job.old.get(&join(path, name)?).and_then(|old| old.holds(&need)).unwrap_or(need))
        };
        let (index_type, start_type) = (kept("indices", index_type)?, kept("indptr", start_type)?);
        let array =
            |name: &str, dtype: &DataType, role: Role, len: u64, per_row: f64| -> Result<ArrayOut<'j>> {
                let (mut spec, _) =
                    spec(job, &join(path, name)?, dtype, &[len], role, Map::new(), Some(per_row))?;
                spec.dtype = dtype.clone();
                ArrayOut::new(job, spec)
            };
        let indices = array("indices", &index_type, Role::Indices, stored, known.per_row)?;
        let indptr = array("indptr", &start_type, Role::Indptr, rows.saturating_add(1), 1.0)?;
        let at = join(path, "data")?;
        let data = DenseOut::open(job, &at, dtype, &[stored], Role::Data, Map::new(), Some(known.per_row))?;
        Ok(Self {
            job,
            path: path.to_owned(),
            format,
            minor,
            major: 0,
            data,
            indices: (indices, index_type),
            indptr: (indptr, start_type),
            stored: 0,
        })
    }

    /// The next rows (columns, of csc).
    pub(super) fn push(&mut self, block: &View<'_>) -> Result<()> {
        if block.format != self.format || block.minor != self.minor {
            return Err(changed("width"));
        }
        if *block.dtype != self.data.dtype {
            return Err(changed("type").expected(self.data.dtype.to_string()).found(block.dtype.to_string()));
        }
        let size = block.dtype.item_size().unwrap_or(1) as u64 + u64::from(block.width);
        let most = (self.job.block_bytes() / size).max(1);
        let mut from = 0;
        while let Some((end, part)) = block.part(from, most, most) {
            self.push_part(&part)?;
            from = end;
        }
        Ok(())
    }

    fn push_part(&mut self, part: &View<'_>) -> Result<()> {
        self.first_start()?;
        let budget = &self.job.budget;
        self.data.push_bytes(part.data)?;
        let indices = cast::indices(part.indices, part.width, 0, &self.indices.1, budget)?;
        self.indices.0.push(indices.as_slice())?;
        drop(indices);
        let starts = part.starts.get(usize::from(part.start_width)..).unwrap_or_default();
        let base = self.stored.wrapping_sub(part.base());
        let starts = cast::indices(starts, part.start_width, base, &self.indptr.1, budget)?;
        self.indptr.0.push(starts.as_slice())?;
        self.stored += part.stored();
        self.major += part.major();
        Ok(())
    }

    /// The first row starts at 0; one that goes on has it.
    fn first_start(&mut self) -> Result<()> {
        let (indptr, dtype) = &mut self.indptr;
        if indptr.rows() > 0 {
            return Ok(());
        }
        indptr.push(&[0; 8][..dtype.item_size().unwrap_or(8).min(8)])
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.first_start()?;
        let mut shape = [self.minor; 2];
        shape[self.format.major_axis()] = self.major;
        let kind = format!("{}_matrix", self.format.name());
        self.job.group(&self.path, encoding(&kind, "0.1.0", &[("shape", json!(shape))]));
        self.data.array.finish()?;
        self.indices.0.finish()?;
        self.indptr.0.finish().map(|_| ())
    }
}
