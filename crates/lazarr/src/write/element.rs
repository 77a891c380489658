//! Each encoding of the format: its group, its attributes, the arrays that its blocks go to.

use lazarr_format::anndata::{Body, NullableKind, SparseFormat};
use lazarr_format::encode::{ArraySpec, Facts, IndexWidth, Role};
use lazarr_format::{Code, DataType, Error, Result};
use serde_json::{Map, Value as Json, json};

use super::array::ArrayOut;
use super::cast;
use super::job::Job;
use super::source::{Group, Source};
use crate::concat::{Concat, concat_of};
use crate::lazy::Lazy;
use crate::program::index_width;
use crate::value::{Dense, SparseMatrix, Strings, Table, Value};

type Attributes = Map<String, Json>;

fn encoding(kind: &str, version: &str, more: &[(&str, Json)]) -> Attributes {
    let mut out = Map::new();
    out.insert("encoding-type".into(), kind.into());
    out.insert("encoding-version".into(), version.into());
    out.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    out
}

fn join(path: &str, name: &str) -> Result<String> {
    let plain = !name.is_empty() && !name.contains(['/', '\0']) && !matches!(name, "." | "..");
    let reserved = ["zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"];
    if !plain || reserved.contains(&name) {
        return Err(Error::new(Code::NotWritten, "this name cannot be that of an element in Zarr")
            .element(path)
            .found(format!("`{name}`"))
            .help("Rename it"));
    }
    Ok(if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") })
}

/// What is known of an element before it comes.
#[derive(Clone, Copy)]
struct Known {
    role: Role,
    /// Rows (columns, of csc).
    rows: Option<u64>,
    /// Stored values of a sparse matrix; never too small.
    stored: Option<u64>,
    /// Stored values of a row, on the average.
    per_row: f64,
}

impl Known {
    fn new(role: Role, rows: Option<u64>) -> Self {
        Self { role, rows, stored: None, per_row: 1.0 }
    }
}

/// Writes anything at a path.
pub(super) fn write(job: &Job<'_>, path: &str, source: Source<'_>) -> Result<()> {
    write_as(job, path, source, Role::Other).map_err(|e| e.element(path))
}

fn write_as(job: &Job<'_>, path: &str, source: Source<'_>, role: Role) -> Result<()> {
    match source {
        Source::Value(value) => write_value(job, path, &value, role),
        Source::Lazy(lazy) => write_lazy(job, path, &lazy, role),
        Source::Blocks(mut blocks) => {
            job.tell(path, 0);
            let (rows, stored) = (blocks.rows(), blocks.stored());
            let mut out = None;
            let mut done = 0;
            while let Some(block) = blocks.next(job.block_bytes(), job.call)? {
                job.poll()?;
                if out.is_none() {
                    let per_row = stored.zip(rows).map_or(1000.0, |(s, r)| s as f64 / r.max(1) as f64);
                    out = Some(Out::open(job, path, &block, Known { role, rows, stored, per_row })?);
                }
                let Some(out) = &mut out else { continue };
                done += rows_of(&block);
                out.push(&block)?;
                job.tell(path, done);
            }
            let Some(out) = out else {
                return Err(Error::new(Code::NotWritten, "no block of rows came")
                    .help("Give one block at least, if without rows"));
            };
            out.finish()
        }
        Source::Group { kind, children } => {
            let mut role = Role::Other;
            let attributes = match &kind {
                Group::AnnData => encoding("anndata", "0.1.0", &[]),
                Group::Raw => encoding("raw", "0.1.0", &[]),
                Group::Dict => encoding("dict", "0.1.0", &[]),
                Group::DataFrame { index } => {
                    role = Role::Column;
                    let columns = children.iter().map(|(n, _)| n.as_str()).filter(|n| n != index);
                    frame_attributes(index, columns)
                }
            };
            job.group(path, attributes);
            for (name, child) in children {
                let at = join(path, &name)?;
                write_as(job, &at, child, role).map_err(|e| e.element(at))?;
            }
            Ok(())
        }
    }
}

fn frame_attributes<'n>(index: &str, columns: impl Iterator<Item = &'n str>) -> Attributes {
    let order: Vec<_> = columns.map(Json::from).collect();
    encoding("dataframe", "0.2.0", &[("column-order", order.into()), ("_index", index.into())])
}

fn not_written(what: &str, help: &str) -> Error {
    Error::new(Code::NotWritten, what).help(help)
}

