//! Selections that must be read for: labels and predicates, block by block.

use std::collections::{HashMap, HashSet};

use lazarr_format::anndata::{Body, Element, NullableKind};
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::Index;
use lazarr_plan::expr::{Bound, CategoryValues, ColumnBlock, ColumnSchema, Expr, Mask3};

use crate::axis::{Axis, Step};
use crate::call::Run;
use crate::program::{Recipe, Want, broken};
use crate::value::{Strings, Value};

/// What `step` selects of `base`.
pub(crate) fn apply(axis: &Axis, base: &Index, step: &Step, run: &Run<'_>) -> Result<Index> {
    let step = &step.clone().fixed(base.len())?;
    match step {
        Step::Index(inner) => base.compose(inner),
        Step::Slice(..) | Step::Ints(_) | Step::Mask(_) => {
            Err(Error::new(Code::Internal, "a step was not fixed"))
        }
        Step::Labels(labels) => base.compose(&find(axis, base, labels, run)?),
        Step::LabelSlice(start, stop) => {
            base.compose(&slice(axis, base, start.as_deref(), stop.as_deref(), run)?)
        }
        Step::LabelledMask(labels, mask) => base.compose(&align(axis, base, labels, mask, run)?),
        Step::Predicate(expr) => base.compose(&filter(axis, base, expr, run)?),
    }
}

/// So many rows are looked at together, where chunks allow it.
const BLOCK: u64 = 4 << 20;

/// Blocks of positions of `base` that cut no chunk of these columns: each chunk is decoded once.
fn blocks(base: &Index, columns: &[Element], run: &Run<'_>) -> impl Iterator<Item = Index> + use<> {
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
    let row: u64 = arrays.iter().map(|a| a.dtype.item_size().unwrap_or(32) as u64).sum::<u64>().max(1);
    let fits = (run.cx.budget.limit() / 8 / row).clamp(1, BLOCK);
    Some((start, (fits / step).max(1) * step))
}

