//! Errors as Python exceptions: made by `lazarr._errors.make`, so that they can be several things at once.

use lazarr::{Error, Kind};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "notfound",
        Kind::Key => "key",
        Kind::Index => "index",
        Kind::Type => "type",
        Kind::Io => "io",
        Kind::Invalid => "invalid",
        Kind::Unsupported => "unsupported",
        Kind::Memory => "memory",
        Kind::Interrupted => "interrupted",
        _ => "internal",
    }
}

/// The exception for an error.
pub(crate) fn raise(error: &Error) -> PyErr {
    Python::attach(|py| {
        if error.kind() == Kind::Interrupted {
            // The signal's own handler has set the exception, where it raised one.
            return PyErr::take(py).unwrap_or_else(|| PyKeyboardInterrupt::new_err(()));
        }
        let (start, end) = error.byte_range().map_or((None, None), |r| (Some(r.start), Some(r.end)));
        let (expected, found) = error.expected_found();
        let made = py.import("lazarr._errors").and_then(|m| {
            m.getattr("make")?.call1((
                kind(error.kind()),
                error.code().id(),
                error.message(),
                error.element_name(),
                error.key_name(),
                start,
                end,
                expected,
                found,
                error.help_text(),
                error.to_string(),
            ))
        });
        match made {
            Ok(exception) => PyErr::from_value(exception),
            Err(_) => PyRuntimeError::new_err(error.to_string()),
        }
    })
}

/// `Result` with a Python exception.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception for the error.
    fn or_raise(self) -> PyResult<T>;
}

impl<T> OrRaise<T> for lazarr::Result<T> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(|e| raise(&e))
    }
}
