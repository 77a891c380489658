//! Where a predicate is true.

use std::sync::{Arc, Mutex, PoisonError};

use lazarr_format::anndata::{Body, Element, NullableKind};
use lazarr_format::{ArrayRef, Code, DataType, Error, Result};
use lazarr_plan::Index;
use lazarr_plan::expr::{Bound, CategoryValues, ColumnBlock, ColumnSchema, Expr, Mask3};

use super::blocks::{are_small, blocks, floats, integers, range, read, text};
use super::{scan, scannable};
use crate::axis::Axis;
use crate::call::Run;
use crate::concat::{Kind, concat_of};
use crate::exec::sink::Items;
use crate::program::{Column, Recipe, Visit, Want, broken};
use crate::value::Value;

/// So many rows are answered together: what the single tests said of them is kept until it is joined.
const TOGETHER: u64 = 32 << 20;

pub(super) fn filter(axis: &Axis, base: &Index, expr: &Expr, run: &Run<'_>) -> Result<Index> {
    if let Some(found) = together(axis, base, expr, run)? {
        return Ok(found);
    }
    let (bound, columns) = bind(axis, base, expr, run)?;
    let _held = run.cx.budget.charge(base.len().div_ceil(64) * 8, "the rows that a predicate selects")?;
    if let Some(columns) = scannable(axis, base, &columns)? {
        return look_through(base, bound, &columns, run);
    }
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

/// From afar: the categories and the codes in one go, where these are few. What is looked for in the codes is not known
/// before the categories are, and asking for one after the other would be waiting twice.
fn together(axis: &Axis, base: &Index, expr: &Expr, run: &Run<'_>) -> Result<Option<Index>> {
    if !run.is_distant() {
        return Ok(None);
    }
    let named = expr.columns();
    let columns: Vec<Element> =
        named.iter().map(|c| axis.column(c.column.as_deref())).collect::<Result<_>>()?;
    let categorical = |c: &Element| matches!(c.body, Body::Categorical(_));
    let plain = |c: &Element| {
        matches!(c.body, Body::Dense(_) | Body::Strings(_) | Body::Nullable(_)) || categorical(c)
    };
    if !columns.iter().any(categorical) || !columns.iter().all(plain) || !are_small(base, &columns, run) {
        return Ok(None);
    }
    let value = run.read(&|| {
        let mut want = Want { ahead: run.coming.clone(), ..Want::default() };
        let mut parts = Vec::new();
        for column in &columns {
            let categories = match &column.body {
                Body::Categorical(c) => {
                    want.names = true;
                    Recipe::Texts(Box::new(want.add(&c.categories, &[], None)?))
                }
                _ => Recipe::Null,
            };
            want.names = axis.column(None).is_ok_and(|names| names.path == column.path);
            parts.push((String::new(), categories));
            parts.push((String::new(), want.add_for_predicate(column, base)?));
        }
        Ok((want, Recipe::Map(parts)))
    })?;
    let Value::Map(parts) = value else {
        return Err(Error::new(Code::Internal, "columns came as something else"));
    };
    let values: Vec<Value> = parts.into_iter().map(|(_, value)| value).collect();
    let schemas = named.into_iter().zip(&columns).zip(values.chunks(2)).map(|((name, column), pair)| {
        let schema = match (&column.body, pair.first()) {
            (Body::Categorical(c), Some(value)) => ColumnSchema::Categorical {
                categories: category_values(&c.categories, value),
                ordered: c.ordered,
            },
            _ => schema(column, false, run)?,
        };
        Ok((name, schema))
    });
    let bound = expr.bind(&schemas.collect::<Result<Vec<_>>>()?)?;
    let values: Vec<&Value> = values.chunks(2).filter_map(|pair| pair.get(1)).collect();
    let offsets: Vec<Vec<u64>> = values.iter().map(|v| offsets(v)).collect();
    let blocks = values.iter().zip(&offsets).map(|(v, o)| column_block(v, o)).collect::<Result<Vec<_>>>()?;
    bound.eval(&blocks)?.selected().into_index(base.len()).map(Some)
}

/// The answers of the tests of one column, as its chunks come.
struct Tests {
    bound: Arc<Bound>,
    column: usize,
    dtype: DataType,
    is_codes: bool,
    /// One mask a test of the whole expression.
    answers: Arc<Mutex<Vec<Mask3>>>,
}

impl Visit for Tests {
    fn visit(&self, first: u64, items: Items<'_>) -> Result<()> {
        let dtype = self.dtype.clone();
        let block = match items {
            Items::Vlen(chunk) => ColumnBlock::Strings { offsets: &chunk.offsets, bytes: &chunk.bytes },
            Items::Fixed(bytes) if self.is_codes => ColumnBlock::Codes { dtype, bytes },
            Items::Fixed(bytes) => ColumnBlock::Fixed { dtype, bytes },
        };
        let found = self.bound.eval_column(self.column, &block)?;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for (test, mask) in found {
            if let Some(answer) = answers.get_mut(test) {
                answer.place(first, &mask);
            }
        }
        Ok(())
    }
}

/// Answers a predicate where its columns are decoded.
fn look_through(base: &Index, bound: Bound, columns: &[Column], run: &Run<'_>) -> Result<Index> {
    let bound = Arc::new(bound);
    let n = base.len();
    let mut mask = Mask3::empty();
    let mut start = 0;
    while start < n {
        let end = start.saturating_add(TOGETHER).min(n);
        let rows = base.compose(&range(start, end, n))?;
        // True and missing rows of each test.
        let bytes = (end - start).div_ceil(64) * 16 * bound.tests() as u64;
        let _held = run.cx.budget.charge(bytes, "the answers of a predicate")?;
        let answers = Arc::new(Mutex::new(vec![Mask3::none(end - start); bound.tests()]));
        let visitors: Vec<(Column, Arc<dyn Visit>)> = columns
            .iter()
            .enumerate()
            .map(|(column, c)| {
                let (bound, answers) = (bound.clone(), answers.clone());
                let is_codes = matches!(c.element.body, Body::Categorical(_));
                let dtype = c.dtype.clone();
                (c.clone(), Arc::new(Tests { bound, column, dtype, is_codes, answers }) as Arc<dyn Visit>)
            })
            .collect();
        scan(&visitors, &rows, run)?;
        let answers = std::mem::take(&mut *answers.lock().unwrap_or_else(PoisonError::into_inner));
        mask.append(&bound.combine(answers)?.selected());
        start = end;
    }
    mask.into_index(n)
}

/// An expression with the types of its columns; reads categories, and the indices of the shards of codes where all rows are
/// looked at.
fn bind(axis: &Axis, base: &Index, expr: &Expr, run: &Run<'_>) -> Result<(Bound, Vec<Element>)> {
    let mut schemas = Vec::new();
    let mut columns = Vec::new();
    for column in expr.columns() {
        let element = axis.column(column.column.as_deref())?;
        schemas.push((column, schema(&element, base.is_all(), run)?));
        columns.push(element);
    }
    Ok((expr.bind(&schemas)?, columns))
}

/// Of a concatenation.
fn joined(column: &Element, run: &Run<'_>) -> Result<ColumnSchema> {
    Ok(match concat_of(column).map(|c| &c.kind) {
        Some(Kind::Dense { dtype, .. }) => match dtype {
            DataType::Bool => ColumnSchema::Bool,
            d @ (DataType::DateTime(_) | DataType::TimeDelta(_)) => ColumnSchema::Time(d.clone()),
            d if d.is_integer() || matches!(d, DataType::Float(_)) => ColumnSchema::Numeric(d.clone()),
            d => ColumnSchema::Other(d.to_string()),
        },
        Some(Kind::Strings) => ColumnSchema::Strings,
        Some(Kind::Nullable { dtype, kind }) => match kind {
            NullableKind::Integer => ColumnSchema::NullableInteger(dtype.clone()),
            NullableKind::Boolean => ColumnSchema::NullableBoolean,
            NullableKind::String { nan } => ColumnSchema::NullableString { nan: *nan },
        },
        Some(Kind::Categorical { ordered, .. }) => {
            let value = run.read(&|| {
                let mut want = Want { names: true, ..Want::default() };
                let recipe = want.add_categories(column)?;
                Ok((want, Recipe::Texts(Box::new(recipe))))
            })?;
            ColumnSchema::Categorical { categories: category_values(column, &value), ordered: *ordered }
        }
        _ => ColumnSchema::Other(column.encoding_type.clone()),
    })
}

fn schema(column: &Element, all: bool, run: &Run<'_>) -> Result<ColumnSchema> {
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
            let categories = categories(&c.categories, all.then_some(&c.codes), run)?;
            ColumnSchema::Categorical { categories, ordered: c.ordered }
        }
        Body::Joined(_) => joined(column, run)?,
        Body::Broken(e) => return Err(broken(e, &column.path)),
        _ => ColumnSchema::Other(column.encoding_type.clone()),
    })
}

fn categories(element: &Element, codes: Option<&ArrayRef>, run: &Run<'_>) -> Result<CategoryValues> {
    let value = run.read(&|| {
        let mut want = Want { names: true, ahead: codes.into_iter().cloned().collect(), ..Want::default() };
        let recipe = want.add(element, &[], None)?;
        Ok((want, Recipe::Texts(Box::new(recipe))))
    })?;
    Ok(category_values(element, &value))
}

/// Categories as a predicate compares them.
fn category_values(element: &Element, value: &Value) -> CategoryValues {
    let na = matches!(&element.body, Body::Nullable(n) if n.kind == NullableKind::String { nan: false });
    let inner = match value {
        Value::Nullable { values, .. } => values,
        other => other,
    };
    match inner {
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
    }
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
