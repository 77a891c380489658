//! Tables for Arrow's PyCapsule protocol.

use arrow_array::ffi::{FFI_ArrowSchema, to_ffi};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, RecordBatchIterator};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::error::OrRaise;

/// An `arrow_array_stream` capsule of one batch.
pub(crate) fn capsule<'py>(
    py: Python<'py>,
    value: lazarr::Value,
    name: &str,
) -> PyResult<Bound<'py, PyCapsule>> {
    let batch = lazarr::arrow::to_batch(value, name).or_raise()?;
    let schema = batch.schema();
    let stream = FFI_ArrowArrayStream::new(Box::new(RecordBatchIterator::new([Ok(batch)], schema)));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

/// A schema and an array as capsules, of a column.
pub(crate) fn column<'py>(
    py: Python<'py>,
    value: lazarr::Value,
    name: &str,
) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
    let batch = lazarr::arrow::to_batch(value, name).or_raise()?;
    let field = batch.schema().fields().first().cloned();
    let (Some(field), Some(column)) = (field, batch.columns().first()) else {
        return Err(PyValueError::new_err("this is not a column"));
    };
    let schema = FFI_ArrowSchema::try_from(&*field).map_err(|e| PyValueError::new_err(e.to_string()))?;
    let (array, _) = to_ffi(&column.to_data()).map_err(|e| PyValueError::new_err(e.to_string()))?;
    let schema = PyCapsule::new_with_value(py, schema, c"arrow_schema")?;
    Ok((schema, PyCapsule::new_with_value(py, array, c"arrow_array")?))
}
