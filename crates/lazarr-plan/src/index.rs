//! Which positions of an axis are selected, in which order: an immutable, shared [`Index`] in its smallest form.
//!
//! A slice is three numbers, a few intervals are a few pairs, a mask is one bit an item with a rank directory, and only
//! what has no structure is a list. Composing (a view of a view) stays in these forms: a mask of ten million rows that
//! is sliced, reversed and masked again never becomes ten million integers.
//!
//! ```
//! use lazarr_plan::Index;
//! let every_second = Index::slice(None, None, Some(2), 100)?;
//! let first_ten = Index::slice(None, Some(10), None, every_second.len())?;
//! let view = every_second.compose(&first_ten)?;
//! assert_eq!(view.len(), 10);
//! assert_eq!(view.get(9), Some(18));
//! # Ok::<(), lazarr_format::Error>(())
//! ```

mod bitmap;
mod build;
mod bytes;
mod compose;
mod list;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use text::thousands;

use std::ops::Range;
use std::sync::Arc;

use lazarr_format::{Code, Error, Result};

use crate::placement::{Placement, Run};
use bitmap::Bits;
use list::{Items, List};

/// Positions of one axis, in order. Cheap to clone.
#[derive(Clone)]
pub struct Index {
    form: Form,
    /// Whether a form that ascends is meant from its end. Never set on lists nor on ranges of fewer than two.
    reversed: bool,
    /// The length of the axis, where it is known.
    axis: Option<u64>,
}

#[derive(Clone)]
enum Form {
    /// `start`, `start + step`, …; the step is at least 1.
    Range { start: u64, step: u64, len: u64 },
    /// Two or more intervals, ascending, with gaps between them.
    Intervals(Arc<Intervals>),
    /// The ones, counted from `base`.
    Bitmap { base: u64, bits: Arc<Bits> },
    /// Strictly ascending.
    Sorted(Arc<Items>),
    /// Anything else.
    List(Arc<List>),
}

struct Intervals {
    /// `(first, one past the last, destination of the first)`.
    parts: Vec<(u64, u64, u64)>,
    len: u64,
}

const EMPTY: Form = Form::Range { start: 0, step: 1, len: 0 };

impl Form {
    fn len(&self) -> u64 {
        match self {
            Self::Range { len, .. } => *len,
            Self::Intervals(x) => x.len,
            Self::Bitmap { bits, .. } => bits.ones(),
            Self::Sorted(x) => x.len() as u64,
            Self::List(x) => x.items.len() as u64,
        }
    }

    fn get(&self, i: u64) -> Option<u64> {
        match self {
            Self::Range { start, step, len } => (i < *len).then(|| start + step * i),
            Self::Intervals(x) => {
                let part = x.parts.partition_point(|p| p.2 <= i).checked_sub(1)?;
                let (start, _, dst) = x.parts[part];
                (i < x.len).then(|| start + (i - dst))
            }
            Self::Bitmap { base, bits } => bits.select(i).map(|p| base + p),
            Self::Sorted(x) => x.get(usize::try_from(i).ok()?),
            Self::List(x) => x.items.get(usize::try_from(i).ok()?),
        }
    }

    /// Where an ascending form holds `src`; for a list its first place.
    fn rank(&self, src: u64) -> Option<u64> {
        match self {
            Self::Range { start, step, len } => {
                let d = src.checked_sub(*start)?;
                (d % step == 0 && d / step < *len).then_some(d / step)
            }
            Self::Intervals(x) => {
                let (start, end, dst) = x.parts[x.parts.partition_point(|p| p.0 <= src).checked_sub(1)?];
                (src < end).then(|| dst + (src - start))
            }
            Self::Bitmap { base, bits } => {
                let p = src.checked_sub(*base)?;
                bits.contains(p).then(|| bits.rank(p))
            }
            Self::Sorted(x) => {
                let i = x.lower_bound(src);
                (x.get(i) == Some(src)).then_some(i as u64)
            }
            Self::List(x) => x.by_source(x.lower_bound(src)).filter(|p| p.0 == src).map(|p| p.1),
        }
    }

    fn next_from(&self, pos: u64) -> Option<u64> {
        match self {
            Self::Range { start, step, len } => {
                let i = pos.saturating_sub(*start).div_ceil(*step);
                (i < *len).then(|| start + step * i)
            }
            Self::Intervals(x) => {
                x.parts.get(x.parts.partition_point(|p| p.1 <= pos)).map(|&(start, _, _)| start.max(pos))
            }
            Self::Bitmap { base, bits } => bits.next_one(pos.saturating_sub(*base)).map(|p| base + p),
            Self::Sorted(x) => x.get(x.lower_bound(pos)),
            Self::List(x) => x.by_source(x.lower_bound(pos)).map(|p| p.0),
        }
    }

