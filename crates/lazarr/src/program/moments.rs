//! Sums of values and of their squares along one axis of a matrix: what mean and variance are made of.
//!
//! Nothing is collected. The selection is cut into lanes whose bounds depend on the matrix alone; one thread walks a lane
//! and keeps its sums, and the sums of all lanes are added in their order. So they are the same for any number of threads.

mod kernel;
mod lanes;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lazarr_format::anndata::Sparse;
use lazarr_format::{ArrayRef, Code, DataType, Error, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Role, Run, StagePlan};

use super::rows::RowStarts;
use super::sparse::{check_proof, guess, proof, single_entries, unproven};
use super::{Cx, Leaf, Program, Stage, placed};
use crate::exec::lanes::{Lanes, Met, Partial, Reduce};
use crate::exec::sink::{may_be_absent, missing};
use crate::ledger::{Budget, Charge};
use kernel::{Centred, Form, Items, Plain};

/// What is summed.
#[derive(Clone)]
pub(crate) enum Matrix {
    /// Stored values of a compressed matrix; what is not stored is 0 and adds nothing.
    Sparse {
        sparse: Arc<Sparse>,
        /// Along the major axis, and along the other.
        major: Index,
        minor: Index,
        /// Whether there is a result for each "row", along the major axis; else for each "column".
        by_row: bool,
    },
    /// All items of an array of two axes.
    Dense {
        array: ArrayRef,
        axes: [Index; 2],
        /// The axis with a result for each of its places.
        kept: usize,
    },
}

/// Sums of each result: what they are of stands with [`Form`].
#[allow(clippy::struct_field_names, reason = "there is no better word for what they are")]
pub(crate) struct Sums {
    /// Two or four for each result: [`Moments::new`], [`Moments::centred`].
    pub(crate) sums: Vec<f64>,
    /// Whether they are four.
    pub(crate) centred: bool,
    /// Lanes that were added up.
    pub(crate) lanes: usize,
    _charge: Charge,
}

enum State {
    Start,
    Starts(RowStarts),
    Proof(RowStarts, Box<super::fixed::Fixed>),
    Sum(Box<Summing>),
    Done,
}

/// Reads a matrix and keeps sums.
pub(crate) struct Moments {
    matrix: Matrix,
    /// Numbers near the means.
    centre: Option<Arc<Vec<f64>>>,
    /// The selected rows, sorted and unique.
    sorted: Index,
    state: State,
}

impl Moments {
    /// Sums of values and of their squares, of every column of a compressed matrix, of its selected rows, or of the
    /// selected places of an array.
    pub(crate) fn new(matrix: Matrix) -> Self {
        let sorted = match &matrix {
            Matrix::Sparse { major, .. } if !major.is_monotone() => major.unique_sorted(),
            Matrix::Sparse { major, .. } => major.clone(),
            Matrix::Dense { axes, .. } => axes[0].clone(),
        };
        Self { matrix, centre: None, sorted, state: State::Start }
    }

    /// The same of what values differ from these numbers: the number is the third sum, and how many values there were the
    /// fourth.
    pub(crate) fn centred(matrix: Matrix, centre: Vec<f64>) -> Self {
        Self { centre: Some(Arc::new(centre)), ..Self::new(matrix) }
    }

    fn width(&self) -> usize {
        if self.centre.is_some() { Centred::WIDTH } else { Plain::WIDTH }
    }

    /// Results that sums are kept for.
    fn results(&self) -> u64 {
        match &self.matrix {
            Matrix::Sparse { by_row: true, .. } => self.sorted.len(),
            Matrix::Sparse { sparse, .. } => sparse.minor_len(),
            Matrix::Dense { axes, kept, .. } => axes[*kept].len(),
        }
    }

    fn bytes(&self) -> u64 {
        self.results().saturating_mul(8 * self.width() as u64)
    }

    /// Whether the indices say something: where all columns are added up they do not.
    fn needs_indices(&self) -> bool {
        match &self.matrix {
            Matrix::Sparse { minor, by_row, .. } => !by_row || !minor.is_all(),
            Matrix::Dense { .. } => false,
        }
    }

    /// How often each place of an axis is wanted; `None` where each is, once.
    fn weights(index: &Index, places: u64, cx: &Cx) -> Result<Option<(Vec<f64>, Charge)>> {
        let charge =
            cx.budget.charge(places.saturating_mul(8), "how often each row or column is selected")?;
        let mut weights = vec![0.0; places as usize];
        for at in index {
            weights[at as usize] += 1.0;
        }
        Ok(Some((weights, charge)))
    }

