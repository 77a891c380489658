//! Rows in blocks of bounded bytes, in order.
//!
//! Blocks of a csr matrix are cut by its row starts, which are read window by window. Other elements are cut by the size
//! of their rows, where possible at the edges of their chunks. The chunks in which one block ends and the next begins are
//! carried over, so that each chunk is fetched and decoded once, while the rows ascend. Where they do not, and of csc,
//! one pass over the matrix brings as many rows as fit, and blocks are cut from them.

mod cuts;
mod joined;
mod narrow;
mod pass;
mod spread;

use std::sync::Arc;

use lazarr_format::anndata::{Body, Sparse, SparseFormat};
use lazarr_format::{ArrayRef, Code, Error, Result};
use lazarr_plan::Index;

use crate::axis::Step;
use crate::call::{Call, Run};
use crate::concat::concat_of;
use crate::exec::carry::{Carry, Carrying};
use crate::lazy::Lazy;
use crate::program::{Leaf, RowStarts, SparseRows, Starts, Want};
use crate::value::Value;
pub use cuts::Cuts;
use joined::Parts;
use pass::Pass;
pub(crate) use pass::passes;

/// A block of rows.
#[derive(Debug)]
pub struct RowBlock {
    /// The first row, counted in the selection.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// The rows.
    pub value: Value,
}

/// A stream of row blocks; see [`Lazy::stream`].
pub struct RowBlocks {
    lazy: Lazy,
    /// The axis that is cut: rows, or the columns of a csc matrix.
    axis: usize,
    rows: Index,
    at: u64,
    most_rows: u64,
    most_bytes: u64,
    /// The row starts of the rows from `window_at` on.
    window: Option<Box<RowStarts>>,
    window_at: u64,
    window_end: u64,
    carry: Arc<Carry>,
    /// Rows that a pass over the matrix has brought.
    pass: Option<Pass>,
    /// Of a concatenation, its parts.
    parts: Option<Box<Parts>>,
    /// So many rows of a pass have fitted.
    fitting: u64,
}

/// Rows whose starts are read together.
const WINDOW: u64 = 1 << 18;
/// A block by default, where the limit allows it.
const BLOCK_BYTES: u64 = 64 << 20;

impl Lazy {
    /// The rows (axis 0) in blocks: at most `rows` rows and `bytes` bytes each, one row at least. In a block of csc the rows of
    /// each column ascend.
    pub fn stream(&self, call: &Call<'_>, rows: Option<u64>, bytes: Option<u64>) -> Result<RowBlocks> {
        self.stream_along(0, call, rows, bytes)
    }

    /// The same along an axis: 0, or 1 of a csc matrix, whose blocks are then its columns.
    pub(crate) fn stream_along(
        &self,
        along: usize,
        call: &Call<'_>,
        rows: Option<u64>,
        bytes: Option<u64>,
    ) -> Result<RowBlocks> {
        if rows == Some(0) || bytes == Some(0) {
            return Err(Error::new(Code::IndexKind, "a block has at least one row and one byte"));
        }
        let Some(axis) =
            self.axes().get(along).filter(|_| !self.dropped().get(along).copied().unwrap_or(true))
        else {
            return Err(
                Error::new(Code::Operation, "this element has no rows").element(&*self.element().path)
            );
        };
        let run = Run::new(self.session(), call);
        let index = axis.resolve(&run)?;
        let parts = match concat_of(self.element()) {
            Some(concat) if along == 0 => Parts::of(concat, self, &run)?.map(Box::new),
            _ => None,
        };
        let mut blocks = RowBlocks {
            lazy: self.clone(),
            axis: along,
            rows: index,
            at: 0,
            most_rows: rows.unwrap_or(u64::MAX),
            most_bytes: u64::MAX,
            window: None,
            window_at: 0,
            window_end: 0,
            carry: Arc::default(),
            pass: None,
            parts,
            fitting: u64::MAX,
        };
        blocks.most_bytes =
            bytes.unwrap_or_else(|| block_bytes(self, &run, blocks.needs_passes().is_some())).max(1);
        Ok(blocks)
    }
}

