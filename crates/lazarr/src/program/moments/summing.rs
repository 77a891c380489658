//! The sums under way: chunks of all arrays of a lane come in, and lanes are added up in their order.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lazarr_format::{Code, Error, Result};
use lazarr_plan::{ArrayRead, Role, Run};

use super::items::Items;
use super::kernel::{self, Centred, Form, Plain};
use crate::exec::lanes::{Met, Partial, Reduce};
use crate::exec::sink::{may_be_absent, missing};
use crate::ledger::{Budget, Charge};
use crate::program::rows::{RowStarts, Rows};
use crate::program::sparse::single_entries;

/// Where a value goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// By its index.
    Columns,
    /// By the row that it is in.
    Rows,
    /// By its place along one axis of an array.
    Dense { kept: usize },
}

/// The sums under way.
pub(super) struct Summing {
    pub(super) kind: Kind,
    pub(super) results: usize,
    pub(super) starts: Option<RowStarts>,
    /// How often each row is wanted, or each column where there is a result for each row.
    pub(super) weights: Option<(Vec<f64>, Charge)>,
    pub(super) lanes: Vec<Vec<ArrayRead>>,
    pub(super) centre: Option<Arc<Vec<f64>>>,
    pub(super) width: usize,
    pub(super) budget: Budget,
    pub(super) lenient: bool,
    /// So many lanes may wait for one before them.
    pub(super) most: usize,
    pub(super) total: Mutex<Total>,
    pub(super) merged: Condvar,
}

/// Lanes that are done, added up to the first that is not.
pub(super) struct Total {
    pub(super) next: usize,
    pub(super) waiting: BTreeMap<usize, Partial>,
    pub(super) sums: Vec<f64>,
    pub(super) charge: Charge,
}

/// What sums are charged as.
const SUMS: &str = "the sums of a reduction";

/// So many rows at most are added up side by side.
const ROWS: usize = 256;

/// How long a thread sleeps until it looks whether to stop.
const NAP: Duration = Duration::from_millis(20);

impl Summing {
    fn lock(&self) -> MutexGuard<'_, Total> {
        self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for all sums; once.
    pub(super) fn open(&self) -> Result<()> {
        let mut total = self.lock();
        if total.sums.is_empty() && self.results > 0 {
            let (sums, charge) = self.zeros(0, self.results)?;
            total.charge.absorb(charge);
            total.sums = sums;
        }
        Ok(())
    }

    /// Sums of nothing, charged first.
    fn zeros(&self, first: usize, results: usize) -> Result<(Vec<f64>, Charge)> {
        let charge = self.budget.charge((results * self.width * 8) as u64, SUMS)?;
        let mut sums = vec![0.0; results * self.width];
        if let Some(centre) = &self.centre {
            for (sums, centre) in sums.chunks_exact_mut(self.width).zip(&centre[first..]) {
                sums[2] = *centre;
            }
        }
        Ok((sums, charge))
    }

    /// The results that a lane has values of: the first, and one past the last.
    fn results_of(&self, lane: usize) -> (usize, usize) {
        let Some(span) = self.lanes.get(lane).and_then(|reads| reads.first()).and_then(|r| r.axes[0].span())
        else {
            return (0, 0);
        };
        let (mut first, mut end) = (usize::MAX, 0);
        match (self.kind, &self.starts) {
            (Kind::Rows, Some(starts)) => {
                let _ = starts.stretches(span, |rows, from, to| {
                    let row = |place| rows.first as usize + rows.row_of(place, None);
                    first = first.min(row(from));
                    end = end.max(row(to - 1) + 1);
                    Ok::<_, Error>(())
                });
            }
            (Kind::Dense { kept: 0 }, _) => {
                let _ = self.lanes[lane][0].axes[0].runs(span, &mut |run: Run| {
                    first = first.min(run.dst as usize);
                    end = end.max((run.dst + run.len) as usize);
                    Ok(())
                });
            }
            _ => return (0, self.results),
        }
        (first.min(end), end)
    }

