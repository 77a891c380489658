//! The inner loops: stored values on their way into sums.

use lazarr_format::DataType;

/// A stored number.
pub(super) trait Number: Copy {
    fn number(self) -> f64;
}

macro_rules! numbers {
    ($($t:ty),*) => { $(impl Number for $t {
        fn number(self) -> f64 {
            self as f64
        }
    })* };
}
numbers!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

/// A float of two bytes.
#[derive(Clone, Copy)]
pub(super) struct Half(u16);

impl Number for Half {
    fn number(self) -> f64 {
        let bits = self.0;
        let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
        sign * match exponent {
            0 => fraction * 2f64.powi(-24),
            31 if fraction > 0.0 => f64::NAN,
            31 => f64::INFINITY,
            _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
        }
    }
}

/// `$body` with `$number` as what makes an f64 of the bytes of a stored value.
macro_rules! each_dtype {
    ($dtype:expr, $number:ident => $body:expr) => {{
        macro_rules! with {
            ($get:expr) => {{
                let $number = |bytes| Number::number($get(bytes));
                $body
            }};
        }
        match $dtype {
            DataType::Int(1) => with!(i8::from_ne_bytes),
            DataType::Int(2) => with!(i16::from_ne_bytes),
            DataType::Int(4) => with!(i32::from_ne_bytes),
            DataType::Int(8) => with!(i64::from_ne_bytes),
            DataType::UInt(2) => with!(u16::from_ne_bytes),
            DataType::UInt(4) => with!(u32::from_ne_bytes),
            DataType::UInt(8) => with!(u64::from_ne_bytes),
            DataType::Float(2) => with!(half),
            DataType::Float(4) => with!(f32::from_ne_bytes),
            DataType::Float(8) => with!(f64::from_ne_bytes),
            // Of one byte, and booleans.
            _ => with!(u8::from_ne_bytes),
        }
    }};
}

/// What one value adds to the sums of its result.
pub(super) trait Form {
    /// Sums for each result.
    const WIDTH: usize;
    fn add(sums: &mut [f64], value: f64, times: f64);
    /// Other sums of the same result, still of nothing.
    fn begin(sums: &mut [f64], of: &[f64]);
    /// Adds sums of the same result.
    fn merge(sums: &mut [f64], more: &[f64]);
}

/// The value and its square.
pub(super) struct Plain;

impl Form for Plain {
    const WIDTH: usize = 2;
    #[inline]
    fn add(sums: &mut [f64], value: f64, times: f64) {
        sums[0] += times * value;
        sums[1] += times * (value * value);
    }
    fn begin(_: &mut [f64], _: &[f64]) {}
    #[inline]
    fn merge(sums: &mut [f64], more: &[f64]) {
        sums[0] += more[0];
        sums[1] += more[1];
    }
}

/// The same of what the value differs from a number near the mean, which stands third; and how many values there were.
pub(super) struct Centred;

impl Form for Centred {
    const WIDTH: usize = 4;
    #[inline]
    fn add(sums: &mut [f64], value: f64, times: f64) {
        let value = value - sums[2];
        sums[0] += times * value;
        sums[1] += times * (value * value);
        sums[3] += times;
    }
    #[inline]
    fn begin(sums: &mut [f64], of: &[f64]) {
        sums[2] = of[2];
    }
    #[inline]
    fn merge(sums: &mut [f64], more: &[f64]) {
        sums[0] += more[0];
        sums[1] += more[1];
        sums[3] += more[3];
    }
}

/// Calls `f(index, value)` for each pair until it is false: at that place.
#[inline]
fn pairs<const N: usize, const M: usize>(
    values: &[u8],
    indices: &[u8],
    number: impl Fn([u8; N]) -> f64,
    get: impl Fn([u8; M]) -> usize,
    mut f: impl FnMut(usize, f64) -> bool,
) -> Result<(), usize> {
    let (values, indices) = (values.as_chunks::<N>().0, indices.as_chunks::<M>().0);
    for (i, (value, index)) in values.iter().zip(indices).enumerate() {
        if !f(get(*index), number(*value)) {
            return Err(i);
        }
    }
    Ok(())
}

/// [`pairs`] of any types. Negative indices become huge ones of their width: see [`Items::most`].
macro_rules! each_pair {
    ($values:expr, $indices:expr, $f:expr) => {
        each_dtype!($values.dtype, number => match $indices.size() {
            1 => pairs($values.bytes, $indices.bytes, number, |b| usize::from(u8::from_ne_bytes(b)), $f),
            2 => pairs($values.bytes, $indices.bytes, number, |b| usize::from(u16::from_ne_bytes(b)), $f),
            4 => pairs($values.bytes, $indices.bytes, number, |b| u32::from_ne_bytes(b) as usize, $f),
            _ => pairs($values.bytes, $indices.bytes, number, |b| u64::from_ne_bytes(b) as usize, $f),
        })
    };
}

/// Values go where their indices say. The first index that is outside of the sums ends it: its place.
pub(super) fn scatter<const W: usize, F: Form>(
    sums: &mut [f64],
    values: Items<'_>,
    indices: Items<'_>,
) -> Result<(), usize> {
    let sums = sums.as_chunks_mut::<W>().0;
    let legal = sums.len().min(indices.most());
    let sums = &mut sums[..legal];
    // The check of the bound is the one of the slice.
    each_pair!(values, indices, |index, value| match sums.get_mut(index) {
        Some(sums) => {
            F::add(sums, value, 1.0);
            true
        }
        None => false,
    })
}