fn write_lazy(job: &Job<'_>, path: &str, lazy: &Lazy, role: Role) -> Result<()> {
    job.tell(path, 0);
    let element = lazy.element();
    let children = |kind: Group, role: Role| -> Result<()> {
        let parts = element.children().into_iter().map(|(name, _)| {
            let child = lazy.child(&name)?;
            Ok((name, Source::Lazy(child)))
        });
        let children = parts.collect::<Result<Vec<_>>>()?;
        write_as(job, path, Source::Group { kind, children }, role)
    };
    match &element.body {
        Body::Broken(e) => {
            if job.call.skip_broken {
                return Ok(());
            }
            Err(not_written("the element cannot be read", "Leave it out: drop=[...], --drop")
                .source(e.again()))
        }
        Body::AnnData(_) => children(Group::AnnData, role),
        Body::Raw(_) => children(Group::Raw, role),
        Body::Dict(_) => children(Group::Dict, role),
        Body::DataFrame(frame) => {
            let columns = lazy.column_names();
            let index = frame.index_key.clone();
            job.group(path, frame_attributes(&index, columns.iter().map(String::as_str)));
            let at = join(path, &index)?;
            write_lazy(job, &at, &lazy.names()?, Role::Column).map_err(|e| e.element(at))?;
            for name in columns.iter().filter(|n| **n != index) {
                let at = join(path, name)?;
                write_lazy(job, &at, &lazy.column(name)?, Role::Column).map_err(|e| e.element(at))?;
            }
            Ok(())
        }
        Body::Null | Body::Scalar(_) | Body::Awkward(_) => {
            write_value(job, path, &lazy.collect(job.call)?, role)
        }
        Body::Sparse(sparse) => {
            let major = sparse.format.major_axis();
            let mut stream = lazy.stream_along(major, job.call, None, Some(job.block_bytes()))?;
            let rows = stream.len();
            // Rows may come several times.
            let once = lazy.axes().iter().all(|a| a.index().is_some_and(lazarr_plan::Index::is_monotone));
            let most = rows.saturating_mul(sparse.minor_len());
            let stored = if once { sparse.nnz() } else { most };
            let per_row = sparse.nnz() as f64 / sparse.major_len().max(1) as f64;
            let known = Known { role, rows: Some(rows), stored: Some(stored), per_row };
            let mut next = |_| Ok(stream.next(job.call)?.map(|b| b.value));
            drain(job, path, lazy, known, &mut next)
        }
        _ if lazy.shape().is_empty() || lazy.dropped().iter().any(|d| *d) => {
            write_value(job, path, &lazy.collect(job.call)?, role)
        }
        _ => {
            let mut stream = lazy.stream(job.call, None, Some(job.block_bytes()))?;
            let mut known = Known::new(role, Some(stream.len()));
            if let Some(stored) = concat_of(element).and_then(Concat::stored) {
                let width =
                    lazy.axes().get(1).and_then(|a| a.index()).map_or(u64::MAX, lazarr_plan::Index::len);
                let once = lazy.axes().iter().all(|a| a.index().is_some_and(lazarr_plan::Index::is_monotone));
                let most = stream.len().saturating_mul(width);
                known.stored = Some(if once { stored.min(most) } else { most });
                known.per_row = stored as f64 / element.shape().map_or(1, |s| s[0]).max(1) as f64;
            }
            let mut next = |_| Ok(stream.next(job.call)?.map(|b| b.value));
            drain(job, path, lazy, known, &mut next)
        }
    }
}

/// All blocks of an element; at least one, if without rows.
fn drain(
    job: &Job<'_>,
    path: &str,
    lazy: &Lazy,
    known: Known,
    next: &mut dyn FnMut(u64) -> Result<Option<Value>>,
) -> Result<()> {
    let first = match next(0)? {
        Some(block) => block,
        None => lazy.collect(job.call)?,
    };
    let mut out = Out::open(job, path, &first, known)?;
    let mut done = rows_of(&first);
    out.push(&first)?;
    drop(first);
    while let Some(block) = next(done)? {
        done += rows_of(&block);
        out.push(&block)?;
        job.tell(path, done);
    }
    out.finish()
}

fn rows_of(value: &Value) -> u64 {
    match value {
        Value::Dense(d) => d.shape.first().copied().unwrap_or(0),
        Value::Strings(s) => s.shape().first().copied().unwrap_or(0),
        Value::Sparse(s) => s.shape[s.format.major_axis()],
        Value::Categorical { codes, .. } => codes.shape.first().copied().unwrap_or(0),
        Value::Nullable { mask, .. } => mask.shape.first().copied().unwrap_or(0),
        Value::Table(t) => t.len,
        _ => 0,
    }
}

