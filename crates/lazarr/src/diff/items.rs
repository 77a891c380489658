//! Two blocks of the same rows, item by item.

use std::collections::HashMap;

use lazarr_format::anndata::SparseFormat;
use lazarr_format::{DataType, Result};

use crate::forms::stored_in;
use crate::ledger::Budget;
use crate::value::{Dense, SparseMatrix, Strings, Value};

/// What was found so far.
pub(super) struct Found<'b> {
    strict: bool,
    budget: &'b Budget,
    pub(super) count: u64,
    pub(super) at: Vec<u64>,
    /// The first two values that differ, as text.
    pub(super) words: (String, String),
}

/// A stored value: row, column, and its place in the values.
type Entry = (u64, u64, usize);

impl<'b> Found<'b> {
    pub(super) fn new(strict: bool, budget: &'b Budget) -> Self {
        Self { strict, budget, count: 0, at: Vec::new(), words: Default::default() }
    }

    fn differs(&mut self, at: impl FnOnce() -> Vec<u64>, words: impl FnOnce() -> (String, String)) {
        if self.count == 0 {
            self.at = at();
            self.words = words();
        }
        self.count += 1;
    }

    /// Compares blocks that begin at a row (column).
    pub(super) fn compare(&mut self, a: &Value, b: &Value, from: [u64; 2]) -> Result<()> {
        match (a, b) {
            (Value::Dense(a), Value::Dense(b)) => self.dense(a, b, from[0], &|_| false),
            (Value::Strings(a), Value::Strings(b)) => self.strings(a, b, from[0], &|_| false),
            (Value::Nullable { values: a, mask: ma, .. }, Value::Nullable { values: b, mask: mb, .. }) => {
                let (ma, mb) = (ma.data.as_slice(), mb.data.as_slice());
                for i in (0..ma.len().max(mb.len())).filter(|&i| ma.get(i) != mb.get(i)) {
                    let word = |m: &[u8]| if m.get(i) == Some(&1) { "missing" } else { "a value" }.to_owned();
                    self.differs(|| vec![from[0] + i as u64], || (word(ma), word(mb)));
                }
                // What a mask hides is no value; what only one hides is counted.
                let hidden = |i: usize| ma.get(i) != Some(&0) || mb.get(i) != Some(&0);
                match (&**a, &**b) {
                    (Value::Dense(a), Value::Dense(b)) => self.dense(a, b, from[0], &hidden),
                    (Value::Strings(a), Value::Strings(b)) => self.strings(a, b, from[0], &hidden),
                    _ => self.differs(|| vec![from[0]], Default::default),
                }
            }
            (
                Value::Categorical { codes: a, categories: ca, .. },
                Value::Categorical { codes: b, categories: cb, .. },
            ) => self.categorical((a, ca), (b, cb), from[0]),
            (Value::Sparse(_), _) | (_, Value::Sparse(_)) => self.matrices(a, b, from)?,
            (Value::Null, Value::Null) => {}
            (
                Value::Awkward { form, length, buffers, .. },
                Value::Awkward { form: f, length: l, buffers: other, .. },
            ) => {
                if (form, length, buffers.len()) != (f, l, other.len()) {
                    self.differs(Vec::new, || (form.clone(), f.clone()));
                }
                for ((n, a), (m, b)) in buffers.iter().zip(other) {
                    if n != m {
                        self.differs(Vec::new, || (n.clone(), m.clone()));
                    }
                    self.compare(a, b, [0, 0])?;
                }
            }
            _ => self.differs(Vec::new, Default::default),
        }
        Ok(())
    }

    fn dense(&mut self, a: &Dense, b: &Dense, row: u64, hidden: &dyn Fn(usize) -> bool) {
        let (x, y) = (a.data.as_slice(), b.data.as_slice());
        if x == y {
            return;
        }
        // Old writers stored text of a width: its type is part of a scalar.
        if a.dtype != b.dtype || a.shape != b.shape {
            return self.differs(|| vec![row], || (a.dtype.to_string(), b.dtype.to_string()));
        }
        let item = a.dtype.item_size().unwrap_or(1).max(1);
        for (i, (p, q)) in x.chunks_exact(item).zip(y.chunks_exact(item)).enumerate() {
            if !hidden(i) && !equal(&a.dtype, p, q) {
                self.differs(|| place(i, &a.shape, row), || (text(&a.dtype, p), text(&a.dtype, q)));
            }
        }
    }

