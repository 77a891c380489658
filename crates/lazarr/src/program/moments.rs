//! Sums of values and of their squares along one axis of a matrix: what mean and variance are made of.
//!
//! Nothing is collected. The selection is cut into lanes whose bounds depend on the matrix alone; one thread walks a lane
//! and keeps its sums, and the sums of all lanes are added in their order. So they are the same for any number of threads.

mod items;
mod kernel;
mod lanes;
mod summing;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use lazarr_format::anndata::Sparse;
use lazarr_format::{ArrayRef, Code, DataType, Error, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Role, StagePlan};

use super::rows::RowStarts;
use super::sparse::{check_proof, guess, proof, unproven};
use super::{Cx, Leaf, Program, Stage, placed};
use crate::exec::lanes::Lanes;
use crate::ledger::Charge;
use kernel::{Centred, Form, Plain};
use summing::{Kind, Summing, Total};

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

/// Whether values of this type can be added up.
pub(crate) fn is_number(dtype: &DataType) -> bool {
    items::is_number(dtype)
}

#[cfg(test)]
#[path = "moments_tests.rs"]
mod tests;
