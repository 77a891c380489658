//! Every chunk of an array, window by window; a window that fails is halved until the chunk is found.

use std::ops::Range;

use lazarr_format::anndata::{Categorical, Element};
use lazarr_format::{ArrayRef, Code, Error, Kind, Result};

use super::{Check, Filled};
use crate::counts::each_int;
use crate::value::Value;

/// So many faults of one array are named.
const FAULTS: u64 = 20;

/// Chunks along each axis.
type Chunks = Vec<Range<u64>>;

/// What looks at the values of a window: the check, the window in items, its values.
type See<'s> = &'s mut dyn FnMut(&mut Check<'_>, &[Range<u64>], &Value) -> Result<()>;

impl Check<'_> {
    /// Reads every chunk; names those that cannot be read, and counts those that are not there. Says whether all is well.
    pub(super) fn array(
        &mut self,
        array: &ArrayRef,
        mut see: impl FnMut(&mut Check<'_>, &[Range<u64>], &Value) -> Result<()>,
    ) -> Result<bool> {
        self.report.arrays += 1;
        let filled = self.meter.filled();
        let grid: Vec<u64> =
            array.shape.iter().enumerate().map(|(axis, &n)| array.cut(axis).count(n)).collect();
        if array.is_empty() {
            return Ok(true);
        }
        let mut faults = 0;
        // Chunks of one place along the first axis, and so many of them as there is room for.
        let below: u64 = array.shape.iter().skip(1).fold(1, |n, &s| n.saturating_mul(s));
        let item = array.stored_size().map_or(32, |n| n as u64).max(1);
        let rows = array.inner_shape().first().copied().unwrap_or(1);
        let step = (self.room() / below.saturating_mul(item).saturating_mul(rows).max(1)).max(1);
        let first = grid.first().copied().unwrap_or(1);
        let mut at = 0;
        while at < first {
            let end = at.saturating_add(step).min(first);
            let mut window: Chunks = grid.iter().map(|&n| 0..n).collect();
            if let Some(axis) = window.first_mut() {
                *axis = at..end;
            }
            self.chunks(array, &window, &mut faults, &mut see)?;
            at = end;
        }
        if faults > FAULTS {
            let e =
                Error::new(Code::ChunkDecode, format!("{} more parts of it cannot be read", faults - FAULTS));
            self.report.error(&array.path, &e.element(&*array.path));
        }
        let filled = self.meter.filled() - filled;
        if filled > 0 {
            let of = grid.iter().fold(1, |n, &g| g.saturating_mul(n));
            // A chunk in two windows, or in one that was halved, is counted more than once.
            self.report.filled.push(Filled { array: array.path.clone(), chunks: filled.min(of), of });
        }
        if faults == 0
            && let Err(e) = self.manifest(array)
        {
            if e.code() == Code::Interrupted {
                return Err(e);
            }
            faults += 1;
            self.report.error(&array.path, &e);
        }
        Ok(faults == 0)
    }

    /// Compares the files of an array with what its writer says they were, where it does.
    fn manifest(&self, array: &ArrayRef) -> Result<()> {
        crate::write::check_manifest(&self.session.io, array, &mut |_| self.poll())
    }

    fn chunks(&mut self, array: &ArrayRef, chunks: &Chunks, faults: &mut u64, see: See<'_>) -> Result<()> {
        if *faults > FAULTS {
            *faults += 1;
            return Ok(());
        }
        let items: Vec<Range<u64>> = chunks
            .iter()
            .zip(&array.shape)
            .enumerate()
            .map(|(axis, (at, &n))| array.cut(axis).start(at.start)..array.cut(axis).start(at.end).min(n))
            .collect();
        let e = match self.window(array, &items) {
            Ok(value) => return see(self, &items, &value),
            Err(e) if e.code() == Code::Interrupted => return Err(e),
            Err(e) => e,
        };
        let widest = (0..chunks.len()).max_by_key(|&k| chunks[k].end - chunks[k].start);
        if let Some(k) = widest.filter(|&k| chunks[k].end - chunks[k].start > 1) {
            let middle = chunks[k].start.midpoint(chunks[k].end);
            for half in [chunks[k].start..middle, middle..chunks[k].end] {
                let mut part = chunks.clone();
                part[k] = half;
                self.chunks(array, &part, faults, see)?;
            }
            return Ok(());
        }
        *faults += 1;
        let e = if e.kind() == Kind::Memory {
            Error::new(e.code(), "a chunk could not be checked: it does not fit into the memory limit")
                .element(&*array.path)
                .help("Raise --memory (memory_limit)")
                .source(e)
        } else {
            e
        };
        let at: Vec<u64> = chunks.iter().map(|c| c.start).collect();
        self.report.error(&array.path, &e.key(key(array, &at)));
        Ok(())
    }

    /// Codes that point at categories.
    pub(super) fn codes(&mut self, element: &Element, c: &Categorical) -> Result<()> {
        let n = c.categories.shape().and_then(|s| s.first().copied()).unwrap_or(0);
        let (mut wrong, mut first) = (0u64, None);
        self.array(&c.codes, |_, at, value| {
            if let Value::Dense(d) = value {
                let start = at.first().map_or(0, |r| r.start);
                each_int(&d.dtype, d.data.as_slice(), |i, code| {
                    if code < -1 || code >= 0 && code as u64 >= n {
                        wrong += 1;
                        first.get_or_insert((start + i as u64, code));
                    }
                });
            }
            Ok(())
        })?;
        if let Some((row, code)) = first {
            let s = if wrong == 1 { "a code points" } else { "codes point" };
            let e = Error::new(Code::CategoryCode, format!("{s} at no category"))
                .element(&*element.path)
                .expected(format!("-1 … {}", n as i64 - 1))
                .found(format!("{code} in row {row} ({wrong} such in all)"));
            self.report.error(&element.path, &e.key(key(&c.codes, &[c.codes.cut(0).of(row)])));
        }
        Ok(())
    }
}

/// The key of the chunk (the shard) that holds this inner chunk.
fn key(array: &ArrayRef, inner: &[u64]) -> String {
    array.chunk_key(&array.shard_of(inner))
}