    /// One past the last source.
    fn end(&self) -> Option<u64> {
        let last = match self {
            Self::List(x) => x.by_source(x.items.len().checked_sub(1)?).map(|p| p.0),
            _ => self.get(self.len().checked_sub(1)?),
        };
        last.map(|x| x + 1)
    }

    /// The runs inside `span`, with the destinations of the form itself, ascending by source.
    fn runs(&self, span: Range<u64>, f: &mut dyn FnMut(Run) -> Result<()>) -> Result<()> {
        if span.is_empty() {
            return Ok(());
        }
        match self {
            Self::Range { start, step: 1, len } => {
                let (a, b) = (span.start.max(*start), span.end.min(start + len));
                if a < b { f(Run { src: a, dst: a - start, len: b - a }) } else { Ok(()) }
            }
            Self::Range { start, step, len } => {
                let first = span.start.saturating_sub(*start).div_ceil(*step);
                let end = span.end.saturating_sub(*start).div_ceil(*step).min(*len);
                (first..end).try_for_each(|i| f(Run { src: start + step * i, dst: i, len: 1 }))
            }
            Self::Intervals(x) => {
                let first = x.parts.partition_point(|p| p.1 <= span.start);
                for &(start, end, dst) in x.parts[first..].iter().take_while(|p| p.0 < span.end) {
                    let (a, b) = (start.max(span.start), end.min(span.end));
                    f(Run { src: a, dst: dst + (a - start), len: b - a })?;
                }
                Ok(())
            }
            Self::Bitmap { base, bits } => {
                let inner = span.start.saturating_sub(*base)..span.end.saturating_sub(*base);
                bits.runs(inner, &mut |src, dst, len| f(Run { src: base + src, dst, len }))
            }
            Self::Sorted(x) => {
                let end = x.lower_bound(span.end);
                merge((x.lower_bound(span.start)..end).map(|i| (x.at(i), i as u64)), f)
            }
            Self::List(x) => {
                let items = (x.lower_bound(span.start)..).map_while(|i| x.by_source(i));
                merge(items.take_while(|p| p.0 < span.end), f)
            }
        }
    }
}

/// Joins neighbours whose sources and destinations both follow one another.
fn merge(items: impl Iterator<Item = (u64, u64)>, f: &mut dyn FnMut(Run) -> Result<()>) -> Result<()> {
    let mut open: Option<Run> = None;
    for (src, dst) in items {
        match &mut open {
            Some(run) if run.src + run.len == src && run.dst + run.len == dst => run.len += 1,
            _ => {
                if let Some(run) = open.replace(Run { src, dst, len: 1 }) {
                    f(run)?;
                }
            }
        }
    }
    open.map_or(Ok(()), f)
}

