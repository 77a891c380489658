//! Values one below the other.

use std::sync::Arc;

use lazarr_format::anndata::{NullableKind, SparseFormat};
use lazarr_format::{Code, DataType, Error, Result};

use super::body::Kind;
use super::cast::cast;
use super::categories::Union;
use crate::buffer::Buffer;
use crate::forms::sparse_of;
use crate::program::{Cx, index_width, texts};
use crate::rearrange::{NONE, SparseOut, StringsOut, int, spread, to_csr};
use crate::resolve::spelled;
use crate::value::{Dense, SparseMatrix, Strings, Value};

/// What came of a part.
#[allow(clippy::large_enum_variant, reason = "a few for each result")]
pub(crate) enum Came {
    Value(Value),
    Missing,
    Code(u64),
}

/// Rows of one part.
pub(crate) struct Piece {
    pub(crate) came: Came,
    pub(crate) part: usize,
    pub(crate) len: u64,
    /// What each column that came becomes.
    pub(crate) to: Option<Vec<u64>>,
    pub(crate) suffix: Option<Arc<str>>,
}

fn odd() -> Error {
    Error::new(Code::Internal, "a part came as something else than it is joined to")
}

/// The pieces as one value; `shape` is that of the whole.
pub(crate) fn join(
    kind: &Kind,
    pieces: Vec<Piece>,
    union: Option<Union>,
    shape: &[u64],
    cx: &Cx,
) -> Result<Value> {
    match kind {
        Kind::Dense { dtype, fill } => dense(pieces, dtype, fill, shape, cx).map(Value::Dense),
        Kind::Sparse { dtype } => sparse(pieces, dtype, shape, cx).map(Value::Sparse),
        Kind::Strings => {
            let (values, _) = strings(pieces, shape, cx)?;
            Ok(Value::Strings(values))
        }
        Kind::Nullable { dtype: DataType::String, kind } => {
            let (values, mask) = strings(pieces, shape, cx)?;
            let mask = Dense { dtype: DataType::Bool, shape: shape.to_vec(), data: mask };
            Ok(Value::Nullable { values: Box::new(Value::Strings(values)), mask, kind: kind.clone() })
        }
        Kind::Nullable { dtype, kind } => nullable(pieces, dtype, kind, shape, cx),
        Kind::Categorical { ordered, .. } => {
            let union = union.ok_or_else(odd)?;
            let codes = codes(pieces, &union, shape, cx)?;
            Ok(Value::Categorical { codes, categories: Box::new(union.categories), ordered: *ordered })
        }
    }
}

fn dense(pieces: Vec<Piece>, dtype: &DataType, fill: &[u8], shape: &[u64], cx: &Cx) -> Result<Dense> {
    let item = dtype.item_size().unwrap_or(1).max(1);
    let row = shape.iter().skip(1).fold(item as u64, |n, &k| n.saturating_mul(k));
    let columns = shape.get(1).copied().unwrap_or(1);
    let mut whole: Option<Buffer> = None;
    let alone = pieces.len() == 1;
    let mut at = 0usize;
    for piece in pieces {
        let bytes = piece.len.saturating_mul(row) as usize;
        let came = match piece.came {
            Came::Value(value) => Some(match texts(value, cx)? {
                Value::Dense(d) => d,
                _ => return Err(odd()),
            }),
            _ => None,
        };
        let part = match came {
            None => None,
            Some(d) => {
                let data = cast(d.data, &d.dtype, dtype, cx)?;
                let d = Dense { dtype: dtype.clone(), shape: d.shape, data };
                match &piece.to {
                    None => Some(d.data),
                    Some(to) => match spread(Value::Dense(d), to, columns, fill, cx)? {
                        Value::Dense(d) => Some(d.data),
                        _ => return Err(odd()),
                    },
                }
            }
        };
        if alone && part.as_ref().is_some_and(|data| data.len() == bytes) {
            whole = part;
            break;
        }
        let out = if let Some(out) = &mut whole {
            out
        } else {
            let bytes = shape.iter().fold(item as u64, |n, &k| n.saturating_mul(k));
            whole.insert(Buffer::zeroed(bytes, &cx.budget, "the parts together")?)
        };
        let place = out.as_mut_slice().get_mut(at..at + bytes).ok_or_else(odd)?;
        match part {
            Some(data) if data.len() == bytes => place.copy_from_slice(data.as_slice()),
            Some(_) => return Err(odd()),
            None if fill.iter().any(|b| *b != 0) => {
                place.chunks_exact_mut(item).for_each(|to| to.copy_from_slice(fill));
            }
            None => {}
        }
        at += bytes;
    }
    let data = match whole {
        Some(data) => data,
        None => Buffer::zeroed(0, &cx.budget, "the parts together")?,
    };
    Ok(Dense { dtype: dtype.clone(), shape: shape.to_vec(), data })
}