    /// The most bytes that the sums of a lane take.
    pub(super) fn most_sums(&self) -> u64 {
        let results = (0..self.lanes.len()).map(|lane| {
            let (first, end) = self.results_of(lane);
            end - first
        });
        (results.max().unwrap_or(0) * self.width * 8) as u64
    }

    fn add_as<const W: usize, F: Form>(
        &self,
        partial: &mut Partial,
        reads: &[ArrayRead],
        met: &Met<'_>,
    ) -> Result<()> {
        let chunk = |k: usize| {
            let (read, (at, bytes)) = (reads.get(k)?, met.chunks.get(k)?);
            let start = read.array.cut(0).start(*at.first()?);
            Some((start, Items { dtype: &read.array.dtype, bytes }))
        };
        let Some((start, values)) = chunk(0) else { return Ok(()) };
        let Some(starts) = &self.starts else {
            return self.add_dense::<W, F>(partial, &reads[0], met, values);
        };
        let (first, sums) = (partial.first, &mut partial.sums);
        let indices = chunk(1);
        let weights = self.weights.as_ref().map(|w| w.0.as_slice());
        starts.stretches(met.span.clone(), |rows, from, to| {
            legal(&reads[0], values.part(from - start, to - start))?;
            let values = |a: u64, b: u64| values.part(a - start, b - start);
            let outside = |at: usize, a: u64| {
                let (start, items) = indices.unwrap_or((0, values(a, a)));
                self.outside(items.integer(a - start + at as u64), a + at as u64)
            };
            let Some((begin, all)) = indices else {
                rows.each(from, to, |row, a, b| {
                    let sums = &mut sums[((rows.first + row) as usize - first) * W..];
                    kernel::fold::<W, F>(sums, values(a, b));
                });
                return Ok(());
            };
            let indices = |a: u64, b: u64| all.part(a - begin, b - begin);
            let mut result = Ok(());
            match (self.kind, weights) {
                (Kind::Columns, None) => {
                    let stretch = (rows, from, to);
                    let added = columns::<W, F>(sums, values(from, to), indices(from, to), stretch);
                    result = added.map_err(|at| outside(at, from));
                }
                (kind, Some(weights)) => rows.each(from, to, |row, a, b| {
                    let row = (rows.first + row) as usize;
                    let added = if kind == Kind::Columns {
                        kernel::scatter_times::<W, F>(sums, values(a, b), indices(a, b), weights[row])
                    } else {
                        kernel::weigh::<W, F>(
                            &mut sums[(row - first) * W..],
                            values(a, b),
                            indices(a, b),
                            weights,
                        )
                    };
                    if result.is_ok() {
                        result = added.map_err(|at| outside(at, a));
                    }
                }),
                _ => return Err(Error::new(Code::Internal, "indices were read for nothing")),
            }
            result
        })
    }