fn write_value(job: &Job<'_>, path: &str, value: &Value, role: Role) -> Result<()> {
    job.poll()?;
    match value {
        Value::Null => {
            let cutting = job.layout.cut(path, &facts(Role::Other, &[], 1))?;
            let spec = ArraySpec {
                path: path.to_owned(),
                shape: Vec::new(),
                dtype: DataType::Bool,
                inner: Vec::new(),
                shard: None,
                codecs: cutting.codecs,
                attributes: encoding("null", "0.1.0", &[]),
            };
            job.array(spec, super::manifest::Tally::default());
            Ok(())
        }
        Value::Dense(d) if d.shape.is_empty() && matches!(d.dtype, DataType::FixedUtf32(_)) => {
            // Old writers stored text so.
            let chars = d.data.as_slice().as_chunks::<4>().0.iter();
            let text: Option<String> = chars.map(|c| char::from_u32(u32::from_ne_bytes(*c))).collect();
            let text = text.ok_or_else(|| Error::new(Code::StringData, "the scalar is not text"))?;
            let spec =
                spec(job, path, &DataType::String, &[], role, encoding("string", "0.2.0", &[]), None)?.0;
            ArrayOut::scalar(job, spec, text.trim_end_matches('\0').as_bytes())
        }
        Value::Dense(d) if d.shape.is_empty() => {
            let spec =
                spec(job, path, &d.dtype, &[], role, encoding("numeric-scalar", "0.2.0", &[]), None)?.0;
            ArrayOut::scalar(job, spec, d.data.as_slice())
        }
        Value::Strings(s) if s.shape().is_empty() => {
            let (dtype, kind) =
                if s.is_utf8() { (DataType::String, "string") } else { (DataType::Bytes, "bytes") };
            let spec = spec(job, path, &dtype, &[], role, encoding(kind, "0.2.0", &[]), None)?.0;
            ArrayOut::scalar(job, spec, s.bytes())
        }
        Value::Table(table) => write_table(job, path, table),
        Value::Map(children) => {
            job.group(path, encoding("dict", "0.1.0", &[]));
            for (name, child) in children {
                write_value(job, &join(path, name)?, child, Role::Other)?;
            }
            Ok(())
        }
        Value::Awkward { form, length, rows, buffers } => {
            if rows.is_some() {
                return Err(not_written(
                    "rows of an awkward array are selected in memory, by awkward itself",
                    "Write what to_memory() gives of it",
                ));
            }
            let more = [("form", Json::from(form.as_str())), ("length", Json::from(*length))];
            job.group(path, encoding("awkward-array", "0.1.0", &more));
            for (name, buffer) in buffers {
                write_value(job, &join(path, name)?, buffer, Role::Other)?;
            }
            Ok(())
        }
        other => {
            let rows = rows_of(other);
            let mut known = Known::new(role, Some(rows));
            if let Value::Sparse(s) = other {
                let stored = (s.indices.len() / usize::from(s.index_width.max(1))) as u64;
                known.stored = Some(stored);
                known.per_row = stored as f64 / rows.max(1) as f64;
            }
            let mut out = Out::open(job, path, other, known)?;
            out.push(other)?;
            out.finish()
        }
    }
}

fn write_table(job: &Job<'_>, path: &str, table: &Table) -> Result<()> {
    let index = table.index_name.clone().unwrap_or_else(|| "_index".to_owned());
    job.group(path, frame_attributes(&index, table.columns.iter().map(|(n, _)| n.as_str())));
    let Some(names) = &table.index else {
        return Err(not_written("the table has no index", "Read it with its index"));
    };
    write_value(job, &join(path, &index)?, names, Role::Column)?;
    for (name, column) in table.columns.iter().filter(|(n, _)| *n != index) {
        write_value(job, &join(path, name)?, column, Role::Column)?;
    }
    Ok(())
}

fn facts(role: Role, shape: &[u64], item: usize) -> Facts<'_> {
    Facts { role, shape, item, per_row: 1.0 }
}

/// An array by the layout, and the type that its items are cast to.
fn spec(
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
    let mut cutting = job.layout.cut(path, &facts)?;
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
        attributes,
    };
    Ok((spec, to))
}

