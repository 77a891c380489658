//! Numbers of one type as those of a wider one.

use lazarr_format::{Code, DataType, Error, Result};

use crate::buffer::Buffer;
use crate::program::Cx;

/// Items of another type; those of the same as they are.
pub(crate) fn cast(items: Buffer, from: &DataType, to: &DataType, cx: &Cx) -> Result<Buffer> {
    if from == to {
        return Ok(items);
    }
    let size = from.item_size().unwrap_or(1).max(1);
    let n = items.len() / size;
    let wide = to.item_size().unwrap_or(1).max(1);
    let mut out = Buffer::zeroed((n * wide) as u64, &cx.budget, "numbers of a wider type")?;
    let source = items.as_slice();
    let done = match (from, to) {
        (DataType::Complex(_), DataType::Complex(_)) => {
            let (half, whole) = (DataType::Float((size / 2) as u8), DataType::Float((wide / 2) as u8));
            numbers(source, &half, out.as_mut_slice(), &whole)
        }
        (_, DataType::Complex(n)) => {
            let real = cast_slice(source, from, &DataType::Float(n / 2));
            let half = usize::from(*n) / 2;
            for (to, from) in out.as_mut_slice().chunks_exact_mut(2 * half).zip(real.chunks_exact(half)) {
                to[..half].copy_from_slice(from);
            }
            true
        }
        _ => numbers(source, from, out.as_mut_slice(), to),
    };
    if done {
        return Ok(out);
    }
    Err(Error::new(Code::Internal, "numbers cannot be cast so")
        .expected(to.to_string())
        .found(from.to_string()))
}

fn cast_slice(source: &[u8], from: &DataType, to: &DataType) -> Vec<u8> {
    let n = source.len() / from.item_size().unwrap_or(1).max(1);
    let mut out = vec![0; n * to.item_size().unwrap_or(1)];
    if from == to {
        out.copy_from_slice(source);
    } else {
        numbers(source, from, &mut out, to);
    }
    out
}

/// A half float as a float.
pub(crate) fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    match (exponent, fraction) {
        (0, fraction) => {
            let value = fraction as f32 * 2f32.powi(-24);
            f32::from_bits(value.to_bits() | sign)
        }
        (0x1f, fraction) => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        (exponent, fraction) => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

fn to_half(value: f32) -> u16 {
    // Only small integers become halves, which these hold exactly.
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    if value == 0.0 {
        return sign;
    }
    let exponent = (bits >> 23 & 0xff).saturating_sub(112);
    sign | (exponent as u16) << 10 | (bits >> 13 & 0x3ff) as u16
}

macro_rules! each {
    ($source:expr, $a:ty, $out:expr, $to:expr) => {{
        let source = $source.as_chunks::<{ size_of::<$a>() }>().0;
        let read = source.iter().map(|b| <$a>::from_ne_bytes(*b));
        macro_rules! write {
            ($b:ty) => {{
                let out = $out.as_chunks_mut::<{ size_of::<$b>() }>().0;
                out.iter_mut().zip(read).for_each(|(to, x)| *to = (x as $b).to_ne_bytes());
                true
            }};
        }
        match $to {
            DataType::Int(1) => write!(i8),
            DataType::Int(2) => write!(i16),
            DataType::Int(4) => write!(i32),
            DataType::Int(8) => write!(i64),
            DataType::UInt(1) => write!(u8),
            DataType::UInt(2) => write!(u16),
            DataType::UInt(4) => write!(u32),
            DataType::UInt(8) => write!(u64),
            DataType::Float(2) => {
                let out = $out.as_chunks_mut::<2>().0;
                out.iter_mut().zip(read).for_each(|(to, x)| *to = to_half(x as f32).to_ne_bytes());
                true
            }
            DataType::Float(4) => write!(f32),
            DataType::Float(8) => write!(f64),
            _ => false,
        }
    }};
}

#[allow(
    clippy::cast_lossless,
    clippy::cast_possible_wrap,
    reason = "the type that is cast to holds all of them"
)]
fn numbers(source: &[u8], from: &DataType, out: &mut [u8], to: &DataType) -> bool {
    match from {
        DataType::Bool | DataType::UInt(1) => each!(source, u8, out, to),
        DataType::UInt(2) => each!(source, u16, out, to),
        DataType::UInt(4) => each!(source, u32, out, to),
        DataType::UInt(8) => each!(source, u64, out, to),
        DataType::Int(1) => each!(source, i8, out, to),
        DataType::Int(2) => each!(source, i16, out, to),
        DataType::Int(4) => each!(source, i32, out, to),
        DataType::Int(8) => each!(source, i64, out, to),
        DataType::Float(2) => {
            let wide: Vec<u8> = source
                .as_chunks::<2>()
                .0
                .iter()
                .flat_map(|b| half(u16::from_ne_bytes(*b)).to_ne_bytes())
                .collect();
            numbers(&wide, &DataType::Float(4), out, to)
        }
        DataType::Float(4) => each!(source, f32, out, to),
        DataType::Float(8) => each!(source, f64, out, to),
        _ => false,
    }
}
