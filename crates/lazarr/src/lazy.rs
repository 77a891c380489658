//! Elements that are not read yet.

use std::sync::Arc;

use lazarr_format::anndata::{Body, Element};
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::{Amount, Index, Mark, Plan, StagePlan};
use smallvec::SmallVec;

use crate::axis::{Axis, AxisView, Step};
use crate::call::{Call, Run};
use crate::concat::{Kind, concat_of};
use crate::pending::Pending;
use crate::program::Want;
use crate::session::Session;
use crate::value::Value;

/// An element and what is selected of it. Cheap to clone; indexing makes a new one and reads nothing.
#[derive(Debug, Clone)]
pub struct Lazy {
    session: Arc<Session>,
    element: Element,
    axes: SmallVec<[Arc<AxisView>; 2]>,
    /// Axes that an integer index has dropped.
    dropped: SmallVec<[bool; 2]>,
    /// The chosen columns of a table.
    columns: Option<Arc<[String]>>,
}

impl Lazy {
    /// A whole element.
    pub fn new(session: &Arc<Session>, element: &Element) -> Self {
        Self::with_axes(session, element, &[])
    }

    /// An element whose first axes are those of an object.
    pub(crate) fn with_axes(session: &Arc<Session>, element: &Element, shared: &[Arc<AxisView>]) -> Self {
        let rank = match &element.body {
            Body::DataFrame(_) => 1,
            _ => element.shape().unwrap_or_default().len(),
        };
        let mut axes: SmallVec<[Arc<AxisView>; 2]> = shared.iter().take(rank).cloned().collect();
        let shape = element.shape().unwrap_or_default();
        for (k, &n) in shape.iter().enumerate().take(rank).skip(axes.len()) {
            let frame = (k == 0 && matches!(element.body, Body::DataFrame(_))).then(|| element.clone());
            let path = if frame.is_some() { element.path.clone() } else { format!("{}#{k}", element.path) };
            axes.push(AxisView::all(&Axis::new(&path, n, frame, session.identity)));
        }
        let dropped = axes.iter().map(|_| false).collect();
        Self { session: session.clone(), element: element.clone(), axes, dropped, columns: None }
    }

    /// An element as it was saved.
    pub(crate) fn restore(
        session: &Arc<Session>,
        element: &Element,
        axes: Vec<Arc<AxisView>>,
        dropped: Vec<bool>,
        columns: Option<Vec<String>>,
    ) -> Result<Self> {
        let whole = Self::new(session, element);
        if whole.axes.len() != axes.len() || dropped.len() != axes.len() {
            return Err(Error::new(Code::StoreChanged, "the element has changed since it was saved")
                .element(&*element.path));
        }
        Ok(Self { axes: axes.into(), dropped: dropped.into(), columns: columns.map(Into::into), ..whole })
    }

    /// The chosen columns of a table; `None` where all are.
    pub fn chosen_columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    /// The store.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// What is stored.
    pub fn element(&self) -> &Element {
        &self.element
    }

    /// The selections along the axes, dropped ones included.
    pub fn axes(&self) -> &[Arc<AxisView>] {
        &self.axes
    }

    /// Which axes an integer index has dropped.
    pub fn dropped(&self) -> &[bool] {
        &self.dropped
    }

    /// The shape; `None` for a length that is not known before labels or columns are read.
    pub fn shape(&self) -> Vec<Option<u64>> {
        let mut shape: Vec<_> =
            self.axes.iter().zip(&self.dropped).filter(|(_, d)| !**d).map(|(a, _)| a.count()).collect();
        if let Body::DataFrame(frame) = &self.element.body {
            shape.push(Some(self.columns.as_ref().map_or(frame.columns.len(), |c| c.len()) as u64));
        }
        shape
    }