/// An element under way.
enum Out<'j> {
    Dense(DenseOut<'j>),
    Strings(ArrayOut<'j>),
    Sparse(Box<SparseOut<'j>>),
    Categorical { codes: DenseOut<'j> },
    Nullable { values: Box<Out<'j>>, mask: DenseOut<'j> },
}

struct DenseOut<'j> {
    job: &'j Job<'j>,
    array: ArrayOut<'j>,
    dtype: DataType,
    rest: Vec<u64>,
    to: Option<DataType>,
}

struct SparseOut<'j> {
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

fn changed(what: &str) -> Error {
    Error::new(Code::NotWritten, format!("a block of rows has another {what} than those before"))
        .help("All blocks of an element are of one kind, type and width")
}

impl<'j> DenseOut<'j> {
    fn open(
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

    fn push(&mut self, dense: &Dense) -> Result<()> {
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

    fn push_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        match &self.to {
            None => self.array.push(bytes),
            Some(to) => self.array.push(cast::cast(&self.dtype, to, bytes, &self.job.budget)?.as_slice()),
        }
    }
}

impl<'j> Out<'j> {
    fn open(job: &'j Job<'j>, path: &str, first: &Value, known: Known) -> Result<Self> {
        let with_rows = |shape: &[u64]| {
            let rest = shape.get(1..).unwrap_or_default();
            [&[known.rows.unwrap_or(u64::MAX)][..], rest].concat()
        };
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
            Value::Sparse(s) => Ok(Self::Sparse(Box::new(SparseOut::open(job, path, s, known)?))),
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
                let (mut spec, _) = spec(
                    job,
                    &path,
                    &DataType::Int(width),
                    &with_rows(&codes.shape),
                    Role::Column,
                    encoding("array", "0.2.0", &[]),
                    None,
                )?;
                spec.dtype = DataType::Int(width);
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

    fn push(&mut self, value: &Value) -> Result<()> {
        match (self, value) {
            (Self::Dense(out), Value::Dense(d)) => out.push(d),
            (Self::Strings(out), Value::Strings(s)) => push_strings(out, s),
            (Self::Sparse(out), Value::Sparse(s)) => out.push(s),
            (Self::Categorical { codes: out }, Value::Categorical { codes, .. }) => out.push(codes),
            (Self::Nullable { values: out, mask: mask_out }, Value::Nullable { values, mask, .. }) => {
                out.push(values)?;
                mask_out.push(mask)
            }
            _ => Err(changed("kind")),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Dense(out) | Self::Categorical { codes: out } => out.array.finish().map(|_| ()),
            Self::Strings(out) => out.finish().map(|_| ()),
            Self::Sparse(out) => out.finish(),
            Self::Nullable { values, mask } => {
                values.finish()?;
                mask.array.finish().map(|_| ())
            }
        }
    }
}

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
    fn open(job: &'j Job<'j>, path: &str, first: &SparseMatrix, known: Known) -> Result<Self> {
        let major_axis = first.format.major_axis();
        let minor = first.shape[1 - major_axis];
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
        let array =
            |name: &str, dtype: &DataType, role: Role, len: u64, per_row: f64| -> Result<ArrayOut<'j>> {
                let (mut spec, _) =
                    spec(job, &join(path, name)?, dtype, &[len], role, Map::new(), Some(per_row))?;
                spec.dtype = dtype.clone();
                ArrayOut::new(job, spec)
            };
        let indices = array("indices", &index_type, Role::Indices, stored, known.per_row)?;
        let mut indptr = array("indptr", &start_type, Role::Indptr, rows.saturating_add(1), 1.0)?;
        indptr.push(&vec![0; start_type.item_size().unwrap_or(8)])?;
        let at = join(path, "data")?;
        let data =
            DenseOut::open(job, &at, &first.dtype, &[stored], Role::Data, Map::new(), Some(known.per_row))?;
        Ok(Self {
            job,
            path: path.to_owned(),
            format: first.format,
            minor,
            major: 0,
            data,
            indices: (indices, index_type),
            indptr: (indptr, start_type),
            stored: 0,
        })
    }

    fn push(&mut self, block: &SparseMatrix) -> Result<()> {
        let major_axis = self.format.major_axis();
        if block.format != self.format || block.shape[1 - major_axis] != self.minor {
            return Err(changed("width"));
        }
        if block.dtype != self.data.dtype {
            return Err(changed("type").expected(self.data.dtype.to_string()).found(block.dtype.to_string()));
        }
        let (budget, width) = (&self.job.budget, block.index_width);
        self.data.push_bytes(block.data.as_slice())?;
        let indices = cast::indices(block.indices.as_slice(), width, 0, &self.indices.1, budget)?;
        self.indices.0.push(indices.as_slice())?;
        drop(indices);
        let starts = block.indptr.as_slice().get(usize::from(width)..).unwrap_or_default();
        let starts = cast::indices(starts, width, self.stored, &self.indptr.1, budget)?;
        self.indptr.0.push(starts.as_slice())?;
        self.stored += (block.indices.len() / usize::from(width.max(1))) as u64;
        self.major += block.shape[major_axis];
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let mut shape = [self.minor; 2];
        shape[self.format.major_axis()] = self.major;
        let kind = format!("{}_matrix", self.format.name());
        self.job.group(&self.path, encoding(&kind, "0.1.0", &[("shape", json!(shape))]));
        self.data.array.finish()?;
        self.indices.0.finish()?;
        self.indptr.0.finish().map(|_| ())
    }
}
