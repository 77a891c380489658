//! Rows of a sparse matrix that one pass over it brings, cut into blocks in memory.
//!
//! Rows of csc lie all over the matrix, and so may rows in another order than the stored one: block by block, each would
//! cost a pass. A pass brings as many rows as fit, and blocks are taken from it.

use std::ops::Range;

use lazarr_format::Result;
use lazarr_format::anndata::SparseFormat;
use lazarr_plan::Index;

use crate::buffer::Buffer;
use crate::ledger::Charge;
use crate::program::{Cx, index_width, take_major};
use crate::value::SparseMatrix;

/// Some rows of the selection, in memory.
pub(super) struct Pass {
    matrix: SparseMatrix,
    /// Which rows of the selection.
    pub(super) rows: Range<u64>,
    /// Stored values of each row.
    lengths: Vec<u64>,
    /// Of csc: in each column, the first stored value that no block has taken; `None` where rows do not ascend.
    cursors: Option<Vec<u64>>,
    _charge: Charge,
}

impl Pass {
    pub(super) fn new(matrix: SparseMatrix, start: u64, cx: &Cx) -> Result<Self> {
        let [n, columns] = matrix.shape;
        let csc = matrix.format == SparseFormat::Csc;
        let bytes = 8 * (n + if csc { columns } else { 0 });
        let charge = cx.budget.charge(bytes, "the lengths of rows")?;
        let mut lengths = vec![0u64; n as usize];
        let mut cursors = None;
        if csc {
            let mut ascending = true;
            let starts: Vec<u64> = (0..columns).map(|c| int(&matrix.indptr, &matrix, c)).collect();
            for column in 0..columns {
                let mut before = None;
                for at in starts[column as usize]..int(&matrix.indptr, &matrix, column + 1) {
                    let row = int(&matrix.indices, &matrix, at);
                    lengths[row as usize] += 1;
                    ascending &= before.is_none_or(|b| b <= row);
                    before = Some(row);
                }
            }
            cursors = ascending.then_some(starts);
        } else {
            for row in 0..n {
                lengths[row as usize] =
                    int(&matrix.indptr, &matrix, row + 1) - int(&matrix.indptr, &matrix, row);
            }
        }
        Ok(Self { matrix, rows: start..start + n, lengths, cursors, _charge: charge })
    }

    /// The rows from `start` on: so many rows and bytes at most, one row at least.
    pub(super) fn block(
        &mut self,
        start: u64,
        rows: u64,
        bytes: u64,
        cx: &Cx,
    ) -> Result<(u64, SparseMatrix)> {
        let item = self.matrix.dtype.item_size().unwrap_or(1) as u64 + 4;
        let first = start - self.rows.start;
        let (mut end, mut size) = (first, 0u64);
        for &length in self.lengths.iter().skip(first as usize) {
            size = size.saturating_add(length * item + 4);
            if end > first && (size > bytes || end - first >= rows) {
                break;
            }
            end += 1;
        }
        let block = match self.matrix.format {
            SparseFormat::Csr => {
                let range = Index::slice(Some(first as i64), Some(end as i64), None, self.matrix.shape[0])?;
                take_major(&self.matrix, &range, cx)?
            }
            SparseFormat::Csc => self.minor(first..end, cx)?,
        };
        Ok((self.rows.start + end, block))
    }

    /// Rows of csc, in ascending blocks.
    fn minor(&mut self, rows: Range<u64>, cx: &Cx) -> Result<SparseMatrix> {
        let m = &self.matrix;
        let columns = m.shape[1];
        let item = m.dtype.item_size().unwrap_or(1);
        let nnz: u64 = self.lengths[rows.start as usize..rows.end as usize].iter().sum();
        let width = index_width(rows.end - rows.start, columns, nnz);
        let mut data = Buffer::zeroed(nnz.saturating_mul(item as u64), &cx.budget, "the stored values")?;
        let mut indices = Buffer::zeroed(nnz * u64::from(width), &cx.budget, "the indices")?;
        let mut indptr =
            Buffer::zeroed((columns + 1) * u64::from(width), &cx.budget, "the row starts of the result")?;
        let mut to = 0u64;
        for column in 0..columns {
            let end = int(&m.indptr, m, column + 1);
            let from = match &self.cursors {
                Some(cursors) => cursors[column as usize],
                None => int(&m.indptr, m, column),
            };
            let mut at = from;
            while at < end {
                let row = int(&m.indices, m, at);
                if row >= rows.end && self.cursors.is_some() {
                    break;
                }
                if rows.contains(&row) {
                    let (a, b) = (at as usize * item, to as usize * item);
                    data.as_mut_slice()[b..b + item].copy_from_slice(&m.data.as_slice()[a..a + item]);
                    set(&mut indices, width, to, row - rows.start);
                    to += 1;
                }
                at += 1;
            }
            if let Some(cursors) = &mut self.cursors {
                cursors[column as usize] = at;
            }
            set(&mut indptr, width, column + 1, to);
        }
        Ok(SparseMatrix {
            format: SparseFormat::Csc,
            shape: [rows.end - rows.start, columns],
            dtype: m.dtype.clone(),
            index_width: width,
            data,
            indices,
            indptr,
        })
    }
}

/// An item of `indices` or `indptr`; the engine made them, and they are not negative.
fn int(items: &Buffer, matrix: &SparseMatrix, at: u64) -> u64 {
    let width = usize::from(matrix.index_width);
    let bytes = items.as_slice().get(at as usize * width..(at as usize + 1) * width).unwrap_or_default();
    match bytes.len() {
        4 => bytes.try_into().map_or(0, |b| i32::from_ne_bytes(b) as u64),
        _ => bytes.try_into().map_or(0, |b| i64::from_ne_bytes(b) as u64),
    }
}

fn set(items: &mut Buffer, width: u8, at: u64, value: u64) {
    let at = at as usize;
    if width == 4 {
        items.as_mut_slice()[at * 4..][..4].copy_from_slice(&(value as i32).to_ne_bytes());
    } else {
        items.as_mut_slice()[at * 8..][..8].copy_from_slice(&(value as i64).to_ne_bytes());
    }
}
