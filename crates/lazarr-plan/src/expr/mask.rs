//! Three-valued masks: true, false and missing, one bit each way.

use crate::index::Index;
use lazarr_format::Result;

/// The answer of a predicate for a block of rows. Missing answers follow Kleene's logic through `&`, `|`, `^` and `~`, as
/// pandas' `boolean` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask3 {
    len: u64,
    /// Bits that are true; zero where the answer is missing, and beyond the length.
    values: Vec<u64>,
    /// Bits that are missing, where any is.
    na: Option<Vec<u64>>,
}

/// The used bits of word `i` of a mask of `len`.
fn used(len: u64, i: usize) -> u64 {
    let left = len.saturating_sub(i as u64 * 64);
    if left >= 64 { u64::MAX } else { (1 << left) - 1 }
}

impl Mask3 {
    /// A mask of `len` rows without missing answers.
    pub(super) fn from_fn(len: usize, mut f: impl FnMut(usize) -> bool) -> Self {
        let values = (0..len.div_ceil(64))
            .map(|w| (w * 64..len.min(w * 64 + 64)).fold(0, |word, i| word | u64::from(f(i)) << (i % 64)))
            .collect();
        Self { len: len as u64, values, na: None }
    }

    /// As [`Mask3::from_fn`], where `f` may fail.
    pub(super) fn try_from_fn(len: usize, mut f: impl FnMut(usize) -> Result<bool>) -> Result<Self> {
        let mut failed = None;
        let mask = Self::from_fn(len, |i| {
            f(i).unwrap_or_else(|e| {
                failed.get_or_insert(e);
                false
            })
        });
        failed.map_or(Ok(mask), Err)
    }

    /// False for every row: something to put answers into with [`Mask3::place`].
    pub fn none(len: u64) -> Self {
        Self { len, values: vec![0; len.div_ceil(64) as usize], na: None }
    }

    /// Puts the answers of a block where this mask has none yet, from row `first` on. What lies beyond the end is dropped.
    pub fn place(&mut self, first: u64, block: &Self) {
        let put = |to: &mut [u64], from: &[u64]| {
            let (at, shift) = ((first / 64) as usize, first % 64);
            for (i, &word) in from.iter().enumerate() {
                if let Some(out) = to.get_mut(at + i) {
                    *out |= word << shift;
                }
                if let Some(out) = to.get_mut(at + i + 1).filter(|_| shift > 0) {
                    *out |= word >> (64 - shift);
                }
            }
        };
        put(&mut self.values, &block.values);
        if let Some(na) = &block.na {
            let words = self.values.len();
            put(self.na.get_or_insert_with(|| vec![0; words]), na);
        }
    }

    /// From words whose bits beyond the length are zero.
    pub(super) fn from_words(len: usize, values: Vec<u64>) -> Self {
        Self { len: len as u64, values, na: None }
    }

    /// No rows: something to append to.
    pub fn empty() -> Self {
        Self { len: 0, values: Vec::new(), na: None }
    }

    /// Rows.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The answer for a row: `None` is missing.
    pub fn get(&self, i: u64) -> Option<bool> {
        let bit = |words: &[u64]| words.get((i / 64) as usize).is_some_and(|w| w >> (i % 64) & 1 == 1);
        (!self.na.as_deref().is_some_and(bit)).then(|| bit(&self.values))
    }

    /// Whether any answer is missing.
    pub fn has_na(&self) -> bool {
        self.na.is_some()
    }

