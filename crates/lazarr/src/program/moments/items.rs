//! Stored values and indices, of any type.

use lazarr_format::DataType;

/// Values of one type, in native byte order.
#[derive(Clone, Copy)]
pub(super) struct Items<'a> {
    pub(super) dtype: &'a DataType,
    pub(super) bytes: &'a [u8],
}

impl Items<'_> {
    pub(super) fn size(self) -> usize {
        self.dtype.item_size().unwrap_or(1)
    }

    /// Some of them.
    pub(super) fn part(self, from: u64, to: u64) -> Self {
        let size = self.size();
        let bytes = self.bytes.get(from as usize * size..to as usize * size).unwrap_or_default();
        Self { bytes, ..self }
    }

    /// Integers that are below this are not negative ones, read as unsigned.
    pub(super) fn most(self) -> usize {
        let bits = 8 * self.size() as u32 - u32::from(matches!(self.dtype, DataType::Int(_)));
        1usize.checked_shl(bits).unwrap_or(usize::MAX)
    }

    /// One integer of them.
    pub(super) fn integer(self, at: u64) -> i128 {
        let mut bytes = [0u8; 8];
        let item = self.part(at, at + 1).bytes;
        let size = item.len().min(8);
        bytes[..size].copy_from_slice(&item[..size]);
        let raw = u64::from_le_bytes(bytes);
        match self.dtype {
            DataType::Int(n) => {
                let shift = 64 - 8 * u32::from(*n);
                i128::from(((raw << shift) as i64) >> shift)
            }
            _ => i128::from(raw),
        }
    }

    /// The first that is no boolean, where they are stored as such.
    pub(super) fn not_bool(self) -> Option<u8> {
        let wrong = *self.dtype == DataType::Bool && self.bytes.iter().fold(0, |a, &b| a | b) > 1;
        if wrong { self.bytes.iter().copied().find(|&b| b > 1) } else { None }
    }
}

/// Whether values of this type can be added.
pub(super) fn is_number(dtype: &DataType) -> bool {
    matches!(
        dtype,
        DataType::Bool
            | DataType::Int(1 | 2 | 4 | 8)
            | DataType::UInt(1 | 2 | 4 | 8)
            | DataType::Float(2 | 4 | 8)
    )
}
