//! Parts of several stores: each is read by the programs of its own element, and what comes is put together.

use std::sync::Arc;

use lazarr_format::anndata::{Body, Element, SparseFormat};
use lazarr_format::{Code, Error, Result};
use lazarr_plan::{Amount, Index, Mark, StagePlan};

use super::room::Room;
use super::{Cx, Leaf, Program, Recipe, Stage, Want};
use crate::concat::{Came, Concat, Kind, Piece, Source, concat_of, given, join, unite};
use crate::exec::lanes::Lanes;
use crate::exec::sink::Sink;
use crate::rearrange::gather;
use crate::value::Value;

/// How the parts of a concatenation become one value.
pub(crate) struct Gather {
    kind: Kind,
    parts: Vec<PartRecipe>,
    /// The categories of each part that has some, but for those that come with its rows.
    categories: Vec<Option<Recipe>>,
    /// The order of the rows, where they do not come in it.
    order: Option<Vec<u64>>,
    shape: Vec<u64>,
}

struct PartRecipe {
    source: Found,
    part: usize,
    len: u64,
    to: Option<Vec<u64>>,
    suffix: Option<Arc<str>>,
}

impl PartRecipe {
    fn as_it_is(&self, c: &Concat) -> bool {
        let Some(Source::Element(element)) = c.parts.get(self.part).map(|p| &p.source) else { return false };
        let same = match (&c.kind, &element.body) {
            (Kind::Dense { dtype, .. }, Body::Dense(a)) => a.dtype == *dtype,
            (Kind::Sparse { dtype }, Body::Sparse(s)) => {
                s.data.dtype == *dtype && s.format == SparseFormat::Csr
            }
            (Kind::Strings, Body::Strings(_)) => self.suffix.is_none(),
            _ => false,
        };
        same && self.to.is_none()
    }
}

enum Found {
    Recipe(Recipe),
    Missing,
    Code(u64),
}

impl Want {
    /// Adds a concatenation.
    pub(super) fn concat(&mut self, c: &Concat, axes: &[Index], label: usize) -> Result<Recipe> {
        let first = self.leaves.len();
        let rows = axes.first().cloned().unwrap_or_else(|| Index::all(c.len()));
        rows.check_axis(c.len())?;
        let mut shape = c.shape.clone();
        for (n, index) in shape.iter_mut().zip(axes) {
            *n = index.len();
        }
        let columns = match (c.shape.get(1), axes.get(1)) {
            (Some(_), Some(index)) => Some(index.clone()),
            (Some(&n), None) => Some(Index::all(n)),
            (None, _) => None,
        };
        let (of_part, order) = c.split(&rows)?;
        let mut parts = Vec::new();
        for (k, (part, mine)) in c.parts.iter().zip(&of_part).enumerate() {
            if mine.is_empty() {
                continue;
            }
            let mut to = None;
            let source = match &part.source {
                Source::Missing => Found::Missing,
                Source::Code(code) => Found::Code(*code),
                Source::Element(element) => {
                    let stored = part.source.stored();
                    let mut own = vec![match &part.rows {
                        Some(rows) => rows.compose(mine)?,
                        None => mine.clone(),
                    }];
                    if let Some(columns) = &columns {
                        let (index, target) =
                            part.pick(columns, stored.get(1).copied().unwrap_or_default())?;
                        own.push(index);
                        to = target;
                    }
                    own.extend(axes.iter().skip(2).cloned());
                    Found::Recipe(self.part(&c.kind, element, &own, label)?)
                }
            };
            parts.push(PartRecipe { source, part: k, len: mine.len(), to, suffix: part.suffix.clone() });
        }
        let wanted = |k: usize| of_part.get(k).is_some_and(|mine| !mine.is_empty());
        let categories = self.categories_of(c, label, &wanted)?;
        // One part that comes as it is wanted is the result itself.
        let through = order.is_none() && matches!(parts.as_slice(), [one] if one.as_it_is(c));
        if !through {
            self.settle(first, &c.kind, &shape, label);
        }
        Ok(Recipe::Gather(Box::new(Gather { kind: c.kind.clone(), parts, categories, order, shape })))
    }

    fn part(&mut self, kind: &Kind, element: &Element, axes: &[Index], label: usize) -> Result<Recipe> {
        match (&element.body, kind) {
            (Body::Categorical(c), Kind::Categorical { .. }) => {
                let n = c.categories.shape().and_then(|s| s.first().copied()).unwrap_or(0);
                let [rows, ..] = axes else {
                    return Err(Error::new(Code::Internal, "a column has no rows"));
                };
                rows.check_axis(c.codes.shape[0])?;
                Ok(Recipe::Codes(self.codes(&c.codes, &axes[..1], n, label)?))
            }
            (Body::Joined(_), _) => match concat_of(element) {
                Some(c) => self.concat(c, axes, label),
                None => Err(Error::new(Code::Internal, "something unknown was joined")),
            },
            _ => self.leaf(element, axes, label),
        }
    }

