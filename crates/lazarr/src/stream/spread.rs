//! Rows of a csc matrix that one pass over it brings, held small until they are handed out.
//!
//! Rows of csc lie all over the matrix: whoever hands them out in order, within a limit, goes through it once for as many
//! rows as can be held. So they are held in as few bytes as they need (a row's number among them, a count), which is a
//! third or less of what they become, and come out in blocks.

use std::ops::Range;

use lazarr_format::anndata::SparseFormat;
use lazarr_format::{DataType, Result};

use super::narrow::{Width, pack, size, unpack, width_of};
use super::pass::int;
use crate::buffer::Buffer;
use crate::ledger::Charge;
use crate::program::{Cx, index_width};
use crate::threads::{apart, shares};
use crate::value::SparseMatrix;

/// Some rows of a selection, in memory, by columns.
pub(super) struct Spread {
    dtype: DataType,
    rows: u64,
    segments: Vec<Segment>,
    /// Stored values of each row, once all columns are there.
    lengths: Vec<u32>,
    charge: Charge,
}

/// Some columns of it.
struct Segment {
    /// Where each begins among the stored values, and where the last ends.
    starts: Vec<usize>,
    /// In each, the first that no block has taken; rows ascend in a column.
    cursors: Vec<usize>,
    numbers: Numbers,
    width: Width,
    data: Vec<u8>,
    charge: Charge,
}

/// The row of each stored value.
enum Numbers {
    Short(Vec<u16>),
    Long(Vec<u32>),
}

/// Bytes of a row's length: threads count for themselves, up to four of them.
pub(super) const LENGTH: u64 = 16;
/// What they are charged as.
const HELD: &str = "the rows of a pass over a csc matrix";
/// Fewer stored values are not worth a thread.
const SMALL: usize = 1 << 16;

/// Bytes in which the row of a stored value is held.
pub(super) fn number_bytes(rows: u64) -> u64 {
    if rows <= 1 << 16 { 2 } else { 4 }
}

impl Spread {
    /// Nothing yet of so many rows, fewer than 2^32.
    pub(super) fn new(rows: u64, dtype: &DataType, cx: &Cx) -> Result<Self> {
        let charge = cx.budget.charge(LENGTH * rows, "the lengths of rows")?;
        Ok(Self { dtype: dtype.clone(), rows, segments: Vec::new(), lengths: Vec::new(), charge })
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.charge.bytes()).fold(self.charge.bytes(), u64::saturating_add)
    }

    /// Adds the next columns, in all of these rows; or nothing, where they do not fit.
    pub(super) fn add(&mut self, matrix: &SparseMatrix, cx: &Cx) -> Result<()> {
        let columns = matrix.shape[1];
        let nnz = int(&matrix.indptr, matrix.index_width, columns) as usize;
        let parts = if nnz < SMALL { 1 } else { cx.threads as u64 };
        let parts = (0..parts).map(|k| columns * k / parts..columns * (k + 1) / parts);
        let parts = parts.filter(|columns| !columns.is_empty()).collect();
        let make = |columns| Segment::new(matrix, columns, self.rows, &self.dtype, cx);
        self.segments.extend(apart(parts, &make)?);
        Ok(())
    }

    /// Keeps so many of the rows alone.
    pub(super) fn cut(&mut self, rows: u64, cx: &Cx) -> Result<()> {
        let Self { dtype, segments, .. } = self;
        apart(shares(segments.iter_mut().collect(), cx.threads), &|share: Vec<&mut Segment>| {
            for segment in share {
                segment.cut(rows, dtype);
            }
            Ok(())
        })?;
        self.rows = rows;
        self.charge.shrink_to(LENGTH * rows);
        Ok(())
    }

    /// Counts the rows, after the last column.
    pub(super) fn close(&mut self, cx: &Cx) -> Result<()> {
        let rows = self.rows as usize;
        let parts = shares(self.segments.iter().collect(), cx.threads.min(LENGTH as usize / 4));
        let counted = apart(parts, &|share: Vec<&Segment>| {
            let mut lengths = vec![0u32; rows];
            for segment in share {
                segment.count(&mut lengths);
            }
            Ok(lengths)
        })?;
        let mut counted = counted.into_iter();
        self.lengths = counted.next().unwrap_or_else(|| vec![0; rows]);
        for more in counted {
            self.lengths.iter_mut().zip(more).for_each(|(sum, n)| *sum += n);
        }
        self.charge.shrink_to(4 * self.rows);
        Ok(())
    }

    /// The rows from `first` on: so many and so many bytes at most, one at least. Blocks must ascend.
    pub(super) fn block(
        &mut self,
        first: u64,
        rows: u64,
        bytes: u64,
        cx: &Cx,
    ) -> Result<(u64, SparseMatrix)> {
        let item = self.dtype.item_size().unwrap_or(1);
        let (mut end, mut room, mut nnz) = (first, 0u64, 0u64);
        for &length in self.lengths.iter().skip(first as usize) {
            room = room.saturating_add(u64::from(length) * (item as u64 + 4) + 4);
            if end > first && (room > bytes || end - first >= rows) {
                break;
            }
            nnz += u64::from(length);
            end += 1;
        }
        let columns: usize = self.segments.iter().map(Segment::columns).sum();
        let width = index_width(end - first, columns as u64, nnz);
        let mut data = Buffer::zeroed(nnz.saturating_mul(item as u64), &cx.budget, "the stored values")?;
        let mut indices = Buffer::zeroed(nnz * u64::from(width), &cx.budget, "the indices")?;
        let ends = (columns as u64 + 1) * u64::from(width);
        let mut indptr = Buffer::zeroed(ends, &cx.budget, "the row starts of the result")?;
        let _charge = cx.budget.charge(8 * columns as u64, "the places of the rows of a block")?;
        let mut free = (data.as_mut_slice(), indices.as_mut_slice());
        let (mut jobs, mut at, mut column) = (Vec::new(), 0, 0);
        for segment in &mut self.segments {
            let found = segment.find(end as u32);
            let before = at;
            for count in &found {
                at += count;
                column += 1;
                set(indptr.as_mut_slice(), width, column, at as u64);
            }
            let (data, more_data) = free.0.split_at_mut((at - before) * item);
            let (indices, more_indices) = free.1.split_at_mut((at - before) * usize::from(width));
            free = (more_data, more_indices);
            jobs.push((segment, found, data, indices));
        }
        let dtype = &self.dtype;
        apart(shares(jobs, if at < SMALL { 1 } else { cx.threads }), &|share: Vec<Job<'_>>| {
            for (segment, found, data, indices) in share {
                segment.take(first as u32, &found, dtype, data, indices, width);
            }
            Ok(())
        })?;
        let block = SparseMatrix {
            format: SparseFormat::Csc,
            shape: [end - first, columns as u64],
            dtype: self.dtype.clone(),
            index_width: width,
            data,
            indices,
            indptr,
        };
        Ok((end, block))
    }
}