    /// True rows.
    pub fn count(&self) -> u64 {
        self.values.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// What the mask selects: a missing answer does not.
    #[must_use]
    pub fn selected(mut self) -> Self {
        self.na = None;
        self
    }

    /// The true rows, 64 a word, the first in the lowest bit of the first word.
    pub fn words(&self) -> &[u64] {
        &self.values
    }

    /// The true rows as an index of an axis of `n` rows. Errors with `IndexOutOfRange` where the mask has another length.
    pub fn into_index(self, n: u64) -> Result<Index> {
        Index::mask_bits(self.values, self.len, n)
    }

    /// Puts the rows of another block behind these.
    pub fn append(&mut self, other: &Self) {
        if let (None, Some(_)) = (&self.na, &other.na) {
            self.na = Some(vec![0; self.values.len()]);
        }
        let words = (self.len + other.len).div_ceil(64) as usize;
        let join = |to: &mut Vec<u64>, from: &[u64]| {
            let shift = self.len % 64;
            for &w in from {
                match to.last_mut().filter(|_| shift > 0) {
                    Some(last) => {
                        *last |= w << shift;
                        to.push(w >> (64 - shift));
                    }
                    None => to.push(w),
                }
            }
            to.truncate(words);
        };
        join(&mut self.values, &other.values);
        if let Some(na) = &mut self.na {
            let none = Vec::new();
            join(na, other.na.as_ref().unwrap_or(&none));
            na.resize(words, 0);
        }
        self.len += other.len;
    }

    /// The answer where rows are missing: `at(i)` says whether row `i` is.
    pub(super) fn at_missing(mut self, at: &Self, answer: Option<bool>) -> Self {
        match answer {
            Some(true) => self.values.iter_mut().zip(&at.values).for_each(|(v, m)| *v |= m),
            Some(false) => self.values.iter_mut().zip(&at.values).for_each(|(v, m)| *v &= !m),
            None => {
                self.values.iter_mut().zip(&at.values).for_each(|(v, m)| *v &= !m);
                let mut na = at.values.clone();
                if let Some(other) = &self.na {
                    na.iter_mut().zip(other).for_each(|(a, b)| *a |= b);
                }
                self.na = Some(na).filter(|w| w.iter().any(|x| *x != 0));
                return self;
            }
        }
        if let Some(na) = &mut self.na {
            na.iter_mut().zip(&at.values).for_each(|(a, m)| *a &= !m);
        }
        self
    }

    /// Every answer missing.
    pub(super) fn all_na(len: usize) -> Self {
        let ones = Self::from_fn(len, |_| true);
        Self { values: vec![0; ones.values.len()], na: (len > 0).then_some(ones.values), len: ones.len }
    }

    /// Joins two masks of one length word by word: `f(true a, false a, true b, false b)` gives true and false bits.
    fn join(&self, other: &Self, f: impl Fn(u64, u64, u64, u64) -> (u64, u64)) -> Self {
        let sides = |m: &Self, i: usize| {
            let t = m.values.get(i).copied().unwrap_or(0);
            let na = m.na.as_ref().and_then(|n| n.get(i).copied()).unwrap_or(0);
            (t, !(t | na) & used(m.len, i))
        };
        let len = self.len.min(other.len);
        let (mut values, mut na) =
            (Vec::with_capacity(self.values.len()), Vec::with_capacity(self.values.len()));
        for i in 0..len.div_ceil(64) as usize {
            let ((ta, fa), (tb, fb)) = (sides(self, i), sides(other, i));
            let (t, f) = f(ta, fa, tb, fb);
            values.push(t & used(len, i));
            na.push(!(t | f) & used(len, i));
        }
        Self { len, values, na: Some(na).filter(|w| w.iter().any(|x| *x != 0)) }
    }

    /// `&`: false where either is, missing where that decides.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.join(other, |ta, fa, tb, fb| (ta & tb, fa | fb))
    }

    /// `|`: true where either is, missing where that decides.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.join(other, |ta, fa, tb, fb| (ta | tb, fa & fb))
    }

    /// `^`: missing where either is.
    #[must_use]
    pub fn xor(&self, other: &Self) -> Self {
        self.join(other, |ta, fa, tb, fb| (ta & fb | fa & tb, ta & tb | fa & fb))
    }

    /// `~`: missing stays missing.
    #[must_use]
    pub fn negated(&self) -> Self {
        self.join(self, |t, f, _, _| (f, t))
    }
}
