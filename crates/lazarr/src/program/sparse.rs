//! A compressed matrix, whole rows of it ("rows" along its major axis).

use std::ops::Range;
use std::sync::Arc;

use lazarr_format::anndata::Sparse;
use lazarr_format::{Code, Result};
use lazarr_plan::{Amount, ArrayPlan, ArrayRead, Index, Role, Segments, StagePlan};

use super::rows::{RowStarts, gap};
use super::{Cx, Leaf, Program, Stage, placed};
use crate::buffer::Buffer;
use crate::exec::convert::Convert;
use crate::exec::sink::{AbsentRule, Gather, Sink};
use crate::value::SparseMatrix;

enum State {
    Start,
    /// `indptr` has been asked for.
    Starts(RowStarts),
    /// The item before an absent chunk of `indptr` has been asked for.
    Proof(RowStarts, Box<super::fixed::Fixed>),
    /// The stored values have been asked for.
    Values(Box<Values>),
    Done,
}

struct Values {
    starts: Arc<RowStarts>,
    segments: Arc<Segments>,
    indptr: Buffer,
    nnz: u64,
    index_width: u8,
    out: Option<(Buffer, Buffer, [Gather; 2])>,
}

/// Reads selected rows: `indptr` windows, then the stretches of `data` and `indices`.
pub(crate) struct SparseRows {
    sparse: Arc<Sparse>,
    rows: Index,
    state: State,
    /// A block of a stream: its row starts were read and checked with their window.
    block: bool,
}

impl SparseRows {
    /// The rows of `rows`, in its order, repeats included.
    pub(crate) fn new(sparse: &Arc<Sparse>, rows: &Index) -> Self {
        Self { sparse: sparse.clone(), rows: rows.clone(), state: State::Start, block: false }
    }

    /// A block of a stream: its row starts are known.
    pub(crate) fn block(starts: RowStarts, rows: u64) -> Self {
        let sparse = starts.sparse().clone();
        Self { sparse, rows: Index::all(rows), state: State::Starts(starts), block: true }
    }

    fn array(&self, k: usize) -> &lazarr_format::ArrayRef {
        if k == 0 { &self.sparse.data } else { &self.sparse.indices }
    }

    fn values(&self, mut starts: RowStarts, cx: &Cx) -> Result<State> {
        starts.check()?;
        let (indptr, nnz) = indptr_of(&starts, self.rows.len(), cx)?;
        let places = indptr.as_slice().as_chunks::<8>().0;
        let segments = starts.segments(|row| u64::from_ne_bytes(places[row as usize]), cx)?;
        let index_width = index_width(self.rows.len(), self.sparse.minor_len(), nnz);
        let starts = Arc::new(starts);
        Ok(State::Values(Box::new(Values { starts, segments, indptr, nnz, index_width, out: None })))
    }
}

/// Row lengths added up along the destinations: the result's `indptr` (as u64), and the number of stored values.
pub(super) fn indptr_of(starts: &RowStarts, rows: u64, cx: &Cx) -> Result<(Buffer, u64)> {
    let mut indptr =
        Buffer::zeroed((rows + 1).saturating_mul(8), &cx.budget, "the row starts of the result")?;
    let out = indptr.as_mut_slice().as_chunks_mut::<8>().0;
    starts.each(|row, start, end| out[row as usize + 1] = (end - start).to_ne_bytes());
    let nnz = sum(out);
    Ok((indptr, nnz))
}

/// Turns lengths (after a leading 0) into starts; returns the total.
fn sum(out: &mut [[u8; 8]]) -> u64 {
    let mut total = 0u64;
    for item in out {
        total = total.saturating_add(u64::from_ne_bytes(*item));
        *item = total.to_ne_bytes();
    }
    total
}

/// The index width that scipy would choose: int32, or int64 where a length or the number of values needs it.
pub(crate) fn index_width(major: u64, minor: u64, nnz: u64) -> u8 {
    if i32::try_from(major.max(minor).max(nnz)).is_ok() { 4 } else { 8 }
}

/// `indptr` in its final width.
pub(super) fn narrow(indptr: Buffer, width: u8, cx: &Cx) -> Result<Buffer> {
    if width == 8 {
        return Ok(indptr);
    }
    let mut out = Buffer::zeroed(indptr.len() as u64 / 2, &cx.budget, "the row starts of the result")?;
    let items = indptr.as_slice().as_chunks::<8>().0;
    for (to, from) in out.as_mut_slice().as_chunks_mut::<4>().0.iter_mut().zip(items) {
        *to = (i64::from_ne_bytes(*from) as i32).to_ne_bytes();
    }
    Ok(out)
}

/// An absent chunk of indices is zeros: right only where no row has two entries in it.
pub(super) fn single_entries(starts: &RowStarts, span: &Range<u64>) -> bool {
    let mut single = true;
    starts.each_in(span.clone(), |_, from, to| {
        single &= to.min(span.end) - from.max(span.start) <= 1;
    });
    single
}