impl RowBlocks {
    /// Rows in all.
    pub fn len(&self) -> u64 {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next block begins with this row. What comes before it is not read.
    pub(crate) fn go_to(&mut self, row: u64, call: &Call<'_>) -> Result<()> {
        self.at = row.min(self.rows.len());
        (self.window, self.window_at, self.window_end) = (None, 0, 0);
        (self.pass, self.carry) = (None, Arc::default());
        if self.parts.is_some()
            && let Some(concat) = concat_of(self.lazy.element())
        {
            let parts = Parts::of(concat, &self.lazy, &Run::new(self.lazy.session(), call))?;
            self.parts = parts.map(Box::new);
            if let Some(parts) = &mut self.parts {
                parts.skip(self.at, call, (self.most_rows, self.most_bytes))?;
            }
        }
        Ok(())
    }

    /// The next block; `None` after the last.
    pub fn next(&mut self, call: &Call<'_>) -> Result<Option<RowBlock>> {
        if self.at >= self.rows.len() {
            return Ok(None);
        }
        let session = self.lazy.session().clone();
        let mut run = Run::new(&session, call);
        let start = self.at;
        if let (Some(parts), Some(concat)) = (&mut self.parts, concat_of(self.lazy.element())) {
            let most = (self.most_rows, self.most_bytes);
            let Some((rows, value)) = parts.next(concat, &self.lazy, call, most)? else {
                return Err(Error::new(Code::Internal, "a part ended before its rows"));
            };
            self.at = start + rows;
            return Ok(Some(RowBlock { start, end: self.at, value }));
        }
        let (end, value) = match self.whole_rows() {
            Some(sparse) => self.sparse_block(&sparse, &mut run)?,
            None => match self.needs_passes() {
                Some(sparse) => self.pass_block(&sparse, call, &run)?,
                None => self.other_block(&mut run)?,
            },
        };
        self.at = end;
        Ok(Some(RowBlock { start, end, value }))
    }

    /// The matrix, where blocks are whole ascending rows of csr.
    fn whole_rows(&self) -> Option<Arc<Sparse>> {
        let Body::Sparse(s) = &self.lazy.element().body else { return None };
        let others = self.lazy.axes().get(1 - self.axis).is_some_and(|a| a.is_all());
        (s.format.major_axis() == self.axis && others && self.rows.is_monotone()).then(|| s.clone())
    }

    /// The matrix, where each block would go through much of it again.
    fn needs_passes(&self) -> Option<Arc<Sparse>> {
        match &self.lazy.element().body {
            Body::Sparse(s) if self.axis == 0 => {
                (s.format == SparseFormat::Csc || !self.rows.is_monotone()).then(|| s.clone())
            }
            _ => None,
        }
    }

    /// What is handed on, where the next block begins with this row of the selection.
    fn carrying(&self, end: u64) -> Option<Carrying> {
        let rows = self.lazy.element().shape().and_then(|s| s.get(self.axis).copied()).unwrap_or(0);
        let next = self.rows.get(end);
        // Rows of a concatenation are not those of its arrays.
        let own = self.rows.is_monotone() && concat_of(self.lazy.element()).is_none();
        own.then(|| Carrying { carry: self.carry.clone(), rows, next })
    }

    fn sparse_block(&mut self, sparse: &Arc<Sparse>, run: &mut Run<'_>) -> Result<(u64, Value)> {
        if self.at >= self.window_end || self.window.is_none() {
            let end = (self.at + WINDOW.min(most_window(run))).min(self.rows.len());
            self.window = None;
            let rows = self.rows.compose(&range(self.at, end, self.rows.len()))?;
            let element = self.lazy.element().clone();
            run.carrying = self.carrying(end);
            let (_, leaves) = run.leaves(&|| Ok(Want::one(&element, Starts::new(sparse, &rows))))?;
            let Some(Leaf::Starts(starts)) = leaves.into_iter().flatten().next() else {
                return Err(Error::new(Code::Internal, "no row starts came"));
            };
            self.window = Some(starts);
            self.window_at = self.at;
            self.window_end = end;
        }
        let Some(window) = &self.window else { return Err(Error::new(Code::Internal, "no row starts")) };
        let item = sparse.data.dtype.item_size().unwrap_or(8) as u64 + 4;
        let first = self.at - self.window_at;
        let last = self.window_end - self.window_at;
        let (mut end, mut bytes) = (first, 0u64);
        let (most_rows, most_bytes) = (self.most_rows, self.most_bytes);
        window.each_from(first, last, |row, from, to| {
            bytes = bytes.saturating_add((to - from) * item + 4);
            if row > first && (bytes > most_bytes || row - first >= most_rows) {
                return false;
            }
            end = row + 1;
            true
        });
        run.carrying = self.carrying(self.window_at + end);
        let element = self.lazy.element().clone();
        let value = run.read(&|| {
            let part = window.part(first, end, &run.cx)?;
            Ok(Want::one(&element, SparseRows::block(part, end - first)))
        })?;
        Ok((self.window_at + end, value))
    }

    fn other_block(&self, run: &mut Run<'_>) -> Result<(u64, Value)> {
        let n = self.rows.len();
        let row = row_bytes(&self.lazy, self.axis);
        let mut rows = (self.most_bytes / row).clamp(1, self.most_rows);
        // At the edges of chunks, where blocks are larger than chunks.
        if let Some((start, 1, _)) = self.rows.as_range().filter(|_| self.axis == 0)
            && concat_of(self.lazy.element()).is_none()
            && let Some(widest) =
                self.lazy.element().arrays().iter().max_by_key(|a| a.inner_shape().first().copied())
            && !widest.shape.is_empty()
        {
            let cut = widest.cut(0);
            let end = cut.start(cut.of(start + self.at + rows));
            if end > start + self.at {
                rows = end - (start + self.at);
            }
        }
        let end = (self.at + rows).min(n);
        run.carrying = self.carrying(end);
        let block = self.lazy.select(self.axis, Step::Index(range(self.at, end, n)))?;
        Ok((end, block.collect_in(run)?))
    }
}

/// Bytes of a block by default. The one before may still be held while it is made: a quarter of the limit leaves as much
/// for what reads it, and of limits that are not small it is large enough to lie on huge pages. Where chunks are so large
/// that decoding them takes much of the limit, three blocks fit into the rest. Beside a pass they are half as large.
fn block_bytes(lazy: &Lazy, run: &Run<'_>, passes: bool) -> u64 {
    let limit = if passes { run.cx.budget.limit() / 2 } else { run.cx.budget.limit() };
    let chunk = |array: &ArrayRef| {
        let items = array.inner_shape().iter().fold(1, |n: u64, &s| n.saturating_mul(s));
        items.saturating_mul(array.dtype.item_size().unwrap_or(16) as u64)
    };
    let chunks = lazy.element().arrays().iter().map(chunk).fold(0, u64::saturating_add);
    let rest = limit.saturating_sub(chunks.saturating_mul(run.cx.threads as u64)) / 3;
    BLOCK_BYTES.min(if limit < 48 << 20 { limit / 8 } else { limit / 4 }).min(rest.max(limit / 16))
}

/// Bytes of a row of the result, a guess where strings or columns of a matrix are in it.
fn row_bytes(lazy: &Lazy, axis: usize) -> u64 {
    let stored = lazy.element().shape().and_then(|s| s.get(axis).copied()).unwrap_or(1).max(1);
    (crate::call::decoded_bytes(lazy.element()).value / stored).max(1)
}

fn range(a: u64, b: u64, n: u64) -> Index {
    Index::slice(Some(a as i64), Some(b as i64), None, n).unwrap_or_else(|_| Index::none(n))
}

/// So many rows that their starts take no more than a sixteenth of the limit.
fn most_window(run: &Run<'_>) -> u64 {
    (run.cx.budget.limit() / 16 / 64).max(1024)
}
