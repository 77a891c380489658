//! numcodecs' filters of numbers: `fixedscaleoffset` stores `round((x - offset) · scale)`, `delta` the differences of
//! neighbours; both in a type of their own.
//!
//! They are decoded here and not by zarrs, which keeps a scale as a 32-bit float and so changes the values, and has no
//! `delta`.

use serde_json::{Map, Value};

use crate::{Code, DataType, Error, Result};

/// From stored numbers to the items of the array.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// What is stored.
    pub(super) stored: DataType,
    /// Whether it is stored big-endian, where the codec says so (v2).
    pub(super) big_endian: bool,
    stored_size: usize,
    size: usize,
    operation: Operation,
}

#[derive(Debug, Clone)]
enum Operation {
    /// `x / factor + offset`, in single precision where `single`.
    Scale { factor: f64, offset: f64, single: bool, read: ReadFloat, write: WriteFloat },
    /// The sum of all before and this one, wrapping around.
    SumIntegers { read: ReadInteger, write: WriteInteger },
    /// The same with floats.
    SumFloats { single: bool, read: ReadFloat, write: WriteFloat },
}

type ReadFloat = fn(&[u8]) -> f64;
type WriteFloat = fn(f64, &mut [u8]);
type ReadInteger = fn(&[u8]) -> i64;
type WriteInteger = fn(i64, &mut [u8]);

impl Filter {
    /// Whether a codec of this name is one.
    pub(super) fn is(name: &str) -> bool {
        matches!(plain(name), "fixedscaleoffset" | "delta")
    }

    /// By its configuration, for an array of `dtype`.
    pub(super) fn new(name: &str, config: &Map<String, Value>, dtype: &DataType) -> Result<Self> {
        let name = plain(name);
        let wrong = |field: &str| {
            Error::new(Code::MetadataField, format!("`{field}` of the codec `{name}` makes no sense"))
                .found(config.get(field).unwrap_or(&Value::Null).to_string())
        };
        let number = |field| config.get(field).and_then(Value::as_f64).ok_or_else(|| wrong(field));
        let kind = |field| match config.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => parse_type(text).map(Some).ok_or_else(|| wrong(field)),
            Some(_) => Err(wrong(field)),
        };
        let decoded = kind("dtype")?.unwrap_or((dtype.clone(), false));
        if decoded.0 != *dtype {
            return Err(wrong("dtype").expected(dtype.to_string()));
        }
        let (stored, big_endian) = kind("astype")?.unwrap_or(decoded);
        let single = |t: &DataType| *t == DataType::Float(4);
        let operation = if name == "fixedscaleoffset" {
            Operation::Scale {
                factor: number("scale")?,
                offset: number("offset")?,
                // numpy computes with single floats in their own precision and with integers in double.
                single: single(&stored),
                read: floats(&stored).ok_or_else(|| wrong("astype"))?.0,
                write: floats(dtype).ok_or_else(|| wrong("dtype"))?.1,
            }
        } else if let Some((_, write)) = integers(dtype) {
            Operation::SumIntegers { read: integers(&stored).ok_or_else(|| wrong("astype"))?.0, write }
        } else {
            let (_, write) = floats(dtype).ok_or_else(|| wrong("dtype"))?;
            let (read, _) = floats(&stored).ok_or_else(|| wrong("astype"))?;
            Operation::SumFloats { single: single(dtype), read, write }
        };
        let size = |t: &DataType| t.item_size().unwrap_or(1);
        let (stored_size, size) = (size(&stored), size(dtype));
        Ok(Self { stored, big_endian, stored_size, size, operation })
    }

    /// Whether items may be put in order before as well as after.
    pub(super) fn is_elementwise(&self) -> bool {
        matches!(self.operation, Operation::Scale { .. })
    }

    /// Bytes that `out` bytes of items are stored as.
    pub(super) fn stored_len(&self, out: usize) -> usize {
        (out / self.size).saturating_mul(self.stored_size)
    }

    /// Both are native.
    pub(super) fn apply(&self, stored: &[u8], out: &mut [u8]) {
        let items = stored.chunks_exact(self.stored_size).zip(out.chunks_exact_mut(self.size));
        match &self.operation {
            Operation::Scale { factor, offset, single: true, read, write } => {
                items.for_each(|(x, item)| {
                    write(f64::from(read(x) as f32 / *factor as f32 + *offset as f32), item);
                });
            }
            Operation::Scale { factor, offset, single: false, read, write } => {
                items.for_each(|(x, item)| write(read(x) / factor + offset, item));
            }
            Operation::SumIntegers { read, write } => {
                let mut sum = 0i64;
                for (x, item) in items {
                    sum = sum.wrapping_add(read(x));
                    write(sum, item);
                }
            }
            Operation::SumFloats { single, read, write } => {
                let mut sum = 0.0;
                for (i, (x, item)) in items.enumerate() {
                    let next = read(x);
                    // The first is not a sum: -0.0 stays what it is.
                    sum = if i == 0 { next } else { sum + next };
                    if *single {
                        sum = f64::from(sum as f32);
                    }
                    write(sum, item);
                }
            }
        }
    }
}

/// The name without numcodecs' prefix.
pub(super) fn plain(name: &str) -> &str {
    name.strip_prefix("numcodecs.").unwrap_or(name)
}

/// A numpy type string, or the name of a plain type.
fn parse_type(text: &str) -> Option<(DataType, bool)> {
    let sizes = [1, 2, 4, 8];
    let plain = |n| [DataType::Int(n), DataType::UInt(n), DataType::Float(n)];
    let named = sizes.into_iter().flat_map(plain).find(|t| t.to_string() == text).map(|t| (t, false));
    named.or_else(|| DataType::from_numpy_str(text).ok())
}

macro_rules! access {
    ($t:ty as $wide:ty) => {
        (
            |bytes| bytes.first_chunk().map_or(<$wide>::default(), |b| <$t>::from_ne_bytes(*b) as $wide),
            |x, bytes| bytes.copy_from_slice(&(x as $t).to_ne_bytes()),
        )
    };
}

fn floats(dtype: &DataType) -> Option<(ReadFloat, WriteFloat)> {
    Some(match dtype {
        DataType::Int(1) => access!(i8 as f64),
        DataType::Int(2) => access!(i16 as f64),
        DataType::Int(4) => access!(i32 as f64),
        DataType::Int(8) => access!(i64 as f64),
        DataType::UInt(1) => access!(u8 as f64),
        DataType::UInt(2) => access!(u16 as f64),
        DataType::UInt(4) => access!(u32 as f64),
        DataType::UInt(8) => access!(u64 as f64),
        DataType::Float(4) => access!(f32 as f64),
        DataType::Float(8) => access!(f64 as f64),
        _ => return None,
    })
}

fn integers(dtype: &DataType) -> Option<(ReadInteger, WriteInteger)> {
    Some(match dtype {
        DataType::Int(1) => access!(i8 as i64),
        DataType::Int(2) => access!(i16 as i64),
        DataType::Int(4) => access!(i32 as i64),
        DataType::Int(8) => access!(i64 as i64),
        DataType::UInt(1) => access!(u8 as i64),
        DataType::UInt(2) => access!(u16 as i64),
        DataType::UInt(4) => access!(u32 as i64),
        DataType::UInt(8) => access!(u64 as i64),
        _ => return None,
    })
}
