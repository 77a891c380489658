//! The parts that a selection of a concatenation touches.

use lazarr_format::Result;
use lazarr_plan::Index;

use super::body::{Concat, Source};
use crate::axis::Step;
use crate::call::Run;
use crate::lazy::Lazy;

/// The rows of a view that are of one part, for what walks part by part.
pub(crate) struct Stretch {
    /// The part as an element with the selection that is its own.
    pub(crate) lazy: Lazy,
    /// What its columns become.
    pub(crate) to: Option<Vec<u64>>,
    /// Rows.
    pub(crate) len: u64,
}

impl Concat {
    /// The parts that a selection touches, each as an element of its own; `None` for a part that is no element.
    #[allow(clippy::type_complexity, reason = "the parts, and the order of their rows")]
    pub(crate) fn stretches(
        &self,
        of: &Lazy,
        run: &Run<'_>,
    ) -> Result<(Vec<Option<Stretch>>, Option<Vec<u64>>)> {
        let indices: Vec<Index> = of.axes().iter().map(|a| a.resolve(run)).collect::<Result<_>>()?;
        let rows = indices.first().cloned().unwrap_or_else(|| Index::all(self.len()));
        let (of_part, order) = self.split(&rows)?;
        let mut out = Vec::with_capacity(self.parts.len());
        for (part, mine) in self.parts.iter().zip(of_part) {
            let Source::Element(element) = &part.source else {
                out.push(None);
                continue;
            };
            let whole = Lazy::new(of.session(), element);
            let own = match &part.rows {
                Some(rows) => rows.compose(&mine)?,
                None => mine.clone(),
            };
            let mut lazy = whole.select(0, Step::Index(own))?;
            let mut to = None;
            if let Some(columns) = indices.get(1) {
                let stored = part.source.stored();
                let (index, target) = part.pick(columns, stored.get(1).copied().unwrap_or_default())?;
                lazy = lazy.select(1, Step::Index(index))?;
                to = target;
            }
            for (axis, index) in indices.iter().enumerate().skip(2) {
                lazy = lazy.select(axis, Step::Index(index.clone()))?;
            }
            out.push(Some(Stretch { lazy, to, len: mine.len() }));
        }
        Ok((out, order))
    }
}
