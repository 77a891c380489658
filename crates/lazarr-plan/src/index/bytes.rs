//! An index as bytes, for pickling: a version, a kind, then LEB128 numbers or packed words.
//!
//! What is read back is untrusted: counts are bounded by the bytes that are there before anything is allocated, and the
//! index is made anew from its positions.

use lazarr_format::{Code, Error, Result};

use super::{Form, Index};

const VERSION: u8 = 1;
const REVERSED: u8 = 0x40;
const AXIS: u8 = 0x80;

impl Index {
    /// The index as bytes, for [`Index::from_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let flags = if self.reversed { REVERSED } else { 0 } | if self.axis.is_some() { AXIS } else { 0 };
        let mut out = vec![VERSION, flags];
        if let Some(n) = self.axis {
            put(&mut out, n);
        }
        match &self.form {
            Form::Range { start, step, len } => {
                for x in [*start, *step, *len] {
                    put(&mut out, x);
                }
            }
            Form::Intervals(x) => {
                out[1] |= 1;
                put(&mut out, x.parts.len() as u64);
                let mut at = 0;
                for &(start, end, _) in &x.parts {
                    put(&mut out, start - at);
                    put(&mut out, end - start);
                    at = end;
                }
            }
            Form::Bitmap { base, bits } => {
                out[1] |= 2;
                put(&mut out, *base);
                out.extend(bits.words().iter().flat_map(|w| w.to_le_bytes()));
            }
            Form::Sorted(x) => {
                out[1] |= 3;
                put(&mut out, x.len() as u64);
                let mut at = 0;
                for i in 0..x.len() {
                    put(&mut out, x.at(i) - at);
                    at = x.at(i);
                }
            }
            Form::List(x) => {
                out[1] |= 4;
                put(&mut out, x.items.len() as u64);
                (0..x.items.len()).for_each(|i| put(&mut out, x.items.at(i)));
            }
        }
        out
    }

    /// The index that [`Index::to_bytes`] wrote. Errors with `IndexKind` where the bytes are not one; the positions are
    /// inside the axis that the bytes name, which the caller compares with its own ([`Index::check_axis`]).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        read(bytes).ok_or_else(|| {
            Error::new(Code::IndexKind, "these bytes are no index that this version of lazarr has written")
        })
    }
}

fn read(bytes: &[u8]) -> Option<Index> {
    let [VERSION, flags, rest @ ..] = bytes else { return None };
    let mut rest = rest;
    let axis = if flags & AXIS == 0 { None } else { Some(take(&mut rest)?) };
    let reversed = flags & REVERSED != 0;
    let index = match flags & !(AXIS | REVERSED) {
        0 => {
            let (start, step, len) = (take(&mut rest)?, take(&mut rest)?, take(&mut rest)?);
            if step == 0 {
                return None;
            }
            // One past the last position must be a number.
            if len > 0 {
                start.checked_add(step.checked_mul(len - 1)?)?.checked_add(1)?;
            }
            let form = if len == 0 {
                super::EMPTY
            } else {
                Form::Range { start, step: if len == 1 { 1 } else { step }, len }
            };
            Index::from_form(form, false, axis)
        }
        1 => {
            let count = count(&mut rest, 2)?;
            let mut parts = Vec::with_capacity(count);
            let mut at = 0u64;
            for _ in 0..count {
                let start = at.checked_add(take(&mut rest)?)?;
                at = start.checked_add(take(&mut rest)?)?;
                parts.push((start, at));
            }
            Index::from_intervals(parts.into_iter(), axis)
        }
        2 => {
            let base = take(&mut rest)?;
            let (words, tail) = rest.as_chunks::<8>();
            base.checked_add(words.len() as u64 * 64)?;
            if !tail.is_empty() {
                return None;
            }
            rest = &[];
            Index::from_words(words.iter().map(|w| u64::from_le_bytes(*w)).collect(), base, axis)
        }
        3 => {
            let count = count(&mut rest, 1)?;
            let mut items: Vec<u64> = Vec::with_capacity(count);
            for _ in 0..count {
                let gap = take(&mut rest)?;
                items.push(match items.last() {
                    Some(last) if gap == 0 || last.checked_add(gap)? == u64::MAX => return None,
                    Some(last) => last + gap,
                    None => gap,
                });
            }
            if items.last() == Some(&u64::MAX) {
                return None;
            }
            Index::from_sorted(items, axis)
        }
        4 => {
            let count = count(&mut rest, 1)?;
            let mut items = Vec::with_capacity(count);
            for _ in 0..count {
                items.push(take(&mut rest).filter(|x| *x < u64::MAX)?);
            }
            let mut index = Index::positions(items);
            index.axis = axis;
            index
        }
        _ => return None,
    };
    if !rest.is_empty() || axis.is_some_and(|n| index.check_axis(n).is_err()) {
        return None;
    }
    if reversed && flags & 0x3f == 4 {
        return None;
    }
    Some(if reversed { index.reverse() } else { index })
}

/// A count of things that take at least `each` bytes.
fn count(rest: &mut &[u8], each: u64) -> Option<usize> {
    let n = take(rest)?;
    (n <= rest.len() as u64 / each).then_some(n as usize)
}

fn put(out: &mut Vec<u8>, mut x: u64) {
    while x >= 0x80 {
        out.push(x as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut out = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        out |= part << shift;
        if byte < 0x80 {
            return Some(out);
        }
    }
    None
}
