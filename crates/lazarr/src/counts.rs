//! How often each value of a column occurs.

use std::collections::HashMap;

use lazarr_format::anndata::{Body, Element};
use lazarr_format::{Code, DataType, Error, Result};

use crate::buffer::Buffer;
use crate::call::{Call, Run};
use crate::concat::{Kind, concat_of};
use crate::lazy::Lazy;
use crate::program::Want;
use crate::value::{Dense, Strings, Value};

/// The values of a column and how often they occur, the most frequent first; equal ones in the order of their categories,
/// else of their first rows.
#[derive(Debug)]
pub struct ValueCounts {
    /// The values: 1-d, of the type of the column or of its categories.
    pub values: Value,
    /// How often each occurs; categories that do not occur are there with 0.
    pub counts: Vec<u64>,
    /// Rows without a value: NA, NaN, NaT, code -1.
    pub missing: u64,
    /// Rows in all.
    pub rows: u64,
}

impl Lazy {
    /// How often each value occurs in what is selected of a column. Reads it block by block, of a categorical the codes
    /// alone and its categories once. Errors with `Operation` where this is no column of values.
    pub fn value_counts(&self, call: &Call<'_>) -> Result<ValueCounts> {
        match &self.element().body {
            Body::Categorical(c) => {
                let codes = self.part(&Element {
                    path: c.codes.path.clone(),
                    body: Body::Dense(c.codes.clone()),
                    ..self.element().clone()
                });
                let n = c.categories.shape().and_then(|s| s.first().copied()).unwrap_or(0);
                let (counts, missing, rows) = codes.count_codes(call, n)?;
                let values = Lazy::new(self.session(), &c.categories).collect(call)?;
                sorted(values, &counts, missing, rows, self, call)
            }
            Body::Dense(a) if a.shape.len() == 1 && a.dtype.item_size().is_some() => self.count_items(call),
            Body::Strings(a) if a.shape.len() == 1 => self.count_items(call),
            Body::Nullable(n) if n.values.shape.len() == 1 => self.count_items(call),
            Body::Joined(_) if self.element().shape().is_some_and(|s| s.len() == 1) => {
                match concat_of(self.element()).map(|c| &c.kind) {
                    Some(Kind::Categorical { .. }) => self.count_joined(call),
                    _ => self.count_items(call),
                }
            }
            Body::Broken(e) => Err(e.again().element(&*self.element().path)),
            _ => Err(Error::new(Code::Operation, "only the values of a column can be counted")
                .element(&*self.element().path)
                .expected("a categorical, strings, or a 1-d array")
                .found(crate::describe(self.element()))),
        }
    }

    /// A categorical of several parts: every block comes with the categories of all.
    fn count_joined(&self, call: &Call<'_>) -> Result<ValueCounts> {
        let run = Run::new(self.session(), call);
        let values = run.read(&|| {
            let mut want = Want::default();
            let recipe = want.add_categories(self.element())?;
            Ok((want, recipe))
        })?;
        let n = match &values {
            Value::Strings(s) => s.len(),
            Value::Dense(d) => d.shape.first().map_or(0, |n| *n as usize),
            _ => 0,
        };
        let _charge = run.cx.budget.charge(n as u64 * 8, "the counts of categories")?;
        let (mut counts, mut missing, mut rows) = (vec![0u64; n], 0u64, 0u64);
        let mut blocks = self.stream(call, None, None)?;
        while let Some(block) = blocks.next(call)? {
            let Value::Categorical { codes, .. } = &block.value else { continue };
            each_int(&codes.dtype, codes.data.as_slice(), |_, code| {
                match usize::try_from(code).ok().and_then(|c| counts.get_mut(c)) {
                    Some(count) => *count += 1,
                    None => missing += 1,
                }
            });
            rows = block.end;
        }
        sorted(values, &counts, missing, rows, self, call)
    }

