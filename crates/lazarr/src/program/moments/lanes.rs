//! How a selection is cut into lanes: by the matrix alone, never by threads or memory.

use std::ops::Range;
use std::sync::Arc;

use lazarr_format::{Cut, Result};
use lazarr_plan::{ArrayRead, Placement, Run};

/// So many lanes at most, but for the ends.
const LANES: u64 = 128;
/// So many items at least; few in tests, so that small stores have many lanes.
const ITEMS: u64 = if cfg!(test) { 16 } else { 1 << 20 };
/// So many items for each result of its own that a lane has.
const EACH: u64 = if cfg!(test) { 1 } else { 64 };

/// Lanes of the whole selection, cut along the first axis where chunks of all arrays end. What is done once a lane for each
/// of its `results` should cost little.
pub(super) fn cut(reads: &[ArrayRead], results: u64) -> Vec<Vec<ArrayRead>> {
    let Some(span) = reads.first().and_then(|r| r.axes.first()?.span()).filter(|s| !s.is_empty()) else {
        return Vec::new();
    };
    if reads.iter().any(|r| r.axes.iter().any(|axis| axis.span().is_none())) {
        return Vec::new();
    }
    // Items of one place along the first axis.
    let wide = reads[0].array.shape[1..].iter().fold(1, |n: u64, &s| n.saturating_mul(s)).max(1);
    let long =
        ((span.end - span.start) / LANES).max(results.saturating_mul(EACH).max(ITEMS).div_ceil(wide)).max(1);
    let bounds = bounds(reads, &span, long);
    let lane = |range: Range<u64>| {
        let within = |read: &ArrayRead| {
            let mut read = read.clone();
            let within = Within { of: read.axes[0].clone(), range: range.clone() };
            read.narrow(0, Arc::new(within));
            read.ordered = true;
            read
        };
        reads.iter().map(within).collect::<Vec<_>>()
    };
    let lanes = bounds.windows(2).map(|b| lane(b[0]..b[1]));
    lanes.filter(|reads| reads.iter().all(|r| r.axes[0].span().is_some())).collect()
}

/// Where lanes begin and end: no closer than `long`, where chunks of all reads do.
fn bounds(reads: &[ArrayRead], span: &Range<u64>, long: u64) -> Vec<u64> {
    let cuts: Vec<Cut<'_>> = reads.iter().map(|r| r.array.cut(0)).collect();
    let every = |cut: &Cut<'_>| match cut {
        Cut::Every(length) => Some((*length).max(1)),
        Cut::Edges(_) => None,
    };
    let unit = cuts.iter().map(every).collect::<Option<Vec<_>>>().and_then(|u| u.into_iter().reduce(lcm));
    let mut bounds = vec![span.start];
    let mut last = 0;
    while let Some(next) = bounds.last().and_then(|b| b.checked_add(long)).filter(|next| *next < span.end) {
        let edge = match (unit, cuts.first()) {
            (Some(unit), _) => next.div_ceil(unit).saturating_mul(unit),
            (None, Some(cut)) => cut.end(cut.of(next - 1)).unwrap_or(u64::MAX),
            (None, None) => u64::MAX,
        };
        if edge >= span.end || edge <= last {
            break;
        }
        last = edge;
        if cuts.iter().all(|cut| cut.start(cut.of(edge)) == edge) {
            bounds.push(edge);
        } else {
            // Chunks of several lengths that do not end together: one lane to the end.
            break;
        }
    }
    bounds.push(span.end);
    bounds
}

/// The least common multiple, or the largest number where there is none below.
fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}

/// The part of a placement whose sources lie in a range.
struct Within {
    of: Arc<dyn Placement>,
    range: Range<u64>,
}

impl Within {
    fn clip(&self, span: &Range<u64>) -> Range<u64> {
        let start = span.start.max(self.range.start);
        start..span.end.min(self.range.end).max(start)
    }
}

impl Placement for Within {
    fn len(&self) -> u64 {
        self.of.len()
    }

    fn next_from(&self, pos: u64) -> Option<u64> {
        self.of.next_from(pos.max(self.range.start)).filter(|item| *item < self.range.end)
    }

    fn runs(&self, span: Range<u64>, f: &mut dyn FnMut(Run) -> Result<()>) -> Result<()> {
        self.of.runs(self.clip(&span), f)
    }

    fn span(&self) -> Option<Range<u64>> {
        let first = self.next_from(0)?;
        let end = self.of.span()?.end.min(self.range.end);
        Some(first..end.max(first + 1))
    }

    fn is_identity_range(&self) -> Option<Range<u64>> {
        self.of.is_identity_range().map(|r| self.clip(&r))
    }
}
