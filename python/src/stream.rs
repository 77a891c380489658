//! Tables for Arrow's PyCapsule protocol.

use arrow_array::RecordBatchIterator;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
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
