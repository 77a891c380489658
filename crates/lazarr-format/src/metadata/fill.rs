//! Fill values: from the many ways they are written to one item in native byte order.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::doc::Doc;
use crate::{DataType, Fill, Result};

/// Where a fill value stands, which decides what is accepted.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// v2: null and 0 stand for zeros of any type; bytes are in the array's byte order.
    V2 {
        /// Whether that is big-endian.
        big_endian: bool,
    },
    /// v3: little-endian where bytes are given.
    V3,
}

impl Source {
    fn is_v2(self) -> bool {
        matches!(self, Self::V2 { .. })
    }
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Doc<'_> {
    /// The fill value of an array of this type.
    pub(super) fn fill(&self, dtype: &DataType, value: &Value, source: Source) -> Result<Fill> {
        let fill = if dtype.is_vlen() {
            vlen(dtype, value, source).map(Fill::Vlen)
        } else {
            let mut item = Vec::new();
            push(dtype, value, source, &mut item).map(|()| Fill::Item(item))
        };
        fill.map_err(|expected| self.fill_error(dtype, expected, value))
    }
}

/// What was expected, where a value does not fit.
type Fits<T> = Result<T, &'static str>;

fn means_zero(value: &Value, source: Source) -> bool {
    source.is_v2() && (value.is_null() || value.as_f64() == Some(0.0))
}

fn vlen(dtype: &DataType, value: &Value, source: Source) -> Fits<Vec<u8>> {
    match (dtype, value) {
        // zarr-python 2 left 0 as the fill value of strings.
        _ if means_zero(value, source) => Ok(Vec::new()),
        (DataType::String, Value::String(text)) => Ok(text.clone().into_bytes()),
        (DataType::String, _) => Err("a string"),
        _ => bytes(value),
    }
}

/// Bytes as base64, or as a list of numbers.
fn bytes(value: &Value) -> Fits<Vec<u8>> {
    const EXPECTED: &str = "base64, or a list of bytes";
    match value {
        Value::String(text) => BASE64.decode(text).map_err(|_| EXPECTED),
        Value::Array(items) => {
            items.iter().map(|v| v.as_u64().and_then(|n| u8::try_from(n).ok()).ok_or(EXPECTED)).collect()
        }
        _ => Err(EXPECTED),
    }
}

/// Appends one item of a fixed size.
fn push(dtype: &DataType, value: &Value, source: Source, out: &mut Vec<u8>) -> Fits<()> {
    let size = dtype.item_size().ok_or("a type of fixed size")?;
    let end = out.len() + size;
    if means_zero(value, source) {
        out.resize(end, 0);
        return Ok(());
    }
    match dtype {
        DataType::Bool => match (value, integer(value)) {
            (Value::Bool(b), _) => out.push(u8::from(*b)),
            (_, Some(n @ (0 | 1))) if source.is_v2() => out.push(n as u8),
            _ => return Err("true or false"),
        },
        DataType::Int(n) => {
            let bits = u32::from(*n) * 8;
            let v = integer(value).filter(|v| (-(1i128 << (bits - 1))..1i128 << (bits - 1)).contains(v));
            out.extend_from_slice(&v.ok_or("an integer in the range of the type")?.to_le_bytes()[..size]);
        }
        DataType::UInt(n) => {
            let v = integer(value).filter(|v| (0..1i128 << (u32::from(*n) * 8)).contains(v));
            out.extend_from_slice(&v.ok_or("an integer in the range of the type")?.to_le_bytes()[..size]);
        }
        DataType::Float(_) => float(value, size, out)?,
        DataType::Complex(_) => match value {
            Value::Array(parts) if parts.len() == 2 => {
                parts.iter().try_for_each(|part| float(part, size / 2, out))?;
            }
            Value::Number(_) => {
                float(value, size / 2, out)?;
                out.resize(end, 0);
            }
            _ => return Err("the real and the imaginary part, as a list of two"),
        },
        DataType::DateTime(_) | DataType::TimeDelta(_) => {
            let v = match value {
                Value::String(text) if text == "NaT" => Some(i64::MIN),
                _ => integer(value).and_then(|n| i64::try_from(n).ok()),
            };
            out.extend_from_slice(&v.ok_or("a 64-bit integer or \"NaT\"")?.to_le_bytes());
        }
        DataType::FixedUtf32(n) => {
            let text = value.as_str().ok_or("a string")?;
            for (i, c) in text.chars().enumerate() {
                if i == *n {
                    return Err("a string that fits the type");
                }
                out.extend_from_slice(&u32::from(c).to_le_bytes());
            }
            out.resize(end, 0);
        }
        DataType::FixedBytes(_) => {
            let item = bytes(value)?;
            if item.len() > size {
                return Err("bytes that fit the type");
            }
            out.extend_from_slice(&item);
            out.resize(end, 0);
        }
        DataType::Raw(_) => {
            let item = bytes(value)?;
            if item.len() != size && !item.is_empty() {
                return Err("as many bytes as an item has");
            }
            out.extend_from_slice(&item);
            out.resize(end, 0);
        }
        DataType::Struct(fields) => match value {
            Value::Object(map) => {
                if map.len() != fields.len() {
                    return Err("a value for each field");
                }
                for f in fields {
                    push(&f.dtype, map.get(&f.name).ok_or("a value for each field")?, source, out)?;
                }
            }
            Value::String(_) => {
                let mut item = bytes(value)?;
                if item.len() != size {
                    return Err("base64 of as many bytes as an item has");
                }
                if matches!(source, Source::V2 { big_endian: true }) {
                    swap(dtype, &mut item);
                }
                out.extend_from_slice(&item);
            }
            _ => return Err("an object of the fields' values, or base64"),
        },
        DataType::String | DataType::Bytes => return Err("a type of fixed size"),
    }
    debug_assert_eq!(out.len(), end, "an item is as long as its type says");
    Ok(())
}