/// So many bytes of sums are gone through at a time: what a core's nearest cache holds.
const TILE: usize = 32 << 10;
/// So many values of a row should be in each tile: leaving one is a branch that nobody foresees.
const VISIT: usize = 16;

/// Whether [`scatter_rows`] is the faster way for so many values in so many rows.
pub(super) fn worth_tiles<const W: usize>(results: usize, values: u64, rows: u64) -> bool {
    let tiles = results.div_ceil(TILE / (8 * W));
    tiles > 2 && values / rows.max(1) >= (tiles * VISIT) as u64
}

/// As [`scatter`], of rows that each begin and end at these places of the values: tile by tile of the results, and in each
/// tile row by row. Neighbouring values of one row lie in different lines of the cache, so that the sums of a whole row pass
/// through the nearest cache for every row; those of a tile stay. Where the indices of a row do not ascend, the result is
/// the same and only slower. What each row has left is where it begins afterwards.
pub(super) fn scatter_rows<const W: usize, F: Form>(
    sums: &mut [f64],
    values: Items<'_>,
    indices: Items<'_>,
    rows: &mut [[u64; 2]],
) -> Result<(), usize> {
    let sums = sums.as_chunks_mut::<W>().0;
    let legal = sums.len().min(indices.most());
    let mut end = 0;
    loop {
        end = (end + TILE / (8 * W)).min(legal);
        let tile = &mut sums[..end];
        for [from, to] in &mut *rows {
            let (values, indices) = (values.part(*from, *to), indices.part(*from, *to));
            let met = each_pair!(values, indices, |index, value| match tile.get_mut(index) {
                Some(sums) => {
                    F::add(sums, value, 1.0);
                    true
                }
                None => false,
            });
            *from = met.map_or_else(|at| *from + at as u64, |()| *to);
            if end == legal && from < to {
                return Err(*from as usize);
            }
        }
        if end == legal {
            return Ok(());
        }
    }
}

/// As [`scatter`], each value so many times.
pub(super) fn scatter_times<const W: usize, F: Form>(
    sums: &mut [f64],
    values: Items<'_>,
    indices: Items<'_>,
    times: f64,
) -> Result<(), usize> {
    let sums = sums.as_chunks_mut::<W>().0;
    let legal = sums.len().min(indices.most());
    let sums = &mut sums[..legal];
    each_pair!(values, indices, |index, value| match sums.get_mut(index) {
        Some(sums) => {
            F::add(sums, value, times);
            true
        }
        None => false,
    })
}

/// Values go into the sums of one result, as often as the weight of their index says; the bound as above.
pub(super) fn weigh<const W: usize, F: Form>(
    sums: &mut [f64],
    values: Items<'_>,
    indices: Items<'_>,
    weights: &[f64],
) -> Result<(), usize> {
    let weights = &weights[..weights.len().min(indices.most())];
    each_pair!(values, indices, |index, value| match weights.get(index) {
        Some(&times) => {
            // What is not wanted may be no number.
            if times != 0.0 {
                F::add(sums, value, times);
            }
            true
        }
        None => false,
    })
}

/// Values go one by one into neighbouring results.
pub(super) fn along<const W: usize, F: Form>(sums: &mut [f64], values: Items<'_>) {
    fn zip<const W: usize, const N: usize, F: Form>(
        sums: &mut [[f64; W]],
        values: &[u8],
        number: impl Fn([u8; N]) -> f64,
    ) {
        for (sums, value) in sums.iter_mut().zip(values.as_chunks::<N>().0) {
            F::add(sums, number(*value), 1.0);
        }
    }
    let sums = sums.as_chunks_mut::<W>().0;
    each_dtype!(values.dtype, number => zip::<W, _, F>(sums, values.bytes, number));
}

/// So many sums of one result are kept side by side.
const SIDE: usize = 4;

/// All values go into the sums of one result.
pub(super) fn fold<const W: usize, F: Form>(sums: &mut [f64], values: Items<'_>) {
    fn all<const W: usize, const N: usize, F: Form>(
        sums: &mut [f64; W],
        values: &[u8],
        number: impl Fn([u8; N]) -> f64,
    ) {
        // Several sums side by side, that one addition does not wait for the other.
        let (blocks, rest) = values.as_chunks::<N>().0.as_chunks::<SIDE>();
        let mut own = [[0.0; W]; SIDE];
        for own in &mut own {
            F::begin(own, sums);
        }
        for block in blocks {
            for (own, value) in own.iter_mut().zip(block) {
                F::add(own, number(*value), 1.0);
            }
        }
        for value in rest {
            F::add(&mut own[0], number(*value), 1.0);
        }
        for own in &own {
            F::merge(sums, own);
        }
    }
    if let Some(sums) = sums.first_chunk_mut::<W>() {
        each_dtype!(values.dtype, number => all::<W, _, F>(sums, values.bytes, number));
    }
}

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
    fn most(self) -> usize {
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

fn half(bytes: [u8; 2]) -> Half {
    Half(u16::from_ne_bytes(bytes))
}
