//! The native half of the Python package: bindings only. `python/lazarr/_lazarr.pyi` is its contract.
//!
//! The GIL is released around every call that may wait; Ctrl-C is looked for on the calling thread while it works.
//! A panic would become Python's `PanicException`; none is expected to.

mod args;
mod bridge;
mod error;
mod lazy;
mod object;
mod predicate;
mod session;
mod stream;
mod value;
mod write;

use pyo3::prelude::*;

/// Bytes of this process in memory now, and the peak.
#[pyfunction]
fn resident() -> Option<(u64, u64)> {
    lazarr::resident()
}

/// Sets the peak back to what is in memory now.
#[pyfunction]
fn reset_peak() -> bool {
    lazarr::reset_peak()
}

/// The number and the title of every error code.
#[pyfunction]
fn codes() -> Vec<(&'static str, &'static str)> {
    lazarr::Code::ALL.iter().map(|code| (code.id(), code.title())).collect()
}

/// The page of an error code; none where there is no such code.
#[pyfunction]
fn explain(code: &str) -> Option<&'static str> {
    lazarr::Code::from_id(code).map(lazarr::Code::page)
}

/// The names of the limits, their defaults, and the most that each can be.
#[pyfunction]
fn limits() -> Vec<(&'static str, u64, u64)> {
    let default = lazarr::Limits::default();
    lazarr::Limit::ALL.into_iter().map(|limit| (limit.name(), default.get(limit), limit.most())).collect()
}

#[pymodule]
fn _lazarr(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("OPTIMISED", cfg!(not(debug_assertions)))?;
    m.add_class::<session::Session>()?;
    m.add_class::<lazy::Lazy>()?;
    m.add_class::<lazy::Blocks>()?;
    m.add_class::<lazy::Picture>()?;
    m.add_class::<object::LazyAnnData>()?;
    m.add_class::<predicate::Predicate>()?;
    m.add_class::<value::Buffer>()?;
    m.add_class::<args::Meter>()?;
    m.add_class::<args::Stop>()?;
    m.add_function(wrap_pyfunction!(resident, m)?)?;
    m.add_function(wrap_pyfunction!(reset_peak, m)?)?;
    m.add_function(wrap_pyfunction!(codes, m)?)?;
    m.add_function(wrap_pyfunction!(explain, m)?)?;
    m.add_function(wrap_pyfunction!(limits, m)?)?;
    m.add_function(wrap_pyfunction!(value::strings, m)?)?;
    m.add_function(wrap_pyfunction!(write::write, m)?)?;
    m.add_function(wrap_pyfunction!(write::preset, m)?)?;
    m.add_function(wrap_pyfunction!(write::presets, m)?)?;
    m.add_function(wrap_pyfunction!(write::write_into, m)?)?;
    m.add_function(wrap_pyfunction!(write::append, m)?)?;
    m.add_function(wrap_pyfunction!(write::diff, m)?)?;
    m.add_function(wrap_pyfunction!(write::repair, m)?)?;
    m.add_function(wrap_pyfunction!(write::card, m)?)?;
    m.add_function(wrap_pyfunction!(write::is_clearing, m)?)?;
    Ok(())
}
