//! An open store.

use std::sync::Arc;

use lazarr::store::StoreOptions;
use lazarr::{Limit, Limits, Missing, Options};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::args::{Meter, signalled};
use crate::bridge::Bridge;
use crate::error::OrRaise;
use crate::lazy::Lazy;
use crate::object::LazyAnnData;

/// An open store.
#[pyclass(frozen, module = "lazarr._lazarr")]
pub(crate) struct Session(pub(crate) Arc<lazarr::Session>);

#[pymethods]
impl Session {
    #[staticmethod]
    #[allow(clippy::too_many_arguments, reason = "the arguments of lazarr.open")]
    #[pyo3(signature = (
        path, memory_limit, threads, missing, audit, meter=None, follow_links=false, limits=Vec::new(),
        names=Vec::new(), listing=true, storage=Vec::new(), zarr_format=None
    ))]
    fn open(
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        missing: &str,
        audit: bool,
        meter: Option<&Meter>,
        follow_links: bool,
        limits: Vec<(String, u64)>,
        names: Vec<String>,
        listing: bool,
        storage: Vec<(String, String)>,
        zarr_format: Option<u8>,
    ) -> PyResult<Self> {
        let missing = match missing {
            "error" => Missing::Refuse,
            "fill" => Missing::Fill,
            _ => return Err(PyValueError::new_err("missing must be 'error' or 'fill'")),
        };
        if threads == Some(0) {
            return Err(PyValueError::new_err("threads must be at least 1"));
        }
        let meter = meter.map(|m| m.0.clone());
        let mut all = Limits::default();
        for (name, value) in limits {
            let limit = Limit::from_name(&name)
                .ok_or_else(|| PyTypeError::new_err(format!("there is no limit `{name}`")))?;
            all = all.with(limit, value);
        }
        let options = Options {
            memory_limit,
            threads,
            missing,
            limits: all,
            meter,
            follow_links,
            names,
            storage: StoreOptions::new(storage),
            zarr_format,
            no_listing: !listing,
            audit,
        };
        let stop = || signalled();
        let Ok(path) = path.extract::<String>() else {
            let store = Arc::new(Bridge::new(path)?);
            let open = || lazarr::Session::open_store_with(store, options, Some(&stop));
            return py.detach(open).map(Self).or_raise();
        };
        py.detach(|| lazarr::Session::open_with(&path, options, Some(&stop))).map(Self).or_raise()
    }

    #[getter]
    fn url(&self) -> &str {
        self.0.url()
    }

    /// What tells this store, and what is laid over it, from others.
    #[getter]
    fn identity(&self) -> u64 {
        self.0.identity()
    }

    #[getter]
    fn notices(&self) -> Vec<String> {
        self.0.notices().to_vec()
    }

    fn is_unlisted(&self, path: &str) -> bool {
        self.0.is_unlisted(path)
    }

    #[getter]
    fn zarr_format(&self) -> u8 {
        self.0.zarr_format()
    }

    #[getter]
    fn consolidated(&self) -> bool {
        self.0.consolidated()
    }

    #[getter]
    fn memory_limit(&self) -> u64 {
        self.0.memory_limit()
    }

    #[getter]
    fn threads(&self) -> usize {
        self.0.threads()
    }

    #[getter]
    fn meter(&self) -> Meter {
        Meter(self.0.meter().clone())
    }

    fn root(&self) -> Lazy {
        Lazy(lazarr::Lazy::new(&self.0, self.0.root()))
    }

    fn lazy(&self, path: &str) -> PyResult<Lazy> {
        Ok(Lazy(lazarr::Lazy::new(&self.0, &self.0.element(path).or_raise()?)))
    }

    fn anndata(&self, path: &str) -> PyResult<LazyAnnData> {
        let element = self.0.element(path).or_raise()?;
        lazarr::LazyAnnData::new(&self.0, &element).map(LazyAnnData).or_raise()
    }

    /// Bytes of the files below a path; None where there are more files than `most`, or none can be listed.
    fn stored(&self, py: Python<'_>, path: &str, most: u64) -> PyResult<Option<u64>> {
        py.detach(|| lazarr::Inventory::stored(&self.0, path, most)).or_raise()
    }

    fn clear_caches(&self) {
        self.0.clear_caches();
    }
}
