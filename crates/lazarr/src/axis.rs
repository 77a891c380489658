//! One axis of an object and what is selected of it.
//!
//! A view is a chain of steps. Steps that are known without reading are composed at once; labels and predicates wait
//! until something is collected, are resolved once, and are remembered by everything that shares the view.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use lazarr_format::anndata::{Body, Element};
use lazarr_format::{Code, Error, Result};
use lazarr_plan::expr::{AxisId, ColumnRef, Expr};
use lazarr_plan::{Index, Mark};

use crate::call::Run;

/// An axis of a stored object.
#[derive(Debug)]
pub struct Axis {
    /// Where its annotations are: `obs`, `var`, `raw/var`; empty for an axis without any.
    pub path: String,
    /// Its length.
    pub len: u64,
    /// The table of its annotations.
    pub frame: Option<Element>,
    /// Tells axes of different stores apart.
    pub(crate) key: u64,
}

impl Axis {
    pub(crate) fn new(path: &str, len: u64, frame: Option<Element>, session: u64) -> Arc<Self> {
        let mut hash = DefaultHasher::new();
        (session, path, len).hash(&mut hash);
        Arc::new(Self { path: path.to_owned(), len, frame, key: hash.finish() })
    }

    /// The element of a column; `None` is the names.
    pub(crate) fn column(&self, name: Option<&str>) -> Result<Element> {
        let frame = self.frame.as_ref().ok_or_else(|| {
            Error::new(Code::Operation, "this axis has no names and no columns").help("Index it by position")
        })?;
        let Body::DataFrame(table) = &frame.body else {
            if let Body::Broken(e) = &frame.body {
                return Err(e.again().element(&*frame.path));
            }
            return Err(
                Error::new(Code::Operation, "this axis is not annotated by a table").element(&*frame.path)
            );
        };
        let Some(name) = name else { return Ok(table.index.clone()) };
        if let Some((_, column)) = table.columns.iter().find(|(n, _)| n == name) {
            return Ok(column.clone());
        }
        let names: Vec<String> = table.columns.iter().map(|(n, _)| n.clone()).collect();
        Err(Error::new(Code::ElementNotFound, format!("there is no column `{name}`"))
            .element(&*frame.path)
            .expected(format!("one of {}", lazarr_plan::nearest(name, &names)))
            .found(name.to_owned()))
    }
}

/// One step of a selection.
#[derive(Debug, Clone)]
pub enum Step {
    /// Positions of the view before.
    Index(Index),
    /// A slice with Python's meaning, where the length is not known yet.
    Slice(Option<i64>, Option<i64>, Option<i64>),
    /// Positions, negative ones from the end, where the length is not known yet.
    Ints(Arc<[i64]>),
    /// A mask, where the length is not known yet.
    Mask(Arc<[bool]>),
    /// Names, in this order; a name that stands several times brings all its rows.
    Labels(Arc<[String]>),
    /// From one name to another, both included; `None` is the start or the end.
    LabelSlice(Option<String>, Option<String>),
    /// A mask with a label for each item: aligned by label.
    LabelledMask(Arc<[String]>, Arc<[bool]>),
    /// Where a predicate on the columns of this very view is true.
    Predicate(Arc<Expr>),
}

impl Step {
    /// The step as an index, where it needs nothing but the length of the view before.
    pub(crate) fn fixed(self, n: u64) -> Result<Self> {
        Ok(match self {
            Self::Slice(start, stop, step) => Self::Index(Index::slice(start, stop, step, n)?),
            Self::Ints(items) => Self::Index(Index::ints(&items, n)?),
            Self::Mask(items) => Self::Index(Index::mask(&items, n)?),
            other => other,
        })
    }
}

/// An axis and what is selected of it. Immutable; shared by all elements of a view.
#[derive(Debug)]
pub struct AxisView {
    axis: Arc<Axis>,
    state: State,
    id: OnceLock<AxisId>,
}

#[derive(Debug)]
enum State {
    Known(Index),
    Pending { parent: Arc<AxisView>, step: Step, memo: OnceLock<Index> },
}

impl AxisView {
    /// The whole axis.
    pub fn all(axis: &Arc<Axis>) -> Arc<Self> {
        Self::known(axis, Index::all(axis.len))
    }

    fn known(axis: &Arc<Axis>, index: Index) -> Arc<Self> {
        Arc::new(Self { axis: axis.clone(), state: State::Known(index), id: OnceLock::new() })
    }

    /// The axis below.
    pub fn axis(&self) -> &Arc<Axis> {
        &self.axis
    }

