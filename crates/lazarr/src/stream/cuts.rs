//! Where an element is cut into blocks of rows that are read one by one, in any order, maybe by other processes.
//!
//! A stream carries the chunk in which two blocks meet from one to the next; separate readers cannot, and each fetches
//! it. So blocks are cut where no chunk is shared, and else at the row nearest to a chunk's edge.

use std::sync::Arc;

use lazarr_format::anndata::{Body, Sparse, SparseFormat};
use lazarr_format::{Code, Cut, Error, Result};
use lazarr_plan::{Index, Plan};

use crate::axis::{AxisView, Step};
use crate::call::{Call, Run};
use crate::concat::{Concat, concat_of};
use crate::exec::carry::Carrying;
use crate::lazy::Lazy;
use crate::program::{Leaf, Starts, Want};

use super::{WINDOW, most_window, range, row_bytes};

/// Blocks of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cuts {
    /// One past the last row of each block; one block of no rows where there are none.
    pub ends: Vec<u64>,
    /// Bytes of each block in memory, a guess where columns are selected.
    pub bytes: Vec<u64>,
}

/// A block by default, where the limit allows it.
const BLOCK_BYTES: u64 = 128 << 20;
/// So many blocks for each thread, where blocks stay larger than a few chunks.
const BLOCKS_A_THREAD: u64 = 2;
/// A block has at least so many chunks by default: of these one is shared.
const CHUNKS_A_BLOCK: u64 = 12;

impl Lazy {
    /// Cuts the rows (axis 0) into blocks of at most so many bytes, where that is more than a chunk. Of csr this reads the row starts, and nothing else.
    /// By default blocks take an eighth of the memory limit of a thread, and no more than 128 MiB.
    pub fn cuts(&self, call: &Call<'_>, bytes: Option<u64>) -> Result<Cuts> {
        if bytes == Some(0) {
            return Err(Error::new(Code::IndexKind, "a block has at least one byte"));
        }
        let mut run = Run::new(self.session(), call);
        let rows = self.rows()?.resolve(&run)?;
        if let Some(concat) = concat_of(self.element()).filter(|_| rows.is_monotone() && !rows.is_empty()) {
            return self.cuts_of_parts(concat, call, bytes);
        }
        let row = self.row_share();
        // Smaller blocks than chunks would fetch each chunk several times.
        let room = (run.cx.budget.limit() / 8 / run.cx.threads.max(1) as u64).max(1);
        let least = self.least_bytes(row).min(room);
        let most = bytes.map_or_else(|| self.default_bytes(&run, &rows, row, room), |b| b.max(least));
        match self.starts_for(&rows) {
            Some(sparse) => self.cuts_of_starts(&mut run, &sparse, &rows, most),
            None => Ok(self.cuts_of_rows(&rows, row, most)),
        }
    }

    /// Blocks of one part after the other.
    fn cuts_of_parts(&self, concat: &Concat, call: &Call<'_>, bytes: Option<u64>) -> Result<Cuts> {
        let run = Run::new(self.session(), call);
        let rows = self.rows()?.resolve(&run)?;
        let (lengths, _) = concat.split(&rows)?;
        let mut cuts = Cuts { ends: Vec::new(), bytes: Vec::new() };
        let mut at = 0;
        for (stretch, mine) in concat.stretches(self, &run)?.0.into_iter().zip(lengths) {
            match stretch {
                _ if mine.is_empty() => continue,
                Some(stretch) => {
                    let own = stretch.lazy.cuts(call, bytes)?;
                    cuts.ends.extend(own.ends.into_iter().map(|end| at + end));
                    cuts.bytes.extend(own.bytes);
                }
                None => {
                    cuts.ends.push(at + mine.len());
                    cuts.bytes.push(mine.len().saturating_mul(self.row_share()));
                }
            }
            at += mine.len();
        }
        Ok(cuts)
    }

    /// What [`Lazy::cuts`] would cost.
    pub fn plan_cuts(&self, call: &Call<'_>) -> Result<Plan> {
        let run = Run::new(self.session(), call);
        let (rows, ..) = self.rows()?.stand_in();
        if let Some(concat) = concat_of(self.element()) {
            let mut plan = run.frame();
            if self.axes().iter().all(|a| a.index().is_some()) {
                for stretch in concat.stretches(self, &run)?.0.into_iter().flatten() {
                    plan.then(stretch.lazy.plan_cuts(call)?);
                }
            }
            return Ok(plan);
        }
        let mut want = Want::default();
        if let Some(sparse) = self.starts_for(&rows) {
            want = Want::one(self.element(), Starts::new(&sparse, &rows)).0;
        }
        run.plan(want, false)
    }

