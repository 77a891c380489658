//! Items of one type as items of another, where that holds them.

use lazarr_format::{Code, DataType, Error, Result};

use crate::buffer::Buffer;
use crate::ledger::Budget;

/// The numeric type of this name: `float32`, `uint8`.
pub(super) fn named(name: &str) -> Result<DataType> {
    let widths = [1, 2, 4, 8];
    let ints = widths.into_iter().flat_map(|n| [DataType::Int(n), DataType::UInt(n)]);
    let mut all = ints.chain([DataType::Float(4), DataType::Float(8), DataType::Bool]);
    all.find(|d| d.to_string() == name).ok_or_else(|| {
        Error::new(Code::Layout, "the layout names a type that values are not cast to")
            .expected("an integer type, float32 or float64")
            .found(format!("`{name}`"))
    })
}

#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

fn read(dtype: &DataType, item: &[u8]) -> Option<Number> {
    let mut wide = [0u8; 8];
    wide.get_mut(..item.len())?.copy_from_slice(item);
    // In the machine's own order: of a big-endian one, narrow items stand at the other end.
    if cfg!(target_endian = "big") {
        wide.rotate_right(8 - item.len());
    }
    let word = u64::from_ne_bytes(wide);
    let unused = 64 - 8 * item.len() as u32;
    Some(match dtype {
        DataType::Bool | DataType::UInt(_) => Number::Int(i128::from(word)),
        DataType::Int(_) => Number::Int(i128::from((word << unused) as i64 >> unused)),
        DataType::Float(4) => Number::Float(f64::from(f32::from_bits(word as u32))),
        DataType::Float(8) => Number::Float(f64::from_bits(word)),
        _ => return None,
    })
}

fn write(dtype: &DataType, number: Number, out: &mut [u8]) -> Option<()> {
    let int = |n: u8, signed: bool| -> Option<u64> {
        let value = match number {
            Number::Int(v) => v,
            // Whole numbers of this size are exact.
            Number::Float(v) if v.fract() == 0.0 && v.abs() < 1e18 => v as i128,
            Number::Float(_) => return None,
        };
        let bits = u32::from(n) * 8 - u32::from(signed);
        let low = if signed { -(1i128 << bits) } else { 0 };
        (low..1i128 << bits).contains(&value).then_some(value as u64)
    };
    // Whole numbers stay what they are; of floats, digits may be lost, but not all of them.
    let float = |narrow: bool| -> Option<f64> {
        let (value, exact) = match number {
            Number::Int(v) => (v as f64, Some(v)),
            Number::Float(v) => (v, None),
        };
        let stored = if narrow { f64::from(value as f32) } else { value };
        let whole = exact.is_none_or(|v| stored as i128 == v);
        (whole && stored.is_infinite() == value.is_infinite()).then_some(stored)
    };
    let word = match dtype {
        DataType::Int(n) => int(*n, true)?,
        DataType::UInt(n) => int(*n, false)?,
        DataType::Bool => int(1, false).filter(|v| *v < 2)?,
        DataType::Float(4) => u64::from((float(true)? as f32).to_bits()),
        DataType::Float(8) => float(false)?.to_bits(),
        _ => return None,
    };
    let wide = word.to_ne_bytes();
    let from = if cfg!(target_endian = "big") { 8 - out.len() } else { 0 };
    out.copy_from_slice(wide.get(from..from + out.len())?);
    Some(())
}

/// The same numbers in another type.
///
/// Errors: `Layout` where a number has no place in it, or the types are no numbers.
pub(super) fn cast(from: &DataType, to: &DataType, bytes: &[u8], budget: &Budget) -> Result<Buffer> {
    let (Some(a), Some(b)) = (from.item_size(), to.item_size()) else { return Err(refused(from, to, None)) };
    let items = bytes.len() / a.max(1);
    let mut out = Buffer::zeroed((items * b) as u64, budget, "values of another type")?;
    for (i, (item, place)) in bytes.chunks_exact(a).zip(out.as_mut_slice().chunks_exact_mut(b)).enumerate() {
        let number = read(from, item).ok_or_else(|| refused(from, to, None))?;
        write(to, number, place).ok_or_else(|| refused(from, to, Some(i)))?;
    }
    Ok(out)
}

fn refused(from: &DataType, to: &DataType, item: Option<usize>) -> Error {
    let what = match item {
        Some(i) => format!("value {i} of a block has no place in {to}"),
        None => format!("values of {from} are not cast to {to}"),
    };
    Error::new(Code::Layout, what).help("Name a wider type in the layout, or none")
}

/// Indices of 4 or 8 bytes (signed, of the engine's making), raised by `base`, as integers of another width.
pub(super) fn indices(items: &[u8], width: u8, base: u64, to: &DataType, budget: &Budget) -> Result<Buffer> {
    let size = to.item_size().unwrap_or(8);
    let count = items.len() / usize::from(width.max(1));
    let mut out = Buffer::zeroed((count * size) as u64, budget, "indices of another width")?;
    let wide: Box<dyn Iterator<Item = u64>> = if width == 4 {
        Box::new(items.as_chunks::<4>().0.iter().map(|b| i32::from_ne_bytes(*b) as u64))
    } else {
        Box::new(items.as_chunks::<8>().0.iter().map(|b| i64::from_ne_bytes(*b) as u64))
    };
    let values = wide.map(|v| v.wrapping_add(base));
    let place = out.as_mut_slice();
    let most = match to {
        DataType::Int(n) => (1u64 << (u32::from(*n) * 8 - 1)) - 1,
        DataType::UInt(8) => u64::MAX,
        DataType::UInt(n) => (1u64 << (u32::from(*n) * 8)) - 1,
        _ => 0,
    };
    let mut largest = 0;
    match size {
        1 => values.zip(place).for_each(|(v, p)| {
            largest |= v;
            *p = v as u8;
        }),
        2 => values.zip(place.as_chunks_mut::<2>().0).for_each(|(v, p)| {
            largest |= v;
            *p = (v as u16).to_ne_bytes();
        }),
        4 => values.zip(place.as_chunks_mut::<4>().0).for_each(|(v, p)| {
            largest |= v;
            *p = (v as u32).to_ne_bytes();
        }),
        _ => values.zip(place.as_chunks_mut::<8>().0).for_each(|(v, p)| {
            largest |= v;
            *p = v.to_ne_bytes();
        }),
    }
    if largest > most {
        return Err(Error::new(Code::Internal, format!("indices do not fit into {to}")));
    }
    Ok(out)
}

#[cfg(test)]
#[path = "cast_tests.rs"]
mod tests;
