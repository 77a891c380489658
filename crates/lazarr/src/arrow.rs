//! Results as Arrow: columns and tables, without a copy where the layouts agree.
//!
//! Categoricals become dictionaries, missing values nulls, strings `LargeUtf8`; only booleans (one byte an item here, one
//! bit in Arrow) are written anew.
#![allow(unsafe_code, reason = "Arrow takes over result buffers without a copy")]

use std::ptr::NonNull;
use std::sync::Arc;

use arrow_array::types::ArrowDictionaryKeyType;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch, make_array};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType as Arrow, Field, Schema, TimeUnit};
use lazarr_format::{Code, DataType, Error, Result};

use crate::buffer::Buffer;
use crate::value::{Dense, Strings, Table, Value};

fn broken(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Code::Internal, "a result is not valid Arrow").source(e)
}

/// The highest bit of each of eight bytes.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// That bit, set where the byte is not 0.
fn not_zero(bytes: u64) -> u64 {
    (((bytes & !TOPS) + !TOPS) | bytes) & TOPS
}

/// A bit for each byte: the highest one of what `tops` makes of it. Eight at a time: a multiplication brings the bits
/// together, none of which meets another on the way.
fn bits(bytes: &[u8], tops: impl Fn(u64) -> u64) -> BooleanBuffer {
    const TOGETHER: u64 = 0x0102_0408_1020_4080;
    let pack = |eight: [u8; 8]| {
        let bits = (tops(u64::from_le_bytes(eight)) & TOPS) >> 7;
        (bits.wrapping_mul(TOGETHER) >> 56) as u8
    };
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut packed: Vec<u8> = Vec::with_capacity(eights.len() + 1);
    packed.extend(eights.iter().map(|eight| pack(*eight)));
    if !rest.is_empty() {
        packed.push(pack(std::array::from_fn(|i| rest.get(i).copied().unwrap_or(0))));
    }
    BooleanBuffer::new(arrow_buffer::Buffer::from_vec(packed), 0, bytes.len())
}

/// A bit for each item that a mask does not hide; `None` where it hides none.
fn seen(mask: &[u8]) -> Option<NullBuffer> {
    let hides = mask.iter().fold(0, |all, b| all | b) != 0;
    hides.then(|| NullBuffer::new(bits(mask, |b| !not_zero(b))))
}

/// A result's buffer as Arrow's, which keeps it alive.
fn shared(mut buffer: Buffer) -> arrow_buffer::Buffer {
    buffer.release();
    let (ptr, len) = (buffer.address() as *mut u8, buffer.len());
    match NonNull::new(ptr) {
        // SAFETY: `len` bytes at `ptr` are valid for as long as the owner lives, which Arrow keeps; nobody writes to
        // them any more, since the owner is not reachable otherwise.
        Some(ptr) if len > 0 => unsafe {
            arrow_buffer::Buffer::from_custom_allocation(ptr, len, Arc::new(buffer))
        },
        // Aligned for any item, though there is none.
        _ => arrow_buffer::Buffer::from_vec(Vec::<u64>::new()),
    }
}

/// The Arrow type of items of fixed size.
fn fixed(dtype: &DataType) -> Option<Arrow> {
    let unit = |u: &lazarr_format::TimeUnit| match (&*u.unit, u.scale) {
        ("s", 1) => Some(TimeUnit::Second),
        ("ms", 1) => Some(TimeUnit::Millisecond),
        ("us", 1) => Some(TimeUnit::Microsecond),
        ("ns", 1) => Some(TimeUnit::Nanosecond),
        _ => None,
    };
    Some(match dtype {
        DataType::Int(1) => Arrow::Int8,
        DataType::Int(2) => Arrow::Int16,
        DataType::Int(4) => Arrow::Int32,
        DataType::Int(_) => Arrow::Int64,
        DataType::UInt(1) => Arrow::UInt8,
        DataType::UInt(2) => Arrow::UInt16,
        DataType::UInt(4) => Arrow::UInt32,
        DataType::UInt(_) => Arrow::UInt64,
        DataType::Float(2) => Arrow::Float16,
        DataType::Float(4) => Arrow::Float32,
        DataType::Float(_) => Arrow::Float64,
        DataType::DateTime(u) => Arrow::Timestamp(unit(u)?, None),
        DataType::TimeDelta(u) => Arrow::Duration(unit(u)?),
        DataType::FixedBytes(n) | DataType::Raw(n) => Arrow::FixedSizeBinary(i32::try_from(*n).ok()?),
        _ => return None,
    })
}