/// A matrix of a part as csr, its values of the type of the whole.
fn csr(value: Value, dtype: &DataType, cx: &Cx) -> Result<SparseMatrix> {
    let matrix = match value {
        Value::Sparse(m) => to_csr(m, cx)?,
        Value::Dense(d) => {
            let &[rows, columns] = d.shape.as_slice() else { return Err(odd()) };
            sparse_of(&d.dtype, [rows, columns], d.data.as_slice(), &cx.budget)?
        }
        _ => return Err(odd()),
    };
    let data = cast(matrix.data, &matrix.dtype, dtype, cx)?;
    Ok(SparseMatrix { dtype: dtype.clone(), data, ..matrix })
}

fn sparse(pieces: Vec<Piece>, dtype: &DataType, shape: &[u64], cx: &Cx) -> Result<SparseMatrix> {
    let &[rows, columns] = shape else { return Err(odd()) };
    let mut parts = Vec::with_capacity(pieces.len());
    let alone = pieces.len() == 1;
    for piece in pieces {
        let matrix = match piece.came {
            Came::Value(value) => Some(csr(value, dtype, cx)?),
            _ => None,
        };
        parts.push((matrix, piece.to, piece.len));
    }
    if alone && let Some((Some(_), None, _)) = parts.first() {
        let matrix = parts.pop().and_then(|(m, ..)| m).ok_or_else(odd)?;
        return Ok(SparseMatrix { format: SparseFormat::Csr, ..matrix });
    }
    let mut nnz = 0;
    for (matrix, to, _) in &parts {
        let Some(m) = matrix else { continue };
        let stored = m.indices.len() / usize::from(m.index_width.max(1));
        nnz += match to {
            None => stored as u64,
            Some(to) => (0..stored)
                .filter(|&k| {
                    let column = int(m.indices.as_slice(), m.index_width, k) as usize;
                    to.get(column).is_some_and(|c| *c != NONE)
                })
                .count() as u64,
        };
    }
    let mut out = SparseOut::new([rows, columns], dtype, nnz, index_width(rows, columns, nnz), cx)?;
    let item = dtype.item_size().unwrap_or(1).max(1);
    for (matrix, to, len) in parts {
        let Some(m) = matrix else {
            (0..len).for_each(|_| out.end());
            continue;
        };
        if to.is_none() && out.rows(&m) {
            continue;
        }
        for row in 0..len as usize {
            let from = int(m.indptr.as_slice(), m.index_width, row) as usize;
            let end = int(m.indptr.as_slice(), m.index_width, row + 1) as usize;
            for k in from..end {
                let column = int(m.indices.as_slice(), m.index_width, k);
                let column =
                    to.as_ref().map_or(column, |to| to.get(column as usize).copied().unwrap_or(NONE));
                if column != NONE {
                    out.values(m.data.as_slice().get(k * item..(k + 1) * item).ok_or_else(odd)?);
                    out.index(column);
                }
            }
            out.end();
        }
    }
    Ok(out.finish())
}

/// Text of a part, and which of it is missing.
struct Texts {
    strings: Strings,
    /// Of categories the place of each item's text; else items stand in their order.
    at: Option<Vec<u64>>,
    mask: Option<Vec<u8>>,
}

impl Texts {
    fn of(value: Value, cx: &Cx) -> Result<Self> {
        Ok(match texts(value, cx)? {
            Value::Strings(strings) => Self { strings, at: None, mask: None },
            Value::Nullable { values, mask, .. } => {
                let inner = Self::of(*values, cx)?;
                Self { mask: Some(mask.data.as_slice().to_vec()), ..inner }
            }
            Value::Categorical { codes, categories, .. } => {
                let inner = Self::of(*categories, cx)?;
                let mut at = Vec::with_capacity(codes.shape.first().map_or(0, |n| *n as usize));
                crate::counts::each_int(&codes.dtype, codes.data.as_slice(), |_, code| {
                    at.push(u64::try_from(code).unwrap_or(NONE));
                });
                let mask = at.iter().map(|a| u8::from(*a == NONE)).collect();
                Self { strings: inner.strings, at: Some(at), mask: Some(mask) }
            }
            // Names that are numbers are spelled, as anndata does.
            other => {
                let items = spelled(&other)?;
                let bytes = items.iter().map(|t| t.len() as u64).sum();
                let mut out = StringsOut::new(vec![items.len() as u64], bytes, true, cx)?;
                for text in &items {
                    out.push(text.as_bytes());
                }
                Self { strings: out.finish(), at: None, mask: None }
            }
        })
    }

    fn missing(&self, i: usize) -> bool {
        self.mask.as_ref().is_some_and(|mask| mask.get(i).is_some_and(|m| *m != 0))
    }

    fn get(&self, i: usize) -> &[u8] {
        if self.missing(i) {
            return &[];
        }
        let place = self.at.as_ref().map_or(i, |at| at.get(i).map_or(usize::MAX, |a| *a as usize));
        self.strings.get(place).unwrap_or_default()
    }
}