/// A segment, how many of each column a block takes, and where they go.
type Job<'a> = (&'a mut Segment, Vec<usize>, &'a mut [u8], &'a mut [u8]);

impl Segment {
    fn new(matrix: &SparseMatrix, columns: Range<u64>, rows: u64, dtype: &DataType, cx: &Cx) -> Result<Self> {
        let index = usize::from(matrix.index_width);
        let start = |column| int(&matrix.indptr, matrix.index_width, column) as usize;
        let (from, to) = (start(columns.start), start(columns.end));
        let item = dtype.item_size().unwrap_or(1);
        let values = matrix.data.as_slice().get(from * item..to * item).unwrap_or_default();
        let indices = matrix.indices.as_slice().get(from * index..to * index).unwrap_or_default();
        let width = width_of(dtype, values);
        let bytes = (to - from) as u64 * (size(width, dtype) as u64 + number_bytes(rows))
            + 16 * (columns.end - columns.start + 1);
        let charge = cx.budget.charge(bytes, HELD)?;
        let starts: Vec<usize> = (columns.start..=columns.end).map(|c| start(c) - from).collect();
        let numbers = match (number_bytes(rows), index) {
            (2, 4) => Numbers::Short(list(indices, |i| i32::from_ne_bytes(i) as u16)),
            (2, _) => Numbers::Short(list(indices, |i| i64::from_ne_bytes(i) as u16)),
            (_, 4) => Numbers::Long(list(indices, |i| i32::from_ne_bytes(i) as u32)),
            _ => Numbers::Long(list(indices, |i| i64::from_ne_bytes(i) as u32)),
        };
        let data = pack(dtype, width, values);
        let mut segment = Self { cursors: starts.clone(), starts, numbers, width, data, charge };
        segment.sort(size(width, dtype), cx)?;
        Ok(segment)
    }

    /// Puts the rows of each column in order; of one that is there twice, both stay as they come.
    fn sort(&mut self, item: usize, cx: &Cx) -> Result<()> {
        for column in self.starts.windows(2) {
            let all = column[0]..column[1];
            let data = &mut self.data[all.start * item..all.end * item];
            match &mut self.numbers {
                Numbers::Short(n) => sort(&mut n[all], data, item, cx)?,
                Numbers::Long(n) => sort(&mut n[all], data, item, cx)?,
            }
        }
        Ok(())
    }

