//! Columns that are read in blocks of rows.

use lazarr_format::anndata::{Body, Element};
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::Index;

use crate::axis::Axis;
use crate::call::Run;
use crate::program::{Recipe, Want};
use crate::value::{Strings, Value};

/// So many rows are looked at together at most, where chunks allow it.
const BLOCK: u64 = 4 << 20;
/// So many bytes of columns are.
const BLOCK_BYTES: u64 = 64 << 20;
/// What a string takes while it is put together: it, where it goes, and where it is.
const STRING: u64 = 96;

/// Blocks of positions of `base` that cut no chunk of these columns: each chunk is decoded once.
pub(super) fn blocks(
    base: &Index,
    columns: &[Element],
    run: &Run<'_>,
) -> impl Iterator<Item = Index> + use<> {
    let n = base.len();
    let (start, rows) = cuts(base, columns, run).unwrap_or((0, u64::MAX));
    let first = Some((0, (start / rows).saturating_add(1).saturating_mul(rows).saturating_sub(start).min(n)));
    let next = move |&(_, end): &(u64, u64)| (end < n).then(|| (end, end.saturating_add(rows).min(n)));
    std::iter::successors(first, next).map(move |(a, b)| range(a, b, n))
}

/// Where the first block starts in the axis, and the rows of a block; `None`: all at once.
fn cuts(base: &Index, columns: &[Element], run: &Run<'_>) -> Option<(u64, u64)> {
    let (start, 1, _) = base.as_range()? else { return None };
    let arrays: Vec<_> = columns.iter().flat_map(own_arrays).collect();
    let step = arrays.iter().try_fold(1u64, |l, a| {
        // Blocks at the edges of a rectilinear grid would differ.
        let chunk = *a.inner_shape().first().filter(|_| a.grid.is_none())?;
        let lcm = l / gcd(l, chunk) * chunk;
        (lcm <= 4 * BLOCK).then_some(lcm)
    });
    let step = step?;
    let row = row_bytes(&arrays).max(1);
    let fits = ((run.cx.budget.limit() / 8).min(BLOCK_BYTES) / row).clamp(1, BLOCK);
    Some((start, (fits / step).max(1) * step))
}

pub(super) fn range(a: u64, b: u64, n: u64) -> Index {
    Index::slice(Some(a as i64), Some(b as i64), None, n).unwrap_or_else(|_| Index::none(n))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// Whether these rows of columns are few enough to be read at once, before it is known what is looked for in them.
pub(super) fn are_small(base: &Index, columns: &[Element], run: &Run<'_>) -> bool {
    let bytes = columns.iter().map(|c| row_bytes(&own_arrays(c))).sum::<u64>().saturating_mul(base.len());
    bytes <= (run.cx.budget.limit() / 16).min(BLOCK_BYTES)
}

/// What a row of these arrays takes.
fn row_bytes(arrays: &[lazarr_format::ArrayRef]) -> u64 {
    arrays.iter().map(|a| a.dtype.item_size().map_or(STRING, |n| n as u64)).sum()
}

/// The arrays of a column that have one item a row.
fn own_arrays(column: &Element) -> Vec<lazarr_format::ArrayRef> {
    match &column.body {
        Body::Categorical(c) => vec![c.codes.clone()],
        _ => column.arrays(),
    }
}

/// Reads some rows of columns: of a categorical only its codes.
pub(super) fn read(axis: &Axis, columns: &[Element], rows: &Index, run: &Run<'_>) -> Result<Vec<Value>> {
    let value = run.read(&|| {
        let mut want = Want::default();
        let mut parts = Vec::new();
        for column in columns {
            want.names = axis.column(None).is_ok_and(|names| names.path == column.path);
            parts.push((String::new(), want.add_for_predicate(column, rows)?));
        }
        Ok((want, Recipe::Map(parts)))
    })?;
    match value {
        Value::Map(parts) => Ok(parts.into_iter().map(|(_, v)| v).collect()),
        _ => Err(Error::new(Code::Internal, "columns came as something else")),
    }
}

/// The items of a 1-d value as text; integers are spelled, as anndata does with such names.
pub(crate) fn texts(value: &Value) -> Result<Vec<String>> {
    match value {
        Value::Strings(s) => Ok((0..s.len()).map(|i| text(s, i)).collect()),
        Value::Nullable { values, .. } => texts(values),
        Value::Dense(d) if d.dtype.is_integer() => {
            Ok(integers(&d.dtype, d.data.as_slice()).iter().map(ToString::to_string).collect())
        }
        Value::Dense(d) if d.dtype == DataType::Bool => {
            Ok(d.data.as_slice().iter().map(|&b| if b == 0 { "False" } else { "True" }.to_owned()).collect())
        }
        Value::Dense(d) if matches!(d.dtype, DataType::Float(_)) => {
            Ok(floats(&d.dtype, d.data.as_slice()).iter().map(|x| format!("{x:?}")).collect())
        }
        _ => Err(Error::new(Code::Operation, "the names of this axis are neither text nor integers")),
    }
}

pub(super) fn text(strings: &Strings, i: usize) -> String {
    String::from_utf8_lossy(strings.get(i).unwrap_or_default()).into_owned()
}

pub(crate) fn integers(dtype: &DataType, bytes: &[u8]) -> Vec<i128> {
    let size = dtype.item_size().unwrap_or(1).max(1);
    bytes
        .chunks_exact(size)
        .map(|item| {
            let mut wide = [0u8; 8];
            wide[..size].copy_from_slice(item);
            let raw = u64::from_le_bytes(wide);
            let shift = 64 - 8 * size as u32;
            if matches!(dtype, DataType::Int(_)) {
                i128::from((raw << shift) as i64 >> shift)
            } else {
                i128::from(raw)
            }
        })
        .collect()
}

pub(crate) fn floats(dtype: &DataType, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        DataType::Float(4) => {
            bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
        }
        DataType::Float(8) => bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        _ => Vec::new(),
    }
}
