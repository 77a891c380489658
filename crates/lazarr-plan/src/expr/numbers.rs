//! Tests of numbers. Every comparison is a closed range, so that a block of rows is one loop without a branch on the
//! operator.
//!
//! numpy's rules of promotion are kept: an integer column meets a float as float64, a float column meets a Python float in
//! the column's own type, and integers meet integers exactly, whatever their width.

use lazarr_format::{Code, DataType, Error, Result};

use super::{CmpOp, Literal, Mask3};

/// A test of one number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NumTest {
    /// The same for every row.
    Always(bool),
    /// Signed items in `lo..=hi`, or outside of it.
    Signed { lo: i64, hi: i64, negate: bool },
    /// Unsigned items and booleans.
    Unsigned { lo: u64, hi: u64, negate: bool },
    /// Items as float64.
    Wide { lo: f64, hi: f64, negate: bool },
    /// Items as float32.
    Single { lo: f32, hi: f32, negate: bool },
    /// One of these, sorted.
    SignedIn(Vec<i64>),
    /// One of these, sorted.
    UnsignedIn(Vec<u64>),
    /// One of these as float64, sorted; `nan` is whether NaN is among them.
    WideIn { values: Vec<f64>, nan: bool },
    /// NaN.
    IsNan,
}

/// The literal as a whole number: booleans are 0 and 1, as everywhere in Python.
fn whole(value: &Literal) -> Option<i128> {
    match value {
        Literal::Bool(x) => Some(i128::from(*x)),
        Literal::Int(x) => Some(*x),
        _ => None,
    }
}

/// An integer where the float is one.
fn integral(x: f64) -> Option<i128> {
    (x.fract() == 0.0 && x.abs() < 1e30).then_some(x as i128)
}

impl NumTest {
    /// `column op value`; `None` where the value is no number.
    pub(super) fn compare(dtype: &DataType, op: CmpOp, value: &Literal) -> Option<Self> {
        let is_float = matches!(dtype, DataType::Float(_));
        if let (Some(v), false) = (whole(value), is_float) {
            return Some(Self::exact(dtype, op, v));
        }
        let (v, wide) = match value {
            Literal::Float(v) => (*v, false),
            Literal::Float64(v) => (*v, true),
            other => (whole(other)? as f64, false),
        };
        let negate = op == CmpOp::Ne;
        if v.is_nan() {
            return Some(Self::Always(negate));
        }
        match dtype {
            DataType::Float(n @ (2 | 4)) if !wide => {
                let v = if *n == 2 { round_to_half(v) } else { v as f32 };
                let (lo, hi) = match op {
                    CmpOp::Eq | CmpOp::Ne => (v, v),
                    CmpOp::Le => (f32::NEG_INFINITY, v),
                    CmpOp::Ge => (v, f32::INFINITY),
                    CmpOp::Lt if v == f32::NEG_INFINITY => return Some(Self::Always(false)),
                    CmpOp::Gt if v == f32::INFINITY => return Some(Self::Always(false)),
                    CmpOp::Lt => (f32::NEG_INFINITY, v.next_down()),
                    CmpOp::Gt => (v.next_up(), f32::INFINITY),
                };
                Some(Self::Single { lo, hi, negate })
            }
            _ => {
                let (lo, hi) = match op {
                    CmpOp::Eq | CmpOp::Ne => (v, v),
                    CmpOp::Le => (f64::NEG_INFINITY, v),
                    CmpOp::Ge => (v, f64::INFINITY),
                    CmpOp::Lt if v == f64::NEG_INFINITY => return Some(Self::Always(false)),
                    CmpOp::Gt if v == f64::INFINITY => return Some(Self::Always(false)),
                    CmpOp::Lt => (f64::NEG_INFINITY, v.next_down()),
                    CmpOp::Gt => (v.next_up(), f64::INFINITY),
                };
                Some(Self::Wide { lo, hi, negate })
            }
        }
    }