    fn columns(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Where those of a column stand that no block has taken.
    fn left(&self, column: usize) -> Range<usize> {
        self.cursors[column]..self.starts[column + 1]
    }

    fn cut(&mut self, rows: u64, dtype: &DataType) {
        let Self { starts, cursors, numbers, data, width, charge } = self;
        let item = size(*width, dtype);
        let number = match numbers {
            Numbers::Short(n) => keep(n, data, item, starts, |row| u64::from(row) < rows),
            Numbers::Long(n) => keep(n, data, item, starts, |row| u64::from(row) < rows),
        };
        cursors.clone_from(starts);
        charge.shrink_to((number + data.len() + 16 * starts.len()) as u64);
    }

    fn count(&self, lengths: &mut [u32]) {
        let mut one = |row: usize| {
            if let Some(length) = lengths.get_mut(row) {
                *length += 1;
            }
        };
        match &self.numbers {
            Numbers::Short(n) => n.iter().for_each(|&row| one(row.into())),
            Numbers::Long(n) => n.iter().for_each(|&row| one(row as usize)),
        }
    }

    /// How many of each column the rows below `end` have that no block has taken.
    fn find(&self, end: u32) -> Vec<usize> {
        let of = |column| {
            let left = self.left(column);
            match &self.numbers {
                Numbers::Short(n) => n[left].partition_point(|&row| u32::from(row) < end),
                Numbers::Long(n) => n[left].partition_point(|&row| row < end),
            }
        };
        (0..self.columns()).map(of).collect()
    }

    /// Takes so many of each column, rows from `first` on, for a result whose indices have so many bytes.
    fn take(
        &mut self,
        first: u32,
        found: &[usize],
        dtype: &DataType,
        data: &mut [u8],
        indices: &mut [u8],
        index: u8,
    ) {
        let (item, index) = (dtype.item_size().unwrap_or(1), usize::from(index));
        let held = size(self.width, dtype);
        let mut done = 0;
        for (cursor, &count) in self.cursors.iter_mut().zip(found) {
            let (from, to) = (*cursor..*cursor + count, done..done + count);
            let values = &self.data[from.start * held..from.end * held];
            unpack(dtype, self.width, values, &mut data[to.start * item..to.end * item]);
            let out = &mut indices[to.start * index..to.end * index];
            match &self.numbers {
                Numbers::Short(n) => put(&n[from.clone()], first, index, out),
                Numbers::Long(n) => put(&n[from.clone()], first, index, out),
            }
            (*cursor, done) = (from.end, to.end);
        }
    }
}

/// Indices that the engine made, in another type that holds them.
fn list<const N: usize, T>(indices: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    indices.as_chunks::<N>().0.iter().map(|i| of(*i)).collect()
}

/// Puts the rows of a column in order, where they are not, and their values with them.
fn sort<T: Copy + Ord>(rows: &mut [T], data: &mut [u8], item: usize, cx: &Cx) -> Result<()> {
    if rows.windows(2).filter(|pair| pair[0] > pair[1]).count() == 0 {
        return Ok(());
    }
    let bytes = size_of::<(T, usize)>() * rows.len() + data.len();
    let _charge = cx.budget.charge(bytes as u64, "the order of a column's rows")?;
    let mut order: Vec<(T, usize)> = rows.iter().copied().zip(0..).collect();
    order.sort_unstable();
    let before = data.to_vec();
    for ((row, to), (ordered, from)) in rows.iter_mut().zip(data.chunks_exact_mut(item)).zip(order) {
        *row = ordered;
        to.copy_from_slice(&before[from * item..(from + 1) * item]);
    }
    Ok(())
}

/// Keeps the stored values of some rows; how many bytes the numbers of these take.
fn keep<T: Copy + Into<u32>>(
    numbers: &mut Vec<T>,
    data: &mut Vec<u8>,
    item: usize,
    starts: &mut [usize],
    is_kept: impl Fn(u32) -> bool,
) -> usize {
    let (mut to, mut from) = (0, 0);
    for start in starts {
        for at in from..*start {
            if is_kept(numbers[at].into()) {
                numbers[to] = numbers[at];
                data.copy_within(at * item..(at + 1) * item, to * item);
                to += 1;
            }
        }
        from = *start;
        *start = to;
    }
    numbers.truncate(to);
    numbers.shrink_to_fit();
    data.truncate(to * item);
    data.shrink_to_fit();
    size_of_val(&numbers[..])
}

/// Rows as indices of so many bytes, counted from `first`.
fn put<T: Copy + Into<u32>>(rows: &[T], first: u32, width: usize, out: &mut [u8]) {
    let rows = rows.iter().map(|&row| row.into() - first);
    if width == 4 {
        out.as_chunks_mut::<4>().0.iter_mut().zip(rows).for_each(|(o, r)| *o = r.to_ne_bytes());
    } else {
        out.as_chunks_mut::<8>().0.iter_mut().zip(rows).for_each(|(o, r)| *o = u64::from(r).to_ne_bytes());
    }
}

fn set(items: &mut [u8], width: u8, at: usize, value: u64) {
    if width == 4 {
        items[at * 4..][..4].copy_from_slice(&(value as i32).to_ne_bytes());
    } else {
        items[at * 8..][..8].copy_from_slice(&(value as i64).to_ne_bytes());
    }
}

#[cfg(test)]
#[path = "spread_tests.rs"]
mod tests;
