//! Compressed rows as dense ones.

use lazarr_format::{Code, DataType, Error, Result};

use super::view::View;
use crate::buffer::Buffer;
use crate::ledger::Budget;
use crate::rearrange::int;
use crate::value::Dense;

/// Adds a number to another; false where that is not done.
type Add<const N: usize> = fn(&mut [u8; N], &[u8; N]) -> bool;

macro_rules! adding {
    ($number:ty, $a:ident, $b:ident, $sum:expr) => {
        |to, item| {
            let ($a, $b) = (<$number>::from_ne_bytes(*to), <$number>::from_ne_bytes(*item));
            *to = <$number>::to_ne_bytes($sum);
            true
        }
    };
}

/// Values at one place are added up, as scipy does.
pub(super) fn dense_of(view: &View<'_>, budget: &Budget) -> Result<Dense> {
    match &view.dtype {
        DataType::Bool => spread::<1>(view, budget, |to, item| {
            to[0] |= item[0];
            true
        }),
        DataType::Int(1) | DataType::UInt(1) => {
            spread::<1>(view, budget, adding!(u8, a, b, a.wrapping_add(b)))
        }
        DataType::Int(2) | DataType::UInt(2) => {
            spread::<2>(view, budget, adding!(u16, a, b, a.wrapping_add(b)))
        }
        DataType::Int(4) | DataType::UInt(4) => {
            spread::<4>(view, budget, adding!(u32, a, b, a.wrapping_add(b)))
        }
        DataType::Int(8) | DataType::UInt(8) => {
            spread::<8>(view, budget, adding!(u64, a, b, a.wrapping_add(b)))
        }
        DataType::Float(4) => spread::<4>(view, budget, adding!(f32, a, b, a + b)),
        DataType::Float(8) => spread::<8>(view, budget, adding!(f64, a, b, a + b)),
        // scipy has no matrices of these.
        DataType::Float(2) => spread::<2>(view, budget, |_, _| false),
        DataType::Complex(8) => spread::<8>(view, budget, |to, item| {
            let (to, item) = (to.as_chunks_mut::<4>().0, item.as_chunks::<4>().0);
            for (to, item) in to.iter_mut().zip(item) {
                *to = (f32::from_ne_bytes(*to) + f32::from_ne_bytes(*item)).to_ne_bytes();
            }
            true
        }),
        DataType::Complex(_) => spread::<16>(view, budget, |to, item| {
            let (to, item) = (to.as_chunks_mut::<8>().0, item.as_chunks::<8>().0);
            for (to, item) in to.iter_mut().zip(item) {
                *to = (f64::from_ne_bytes(*to) + f64::from_ne_bytes(*item)).to_ne_bytes();
            }
            true
        }),
        other => Err(Error::new(Code::NotWritten, "only matrices of numbers are stored as dense ones")
            .found(other.to_string())),
    }
}

fn spread<const N: usize>(view: &View<'_>, budget: &Budget, add: Add<N>) -> Result<Dense> {
    let (rows, columns) = (view.major(), view.minor as usize);
    let bytes = rows.saturating_mul(view.minor).saturating_mul(N as u64);
    let mut out = Buffer::zeroed(bytes, budget, "dense rows")?;
    let places = out.as_mut_slice().as_chunks_mut::<N>().0;
    let values = view.data.as_chunks::<N>().0;
    let wrong = || Error::new(Code::SparseIndices, "an index lies outside of the matrix");
    for row in 0..rows {
        let first = row as usize * columns;
        let row_places = places.get_mut(first..first + columns).ok_or_else(wrong)?;
        for k in view.start(row) as usize..view.start(row + 1) as usize {
            let column = int(view.indices, view.width, k) as usize;
            let (Some(to), Some(item)) = (row_places.get_mut(column), values.get(k)) else {
                return Err(wrong());
            };
            if *to == [0; N] {
                *to = *item;
            } else if !add(to, item) {
                return Err(Error::new(Code::NotWritten, "a place of the matrix has several values")
                    .found(view.dtype.to_string())
                    .help("Store it as float32, or leave it sparse"));
            }
        }
    }
    Ok(Dense { dtype: view.dtype.clone(), shape: vec![rows, view.minor], data: out })
}