    fn strings(&mut self, a: &Strings, b: &Strings, row: u64, hidden: &dyn Fn(usize) -> bool) {
        for i in (0..a.len().max(b.len())).filter(|&i| !hidden(i) && a.get(i) != b.get(i)) {
            let word = |s: &Strings| String::from_utf8_lossy(s.get(i).unwrap_or_default()).into_owned();
            self.differs(|| place(i, a.shape(), row), || (word(a), word(b)));
        }
    }

    fn categorical(&mut self, a: (&Dense, &Value), b: (&Dense, &Value), row: u64) {
        let names: HashMap<Vec<u8>, i64> = (0i64..).map_while(|i| Some((category(a.1, i)?, i))).collect();
        // What a code of the second is in the first.
        let same: Vec<Option<i64>> =
            (0i64..).map_while(|i| category(b.1, i)).map(|name| names.get(&name).copied()).collect();
        let codes = |d: &Dense| -> Vec<i64> {
            let item = d.dtype.item_size().unwrap_or(1).max(1);
            d.data.as_slice().chunks_exact(item).map(int).collect()
        };
        for (i, (p, q)) in codes(a.0).into_iter().zip(codes(b.0)).enumerate() {
            let moved = usize::try_from(q).ok().map_or(Some(-1), |q| same.get(q).copied().flatten());
            if moved != Some(p.max(-1)) || (self.strict && p != q) {
                let word = |all: &Value, code: i64| {
                    category(all, code)
                        .map_or_else(|| "missing".to_owned(), |n| String::from_utf8_lossy(&n).into_owned())
                };
                self.differs(|| vec![row + i as u64], || (word(a.1, p), word(b.1, q)));
            }
        }
    }

    /// Matrices of which one at least is sparse: what is not zero in them, in order.
    fn matrices(&mut self, a: &Value, b: &Value, from: [u64; 2]) -> Result<()> {
        let (Some((da, na)), Some((db, nb))) = (items(a), items(b)) else {
            self.differs(Vec::new, Default::default);
            return Ok(());
        };
        let _charge =
            self.budget.charge((na + nb).saturating_mul(size_of::<Entry>() as u64), "what is compared")?;
        let (x, y) = (entries(a, from), entries(b, from));
        let (mut i, mut j) = (0, 0);
        while i < x.len() || j < y.len() {
            let (p, q) = (x.get(i), y.get(j));
            let place = |e: Option<&Entry>| e.map_or((u64::MAX, u64::MAX), |e| (e.0, e.1));
            let here = place(p).min(place(q));
            let (p, q) = (p.filter(|e| place(Some(e)) == here), q.filter(|e| place(Some(e)) == here));
            let value = |e: Option<&Entry>, (dtype, bytes): &(&DataType, &[u8])| -> Option<Vec<u8>> {
                let item = dtype.item_size()?;
                e.and_then(|e| bytes.get(e.2 * item..(e.2 + 1) * item)).map(<[u8]>::to_vec)
            };
            let (u, v) = (value(p, &da), value(q, &db));
            let same = matches!((&u, &v), (Some(u), Some(v)) if equal(da.0, u, v));
            if !same {
                let word = |v: Option<&Vec<u8>>| v.map_or_else(|| "0".to_owned(), |v| text(da.0, v));
                self.differs(|| vec![here.0, here.1], || (word(u.as_ref()), word(v.as_ref())));
            }
            i += usize::from(p.is_some());
            j += usize::from(q.is_some());
        }
        Ok(())
    }
}

/// The type and bytes of a matrix's values, and how many there are.
fn items(value: &Value) -> Option<((&DataType, &[u8]), u64)> {
    let (dtype, data) = match value {
        Value::Dense(d) => (&d.dtype, d.data.as_slice()),
        Value::Sparse(s) => (&s.dtype, s.data.as_slice()),
        _ => return None,
    };
    Some(((dtype, data), (data.len() / dtype.item_size()?.max(1)) as u64))
}

fn entries(value: &Value, from: [u64; 2]) -> Vec<Entry> {
    let Some(((dtype, data), _)) = items(value) else { return Vec::new() };
    let item = dtype.item_size().unwrap_or(1).max(1);
    let mut out: Vec<Entry> = Vec::new();
    let stored = |i: usize| data.get(i * item..(i + 1) * item).is_some_and(|v| !is_zero(dtype, v));
    match value {
        Value::Dense(d) => {
            let width = d.shape.get(1).copied().unwrap_or(1).max(1);
            let all = (0..data.len() / item).filter(|&i| stored(i));
            out.extend(all.map(|i| (from[0] + i as u64 / width, from[1] + i as u64 % width, i)));
        }
        Value::Sparse(s) => sparse(s, from, &stored, &mut out),
        _ => {}
    }
    out.sort_unstable();
    out
}

