//! The stored values that a search has found, as a placement.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lazarr_format::{Error, Result};
use lazarr_plan::{Placement, Run};

use super::search::Found;

/// The stored values that were found, as a placement: they ascend, and so do their places in the result.
pub(super) struct Matches {
    found: Vec<Found>,
    len: u64,
    /// The chunk that was asked for last: the next is most often there or just behind.
    near: AtomicUsize,
}

impl Matches {
    /// What was found, by chunks that ascend; each has its place in the result.
    pub(super) fn new(found: Vec<Found>, len: u64) -> Self {
        Self { found, len, near: AtomicUsize::new(0) }
    }

    /// The last chunk that begins at or before `pos`, or the first.
    fn chunk(&self, pos: u64) -> usize {
        let begins = |k: usize| self.found.get(k).is_some_and(|f| f.start <= pos);
        let near = self.near.load(Relaxed);
        let ahead = (near..near + 3).find(|&k| begins(k) && !begins(k + 1));
        let chunk = ahead.unwrap_or_else(|| self.found.partition_point(|f| f.start <= pos).saturating_sub(1));
        if chunk != near {
            self.near.store(chunk, Relaxed);
        }
        chunk
    }

    /// The first chunk with a match at or after `pos`, and which match.
    fn seek(&self, pos: u64) -> Option<(usize, usize)> {
        let mut chunk = self.chunk(pos);
        while let Some(found) = self.found.get(chunk) {
            let i = found.places.before(pos.saturating_sub(found.start));
            if i < found.places.len() {
                return Some((chunk, i));
            }
            chunk += 1;
        }
        None
    }
}

impl Placement for Matches {
    fn len(&self) -> u64 {
        self.len
    }

    fn next_from(&self, pos: u64) -> Option<u64> {
        let (chunk, i) = self.seek(pos)?;
        let found = self.found.get(chunk)?;
        found.places.get(i).map(|place| found.start + u64::from(place))
    }

    fn runs(&self, span: Range<u64>, f: &mut dyn FnMut(Run) -> Result<()>) -> Result<()> {
        let Some((chunk, skip)) = self.seek(span.start) else { return Ok(()) };
        let mut open: Option<Run> = None;
        for (k, found) in self.found.iter().enumerate().skip(chunk) {
            let skip = if k == chunk { skip } else { 0 };
            let inside = found.places.stretches(skip, &mut |place, i, len| {
                let src = found.start + u64::from(place);
                if src >= span.end {
                    return Ok(false);
                }
                let len = u64::from(len).min(span.end - src);
                match &mut open {
                    Some(run) if run.src + run.len == src => run.len += len,
                    _ => {
                        let next = Run { src, dst: found.first + i as u64, len };
                        if let Some(run) = open.replace(next) {
                            f(run)?;
                        }
                    }
                }
                Ok::<_, Error>(true)
            })?;
            if !inside {
                break;
            }
        }
        open.map_or(Ok(()), f)
    }

    fn span(&self) -> Option<Range<u64>> {
        let first = self.next_from(0)?;
        let last = self.found.iter().rev().find_map(|f| f.places.last().map(|p| f.start + u64::from(p)))?;
        Some(first..last + 1)
    }

    fn is_identity_range(&self) -> Option<Range<u64>> {
        (self.len == 0).then_some(0..0)
    }
}

#[cfg(test)]
#[path = "matches_tests.rs"]
mod tests;