    /// Integers against an integer.
    fn exact(dtype: &DataType, op: CmpOp, v: i128) -> Self {
        let negate = op == CmpOp::Ne;
        let (lo, hi) = match op {
            CmpOp::Eq | CmpOp::Ne => (v, v),
            CmpOp::Lt => (i128::MIN, v.saturating_sub(1)),
            CmpOp::Le => (i128::MIN, v),
            CmpOp::Gt => (v.saturating_add(1), i128::MAX),
            CmpOp::Ge => (v, i128::MAX),
        };
        let (min, max) = match dtype {
            DataType::Int(_) => (i128::from(i64::MIN), i128::from(i64::MAX)),
            _ => (0, i128::from(u64::MAX)),
        };
        if hi < min || lo > max {
            return Self::Always(negate);
        }
        let (lo, hi) = (lo.max(min), hi.min(max));
        match dtype {
            DataType::Int(_) => Self::Signed { lo: lo as i64, hi: hi as i64, negate },
            _ => Self::Unsigned { lo: lo as u64, hi: hi as u64, negate },
        }
    }

    /// `column.isin(values)`: by value, exactly, whatever the types. What is no number matches nothing.
    pub(super) fn one_of(dtype: &DataType, values: &[Literal]) -> Self {
        let float = |x: &Literal| match x {
            Literal::Float(v) | Literal::Float64(v) => Some(*v),
            _ => None,
        };
        // pandas makes a float64 array of a list that mixes integers and floats, and keeps the list as it is only for
        // columns of other types than these.
        let all_numbers = values.iter().all(|x| float(x).is_some() || matches!(x, Literal::Int(_)));
        let rounds = all_numbers
            && values.iter().any(|x| float(x).is_some())
            && matches!(dtype, DataType::Int(_) | DataType::Float(8));
        let whole = |x: &Literal| whole(x).map(|v| if rounds { v as f64 as i128 } else { v });
        if matches!(dtype, DataType::Float(_)) {
            // An integer that float64 cannot hold equals no float.
            let exact = |v: i128| (integral(v as f64) == Some(v)).then_some(v as f64);
            let mut found: Vec<f64> =
                values.iter().filter_map(|x| float(x).or_else(|| whole(x).and_then(exact))).collect();
            let nan = found.iter().any(|x| x.is_nan());
            found.retain(|x| !x.is_nan());
            found.sort_by(f64::total_cmp);
            found.dedup();
            return Self::WideIn { values: found, nan };
        }
        let mut found: Vec<i128> =
            values.iter().filter_map(|x| whole(x).or_else(|| float(x).and_then(integral))).collect();
        found.sort_unstable();
        found.dedup();
        if matches!(dtype, DataType::Int(_)) {
            Self::SignedIn(found.into_iter().filter_map(|x| i64::try_from(x).ok()).collect())
        } else {
            Self::UnsignedIn(found.into_iter().filter_map(|x| u64::try_from(x).ok()).collect())
        }
    }

    /// The answers for a block of items. Errors where the bytes are not whole items of a numeric type.
    pub(super) fn eval(&self, dtype: &DataType, bytes: &[u8]) -> Result<Mask3> {
        macro_rules! items {
            ($t:ty, $kind:ident) => {{
                let (items, rest) = bytes.as_chunks::<{ size_of::<$t>() }>();
                if !rest.is_empty() {
                    return Err(broken(dtype, bytes.len()));
                }
                Ok($kind(self, items.len(), |i| <$t>::from_le_bytes(items[i]).into()))
            }};
        }
        match dtype {
            DataType::Bool => Ok(unsigned(self, bytes.len(), |i| u64::from(bytes[i] != 0))),
            DataType::Int(1) => items!(i8, signed),
            DataType::Int(2) => items!(i16, signed),
            DataType::Int(4) => items!(i32, signed),
            DataType::Int(8) => items!(i64, signed),
            DataType::UInt(1) => items!(u8, unsigned),
            DataType::UInt(2) => items!(u16, unsigned),
            DataType::UInt(4) => items!(u32, unsigned),
            DataType::UInt(8) => items!(u64, unsigned),
            DataType::Float(4) => items!(f32, single),
            DataType::Float(8) => items!(f64, wide),
            DataType::Float(2) => {
                let (items, rest) = bytes.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(broken(dtype, bytes.len()));
                }
                Ok(single(self, items.len(), |i| half_to_single(u16::from_le_bytes(items[i]))))
            }
            _ => Err(broken(dtype, bytes.len())),
        }
    }
}

