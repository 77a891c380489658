//! Rows of a matrix that is in memory already: repeats and orders that reading does not follow.

use lazarr_format::Result;
use lazarr_plan::Index;

use super::Cx;
use super::sparse::index_width;
use crate::buffer::Buffer;
use crate::value::SparseMatrix;

/// The rows (along the major axis) of `index`, in its order.
pub(crate) fn take_major(matrix: &SparseMatrix, index: &Index, cx: &Cx) -> Result<SparseMatrix> {
    let width = usize::from(matrix.index_width);
    let item = matrix.dtype.item_size().unwrap_or(1);
    let start = |row: u64| {
        let at = row as usize * width;
        let bytes = matrix.indptr.as_slice().get(at..at + width).unwrap_or_default();
        match bytes.len() {
            4 => bytes.try_into().map_or(0, |b| i32::from_ne_bytes(b) as usize),
            _ => bytes.try_into().map_or(0, |b| i64::from_ne_bytes(b) as usize),
        }
    };
    let nnz: usize = index.iter().map(|row| start(row + 1) - start(row)).sum();
    let mut data = Buffer::zeroed((nnz * item) as u64, &cx.budget, "the stored values")?;
    // Repeats may take a result past what int32 counts.
    let wide = index_width(index.len(), 0, nnz as u64).max(matrix.index_width);
    let out_width = usize::from(wide);
    let mut indices = Buffer::zeroed((nnz * out_width) as u64, &cx.budget, "the indices")?;
    let mut indptr =
        Buffer::zeroed((index.len() + 1).saturating_mul(out_width as u64), &cx.budget, "the row starts")?;
    let mut at = 0;
    for (k, row) in index.iter().enumerate() {
        let (from, to) = (start(row), start(row + 1));
        let len = to - from;
        data.as_mut_slice()[at * item..(at + len) * item]
            .copy_from_slice(&matrix.data.as_slice()[from * item..to * item]);
        let source = &matrix.indices.as_slice()[from * width..to * width];
        let target = &mut indices.as_mut_slice()[at * out_width..(at + len) * out_width];
        if width == out_width {
            target.copy_from_slice(source);
        } else {
            widen(source, target);
        }
        at += len;
        let place = (k + 1) * out_width;
        let bytes = (at as i64).to_le_bytes();
        indptr.as_mut_slice()[place..place + out_width].copy_from_slice(&bytes[..out_width]);
    }
    let mut shape = matrix.shape;
    shape[matrix.format.major_axis()] = index.len();
    Ok(SparseMatrix {
        format: matrix.format,
        shape,
        dtype: matrix.dtype.clone(),
        index_width: wide,
        data,
        indices,
        indptr,
    })
}

/// int32 to int64.
fn widen(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.as_chunks_mut::<8>().0.iter_mut().zip(from.as_chunks::<4>().0) {
        *to = i64::from(i32::from_ne_bytes(*from)).to_ne_bytes();
    }
}