fn indices_rule(starts: &Arc<RowStarts>) -> AbsentRule {
    let starts = starts.clone();
    Box::new(move |_, span| single_entries(&starts, &span))
}

/// What is still to be read of `data` and `indices`, guessed from the mean row.
pub(super) fn guess(sparse: &Sparse, array: &lazarr_format::ArrayRef, rows: &Index) -> ArrayPlan {
    let (major, nnz) = (sparse.major_len().max(1), sparse.nnz());
    let wanted = (nnz as f64 * rows.len() as f64 / major as f64).ceil() as u64;
    let total = array.inner_count();
    // The mean, where they differ.
    let chunk = if array.grid.is_some() { nnz.div_ceil(total.max(1)) } else { array.inner_len() }.max(1);
    let runs = rows.run_count().max(1);
    let per_run = wanted as f64 / runs as f64 / chunk as f64;
    // A run of that many values touches one chunk more than it fills; runs that fall together share.
    let touched = if rows.is_empty() || nnz == 0 {
        0.0
    } else {
        let share = ((per_run + 1.0) / total.max(1) as f64).min(1.0);
        total as f64 * (1.0 - (1.0 - share).powf(runs as f64))
    };
    let chunks = (touched.ceil() as u64).min(total);
    let item = array.dtype.item_size().unwrap_or(8) as u64;
    let decode = chunks.saturating_mul(chunk).saturating_mul(item);
    let sharded = array.sharding.is_some();
    let shards = if sharded {
        array.grid_shape().iter().fold(1, |n: u64, &s| n.saturating_mul(s)).min(chunks)
    } else {
        0
    };
    ArrayPlan {
        path: array.path.clone(),
        shards: Amount::estimate(shards),
        chunks: Amount::estimate(chunks),
        chunks_total: total,
        requests: Amount::estimate(chunks + shards),
        index_requests: Amount::estimate(shards),
        fetch_bytes: Amount::estimate(decode / 2 + shards * array.shard_index_bytes()),
        decode_bytes: Amount::estimate(decode),
        ..ArrayPlan::default()
    }
}