    fn sum(&self, starts: Option<RowStarts>, cx: &Cx) -> Result<(State, Stage)> {
        let mut weights = None;
        let mut reads = Vec::new();
        let mut starts = starts;
        let (kind, path) = match &self.matrix {
            Matrix::Sparse { sparse, major, minor, by_row } => {
                let Some(starts) = &mut starts else {
                    return Err(Error::new(Code::Internal, "row starts were not read"));
                };
                starts.check()?;
                let segments = starts.segments(|_| 0, cx)?;
                reads.push(ArrayRead::new(&sparse.data, vec![segments.clone()], Role::Data));
                if self.needs_indices() {
                    reads.push(ArrayRead::new(&sparse.indices, vec![segments], Role::Indices));
                }
                if *by_row && !minor.is_all() {
                    weights = Self::weights(minor, sparse.minor_len(), cx)?;
                } else if !by_row && major.has_duplicates() {
                    weights = Self::weights(&major.expansion(), self.sorted.len(), cx)?;
                }
                (if *by_row { Kind::Rows } else { Kind::Columns }, &sparse.indices.path)
            }
            Matrix::Dense { array, axes, kept } => {
                lazarr_plan::check_rank(array, &axes.each_ref().map(placed))?;
                reads.push(ArrayRead::new(array, axes.iter().map(placed).collect(), Role::Values));
                (Kind::Dense { kept: *kept }, &array.path)
            }
        };
        let results = usize::try_from(self.results())
            .map_err(|_| Error::new(Code::OutOfMemory, "there are too many results").element(&**path))?;
        let own = if kind == Kind::Columns { self.results() } else { 0 };
        let lanes = lanes::cut(&reads, own);
        let summing = Summing {
            kind,
            results,
            starts,
            weights,
            lanes,
            centre: self.centre.clone(),
            width: self.width(),
            budget: cx.budget.clone(),
            lenient: cx.lenient,
            most: cx.threads,
            total: Mutex::new(Total {
                next: 0,
                waiting: BTreeMap::new(),
                sums: Vec::new(),
                charge: cx.budget.open(),
            }),
            merged: Condvar::new(),
        };
        Ok((State::Sum(Box::new(summing)), Stage::new("values", reads, true)))
    }
}

impl Program for Moments {
    fn next(&mut self, cx: &Cx) -> Result<Option<Stage>> {
        let (state, stage) = match std::mem::replace(&mut self.state, State::Done) {
            State::Start => match &self.matrix {
                Matrix::Dense { .. } => self.sum(None, cx)?,
                Matrix::Sparse { sparse, .. } => {
                    let starts = RowStarts::new(sparse, &self.sorted, cx)?;
                    let stage = starts.stage();
                    (State::Starts(starts), stage)
                }
            },
            State::Starts(starts) => match (unproven(&starts, cx)?, &self.matrix) {
                (Some(items), Matrix::Sparse { sparse, .. }) => {
                    let (stage, proof) = proof(sparse, &items, cx)?;
                    (State::Proof(starts, proof), stage)
                }
                _ => self.sum(Some(starts), cx)?,
            },
            State::Proof(starts, proof) => {
                check_proof(starts.sparse(), proof, cx)?;
                self.sum(Some(starts), cx)?
            }
            state @ (State::Sum(_) | State::Done) => {
                self.state = state;
                return Ok(None);
            }
        };
        self.state = state;
        Ok(Some(stage))
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        match &mut self.state {
            State::Starts(starts) => starts.open(cx),
            State::Proof(_, proof) => proof.open(cx),
            State::Sum(summing) => summing.open(),
            State::Start | State::Done => Ok(()),
        }
    }

    fn sinks(&self) -> Vec<&dyn crate::exec::sink::Sink> {
        match &self.state {
            State::Starts(starts) => starts.sink().into_iter().collect(),
            State::Proof(_, proof) => proof.sinks(),
            State::Start | State::Sum(_) | State::Done => Vec::new(),
        }
    }

