//! Each encoding of the format: its group, its attributes, the blocks that it comes in.

use lazarr_format::anndata::Body;
use lazarr_format::encode::{ArraySpec, IndexWidth, MatrixFormat, Role};
use lazarr_format::{Code, DataType, Error, Result};
use serde_json::{Map, Value as Json};

use super::array::ArrayOut;
use super::job::Job;
use super::out::{Known, Out, facts, spec};
use super::source::{Group, Source};
use super::turn;
use crate::concat::{Concat, concat_of};
use crate::lazy::Lazy;
use crate::stream::RowBlocks;
use crate::value::{Table, Value};

pub(super) type Attributes = Map<String, Json>;

pub(super) fn encoding(kind: &str, version: &str, more: &[(&str, Json)]) -> Attributes {
    let mut out = Map::new();
    out.insert("encoding-type".into(), kind.into());
    out.insert("encoding-version".into(), version.into());
    out.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    out
}

pub(super) fn join(path: &str, name: &str) -> Result<String> {
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

/// Writes anything at a path.
pub(super) fn write(job: &Job<'_>, path: &str, source: Source<'_>) -> Result<()> {
    write_as(job, path, source, Role::Other).map_err(|e| e.element(path))
}

/// What is written as one, unless an earlier writer has done it.
fn once(job: &Job<'_>, path: &str, write: impl FnOnce() -> Result<()>) -> Result<()> {
    if job.take_up(path)? {
        return Ok(());
    }
    write()?;
    job.finished(path)
}

pub(super) fn write_as(job: &Job<'_>, path: &str, source: Source<'_>, role: Role) -> Result<()> {
    match source {
        Source::Value(value) => once(job, path, || write_value(job, path, &value, role)),
        Source::Lazy(lazy) => write_lazy(job, path, &lazy, role),
        Source::Blocks(mut blocks) => once(job, path, || {
            job.tell(path, 0)?;
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
                job.tell(path, done)?;
            }
            let Some(out) = out else {
                return Err(Error::new(Code::NotWritten, "no block of rows came")
                    .help("Give one block at least, if without rows"));
            };
            out.finish()
        }),
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

pub(super) fn not_written(what: &str, help: &str) -> Error {
    Error::new(Code::NotWritten, what).help(help)
}

fn write_lazy(job: &Job<'_>, path: &str, lazy: &Lazy, role: Role) -> Result<()> {
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
            job.tell(path, 0)?;
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
        _ => once(job, path, || write_leaf(job, path, lazy, role)),
    }
}

/// An element that is written as one.
fn write_leaf(job: &Job<'_>, path: &str, lazy: &Lazy, role: Role) -> Result<()> {
    let element = lazy.element();
    if job.point(path).is_none() {
        job.tell(path, 0)?;
    }
    match &element.body {
        Body::Null | Body::Scalar(_) | Body::Awkward(_) => {
            write_value(job, path, &lazy.collect(job.call)?, role)
        }
        Body::Sparse(sparse) => {
            let major = sparse.format.major_axis();
            let dtype = Some(&sparse.data.dtype);
            let turns = turn::target(job, path, Some(sparse.format), dtype).is_some();
            let bytes = if turns { job.turn_bytes() } else { job.block_bytes() };
            let mut stream = lazy.stream_along(major, job.call, None, Some(bytes))?;
            let rows = stream.len();
            // Rows may come several times.
            let once = lazy.axes().iter().all(|a| a.index().is_some_and(lazarr_plan::Index::is_monotone));
            let most = rows.saturating_mul(sparse.minor_len());
            let stored = if once { sparse.nnz() } else { most };
            let per_row = sparse.nnz() as f64 / sparse.major_len().max(1) as f64;
            let known = Known { role, rows: Some(rows), stored: Some(stored), per_row };
            drain(job, path, lazy, known, &mut stream)
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
            let noted = job.point(path).and_then(|point| point.get("stored")?.as_u64());
            if let Some(stored) = noted.map_or_else(|| counted(job, path, lazy), |n| Ok(Some(n)))? {
                known.stored = Some(stored);
            }
            drain(job, path, lazy, known, &mut stream)
        }
    }
}

/// The items of a dense matrix that are not zero, where it becomes csr and only they say how wide indices are.
fn counted(job: &Job<'_>, path: &str, lazy: &Lazy) -> Result<Option<u64>> {
    let element = lazy.element();
    let dtype = match concat_of(element) {
        Some(concat) => concat.dense_type().cloned(),
        None => element.arrays().first().filter(|a| a.shape.len() == 2).map(|a| a.dtype.clone()),
    };
    let items = lazy.axes().iter().map(|a| a.count().unwrap_or(a.axis().len)).fold(1, u64::saturating_mul);
    let narrow = job.layout.indices == IndexWidth::Scipy && i32::try_from(items).is_ok();
    if narrow || turn::target(job, path, None, dtype.as_ref()) != Some(MatrixFormat::Csr) {
        return Ok(None);
    }
    let mut stream = lazy.stream(job.call, None, Some(job.block_bytes()))?;
    let mut stored = 0;
    while let Some(block) = stream.next(job.call)? {
        stored += turn::stored_of(&block.value);
    }
    Ok(Some(stored))
}

/// All blocks of an element; at least one, if without rows. An element that was noted goes on from there.
fn drain(job: &Job<'_>, path: &str, lazy: &Lazy, known: Known, stream: &mut RowBlocks) -> Result<()> {
    let (mut out, mut done, mut block) = if let Some(begun) = noted(job, path, known, stream)? {
        begun
    } else {
        let first = match stream.next(job.call)? {
            Some(block) => block.value,
            None => lazy.collect(job.call)?,
        };
        (Out::open(job, path, &first, known)?, 0, first)
    };
    loop {
        done += rows_of(&block);
        out.push(&block)?;
        job.tell(path, done)?;
        drop(block);
        block = match stream.next(job.call)? {
            Some(next) => next.value,
            None => break,
        };
        job.note(path, done, known.stored, &mut out)?;
    }
    out.finish()
}

/// An element as an earlier writer has noted it, its rows, and the block that follows.
fn noted<'j>(
    job: &'j Job<'j>,
    path: &str,
    known: Known,
    stream: &mut RowBlocks,
) -> Result<Option<(Out<'j>, u64, Value)>> {
    let Some(point) = job.point(path) else { return Ok(None) };
    let rows = point.get("rows").and_then(Json::as_u64).unwrap_or(u64::MAX);
    if rows < stream.len() {
        stream.go_to(rows, job.call)?;
        if let Some(block) = stream.next(job.call)? {
            let mut out = Out::open(job, path, &block.value, known)?;
            if job.go_to(point, &mut out)? {
                job.tell(path, rows)?;
                return Ok(Some((out, rows, block.value)));
            }
        }
    }
    job.void(path)?;
    job.tell(path, 0)?;
    stream.go_to(0, job.call)?;
    Ok(None)
}

pub(super) fn rows_of(value: &Value) -> u64 {
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

pub(super) fn write_value(job: &Job<'_>, path: &str, value: &Value, role: Role) -> Result<()> {
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
                keys: job.keys(path),
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
            if let Value::Dense(d) = other
                && turn::target(job, path, None, Some(&d.dtype)) == Some(MatrixFormat::Csr)
            {
                known.stored = Some(turn::stored_of(other));
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
