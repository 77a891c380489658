//! Elements that are not read yet.
#![allow(clippy::needless_pass_by_value, reason = "arguments come from Python by value")]

use std::sync::{Arc, Mutex};

use lazarr::plan::Mark;
use lazarr::plan::expr::{ColumnRef, Expr};
use lazarr::{Body, Code, Element, Error, Step, Value, decoded_bytes};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PyTuple};

use crate::args::{Limits, Meter, bools, ints, mask, run};
use crate::error::{OrRaise, raise};
use crate::predicate::{On, Predicate, literal};
use crate::session::Session;
use crate::value::{dtype, nullable, value, within};

/// An element and what is selected of it.
#[pyclass(frozen, module = "lazarr._lazarr")]
#[derive(Clone)]
pub(crate) struct Lazy(pub(crate) lazarr::Lazy);

/// The kind of an element, by name.
pub(crate) fn kind(element: &Element) -> &'static str {
    match &element.body {
        Body::AnnData(_) => "anndata",
        Body::Raw(_) => "raw",
        Body::Dict(_) => "dict",
        Body::Dense(_) => "dense",
        Body::Strings(_) => "strings",
        Body::Scalar(_) => "scalar",
        Body::Null => "null",
        Body::Sparse(_) => "sparse",
        Body::DataFrame(_) => "dataframe",
        Body::Categorical(_) => "categorical",
        Body::Nullable(_) => "nullable",
        Body::Awkward(_) => "awkward",
        Body::Joined(joined) => lazarr::joined_kind(&**joined),
        _ => "broken",
    }
}

fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::Exact => "exact",
        Mark::Upper => "upper",
        Mark::Estimate => "estimate",
    }
}

/// The text and the JSON of a plan.
pub(crate) fn plan_text(plan: &lazarr::Plan) -> (String, String, Picture) {
    (plan.to_string(), plan.to_json().to_string(), Picture(plan.clone()))
}

/// A plan that can be drawn.
#[pyclass(frozen, module = "lazarr._lazarr")]
pub(crate) struct Picture(lazarr::Plan);

#[pymethods]
impl Picture {
    fn svg(&self) -> String {
        self.0.to_svg()
    }
}

impl Lazy {
    fn pick(&self, axis: usize, step: Step) -> PyResult<Self> {
        self.0.select(axis, step).map(Self).or_raise()
    }

    /// The column of a predicate.
    fn on(&self) -> PyResult<On> {
        let element = self.0.element();
        if let Body::Broken(e) = &element.body {
            return Err(raise(&e.again().element(&*element.path)));
        }
        let none = || {
            raise(
                &Error::new(Code::Operation, "conditions are made on columns of a table")
                    .element(&*element.path),
            )
        };
        let [axis] = self.0.axes() else { return Err(none()) };
        let frame = axis.axis().frame.as_ref().map(|f| &f.body);
        let Some(Body::DataFrame(frame)) = frame else { return Err(none()) };
        let name = frame.columns.iter().find(|(_, c)| c.path == element.path).map(|(n, _)| n.as_str());
        if name.is_none() && frame.index.path != element.path {
            return Err(none());
        }
        Ok(On(ColumnRef::new(axis.id(), element.path.clone(), name)))
    }
}

#[pymethods]
impl Lazy {
    #[getter]
    fn path(&self) -> &str {
        &self.0.element().path
    }