    /// The categories of every part of a categorical, those of no rows included. A part that is a concatenation brings its own
    /// with its rows, where some are `wanted`.
    fn categories_of(
        &mut self,
        c: &Concat,
        label: usize,
        wanted: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<Option<Recipe>>> {
        let Kind::Categorical { given: None, .. } = &c.kind else { return Ok(Vec::new()) };
        let mut out = Vec::with_capacity(c.parts.len());
        for (k, part) in c.parts.iter().enumerate() {
            out.push(match &part.source {
                Source::Element(element) if matches!(element.body, Body::Joined(_)) && wanted(k) => None,
                Source::Element(element) => Some(self.some_categories(element, label)?),
                _ => None,
            });
        }
        Ok(out)
    }

    fn some_categories(&mut self, element: &Element, label: usize) -> Result<Recipe> {
        match (&element.body, concat_of(element)) {
            (Body::Categorical(c), _) => self.naming(|want| want.leaf(&c.categories, &[], label)),
            (_, Some(c)) => self.all_categories(c, label),
            _ => Err(Error::new(Code::Internal, "what is no categorical has no categories")),
        }
    }

    /// The categories of a concatenation, as one list.
    fn all_categories(&mut self, c: &Concat, label: usize) -> Result<Recipe> {
        let Kind::Categorical { ordered, given } = &c.kind else {
            return Err(Error::new(Code::Internal, "what is no categorical has no categories"));
        };
        let lists = self.categories_of(c, label, &|_| false)?;
        Ok(Recipe::Categories { lists, ordered: *ordered, given: given.clone() })
    }

    /// The categories of an element that is a concatenation, or one of its parts.
    pub(crate) fn add_categories(&mut self, element: &Element) -> Result<Recipe> {
        let label = self.label(element, &[]);
        self.some_categories(element, label)
    }

    /// What the parts bring is beside the result, which is made of them.
    fn settle(&mut self, first: usize, kind: &Kind, shape: &[u64], label: usize) {
        let mut sum = Amount::default();
        for (_, program) in self.leaves.iter_mut().skip(first) {
            sum += program.output();
            let inner = std::mem::replace(program, Box::new(Room(Amount::default())));
            *program = Box::new(Beside(inner));
        }
        let size = match kind {
            Kind::Dense { dtype, .. } => {
                let item = dtype.item_size().unwrap_or(1) as u64;
                Amount::exact(shape.iter().fold(item, |n, &k| n.saturating_mul(k)))
            }
            _ => Amount { value: sum.value, mark: Mark::Estimate },
        };
        self.push(label, Room(size));
    }
}

impl Gather {
    pub(super) fn make(self, leaves: &mut [Option<Leaf>], cx: &Cx) -> Result<Value> {
        let mut categories = match &self.kind {
            Kind::Categorical { given: None, .. } => lists(self.categories, leaves, cx)?,
            _ => Vec::new(),
        };
        let mut pieces = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            let came = match part.source {
                Found::Missing => Came::Missing,
                Found::Code(code) => Came::Code(code),
                Found::Recipe(recipe) => Came::Value(recipe.make(leaves, cx)?),
            };
            let PartRecipe { part, len, to, suffix, .. } = part;
            let came = match (came, categories.get_mut(part)) {
                (Came::Value(Value::Categorical { codes, categories: own, ordered }), Some(list)) => {
                    if !matches!(*own, Value::Null) {
                        *list = *own;
                    }
                    Came::Value(Value::Categorical { codes, categories: Box::new(Value::Null), ordered })
                }
                (came, _) => came,
            };
            pieces.push(Piece { came, part, len, to, suffix });
        }
        let union = match &self.kind {
            Kind::Categorical { given: Some(names), .. } => Some(given(names, cx)?),
            Kind::Categorical { ordered, .. } => Some(unite(categories, *ordered, cx)?),
            _ => None,
        };
        let whole = join(&self.kind, pieces, union, &self.shape, cx)?;
        match &self.order {
            None => Ok(whole),
            Some(order) => gather(&whole, order, cx),
        }
    }
}

/// The lists of categories, one for each part; `Null` for a part without.
pub(super) fn lists(
    recipes: Vec<Option<Recipe>>,
    leaves: &mut [Option<Leaf>],
    cx: &Cx,
) -> Result<Vec<Value>> {
    recipes.into_iter().map(|r| r.map_or(Ok(Value::Null), |r| r.make(leaves, cx))).collect()
}

/// A program whose result is not wanted for itself.
struct Beside(Box<dyn Program>);

impl Program for Beside {
    fn next(&mut self, cx: &Cx) -> Result<Option<Stage>> {
        self.0.next(cx)
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        self.0.open(cx)
    }

    fn sinks(&self) -> Vec<&dyn Sink> {
        self.0.sinks()
    }

    fn lanes(&self) -> Option<Lanes<'_>> {
        self.0.lanes()
    }

    fn later(&self) -> Vec<StagePlan> {
        self.0.later()
    }

    fn output(&self) -> Amount {
        Amount::default()
    }

    fn beside(&self) -> Amount {
        self.0.output() + self.0.beside()
    }

    fn resolve_hint(&self) -> Option<String> {
        self.0.resolve_hint()
    }

    fn finish(&mut self, cx: &Cx) -> Result<Leaf> {
        self.0.finish(cx)
    }
}
