//! numcodecs' `fixedscaleoffset`: stored numbers are `round((x - offset) · scale)` in a type of their own.
//!
//! Decoded here and not by zarrs, which keeps the scale as a 32-bit float and so changes the values.

use serde_json::{Map, Value};

use crate::{Code, DataType, Error, Result};

/// From stored numbers to the items of the array.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    /// What is stored.
    pub(super) stored: DataType,
    /// Whether it is stored big-endian, where the codec says so (v2).
    pub(super) big_endian: bool,
    stored_size: usize,
    size: usize,
    factor: f64,
    offset: f64,
    read: fn(&[u8]) -> f64,
    write: fn(f64, &mut [u8]),
    single: bool,
}

impl Scale {
    /// By the configuration of the codec, for an array of `dtype`.
    pub(super) fn new(config: &Map<String, Value>, dtype: &DataType) -> Result<Self> {
        let wrong = |field: &str| {
            Error::new(
                Code::MetadataField,
                format!("`{field}` of the codec `fixedscaleoffset` makes no sense"),
            )
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
        let (factor, offset) = (number("scale")?, number("offset")?);
        let (read, _) = access(&stored).ok_or_else(|| wrong("astype"))?;
        let (_, write) = access(dtype).ok_or_else(|| wrong("dtype"))?;
        let size = |t: &DataType| t.item_size().unwrap_or(1);
        let (stored_size, size) = (size(&stored), size(dtype));
        let single = stored == DataType::Float(4);
        Ok(Self { stored, big_endian, stored_size, size, factor, offset, read, write, single })
    }

    /// Bytes that `out` bytes of items are stored as.
    pub(super) fn stored_len(&self, out: usize) -> usize {
        (out / self.size).saturating_mul(self.stored_size)
    }

    /// Both are native.
    pub(super) fn apply(&self, stored: &[u8], out: &mut [u8]) {
        for (stored, item) in stored.chunks_exact(self.stored_size).zip(out.chunks_exact_mut(self.size)) {
            let x = (self.read)(stored);
            // numpy computes with single floats in their own precision and with integers in double.
            let x = if self.single {
                f64::from(x as f32 / self.factor as f32 + self.offset as f32)
            } else {
                x / self.factor + self.offset
            };
            (self.write)(x, item);
        }
    }
}

/// A numpy type string, or the name of a plain type.
fn parse_type(text: &str) -> Option<(DataType, bool)> {
    let sizes = [1, 2, 4, 8];
    let plain = |n| [DataType::Int(n), DataType::UInt(n), DataType::Float(n)];
    let named = sizes.into_iter().flat_map(plain).find(|t| t.to_string() == text).map(|t| (t, false));
    named.or_else(|| DataType::from_numpy_str(text).ok())
}

type Access = (fn(&[u8]) -> f64, fn(f64, &mut [u8]));

fn access(dtype: &DataType) -> Option<Access> {
    macro_rules! of {
        ($t:ty) => {
            (
                |bytes| bytes.first_chunk().map_or(0.0, |b| <$t>::from_ne_bytes(*b) as f64),
                |x, bytes| bytes.copy_from_slice(&(x as $t).to_ne_bytes()),
            )
        };
    }
    Some(match dtype {
        DataType::Int(1) => of!(i8),
        DataType::Int(2) => of!(i16),
        DataType::Int(4) => of!(i32),
        DataType::Int(8) => of!(i64),
        DataType::UInt(1) => of!(u8),
        DataType::UInt(2) => of!(u16),
        DataType::UInt(4) => of!(u32),
        DataType::UInt(8) => of!(u64),
        DataType::Float(4) => of!(f32),
        DataType::Float(8) => of!(f64),
        _ => return None,
    })
}