    /// What is selected, where that is known without reading (or was read already).
    pub fn index(&self) -> Option<&Index> {
        match &self.state {
            State::Known(index) => Some(index),
            State::Pending { memo, .. } => memo.get(),
        }
    }

    /// How many items are selected, where that is known without reading.
    pub fn count(&self) -> Option<u64> {
        self.index().map(Index::len)
    }

    /// Whether the whole axis is selected, in order.
    pub fn is_all(&self) -> bool {
        self.index().is_some_and(Index::is_all)
    }

    /// What tells this view from every other: equal selections of one axis have equal identities.
    pub fn id(&self) -> AxisId {
        *self.id.get_or_init(|| {
            let mut hash = DefaultHasher::new();
            match &self.state {
                State::Known(index) => {
                    (self.axis.key, 0u8).hash(&mut hash);
                    if index.is_all() { 0u8.hash(&mut hash) } else { index.to_bytes().hash(&mut hash) }
                }
                State::Pending { parent, step, .. } => {
                    (parent.id(), 1u8).hash(&mut hash);
                    match step {
                        Step::Index(i) => i.to_bytes().hash(&mut hash),
                        Step::Slice(a, b, c) => (5u8, a, b, c).hash(&mut hash),
                        Step::Ints(i) => (6u8, i).hash(&mut hash),
                        Step::Mask(m) => (7u8, m).hash(&mut hash),
                        Step::Labels(l) => (1u8, l).hash(&mut hash),
                        Step::LabelSlice(a, b) => (2u8, a, b).hash(&mut hash),
                        Step::LabelledMask(l, m) => (3u8, l, m).hash(&mut hash),
                        Step::Predicate(e) => (4u8, e.to_json().unwrap_or_default()).hash(&mut hash),
                    }
                }
            }
            AxisId(hash.finish())
        })
    }

    /// The steps from the whole axis to this view.
    pub fn steps(&self) -> Vec<Step> {
        match &self.state {
            State::Known(index) if index.is_all() => Vec::new(),
            State::Known(index) => vec![Step::Index(index.clone())],
            State::Pending { parent, step, .. } => {
                let mut steps = parent.steps();
                steps.push(step.clone());
                steps
            }
        }
    }

    /// A view of this view. Reads nothing.
    pub fn then(self: &Arc<Self>, step: Step) -> Result<Arc<Self>> {
        let step = match self.count() {
            Some(n) => step.fixed(n)?,
            None => step,
        };
        match (&self.state, &step) {
            (_, Step::Index(inner)) if inner.is_all() && self.count() == Some(inner.len()) => {
                return Ok(self.clone());
            }
            (State::Known(index), Step::Index(inner)) => {
                return Ok(Self::known(&self.axis, index.compose(inner)?));
            }
            (_, Step::Predicate(expr)) => {
                let axis = expr.axis()?;
                if axis != self.id() {
                    return Err(Error::new(
                        Code::ForeignPredicate,
                        "the predicate was made on another object than it is used on",
                    )
                    .found(expr.to_string())
                    .help(
                        "Make it on the very object that you index: v = adata[:100]; v[v.obs[...] == ...]",
                    ));
                }
            }
            _ => {}
        }
        let state = State::Pending { parent: self.clone(), step, memo: OnceLock::new() };
        Ok(Arc::new(Self { axis: self.axis.clone(), state, id: OnceLock::new() }))
    }

    /// The rows of this view where the text of a query is true, as a step on this very view; see
    /// [`Expr::parse`](lazarr_plan::expr::Expr::parse) for the language. `index` is the names, where no column is called
    /// so. Reads nothing. Errors with `Expression` where the text is not understood, with `ElementNotFound` where a column
    /// is not there.
    pub fn query(&self, text: &str) -> Result<Step> {
        let table = &self.axis.path;
        let column = |name: &str| match self.axis.column(Some(name)) {
            Ok(column) => Ok(ColumnRef::new(self.id(), column.path, Some(name))),
            Err(e) if name == "index" => match self.axis.column(None) {
                Ok(names) => Ok(ColumnRef::new(self.id(), names.path, None)),
                Err(_) => Err(e),
            },
            Err(e) => Err(e),
        };
        let expr = Expr::parse(text, &column).map_err(|e| e.element(table.clone()))?;
        Ok(Step::Predicate(Arc::new(expr)))
    }

