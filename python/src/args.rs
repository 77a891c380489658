//! What calls are given: limits, meters, indices as buffers.
#![allow(unsafe_code, reason = "numpy's memory is read through the array interface")]

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lazarr::{Call, Step};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::error::OrRaise;

/// Counts what calls do.
#[pyclass(frozen, module = "lazarr._lazarr")]
#[derive(Default)]
pub(crate) struct Meter(pub(crate) Arc<lazarr::Meter>);

#[pymethods]
impl Meter {
    #[new]
    fn new() -> Self {
        Self::default()
    }
    #[getter]
    fn requests(&self) -> u64 {
        self.0.requests()
    }
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
    #[getter]
    fn absent(&self) -> u64 {
        self.0.absent()
    }
    #[getter]
    fn cached(&self) -> u64 {
        self.0.cached()
    }
    #[getter]
    fn cached_bytes(&self) -> u64 {
        self.0.cached_bytes()
    }
    #[getter]
    fn chunks(&self) -> u64 {
        self.0.chunks()
    }
    #[getter]
    fn decoded(&self) -> u64 {
        self.0.decoded()
    }
    #[getter]
    fn filled(&self) -> u64 {
        self.0.filled()
    }
    #[getter]
    fn ledger_peak(&self) -> u64 {
        self.0.ledger_peak()
    }
}

/// The limits and the meter of one call.
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) memory: Option<u64>,
    pub(crate) threads: Option<usize>,
    pub(crate) meter: Option<Arc<lazarr::Meter>>,
    /// Leave out what cannot be read.
    pub(crate) skip_broken: bool,
    /// Read tables without their names.
    pub(crate) nameless: bool,
}

impl Limits {
    pub(crate) fn new(memory: Option<u64>, threads: Option<usize>, meter: Option<&Meter>) -> Self {
        Self { memory, threads, meter: meter.map(|m| m.0.clone()), skip_broken: false, nameless: false }
    }
}

thread_local! {
    /// What ends the calls of this thread.
    static STOP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Ends the calls that are made on another thread, in a `with` block there.
#[pyclass(frozen, module = "lazarr._lazarr")]
#[derive(Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Ends them.
    fn stop(&self) {
        self.0.store(true, Relaxed);
    }

    fn __enter__(&self) {
        STOP.set(Some(self.0.clone()));
    }

    #[allow(clippy::unused_self, reason = "Python calls it on an object")]
    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, PyTuple>) {
        STOP.set(None);
    }
}

/// Whether a signal or a [`Stop`] ends what is under way; a signal's exception is then set.
pub(crate) fn signalled() -> bool {
    if STOP.with_borrow(|stop| stop.as_ref().is_some_and(|stop| stop.load(Relaxed))) {
        return true;
    }
    Python::attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(e) => {
            e.restore(py);
            true
        }
    })
}

/// Runs a verb without the GIL; signals are looked at meanwhile.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    limits: &Limits,
    verb: impl FnOnce(&Call<'_>) -> lazarr::Result<T> + Send,
) -> PyResult<T> {
    let interrupt = || signalled();
    py.detach(|| {
        let call = Call {
            memory_limit: limits.memory,
            threads: limits.threads,
            meter: limits.meter.clone(),
            skip_broken: limits.skip_broken,
            nameless: limits.nameless,
            interrupt: Some(&interrupt),
        };
        verb(&call)
    })
    .or_raise()
}

/// Calls `f` with the items of a C-contiguous 1-d numpy array of this type.
pub(crate) fn with_items<T: Copy, R>(
    array: &Bound<'_, PyAny>,
    typestr: &str,
    f: impl FnOnce(&[T]) -> R,
) -> PyResult<R> {
    let interface = array.getattr("__array_interface__")?;
    let interface = interface.cast::<PyDict>().map_err(PyErr::from)?;
    let get = |name: &str| {
        interface
            .get_item(name)?
            .ok_or_else(|| PyTypeError::new_err(format!("the array interface lacks {name}")))
    };
    let found: String = get("typestr")?.extract()?;
    let shape: Vec<usize> = get("shape")?.extract()?;
    let strides = interface.get_item("strides")?;
    let (address, _): (usize, bool) = get("data")?.extract()?;
    if found != typestr || shape.len() != 1 || strides.is_some_and(|s| !s.is_none()) {
        return Err(PyTypeError::new_err(format!(
            "expected a contiguous 1-d array of {typestr}, found {found} {shape:?}"
        )));
    }
    if shape[0] == 0 {
        return Ok(f(&[]));
    }
    // SAFETY: the interface promises `shape[0]` items of this type at `address`, alive as long as `array` is; the GIL is
    // held, so that nothing changes them meanwhile. numpy aligns items of its own arrays.
    Ok(f(unsafe { std::slice::from_raw_parts(address as *const T, shape[0]) }))
}

/// Positions, from an int64 array.
pub(crate) fn ints(array: &Bound<'_, PyAny>) -> PyResult<Step> {
    Ok(Step::Ints(with_items::<i64, _>(array, "<i8", |items| items.into())?))
}

/// The items of a bool array.
pub(crate) fn bools(array: &Bound<'_, PyAny>) -> PyResult<Arc<[bool]>> {
    // Any byte but 0 is true: a bool of another value would be undefined.
    with_items::<u8, _>(array, "|b1", |items| items.iter().map(|b| *b != 0).collect())
}

/// A mask of an axis of `n` items, packed at once: a bit an item, shared by all elements of the view. Where the length of
/// the axis is not known yet the mask waits as it is.
pub(crate) fn mask(array: &Bound<'_, PyAny>, n: Option<u64>, element: &str) -> PyResult<Step> {
    let Some(n) = n else { return Ok(Step::Mask(bools(array)?)) };
    let index = with_items::<u8, _>(array, "|b1", |items| {
        let word = |some: &[u8]| {
            let mut bytes = [0u8; 64];
            bytes.iter_mut().zip(some).for_each(|(to, b)| *to = u8::from(*b != 0));
            // The lowest bits of eight bytes, side by side: each is moved to the top byte, at a place of its own.
            let eight = |e: &[u8; 8]| u64::from_le_bytes(*e).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            bytes.as_chunks::<8>().0.iter().rev().fold(0u64, |word, e| word << 8 | eight(e))
        };
        lazarr::Index::mask_bits(items.chunks(64).map(word).collect(), items.len() as u64, n)
    })?;
    index.map(Step::Index).map_err(|e| e.element(element)).or_raise()
}
