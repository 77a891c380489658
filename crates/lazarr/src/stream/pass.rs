//! Rows of a sparse matrix that one pass over it brings, cut into blocks in memory.
//!
//! Rows of csc lie all over the matrix, and so may rows in another order than the stored one: block by block, each would
//! cost a pass. A pass brings as many rows as fit, and blocks are taken from it.

use std::ops::Range;

use lazarr_format::anndata::{Body, Sparse, SparseFormat};
use lazarr_format::{Code, Error, Result};
use lazarr_plan::Index;

use super::spread::{LENGTH, Spread, number_bytes};
use super::{BLOCK_BYTES, RowBlocks, range};
use crate::axis::Step;
use crate::buffer::Buffer;
use crate::call::{Call, Run};
use crate::lazy::Lazy;
use crate::program::{Cx, take_major};
use crate::value::{SparseMatrix, Value};

/// Some rows of the selection, in memory.
pub(super) struct Pass {
    rows: Range<u64>,
    held: Held,
}

enum Held {
    /// Of csr.
    Rows(SparseMatrix),
    /// Of csc.
    Spread(Spread),
}

impl RowBlocks {
    /// The next block, of a pass that has brought it or is made now.
    pub(super) fn pass_block(
        &mut self,
        sparse: &Sparse,
        call: &Call<'_>,
        run: &Run<'_>,
    ) -> Result<(u64, Value)> {
        if self.pass.as_ref().is_none_or(|p| self.at >= p.rows.end) {
            self.pass = None;
            let (rows, held) = match sparse.format {
                SparseFormat::Csc => self.spread(sparse, call, run)?,
                SparseFormat::Csr => self.rows_in_order(sparse, run)?,
            };
            self.pass = Some(Pass { rows: self.at..self.at + rows, held });
        }
        let (most_rows, most_bytes) = (self.most_rows, self.most_bytes);
        let Some(Pass { rows, held }) = &mut self.pass else {
            return Err(Error::new(Code::Internal, "no rows came"));
        };
        let first = self.at - rows.start;
        let (end, block) = match held {
            Held::Rows(matrix) => cut(matrix, first, most_rows, most_bytes, &run.cx)?,
            Held::Spread(spread) => spread.block(first, most_rows, most_bytes, &run.cx)?,
        };
        Ok((rows.start + end, Value::Sparse(block)))
    }

    /// The selection's rows from here on, so many.
    fn some(&self, rows: u64) -> Result<Lazy> {
        self.lazy.select(0, Step::Index(range(self.at, self.at + rows, self.rows.len())))
    }

