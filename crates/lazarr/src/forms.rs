//! Dense rows as compressed ones.

use lazarr_format::anndata::SparseFormat;
use lazarr_format::{Code, DataType, Error, Result};

use crate::buffer::Buffer;
use crate::ledger::Budget;
use crate::program::index_width;
use crate::rearrange::set;
use crate::value::SparseMatrix;

/// The bits of an item that say whether it is zero: of floats all but the sign, since zero of either sign is none.
fn bits<const N: usize>(dtype: &DataType) -> [u8; N] {
    let part = match dtype {
        DataType::Float(_) => N,
        DataType::Complex(_) => N / 2,
        _ => return [0xff; N],
    };
    let sign = if cfg!(target_endian = "big") { 0 } else { part - 1 };
    std::array::from_fn(|k| if k % part == sign { 0x7f } else { 0xff })
}

fn is_stored<const N: usize>(item: &[u8; N], bits: &[u8; N]) -> bool {
    item.iter().zip(bits).fold(0, |some, (byte, bits)| some | (byte & bits)) != 0
}

fn count<const N: usize>(dtype: &DataType, bytes: &[u8]) -> u64 {
    let bits = bits::<N>(dtype);
    bytes.as_chunks::<N>().0.iter().filter(|item| is_stored(item, &bits)).count() as u64
}

/// How many of these numbers are not zero.
pub(crate) fn stored_in(dtype: &DataType, bytes: &[u8]) -> u64 {
    match dtype.item_size() {
        Some(1) => count::<1>(dtype, bytes),
        Some(2) => count::<2>(dtype, bytes),
        Some(4) => count::<4>(dtype, bytes),
        Some(8) => count::<8>(dtype, bytes),
        Some(16) => count::<16>(dtype, bytes),
        _ => 0,
    }
}

/// These rows as csr: what is not zero is stored, NaN too.
pub(crate) fn sparse_of(
    dtype: &DataType,
    shape: [u64; 2],
    bytes: &[u8],
    budget: &Budget,
) -> Result<SparseMatrix> {
    match dtype.item_size() {
        Some(1) => take::<1>(dtype, shape, bytes, budget),
        Some(2) => take::<2>(dtype, shape, bytes, budget),
        Some(4) => take::<4>(dtype, shape, bytes, budget),
        Some(8) => take::<8>(dtype, shape, bytes, budget),
        Some(16) => take::<16>(dtype, shape, bytes, budget),
        _ => Err(Error::new(Code::Operation, "only matrices of numbers are stored as sparse ones")
            .found(dtype.to_string())),
    }
}

fn take<const N: usize>(
    dtype: &DataType,
    shape: [u64; 2],
    bytes: &[u8],
    budget: &Budget,
) -> Result<SparseMatrix> {
    let [rows, columns] = shape;
    let stored = count::<N>(dtype, bytes);
    let width = index_width(rows, columns, stored);
    let size = u64::from(width);
    let mut data = Buffer::zeroed(stored * N as u64, budget, "the stored values")?;
    let mut indices = Buffer::zeroed(stored * size, budget, "the indices")?;
    let mut indptr = Buffer::zeroed((rows + 1).saturating_mul(size), budget, "the row starts")?;
    let bits = bits::<N>(dtype);
    let items = bytes.as_chunks::<N>().0;
    let places = data.as_mut_slice().as_chunks_mut::<N>().0;
    let mut at = 0;
    for row in 0..rows as usize {
        let items = items.get(row * columns as usize..(row + 1) * columns as usize).unwrap_or_default();
        for (column, item) in items.iter().enumerate().filter(|(_, item)| is_stored(item, &bits)) {
            if let Some(to) = places.get_mut(at) {
                *to = *item;
            }
            set(indices.as_mut_slice(), width, at, column as u64);
            at += 1;
        }
        set(indptr.as_mut_slice(), width, row + 1, at as u64);
    }
    Ok(SparseMatrix {
        format: SparseFormat::Csr,
        shape,
        dtype: dtype.clone(),
        index_width: width,
        data,
        indices,
        indptr,
    })
}