    fn count_codes(&self, call: &Call<'_>, categories: u64) -> Result<(Vec<u64>, u64, u64)> {
        let run = Run::new(self.session(), call);
        let _charge = run.cx.budget.charge(categories.saturating_mul(8), "the counts of categories")?;
        let size = usize::try_from(categories)
            .map_err(|_| Error::new(Code::OutOfMemory, "there are too many categories"))?;
        let (mut counts, mut missing, mut rows) = (vec![0u64; size], 0u64, 0u64);
        let mut blocks = self.stream(call, None, None)?;
        while let Some(block) = blocks.next(call)? {
            let Value::Dense(codes) = &block.value else { continue };
            let mut wrong = None;
            each_int(&codes.dtype, codes.data.as_slice(), |i, code| {
                match usize::try_from(code).ok().and_then(|c| counts.get_mut(c)) {
                    Some(count) => *count += 1,
                    None if code == -1 => missing += 1,
                    None => wrong = wrong.or(Some((i, code))),
                }
            });
            if let Some((i, code)) = wrong {
                return Err(Error::new(Code::CategoryCode, "a code points at no category")
                    .element(&*self.element().path)
                    .expected(format!("-1 … {}", categories as i64 - 1))
                    .found(format!("{code} in row {} of the selection", block.start + i as u64)));
            }
            rows = block.end;
        }
        Ok((counts, missing, rows))
    }

    fn count_items(&self, call: &Call<'_>) -> Result<ValueCounts> {
        let run = Run::new(self.session(), call);
        let mut charge = run.cx.budget.open();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut counts: Vec<u64> = Vec::new();
        let (mut missing, mut rows) = (0, 0);
        let mut kind: Option<(DataType, bool)> = None;
        let mut blocks = self.stream(call, None, None)?;
        while let Some(block) = blocks.next(call)? {
            let (values, mask) = match &block.value {
                Value::Nullable { values, mask, .. } => (&**values, mask.data.as_slice()),
                other => (other, &[][..]),
            };
            let mut see = |i: usize, item: &[u8]| -> Result<()> {
                if mask.get(i).is_some_and(|&m| m != 0) {
                    missing += 1;
                } else if let Some(&at) = places.get(item) {
                    counts[at] += 1;
                } else {
                    charge.grow(item.len() as u64 + 96, "the different values of a column")?;
                    places.insert(item.to_vec(), counts.len());
                    counts.push(1);
                }
                Ok(())
            };
            let mut absent = 0;
            match values {
                Value::Dense(d) => {
                    kind = Some((d.dtype.clone(), true));
                    let size = d.dtype.item_size().unwrap_or(1).max(1);
                    for (i, item) in d.data.as_slice().chunks_exact(size).enumerate() {
                        match plain(&d.dtype, item) {
                            Plain::Missing => absent += 1,
                            Plain::Zero => see(i, &[0; 8][..size.min(8)])?,
                            Plain::Item => see(i, item)?,
                        }
                    }
                }
                Value::Strings(s) => {
                    kind = Some((DataType::String, s.utf8));
                    for i in 0..s.len() {
                        see(i, s.get(i).unwrap_or_default())?;
                    }
                }
                _ => return Err(Error::new(Code::Internal, "a column came as something else")),
            }
            missing += absent;
            rows = block.end;
        }
        let mut items: Vec<(Vec<u8>, usize)> = places.into_iter().collect();
        items.sort_unstable_by_key(|(_, at)| *at);
        let items: Vec<Vec<u8>> = items.into_iter().map(|(item, _)| item).collect();
        let (dtype, utf8) = kind.unwrap_or((DataType::String, true));
        let values = column_of(&items, &dtype, utf8, &run)?;
        sorted(values, &counts, missing, rows, self, call)
    }
}

enum Plain {
    Missing,
    /// Zero of a float, either sign.
    Zero,
    Item,
}

fn plain(dtype: &DataType, item: &[u8]) -> Plain {
    let float = match (dtype, item) {
        (DataType::Float(2), &[a, b]) => half(u16::from_ne_bytes([a, b])),
        (DataType::Float(4), &[a, b, c, d]) => f64::from(f32::from_ne_bytes([a, b, c, d])),
        (DataType::Float(8), item) => item.first_chunk().map_or(1.0, |b| f64::from_ne_bytes(*b)),
        (DataType::DateTime(_) | DataType::TimeDelta(_), item) => {
            let nat = item.first_chunk().is_some_and(|b| i64::from_ne_bytes(*b) == i64::MIN);
            return if nat { Plain::Missing } else { Plain::Item };
        }
        _ => return Plain::Item,
    };
    if float.is_nan() {
        Plain::Missing
    } else if float == 0.0 {
        Plain::Zero
    } else {
        Plain::Item
    }
}

/// Only what tells NaN and zero from the others.
fn half(bits: u16) -> f64 {
    match bits & 0x7fff {
        0 => 0.0,
        b if b > 0x7c00 => f64::NAN,
        _ => 1.0,
    }
}