fn strings(pieces: Vec<Piece>, shape: &[u64], cx: &Cx) -> Result<(Strings, Buffer)> {
    let items = |rows: u64| shape.iter().skip(1).fold(rows, |n, &k| n.saturating_mul(k));
    let mut mask =
        Buffer::zeroed(items(shape.first().copied().unwrap_or(1)), &cx.budget, "which are missing")?;
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let came = match piece.came {
            Came::Value(value) => Some(Texts::of(value, cx)?),
            _ => None,
        };
        parts.push((came, items(piece.len) as usize, piece.suffix));
    }
    if let [(Some(Texts { at: None, mask: None, .. }), _, None)] = parts.as_slice()
        && let Some((Some(texts), ..)) = parts.pop()
    {
        return Ok((texts.strings, mask));
    }
    let mut bytes = 0u64;
    for (came, n, suffix) in &parts {
        let Some(came) = came else { continue };
        bytes += (0..*n).map(|i| came.get(i).len() as u64).sum::<u64>();
        bytes += suffix.as_ref().map_or(0, |s| s.len() as u64) * *n as u64;
    }
    let mut out = StringsOut::new(shape.to_vec(), bytes, true, cx)?;
    let mut at = 0;
    for (came, n, suffix) in &parts {
        for i in 0..*n {
            let missing = came.as_ref().is_none_or(|came| came.missing(i));
            if let Some(to) = mask.as_mut_slice().get_mut(at) {
                *to = u8::from(missing);
            }
            out.add(came.as_ref().map_or(&[], |came| came.get(i)));
            out.add(suffix.as_ref().map_or(&[], |s| s.as_bytes()));
            out.end();
            at += 1;
        }
    }
    Ok((out.finish(), mask))
}

fn nullable(
    pieces: Vec<Piece>,
    dtype: &DataType,
    kind: &NullableKind,
    shape: &[u64],
    cx: &Cx,
) -> Result<Value> {
    let (mut values, mut masks) = (Vec::new(), Vec::new());
    for piece in pieces {
        let (value, mask) = match piece.came {
            Came::Value(Value::Nullable { values, mask, .. }) => (Came::Value(*values), Some(mask)),
            Came::Value(Value::Dense(d)) => {
                let n = d.shape.iter().product();
                let none = Buffer::zeroed(n, &cx.budget, "which are missing")?;
                let mask = Dense { dtype: DataType::Bool, shape: d.shape.clone(), data: none };
                (Came::Value(Value::Dense(d)), Some(mask))
            }
            Came::Value(_) | Came::Code(_) => return Err(odd()),
            Came::Missing => (Came::Missing, None),
        };
        let beside = |came| Piece { came, part: piece.part, len: piece.len, to: None, suffix: None };
        values.push(beside(value));
        masks.push(beside(mask.map_or(Came::Missing, |m| Came::Value(Value::Dense(m)))));
    }
    let zero = vec![0; dtype.item_size().unwrap_or(1)];
    Ok(Value::Nullable {
        values: Box::new(Value::Dense(dense(values, dtype, &zero, shape, cx)?)),
        mask: dense(masks, &DataType::Bool, &[1], shape, cx)?,
        kind: kind.clone(),
    })
}

fn codes(pieces: Vec<Piece>, union: &Union, shape: &[u64], cx: &Cx) -> Result<Dense> {
    let rows = shape.first().copied().unwrap_or(0);
    let width: u8 = match union.len {
        0..=127 => 1,
        128..=32767 => 2,
        _ => 4,
    };
    let mut data =
        Buffer::zeroed(rows.saturating_mul(u64::from(width)), &cx.budget, "the codes of a categorical")?;
    let size = usize::from(width);
    let mut at = 0usize;
    let put = |data: &mut Buffer, at: usize, code: i64| {
        if let Some(to) = data.as_mut_slice().get_mut(at * size..(at + 1) * size) {
            to.copy_from_slice(&code.to_le_bytes()[..size]);
        }
    };
    for piece in pieces {
        let start = at;
        at += piece.len as usize;
        match piece.came {
            Came::Missing => (start..at).for_each(|i| put(&mut data, i, -1)),
            Came::Code(code) => (start..at).for_each(|i| put(&mut data, i, code as i64)),
            Came::Value(Value::Categorical { codes, .. }) => {
                let map = union.maps.get(piece.part).ok_or_else(odd)?;
                let mut wrong = false;
                crate::counts::each_int(&codes.dtype, codes.data.as_slice(), |i, code| {
                    let new = match usize::try_from(code) {
                        Err(_) => -1,
                        Ok(code) => map.get(code).map_or(i64::MIN, |c| *c as i64),
                    };
                    wrong |= new == i64::MIN;
                    put(&mut data, start + i, new);
                });
                if wrong {
                    return Err(Error::new(Code::CategoryCode, "a code points at no category"));
                }
            }
            Came::Value(_) => return Err(odd()),
        }
    }
    Ok(Dense { dtype: DataType::Int(width), shape: vec![rows], data })
}