fn dense(d: Dense, mask: Option<&[u8]>) -> Result<ArrayRef> {
    if d.shape.len() != 1 {
        return Err(Error::new(Code::Operation, "only one-dimensional arrays are Arrow columns")
            .found(format!("{} dimensions", d.shape.len()))
            .help("Take to_memory() and its numpy array"));
    }
    let len = d.shape[0] as usize;
    let mut nulls = mask.and_then(seen);
    if d.dtype == DataType::Bool {
        let items = bits(d.data.as_slice(), not_zero);
        return Ok(Arc::new(BooleanArray::new(items, nulls)));
    }
    let Some(kind) = fixed(&d.dtype) else {
        return Err(Error::new(Code::Operation, format!("Arrow has no type for {}", d.dtype))
            .help("Take to_memory() and its numpy array"));
    };
    if matches!(d.dtype, DataType::DateTime(_) | DataType::TimeDelta(_)) {
        // NaT is the smallest integer.
        let items = d.data.as_slice().as_chunks::<8>().0;
        if items.iter().any(|b| i64::from_ne_bytes(*b) == i64::MIN) {
            let is_time = |i| items.get(i).is_some_and(|b| i64::from_ne_bytes(*b) != i64::MIN);
            nulls = Some(NullBuffer::new(BooleanBuffer::collect_bool(items.len(), is_time)));
        }
    }
    let data =
        ArrayData::builder(kind).len(len).add_buffer(shared(d.data)).nulls(nulls).build().map_err(broken)?;
    Ok(make_array(data))
}

fn strings(s: Strings, mask: Option<&[u8]>) -> Result<ArrayRef> {
    if s.shape.len() != 1 {
        return Err(Error::new(Code::Operation, "only one-dimensional arrays are Arrow columns"));
    }
    let len = s.shape[0] as usize;
    let nulls = mask.and_then(seen);
    let kind = if s.is_utf8() { Arrow::LargeUtf8 } else { Arrow::LargeBinary };
    let (offsets, bytes) = s.into_buffers();
    if offsets.len() != 8 * (len + 1) || nulls.as_ref().is_some_and(|nulls| nulls.len() != len) {
        return Err(Error::new(Code::Internal, "a column has another length than its shape"));
    }
    let builder =
        ArrayData::builder(kind).len(len).add_buffer(shared(offsets)).add_buffer(shared(bytes)).nulls(nulls);
    // SAFETY: there are `len + 1` offsets; the rest is what `Strings` promises, and Arrow would check again item by item.
    Ok(make_array(unsafe { builder.build_unchecked() }))
}

/// Whether all are places among so many. All are counted that are not, without a branch, so that many are asked at a time.
fn all_below<N: ArrowNativeType + PartialOrd>(keys: &[N], length: usize) -> bool {
    let first = N::default();
    // Where there are more places than keys of this kind can name, only a negative one is outside.
    let Some(last) = length.checked_sub(1) else { return keys.is_empty() };
    let outside = match N::from_usize(last) {
        Some(last) => keys.iter().filter(|&&key| key < first || key > last).count(),
        None => keys.iter().filter(|&&key| key < first).count(),
    };
    outside == 0
}

