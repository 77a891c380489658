//! Elements and whole objects that are not read yet.

use std::sync::Arc;

use lazarr_format::anndata::{self, Body, Element};
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::{Index, Mark, Plan, StagePlan};
use smallvec::SmallVec;

use crate::axis::{Axis, AxisView, Step};
use crate::call::{Call, Run};
use crate::program::{Recipe, Want};
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
        let run = Run::new(&self.session, call);
        self.collect_in(&run)
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
fn plan_of(
    run: &Run<'_>,
    axes: &[Arc<AxisView>],
    resolve: bool,
    of: &dyn Fn(&str) -> Vec<usize>,
    make: &mut dyn FnMut(&[Index]) -> Result<Want>,
) -> Result<Plan> {
    let mut selection: Vec<StagePlan> = Vec::new();
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
                selection.push(selection_stage(run, axis, &columns, &rows, certain)?);
            }
        }
    }
    let stand_ins: Vec<_> = axes.iter().map(|a| a.stand_in()).collect();
    let indices: Vec<Index> = stand_ins.iter().map(|s| s.0.clone()).collect();
    let mut plan = run.plan(make(&indices)?, resolve)?;
    plan.selection = selection;
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

/// The columns that one step of a selection reads.
fn selection_stage(
    run: &Run<'_>,
    axis: &AxisView,
    columns: &[Option<String>],
    rows: &Index,
    certain: bool,
) -> Result<StagePlan> {
    let mut want = Want::default();
    for name in columns {
        let column = axis.axis().column(name.as_deref())?;
        want.add(&column, std::slice::from_ref(rows), None)?;
    }
    let mut plan = run.plan(want, false)?;
    // They are read in blocks, and requests do not merge across these.
    for element in &mut plan.elements {
        element.bound(Mark::Upper, Mark::Upper);
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
    Ok(stage)
}

/// A whole AnnData and what is selected of it. Cheap to clone; indexing makes a new one and reads nothing.
#[derive(Debug, Clone)]
pub struct LazyAnnData {
    session: Arc<Session>,
    element: Element,
    object: Arc<anndata::AnnData>,
    obs: Arc<AxisView>,
    var: Arc<AxisView>,
}

/// The places of an AnnData that hold elements by name.
pub const MAPPINGS: [&str; 6] = ["layers", "obsm", "varm", "obsp", "varp", "uns"];

impl LazyAnnData {
    /// A whole AnnData.
    pub fn new(session: &Arc<Session>, element: &Element) -> Result<Self> {
        let Body::AnnData(object) = &element.body else {
            return Err(Error::new(Code::Operation, "this is not a whole AnnData")
                .element(&*element.path)
                .expected("encoding-type anndata")
                .found(element.encoding_type.clone()));
        };
        let obs = Axis::new(&object.obs.path, object.n_obs, Some(object.obs.clone()), session.identity);
        let var = Axis::new(&object.var.path, object.n_vars, Some(object.var.clone()), session.identity);
        Ok(Self {
            session: session.clone(),
            element: element.clone(),
            object: object.clone(),
            obs: AxisView::all(&obs),
            var: AxisView::all(&var),
        })
    }

    /// The store.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// What is stored.
    pub fn element(&self) -> &Element {
        &self.element
    }

    /// The selected cells.
    pub fn obs_axis(&self) -> &Arc<AxisView> {
        &self.obs
    }

    /// The selected genes.
    pub fn var_axis(&self) -> &Arc<AxisView> {
        &self.var
    }

    pub(crate) fn with_axes(self, obs: Arc<AxisView>, var: Arc<AxisView>) -> Self {
        Self { obs, var, ..self }
    }

    /// Cells and genes; `None` where labels or columns must be read to know.
    pub fn shape(&self) -> [Option<u64>; 2] {
        [self.obs.count(), self.var.count()]
    }

    /// Whether anything has been selected.
    pub fn is_view(&self) -> bool {
        !(self.obs.is_all() && self.var.is_all())
    }

    /// A view. Reads nothing.
    pub fn select(&self, obs: Option<Step>, var: Option<Step>) -> Result<Self> {
        let mut out = self.clone();
        if let Some(step) = obs {
            out.obs = self.obs.then(step).map_err(|e| e.element("obs"))?;
        }
        if let Some(step) = var {
            out.var = self.var.then(step).map_err(|e| e.element("var"))?;
        }
        Ok(out)
    }

    /// The axes of the elements at a place: `X`, `layers`, `obsm`, `raw/X`, …
    fn axes_of(&self, place: &str) -> Vec<Arc<AxisView>> {
        let (obs, var) = (self.obs.clone(), self.var.clone());
        match place {
            "X" | "layers" => vec![obs, var],
            "obs" | "obsm" => vec![obs],
            "var" | "varm" => vec![var],
            "obsp" => vec![obs.clone(), obs],
            "varp" => vec![var.clone(), var],
            _ => Vec::new(),
        }
    }

    /// The element at a path in the object: `X`, `obs`, `obsm/X_pca`, `raw/X`, `uns/neighbors/params`.
    pub fn get(&self, path: &str) -> Result<Lazy> {
        let (place, rest) = path.split_once('/').unwrap_or((path, ""));
        let element = match self.find(place, rest, path) {
            // The names of a store that cannot be listed are not all known.
            Err(_) if !self.session.unlisted().is_empty() => {
                let own = &self.element.path;
                self.session.element(&if own.is_empty() {
                    path.to_owned()
                } else {
                    format!("{own}/{path}")
                })?
            }
            found => found?,
        };
        if place == "raw" {
            return Ok(self.raw(rest, &element));
        }
        let axes = self.axes_of(place);
        Ok(Lazy::with_axes(&self.session, &element, &axes))
    }

    fn find(&self, place: &str, rest: &str, path: &str) -> Result<Element> {
        let unknown = |names: Vec<String>, name: &str| {
            Error::new(Code::ElementNotFound, format!("there is no element `{path}`"))
                .expected(format!("one of {}", lazarr_plan::nearest(name, &names)))
                .found(name.to_owned())
        };
        let mut at = self.element.clone();
        let mut parts = std::iter::once(place).chain(rest.split('/').filter(|p| !p.is_empty())).peekable();
        let mut name = String::new();
        while let Some(part) = parts.next() {
            // Names may hold slashes: join parts until a child fits.
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(part);
            let children = at.children();
            match children.iter().find(|(n, _)| *n == name) {
                Some((_, child)) => {
                    at = child.clone();
                    name.clear();
                }
                None if parts.peek().is_none() => {
                    return Err(unknown(children.into_iter().map(|(n, _)| n).collect(), &name));
                }
                None => {}
            }
        }
        Ok(at)
    }

    /// `raw` follows the cells, never the genes: its columns are its own.
    fn raw(&self, rest: &str, element: &Element) -> Lazy {
        let var = self.object.raw.as_ref().map(|raw| {
            let n = raw.var.shape().and_then(|s| s.first().copied()).unwrap_or(0);
            AxisView::all(&Axis::new(&raw.var.path, n, Some(raw.var.clone()), self.session.identity))
        });
        let axes: Vec<_> = match rest.split('/').next() {
            Some("X") => std::iter::once(self.obs.clone()).chain(var).collect(),
            Some("var" | "varm") => var.into_iter().collect(),
            _ => Vec::new(),
        };
        Lazy::with_axes(&self.session, element, &axes)
    }

    /// The names in a mapping (`layers`, `obsm`, …), in the order of the store.
    pub fn keys(&self, place: &str) -> Result<Vec<String>> {
        let element = self.find(place, "", place)?;
        Ok(element.children().into_iter().map(|(n, _)| n).collect())
    }

    /// Whether this element is among the chosen: `None` chooses all; a name chooses itself and what is below it.
    fn chosen(path: &str, elements: Option<&[String]>) -> bool {
        elements.is_none_or(|all| {
            all.iter().any(|e| {
                path == e || path.starts_with(&format!("{e}/")) || e.starts_with(&format!("{path}/"))
            })
        })
    }

    fn want(&self, obs: &Index, var: &Index, elements: Option<&[String]>, want: &mut Want) -> Result<Recipe> {
        let mut parts = Vec::new();
        for (place, child) in self.element.children() {
            if !Self::chosen(&place, elements) && !matches!(&*place, "obs" | "var") {
                continue;
            }
            let axes: Vec<Index> = match &*place {
                "X" | "layers" => vec![obs.clone(), var.clone()],
                "obs" | "obsm" => vec![obs.clone()],
                "var" | "varm" => vec![var.clone()],
                "obsp" => vec![obs.clone(), obs.clone()],
                "varp" => vec![var.clone(), var.clone()],
                _ => Vec::new(),
            };
            let recipe = match (&child.body, &*place) {
                (Body::Raw(raw), _) => {
                    let mut inner = Vec::new();
                    if let Some(x) = &raw.x {
                        inner.push(("X".to_owned(), want.add(x, std::slice::from_ref(obs), None)?));
                    }
                    inner.push(("var".to_owned(), want.add(&raw.var, &[], None)?));
                    inner.push(("varm".to_owned(), want.add(&raw.varm, &[], None)?));
                    Recipe::Map(inner)
                }
                (Body::Dict(children), _) => {
                    let mut inner = Vec::new();
                    for (name, element) in children.iter() {
                        if Self::chosen(&format!("{place}/{name}"), elements) {
                            inner.push((name.clone(), want.add(element, &axes, None)?));
                        }
                    }
                    Recipe::Map(inner)
                }
                (Body::DataFrame(frame), "obs" | "var") if elements.is_some() => {
                    // The names are always read; columns as they are chosen.
                    let columns: Vec<String> = frame
                        .columns
                        .iter()
                        .map(|(n, _)| n.clone())
                        .filter(|n| Self::chosen(&format!("{place}/{n}"), elements))
                        .collect();
                    want.add(&child, &axes, Some(&columns))?
                }
                _ => want.add(&child, &axes, None)?,
            };
            parts.push((place, recipe));
        }
        Ok(Recipe::Map(parts))
    }

    /// What reading it would cost. `elements` chooses elements by path (`X`, `obs/batch`, `obsm`); names of cells and
    /// genes are always read.
    pub fn plan(&self, call: &Call<'_>, elements: Option<&[String]>, resolve: bool) -> Result<Plan> {
        self.check_chosen(elements)?;
        let run = Run::new(&self.session, call);
        let of = |path: &str| {
            let inside = path.strip_prefix(&*self.element.path).unwrap_or(path).trim_start_matches('/');
            match inside.split('/').next().unwrap_or_default() {
                "X" | "layers" => vec![0, 1],
                "obs" | "obsm" => vec![0],
                "var" | "varm" => vec![1],
                "obsp" => vec![0, 0],
                "varp" => vec![1, 1],
                "raw" if inside == "raw/X" => vec![0],
                _ => Vec::new(),
            }
        };
        plan_of(&run, &[self.obs.clone(), self.var.clone()], resolve, &of, &mut |indices| {
            let mut want = Want { skip_broken: true, ..Want::default() };
            self.want(&indices[0], &indices[1], elements, &mut want)?;
            Ok(want)
        })
    }

    /// Reads it: a [`Value::Map`] of the places.
    pub fn collect(&self, call: &Call<'_>, elements: Option<&[String]>) -> Result<Value> {
        self.check_chosen(elements)?;
        let run = Run::new(&self.session, call);
        let (obs, var) = (self.obs.resolve(&run)?, self.var.resolve(&run)?);
        run.read(&|| {
            let mut want = Want { skip_broken: call.skip_broken, ..Want::default() };
            let recipe = self.want(&obs, &var, elements, &mut want)?;
            Ok((want, recipe))
        })
    }

    fn check_chosen(&self, elements: Option<&[String]>) -> Result<()> {
        for path in elements.unwrap_or_default() {
            let (place, rest) = path.split_once('/').unwrap_or((path, ""));
            // An AnnData has every place, written or not.
            if rest.is_empty() && (MAPPINGS.contains(&place) || matches!(place, "X" | "raw" | "obs" | "var"))
            {
                continue;
            }
            self.find(place, rest, path)?;
        }
        Ok(())
    }

    /// Reads what its selection needs (names, columns of predicates), so that its shape is known.
    pub fn resolve(&self, call: &Call<'_>) -> Result<()> {
        let run = Run::new(&self.session, call);
        self.obs.resolve(&run)?;
        self.var.resolve(&run).map(|_| ())
    }
}