    #[getter]
    fn kind(&self) -> &'static str {
        kind(self.0.element())
    }

    #[getter]
    fn what(&self) -> String {
        lazarr::describe(self.0.element())
    }

    #[getter]
    fn encoding(&self) -> (String, String) {
        let e = self.0.element();
        (e.encoding_type.clone(), e.encoding_version.clone())
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.shape())
    }

    #[getter]
    fn stored_shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.element().shape().unwrap_or_default())
    }

    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.dtype().map(|d| dtype(py, &d)).transpose()
    }

    #[getter]
    fn format(&self) -> Option<&'static str> {
        match &self.0.element().body {
            Body::Sparse(s) => Some(s.format.name()),
            Body::Joined(_) if self.kind() == "sparse" => Some("csr"),
            _ => None,
        }
    }

    #[getter]
    fn nnz(&self) -> Option<u64> {
        match &self.0.element().body {
            Body::Sparse(s) if self.is_whole() => Some(s.nnz()),
            _ => None,
        }
    }

    #[getter]
    fn ordered(&self) -> Option<bool> {
        match &self.0.element().body {
            Body::Categorical(c) => Some(c.ordered),
            Body::Joined(joined) => lazarr::joined_ordered(&**joined),
            _ => None,
        }
    }

    #[getter]
    fn n_categories(&self) -> Option<u64> {
        match &self.0.element().body {
            Body::Categorical(c) => c.categories.shape().and_then(|s| s.first().copied()),
            _ => None,
        }
    }

    #[getter]
    fn nullable_kind(&self) -> Option<&'static str> {
        match &self.0.element().body {
            Body::Nullable(n) => Some(nullable(&n.kind)),
            Body::Joined(joined) => lazarr::joined_nullable(&**joined).map(|kind| nullable(&kind)),
            _ => None,
        }
    }

    /// Whether some of it is in memory: it was laid over the store.
    #[getter]
    fn has_memory(&self) -> bool {
        self.0.element().arrays().iter().any(|a| self.0.session().in_memory(&a.path))
    }

    #[getter]
    fn is_whole(&self) -> bool {
        self.0.axes().iter().all(|a| a.is_all()) && self.0.chosen_columns().is_none()
    }

    #[getter]
    fn error(&self) -> Option<String> {
        match &self.0.element().body {
            Body::Broken(e) => Some(e.to_string()),
            _ => None,
        }
    }

    fn arrays<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let out = PyList::empty(py);
        for a in self.0.element().arrays() {
            let item = PyDict::new(py);
            item.set_item("path", &a.path)?;
            item.set_item("shape", PyTuple::new(py, &a.shape)?)?;
            item.set_item("dtype", a.dtype.to_string())?;
            item.set_item("chunks", PyTuple::new(py, &a.chunk_shape)?)?;
            item.set_item("inner", PyTuple::new(py, a.inner_shape())?)?;
            item.set_item("rectilinear", a.grid.is_some())?;
            item.set_item("shards", a.sharding.is_some())?;
            item.set_item("codec", &a.codec_name)?;
            let bytes = a.len().and_then(|n| n.checked_mul(a.dtype.item_size()? as u64));
            item.set_item("decoded_bytes", bytes)?;
            out.append(item)?;
        }
        Ok(out)
    }

    fn attributes(&self) -> String {
        lazarr::attributes_json(self.0.element())
    }

    fn decoded_bytes(&self) -> (u64, &'static str) {
        let amount = decoded_bytes(self.0.element());
        (amount.value, mark(amount.mark))
    }

    fn children(&self) -> Vec<(String, &'static str)> {
        self.0.element().children().iter().map(|(n, c)| (n.clone(), kind(c))).collect()
    }

    fn child(&self, name: &str) -> PyResult<Self> {
        self.0.child(name).map(Self).or_raise()
    }

    fn column_names(&self) -> Vec<String> {
        self.0.column_names()
    }

    fn index_name(&self) -> Option<String> {
        match &self.0.element().body {
            Body::DataFrame(f) if f.index_key != "_index" => Some(f.index_key.clone()),
            _ => None,
        }
    }

    fn column(&self, name: &str) -> PyResult<Self> {
        self.0.column(name).map(Self).or_raise()
    }

    fn names(&self) -> PyResult<Self> {
        self.0.names().map(Self).or_raise()
    }

    fn with_columns(&self, names: Vec<String>) -> PyResult<Self> {
        self.0.with_columns(&names).map(Self).or_raise()
    }

    fn slice(&self, axis: usize, start: Option<i64>, stop: Option<i64>, step: Option<i64>) -> PyResult<Self> {
        self.pick(axis, Step::Slice(start, stop, step))
    }

    fn ints(&self, axis: usize, items: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.pick(axis, ints(items)?)
    }

    fn at(&self, axis: usize, item: i64) -> PyResult<Self> {
        self.0.at(axis, item).map(Self).or_raise()
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

    /// The rows where the text of a query is true.
    fn query(&self, text: &str) -> PyResult<Self> {
        let axis = self
            .0
            .axes()
            .first()
            .ok_or_else(|| pyo3::exceptions::PyTypeError::new_err("this has no rows"))?;
        self.pick(0, axis.query(text).or_raise()?)
    }

    fn is_whole_along(&self, axis: usize) -> bool {
        self.0.axes().get(axis).is_some_and(|a| a.is_all())
    }

    fn describe_selection(&self) -> String {
        self.0.axes().iter().map(|a| a.describe()).collect::<Vec<_>>().join(", ")
    }

    fn same_axis(&self, axis: usize, other: &Self, other_axis: usize) -> bool {
        match (self.0.axes().get(axis), other.0.axes().get(other_axis)) {
            (Some(a), Some(b)) => a.id() == b.id(),
            _ => false,
        }
    }

    #[pyo3(signature = (op, value, na=false, float64=false))]
    fn compare(&self, op: &str, value: &Bound<'_, PyAny>, na: bool, float64: bool) -> PyResult<Predicate> {
        self.on()?.compare(op, literal(value, na, float64)?)
    }

    fn isin(&self, values: Vec<Bound<'_, PyAny>>) -> PyResult<Predicate> {
        // pd.NA is passed as the class Ellipsis' instance: a list has no room for a flag.
        let values = values.iter().map(|v| literal(v, v.is(v.py().Ellipsis().bind(v.py())), false));
        Ok(Predicate(Expr::IsIn { column: self.on()?.0, values: values.collect::<PyResult<_>>()? }))
    }

    fn isna(&self) -> PyResult<Predicate> {
        Ok(Predicate(Expr::IsNa(self.on()?.0)))
    }

    fn notna(&self) -> PyResult<Predicate> {
        Ok(Predicate(Expr::NotNa(self.on()?.0)))
    }

    fn between(
        &self,
        low: &Bound<'_, PyAny>,
        high: &Bound<'_, PyAny>,
        inclusive: &str,
    ) -> PyResult<Predicate> {
        self.on()?.between(literal(low, false, false)?, literal(high, false, false)?, inclusive)
    }

    fn startswith(&self, prefix: Vec<String>) -> PyResult<Predicate> {
        Ok(Predicate(Expr::StartsWith { column: self.on()?.0, prefix }))
    }

    fn endswith(&self, suffix: Vec<String>) -> PyResult<Predicate> {
        Ok(Predicate(Expr::EndsWith { column: self.on()?.0, suffix }))
    }

    fn contains(&self, pattern: String, regex: bool, case: bool) -> PyResult<Predicate> {
        Ok(Predicate(Expr::Contains { column: self.on()?.0, pattern, regex, case }))
    }

    fn as_predicate(&self) -> PyResult<Predicate> {
        Ok(Predicate(Expr::Column(self.on()?.0)))
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
        resolve: bool,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<(String, String, Picture)> {
        let limits = Limits::new(memory_limit, threads, meter);
        Ok(plan_text(&run(py, &limits, |call| self.0.plan(call, resolve))?))
    }

    fn collect<'py>(
        &self,
        py: Python<'py>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let limits = Limits::new(memory_limit, threads, meter);
        let read = run(py, &limits, |call| self.0.collect(call))?;
        within(py, self.0.session(), &limits, read)
    }

    fn plan_mean_var(
        &self,
        py: Python<'_>,
        axis: usize,
        resolve: bool,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<(String, String, Picture)> {
        let limits = Limits::new(memory_limit, threads, meter);
        Ok(plan_text(&run(py, &limits, |call| self.0.plan_mean_var(call, axis, resolve))?))
    }

    fn mean_var<'py>(
        &self,
        py: Python<'py>,
        axis: usize,
        ddof: u64,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let limits = Limits::new(memory_limit, threads, meter);
        let found = run(py, &limits, |call| self.0.mean_var(call, axis, ddof))?;
        Ok((value(py, Value::Dense(found.mean))?, value(py, Value::Dense(found.var))?))
    }

    /// How often each value occurs, the most frequent first: values, counts, rows without a value, rows.
    fn value_counts<'py>(
        &self,
        py: Python<'py>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<(Bound<'py, PyAny>, Vec<u64>, u64, u64)> {
        let limits = Limits::new(memory_limit, threads, meter);
        let found = run(py, &limits, |call| self.0.value_counts(call))?;
        Ok((value(py, found.values)?, found.counts, found.missing, found.rows))
    }

    fn stream(
        &self,
        py: Python<'_>,
        rows: Option<u64>,
        bytes: Option<u64>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<Blocks> {
        let limits = Limits::new(memory_limit, threads, meter);
        let blocks = run(py, &limits, |call| self.0.stream(call, rows, bytes))?;
        Ok(Blocks { blocks: Mutex::new(blocks), limits })
    }

    /// The ends of blocks of rows, and their bytes.
    fn cuts(
        &self,
        py: Python<'_>,
        bytes: Option<u64>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<(Vec<u64>, Vec<u64>)> {
        let limits = Limits::new(memory_limit, threads, meter);
        let cuts = run(py, &limits, |call| self.0.cuts(call, bytes))?;
        Ok((cuts.ends, cuts.bytes))
    }

    fn plan_cuts(
        &self,
        py: Python<'_>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<(String, String, Picture)> {
        let limits = Limits::new(memory_limit, threads, meter);
        Ok(plan_text(&run(py, &limits, |call| self.0.plan_cuts(call))?))
    }

    fn block(
        &self,
        py: Python<'_>,
        start: u64,
        end: u64,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<Self> {
        let limits = Limits::new(memory_limit, threads, meter);
        run(py, &limits, |call| self.0.block(call, start, end)).map(Self)
    }

    fn arrow<'py>(
        &self,
        py: Python<'py>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let limits = Limits::new(memory_limit, threads, meter);
        let value = run(py, &limits, |call| self.0.collect(call))?;
        crate::stream::capsule(py, value, self.0.element().name())
    }

    fn arrow_column<'py>(
        &self,
        py: Python<'py>,
        memory_limit: Option<u64>,
        threads: Option<usize>,
        meter: Option<&Meter>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let limits = Limits::new(memory_limit, threads, meter);
        let value = run(py, &limits, |call| self.0.collect(call))?;
        crate::stream::column(py, value, self.0.element().name())
    }

    fn state(&self) -> String {
        self.0.state()
    }

    #[staticmethod]
    fn from_state(session: &Session, state: &str) -> PyResult<Self> {
        lazarr::Lazy::from_state(&session.0, state).map(Self).or_raise()
    }
}

/// Blocks of rows, one after the other.
#[pyclass(frozen, module = "lazarr._lazarr")]
pub(crate) struct Blocks {
    blocks: Mutex<lazarr::RowBlocks>,
    limits: Limits,
}

#[pymethods]
impl Blocks {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<(u64, u64, Bound<'py, PyAny>)>> {
        let block = run(py, &self.limits, |call| match self.blocks.lock() {
            Ok(mut blocks) => blocks.next(call),
            Err(poisoned) => poisoned.into_inner().next(call),
        })?;
        match block {
            None => Ok(None),
            Some(block) => Ok(Some((block.start, block.end, value(py, block.value)?))),
        }
    }
}