/// Items as a 1-d value.
fn column_of(items: &[Vec<u8>], dtype: &DataType, utf8: bool, run: &Run<'_>) -> Result<Value> {
    let bytes: Vec<u8> = items.concat();
    let buffer = Buffer::copy_of(&bytes, &run.cx.budget, "the different values of a column")?;
    let shape = vec![items.len() as u64];
    if *dtype != DataType::String {
        return Ok(Value::Dense(Dense { dtype: dtype.clone(), shape, data: buffer }));
    }
    let mut at = 0i64;
    let mut offsets = vec![0i64];
    for item in items {
        at += item.len() as i64;
        offsets.push(at);
    }
    let offsets: Vec<u8> = offsets.iter().flat_map(|o| o.to_ne_bytes()).collect();
    let offsets = Buffer::copy_of(&offsets, &run.cx.budget, "the offsets of strings")?;
    Ok(Value::Strings(Strings { utf8, shape, offsets, bytes: buffer }))
}

fn sorted(
    values: Value,
    counts: &[u64],
    missing: u64,
    rows: u64,
    of: &Lazy,
    call: &Call<'_>,
) -> Result<ValueCounts> {
    let run = Run::new(of.session(), call);
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(counts[i]));
    let values = match values {
        Value::Nullable { values, mask, kind } => {
            let mask_order: Vec<u8> =
                order.iter().filter_map(|&i| mask.data.as_slice().get(i).copied()).collect();
            let data = Buffer::copy_of(&mask_order, &run.cx.budget, "the different values of a column")?;
            let mask = Dense { dtype: mask.dtype, shape: mask.shape, data };
            Value::Nullable { values: Box::new(take(*values, &order, &run)?), mask, kind }
        }
        other => take(other, &order, &run)?,
    };
    Ok(ValueCounts { values, counts: order.iter().map(|&i| counts[i]).collect(), missing, rows })
}

/// Items of a 1-d value in another order.
fn take(value: Value, order: &[usize], run: &Run<'_>) -> Result<Value> {
    let wrong = || Error::new(Code::Internal, "the values of a column do not fit their counts");
    let items: Vec<Vec<u8>> = match &value {
        Value::Strings(s) => {
            order.iter().map(|&i| s.get(i).map(<[u8]>::to_vec).ok_or_else(wrong)).collect::<Result<_>>()?
        }
        Value::Dense(d) => {
            let size = d.dtype.item_size().unwrap_or(1).max(1);
            let items = d.data.as_slice();
            order
                .iter()
                .map(|&i| items.get(i * size..(i + 1) * size).map(<[u8]>::to_vec).ok_or_else(wrong))
                .collect::<Result<_>>()?
        }
        _ => return Err(Error::new(Code::Operation, "categories of this kind cannot be counted")),
    };
    match value {
        Value::Strings(s) => column_of(&items, &DataType::String, s.utf8, run),
        Value::Dense(d) => column_of(&items, &d.dtype, true, run),
        _ => Err(wrong()),
    }
}

/// Calls `f(place, value)` for integers of any width; what lies above `i64` is its largest.
pub(crate) fn each_int(dtype: &DataType, bytes: &[u8], mut f: impl FnMut(usize, i64)) {
    macro_rules! each {
        ($($t:ty),*) => {
            match dtype {
                $(d if *d == int_type::<$t>() => {
                    let items = bytes.as_chunks::<{ size_of::<$t>() }>().0;
                    for (i, item) in items.iter().enumerate() {
                        f(i, i64::try_from(<$t>::from_ne_bytes(*item)).unwrap_or(i64::MAX));
                    }
                })*
                _ => {}
            }
        };
    }
    each!(i8, i16, i32, i64, u8, u16, u32, u64);
}

trait Width {
    const DTYPE: DataType;
}

macro_rules! widths {
    ($($t:ty = $dtype:expr),*) => { $(impl Width for $t { const DTYPE: DataType = $dtype; })* };
}
widths!(
    i8 = DataType::Int(1),
    i16 = DataType::Int(2),
    i32 = DataType::Int(4),
    i64 = DataType::Int(8),
    u8 = DataType::UInt(1),
    u16 = DataType::UInt(2),
    u32 = DataType::UInt(4),
    u64 = DataType::UInt(8)
);

fn int_type<T: Width>() -> DataType {
    T::DTYPE
}