    /// What is selected; reads names or columns where a step needs them, once.
    pub(crate) fn resolve(&self, run: &Run<'_>) -> Result<Index> {
        match &self.state {
            State::Known(index) => Ok(index.clone()),
            State::Pending { parent, step, memo } => {
                if let Some(index) = memo.get() {
                    return Ok(index.clone());
                }
                let base = parent.resolve(run)?;
                let index = crate::resolve::apply(&self.axis, &base, step, run)?;
                Ok(memo.get_or_init(|| index).clone())
            }
        }
    }

    /// What must be read before the selection is known, step by step: the columns (`None`: the names), the positions at
    /// which they are read, and whether it is these positions or at most these.
    pub(crate) fn needs(&self) -> Vec<(Vec<Option<String>>, Index, bool)> {
        let State::Pending { parent, step, memo } = &self.state else { return Vec::new() };
        if memo.get().is_some() {
            return Vec::new();
        }
        let mut needs = parent.needs();
        let columns: Vec<_> = match step {
            Step::Index(_) | Step::Slice(..) | Step::Ints(_) | Step::Mask(_) => return needs,
            Step::Labels(_) | Step::LabelSlice(..) | Step::LabelledMask(..) => vec![None],
            Step::Predicate(expr) => expr.columns().into_iter().map(|c| c.column).collect(),
        };
        let (base, _) = parent.bound();
        needs.push((columns, base, parent.index().is_some()));
        needs
    }

    /// What a plan assumes is selected before that is known, how far its chunks can be trusted, and how far the size of
    /// the result: as many positions as there are labels, spread evenly (an estimate, names may repeat); else all that
    /// may be selected.
    pub(crate) fn stand_in(&self) -> (Index, Mark, Mark) {
        if let Some(index) = self.index() {
            return (index.clone(), Mark::Exact, Mark::Exact);
        }
        let n = self.axis.len;
        if let State::Pending { step: Step::Labels(labels), .. } = &self.state
            && (labels.len() as u64) < n
        {
            let k = labels.len() as u64;
            let at = (0..k).map(|i| ((i as f64 + 0.5) / k as f64 * n as f64) as u64).collect();
            return (Index::positions(at), Mark::Estimate, Mark::Estimate);
        }
        let (index, sure) = self.bound();
        (index, Mark::Upper, if sure { Mark::Upper } else { Mark::Estimate })
    }

    /// Positions among which all are that may be selected, and whether at most so many are: a step that may repeat
    /// positions can select more.
    pub(crate) fn bound(&self) -> (Index, bool) {
        if let Some(index) = self.index() {
            return (index.clone(), true);
        }
        let State::Pending { parent, step, .. } = &self.state else {
            return (Index::all(self.axis.len), true);
        };
        let (index, sure) = parent.bound();
        let once = match step {
            Step::Slice(..)
            | Step::Mask(_)
            | Step::LabelSlice(..)
            | Step::LabelledMask(..)
            | Step::Predicate(_) => true,
            Step::Index(inner) => inner.is_monotone(),
            Step::Ints(_) => false,
            Step::Labels(labels) => {
                labels.len() == labels.iter().collect::<std::collections::HashSet<_>>().len()
            }
        };
        (index, sure && once)
    }

    /// The selection as a person would read it.
    pub fn describe(&self) -> String {
        match (&self.state, self.index()) {
            (_, Some(index)) if index.is_all() => ":".into(),
            (_, Some(index)) => index.to_string(),
            (State::Pending { parent, step, .. }, None) => {
                let own = match step {
                    Step::Index(i) => i.to_string(),
                    Step::Slice(a, b, c) => {
                        let side = |s: &Option<i64>| s.map_or(String::new(), |s| s.to_string());
                        format!("{}:{}:{}", side(a), side(b), side(c))
                    }
                    Step::Ints(i) => format!("{} positions", i.len()),
                    Step::Mask(m) => format!("mask of {}", m.len()),
                    Step::Labels(l) => match &**l {
                        [a] => format!("{a:?}"),
                        [a, b] => format!("[{a:?}, {b:?}]"),
                        [a, b, ..] => format!("[{a:?}, {b:?}, …] ({} names)", l.len()),
                        [] => "[]".into(),
                    },
                    Step::LabelSlice(a, b) => {
                        let side =
                            |s: &Option<String>| s.as_ref().map_or(String::new(), |s| format!("{s:?}"));
                        format!("{}:{}", side(a), side(b))
                    }
                    Step::LabelledMask(l, _) => format!("mask of {} labels", l.len()),
                    Step::Predicate(e) => e.to_string(),
                };
                let before = parent.describe();
                if before == ":" { own } else { format!("{before} → {own}") }
            }
            (State::Known(_), None) => ":".into(),
        }
    }
}