    /// What an item is; `None` where there is not one type.
    pub fn dtype(&self) -> Option<DataType> {
        match &self.element.body {
            Body::Dense(a) | Body::Scalar(a) => Some(a.dtype.clone()),
            Body::Strings(_) => Some(DataType::String),
            Body::Sparse(s) => Some(s.data.dtype.clone()),
            Body::Nullable(n) => Some(n.values.dtype.clone()),
            Body::Joined(_) => match concat_of(&self.element).map(|c| &c.kind)? {
                Kind::Dense { dtype, .. } | Kind::Sparse { dtype } | Kind::Nullable { dtype, .. } => {
                    Some(dtype.clone())
                }
                Kind::Strings => Some(DataType::String),
                Kind::Categorical { .. } => None,
            },
            _ => None,
        }
    }

    /// The element's place among the visible axes.
    fn axis(&self, visible: usize) -> Result<usize> {
        let mut axes = (0..self.axes.len()).filter(|&k| !self.dropped[k]);
        axes.nth(visible).ok_or_else(|| {
            let rank = self.dropped.iter().filter(|d| !**d).count();
            Error::new(Code::IndexKind, "too many indices")
                .element(&*self.element.path)
                .expected(format!("at most {rank}"))
                .found((visible + 1).to_string())
        })
    }

    /// A view along one (visible) axis. Reads nothing.
    pub fn select(&self, axis: usize, step: Step) -> Result<Self> {
        let k = self.axis(axis)?;
        let mut out = self.clone();
        out.axes[k] = self.axes[k].then(step).map_err(|e| e.element(&*self.element.path))?;
        Ok(out)
    }

    /// A view along one (visible) axis that drops it: one position.
    pub fn at(&self, axis: usize, position: i64) -> Result<Self> {
        let k = self.axis(axis)?;
        let Some(n) = self.axes[k].count() else {
            return Err(Error::new(
                Code::IndexKind,
                "an integer cannot index an axis whose length is not known yet",
            )
            .help("Use a slice, or resolve() the selection first"));
        };
        let index = Index::ints(&[position], n).map_err(|e| e.element(&*self.element.path))?;
        let mut out = self.select(axis, Step::Index(index))?;
        out.dropped[k] = true;
        Ok(out)
    }

    /// Chosen columns of a table.
    pub fn with_columns(&self, columns: &[String]) -> Result<Self> {
        let Body::DataFrame(frame) = &self.element.body else {
            return Err(Error::new(Code::Operation, "only a table has columns").element(&*self.element.path));
        };
        for name in columns {
            if !frame.columns.iter().any(|(n, _)| n == name) {
                return self.column(name).map(|_| self.clone());
            }
        }
        Ok(Self { columns: Some(columns.into()), ..self.clone() })
    }

    /// Another element with the selection of this one: a part of it, of the same shape.
    pub(crate) fn part(&self, element: &Element) -> Self {
        Self { element: element.clone(), columns: None, ..self.clone() }
    }

