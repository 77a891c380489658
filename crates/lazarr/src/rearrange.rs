//! Values in memory in another order, or with room between: rows and columns by where they come from.

use lazarr_format::anndata::SparseFormat;
use lazarr_format::{Code, DataType, Error, Result};

use crate::buffer::Buffer;
use crate::program::{Cx, index_width};
use crate::value::{Dense, SparseMatrix, Strings, Table, Value};

/// A row or a column that comes from nowhere.
pub(crate) const NONE: u64 = u64::MAX;

fn wrong() -> Error {
    Error::new(Code::Internal, "a value has another length than its shape")
}

/// The rows at these places, [`NONE`] where there is none: zeros, no text, missing.
pub(crate) fn gather(value: &Value, at: &[u64], cx: &Cx) -> Result<Value> {
    Ok(match value {
        Value::Dense(d) => Value::Dense(gather_dense(d, at, 0, cx)?),
        Value::Strings(s) => Value::Strings(gather_strings(s, at, cx)?),
        Value::Sparse(m) => Value::Sparse(gather_sparse(m, at, cx)?),
        Value::Categorical { codes, categories, ordered } => Value::Categorical {
            codes: gather_dense(codes, at, 0xff, cx)?,
            categories: Box::new(categories.column_again(&cx.budget)?.unwrap_or(Value::Null)),
            ordered: *ordered,
        },
        Value::Nullable { values, mask, kind } => Value::Nullable {
            values: Box::new(gather(values, at, cx)?),
            mask: gather_dense(mask, at, 1, cx)?,
            kind: kind.clone(),
        },
        Value::Table(t) => Value::Table(Table {
            index_name: t.index_name.clone(),
            index: t.index.as_ref().map(|i| gather(i, at, cx).map(Box::new)).transpose()?,
            columns: t
                .columns
                .iter()
                .map(|(n, c)| Ok((n.clone(), gather(c, at, cx)?)))
                .collect::<Result<_>>()?,
            len: at.len() as u64,
        }),
        Value::Null | Value::Map(_) | Value::Awkward { .. } => {
            return Err(Error::new(Code::Operation, "this has no rows that could be taken"));
        }
    })
}

fn gather_dense(d: &Dense, at: &[u64], none: u8, cx: &Cx) -> Result<Dense> {
    let mut shape = d.shape.clone();
    let rows = shape.first_mut().ok_or_else(wrong)?;
    *rows = at.len() as u64;
    let item = d.dtype.item_size().unwrap_or(1);
    let row = shape.iter().skip(1).fold(item as u64, |n, &k| n.saturating_mul(k)) as usize;
    let mut data =
        Buffer::zeroed((at.len() as u64).saturating_mul(row as u64), &cx.budget, "rows in their order")?;
    if row > 0 {
        for (to, &from) in data.as_mut_slice().chunks_exact_mut(row).zip(at) {
            if from == NONE {
                to.fill(none);
            } else {
                let start = from as usize * row;
                to.copy_from_slice(d.data.as_slice().get(start..start + row).ok_or_else(wrong)?);
            }
        }
    }
    Ok(Dense { dtype: d.dtype.clone(), shape, data })
}

fn gather_strings(s: &Strings, at: &[u64], cx: &Cx) -> Result<Strings> {
    let mut shape = s.shape.clone();
    *shape.first_mut().ok_or_else(wrong)? = at.len() as u64;
    let row = shape.iter().skip(1).product::<u64>() as usize;
    let items = || at.iter().flat_map(move |&from| (0..row).map(move |k| (from, k)));
    let text = |(from, k): (u64, usize)| match from {
        NONE => Some(&[][..]),
        from => s.get(from as usize * row + k),
    };
    let mut bytes = 0;
    for item in items() {
        bytes += text(item).ok_or_else(wrong)?.len() as u64;
    }
    let mut out = StringsOut::new(shape, bytes, s.utf8, cx)?;
    items().for_each(|item| out.push(text(item).unwrap_or_default()));
    Ok(out.finish())
}

/// Strings that are put together, their bytes counted before.
pub(crate) struct StringsOut {
    out: Strings,
    item: usize,
    at: usize,
}

