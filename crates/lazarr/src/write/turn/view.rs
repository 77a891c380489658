//! Some rows (columns, of csc) of a compressed matrix, lent.

use lazarr_format::DataType;
use lazarr_format::anndata::SparseFormat;

use crate::rearrange::int;
use crate::value::SparseMatrix;

/// A compressed matrix, or a stretch of its rows.
#[derive(Clone, Copy)]
pub(in crate::write) struct View<'a> {
    pub(in crate::write) format: SparseFormat,
    /// Columns (rows, of csc).
    pub(in crate::write) minor: u64,
    pub(in crate::write) dtype: &'a DataType,
    pub(in crate::write) data: &'a [u8],
    pub(in crate::write) indices: &'a [u8],
    /// Bytes of an index: 4 or 8.
    pub(in crate::write) width: u8,
    /// Where rows start, and the last ends, counted from anywhere.
    pub(in crate::write) starts: &'a [u8],
    /// Bytes of a start: 4 or 8.
    pub(in crate::write) start_width: u8,
}

impl<'a> View<'a> {
    pub(in crate::write) fn of(m: &'a SparseMatrix) -> Self {
        Self {
            format: m.format,
            minor: m.shape[1 - m.format.major_axis()],
            dtype: &m.dtype,
            data: m.data.as_slice(),
            indices: m.indices.as_slice(),
            width: m.index_width,
            starts: m.indptr.as_slice(),
            start_width: m.index_width,
        }
    }

    /// Rows (columns, of csc).
    pub(in crate::write) fn major(&self) -> u64 {
        (self.starts.len() as u64 / u64::from(self.start_width.max(1))).saturating_sub(1)
    }

    pub(in crate::write) fn stored(&self) -> u64 {
        self.indices.len() as u64 / u64::from(self.width.max(1))
    }

    /// Bytes of a stored value.
    pub(super) fn item(&self) -> usize {
        self.dtype.item_size().unwrap_or(1).max(1)
    }

    /// The first start, as it is stored.
    pub(in crate::write) fn base(&self) -> u64 {
        int(self.starts, self.start_width, 0)
    }

    /// Where a row starts within this.
    pub(super) fn start(&self, row: u64) -> u64 {
        int(self.starts, self.start_width, row as usize).wrapping_sub(self.base())
    }

    /// The rows from `from` on: so many rows and stored values at most, one row at least. `None` after the last.
    pub(in crate::write) fn part(&self, from: u64, rows: u64, stored: u64) -> Option<(u64, Self)> {
        if from >= self.major() {
            return None;
        }
        let first = self.start(from);
        let (mut low, mut high) = (from + 1, self.major().min(from.saturating_add(rows.max(1))));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.start(middle) - first <= stored {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        let cut = |bytes: &'a [u8], from: u64, to: u64, size: usize| {
            bytes.get(from as usize * size..to as usize * size).unwrap_or_default()
        };
        let last = self.start(low);
        let part = Self {
            data: cut(self.data, first, last, self.item()),
            indices: cut(self.indices, first, last, usize::from(self.width)),
            starts: cut(self.starts, from, low + 1, usize::from(self.start_width)),
            ..*self
        };
        Some((low, part))
    }
}
