//! A compressed matrix, some columns of it ("columns" along its minor axis): `indices` is searched, then the stored
//! values that were found are read.

use std::sync::Arc;

use lazarr_format::anndata::Sparse;
use lazarr_format::{Code, Error, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Placement, Role, StagePlan};

use super::matches::Matches;
use super::rows::RowStarts;
use super::search::Search;
use super::sparse::{check_proof, guess, index_width, proof, unproven};
use super::{Cx, Leaf, Program, Stage, placed};
use crate::buffer::Buffer;
use crate::exec::convert::Convert;
use crate::exec::sink::{Gather, Sink};
use crate::ledger::Charge;
use crate::value::SparseMatrix;

enum State {
    Start,
    /// From afar all indices come beside the row starts, where all rows are wanted: a round trip less.
    Starts(RowStarts, Option<Box<Search>>),
    Proof(RowStarts, Box<super::fixed::Fixed>, Option<Box<Search>>),
    Search(Box<Search>),
    Values(Box<Values>),
    Done,
}

struct Values {
    matches: Arc<Matches>,
    indptr: Buffer,
    indices: Buffer,
    index_width: u8,
    data: Option<(Buffer, Gather)>,
    held: Charge,
}

/// Reads selected rows and columns. Rows are sorted and made unique for reading, and expanded at the end.
pub(crate) struct SparseFilter {
    sparse: Arc<Sparse>,
    rows: Index,
    sorted: Index,
    columns: Index,
    state: State,
}

impl SparseFilter {
    /// The rows of `rows` and the columns of `columns`, in their order, repeats included.
    pub(crate) fn new(sparse: &Arc<Sparse>, rows: &Index, columns: &Index) -> Self {
        let sorted = if rows.is_monotone() { rows.clone() } else { rows.unique_sorted() };
        Self {
            sparse: sparse.clone(),
            rows: rows.clone(),
            sorted,
            columns: columns.clone(),
            state: State::Start,
        }
    }

    /// The row starts, and with them all indices where that saves waiting.
    fn start(&self, cx: &Cx) -> Result<(State, Stage)> {
        let starts = RowStarts::new(&self.sparse, &self.sorted, cx)?;
        let all = self.sorted.is_identity_range() == Some(0..self.sparse.major_len());
        if !cx.distant || !all || self.sparse.nnz() == 0 || self.columns.is_empty() {
            let stage = starts.stage();
            return Ok((State::Starts(starts, None), stage));
        }
        let values = Index::all(self.sparse.nnz());
        let indices = ArrayRead::new(&self.sparse.indices, vec![placed(&values)], Role::Indices);
        let search = Search::new(&self.sparse, None, &self.columns, &cx.budget, cx.lenient)?;
        let stage = Stage {
            ahead: vec![self.sparse.data.clone()],
            ..Stage::new("indptr, indices", vec![starts.read(), indices], false)
        };
        Ok((State::Starts(starts, Some(Box::new(search))), stage))
    }

    fn search(&self, mut starts: RowStarts, known: Option<Box<Search>>, cx: &Cx) -> Result<(State, Stage)> {
        starts.check()?;
        if let Some(mut search) = known {
            search.settle(&starts)?;
            return self.values(*search, cx);
        }
        // Destinations do not matter here: only what is touched.
        let segments = starts.segments(|_| 0, cx)?;
        let read = ArrayRead::new(&self.sparse.indices, vec![segments], Role::Indices);
        let search = Search::new(&self.sparse, Some(starts), &self.columns, &cx.budget, cx.lenient)?;
        let stage = Stage::new("indices", vec![read], false);
        Ok((State::Search(Box::new(search)), stage))
    }

    fn values(&self, search: Search, cx: &Cx) -> Result<(State, Stage)> {
        let (mut found, mut held) = search.into_found();
        let rows = self.sorted.len();
        let mut indptr =
            Buffer::zeroed((rows + 1).saturating_mul(8), &cx.budget, "the row starts of the result")?;
        let mut total = 0u64;
        {
            let lengths = indptr.as_mut_slice().as_chunks_mut::<8>().0;
            for f in &mut found {
                f.first = total;
                total += f.places.len() as u64;
                for &(row, n) in &f.rows {
                    let length = &mut lengths[row as usize + 1];
                    *length = (u64::from_ne_bytes(*length) + u64::from(n)).to_ne_bytes();
                }
                f.rows = Vec::new();
            }
            let mut sum = 0u64;
            for item in lengths {
                sum += u64::from_ne_bytes(*item);
                *item = sum.to_ne_bytes();
            }
        }
        let width = index_width(self.rows.len(), self.columns.len(), total);
        let mut indices = Buffer::zeroed(total * u64::from(width), &cx.budget, "the indices")?;
        let mut left = indices.as_mut_slice();
        for f in &mut found {
            let columns = std::mem::take(&mut f.columns);
            let (now, later) = std::mem::take(&mut left).split_at_mut(columns.len() * usize::from(width));
            left = later;
            if width == 4 {
                let out = now.as_chunks_mut::<4>().0;
                out.iter_mut().zip(&columns).for_each(|(o, c)| *o = (*c as i32).to_ne_bytes());
            } else {
                let out = now.as_chunks_mut::<8>().0;
                out.iter_mut().zip(&columns).for_each(|(o, c)| *o = i64::from(*c).to_ne_bytes());
            }
        }
        held.shrink_to(found.iter().map(|f| f.places.bytes() as u64).sum());
        let matches = Arc::new(Matches::new(found, total));
        let read = ArrayRead::new(&self.sparse.data, vec![matches.clone()], Role::Data);
        let values = Values { matches, indptr, indices, index_width: width, data: None, held };
        Ok((State::Values(Box::new(values)), Stage::new("values", vec![read], true)))
    }
}

