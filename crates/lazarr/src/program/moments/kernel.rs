//! The inner loops: stored values on their way into sums.

use std::marker::PhantomData;

use lazarr_format::DataType;

use super::items::Items;
use crate::program::wide::{Loop, two_floats, widest};

/// A stored number.
pub(super) trait Number: Copy {
    fn number(self) -> f64;
    /// Of two side by side, where that is faster.
    #[allow(clippy::inline_always, reason = "see Loop")]
    #[inline(always)]
    fn two(pair: [Self; 2]) -> [f64; 2] {
        pair.map(Self::number)
    }
}

macro_rules! numbers {
    ($($t:ty),*) => { $(impl Number for $t {
        fn number(self) -> f64 {
            self as f64
        }
    })* };
}
numbers!(i8, i16, i32, i64, u8, u16, u32, u64, f64);

impl Number for f32 {
    fn number(self) -> f64 {
        f64::from(self)
    }
    #[allow(clippy::inline_always, reason = "see Loop")]
    #[inline(always)]
    fn two(pair: [f32; 2]) -> [f64; 2] {
        two_floats(pair)
    }
}

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

/// `$body` with `$number` as what makes an f64 of the bytes of a stored value, and `$two` as what makes two of two.
macro_rules! each_dtype {
    ($dtype:expr, ($number:ident, $two:pat) => $body:expr) => {{
        macro_rules! with {
            ($get:expr) => {{
                let $number = |bytes| Number::number($get(bytes));
                let $two = |pair: [_; 2]| Number::two(pair.map($get));
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
    /// What can be made of a value before its sums are looked at: of many side by side.
    type Ready: Copy;
    fn ready(value: f64) -> Self::Ready;
    fn add(sums: &mut [f64], ready: Self::Ready, times: f64);
    /// Other sums of the same result, still of nothing.
    fn begin(sums: &mut [f64], of: &[f64]);
    /// Adds sums of the same result.
    fn merge(sums: &mut [f64], more: &[f64]);
}

/// The value and its square.
pub(super) struct Plain;

impl Form for Plain {
    const WIDTH: usize = 2;
    type Ready = [f64; 2];
    #[inline]
    fn ready(value: f64) -> [f64; 2] {
        [value, value * value]
    }
    #[inline]
    fn add(sums: &mut [f64], [value, square]: [f64; 2], times: f64) {
        sums[0] += times * value;
        sums[1] += times * square;
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
    type Ready = f64;
    #[inline]
    fn ready(value: f64) -> f64 {
        value
    }
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

/// Calls `f(index, value made ready)` for each pair until it is false: at that place.
#[inline]
fn pairs<F: Form, const N: usize, const M: usize>(
    values: &[u8],
    indices: &[u8],
    number: impl Fn([u8; N]) -> f64,
    get: impl Fn([u8; M]) -> usize,
    mut f: impl FnMut(usize, F::Ready) -> bool,
) -> Result<(), usize> {
    let (values, indices) = (values.as_chunks::<N>().0, indices.as_chunks::<M>().0);
    for (i, (value, index)) in values.iter().zip(indices).enumerate() {
        if !f(get(*index), F::ready(number(*value))) {
            return Err(i);
        }
    }
    Ok(())
}

/// `$body` with `$number` and `$two` as above, and `$get` as what makes an index of its bytes. Negative indices become huge
/// ones of their width: see [`Items::most`].
macro_rules! each_types {
    ($values:expr, $indices:expr, ($number:ident, $two:pat, $get:ident) => $body:expr) => {
        each_dtype!($values.dtype, ($number, $two) => {
            macro_rules! by {
                ($index:ty) => {{
                    let $get = |bytes| <$index>::from_ne_bytes(bytes) as usize;
                    $body
                }};
            }
            match $indices.size() {
                1 => by!(u8),
                2 => by!(u16),
                4 => by!(u32),
                _ => by!(u64),
            }
        })
    };
}

/// Values go where their indices say. The first index that is outside of the sums ends it: its place.
pub(super) fn scatter<const W: usize, F: Form>(
    sums: &mut [f64],
    values: Items<'_>,
    indices: Items<'_>,
) -> Result<(), usize> {
    spread::<W, F>(sums, values, indices, 1.0)
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
    let sums = &mut sums[..legal];
    each_types!(values, indices, (number, two, get) => {
        let (values, indices) = (values.bytes.as_chunks().0, indices.bytes.as_chunks().0);
        widest(Tiles { sums, values, indices, rows, number, two, get, form: PhantomData::<F> })
    })
}

/// So many values are gone through without asking whether they are the last.
const BLOCK: usize = 8;

struct Tiles<'a, const W: usize, const N: usize, const M: usize, V, P, I, F> {
    sums: &'a mut [[f64; W]],
    values: &'a [[u8; N]],
    indices: &'a [[u8; M]],
    rows: &'a mut [[u64; 2]],
    number: V,
    two: P,
    get: I,
    form: PhantomData<F>,
}

impl<const W: usize, const N: usize, const M: usize, V, P, I, F> Loop for Tiles<'_, W, N, M, V, P, I, F>
where
    V: Fn([u8; N]) -> f64,
    P: Fn([[u8; N]; 2]) -> [f64; 2],
    I: Fn([u8; M]) -> usize,
    F: Form,
{
    type Out = Result<(), usize>;

    #[allow(clippy::inline_always, reason = "see Loop")]
    #[inline(always)]
    fn run(self) -> Result<(), usize> {
        let (mut end, all) = (0, self.sums.len());
        loop {
            end = (end + TILE / (8 * W)).min(all);
            let tile = &mut self.sums[..end];
            for [from, to] in &mut *self.rows {
                let row = *from as usize..*to as usize;
                let (Some(values), Some(indices)) = (self.values.get(row.clone()), self.indices.get(row))
                else {
                    continue;
                };
                *from +=
                    into::<W, N, M, F>(tile, values, indices, (&self.number, &self.two), &self.get) as u64;
                if end == all && from < to {
                    return Err(*from as usize);
                }
            }
            if end == all {
                return Ok(());
            }
        }
    }
}

/// Adds values until an index is outside of the tile; returns how many these are.
#[allow(clippy::inline_always, reason = "see Loop")]
#[inline(always)]
fn into<const W: usize, const N: usize, const M: usize, F: Form>(
    tile: &mut [[f64; W]],
    values: &[[u8; N]],
    indices: &[[u8; M]],
    (number, two): (&impl Fn([u8; N]) -> f64, &impl Fn([[u8; N]; 2]) -> [f64; 2]),
    get: &impl Fn([u8; M]) -> usize,
) -> usize {
    let mut add = |index: &[u8; M], ready: F::Ready| {
        let sums = tile.get_mut(get(*index));
        sums.map(|sums| F::add(sums, ready, 1.0)).is_some()
    };
    let mut done = 0;
    let (blocks, last) = values.as_chunks::<BLOCK>();
    for (values, indices) in blocks.iter().zip(indices.as_chunks::<BLOCK>().0) {
        for (pair, indices) in values.as_chunks::<2>().0.iter().zip(indices.as_chunks::<2>().0) {
            for (index, value) in indices.iter().zip(two(*pair)) {
                if !add(index, F::ready(value)) {
                    return done;
                }
                done += 1;
            }
        }
    }
    for (value, index) in last.iter().zip(&indices[done..]) {
        if !add(index, F::ready(number(*value))) {
            return done;
        }
        done += 1;
    }
    done
}

/// As [`scatter`], each value so many times.
pub(super) fn scatter_times<const W: usize, F: Form>(
    sums: &mut [f64],
    values: Items<'_>,
    indices: Items<'_>,
    times: f64,
) -> Result<(), usize> {
    spread::<W, F>(sums, values, indices, times)
}

/// Both of these: once is no multiplication.
#[allow(clippy::inline_always, reason = "the number of times is known in one of two places")]
#[inline(always)]
fn spread<const W: usize, F: Form>(
    sums: &mut [f64],
    values: Items<'_>,
    indices: Items<'_>,
    times: f64,
) -> Result<(), usize> {
    let sums = sums.as_chunks_mut::<W>().0;
    let legal = sums.len().min(indices.most());
    let sums = &mut sums[..legal];
    // The check of the bound is the one of the slice.
    let add = |index: usize, ready| match sums.get_mut(index) {
        Some(sums) => {
            F::add(sums, ready, times);
            true
        }
        None => false,
    };
    each_types!(values, indices, (number, _, get) => {
        pairs::<F, _, _>(values.bytes, indices.bytes, number, get, add)
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
    let add = |index: usize, ready| match weights.get(index) {
        Some(&times) => {
            // What is not wanted may be no number.
            if times != 0.0 {
                F::add(sums, ready, times);
            }
            true
        }
        None => false,
    };
    each_types!(values, indices, (number, _, get) => {
        pairs::<F, _, _>(values.bytes, indices.bytes, number, get, add)
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
            F::add(sums, F::ready(number(*value)), 1.0);
        }
    }
    let sums = sums.as_chunks_mut::<W>().0;
    each_dtype!(values.dtype, (number, _) => zip::<W, _, F>(sums, values.bytes, number));
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
                F::add(own, F::ready(number(*value)), 1.0);
            }
        }
        for value in rest {
            F::add(&mut own[0], F::ready(number(*value)), 1.0);
        }
        for own in &own {
            F::merge(sums, own);
        }
    }
    if let Some(sums) = sums.first_chunk_mut::<W>() {
        each_dtype!(values.dtype, (number, _) => all::<W, _, F>(sums, values.bytes, number));
    }
}

fn half(bytes: [u8; 2]) -> Half {
    Half(u16::from_ne_bytes(bytes))
}