    fn add_dense<const W: usize, F: Form>(
        &self,
        partial: &mut Partial,
        read: &ArrayRead,
        met: &Met<'_>,
        items: Items<'_>,
    ) -> Result<()> {
        let (Kind::Dense { kept }, Some((at, _))) = (self.kind, met.chunks.first()) else {
            return Err(Error::new(Code::Internal, "an array of two axes was expected"));
        };
        let spans = read.chunk_span(at);
        let ([rows, columns], [row, column]) = (read.axes.as_slice(), at.as_slice()) else {
            return Err(Error::new(Code::Internal, "an array of two axes was expected"));
        };
        let (top, cut) = (read.array.cut(0).start(*row), read.array.cut(1));
        let (left, wide) = (cut.start(*column), cut.len(*column));
        let (first, sums) = (partial.first, &mut partial.sums);
        rows.runs(spans[0].clone(), &mut |run: Run| {
            for i in 0..run.len {
                let line = (run.src + i - top) * wide;
                columns.runs(spans[1].clone(), &mut |part: Run| {
                    let from = line + (part.src - left);
                    let values = items.part(from, from + part.len);
                    legal(read, values)?;
                    if kept == 1 {
                        let to = (part.dst as usize - first) * W;
                        kernel::along::<W, F>(&mut sums[to..to + part.len as usize * W], values);
                    } else {
                        kernel::fold::<W, F>(&mut sums[((run.dst + i) as usize - first) * W..], values);
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    fn outside(&self, index: i128, place: u64) -> Error {
        let (path, minor) = match &self.starts {
            Some(starts) => (&*starts.sparse().indices.path, starts.sparse().minor_len()),
            None => ("", 0),
        };
        Error::new(Code::SparseIndices, "an index lies outside of the matrix")
            .element(path)
            .expected(format!("0 to {}", minor.saturating_sub(1)))
            .found(format!("{index} at item {place}"))
    }
}

/// Adds the values of rows by their indices.
fn columns<const W: usize, F: Form>(
    sums: &mut [f64],
    values: Items<'_>,
    indices: Items<'_>,
    (rows, from, to): (Rows<'_>, u64, u64),
) -> Result<(), usize> {
    if !kernel::worth_tiles::<W>(sums.len() / W, to - from, rows.count(from, to)) {
        return kernel::scatter::<W, F>(sums, values, indices);
    }
    let mut result = Ok(());
    let mut group = Vec::with_capacity(ROWS);
    let mut add = |group: &mut Vec<[u64; 2]>| {
        if result.is_ok() {
            result = kernel::scatter_rows::<W, F>(sums, values, indices, group);
        }
        group.clear();
    };
    rows.each(from, to, |_, a, b| {
        group.push([a - from, b - from]);
        if group.len() == ROWS {
            add(&mut group);
        }
    });
    add(&mut group);
    result
}

/// Booleans must be 0 or 1, as wherever they are read.
fn legal(read: &ArrayRead, values: Items<'_>) -> Result<()> {
    values.not_bool().map_or(Ok(()), |byte| {
        Err(Error::new(Code::ChunkDecode, "a boolean is neither 0 nor 1")
            .element(&*read.array.path)
            .expected("0 to 1")
            .found(byte.to_string()))
    })
}

impl Reduce for Summing {
    fn begin(&self, lane: usize, wait: &mut dyn FnMut() -> Result<()>) -> Result<Partial> {
        let mut total = self.lock();
        // The first that is not done waits for none.
        while total.next != lane && total.waiting.len() >= self.most {
            total = self.merged.wait_timeout(total, NAP).unwrap_or_else(PoisonError::into_inner).0;
            wait()?;
        }
        drop(total);
        let (first, end) = self.results_of(lane);
        let (sums, charge) = self.zeros(first, end - first)?;
        Ok(Partial { first, sums, _charge: charge })
    }

    fn add(&self, partial: &mut Partial, reads: &[ArrayRead], met: &Met<'_>) -> Result<()> {
        if self.centre.is_some() {
            self.add_as::<{ Centred::WIDTH }, Centred>(partial, reads, met)
        } else {
            self.add_as::<{ Plain::WIDTH }, Plain>(partial, reads, met)
        }
    }

    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        let single = || match &self.starts {
            Some(starts) => read.role != Role::Indices || single_entries(starts, &read.chunk_span(at)[0]),
            None => true,
        };
        if self.lenient || (may_be_absent(read.role) && single()) { Ok(()) } else { Err(missing(read, at)) }
    }

    fn end(&self, lane: usize, partial: Partial) -> Result<()> {
        let mut total = self.lock();
        total.waiting.insert(lane, partial);
        let mut next = total.next;
        while let Some(partial) = total.waiting.remove(&next) {
            let to = partial.first * self.width;
            let Some(sums) = total.sums.get_mut(to..to + partial.sums.len()) else {
                return Err(Error::new(Code::Internal, "a lane has more results than there are"));
            };
            for (sums, more) in sums.chunks_exact_mut(self.width).zip(partial.sums.chunks_exact(self.width)) {
                if self.centre.is_some() { Centred::merge(sums, more) } else { Plain::merge(sums, more) }
            }
            next += 1;
        }
        total.next = next;
        drop(total);
        self.merged.notify_all();
        Ok(())
    }
}