fn range(a: u64, b: u64, n: u64) -> Index {
    Index::slice(Some(a as i64), Some(b as i64), None, n).unwrap_or_else(|_| Index::none(n))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// The arrays of a column that have one item a row.
fn own_arrays(column: &Element) -> Vec<lazarr_format::ArrayRef> {
    match &column.body {
        Body::Categorical(c) => vec![c.codes.clone()],
        _ => column.arrays(),
    }
}

/// Reads some rows of columns: of a categorical only its codes.
fn read(axis: &Axis, columns: &[Element], rows: &Index, run: &Run<'_>) -> Result<Vec<Value>> {
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
fn texts(value: &Value) -> Result<Vec<String>> {
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

fn text(strings: &Strings, i: usize) -> String {
    String::from_utf8_lossy(strings.get(i).unwrap_or_default()).into_owned()
}

fn integers(dtype: &DataType, bytes: &[u8]) -> Vec<i128> {
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

fn floats(dtype: &DataType, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        DataType::Float(4) => {
            bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
        }
        DataType::Float(8) => bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        _ => Vec::new(),
    }
}

/// Calls `f(position in base, name)` for every name, block by block.
fn each_name(axis: &Axis, base: &Index, run: &Run<'_>, mut f: impl FnMut(u64, &str)) -> Result<()> {
    let column = axis.column(None)?;
    let mut at = 0;
    for block in blocks(base, std::slice::from_ref(&column), run) {
        let rows = base.compose(&block)?;
        let values = read(axis, std::slice::from_ref(&column), &rows, run)?;
        match values.first() {
            Some(Value::Strings(s)) => {
                for i in 0..s.len() {
                    f(at, std::str::from_utf8(s.get(i).unwrap_or_default()).unwrap_or_default());
                    at += 1;
                }
            }
            Some(other) => {
                for name in texts(other).map_err(|e| e.element(&*column.path))? {
                    f(at, &name);
                    at += 1;
                }
            }
            None => {}
        }
    }
    Ok(())
}

fn find(axis: &Axis, base: &Index, labels: &[String], run: &Run<'_>) -> Result<Index> {
    let mut places: HashMap<&str, Vec<u64>> = labels.iter().map(|l| (l.as_str(), Vec::new())).collect();
    each_name(axis, base, run, |at, name| {
        if let Some(found) = places.get_mut(name) {
            found.push(at);
        }
    })?;
    let mut out = Vec::with_capacity(labels.len());
    for label in labels {
        match places.get(label.as_str()) {
            Some(found) if !found.is_empty() => out.extend_from_slice(found),
            _ => return Err(unknown(axis, base, label, run)),
        }
    }
    Index::positions(out).with_axis(base.len())
}

/// The error for a name that is not there, with the nearest that are.
fn unknown(axis: &Axis, base: &Index, label: &str, run: &Run<'_>) -> Error {
    let mut nearest = lazarr_plan::Nearest::new(label);
    let looked = each_name(axis, base, run, |_, name| nearest.see(name));
    let of = if axis.path.is_empty() { "the table" } else { &axis.path };
    let error = Error::new(Code::LabelNotFound, format!("`{label}` is not among the names of {of}"))
        .element(axis.path.clone());
    match looked {
        Ok(()) => error.help(format!("The nearest are {}", nearest.text())),
        Err(e) => error.source(e),
    }
}

fn slice(axis: &Axis, base: &Index, start: Option<&str>, stop: Option<&str>, run: &Run<'_>) -> Result<Index> {
    let (mut first, mut last) = (None, None);
    each_name(axis, base, run, |at, name| {
        if Some(name) == start && first.is_none() {
            first = Some(at);
        }
        if Some(name) == stop {
            last = Some(at);
        }
    })?;
    let from = match (start, first) {
        (None, _) => 0,
        (Some(_), Some(at)) => at,
        (Some(label), None) => return Err(unknown(axis, base, label, run)),
    };
    let to = match (stop, last) {
        (None, _) => base.len(),
        (Some(_), Some(at)) => at + 1, // a slice of labels includes its end
        (Some(label), None) => return Err(unknown(axis, base, label, run)),
    };
    Ok(range(from, to.max(from), base.len()))
}

/// A mask whose items are labelled: by label where the labels are the names in any order, else refused.
fn align(axis: &Axis, base: &Index, labels: &[String], mask: &[bool], run: &Run<'_>) -> Result<Index> {
    let refuse = |what: &str| {
        Err(Error::new(Code::IndexKind, format!("a labelled mask does not fit {}: {what}", axis.path))
            .help("Align it first, or pass mask.to_numpy() to select by position"))
    };
    if labels.len() as u64 != base.len() {
        return refuse(&format!("it has {} labels for {} names", labels.len(), base.len()));
    }
    let by_label: HashMap<&str, bool> = labels.iter().map(String::as_str).zip(mask.iter().copied()).collect();
    let unique = by_label.len() == labels.len();
    let (mut same, mut known, mut seen) = (true, true, HashSet::new());
    let mut out = Vec::with_capacity(mask.len());
    each_name(axis, base, run, |at, name| {
        same &= labels.get(at as usize).is_some_and(|l| l == name);
        match by_label.get(name) {
            Some(&wanted) => out.push(wanted),
            None => known = false,
        }
        if !same && !seen.insert(name.to_owned()) {
            known = false;
        }
    })?;
    if same {
        return Index::mask(mask, base.len());
    }
    if !unique || !known {
        return refuse("its labels are not the names");
    }
    Index::mask(&out, base.len())
}

fn filter(axis: &Axis, base: &Index, expr: &Expr, run: &Run<'_>) -> Result<Index> {
    let (bound, columns) = bind(axis, expr, run)?;
    let mut mask = Mask3::empty();
    for block in blocks(base, &columns, run) {
        let rows = base.compose(&block)?;
        let values = read(axis, &columns, &rows, run)?;
        let offsets: Vec<Vec<u64>> = values.iter().map(offsets).collect();
        let blocks =
            values.iter().zip(&offsets).map(|(v, o)| column_block(v, o)).collect::<Result<Vec<_>>>()?;
        mask.append(&bound.eval(&blocks)?.selected());
    }
    mask.into_index(base.len())
}

/// An expression with the types of its columns; reads categories.
fn bind(axis: &Axis, expr: &Expr, run: &Run<'_>) -> Result<(Bound, Vec<Element>)> {
    let mut schemas = Vec::new();
    let mut columns = Vec::new();
    for column in expr.columns() {
        let element = axis.column(column.column.as_deref())?;
        schemas.push((column, schema(&element, run)?));
        columns.push(element);
    }
    Ok((expr.bind(&schemas)?, columns))
}

fn schema(column: &Element, run: &Run<'_>) -> Result<ColumnSchema> {
    Ok(match &column.body {
        Body::Dense(a) => match &a.dtype {
            DataType::Bool => ColumnSchema::Bool,
            d @ (DataType::DateTime(_) | DataType::TimeDelta(_)) => ColumnSchema::Time(d.clone()),
            d if d.is_integer() || matches!(d, DataType::Float(_)) => ColumnSchema::Numeric(d.clone()),
            DataType::FixedUtf32(_) | DataType::FixedBytes(_) => ColumnSchema::Strings,
            d => ColumnSchema::Other(d.to_string()),
        },
        Body::Strings(_) => ColumnSchema::Strings,
        Body::Nullable(n) => match &n.kind {
            NullableKind::Integer => ColumnSchema::NullableInteger(n.values.dtype.clone()),
            NullableKind::Boolean => ColumnSchema::NullableBoolean,
            NullableKind::String { nan } => ColumnSchema::NullableString { nan: *nan },
        },
        Body::Categorical(c) => {
            ColumnSchema::Categorical { categories: categories(&c.categories, run)?, ordered: c.ordered }
        }
        Body::Broken(e) => return Err(broken(e, &column.path)),
        _ => ColumnSchema::Other(column.encoding_type.clone()),
    })
}

fn categories(element: &Element, run: &Run<'_>) -> Result<CategoryValues> {
    let value = run.read(&|| {
        let mut want = Want { names: true, ..Want::default() };
        let recipe = want.add(element, &[], None)?;
        Ok((want, Recipe::Texts(Box::new(recipe))))
    })?;
    let na = matches!(&element.body, Body::Nullable(n) if n.kind == NullableKind::String { nan: false });
    let inner = match &value {
        Value::Nullable { values, .. } => values,
        other => other,
    };
    Ok(match inner {
        Value::Strings(s) => {
            CategoryValues::Strings { values: (0..s.len()).map(|i| text(s, i)).collect(), na }
        }
        Value::Dense(d) => match &d.dtype {
            DataType::Bool => CategoryValues::Bool(d.data.as_slice().iter().map(|&b| b != 0).collect()),
            DataType::Int(_) => CategoryValues::Int(
                integers(&d.dtype, d.data.as_slice()).into_iter().map(|i| i as i64).collect(),
            ),
            DataType::UInt(_) => CategoryValues::UInt(
                integers(&d.dtype, d.data.as_slice()).into_iter().map(|i| i as u64).collect(),
            ),
            DataType::Float(4 | 8) => CategoryValues::Float(floats(&d.dtype, d.data.as_slice())),
            other => CategoryValues::Other {
                name: other.to_string(),
                len: d.shape.first().map_or(0, |&n| n as usize),
            },
        },
        _ => CategoryValues::Other { name: "something else".into(), len: 0 },
    })
}

fn offsets(value: &Value) -> Vec<u64> {
    match value {
        Value::Strings(s) => {
            s.offsets.as_slice().as_chunks::<8>().0.iter().map(|b| u64::from_ne_bytes(*b)).collect()
        }
        Value::Nullable { values, .. } => offsets(values),
        _ => Vec::new(),
    }
}

fn column_block<'v>(value: &'v Value, offsets: &'v [u64]) -> Result<ColumnBlock<'v>> {
    Ok(match value {
        Value::Dense(d) => ColumnBlock::Fixed { dtype: d.dtype.clone(), bytes: d.data.as_slice() },
        Value::Strings(s) => ColumnBlock::Strings { offsets, bytes: s.bytes.as_slice() },
        Value::Categorical { codes, .. } => {
            ColumnBlock::Codes { dtype: codes.dtype.clone(), bytes: codes.data.as_slice() }
        }
        Value::Nullable { values, mask, .. } => match &**values {
            Value::Strings(s) => ColumnBlock::NullableStrings {
                offsets,
                bytes: s.bytes.as_slice(),
                mask: mask.data.as_slice(),
            },
            Value::Dense(d) => ColumnBlock::NullableFixed {
                dtype: d.dtype.clone(),
                bytes: d.data.as_slice(),
                mask: mask.data.as_slice(),
            },
            _ => return Err(Error::new(Code::Internal, "a nullable column came as something else")),
        },
        _ => return Err(Error::new(Code::Operation, "this column cannot be used in a predicate")),
    })
}
