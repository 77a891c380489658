//! Stretches of a one-dimensional array and where they go: the stored values of selected rows.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lazarr_format::Result;

use crate::{Placement, Run};

/// Runs sorted by source. Sources may repeat (a row that is wanted twice); runs that overlap are the same stretch.
#[derive(Debug, Default)]
pub struct Segments {
    runs: Arc<Vec<Run>>,
    /// Whether each is one item longer than it says, see [`Segments::borders`].
    borders: bool,
    len: u64,
    /// The largest end so far, for each run; only where ends do not ascend by themselves.
    ends: Option<Vec<u64>>,
    /// About where the last question was: the next is most often there or just behind.
    near: AtomicUsize,
}

/// Drops empty runs and joins neighbours, in one pass: millions of runs are much memory. Says how long all are and whether
/// their ends ascend; `None` where the runs do not, all of which are still there.
fn join(runs: &mut Vec<Run>) -> Option<(u64, bool)> {
    let (mut kept, mut len, mut sorted) = (0usize, 0u64, true);
    for at in 0..runs.len() {
        let run = runs[at];
        if run.len == 0 {
            continue;
        }
        if let Some(last) = kept.checked_sub(1).and_then(|k| runs.get_mut(k)) {
            if (run.src, run.dst) < (last.src, last.dst) {
                runs.drain(kept..at);
                return None;
            }
            if last.src + last.len == run.src && last.dst + last.len == run.dst {
                last.len += run.len;
                len += run.len;
                continue;
            }
            sorted &= last.src + last.len <= run.src + run.len;
        }
        runs[kept] = run;
        kept += 1;
        len += run.len;
    }
    runs.truncate(kept);
    Some((len, sorted))
}

impl Segments {
    /// From runs in any order; empty ones are dropped, neighbours joined.
    pub fn new(mut runs: Vec<Run>) -> Self {
        let (len, sorted) = join(&mut runs).unwrap_or_else(|| {
            runs.sort_unstable_by_key(|r| (r.src, r.dst));
            join(&mut runs).unwrap_or_default()
        });
        let ends = (!sorted).then(|| {
            let mut max = 0;
            runs.iter()
                .map(|r| {
                    max = max.max(r.src + r.len);
                    max
                })
                .collect()
        });
        Self { runs: Arc::new(runs), borders: false, len, ends, near: AtomicUsize::new(0) }
    }

    /// The borders of runs, side by side: of each its items and the one behind them. Millions of runs are much memory, so
    /// these are shared. They ascend, an item at least lies between two of them, and their destinations follow one another.
    pub fn borders(runs: &Arc<Vec<Run>>) -> Self {
        let len = runs.last().map_or(0, |r| r.dst + r.len) + runs.len() as u64;
        Self { runs: runs.clone(), borders: true, len, ends: None, near: AtomicUsize::new(0) }
    }

    /// Bytes that the runs take.
    pub fn memory_bytes(&self) -> u64 {
        (self.runs.capacity() * size_of::<Run>()) as u64
    }

    fn run(&self, k: usize) -> Option<Run> {
        let run = *self.runs.get(k)?;
        let more = u64::from(self.borders);
        Some(Run { src: run.src, dst: run.dst + more * k as u64, len: run.len + more })
    }

    /// The first run that ends after `pos`.
    fn first_after(&self, pos: u64) -> usize {
        let near = self.near.load(Relaxed);
        let first = self.search(pos, near);
        // Threads that walk side by side would take it from each other at every step.
        if first.abs_diff(near) >= 16 {
            self.near.store(first, Relaxed);
        }
        first
    }

    /// The first run that ends after `pos`: from the one that was found last, in steps that double.
    fn search(&self, pos: u64, near: usize) -> usize {
        let n = self.runs.len();
        let ended = |k: usize| match &self.ends {
            Some(ends) => ends.get(k).is_some_and(|&end| end <= pos),
            None => self.runs.get(k).is_some_and(|r| r.src + r.len + u64::from(self.borders) <= pos),
        };
        let near = near.min(n);
        let mut step = 1;
        let (mut first, mut last) = if near == 0 || ended(near - 1) {
            let mut first = near;
            while ended(first + step - 1) {
                first += step;
                step *= 2;
            }
            (first, (first + step - 1).min(n))
        } else {
            let mut last = near - 1;
            while last >= step && !ended(last - step) {
                last -= step;
                step *= 2;
            }
            (last.saturating_sub(step), last)
        };
        // The first that has not ended lies in `first..=last`.
        while first < last {
            let mid = first.midpoint(last);
            if ended(mid) { first = mid + 1 } else { last = mid }
        }
        first
    }
}

impl Placement for Segments {
    fn len(&self) -> u64 {
        self.len
    }

    fn next_from(&self, pos: u64) -> Option<u64> {
        self.run(self.first_after(pos)).map(|r| r.src.max(pos))
    }

    fn next_near(&self, pos: u64, near: &mut usize) -> Option<u64> {
        *near = self.search(pos, *near);
        self.run(*near).map(|r| r.src.max(pos))
    }

    fn runs(&self, span: Range<u64>, f: &mut dyn FnMut(Run) -> Result<()>) -> Result<()> {
        let from = self.first_after(span.start);
        for r in (from..self.runs.len()).map_while(|k| self.run(k)).take_while(|r| r.src < span.end) {
            let start = r.src.max(span.start);
            let end = (r.src + r.len).min(span.end);
            if start < end {
                f(Run { src: start, dst: r.dst + (start - r.src), len: end - start })?;
            }
        }
        Ok(())
    }

    fn span(&self) -> Option<Range<u64>> {
        let first = self.run(0)?;
        let last = self.run(self.runs.len() - 1)?;
        let end = self.ends.as_ref().and_then(|e| e.last().copied()).unwrap_or(last.src + last.len);
        Some(first.src..end)
    }

    fn is_identity_range(&self) -> Option<Range<u64>> {
        match self.run(0) {
            None => Some(0..0),
            Some(r) if r.dst == 0 && self.runs.len() == 1 => Some(r.src..r.src + r.len),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