impl Program for SparseRows {
    fn next(&mut self, cx: &Cx) -> Result<Option<Stage>> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Start => {
                let starts = RowStarts::new(&self.sparse, &self.rows, cx)?;
                let stage = starts.stage();
                self.state = State::Starts(starts);
                Ok(Some(stage))
            }
            State::Starts(starts) if self.block => {
                self.state = self.values(starts, cx)?;
                Ok(Some(self.stage()))
            }
            State::Starts(starts) => {
                if let Some(items) = unproven(&starts, cx)? {
                    let (stage, proof) = proof(&self.sparse, &items, cx)?;
                    self.state = State::Proof(starts, proof);
                    return Ok(Some(stage));
                }
                self.state = self.values(starts, cx)?;
                Ok(Some(self.stage()))
            }
            State::Proof(starts, proof) => {
                check_proof(&self.sparse, proof, cx)?;
                self.state = self.values(starts, cx)?;
                Ok(Some(self.stage()))
            }
            State::Values(values) => {
                self.state = State::Values(values);
                Ok(None)
            }
            State::Done => Ok(None),
        }
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        match &mut self.state {
            State::Starts(starts) => starts.open(cx),
            State::Proof(_, proof) => proof.open(cx),
            State::Values(v) => {
                let item = self.sparse.data.dtype.item_size().unwrap_or(1);
                let mut data =
                    Buffer::zeroed(v.nnz.saturating_mul(item as u64), &cx.budget, "the stored values")?;
                let width = u64::from(v.index_width);
                let mut indices = Buffer::zeroed(v.nnz.saturating_mul(width), &cx.budget, "the indices")?;
                let high = i64::try_from(self.sparse.minor_len()).unwrap_or(i64::MAX) - 1;
                let path = &self.sparse.indices.path;
                let gathers = [
                    Gather {
                        target: data.target(),
                        out_shape: vec![v.nnz],
                        convert: Convert::values(&self.sparse.data.dtype),
                        absent: None,
                        lenient: cx.lenient,
                        code: Code::ChunkDecode,
                    },
                    Gather {
                        target: indices.target(),
                        out_shape: vec![v.nnz],
                        convert: Convert::integers(&self.sparse.indices.dtype, v.index_width, 0, high, path)?,
                        absent: Some(indices_rule(&v.starts)),
                        lenient: cx.lenient,
                        code: Code::SparseIndices,
                    },
                ];
                v.out = Some((data, indices, gathers));
                Ok(())
            }
            State::Start | State::Done => Ok(()),
        }
    }

    fn sinks(&self) -> Vec<&dyn Sink> {
        match &self.state {
            State::Starts(starts) => starts.sink().into_iter().collect(),
            State::Proof(_, proof) => proof.sinks(),
            State::Values(v) => {
                v.out.iter().flat_map(|(_, _, gathers)| gathers.iter().map(|g| g as &dyn Sink)).collect()
            }
            State::Start | State::Done => Vec::new(),
        }
    }

    fn later(&self) -> Vec<StagePlan> {
        match &self.state {
            State::Values(_) | State::Done => Vec::new(),
            _ => {
                let arrays = [&self.sparse.data, &self.sparse.indices]
                    .map(|a| guess(&self.sparse, a, &self.rows))
                    .to_vec();
                let trips = if arrays.iter().any(|a| a.shards.value > 0) { 2 } else { 1 };
                vec![StagePlan { name: "values".into(), round_trips: Amount::upper(trips), arrays }]
            }
        }
    }

    fn output(&self) -> Amount {
        let item = self.sparse.data.dtype.item_size().unwrap_or(1) as u64;
        let (rows, minor) = (self.rows.len(), self.sparse.minor_len());
        let size = |nnz: u64| {
            let width = u64::from(index_width(rows, minor, nnz));
            nnz.saturating_mul(item + width).saturating_add((rows + 1).saturating_mul(width))
        };
        match &self.state {
            State::Values(v) => Amount::exact(size(v.nnz)),
            _ if self.rows.is_all() => Amount::exact(size(self.sparse.nnz())),
            _ => {
                let share = rows as f64 / self.sparse.major_len().max(1) as f64;
                Amount::estimate(size((self.sparse.nnz() as f64 * share).ceil() as u64))
            }
        }
    }

    fn beside(&self) -> Amount {
        match &self.state {
            State::Values(v) => Amount::exact(v.starts.bytes() + 8 * (self.rows.len() + 1)),
            _ => Amount::upper(self.rows.len().saturating_mul(32) + 64),
        }
    }

    fn resolve_hint(&self) -> Option<String> {
        let known = matches!(self.state, State::Values(_) | State::Done);
        (!known).then(|| {
            "reads the row starts (indptr) and the shard indices, and makes every number exact".into()
        })
    }

    fn finish(&mut self, cx: &Cx) -> Result<Leaf> {
        if let State::Values(v) = &self.state
            && v.out.is_none()
        {
            self.open(cx)?;
        }
        let State::Values(v) = std::mem::replace(&mut self.state, State::Done) else {
            return Err(lazarr_format::Error::new(
                Code::Internal,
                "a matrix was finished before it was read",
            ));
        };
        let Values { indptr, index_width, out: Some((data, indices, _)), .. } = *v else {
            return Err(lazarr_format::Error::new(
                Code::Internal,
                "a matrix was finished before it was read",
            ));
        };
        let mut shape = [0; 2];
        let major = self.sparse.format.major_axis();
        shape[major] = self.rows.len();
        shape[1 - major] = self.sparse.minor_len();
        Ok(Leaf::Sparse(SparseMatrix {
            format: self.sparse.format,
            shape,
            dtype: self.sparse.data.dtype.clone(),
            index_width,
            data,
            indices,
            indptr: narrow(indptr, index_width, cx)?,
        }))
    }
}

impl SparseRows {
    fn stage(&self) -> Stage {
        let State::Values(v) = &self.state else {
            return Stage::new("values", Vec::new(), true);
        };
        let data = ArrayRead::new(self.array(0), vec![v.segments.clone()], Role::Data);
        let indices = data.beside(self.array(1), Role::Indices);
        let reads = vec![data, indices];
        Stage::new("values", reads, true)
    }
}

/// The row starts that must be shown to be 0, unless absent chunks are the fill value wherever they are.
pub(super) fn unproven(starts: &RowStarts, cx: &Cx) -> Result<Option<Index>> {
    if cx.lenient { Ok(None) } else { starts.unproven(cx) }
}

/// A stage that reads some items of `indptr`.
pub(super) fn proof(
    sparse: &Arc<Sparse>,
    items: &Index,
    cx: &Cx,
) -> Result<(Stage, Box<super::fixed::Fixed>)> {
    let mut proof =
        Box::new(super::fixed::Fixed::new(&sparse.indptr, std::slice::from_ref(items), Role::Indptr));
    let _ = proof.next(cx)?;
    let read = ArrayRead::new(&sparse.indptr, vec![placed(items)], Role::Indptr);
    Ok((Stage::new("indptr", vec![read], false), proof))
}

/// Absent row starts are legal only as a prefix: what stands before them must be 0.
pub(super) fn check_proof(sparse: &Sparse, mut proof: Box<super::fixed::Fixed>, cx: &Cx) -> Result<()> {
    match proof.finish(cx)? {
        Leaf::Dense(items) if items.data.as_slice().iter().any(|&b| b != 0) => Err(gap(sparse)),
        _ => Ok(()),
    }
}
