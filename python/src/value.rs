//! Results as Python sees them: trees of tuples over buffers that numpy takes without a copy.

use std::sync::Arc;

use lazarr::format::anndata::{NullableKind, SparseFormat};
use lazarr::{DataType, Dense, Strings, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::args::{Limits, with_items};
use crate::error::OrRaise;

/// Bytes of a result.
#[pyclass(frozen, module = "lazarr._lazarr")]
pub(crate) struct Buffer(lazarr::Buffer);

#[pymethods]
impl Buffer {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("typestr", "|u1")?;
        interface.set_item("shape", (self.0.len(),))?;
        interface.set_item("data", (self.0.address(), false))?;
        Ok(interface)
    }
}

/// A buffer that is handed out counts no more against the limit.
fn buffer(mut bytes: lazarr::Buffer) -> Buffer {
    bytes.release();
    Buffer(bytes)
}

/// numpy's name of a type; a list of fields for structured types.
pub(crate) fn dtype<'py>(py: Python<'py>, dtype: &DataType) -> PyResult<Bound<'py, PyAny>> {
    if let DataType::Struct(fields) = dtype {
        let fields = fields.iter().map(|f| Ok((f.name.clone(), self::dtype(py, &f.dtype)?)));
        return Ok(PyList::new(py, fields.collect::<PyResult<Vec<_>>>()?)?.into_any());
    }
    let text = match dtype {
        DataType::String => "string".to_owned(),
        DataType::Bytes => "bytes".to_owned(),
        other => other.numpy_str().unwrap_or_else(|| other.to_string()),
    };
    Ok(PyString::new(py, &text).into_any())
}