impl StringsOut {
    pub(crate) fn new(shape: Vec<u64>, bytes: u64, utf8: bool, cx: &Cx) -> Result<Self> {
        let items = shape.iter().product::<u64>();
        let offsets = Buffer::zeroed((items + 1).saturating_mul(8), &cx.budget, "the offsets of strings")?;
        let bytes = Buffer::zeroed(bytes, &cx.budget, "strings")?;
        Ok(Self { out: Strings { utf8, shape, offsets, bytes }, item: 0, at: 0 })
    }

    /// The next item, or more of it.
    pub(crate) fn add(&mut self, text: &[u8]) {
        let end = self.at + text.len();
        if let Some(to) = self.out.bytes.as_mut_slice().get_mut(self.at..end) {
            to.copy_from_slice(text);
            self.at = end;
        }
    }

    /// Ends the item.
    pub(crate) fn end(&mut self) {
        self.item += 1;
        if let Some(to) = self.out.offsets.as_mut_slice().as_chunks_mut::<8>().0.get_mut(self.item) {
            *to = (self.at as i64).to_ne_bytes();
        }
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        self.add(text);
        self.end();
    }

    pub(crate) fn finish(self) -> Strings {
        self.out
    }
}

/// An item of `indices` or `indptr`.
pub(crate) fn int(items: &[u8], width: u8, at: usize) -> u64 {
    let width = usize::from(width);
    let bytes = items.get(at * width..(at + 1) * width).unwrap_or_default();
    match bytes.len() {
        4 => bytes.try_into().map_or(0, |b| i32::from_ne_bytes(b) as u64),
        _ => bytes.try_into().map_or(0, |b| i64::from_ne_bytes(b) as u64),
    }
}

/// Sets an item of `indices` or `indptr`.
pub(crate) fn set(items: &mut [u8], width: u8, at: usize, value: u64) {
    if width == 4 {
        if let Some(to) = items.as_chunks_mut::<4>().0.get_mut(at) {
            *to = (value as i32).to_ne_bytes();
        }
    } else if let Some(to) = items.as_chunks_mut::<8>().0.get_mut(at) {
        *to = (value as i64).to_ne_bytes();
    }
}

/// Rows of csr; of csc the rows that the places ask for, by what each stored row becomes.
fn gather_sparse(m: &SparseMatrix, at: &[u64], cx: &Cx) -> Result<SparseMatrix> {
    if m.format == SparseFormat::Csc {
        let rows = m.shape[0] as usize;
        let _held = cx.budget.charge(8 * m.shape[0], "rows in their order")?;
        let mut to = vec![NONE; rows];
        for (k, &from) in at.iter().enumerate().filter(|(_, from)| **from != NONE) {
            let place = to.get_mut(from as usize).ok_or_else(wrong)?;
            if *place != NONE {
                return Err(Error::new(Code::Operation, "rows of csc cannot be taken twice"));
            }
            *place = k as u64;
        }
        return move_minor(m, &to, at.len() as u64, cx);
    }
    let item = m.dtype.item_size().unwrap_or(1);
    let start = |row: u64| int(m.indptr.as_slice(), m.index_width, row as usize) as usize;
    let span = |row: u64| if row == NONE { 0..0 } else { start(row)..start(row + 1) };
    let nnz: usize = at.iter().map(|&row| span(row).len()).sum();
    let width = index_width(at.len() as u64, m.shape[1], nnz as u64).max(m.index_width);
    let mut out = SparseOut::new([at.len() as u64, m.shape[1]], &m.dtype, nnz as u64, width, cx)?;
    for &row in at {
        let span = span(row);
        out.values(m.data.as_slice().get(span.start * item..span.end * item).ok_or_else(wrong)?);
        span.for_each(|k| out.index(int(m.indices.as_slice(), m.index_width, k)));
        out.end();
    }
    Ok(out.finish())
}

/// A csr matrix that is put together row by row; its stored values are counted before.
pub(crate) struct SparseOut {
    out: SparseMatrix,
    value: usize,
    nnz: usize,
    row: usize,
}

impl SparseOut {
    pub(crate) fn new(shape: [u64; 2], dtype: &DataType, nnz: u64, width: u8, cx: &Cx) -> Result<Self> {
        let item = dtype.item_size().unwrap_or(1) as u64;
        let wide = u64::from(width);
        Ok(Self {
            out: SparseMatrix {
                format: SparseFormat::Csr,
                shape,
                dtype: dtype.clone(),
                index_width: width,
                data: Buffer::zeroed(nnz.saturating_mul(item), &cx.budget, "the stored values")?,
                indices: Buffer::zeroed(nnz.saturating_mul(wide), &cx.budget, "the indices")?,
                indptr: Buffer::zeroed((shape[0] + 1).saturating_mul(wide), &cx.budget, "the row starts")?,
            },
            value: 0,
            nnz: 0,
            row: 0,
        })
    }