fn sparse(s: &SparseMatrix, from: [u64; 2], stored: &dyn Fn(usize) -> bool, out: &mut Vec<Entry>) {
    let width = usize::from(s.index_width.max(1));
    let starts: Vec<i64> = s.indptr.as_slice().chunks_exact(width).map(int).collect();
    let indices = s.indices.as_slice();
    for (major, ends) in starts.windows(2).enumerate() {
        let range = usize::try_from(ends[0]).unwrap_or(0)..usize::try_from(ends[1]).unwrap_or(0);
        for i in range.filter(|&i| stored(i)) {
            let minor = indices.get(i * width..(i + 1) * width).map_or(0, int).unsigned_abs();
            let (row, column) = match s.format {
                SparseFormat::Csr => (major as u64, minor),
                SparseFormat::Csc => (minor, major as u64),
            };
            out.push((from[0] + row, from[1] + column, i));
        }
    }
}

/// A category as bytes that no other has.
fn category(categories: &Value, code: i64) -> Option<Vec<u8>> {
    let i = usize::try_from(code).ok()?;
    match categories {
        Value::Strings(s) => s.get(i).map(<[u8]>::to_vec),
        Value::Dense(d) => {
            let item = d.dtype.item_size()?;
            d.data.as_slice().get(i * item..(i + 1) * item).map(|v| text(&d.dtype, v).into_bytes())
        }
        Value::Nullable { values, .. } => category(values, code),
        _ => None,
    }
}

fn place(i: usize, shape: &[u64], row: u64) -> Vec<u64> {
    let mut rest = i as u64;
    let mut at = vec![0; shape.len()];
    for (place, &n) in at.iter_mut().zip(shape).rev() {
        *place = rest % n.max(1);
        rest /= n.max(1);
    }
    if let Some(first) = at.first_mut() {
        *first += row;
    }
    at
}

fn int(bytes: &[u8]) -> i64 {
    match *bytes {
        [a] => i64::from(i8::from_ne_bytes([a])),
        [a, b] => i64::from(i16::from_ne_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_ne_bytes([a, b, c, d])),
        _ => bytes.try_into().map_or(-1, i64::from_ne_bytes),
    }
}

fn float(bytes: &[u8]) -> Option<f64> {
    match *bytes {
        [a, b, c, d] => Some(f64::from(f32::from_ne_bytes([a, b, c, d]))),
        _ => bytes.try_into().ok().map(f64::from_ne_bytes),
    }
}

/// Whether an item is what a sparse matrix does not store: of numbers also zero with a sign.
fn is_zero(dtype: &DataType, bytes: &[u8]) -> bool {
    match dtype {
        DataType::Float(_) | DataType::Complex(_) => stored_in(dtype, bytes) == 0,
        _ => bytes.iter().all(|b| *b == 0),
    }
}

fn equal(dtype: &DataType, a: &[u8], b: &[u8]) -> bool {
    if a == b || (is_zero(dtype, a) && is_zero(dtype, b)) {
        return true;
    }
    match dtype {
        DataType::Float(2) => {
            let nan = |v: &[u8]| v.try_into().is_ok_and(|b| u16::from_ne_bytes(b) & 0x7fff > 0x7c00);
            nan(a) && nan(b)
        }
        DataType::Float(_) => float(a).is_some_and(f64::is_nan) && float(b).is_some_and(f64::is_nan),
        DataType::Complex(_) => {
            let half = DataType::Float(if a.len() == 8 { 4 } else { 8 });
            let (m, n) = (a.split_at(a.len() / 2), b.split_at(b.len() / 2));
            equal(&half, m.0, n.0) && equal(&half, m.1, n.1)
        }
        _ => false,
    }
}

fn text(dtype: &DataType, bytes: &[u8]) -> String {
    match dtype {
        DataType::Bool => (bytes != [0]).to_string(),
        DataType::Int(_) => int(bytes).to_string(),
        DataType::UInt(_) => {
            let mut wide = [0; 8];
            let little = cfg!(target_endian = "little");
            for (to, from) in wide.iter_mut().zip(bytes) {
                *to = *from;
            }
            if little { u64::from_le_bytes(wide).to_string() } else { format!("{bytes:02x?}") }
        }
        DataType::Float(4 | 8) => float(bytes).map_or_else(String::new, |f| f.to_string()),
        _ => format!("{bytes:02x?}"),
    }
}