fn broken(dtype: &DataType, len: usize) -> Error {
    Error::new(Code::ChunkLength, "a block of a column is not made of whole items")
        .expected(format!("items of {dtype}"))
        .found(format!("{len} bytes"))
}

fn signed(test: &NumTest, len: usize, at: impl Fn(usize) -> i64) -> Mask3 {
    match test {
        NumTest::Signed { lo, hi, negate } => {
            Mask3::from_fn(len, |i| (*lo <= at(i) && at(i) <= *hi) != *negate)
        }
        NumTest::SignedIn(v) => Mask3::from_fn(len, |i| v.binary_search(&at(i)).is_ok()),
        other => wide(other, len, |i| at(i) as f64),
    }
}

fn unsigned(test: &NumTest, len: usize, at: impl Fn(usize) -> u64) -> Mask3 {
    match test {
        NumTest::Unsigned { lo, hi, negate } => {
            Mask3::from_fn(len, |i| (*lo <= at(i) && at(i) <= *hi) != *negate)
        }
        NumTest::UnsignedIn(v) => Mask3::from_fn(len, |i| v.binary_search(&at(i)).is_ok()),
        other => wide(other, len, |i| at(i) as f64),
    }
}

fn single(test: &NumTest, len: usize, at: impl Fn(usize) -> f32) -> Mask3 {
    match test {
        NumTest::Single { lo, hi, negate } => {
            Mask3::from_fn(len, |i| (*lo <= at(i) && at(i) <= *hi) != *negate)
        }
        other => wide(other, len, |i| f64::from(at(i))),
    }
}

fn wide(test: &NumTest, len: usize, at: impl Fn(usize) -> f64) -> Mask3 {
    match test {
        NumTest::Wide { lo, hi, negate } => {
            Mask3::from_fn(len, |i| (*lo <= at(i) && at(i) <= *hi) != *negate)
        }
        NumTest::WideIn { values, nan } => Mask3::from_fn(len, |i| {
            let x = at(i);
            let place = values.partition_point(|v| *v < x);
            if x.is_nan() { *nan } else { values.get(place) == Some(&x) }
        }),
        NumTest::IsNan => Mask3::from_fn(len, |i| at(i).is_nan()),
        NumTest::Always(x) => Mask3::from_fn(len, |_| *x),
        // A test is made for the type of its column: the others do not come here.
        _ => Mask3::from_fn(len, |_| false),
    }
}

/// IEEE binary16 as float32, exactly.
fn half_to_single(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        0x1f if fraction > 0.0 => f32::NAN,
        0x1f => sign * f32::INFINITY,
        e => sign * (1.0 + fraction / 1024.0) * 2f32.powi(e - 15),
    }
}

/// The nearest binary16, ties to even, as float32.
fn round_to_half(x: f64) -> f32 {
    let size = x.abs();
    // Positive halves ascend with their bits: find the two around, and take the nearer.
    let (mut low, mut high) = (0u16, 0x7c00u16);
    while high - low > 1 {
        let mid = u16::midpoint(low, high);
        if f64::from(half_to_single(mid)) <= size {
            low = mid;
        } else {
            high = mid;
        }
    }
    // Infinity stands where 65536 would.
    let value = |bits: u16| if bits == 0x7c00 { 65536.0 } else { f64::from(half_to_single(bits)) };
    let (below, above) = (size - value(low), value(high) - size);
    let nearest = if above < below || (above <= below && low & 1 == 1) { high } else { low };
    half_to_single(nearest) * if x < 0.0 { -1.0 } else { 1.0 }
}
