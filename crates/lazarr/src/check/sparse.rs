//! A compressed matrix: row starts that ascend, indices that lie inside of it.

use std::sync::Arc;

use lazarr_format::anndata::{Element, Sparse};
use lazarr_format::{Code, Error, Result};

use super::Check;
use crate::counts::each_int;
use crate::value::Value;

/// The row starts one by one, read in windows of whole chunks.
struct Starts {
    items: Vec<i64>,
    /// The place of the first of `items`.
    from: u64,
    at: usize,
}

impl Starts {
    fn peek(&mut self, check: &Check<'_>, s: &Sparse) -> Result<Option<i64>> {
        if let Some(start) = self.items.get(self.at) {
            return Ok(Some(*start));
        }
        let from = self.from + self.items.len() as u64;
        let n = s.indptr.shape[0];
        if from >= n {
            return Ok(None);
        }
        let chunk = s.indptr.inner_len().max(1);
        let rows = (check.room() / 16 / chunk).max(1).saturating_mul(chunk);
        let value = check.window_1d(&s.indptr, from..from.saturating_add(rows).min(n))?;
        self.items.clear();
        if let Value::Dense(d) = &value {
            let mut items = std::mem::take(&mut self.items);
            each_int(&d.dtype, d.data.as_slice(), |_, x| items.push(x));
            self.items = items;
        }
        (self.from, self.at) = (from, 0);
        Ok(self.items.first().copied())
    }
}

/// What is wrong with indices: how many, and where first.
#[derive(Default)]
struct Faults {
    outside: u64,
    first: Option<(u64, i64)>,
    unsorted: u64,
    repeated: u64,
}

impl Check<'_> {
    pub(super) fn sparse(&mut self, element: &Element, s: &Arc<Sparse>) -> Result<()> {
        let sound = self.starts(element, s)?;
        self.array(&s.data, |_, _, _| Ok(()))?;
        let minor = s.minor_len();
        let mut faults = Faults::default();
        let mut starts = Starts { items: Vec::new(), from: 0, at: 0 };
        // The row in which the last index stood, whether it is out of order, and that index.
        let (mut row_is_sorted, mut before): (bool, Option<i64>) = (true, None);
        self.array(&s.indices, |check, at, value| {
            let Value::Dense(d) = value else { return Ok(()) };
            let from = at.first().map_or(0, |r| r.start);
            let mut failed = None;
            // The next row start, so that most indices are compared with one number.
            let mut next = if sound { starts.peek(check, s)? } else { None };
            each_int(&d.dtype, d.data.as_slice(), |i, index| {
                if index < 0 || index as u64 >= minor {
                    faults.outside += 1;
                    faults.first.get_or_insert((from + i as u64, index));
                }
                if !sound || failed.is_some() {
                    return;
                }
                while let Some(start) = next
                    && start as u64 <= from + i as u64
                {
                    (before, row_is_sorted) = (None, true);
                    starts.at += 1;
                    match starts.peek(check, s) {
                        Ok(start) => next = start,
                        Err(e) => return failed = Some(e),
                    }
                }
                if before.is_some_and(|b| b > index) && row_is_sorted {
                    row_is_sorted = false;
                    faults.unsorted += 1;
                }
                faults.repeated += u64::from(before == Some(index));
                before = Some(index);
            });
            failed.map_or(Ok(()), Err)
        })?;
        if let Some((at, index)) = faults.first {
            let e = Error::new(Code::SparseIndices, "an index lies outside of the matrix")
                .element(&*element.path)
                .expected(format!("0 … {}", minor as i64 - 1))
                .found(format!("{index} at position {at} of `indices` ({} such in all)", faults.outside));
            let key = s.indices.chunk_key(&[s.indices.shard_cut(0).of(at)]);
            self.report.error(&element.path, &e.key(key));
        }
        let major = if s.format.major_axis() == 0 { "rows" } else { "columns" };
        if faults.unsorted > 0 {
            let message = format!(
                "the indices of {} {major} are not sorted; reading keeps their order",
                faults.unsorted
            );
            self.report.notice("unsorted-indices", &element.path, None, message);
        }
        if faults.repeated > 0 {
            let message = format!(
                "{} indices stand twice in a row; reading keeps both, and scipy adds them",
                faults.repeated
            );
            self.report.notice("duplicate-indices", &element.path, None, message);
        }
        Ok(())
    }

    /// Whether `indptr` can be read and ascends from 0 to the number of stored values.
    fn starts(&mut self, element: &Element, s: &Sparse) -> Result<bool> {
        let (mut before, mut falls) = (0i64, None);
        let nnz = s.nnz();
        let mut ends = (None, None);
        let read = self.array(&s.indptr, |_, at, value| {
            let from = at.first().map_or(0, |r| r.start);
            if let Value::Dense(d) = value {
                each_int(&d.dtype, d.data.as_slice(), |i, x| {
                    if ends.0.is_none() {
                        ends.0 = Some(x);
                        before = x;
                    }
                    if x < before && falls.is_none() {
                        falls = Some((from + i as u64, before, x));
                    }
                    before = x;
                    ends.1 = Some(x);
                });
            }
            Ok(())
        })?;
        if let Some((at, high, low)) = falls {
            let e = Error::new(Code::SparseIndptr, "row starts do not ascend")
                .element(&*element.path)
                .expected(format!("at least {high} at position {at} of `indptr`"))
                .found(low.to_string())
                .key(s.indptr.chunk_key(&[s.indptr.shard_cut(0).of(at)]));
            self.report.error(&element.path, &e);
        }
        // Wrong ends are said by the quick check.
        Ok(read && falls.is_none() && ends == (Some(0), i64::try_from(nnz).ok()))
    }
}