fn dictionary<K: ArrowDictionaryKeyType>(codes: Dense, categories: ArrayRef) -> Result<ArrayRef> {
    let width = codes.dtype.item_size().unwrap_or(1);
    let items = codes.data.as_slice();
    let top = |i: usize| items.get(i * width + width - 1).is_some_and(|b| b & 0x80 == 0);
    let all = || match width {
        1 => bits(items, |codes| !codes),
        _ => BooleanBuffer::collect_bool(items.len() / width.max(1), top),
    };
    // Most often none is missing, which all bytes together may tell at once.
    let may_miss = items.iter().fold(0, |all, b| all | b) & 0x80 != 0;
    let nulls = may_miss.then(|| NullBuffer::new(all())).filter(|nulls| nulls.null_count() > 0);
    let data = ArrayData::builder(K::DATA_TYPE)
        .len(codes.shape[0] as usize)
        .add_buffer(shared(codes.data))
        .nulls(nulls)
        .build()
        .map_err(broken)?;
    let keys = PrimitiveArray::<K>::from(data);
    if keys.nulls().is_none() && all_below(keys.values(), categories.len()) {
        // SAFETY: each key is the place of a category; Arrow would look at them one by one.
        return Ok(Arc::new(unsafe { DictionaryArray::<K>::new_unchecked(keys, categories) }));
    }
    Ok(Arc::new(DictionaryArray::<K>::try_new(keys, categories).map_err(broken)?))
}

/// A one-dimensional value as an Arrow column; an ordered categorical says so in the field of its table.
pub fn column(value: Value) -> Result<ArrayRef> {
    match value {
        Value::Dense(d) => dense(d, None),
        Value::Strings(s) => strings(s, None),
        Value::Nullable { values, mask, .. } => match *values {
            Value::Dense(d) => dense(d, Some(mask.data.as_slice())),
            Value::Strings(s) => strings(s, Some(mask.data.as_slice())),
            _ => Err(Error::new(Code::Internal, "a nullable column came as something else")),
        },
        Value::Categorical { codes, categories, .. } => {
            let categories = column(*categories)?;
            match codes.dtype {
                DataType::Int(1) => dictionary::<Int8Type>(codes, categories),
                DataType::Int(2) => dictionary::<Int16Type>(codes, categories),
                DataType::Int(4) => dictionary::<Int32Type>(codes, categories),
                _ => dictionary::<Int64Type>(codes, categories),
            }
        }
        _ => Err(Error::new(Code::Operation, "only columns and tables have an Arrow form")
            .help("Take to_memory(): scipy for sparse matrices, numpy for dense ones")),
    }
}

fn ordered(value: &Value) -> bool {
    matches!(value, Value::Categorical { ordered: true, .. })
}

/// A table as a record batch: the index first, under its name (`_index` where it has none), then the columns.
pub fn batch(table: Table) -> Result<RecordBatch> {
    let index_name = table.index_name.unwrap_or_else(|| "_index".to_owned());
    let index = table.index.map(|v| (index_name, *v));
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (name, value) in index.into_iter().chain(table.columns) {
        let sorted = ordered(&value);
        let array = column(value).map_err(|e| e.element(&*name))?;
        let field = Field::new(name, array.data_type().clone(), true);
        fields.push(field.with_dict_is_ordered(sorted));
        columns.push(array);
    }
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(table.len as usize));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(broken)
}

/// Any value with an Arrow form as a record batch; a column becomes a table of one column, under `name`.
pub fn to_batch(value: Value, name: &str) -> Result<RecordBatch> {
    match value {
        Value::Table(table) => batch(table),
        other => {
            let sorted = ordered(&other);
            let array = column(other)?;
            let field = Field::new(name, array.data_type().clone(), true).with_dict_is_ordered(sorted);
            RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).map_err(broken)
        }
    }
}

#[cfg(test)]
#[path = "arrow_tests.rs"]
mod tests;
