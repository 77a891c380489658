//! Items on their way into a result: copied, widened, checked. The check is fused into the copy.

use lazarr_format::{ArrayMeta, Code, DataType, Error, Result};

/// What happens to items between chunk and result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Convert {
    /// Copied as they are.
    Copy {
        /// Bytes of an item.
        size: usize,
    },
    /// Integers, checked to lie in `low..=high`, written as signed integers of another width.
    Integers {
        /// Stored type.
        from: DataType,
        /// Width in bytes of the result: 1, 2, 4 or 8, signed.
        to: u8,
        /// Smallest legal value.
        low: i64,
        /// Largest legal value.
        high: i64,
    },
    /// One field of structured items, and what happens to it.
    Field {
        /// Bytes of a stored item.
        stored: usize,
        /// Where the field starts in it.
        offset: usize,
        /// What happens to the field.
        then: Box<Convert>,
    },
}

/// A value that is not legal: its place in the run, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadItem {
    pub(crate) at: u64,
    pub(crate) value: i128,
}

impl Convert {
    /// Bytes of an item in the chunk.
    pub(crate) fn stored_size(&self) -> usize {
        match self {
            Self::Copy { size } => *size,
            Self::Integers { from, .. } => from.item_size().unwrap_or(1),
            Self::Field { stored, .. } => *stored,
        }
    }

    /// Bytes of an item in the result.
    pub(crate) fn result_size(&self) -> usize {
        match self {
            Self::Copy { size } => *size,
            Self::Integers { to, .. } => usize::from(*to),
            Self::Field { then, .. } => then.result_size(),
        }
    }

    /// Items as they are. Booleans must be 0 or 1: whoever holds them as such relies on it.
    pub(crate) fn values(dtype: &DataType) -> Self {
        match dtype {
            DataType::Bool => Self::Integers { from: DataType::UInt(1), to: 1, low: 0, high: 1 },
            _ => Self::Copy { size: dtype.item_size().unwrap_or(1) },
        }
    }

    /// Integers of this stored type, to signed ones of this width.
    pub(crate) fn integers(from: &DataType, to: u8, low: i64, high: i64, element: &str) -> Result<Self> {
        if from.is_integer() {
            return Ok(Self::Integers { from: from.clone(), to, low, high });
        }
        Err(Error::new(Code::EncodingInvalid, "this array must hold integers")
            .element(element)
            .expected("an integer type")
            .found(from.to_string()))
    }

    /// Converts a run. `src` and `dst` hold the same number of items.
    pub(crate) fn run(&self, src: &[u8], dst: &mut [u8]) -> Result<(), BadItem> {
        match self {
            Self::Copy { .. } => {
                dst.copy_from_slice(src);
                Ok(())
            }
            Self::Integers { from, to, low, high } => integers(from, *to, *low, *high, src, dst),
            Self::Field { stored, offset, then } => {
                let (size, result) = (then.stored_size(), then.result_size());
                for (i, (item, out)) in
                    src.chunks_exact(*stored).zip(dst.chunks_exact_mut(result)).enumerate()
                {
                    then.run(&item[*offset..*offset + size], out)
                        .map_err(|bad| BadItem { at: i as u64, ..bad })?;
                }
                Ok(())
            }
        }
    }

    /// The conversion for items of this array: of the field, where it is one of stored structs.
    pub(crate) fn of(self, array: &ArrayMeta) -> Self {
        match &array.part {
            Some(part) => Self::Field { stored: part.stored, offset: part.offset, then: Box::new(self) },
            None => self,
        }
    }

    /// Whether items come out as they are stored, once they are checked ([`Convert::check`]).
    pub(crate) fn is_same(&self) -> bool {
        match self {
            Self::Copy { .. } => true,
            Self::Integers { from, to, .. } => from.item_size() == Some(usize::from(*to)),
            Self::Field { .. } => false,
        }
    }

    /// Checks items that stand in the result already, where [`Convert::is_same`].
    pub(crate) fn check(&self, items: &[u8]) -> Result<(), BadItem> {
        let Self::Integers { from, low, high, .. } = self else { return Ok(()) };
        if all_within(from, *low, *high, items) {
            return Ok(());
        }
        // What was wrong is looked for by stretches, through a small copy.
        let size = from.item_size().unwrap_or(1);
        let mut copy = [0; 4096];
        for (i, stretch) in items.chunks(4096 / size * size).enumerate() {
            self.run(stretch, &mut copy[..stretch.len()])
                .map_err(|bad| BadItem { at: bad.at + (i * (4096 / size)) as u64, ..bad })?;
        }
        Ok(())
    }

    /// The legal values of integers.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        match self {
            Self::Copy { .. } => (i64::MIN, i64::MAX),
            Self::Integers { low, high, .. } => (*low, *high),
            Self::Field { then, .. } => then.bounds(),
        }
    }
}

