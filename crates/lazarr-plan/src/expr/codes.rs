//! Answers by code: 64 rows a word, without a branch a row.

use lazarr_format::{Code, DataType, Error, Result};

use super::Mask3;

/// Answers by code; a negative code is a missing row.
pub(super) fn codes(lookup: &[bool], dtype: &DataType, bytes: &[u8], missing: Option<bool>) -> Result<Mask3> {
    macro_rules! items {
        ($t:ty) => {{
            let (items, _) = bytes.as_chunks::<{ size_of::<$t>() }>();
            // What does not fit points at no category either.
            let wide = |b| i64::try_from(<$t>::from_le_bytes(b)).unwrap_or(i64::MAX);
            by_code(lookup, items, missing, wide, |b| <$t>::from_le_bytes(b), |x| <$t>::try_from(x).ok())
        }};
    }
    match dtype {
        DataType::Int(1) => items!(i8),
        DataType::Int(2) => items!(i16),
        DataType::Int(4) => items!(i32),
        DataType::Int(8) => items!(i64),
        DataType::UInt(1) => items!(u8),
        DataType::UInt(2) => items!(u16),
        DataType::UInt(4) => items!(u32),
        DataType::UInt(8) => items!(u64),
        _ => Err(Error::new(Code::EncodingInvalid, "codes must be integers").found(dtype.to_string())),
    }
}

fn by_code<const N: usize, T: PartialOrd + Copy + Default>(
    lookup: &[bool],
    items: &[[u8; N]],
    missing: Option<bool>,
    wide: impl Fn([u8; N]) -> i64,
    narrow: impl Fn([u8; N]) -> T,
    code: impl Fn(usize) -> Option<T>,
) -> Result<Mask3> {
    let bad = |item: [u8; N]| {
        Err(Error::new(Code::CategoryCode, "a code points at no category")
            .expected(format!("-1 or less than {}", lookup.len()))
            .found(wide(item).to_string()))
    };
    let beyond = |item: &[u8; N]| wide(*item) >= lookup.len() as i64;
    // The largest code there may be; `None` where every item is one.
    let last = lookup.len().checked_sub(1).map(&code);
    let zero = T::default();
    let negative = |all: bool, item: &[u8; N]| all | (narrow(*item) < zero);
    let (legal, absent) = match last {
        None => (!items.iter().any(beyond), items.iter().fold(false, negative)),
        Some(None) => (true, items.iter().fold(false, negative)),
        Some(Some(last)) => {
            let above = |all: bool, item: &[u8; N]| all | (narrow(*item) > last);
            let all = items.iter().fold((false, false), |(a, n), item| (above(a, item), negative(n, item)));
            (!all.0, all.1)
        }
    };
    if let Some(&item) = items.iter().find(|i| !legal && beyond(i)) {
        return bad(item);
    }
    let yes = lookup.iter().filter(|x| **x).count();
    // One category, or all but one: compared, several rows at a time.
    let alone = if yes == 1 { Some(true) } else { (yes + 1 == lookup.len()).then_some(false) };
    let target = alone.and_then(|is| Some((code(lookup.iter().position(|x| *x == is)?)?, is)));
    let mask = if let Some((target, is)) = target {
        words(items, |item| u8::from((narrow(item) == target) == is))
    } else {
        let mut table: Vec<u8> = lookup.iter().map(|x| u8::from(*x)).collect();
        table.push(0); // negative codes
        let none = lookup.len() as u64;
        words(items, |item| table[(wide(item) as u64).min(none) as usize])
    };
    Ok(if absent {
        mask.at_missing(&words(items, |item| u8::from(narrow(item) < zero)), missing)
    } else {
        mask
    })
}

/// A bit for each item: `f` gives 0 or 1.
fn words<const N: usize>(items: &[[u8; N]], f: impl Fn([u8; N]) -> u8) -> Mask3 {
    let pack = |answers: &[u8; 64]| {
        answers.as_chunks::<8>().0.iter().rev().fold(0u64, |word, eight| {
            // The lowest bits of eight bytes, side by side: each is moved to the top byte, at a place of its own.
            word << 8 | u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56
        })
    };
    // Whole words apart from the last: their length is known, so several items are looked at together.
    let (whole, rest) = items.as_chunks::<64>();
    let mut words = Vec::with_capacity(items.len().div_ceil(64));
    words.extend(whole.iter().map(|some| pack(&some.map(&f))));
    if !rest.is_empty() {
        let mut answers = [0; 64];
        answers.iter_mut().zip(rest).for_each(|(answer, item)| *answer = f(*item));
        words.push(pack(&answers));
    }
    Mask3::from_words(items.len(), words)
}