    /// So many rows are asked for, and half as many where they did not fit.
    fn rows_in_order(&mut self, sparse: &Sparse, run: &Run<'_>) -> Result<(u64, Held)> {
        let mean = sparse.nnz().saturating_mul(item_bytes(sparse) + 4) / sparse.major_len().max(1);
        // Their columns are found before there is room for them, half as much again; and blocks stand beside them.
        let mut rows = self.fitting(run.cx.budget.left() / 5 * 2 / mean.max(1));
        loop {
            match self.some(rows)?.collect_in(run) {
                Ok(Value::Sparse(matrix)) => return Ok((rows, Held::Rows(matrix))),
                Ok(_) => return Err(Error::new(Code::Internal, "no matrix came")),
                // Rows of the mean length would have fit.
                Err(e) if e.code() == Code::MemoryLimit && rows > 1 => {
                    rows /= 2;
                    self.fitting = rows;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// So many rows, but no more than there are or than have fitted.
    fn fitting(&self, rows: u64) -> u64 {
        rows.clamp(1, (self.rows.len() - self.at).min(self.fitting))
    }

    /// Goes through the columns; so many rows as could be held where all values took one byte, and fewer where they do not.
    fn spread(&mut self, sparse: &Sparse, call: &Call<'_>, run: &Run<'_>) -> Result<(u64, Held)> {
        let left = run.cx.budget.left();
        let (room, columns) = (room(left), (left / 6).clamp(1, BLOCK_BYTES / 4));
        let rows = self.fitting(rows_of(sparse, room, 1)).min(u32::MAX.into());
        let mut spread = Spread::new(rows, &sparse.data.dtype, &run.cx)?;
        let mut column = 0;
        loop {
            let rows = spread.rows();
            let fewer = match self.add_columns(&mut spread, &mut column, (room, columns), call, run) {
                Ok(None) => return Ok((rows, Held::Spread(spread))),
                Ok(Some(fewer)) => fewer,
                Err(e) if e.code() == Code::MemoryLimit && rows > 1 => rows / 2,
                Err(e) => return Err(e),
            };
            self.fitting = fewer;
            spread.cut(fewer, &run.cx)?;
        }
    }

    /// Adds the columns from one on, in blocks; where there is no room for the rest of them, how many rows there are room for.
    fn add_columns(
        &self,
        spread: &mut Spread,
        column: &mut u64,
        (room, bytes): (u64, u64),
        call: &Call<'_>,
        run: &Run<'_>,
    ) -> Result<Option<u64>> {
        let mut stream = self.some(spread.rows())?.stream_along(1, call, None, Some(bytes))?;
        stream.go_to(*column, call)?;
        while let Some(block) = stream.next(call)? {
            let Value::Sparse(matrix) = &block.value else {
                return Err(Error::new(Code::Internal, "no matrix came"));
            };
            spread.add(matrix, &run.cx)?;
            *column = block.end;
            if spread.bytes() > room && spread.rows() > 1 {
                // As if the other columns had as many.
                let all = spread.bytes() as f64 * stream.len() as f64 / *column as f64;
                let rows = spread.rows() as f64;
                return Ok(Some((rows * (room as f64 / all).min(0.875)).max(1.0) as u64));
            }
        }
        spread.close(&run.cx)?;
        Ok(None)
    }
}

/// Bytes that a pass over csc may hold: columns that are read stand beside them, then blocks.
fn room(left: u64) -> u64 {
    left / 3 * 2
}

/// Rows of the mean length that fit into so many bytes, where a value takes so many.
fn rows_of(sparse: &Sparse, bytes: u64, value: u64) -> u64 {
    let rows = sparse.minor_len().max(1);
    let mean = sparse.nnz() as f64 / rows as f64;
    let fit = |number: u64| (bytes as f64 / (mean * (value + number) as f64 + LENGTH as f64)) as u64;
    let few = fit(2);
    if number_bytes(few.min(rows)) == 2 { few } else { fit(4).max(1 << 16) }
}

fn item_bytes(sparse: &Sparse) -> u64 {
    sparse.data.dtype.item_size().unwrap_or(8) as u64
}

/// What a plan says of a matrix that cannot be streamed in one pass.
pub(crate) fn passes(lazy: &Lazy, run: &Run<'_>) -> Option<String> {
    let Body::Sparse(s) = &lazy.element().body else { return None };
    let rows = lazy.axes().first().filter(|_| s.format == SparseFormat::Csc)?.count()?;
    let room = room(run.cx.budget.left());
    let [least, most] = [1, item_bytes(s)].map(|value| rows.div_ceil(rows_of(s, room, value).max(1)));
    let passes = if least == most { format!("about {most}") } else { format!("{least} to {most}") };
    (most > 1).then(|| {
        format!(
            "in blocks of rows (iter_rows) it takes {passes} passes over this csc matrix: one brings as many rows as fit \
             into two thirds of the memory that is left, small whole numbers in a byte or two each"
        )
    })
}

/// The rows of a csr matrix from `first` on: so many and so many bytes at most, one at least.
fn cut(matrix: &SparseMatrix, first: u64, rows: u64, bytes: u64, cx: &Cx) -> Result<(u64, SparseMatrix)> {
    let item = matrix.dtype.item_size().unwrap_or(1) as u64 + 4;
    let start = |row| int(&matrix.indptr, matrix.index_width, row);
    let (mut end, mut size) = (first, 0u64);
    while end < matrix.shape[0] {
        size = size.saturating_add((start(end + 1) - start(end)) * item + 4);
        if end > first && (size > bytes || end - first >= rows) {
            break;
        }
        end += 1;
    }
    let range = Index::slice(Some(first as i64), Some(end as i64), None, matrix.shape[0])?;
    Ok((end, take_major(matrix, &range, cx)?))
}

/// An item of `indices` or `indptr`; the engine made them, and they are not negative.
pub(super) fn int(items: &Buffer, width: u8, at: u64) -> u64 {
    let width = usize::from(width);
    let bytes = items.as_slice().get(at as usize * width..(at as usize + 1) * width).unwrap_or_default();
    match bytes.len() {
        4 => bytes.try_into().map_or(0, |b| i32::from_ne_bytes(b) as u64),
        _ => bytes.try_into().map_or(0, |b| i64::from_ne_bytes(b) as u64),
    }
}