fn integers(from: &DataType, to: u8, low: i64, high: i64, src: &[u8], dst: &mut [u8]) -> Result<(), BadItem> {
    if low == 0 && hot(from, to, high, src, dst) {
        return Ok(());
    }
    match from {
        DataType::Int(1) => wide::<1, _>(src, dst, to, low, high, |b| i64::from(i8::from_le_bytes(b))),
        DataType::Int(2) => wide::<2, _>(src, dst, to, low, high, |b| i64::from(i16::from_le_bytes(b))),
        DataType::Int(4) => wide::<4, _>(src, dst, to, low, high, |b| i64::from(i32::from_le_bytes(b))),
        DataType::Int(_) => wide::<8, _>(src, dst, to, low, high, i64::from_le_bytes),
        DataType::UInt(1) => wide::<1, _>(src, dst, to, low, high, |b| i64::from(u8::from_le_bytes(b))),
        DataType::UInt(2) => wide::<2, _>(src, dst, to, low, high, |b| i64::from(u16::from_le_bytes(b))),
        DataType::UInt(4) => wide::<4, _>(src, dst, to, low, high, |b| i64::from(u32::from_le_bytes(b))),
        // Past i64 nothing is legal: such a value is mapped below every `low`.
        _ => wide::<8, _>(src, dst, to, low, high, |b| {
            i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MIN)
        }),
    }
    .map_err(|at| {
        let size = from.item_size().unwrap_or(1);
        let mut item = [0u8; 8];
        item[..size].copy_from_slice(&src[at * size..(at + 1) * size]);
        let raw = u64::from_le_bytes(item);
        let value = match from {
            DataType::Int(n) => {
                i128::from((raw << (64 - 8 * u32::from(*n))) as i64 >> (64 - 8 * u32::from(*n)))
            }
            _ => i128::from(raw),
        };
        BadItem { at: at as u64, value }
    })
}

/// Whether all items are legal, each compared in its own width and without a branch in the loop.
fn all_within(from: &DataType, low: i64, high: i64, items: &[u8]) -> bool {
    macro_rules! within {
        ($t:ty) => {{
            // Bounds that the type cannot hold are its own; where `low` lies above all of it, nothing is legal.
            let least = <$t>::try_from(low).unwrap_or(if low < 0 { <$t>::MIN } else { <$t>::MAX });
            let most = <$t>::try_from(high).unwrap_or(if high < 0 { <$t>::MIN } else { <$t>::MAX });
            let holds = i128::from(least) >= i128::from(low) && i128::from(most) <= i128::from(high);
            let items = items.as_chunks::<{ size_of::<$t>() }>().0.iter().map(|b| <$t>::from_le_bytes(*b));
            holds && items.fold(true, |legal, item| legal & (item >= least) & (item <= most))
        }};
    }
    match from {
        DataType::Int(1) => within!(i8),
        DataType::Int(2) => within!(i16),
        DataType::Int(4) => within!(i32),
        DataType::Int(_) => within!(i64),
        DataType::UInt(1) => within!(u8),
        DataType::UInt(2) => within!(u16),
        DataType::UInt(4) => within!(u32),
        _ => within!(u64),
    }
}

/// Indices as most stores have them, compared in their own width, where negative numbers are huge ones. Says whether it
/// knows them and all were legal; `dst` means nothing where not.
fn hot(from: &DataType, to: u8, high: i64, src: &[u8], dst: &mut [u8]) -> bool {
    let Ok(high) = u64::try_from(high) else { return false };
    let (high16, high32) = (high.min(u16::MAX.into()) as u16, high.min(u32::MAX.into()) as u32);
    let index16 = |b| (u16::from_le_bytes(b) <= high16, i32::from(u16::from_le_bytes(b)).to_ne_bytes());
    let index32 = |b| (u32::from_le_bytes(b) <= high32, u32::from_le_bytes(b).to_ne_bytes());
    let index64 = |b| (u64::from_le_bytes(b) <= high, (u64::from_le_bytes(b) as u32).to_ne_bytes());
    match (from, to) {
        (DataType::UInt(2), 4) => each::<2, 4>(src, dst, index16),
        (DataType::Int(4), 4) if i32::try_from(high).is_ok() => each::<4, 4>(src, dst, index32),
        (DataType::UInt(4), 4) => each::<4, 4>(src, dst, index32),
        (DataType::Int(8) | DataType::UInt(8), 4) => each::<8, 4>(src, dst, index64),
        _ => false,
    }
}

/// Writes all items and says whether all were legal: without a branch in the loop, so that it can be vectorised.
fn each<const N: usize, const M: usize>(
    src: &[u8],
    dst: &mut [u8],
    item: impl Fn([u8; N]) -> (bool, [u8; M]),
) -> bool {
    let (src, dst) = (src.as_chunks::<N>().0, dst.as_chunks_mut::<M>().0);
    let mut legal = true;
    for (s, d) in src.iter().zip(dst) {
        let (fine, value) = item(*s);
        legal &= fine;
        *d = value;
    }
    legal
}

fn wide<const N: usize, F: Fn([u8; N]) -> i64 + Copy>(
    src: &[u8],
    dst: &mut [u8],
    to: u8,
    low: i64,
    high: i64,
    get: F,
) -> Result<(), usize> {
    let src = src.as_chunks::<N>().0;
    let legal = match to {
        1 => write::<N, 1, F>(src, dst, low, high, get, |v| (v as i8).to_ne_bytes()),
        2 => write::<N, 2, F>(src, dst, low, high, get, |v| (v as i16).to_ne_bytes()),
        4 => write::<N, 4, F>(src, dst, low, high, get, |v| (v as i32).to_ne_bytes()),
        _ => write::<N, 8, F>(src, dst, low, high, get, i64::to_ne_bytes),
    };
    if legal {
        return Ok(());
    }
    Err(src.iter().position(|&b| !(low..=high).contains(&get(b))).unwrap_or(0))
}

/// Writes all items and says whether all were legal: without a branch in the loop, so that it can be vectorised.
fn write<const N: usize, const M: usize, F: Fn([u8; N]) -> i64>(
    src: &[[u8; N]],
    dst: &mut [u8],
    low: i64,
    high: i64,
    get: F,
    put: impl Fn(i64) -> [u8; M],
) -> bool {
    let dst = dst.as_chunks_mut::<M>().0;
    let mut legal = true;
    for (s, d) in src.iter().zip(dst) {
        let value = get(*s);
        // `low` may lie above `high`: then nothing is legal.
        legal &= (low..=high).contains(&value);
        *d = put(value);
    }
    legal
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