/// The integer that a number is, also where it is written as a float.
fn integer(value: &Value) -> Option<i128> {
    let n = value.as_number()?;
    if let Some(i) = n.as_i64() {
        return Some(i128::from(i));
    }
    if let Some(u) = n.as_u64() {
        return Some(i128::from(u));
    }
    n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e30).map(|f| f as i128)
}

/// Appends a float of `size` bytes: a number, one of Zarr's three words, or the bits in hexadecimal.
fn float(value: &Value, size: usize, out: &mut Vec<u8>) -> Fits<()> {
    const EXPECTED: &str =
        "a number in the range of the type, \"NaN\", \"Infinity\", \"-Infinity\", or its bits as \"0x…\"";
    let v = match value {
        Value::Number(n) => n.as_f64().ok_or(EXPECTED)?,
        Value::String(text) => match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            text => {
                let digits = text.strip_prefix("0x").filter(|d| d.len() == 2 * size).ok_or(EXPECTED)?;
                let valid = digits.bytes().all(|b| b.is_ascii_hexdigit()); // from_str_radix takes a sign too
                let bits = u64::from_str_radix(digits, 16).ok().filter(|_| valid).ok_or(EXPECTED)?;
                out.extend_from_slice(&bits.to_le_bytes()[..size]);
                return Ok(());
            }
        },
        _ => return Err(EXPECTED),
    };
    let overflows = match size {
        2 => {
            let half = half::f16::from_f64(v);
            out.extend_from_slice(&half.to_le_bytes());
            half.is_infinite()
        }
        4 => {
            out.extend_from_slice(&(v as f32).to_le_bytes());
            (v as f32).is_infinite()
        }
        _ => {
            out.extend_from_slice(&v.to_le_bytes());
            false
        }
    };
    if overflows && v.is_finite() { Err(EXPECTED) } else { Ok(()) }
}

/// Reverses the bytes of each part of an item that has a byte order.
fn swap(dtype: &DataType, item: &mut [u8]) {
    match dtype {
        DataType::Int(_)
        | DataType::UInt(_)
        | DataType::Float(_)
        | DataType::DateTime(_)
        | DataType::TimeDelta(_) => {
            item.reverse();
        }
        DataType::Complex(n) => item.chunks_exact_mut(usize::from(*n) / 2).for_each(<[u8]>::reverse),
        DataType::FixedUtf32(_) => item.chunks_exact_mut(4).for_each(<[u8]>::reverse),
        DataType::Struct(fields) => {
            for f in fields {
                let size = f.dtype.item_size().unwrap_or(0);
                if let Some(part) = item.get_mut(f.offset..f.offset + size) {
                    swap(&f.dtype, part);
                }
            }
        }
        _ => {}
    }
}