fn dense(py: Python<'_>, d: Dense) -> PyResult<Bound<'_, PyAny>> {
    let shape = PyTuple::new(py, &d.shape)?;
    Ok(("dense", dtype(py, &d.dtype)?, shape, buffer(d.data)).into_pyobject(py)?.into_any())
}

fn text(py: Python<'_>, s: Strings) -> PyResult<Bound<'_, PyAny>> {
    let (shape, utf8) = (PyTuple::new(py, s.shape())?, s.is_utf8());
    let (offsets, bytes) = s.into_buffers();
    Ok(("strings", shape, buffer(offsets), buffer(bytes), utf8).into_pyobject(py)?.into_any())
}

fn named(py: Python<'_>, parts: Vec<(String, Value)>) -> PyResult<Bound<'_, PyList>> {
    let parts = parts.into_iter().map(|(n, v)| Ok((n, value(py, v)?))).collect::<PyResult<Vec<_>>>()?;
    PyList::new(py, parts)
}

/// Bytes that the texts of a value take as Python's objects: names and categories stay as they are.
pub(crate) fn objects_bytes(v: &Value) -> u64 {
    // The head of a `str`, its place in a list and in an array, and what rounding takes.
    const EACH: u64 = 72;
    match v {
        Value::Strings(s) => (s.len() as u64).saturating_mul(EACH) + s.bytes().len() as u64,
        Value::Table(t) => t.columns.iter().map(|(_, c)| objects_bytes(c)).sum(),
        Value::Map(parts) => parts.iter().map(|(_, p)| objects_bytes(p)).sum(),
        _ => 0,
    }
}

/// A value as a tree of tuples, where the limit leaves room for its texts, too.
pub(crate) fn within<'py>(
    py: Python<'py>,
    session: &lazarr::Session,
    limits: &Limits,
    v: Value,
) -> PyResult<Bound<'py, PyAny>> {
    let limit = limits.memory.unwrap_or_else(|| session.memory_limit());
    let budget = lazarr::Budget::new(lazarr::Ledger::process(), limit, Arc::default());
    budget.charge(objects_bytes(&v), "text as objects of Python").or_raise()?;
    value(py, v)
}

/// A value as a tree of tuples; see `lazarr._convert`.
pub(crate) fn value(py: Python<'_>, v: Value) -> PyResult<Bound<'_, PyAny>> {
    Ok(match v {
        Value::Null => py.None().into_bound(py),
        Value::Dense(d) => dense(py, d)?,
        Value::Strings(s) => text(py, s)?,
        Value::Sparse(s) => (
            "sparse",
            s.format.name(),
            (s.shape[0], s.shape[1]),
            dtype(py, &s.dtype)?,
            s.index_width,
            buffer(s.data),
            buffer(s.indices),
            buffer(s.indptr),
        )
            .into_pyobject(py)?
            .into_any(),
        Value::Categorical { codes, categories, ordered } => {
            ("categorical", dense(py, codes)?, value(py, *categories)?, ordered).into_pyobject(py)?.into_any()
        }
        Value::Nullable { values, mask, kind } => {
            ("nullable", value(py, *values)?, dense(py, mask)?, nullable(&kind)).into_pyobject(py)?.into_any()
        }
        Value::Table(t) => {
            let index = match t.index {
                Some(index) => value(py, *index)?,
                None => py.None().into_bound(py),
            };
            ("table", t.index_name, index, named(py, t.columns)?, t.len).into_pyobject(py)?.into_any()
        }
        Value::Awkward { form, length, rows, buffers } => {
            ("awkward", form, length, rows, named(py, buffers)?).into_pyobject(py)?.into_any()
        }
        Value::Map(parts) => ("map", named(py, parts)?).into_pyobject(py)?.into_any(),
        _ => return Err(PyValueError::new_err("a value of a kind that this module does not know")),
    })
}

/// A value from the tree of tuples that [`value`] makes, its buffers arrays of bytes.
pub(crate) fn from_python(given: &Bound<'_, PyAny>, budget: &lazarr::Budget) -> PyResult<Value> {
    if given.is_none() {
        return Ok(Value::Null);
    }
    let given = given.cast::<PyTuple>().map_err(PyErr::from)?;
    let part = |k: usize| given.get_item(k);
    let kind: String = part(0)?.extract()?;
    let inner = |k: usize| from_python(&part(k)?, budget);
    let dense = |k: usize| match inner(k)? {
        Value::Dense(d) => Ok(d),
        _ => Err(PyValueError::new_err("an array was expected")),
    };
    let name_and_value = |k: usize| -> PyResult<Vec<(String, Value)>> {
        let pairs: Vec<(String, Bound<'_, PyAny>)> = part(k)?.extract()?;
        pairs.into_iter().map(|(name, v)| Ok((name, from_python(&v, budget)?))).collect()
    };
    let bytes = |k: usize| {
        with_items::<u8, _>(&part(k)?, "|u1", |items| {
            lazarr::Buffer::copy_of(items, budget, "values that are laid over a store")
        })?
        .or_raise()
    };
    let numpy = |k: usize| -> PyResult<DataType> {
        let text: String = part(k)?.extract()?;
        Ok(DataType::from_numpy_str(&text).or_raise()?.0)
    };
    Ok(match kind.as_str() {
        "dense" => {
            let (dtype, shape, data) = (numpy(1)?, part(2)?.extract::<Vec<u64>>()?, bytes(3)?);
            let size = dtype.item_size().unwrap_or(1) as u64;
            if shape.iter().try_fold(size, |n, &k| n.checked_mul(k)) != Some(data.len() as u64) {
                return Err(PyValueError::new_err("the bytes of an array do not fit its shape"));
            }
            Value::Dense(Dense { dtype, shape, data })
        }
        "strings" => {
            let (shape, utf8) = (part(1)?.extract::<Vec<u64>>()?, part(3)?.extract::<bool>()?);
            let items: Vec<Vec<u8>> = if utf8 {
                part(2)?.extract::<Vec<String>>()?.into_iter().map(String::into_bytes).collect()
            } else {
                part(2)?.extract()?
            };
            Value::Strings(Strings::of(&items, shape, utf8, budget).or_raise()?)
        }
        "sparse" => {
            let format: String = part(1)?.extract()?;
            let shape: (u64, u64) = part(2)?.extract()?;
            Value::Sparse(lazarr::SparseMatrix {
                format: if format == "csr" { SparseFormat::Csr } else { SparseFormat::Csc },
                shape: [shape.0, shape.1],
                dtype: numpy(3)?,
                index_width: part(4)?.extract()?,
                data: bytes(5)?,
                indices: bytes(6)?,
                indptr: bytes(7)?,
            })
        }
        "categorical" => Value::Categorical {
            codes: dense(1)?,
            categories: Box::new(inner(2)?),
            ordered: part(3)?.extract()?,
        },
        "nullable" => Value::Nullable {
            values: Box::new(inner(1)?),
            mask: dense(2)?,
            kind: match part(3)?.extract::<String>()?.as_str() {
                "integer" => NullableKind::Integer,
                "boolean" => NullableKind::Boolean,
                "string" => NullableKind::String { nan: false },
                _ => NullableKind::String { nan: true },
            },
        },
        "table" => Value::Table(lazarr::Table {
            index_name: part(1)?.extract()?,
            index: Some(Box::new(inner(2)?)),
            columns: name_and_value(3)?,
            len: part(4)?.extract()?,
        }),
        "map" => Value::Map(name_and_value(1)?),
        other => return Err(PyValueError::new_err(format!("`{other}` is no kind of value"))),
    })
}

/// The name of a nullable kind.
pub(crate) fn nullable(kind: &NullableKind) -> &'static str {
    match kind {
        NullableKind::Integer => "integer",
        NullableKind::Boolean => "boolean",
        NullableKind::String { nan: false } => "string",
        NullableKind::String { nan: true } => "string-nan",
    }
}

/// The items of a strings value, flat.
#[pyfunction]
pub(crate) fn strings<'py>(
    py: Python<'py>,
    offsets: &Buffer,
    data: &Buffer,
    utf8: bool,
) -> PyResult<Bound<'py, PyList>> {
    let offsets = offsets.0.as_slice().as_chunks::<8>().0;
    let bytes = data.0.as_slice();
    let outside = || PyValueError::new_err("a string lies outside of its bytes");
    let item = |w: &[[u8; 8]]| {
        let (start, end) = (i64::from_ne_bytes(w[0]) as usize, i64::from_ne_bytes(w[1]) as usize);
        bytes.get(start..end).ok_or_else(outside)
    };
    let items = offsets.windows(2).map(|w| {
        let item = item(w)?;
        Ok(if utf8 { PyString::from_bytes(py, item)?.into_any() } else { PyBytes::new(py, item).into_any() })
    });
    PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)
}