    fn lanes(&self) -> Option<Lanes<'_>> {
        let State::Sum(summing) = &self.state else { return None };
        // A thread's own, and those that wait for a lane before them.
        Some(Lanes { lanes: &summing.lanes, sums: 2 * summing.most_sums(), reduce: &**summing })
    }

    fn later(&self) -> Vec<StagePlan> {
        let (Matrix::Sparse { sparse, .. }, State::Start | State::Starts(_) | State::Proof(..)) =
            (&self.matrix, &self.state)
        else {
            return Vec::new();
        };
        let mut arrays = vec![guess(sparse, &sparse.data, &self.sorted)];
        if self.needs_indices() {
            arrays.push(guess(sparse, &sparse.indices, &self.sorted));
        }
        vec![StagePlan { name: "values".into(), round_trips: Amount::upper(2), arrays }]
    }

    fn output(&self) -> Amount {
        let picked = match &self.matrix {
            Matrix::Sparse { major, by_row: true, .. } => major.len(),
            Matrix::Sparse { minor, .. } => minor.len(),
            Matrix::Dense { axes, kept, .. } => axes[*kept].len(),
        };
        Amount::exact(picked.saturating_mul(16))
    }

    fn beside(&self) -> Amount {
        let starts = match &self.state {
            State::Sum(s) => s.starts.as_ref().map_or(0, RowStarts::bytes),
            _ if matches!(self.matrix, Matrix::Sparse { .. }) => self.sorted.len().saturating_mul(32) + 64,
            _ => 0,
        };
        let weights = match &self.matrix {
            Matrix::Sparse { sparse, minor, by_row: true, .. } if !minor.is_all() => 8 * sparse.minor_len(),
            Matrix::Sparse { major, by_row: false, .. } if major.has_duplicates() => 8 * self.sorted.len(),
            _ => 0,
        };
        let bytes = self.bytes().saturating_add(starts).saturating_add(weights);
        if matches!(self.state, State::Sum(_)) { Amount::exact(bytes) } else { Amount::upper(bytes) }
    }

    fn resolve_hint(&self) -> Option<String> {
        let known = matches!(self.state, State::Sum(_) | State::Done);
        (!known).then(|| {
            "reads the row starts (indptr) and the shard indices, and makes every number exact".into()
        })
    }

    fn finish(&mut self, _: &Cx) -> Result<Leaf> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Sum(summing) => {
                summing.open()?;
                let total = summing.total.into_inner().unwrap_or_else(PoisonError::into_inner);
                let (centred, lanes) = (summing.centre.is_some(), summing.lanes.len());
                Ok(Leaf::Sums(Sums { sums: total.sums, centred, lanes, _charge: total.charge }))
            }
            _ => Err(Error::new(Code::Internal, "sums were finished before they were read")),
        }
    }
}

/// Where a value goes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// By its index.
    Columns,
    /// By the row that it is in.
    Rows,
    /// By its place along one axis of an array.
    Dense { kept: usize },
}

/// The sums under way.
struct Summing {
    kind: Kind,
    results: usize,
    starts: Option<RowStarts>,
    /// How often each row is wanted, or each column where there is a result for each row.
    weights: Option<(Vec<f64>, Charge)>,
    lanes: Vec<Vec<ArrayRead>>,
    centre: Option<Arc<Vec<f64>>>,
    width: usize,
    budget: Budget,
    lenient: bool,
    /// So many lanes may wait for one before them.
    most: usize,
    total: Mutex<Total>,
    merged: Condvar,
}

/// Lanes that are done, added up to the first that is not.
struct Total {
    next: usize,
    waiting: BTreeMap<usize, Partial>,
    sums: Vec<f64>,
    charge: Charge,
}

/// What sums are charged as.
const SUMS: &str = "the sums of a reduction";

/// How long a thread sleeps until it looks whether to stop.
const NAP: Duration = Duration::from_millis(20);

impl Summing {
    fn lock(&self) -> MutexGuard<'_, Total> {
        self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for all sums; once.
    fn open(&self) -> Result<()> {
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
    fn most_sums(&self) -> u64 {
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
                    result = kernel::scatter::<W, F>(sums, values(from, to), indices(from, to))
                        .map_err(|at| outside(at, from));
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

/// Booleans must be 0 or 1, as wherever they are read.
fn legal(read: &ArrayRead, values: Items<'_>) -> Result<()> {
    values.not_bool().map_or(Ok(()), |byte| {
        Err(Error::new(Code::ChunkDecode, "a boolean is neither 0 nor 1")
            .element(&*read.array.path)
            .expected("0 to 1")
            .found(byte.to_string()))
    })
}

/// Whether values of this type can be added up.
pub(crate) fn is_number(dtype: &DataType) -> bool {
    kernel::is_number(dtype)
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

#[cfg(test)]
#[path = "moments_tests.rs"]
mod tests;
