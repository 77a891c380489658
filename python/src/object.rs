//! A whole AnnData that is not read yet.
#![allow(clippy::needless_pass_by_value, reason = "arguments come from Python by value")]

use std::sync::Arc;

use lazarr::Step;
use pyo3::prelude::*;

use crate::args::{Limits, Meter, bools, ints, mask, run};
use crate::error::OrRaise;
use crate::lazy::{Lazy, Picture, kind, plan_text};
use crate::predicate::Predicate;
use crate::session::Session;
use crate::value::{from_python, within};

/// A whole AnnData and what is selected of it; axis 0 is obs, 1 is var.
#[pyclass(frozen, module = "lazarr._lazarr")]
#[derive(Clone)]
pub(crate) struct LazyAnnData(pub(crate) lazarr::LazyAnnData);

impl LazyAnnData {
    fn pick(&self, axis: usize, step: Step) -> PyResult<Self> {
        let (obs, var) = if axis == 0 { (Some(step), None) } else { (None, Some(step)) };
        self.0.select(obs, var).map(Self).or_raise()
    }
}

#[pymethods]
impl LazyAnnData {
    #[getter]
    fn path(&self) -> &str {
        &self.0.element().path
    }

    #[getter]
    fn shape(&self) -> (Option<u64>, Option<u64>) {
        let [n_obs, n_vars] = self.0.shape();
        (n_obs, n_vars)
    }

    #[getter]
    fn stored_shape(&self) -> (u64, u64) {
        (self.0.obs_axis().axis().len, self.0.var_axis().axis().len)
    }

    #[getter]
    fn is_view(&self) -> bool {
        self.0.is_view()
    }

    fn places(&self) -> Vec<(String, &'static str)> {
        self.0.element().children().iter().map(|(n, c)| (n.clone(), kind(c))).collect()
    }

    fn keys(&self, place: &str) -> PyResult<Vec<String>> {
        self.0.keys(place).or_raise()
    }

    fn get(&self, path: &str) -> PyResult<Lazy> {
        self.0.get(path).map(Lazy).or_raise()
    }

    fn element(&self) -> Lazy {
        Lazy(lazarr::Lazy::new(self.0.session(), self.0.element()))
    }

    fn slice(&self, axis: usize, start: Option<i64>, stop: Option<i64>, step: Option<i64>) -> PyResult<Self> {
        self.pick(axis, Step::Slice(start, stop, step))
    }

    fn ints(&self, axis: usize, items: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.pick(axis, ints(items)?)
    }

    fn mask(&self, axis: usize, items: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.pick(axis, mask(items, self.0.shape().get(axis).copied().flatten(), self.path())?)
    }

    fn labels(&self, axis: usize, items: Vec<String>) -> PyResult<Self> {
        self.pick(axis, Step::Labels(items.into()))
    }

    fn label_slice(&self, axis: usize, start: Option<String>, stop: Option<String>) -> PyResult<Self> {
        self.pick(axis, Step::LabelSlice(start, stop))
    }

    fn labelled_mask(&self, axis: usize, labels: Vec<String>, items: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.pick(axis, Step::LabelledMask(labels.into(), bools(items)?))
    }

    fn predicate(&self, axis: usize, predicate: &Predicate) -> PyResult<Self> {
        self.pick(axis, Step::Predicate(Arc::new(predicate.0.clone())))
    }

    fn describe_selection(&self) -> (String, String) {
        (self.0.obs_axis().describe(), self.0.var_axis().describe())
    }

    fn resolve(
        &self,
        py: Python<'_>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<()> {
        run(py, &Limits::new(memory_limit, threads, meter), |call| self.0.resolve(call))
    }

    fn plan(
        &self,
        py: Python<'_>,
        elements: Option<Vec<String>>,
        resolve: bool,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<(String, String, Picture)> {
        let limits = Limits::new(memory_limit, threads, meter);
        Ok(plan_text(&run(py, &limits, |call| self.0.plan(call, elements.as_deref(), resolve))?))
    }

    #[allow(clippy::too_many_arguments, reason = "limits are three of them")]
    fn plan_cuts(
        &self,
        py: Python<'_>,
        elements: Vec<String>,
        cut: Vec<String>,
        resolve: bool,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<(String, String, Picture)> {
        let limits = Limits::new(memory_limit, threads, meter);
        Ok(plan_text(&run(py, &limits, |call| self.0.plan_cuts(call, &elements, &cut, resolve))?))
    }

    #[pyo3(signature = (elements, memory_limit, threads, meter, skip_broken=false, nameless=false))]
    #[allow(clippy::too_many_arguments, reason = "the arguments of a call, and two choices")]
    fn collect<'py>(
        &self,
        py: Python<'py>,
        elements: Option<Vec<String>>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
        skip_broken: bool,
        nameless: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let limits = Limits { skip_broken, nameless, ..Limits::new(memory_limit, threads, meter) };
        let read = run(py, &limits, |call| self.0.collect(call, elements.as_deref()))?;
        within(py, self.0.session(), &limits, read)
    }

    /// The object with values laid over it, as trees of tuples.
    fn laid(
        &self,
        py: Python<'_>,
        place: &str,
        values: Vec<(String, Bound<'_, PyAny>)>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<Self> {
        let limits = Limits::new(memory_limit, threads, meter);
        let limit = limits.memory.unwrap_or_else(|| self.0.session().memory_limit());
        let budget = lazarr::Budget::new(lazarr::Ledger::process(), limit, Arc::default());
        let values = values.into_iter().map(|(name, v)| Ok((name, from_python(&v, &budget)?)));
        let values = values.collect::<PyResult<Vec<_>>>()?;
        run(py, &limits, |call| self.0.with(call, place, values)).map(Self)
    }

    /// Objects one below the other.
    #[staticmethod]
    #[allow(clippy::too_many_arguments, reason = "the arguments of lazarr.concat")]
    fn concat(
        py: Python<'_>,
        parts: Vec<PyRef<'_, Self>>,
        outer: bool,
        label: Option<String>,
        keys: Option<Vec<String>>,
        index_unique: Option<String>,
        fill_value: Option<f64>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<Self> {
        let parts: Vec<_> = parts.iter().map(|p| p.0.clone()).collect();
        let join = if outer { lazarr::Join::Outer } else { lazarr::Join::Inner };
        let how = lazarr::Concatenation { join, label, keys, index_unique, fill_value };
        let limits = Limits::new(memory_limit, threads, meter);
        run(py, &limits, |call| lazarr::concat(&parts, &how, call)).map(Self)
    }

    #[getter]
    fn session(&self) -> Session {
        Session(self.0.session().clone())
    }

    fn state(&self) -> String {
        self.0.state()
    }

    #[staticmethod]
    fn from_state(session: &Session, state: &str) -> PyResult<Self> {
        lazarr::LazyAnnData::from_state(&session.0, state).map(Self).or_raise()
    }
}