    /// The rows from `start` to `end` of what is selected. The selection is made first, so that what comes (and its
    /// saved state) needs no names and no columns any more.
    pub fn block(&self, call: &Call<'_>, start: u64, end: u64) -> Result<Self> {
        let run = Run::new(self.session(), call);
        let fixed = |axis: &Arc<AxisView>| -> Result<Arc<AxisView>> {
            AxisView::all(axis.axis()).then(Step::Index(axis.resolve(&run)?))
        };
        let axes = self.axes().iter().map(fixed).collect::<Result<Vec<_>>>()?;
        let columns = self.chosen_columns().map(<[String]>::to_vec);
        let whole = Self::restore(self.session(), self.element(), axes, self.dropped().to_vec(), columns)?;
        let n = whole.rows()?.count().unwrap_or(0);
        whole.select(0, Step::Index(range(start, end, n)))
    }

    fn rows(&self) -> Result<&Arc<AxisView>> {
        self.axes().first().filter(|_| !self.dropped().first().copied().unwrap_or(true)).ok_or_else(|| {
            Error::new(Code::Operation, "this element has no rows").element(&*self.element().path)
        })
    }

    /// The matrix, where its row starts say how large rows are.
    fn starts_for(&self, rows: &Index) -> Option<Arc<Sparse>> {
        let Body::Sparse(s) = &self.element().body else { return None };
        (s.format == SparseFormat::Csr && rows.is_monotone() && !rows.is_empty()).then(|| s.clone())
    }

    /// Bytes of a row of the result, by the mean; as its share of what is stored, where columns are selected.
    fn row_share(&self) -> u64 {
        let mut row = row_bytes(self, 0);
        for axis in self.axes().iter().skip(1) {
            row = share(row, axis);
        }
        row.max(1)
    }

    /// Bytes of the rows that the chunks beside each other hold.
    fn least_bytes(&self, row: u64) -> u64 {
        if let Body::Sparse(s) = &self.element().body {
            return chunk_bytes(&s.data).saturating_add(chunk_bytes(&s.indices));
        }
        let rows = self.element().arrays().iter().filter_map(|a| a.inner_shape().first().copied()).max();
        row.saturating_mul(rows.unwrap_or(1))
    }

    fn default_bytes(&self, run: &Run<'_>, rows: &Index, row: u64, room: u64) -> u64 {
        let even = row.saturating_mul(rows.len()).div_ceil(BLOCKS_A_THREAD * run.cx.threads.max(1) as u64);
        let least = self.least_bytes(row);
        let least = match &self.element().body {
            // Every block reads all of it: as few as can be.
            Body::Sparse(s) if s.format == SparseFormat::Csc => return room,
            Body::Sparse(_) => least.saturating_mul(CHUNKS_A_BLOCK),
            // These are cut at the edges of chunks, and share none.
            _ => least,
        };
        even.max(least).min(BLOCK_BYTES.min(room)).max(1)
    }

    fn cuts_of_starts(
        &self,
        run: &mut Run<'_>,
        sparse: &Arc<Sparse>,
        rows: &Index,
        most: u64,
    ) -> Result<Cuts> {
        let item = sparse.data.dtype.item_size().unwrap_or(8) as u64 + 4;
        let edges = if chunk_bytes(&sparse.data) >= chunk_bytes(&sparse.indices) {
            sparse.data.cut(0)
        } else {
            sparse.indices.cut(0)
        };
        let mut cutter = Cutter::new(most);
        let mut at = 0;
        let mut before = None;
        let carry = Arc::default();
        while at < rows.len() {
            let end = (at + WINDOW.min(most_window(run))).min(rows.len());
            let window = rows.compose(&range(at, end, rows.len()))?;
            let element = self.element().clone();
            run.carrying = Some(Carrying {
                carry: Arc::clone(&carry),
                rows: element.shape().and_then(|s| s.first().copied()).unwrap_or(0),
                next: rows.get(end),
            });
            let (_, leaves) = run.leaves(&|| Ok(Want::one(&element, Starts::new(sparse, &window))))?;
            let Some(Leaf::Starts(starts)) = leaves.into_iter().flatten().next() else {
                return Err(Error::new(Code::Internal, "no row starts came"));
            };
            starts.each_from(0, end - at, |_, from, to| {
                let bytes = self.axes().iter().skip(1).fold((to - from) * item, |b, a| share(b, a)) + 4;
                cutter.row(bytes, apart(edges, before, from));
                before = Some(to);
                true
            });
            at = end;
        }
        Ok(cutter.finish())
    }