    /// The names of a table's columns, in order.
    pub fn column_names(&self) -> Vec<String> {
        match (&self.columns, &self.element.body) {
            (Some(columns), _) => columns.to_vec(),
            (None, Body::DataFrame(frame)) => frame.columns.iter().map(|(n, _)| n.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// A column of a table, with the table's selection.
    pub fn column(&self, name: &str) -> Result<Self> {
        let Body::DataFrame(frame) = &self.element.body else {
            return Err(Error::new(Code::Operation, "only a table has columns").element(&*self.element.path));
        };
        if let Some((_, column)) = frame.columns.iter().find(|(n, _)| n == name) {
            return Ok(Self::with_axes(&self.session, column, &self.axes));
        }
        if name == frame.index_key && name != "_index" {
            return self.names();
        }
        let names = self.column_names();
        Err(Error::new(Code::ElementNotFound, format!("there is no column `{name}`"))
            .element(&*self.element.path)
            .expected(format!("one of {}", lazarr_plan::nearest(name, &names)))
            .found(name.to_owned()))
    }

    /// The index of a table, with the table's selection.
    pub fn names(&self) -> Result<Self> {
        match &self.element.body {
            Body::DataFrame(frame) => Ok(Self::with_axes(&self.session, &frame.index, &self.axes)),
            _ => Err(Error::new(Code::Operation, "only a table has an index").element(&*self.element.path)),
        }
    }

    /// A child of a mapping, whole.
    pub fn child(&self, name: &str) -> Result<Self> {
        let children = self.element.children();
        if let Some((_, child)) = children.iter().find(|(n, _)| n == name) {
            return Ok(Self::new(&self.session, child));
        }
        let names: Vec<String> = children.into_iter().map(|(n, _)| n).collect();
        Err(Error::new(Code::ElementNotFound, format!("there is no `{name}`"))
            .element(&*self.element.path)
            .expected(format!("one of {}", lazarr_plan::nearest(name, &names)))
            .found(name.to_owned()))
    }

    /// Whether this is the index of a table.
    fn is_names(&self) -> bool {
        let is_index =
            |table: &Element| matches!(&table.body, Body::DataFrame(f) if f.index.path == self.element.path);
        if let Some(table) = self.axes.first().and_then(|a| a.axis().frame.as_ref()) {
            return is_index(table);
        }
        // By its own path it has no table's axis, and is no less an index.
        let Some((parent, _)) = self.element.path.rsplit_once('/') else { return false };
        self.session.known(parent).is_some_and(|table| is_index(&table))
    }

    fn indices(&self, run: &Run<'_>) -> Result<Vec<Index>> {
        self.axes.iter().map(|a| a.resolve(run)).collect()
    }

    /// What reading it would cost; see [`Plan`]. With `resolve`, small reads are paid for exact numbers.
    pub fn plan(&self, call: &Call<'_>, resolve: bool) -> Result<Plan> {
        let run = Run::new(&self.session, call);
        let all = |_: &str| (0..self.axes.len()).collect();
        let mut plan = plan_of(&run, &self.axes, resolve, &all, &mut |indices| {
            let mut want = Want { names: self.is_names(), ..Want::default() };
            want.add(&self.element, indices, self.columns.as_deref())?;
            Ok(want)
        })?;
        if let Some(element) = plan.elements.last_mut() {
            element.notes.extend(crate::stream::passes(self, &run));
        }
        Ok(plan)
    }

    /// Reads it.
    pub fn collect(&self, call: &Call<'_>) -> Result<Value> {
        let run = Run::for_elements(&self.session, call, [&self.element], &self.axes);
        self.collect_in(&run)
    }

    /// Reads it, as a future; see [`Pending`].
    pub fn collect_async(&self, call: Call<'static>) -> Pending<Value> {
        let this = self.clone();
        Pending::call(call, move |call| this.collect(call))
    }

    /// What reading it would cost, as a future: with `resolve` small reads are made.
    pub fn plan_async(&self, call: Call<'static>, resolve: bool) -> Pending<Plan> {
        let this = self.clone();
        Pending::call(call, move |call| this.plan(call, resolve))
    }

    pub(crate) fn collect_in(&self, run: &Run<'_>) -> Result<Value> {
        let indices = self.indices(run)?;
        let value = run.read(&|| {
            let mut want = Want { names: self.is_names(), ..Want::default() };
            let recipe = want.add(&self.element, &indices, self.columns.as_deref())?;
            Ok((want, recipe))
        })?;
        Ok(self.drop_axes(value))
    }

    /// Reads what its selection needs (names, columns of predicates), so that its shape is known.
    pub fn resolve(&self, call: &Call<'_>) -> Result<()> {
        self.indices(&Run::new(&self.session, call)).map(|_| ())
    }

    fn drop_axes(&self, value: Value) -> Value {
        let keep = |shape: Vec<u64>| {
            let kept = shape
                .into_iter()
                .enumerate()
                .filter(|(k, _)| !self.dropped.get(*k).copied().unwrap_or(false));
            kept.map(|(_, n)| n).collect()
        };
        match value {
            Value::Dense(mut d) => {
                d.shape = keep(d.shape);
                Value::Dense(d)
            }
            Value::Strings(mut s) => {
                s.shape = keep(s.shape);
                Value::Strings(s)
            }
            other => other,
        }
    }
}

/// Plans what `make` wants. Where the selection is not known, the plan shows what must be read for it, and the elements
/// as if everything were selected: upper bounds. `of` says which of the axes an element has.
pub(crate) fn plan_of(
    run: &Run<'_>,
    axes: &[Arc<AxisView>],
    resolve: bool,
    of: &dyn Fn(&str) -> Vec<usize>,
    make: &mut dyn FnMut(&[Index]) -> Result<Want>,
) -> Result<Plan> {
    let mut selection: Vec<StagePlan> = Vec::new();
    let mut select_peak = Amount::default();
    if resolve {
        for axis in axes {
            axis.resolve(run)?;
        }
    } else {
        for (k, axis) in axes.iter().enumerate() {
            // Both axes of a square matrix may be one selection, which is made once.
            if axis.index().is_some() || axes[..k].iter().any(|a| Arc::ptr_eq(a, axis)) {
                continue;
            }
            for (columns, rows, certain) in axis.needs() {
                let (stage, peak) = selection_stage(run, axis, &columns, &rows, certain)?;
                selection.push(stage);
                select_peak = peak.max(select_peak).at_best(peak.mark.max(select_peak.mark));
            }
        }
    }
    let stand_ins: Vec<_> = axes.iter().map(|a| a.stand_in()).collect();
    let indices: Vec<Index> = stand_ins.iter().map(|s| s.0.clone()).collect();
    let mut plan = run.plan(make(&indices)?, resolve)?;
    plan.selection = selection;
    // The selection is made first, and what that takes is given back.
    if select_peak.value > plan.peak_bytes.value {
        plan.peak_bytes = select_peak.at_best(plan.peak_bytes.mark);
    }
    let pending: Vec<bool> = axes.iter().map(|a| a.index().is_none()).collect();
    for element in &mut plan.elements {
        let own = of(&element.path);
        if !own.iter().any(|&k| pending[k]) {
            continue;
        }
        let text: Vec<String> = own.iter().map(|&k| axes[k].describe()).collect();
        element.selection = text.join(", ");
        element.resolve = Some("reads the columns or names that the selection needs".into());
        let worst = |f: fn(&(Index, Mark, Mark)) -> Mark| {
            own.iter().map(|&k| f(&stand_ins[k])).max().unwrap_or_default()
        };
        element.bound(worst(|s| s.1), worst(|s| s.2));
    }
    plan.total_peak();
    Ok(plan)
}

/// The columns that one step of a selection reads, and the most memory that takes.
fn selection_stage(
    run: &Run<'_>,
    axis: &AxisView,
    columns: &[Option<String>],
    rows: &Index,
    certain: bool,
) -> Result<(StagePlan, Amount)> {
    let mut want = Want::default();
    let mut joined = false;
    for name in columns {
        let column = axis.axis().column(name.as_deref())?;
        joined |= concat_of(&column).is_some();
        want.add(&column, std::slice::from_ref(rows), None)?;
    }
    let mut plan = run.plan(want, false)?;
    // Beside the columns there are the masks of the rows that were found.
    let masks = Amount::upper(rows.len() / 2 + 256);
    let peak = plan.peak_bytes + masks;
    // They are read in blocks, and requests do not merge across these; of a concatenation each has the categories, and is not
    // cut where its chunks are.
    let certain = certain && !joined;
    let mark = if joined { Mark::Estimate } else { Mark::Upper };
    for element in &mut plan.elements {
        element.bound(mark, mark);
    }
    let mut stage = StagePlan { name: "select".into(), ..StagePlan::default() };
    for s in plan.elements.into_iter().flat_map(|e| e.stages) {
        stage.round_trips = stage.round_trips.max(s.round_trips);
        stage.arrays.extend(s.arrays);
    }
    if certain {
        for array in &mut stage.arrays {
            array.chunks.mark = Mark::Exact;
            array.shards.mark = Mark::Exact;
        }
    }
    Ok((stage, peak))
}