impl Program for SparseFilter {
    fn next(&mut self, cx: &Cx) -> Result<Option<Stage>> {
        let (state, stage) = match std::mem::replace(&mut self.state, State::Done) {
            State::Start => self.start(cx)?,
            State::Starts(starts, search) => match unproven(&starts, cx)? {
                Some(items) => {
                    let (stage, proof) = proof(&self.sparse, &items, cx)?;
                    (State::Proof(starts, proof, search), stage)
                }
                None => self.search(starts, search, cx)?,
            },
            State::Proof(starts, proof, search) => {
                check_proof(&self.sparse, proof, cx)?;
                self.search(starts, search, cx)?
            }
            State::Search(search) => self.values(*search, cx)?,
            state @ (State::Values(_) | State::Done) => {
                self.state = state;
                return Ok(None);
            }
        };
        self.state = state;
        Ok(Some(stage))
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        match &mut self.state {
            State::Starts(starts, _) => starts.open(cx),
            State::Proof(_, proof, _) => proof.open(cx),
            State::Values(v) => {
                let size = self.sparse.data.dtype.item_size().unwrap_or(1);
                let bytes = v.matches.len().saturating_mul(size as u64);
                let mut data = Buffer::zeroed(bytes, &cx.budget, "the stored values")?;
                let gather = Gather {
                    target: data.target(),
                    out_shape: vec![v.matches.len()],
                    convert: Convert::values(&self.sparse.data.dtype),
                    absent: None,
                    lenient: cx.lenient,
                    code: Code::ChunkDecode,
                };
                v.data = Some((data, gather));
                Ok(())
            }
            State::Start | State::Search(_) | State::Done => Ok(()),
        }
    }

    fn sinks(&self) -> Vec<&dyn Sink> {
        match &self.state {
            State::Starts(starts, search) => {
                starts.sink().into_iter().chain(search.iter().map(|s| &**s as &dyn Sink)).collect()
            }
            State::Proof(_, proof, _) => proof.sinks(),
            State::Search(search) => vec![&**search],
            State::Values(v) => v.data.iter().map(|(_, g)| g as &dyn Sink).collect(),
            State::Start | State::Done => Vec::new(),
        }
    }

    fn later(&self) -> Vec<StagePlan> {
        let stage = |name: &str, arrays: Vec<_>| StagePlan {
            name: name.into(),
            round_trips: Amount::upper(2),
            arrays,
        };
        let indices = || stage("indices", vec![guess(&self.sparse, &self.sparse.indices, &self.sorted)]);
        // Which chunks hold a match is unknown: at most those that hold the rows.
        let values = || stage("values", vec![guess(&self.sparse, &self.sparse.data, &self.sorted)]);
        match &self.state {
            State::Start | State::Starts(_, None) | State::Proof(_, _, None) => vec![indices(), values()],
            State::Starts(..) | State::Proof(..) | State::Search(_) => vec![values()],
            State::Values(_) | State::Done => Vec::new(),
        }
    }

    fn output(&self) -> Amount {
        let size = self.sparse.data.dtype.item_size().unwrap_or(1) as u64;
        let of = |nnz: u64| {
            let width = u64::from(index_width(self.rows.len(), self.columns.len(), nnz));
            nnz.saturating_mul(size + width).saturating_add((self.rows.len() + 1).saturating_mul(width))
        };
        match &self.state {
            State::Values(v) if self.rows.is_monotone() => Amount::exact(of(v.matches.len())),
            _ => {
                let share = self.rows.len() as f64 / self.sparse.major_len().max(1) as f64
                    * (self.columns.len() as f64 / self.sparse.minor_len().max(1) as f64);
                Amount::estimate(of((self.sparse.nnz() as f64 * share).ceil() as u64))
            }
        }
    }

    fn beside(&self) -> Amount {
        let output = self.output();
        // What is found is kept beside the result, in lists that have grown.
        let found = output.value.saturating_add(output.value / 2);
        Amount::estimate(found.saturating_add(self.sorted.len().saturating_mul(32)))
    }

    fn resolve_hint(&self) -> Option<String> {
        let known = matches!(self.state, State::Values(_) | State::Done);
        (!known).then(|| "reads indptr and searches the indices, and makes every number exact".into())
    }

    fn finish(&mut self, cx: &Cx) -> Result<Leaf> {
        let unread = || Error::new(Code::Internal, "a matrix was finished before it was read");
        if let State::Values(v) = &self.state
            && v.data.is_none()
        {
            self.open(cx)?;
        }
        let State::Values(v) = std::mem::replace(&mut self.state, State::Done) else { return Err(unread()) };
        let Values { indptr, indices, index_width, data: Some((data, _)), held, .. } = *v else {
            return Err(unread());
        };
        drop(held);
        let mut shape = [0; 2];
        let major = self.sparse.format.major_axis();
        shape[major] = self.sorted.len();
        shape[1 - major] = self.columns.len();
        let mut matrix = SparseMatrix {
            format: self.sparse.format,
            shape,
            dtype: self.sparse.data.dtype.clone(),
            index_width,
            data,
            indices,
            indptr: super::sparse::narrow(indptr, index_width, cx)?,
        };
        if !self.rows.is_monotone() {
            matrix = super::take::take_major(&matrix, &self.rows.expansion(), cx)?;
        }
        Ok(Leaf::Sparse(matrix))
    }
}