    /// The next stored values.
    pub(crate) fn values(&mut self, bytes: &[u8]) {
        let end = self.value + bytes.len();
        if let Some(to) = self.out.data.as_mut_slice().get_mut(self.value..end) {
            to.copy_from_slice(bytes);
            self.value = end;
        }
    }

    /// The next index.
    pub(crate) fn index(&mut self, column: u64) {
        set(self.out.indices.as_mut_slice(), self.out.index_width, self.nnz, column);
        self.nnz += 1;
    }

    /// All rows of a csr matrix with the same columns and width; false where they must be added one by one.
    pub(crate) fn rows(&mut self, m: &SparseMatrix) -> bool {
        let width = usize::from(m.index_width);
        if m.index_width != self.out.index_width || m.format != SparseFormat::Csr {
            return false;
        }
        let (from, end) = (self.nnz * width, self.nnz * width + m.indices.len());
        let Some(to) = self.out.indices.as_mut_slice().get_mut(from..end) else { return false };
        to.copy_from_slice(m.indices.as_slice());
        self.values(m.data.as_slice());
        for row in 1..=m.shape[0] as usize {
            let at = self.nnz as u64 + int(m.indptr.as_slice(), m.index_width, row);
            set(self.out.indptr.as_mut_slice(), m.index_width, self.row + row, at);
        }
        self.nnz += m.indices.len() / width.max(1);
        self.row += m.shape[0] as usize;
        true
    }

    /// Ends the row.
    pub(crate) fn end(&mut self) {
        self.row += 1;
        set(self.out.indptr.as_mut_slice(), self.out.index_width, self.row, self.nnz as u64);
    }

    pub(crate) fn finish(self) -> SparseMatrix {
        self.out
    }
}

/// The minor indices of a matrix as what they become; what becomes [`NONE`] is left out.
fn move_minor(m: &SparseMatrix, to: &[u64], minor: u64, cx: &Cx) -> Result<SparseMatrix> {
    let item = m.dtype.item_size().unwrap_or(1);
    let major = m.shape[m.format.major_axis()];
    let stored = m.indices.len() / usize::from(m.index_width.max(1));
    let target = |k: usize| to.get(int(m.indices.as_slice(), m.index_width, k) as usize).copied();
    let mut nnz = 0;
    for k in 0..stored {
        nnz += u64::from(target(k).ok_or_else(wrong)? != NONE);
    }
    let width = index_width(major, minor, nnz);
    let mut out = SparseOut::new([major, minor], &m.dtype, nnz, width, cx)?;
    for row in 0..major as usize {
        let (from, end) = (
            int(m.indptr.as_slice(), m.index_width, row) as usize,
            int(m.indptr.as_slice(), m.index_width, row + 1) as usize,
        );
        for k in from..end {
            if let Some(column) = target(k).filter(|c| *c != NONE) {
                out.values(m.data.as_slice().get(k * item..(k + 1) * item).ok_or_else(wrong)?);
                out.index(column);
            }
        }
        out.end();
    }
    let mut out = out.finish();
    out.format = m.format;
    if m.format == SparseFormat::Csc {
        out.shape = [minor, major];
    }
    Ok(out)
}

/// A matrix whose column `k` becomes column `to[k]` of so many ([`NONE`]: none); the others are `fill`, one item.
pub(crate) fn spread(value: Value, to: &[u64], columns: u64, fill: &[u8], cx: &Cx) -> Result<Value> {
    Ok(match value {
        Value::Sparse(m) if m.format == SparseFormat::Csr => Value::Sparse(move_minor(&m, to, columns, cx)?),
        Value::Sparse(m) => {
            let mut from = vec![NONE; columns as usize];
            for (k, &to) in to.iter().enumerate().filter(|(_, to)| **to != NONE) {
                *from.get_mut(to as usize).ok_or_else(wrong)? = k as u64;
            }
            Value::Sparse(columns_of_csc(&m, &from, cx)?)
        }
        Value::Dense(d) => Value::Dense(spread_dense(&d, to, columns, fill, cx)?),
        _ => return Err(Error::new(Code::Internal, "only matrices have columns that are spread")),
    })
}