    fn cuts_of_rows(&self, rows: &Index, row: u64, most: u64) -> Cuts {
        let (n, step) = (rows.len(), (most / row).max(1));
        let dense = !matches!(&self.element().body, Body::Sparse(_)) && rows.is_monotone();
        let arrays = self.element().arrays();
        let edges = arrays.first().filter(|a| dense && !a.shape.is_empty());
        let mut cuts = Cuts { ends: Vec::new(), bytes: Vec::new() };
        let mut at = 0u64;
        loop {
            let mut end = at.saturating_add(step).min(n);
            if let Some(array) = edges.filter(|_| end < n) {
                // The last place in the second half of the block at which another shard begins, or else another chunk.
                let first = at + (end - at) / 2 + 1;
                let begins = |cut: Cut<'_>| {
                    (first..=end).rev().find(|&k| match (rows.get(k - 1), rows.get(k)) {
                        (Some(a), Some(b)) => cut.of(a) != cut.of(b),
                        _ => false,
                    })
                };
                let shards = array.sharding.as_ref().and_then(|_| begins(array.shard_cut(0)));
                end = shards.or_else(|| begins(array.cut(0))).unwrap_or(end);
            }
            cuts.ends.push(end);
            cuts.bytes.push((end - at).saturating_mul(row));
            at = end;
            if at >= n {
                return cuts;
            }
        }
    }
}

/// The share of so many bytes that the selected items of an axis have.
fn share(bytes: u64, axis: &AxisView) -> u64 {
    match axis.count() {
        Some(n) if !axis.is_all() => {
            (u128::from(bytes) * u128::from(n) / u128::from(axis.axis().len.max(1))) as u64
        }
        _ => bytes,
    }
}

fn chunk_bytes(array: &lazarr_format::ArrayRef) -> u64 {
    let items = array.inner_shape().iter().fold(1u64, |n, &k| n.saturating_mul(k));
    items.saturating_mul(array.dtype.item_size().unwrap_or(8) as u64)
}

/// How far a row that begins here is from the edge of a chunk; 0 where the row before ends in another chunk.
fn apart(edges: Cut<'_>, before: Option<u64>, from: u64) -> u64 {
    let chunk = edges.of(from);
    if before.is_none_or(|end| end == 0 || edges.of(end - 1) != chunk) {
        return 0;
    }
    let after = edges.end(chunk).unwrap_or(u64::MAX);
    (from - edges.start(chunk)).min(after - from)
}

/// Cuts rows that come one by one.
struct Cutter {
    most: u64,
    /// Rows that have come, and the bytes of those of the block.
    rows: u64,
    bytes: u64,
    /// The best place so far in the last quarter of the block: row, distance, bytes before it.
    best: Option<(u64, u64, u64)>,
    start: u64,
    cuts: Cuts,
}

impl Cutter {
    fn new(most: u64) -> Self {
        let cuts = Cuts { ends: Vec::new(), bytes: Vec::new() };
        Self { most, rows: 0, bytes: 0, best: None, start: 0, cuts }
    }

    /// The next row: its bytes, and how far a cut before it is from a chunk's edge.
    fn row(&mut self, bytes: u64, apart: u64) {
        let late = self.bytes >= self.most - self.most / 4;
        if self.rows > self.start && late && self.best.is_none_or(|(_, d, _)| apart <= d) {
            self.best = Some((self.rows, apart, self.bytes));
        }
        if self.rows > self.start && self.bytes.saturating_add(bytes) > self.most {
            let (row, _, before) = self.best.take().unwrap_or((self.rows, 0, self.bytes));
            self.cut(row, before);
            // What is left is a quarter at most, and may still not fit with a long row.
            if self.rows > self.start && self.bytes.saturating_add(bytes) > self.most {
                self.cut(self.rows, self.bytes);
            }
        }
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn cut(&mut self, row: u64, bytes: u64) {
        self.cuts.ends.push(row);
        self.cuts.bytes.push(bytes);
        self.start = row;
        self.bytes -= bytes;
    }

    fn finish(mut self) -> Cuts {
        self.cut(self.rows, self.bytes);
        self.cuts
    }
}

#[cfg(test)]
#[path = "cuts_tests.rs"]
mod tests;
