//! Sources of a writing as Python gives them: trees of tuples, the mirror of `value.rs`. See `lazarr._write`.

use std::sync::{Arc, Mutex, PoisonError};

use lazarr::format::Field;
use lazarr::format::anndata::{NullableKind, SparseFormat};
use lazarr::format::encode::{Facts, Layout, Rule};
use lazarr::store::StoreOptions;
use lazarr::write::{Blocks, Group, Source, WriteOptions, Written};
use lazarr::{Budget, Buffer, Call, Code, DataType, Dense, Error, Ledger, SparseMatrix, Strings, Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::args::{Limits, Meter, run, with_items};
use crate::error::OrRaise;
use crate::lazy::Lazy;
use crate::object::LazyAnnData;
use crate::session::Session;

/// What all parts of a source share: the ledger, and the first exception that a callback raised.
#[derive(Clone)]
struct Shared {
    budget: Budget,
    raised: Arc<Mutex<Option<PyErr>>>,
}

fn bad(what: &str) -> PyErr {
    PyTypeError::new_err(format!("a source of a writing is malformed: {what}"))
}

fn dtype(given: &Bound<'_, PyAny>) -> PyResult<DataType> {
    if let Ok(fields) = given.cast::<PyList>() {
        let mut out = Vec::new();
        let mut offset = 0;
        for field in fields {
            let (name, inner): (String, Bound<'_, PyAny>) = field.extract()?;
            let dtype = dtype(&inner)?;
            let size = dtype.item_size().ok_or_else(|| bad("a field of varying length"))?;
            out.push(Field { name, dtype, offset });
            offset += size;
        }
        return Ok(DataType::Struct(out));
    }
    DataType::from_numpy_str(&given.extract::<String>()?).map(|(dtype, _)| dtype).or_raise()
}

impl Shared {
    fn buffer(&self, array: &Bound<'_, PyAny>) -> PyResult<Buffer> {
        with_items::<u8, _>(array, "|u1", |bytes| {
            Buffer::copy_of(bytes, &self.budget, "a block that is written")
        })?
        .or_raise()
    }

    fn dense(&self, given: &Bound<'_, PyAny>) -> PyResult<Dense> {
        match self.value(given)? {
            Value::Dense(dense) => Ok(dense),
            _ => Err(bad("an array of numbers was expected")),
        }
    }

    fn strings(&self, shape: Vec<u64>, items: &Bound<'_, PyAny>) -> PyResult<Value> {
        let items = items.cast::<PyList>().map_err(PyErr::from)?;
        let mut bytes = Vec::new();
        let mut offsets = Vec::with_capacity(8 * (items.len() + 1));
        offsets.extend(0i64.to_ne_bytes());
        for item in items {
            bytes.extend_from_slice(item.cast::<PyString>().map_err(PyErr::from)?.to_str()?.as_bytes());
            offsets.extend((bytes.len() as i64).to_ne_bytes());
        }
        let copy = |bytes: &[u8]| Buffer::copy_of(bytes, &self.budget, "text that is written").or_raise();
        Strings::new(true, shape, copy(&offsets)?, copy(&bytes)?).map(Value::Strings).or_raise()
    }

    fn named(&self, given: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Value)>> {
        let pairs: Vec<(String, Bound<'_, PyAny>)> = given.extract()?;
        pairs.into_iter().map(|(name, value)| Ok((name, self.value(&value)?))).collect()
    }

    fn value(&self, given: &Bound<'_, PyAny>) -> PyResult<Value> {
        if given.is_none() {
            return Ok(Value::Null);
        }
        let parts = given.cast::<PyTuple>().map_err(PyErr::from)?;
        let get = |i: usize| parts.get_item(i);
        let kind: String = get(0)?.extract()?;
        Ok(match kind.as_str() {
            "dense" => {
                let (dtype, shape, data) =
                    (dtype(&get(1)?)?, get(2)?.extract::<Vec<u64>>()?, self.buffer(&get(3)?)?);
                let items = shape.iter().try_fold(1u64, |n, &m| n.checked_mul(m));
                let bytes = items.zip(dtype.item_size()).and_then(|(n, size)| n.checked_mul(size as u64));
                if bytes != Some(data.len() as u64) {
                    return Err(bad("an array has other bytes than its shape says"));
                }
                Value::Dense(Dense { dtype, shape, data })
            }
            "strings" => self.strings(get(1)?.extract()?, &get(2)?)?,
            "sparse" => {
                let format =
                    if get(1)?.extract::<String>()? == "csc" { SparseFormat::Csc } else { SparseFormat::Csr };
                let (shape, index_width): ([u64; 2], u8) = (get(2)?.extract()?, get(4)?.extract()?);
                let (data, indices, indptr) =
                    (self.buffer(&get(5)?)?, self.buffer(&get(6)?)?, self.buffer(&get(7)?)?);
                let dtype = dtype(&get(3)?)?;
                let (item, width) = (dtype.item_size().unwrap_or(1), usize::from(index_width));
                let stored = indices.len() / width.max(1);
                let starts = indptr.len() / width.max(1);
                let fits = matches!(index_width, 4 | 8)
                    && data.len() / item == stored
                    && starts as u64 == shape[format.major_axis()] + 1;
                if !fits {
                    return Err(bad("the parts of a sparse matrix do not fit each other"));
                }
                let matrix = SparseMatrix { format, shape, dtype, index_width, data, indices, indptr };
                matrix.check().or_raise()?;
                Value::Sparse(matrix)
            }
            "categorical" => Value::Categorical {
                codes: self.dense(&get(1)?)?,
                categories: Box::new(self.value(&get(2)?)?),
                ordered: get(3)?.extract()?,
            },
            "nullable" => Value::Nullable {
                values: Box::new(self.value(&get(1)?)?),
                mask: self.dense(&get(2)?)?,
                kind: match get(3)?.extract::<String>()?.as_str() {
                    "integer" => NullableKind::Integer,
                    "boolean" => NullableKind::Boolean,
                    "string" => NullableKind::String { nan: false },
                    _ => NullableKind::String { nan: true },
                },
            },
            "awkward" => Value::Awkward {
                form: get(1)?.extract()?,
                length: get(2)?.extract()?,
                rows: None,
                buffers: self.named(&get(3)?)?,
            },
            _ => return Err(bad(&kind)),
        })
    }

    fn source(&self, given: &Bound<'_, PyAny>) -> PyResult<Source<'static>> {
        if let Ok(lazy) = given.cast::<Lazy>() {
            return Ok(Source::Lazy(lazy.get().0.clone()));
        }
        if let Ok(object) = given.cast::<LazyAnnData>() {
            return Source::of_object(&object.get().0).or_raise();
        }
        if given.is_none() {
            return Ok(Source::Value(Value::Null));
        }
        let parts = given.cast::<PyTuple>().map_err(PyErr::from)?;
        match parts.get_item(0)?.extract::<String>()?.as_str() {
            "group" => {
                let kind = match parts.get_item(1)?.extract::<String>()?.as_str() {
                    "anndata" => Group::AnnData,
                    "raw" => Group::Raw,
                    "dict" => Group::Dict,
                    name => Group::DataFrame { index: name.trim_start_matches("dataframe:").to_owned() },
                };
                let pairs: Vec<(String, Bound<'_, PyAny>)> = parts.get_item(2)?.extract()?;
                let children = pairs.into_iter().map(|(name, child)| Ok((name, self.source(&child)?)));
                Ok(Source::Group { kind, children: children.collect::<PyResult<_>>()? })
            }
            "put" => {
                let mut source = self.source(&parts.get_item(1)?)?;
                let pairs: Vec<(String, Bound<'_, PyAny>)> = parts.get_item(2)?.extract()?;
                for (path, child) in pairs {
                    source.put(&path, self.source(&child)?).or_raise()?;
                }
                Ok(source)
            }
            "without" => {
                let mut source = self.source(&parts.get_item(1)?)?;
                let paths: Vec<String> = parts.get_item(2)?.extract()?;
                source.leave_out(&paths).or_raise()?;
                Ok(source)
            }
            "blocks" => Ok(Source::Blocks(Box::new(PyBlocks {
                rows: parts.get_item(1)?.extract()?,
                stored: parts.get_item(2)?.extract()?,
                next: parts.get_item(3)?.unbind(),
                identity: parts.get_item(4)?.extract()?,
                shared: self.clone(),
            }))),
            _ => Ok(Source::Value(self.value(given)?)),
        }
    }
}

/// Blocks that a function of Python makes: of so many bytes, none after the last.
struct PyBlocks {
    rows: Option<u64>,
    stored: Option<u64>,
    next: Py<PyAny>,
    /// Says what is in memory by a hash, where it is.
    identity: Option<Py<PyAny>>,
    shared: Shared,
}

impl Blocks for PyBlocks {
    fn rows(&self) -> Option<u64> {
        self.rows
    }

    fn stored(&self) -> Option<u64> {
        self.stored
    }

    fn identity(&self) -> lazarr::Result<Option<u64>> {
        let Some(identity) = &self.identity else { return Ok(None) };
        Python::attach(|py| identity.call0(py)?.extract::<Option<u64>>(py)).map_err(|e| {
            let error = Error::new(Code::NotWritten, format!("blocks of rows could not be hashed: {e}"));
            self.shared.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
            error
        })
    }

    fn next(&mut self, bytes: u64, _: &Call<'_>) -> lazarr::Result<Option<Value>> {
        let made = Python::attach(|py| {
            let block = self.next.bind(py).call1((bytes,))?;
            if block.is_none() { Ok(None) } else { self.shared.value(&block).map(Some) }
        });
        made.map_err(|e| {
            let error = Error::new(Code::NotWritten, format!("a block of rows could not be made: {e}"));
            self.shared.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
            error
        })
    }
}

/// How something is written: the layout; whether to overwrite, to sync and to resume; options of the store, who is told, who
/// chooses.
pub(crate) type How =
    (String, (bool, bool, bool), Vec<(String, String)>, Option<Py<PyAny>>, Option<Py<PyAny>>);
/// Files, bytes, arrays.
type Done = (u64, u64, u64);

/// Writes what `make` makes of what Python gave.
fn writing<S: Send>(
    py: Python<'_>,
    how: How,
    limits: &Limits,
    make: impl FnOnce(&Shared) -> PyResult<S>,
    act: impl FnOnce(S, &WriteOptions<'_>, &Call<'_>) -> lazarr::Result<Written> + Send,
) -> PyResult<Done> {
    let (layout, (overwrite, sync, resume), storage, progress, choose) = how;
    let limit = limits.memory.unwrap_or_else(lazarr::default_limit);
    let budget = Budget::new(Ledger::process(), limit, Arc::default());
    let shared = Shared { budget, raised: Arc::default() };
    let raised = shared.raised.clone();
    let made = make(&shared)?;
    let layout = Layout::from_json(&layout).or_raise()?;
    let tell = |path: &str, rows: u64| {
        let Some(progress) = &progress else { return Ok(()) };
        Python::attach(|py| progress.call1(py, (path, rows)).map(drop)).map_err(|e| {
            raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
            Error::new(Code::Interrupted, "what is told of the progress has failed").element(path)
        })
    };
    let choice = |path: &str, facts: &Facts<'_>, dtype: &DataType| {
        let Some(choose) = &choose else { return Ok(None) };
        let shape: Vec<Option<u64>> = facts.shape.iter().map(|&n| (n < u64::MAX).then_some(n)).collect();
        let answer = Python::attach(|py| {
            let answer = choose.call1(py, (path, facts.role.name(), shape, dtype.to_string()))?;
            answer.extract::<Option<String>>(py)
        });
        match answer {
            Ok(rule) => rule.map(|json| Rule::from_json(&json)).transpose(),
            Err(e) => {
                raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                Err(Error::new(Code::Layout, "the choice of a layout failed").element(path))
            }
        }
    };
    let written = run(py, limits, |call| {
        let options = WriteOptions {
            layout,
            choose: choose.is_some().then_some(&choice),
            overwrite,
            no_sync: !sync,
            resume,
            storage: StoreOptions::new(storage),
            progress: Some(&tell),
            ..WriteOptions::default()
        };
        act(made, &options, call)
    });
    // What a callback raised says more.
    if written.is_err()
        && let Some(e) = raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    {
        return Err(e);
    }
    written.map(|w| (w.files, w.bytes, w.arrays))
}

/// Whether interrupted writes to buckets are still clearing up.
#[pyfunction]
pub(crate) fn is_clearing() -> bool {
    lazarr::write::is_clearing()
}

/// Writes a source to a path.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "as Python gives it")]
pub(crate) fn write(
    py: Python<'_>,
    source: Bound<'_, PyAny>,
    path: String,
    how: How,
    memory_limit: Option<u64>,
    threads: Option<usize>,
    meter: Option<&Meter>,
) -> PyResult<Done> {
    let limits = Limits::new(memory_limit, threads, meter);
    let act = |source, options: &WriteOptions<'_>, call: &Call<'_>| {
        lazarr::write::write(source, &path, options, call)
    };
    writing(py, how, &limits, |shared| shared.source(&source), act)
}

/// Puts sources into a store at paths, and takes elements out.
#[pyfunction]
#[allow(
    clippy::too_many_arguments,
    clippy::needless_pass_by_value,
    reason = "the arguments of lazarr.write_into"
)]
pub(crate) fn write_into(
    py: Python<'_>,
    path: String,
    put: Vec<(String, Bound<'_, PyAny>)>,
    drop: Vec<String>,
    how: How,
    memory_limit: Option<u64>,
    threads: Option<usize>,
    meter: Option<&Meter>,
) -> PyResult<Done> {
    let limits = Limits::new(memory_limit, threads, meter);
    let make = |shared: &Shared| {
        put.iter().map(|(at, source)| Ok((at.clone(), shared.source(source)?))).collect::<PyResult<Vec<_>>>()
    };
    let act = |put, options: &WriteOptions<'_>, call: &Call<'_>| {
        lazarr::write::write_into(&path, put, &drop, options, call)
    };
    writing(py, how, &limits, make, act)
}

/// Appends the cells of objects to a store.
#[pyfunction]
#[allow(
    clippy::too_many_arguments,
    clippy::needless_pass_by_value,
    reason = "the arguments of lazarr.append"
)]
pub(crate) fn append(
    py: Python<'_>,
    path: String,
    new: Vec<Bound<'_, LazyAnnData>>,
    drop: Vec<String>,
    how: How,
    memory_limit: Option<u64>,
    threads: Option<usize>,
    meter: Option<&Meter>,
) -> PyResult<Done> {
    let limits = Limits::new(memory_limit, threads, meter);
    let make = |_: &Shared| Ok(new.iter().map(|object| object.get().0.clone()).collect::<Vec<_>>());
    let act = |new: Vec<lazarr::LazyAnnData>, options: &WriteOptions<'_>, call: &Call<'_>| {
        lazarr::write::append(&path, &new, &drop, options, call)
    };
    writing(py, how, &limits, make, act)
}

/// One difference: the element, what differs, what the first and the second say, where first, and how often.
type Difference = (String, &'static str, String, String, Vec<u64>, u64);

/// What two stores say that is not the same.
#[pyfunction]
pub(crate) fn diff(
    py: Python<'_>,
    first: &Session,
    second: &Session,
    strict: bool,
    memory_limit: Option<u64>,
    threads: Option<usize>,
    meter: Option<&Meter>,
) -> PyResult<Vec<Difference>> {
    use lazarr::diff::DiffOptions;
    let limits = Limits::new(memory_limit, threads, meter);
    let found =
        run(py, &limits, |call| lazarr::diff::diff(&first.0, &second.0, DiffOptions { strict }, call))?;
    Ok(found.into_iter().map(|d| (d.element, d.what, d.first, d.second, d.at, d.count)).collect())
}

/// A preset, as the JSON of its layout.
#[pyfunction]
pub(crate) fn preset(name: &str, zarr_format: u8) -> PyResult<String> {
    Layout::preset(name, zarr_format).map(|layout| layout.to_json()).or_raise()
}

/// The names of presets, and what each is for.
#[pyfunction]
pub(crate) fn presets() -> Vec<(&'static str, &'static str)> {
    lazarr::format::encode::PRESETS.to_vec()
}

/// What dead writers have left at a path, or in a folder; cleared where `clear`, what can be resumed where `discard`, too.
/// Each with its store, whether that is being written now, and whether it can be resumed.
#[pyfunction]
pub(crate) fn repair(path: &str, clear: bool, discard: bool) -> PyResult<Vec<(String, String, bool, bool)>> {
    use lazarr::store::draft;
    let path = std::path::Path::new(path);
    let left = if clear { draft::repair(path, discard) } else { draft::leftovers(path) }.or_raise()?;
    let text = |p: &std::path::Path| p.display().to_string();
    Ok(left.iter().map(|l| (text(&l.store), text(&l.path), l.busy, l.resumable)).collect())
}

/// What was measured on a store: seconds by what was read; bytes and files where it is on the disk.
pub(crate) type Measured = (Vec<(&'static str, f64)>, Option<(u64, u64)>);

/// Measures what reading an object takes.
#[pyfunction]
pub(crate) fn card(
    py: Python<'_>,
    object: &LazyAnnData,
    memory_limit: Option<u64>,
    threads: Option<usize>,
    meter: Option<&Meter>,
) -> PyResult<Measured> {
    let limits = Limits::new(memory_limit, threads, meter);
    let card = run(py, &limits, |call| lazarr::Card::measure(object.0.session(), Some(&object.0), call))?;
    Ok((card.seconds, card.size))
}