fn columns_of_csc(m: &SparseMatrix, from: &[u64], cx: &Cx) -> Result<SparseMatrix> {
    // Columns of csc are rows of csr.
    let turned = |m: &SparseMatrix, format| -> Result<SparseMatrix> {
        Ok(SparseMatrix {
            format,
            shape: [m.shape[1], m.shape[0]],
            dtype: m.dtype.clone(),
            index_width: m.index_width,
            data: Buffer::copy_of(m.data.as_slice(), &cx.budget, "the stored values")?,
            indices: Buffer::copy_of(m.indices.as_slice(), &cx.budget, "the indices")?,
            indptr: Buffer::copy_of(m.indptr.as_slice(), &cx.budget, "the row starts")?,
        })
    };
    let taken = gather_sparse(&turned(m, SparseFormat::Csr)?, from, cx)?;
    Ok(SparseMatrix { format: SparseFormat::Csc, shape: [taken.shape[1], taken.shape[0]], ..taken })
}

fn spread_dense(d: &Dense, to: &[u64], columns: u64, fill: &[u8], cx: &Cx) -> Result<Dense> {
    let (Some(&rows), Some(&old)) = (d.shape.first(), d.shape.get(1)) else { return Err(wrong()) };
    let item = d.dtype.item_size().unwrap_or(1) as u64;
    // Items behind the second axis move together.
    let cell = d.shape.iter().skip(2).fold(item, |n, &k| n.saturating_mul(k)) as usize;
    let mut shape = d.shape.clone();
    shape[1] = columns;
    let (width, old) = (columns as usize * cell, old as usize * cell);
    let mut data = Buffer::zeroed(rows.saturating_mul(width as u64), &cx.budget, "columns in their order")?;
    if fill.iter().any(|b| *b != 0) {
        data.as_mut_slice().chunks_exact_mut(fill.len()).for_each(|to| to.copy_from_slice(fill));
    }
    for row in 0..rows as usize {
        let source = d.data.as_slice().get(row * old..(row + 1) * old).ok_or_else(wrong)?;
        let target = data.as_mut_slice().get_mut(row * width..(row + 1) * width).ok_or_else(wrong)?;
        for (k, &to) in to.iter().enumerate().filter(|(_, to)| **to != NONE) {
            let (from, to) = (k * cell, to as usize * cell);
            let cell_to = target.get_mut(to..to + cell).ok_or_else(wrong)?;
            cell_to.copy_from_slice(source.get(from..from + cell).ok_or_else(wrong)?);
        }
    }
    Ok(Dense { dtype: d.dtype.clone(), shape, data })
}

/// A csc matrix as csr: the rows of each column are counted, then dealt out.
pub(crate) fn to_csr(m: SparseMatrix, cx: &Cx) -> Result<SparseMatrix> {
    if m.format == SparseFormat::Csr {
        return Ok(m);
    }
    let [rows, columns] = m.shape;
    let item = m.dtype.item_size().unwrap_or(1);
    let stored = m.indices.len() / usize::from(m.index_width.max(1));
    let _held = cx.budget.charge(rows.saturating_mul(8), "where rows end")?;
    let mut next = vec![0usize; rows as usize + 1];
    for k in 0..stored {
        let row = int(m.indices.as_slice(), m.index_width, k) as usize;
        *next.get_mut(row + 1).ok_or_else(wrong)? += 1;
    }
    let mut out = SparseOut::new(m.shape, &m.dtype, stored as u64, m.index_width, cx)?.finish();
    for row in 0..rows as usize {
        next[row + 1] += next[row];
        set(out.indptr.as_mut_slice(), out.index_width, row + 1, next[row + 1] as u64);
    }
    for column in 0..columns {
        let from = int(m.indptr.as_slice(), m.index_width, column as usize) as usize;
        let end = int(m.indptr.as_slice(), m.index_width, column as usize + 1) as usize;
        for k in from..end {
            let row = int(m.indices.as_slice(), m.index_width, k) as usize;
            let to = *next.get(row).ok_or_else(wrong)?;
            next[row] += 1;
            let value = m.data.as_slice().get(k * item..(k + 1) * item).ok_or_else(wrong)?;
            out.data
                .as_mut_slice()
                .get_mut(to * item..(to + 1) * item)
                .ok_or_else(wrong)?
                .copy_from_slice(value);
            set(out.indices.as_mut_slice(), out.index_width, to, column);
        }
    }
    Ok(out)
}