impl Index {
    /// Number of selected positions.
    pub fn len(&self) -> u64 {
        self.form.len()
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of the axis that the positions are of, where it is known.
    pub fn axis_len(&self) -> Option<u64> {
        self.axis
    }

    /// The position at place `i`.
    pub fn get(&self, i: u64) -> Option<u64> {
        let i = if self.reversed { self.len().checked_sub(i)?.checked_sub(1)? } else { i };
        self.form.get(i)
    }

    /// Whether the position is selected.
    pub fn contains(&self, src: u64) -> bool {
        self.form.rank(src).is_some()
    }

    /// The place of a position; the first, where it is selected several times.
    pub fn rank(&self, src: u64) -> Option<u64> {
        let rank = self.form.rank(src)?;
        Some(if self.reversed { self.len() - 1 - rank } else { rank })
    }

    /// Whether the positions ascend strictly: in order, without repeats.
    pub fn is_monotone(&self) -> bool {
        !self.reversed && !matches!(self.form, Form::List(_))
    }

    /// Whether a position is selected more than once. Sorts a list when first asked.
    pub fn has_duplicates(&self) -> bool {
        matches!(&self.form, Form::List(x) if x.repeats())
    }

    /// `(start, step, length)`, where the positions are evenly spaced; the step may be negative.
    pub fn as_range(&self) -> Option<(u64, i64, u64)> {
        let Form::Range { start, step, len } = self.form else { return None };
        let step = i64::try_from(step).ok()?;
        Some(if self.reversed { (self.get(0)?, -step, len) } else { (start, step, len) })
    }

    /// Whether every position of the axis is selected, in order. False where the axis is not known.
    pub fn is_all(&self) -> bool {
        self.is_identity_range().is_some_and(|r| r.start == 0 && self.axis == Some(r.end))
    }

    /// The positions, in order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = u64> + '_> {
        fn turn<'a>(
            items: impl DoubleEndedIterator<Item = u64> + 'a,
            reversed: bool,
        ) -> Box<dyn Iterator<Item = u64> + 'a> {
            if reversed { Box::new(items.rev()) } else { Box::new(items) }
        }
        match &self.form {
            Form::Range { start, step, len } => turn((0..*len).map(move |i| start + step * i), self.reversed),
            Form::Intervals(x) => turn(x.parts.iter().flat_map(|p| p.0..p.1), self.reversed),
            Form::Bitmap { base, bits } => Box::new(bits.iter(self.reversed).map(move |p| base + p)),
            Form::Sorted(x) => turn((0..x.len()).map(|i| x.at(i)), self.reversed),
            Form::List(x) => turn((0..x.items.len()).map(|i| x.items.at(i)), false),
        }
    }

    /// The positions one by one, 8 bytes each: for what is known to be small.
    pub fn to_vec(&self) -> Vec<u64> {
        self.iter().collect()
    }

    /// Memory that the index holds, in bytes; for a list with the permutation that reading may need.
    pub fn memory_bytes(&self) -> u64 {
        size_of::<Self>() as u64
            + match &self.form {
                Form::Range { .. } => 0,
                Form::Intervals(x) => x.parts.len() as u64 * 24,
                Form::Bitmap { bits, .. } => bits.memory_bytes(),
                Form::Sorted(x) => x.memory_bytes(),
                Form::List(x) => x.memory_bytes(),
            }
    }

    /// The number of runs that reading the whole index makes: a measure of how scattered it is.
    pub fn run_count(&self) -> u64 {
        match &self.form {
            Form::Range { step: 1, len, .. } if !self.reversed => u64::from(*len > 0),
            Form::Range { len, .. } => *len,
            _ if self.reversed => self.len(),
            Form::Intervals(x) => x.parts.len() as u64,
            Form::Bitmap { bits, .. } => bitmap::count(bits.words()).1,
            form => {
                let mut n = 0;
                let counted = form.runs(0..u64::MAX, &mut |_| {
                    n += 1;
                    Ok(())
                });
                debug_assert!(counted.is_ok(), "counting does not fail");
                n
            }
        }
    }

    /// That every position lies on an axis of `n` items.
    pub fn check_axis(&self, n: u64) -> Result<()> {
        match self.form.end() {
            Some(end) if end > n => Err(Error::new(Code::IndexOutOfRange, "the index does not fit the axis")
                .expected(format!("positions below {n}"))
                .found(format!("{}", end - 1))),
            _ => Ok(()),
        }
    }

    /// Tells the index how long its axis is, after checking that it fits.
    pub fn with_axis(mut self, n: u64) -> Result<Self> {
        self.check_axis(n)?;
        self.axis = Some(n);
        Ok(self)
    }
}

impl Placement for Index {
    fn len(&self) -> u64 {
        self.form.len()
    }

    fn next_from(&self, pos: u64) -> Option<u64> {
        self.form.next_from(pos)
    }

    fn runs(&self, span: Range<u64>, f: &mut dyn FnMut(Run) -> Result<()>) -> Result<()> {
        if !self.reversed {
            return self.form.runs(span, f);
        }
        let last = self.len().saturating_sub(1);
        self.form.runs(span, &mut |run| {
            (0..run.len).try_for_each(|i| f(Run { src: run.src + i, dst: last - (run.dst + i), len: 1 }))
        })
    }

    fn span(&self) -> Option<Range<u64>> {
        Some(self.form.next_from(0)?..self.form.end()?)
    }

    fn is_identity_range(&self) -> Option<Range<u64>> {
        match self.form {
            Form::Range { start, step: 1, len } if !self.reversed => Some(start..start + len),
            _ => None,
        }
    }
}

impl<'a> IntoIterator for &'a Index {
    type Item = u64;
    type IntoIter = Box<dyn Iterator<Item = u64> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Index {
    /// Whether both select the same positions in the same order.
    fn eq(&self, other: &Self) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if let (Form::Range { .. }, Form::Range { .. }) = (&self.form, &other.form) {
            return self.as_range() == other.as_range();
        }
        self.iter().eq(other.iter())
    }
}

impl Eq for Index {}
