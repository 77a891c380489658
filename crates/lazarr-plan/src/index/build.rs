//! Making an index: every constructor picks the smallest form that fits.

use std::sync::Arc;

use lazarr_format::{Code, Error, Result};

use super::bitmap::{self, Bits};
use super::list::{Items, List};
use super::{EMPTY, Form, Index, Intervals};

/// No composed index may need more bytes than this: the lengths of axes are the store's word.
const MAX_BYTES: u64 = 8 << 30;

/// Bytes that each form would take.
enum Smallest {
    Intervals,
    Bitmap,
    Items,
}

fn smallest(runs: u64, items: u64, first: u64, last: u64) -> Smallest {
    let intervals = runs.saturating_mul(24);
    let bits = (last - first) / 8 + (last - first) / 64 + 16;
    let list = items.saturating_mul(if u32::try_from(last).is_ok() { 4 } else { 8 });
    if intervals <= bits.min(list) {
        Smallest::Intervals
    } else if bits <= list {
        Smallest::Bitmap
    } else {
        Smallest::Items
    }
}

impl Index {
    pub(super) fn from_form(form: Form, reversed: bool, axis: Option<u64>) -> Self {
        let reversed = reversed && form.len() > 1 && !matches!(form, Form::List(_));
        Self { form, reversed, axis }
    }

    /// The whole axis.
    pub fn all(n: u64) -> Self {
        Self::from_form(Form::Range { start: 0, step: 1, len: n }, false, Some(n))
    }

    /// Nothing of an axis of `n` items.
    pub fn none(n: u64) -> Self {
        Self::from_form(EMPTY, false, Some(n))
    }

    /// Python's `start:stop:step` on an axis of `n` items: negative bounds count from the end, and what lies outside is
    /// clipped. Errors with `IndexKind` where the step is zero.
    pub fn slice(start: Option<i64>, stop: Option<i64>, step: Option<i64>, n: u64) -> Result<Self> {
        let (n, step) = (i128::from(n), i128::from(step.unwrap_or(1)));
        if step == 0 {
            return Err(Error::new(Code::IndexKind, "the step of a slice cannot be zero"));
        }
        let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
        let bound = |x: Option<i64>, default: i128| {
            x.map_or(default, |x| {
                let x = i128::from(x);
                (if x < 0 { x + n } else { x }).clamp(low, high)
            })
        };
        let (first, end) = if step > 0 {
            (bound(start, low), bound(stop, high))
        } else {
            (bound(start, high), bound(stop, low))
        };
        let distance = if step > 0 { end - first } else { first - end };
        let len = if distance <= 0 { 0 } else { (distance - 1) / step.abs() + 1 };
        let form = if len == 0 {
            EMPTY
        } else {
            let start = first.min(first + step * (len - 1)) as u64;
            Form::Range {
                start,
                step: if len == 1 { 1 } else { step.unsigned_abs() as u64 },
                len: len as u64,
            }
        };
        Ok(Self::from_form(form, step < 0, Some(n as u64)))
    }

    /// Positions on an axis of `n` items; negative ones count from the end. Errors with `IndexOutOfRange`, which names
    /// the first that does not fit.
    pub fn ints(items: &[i64], n: u64) -> Result<Self> {
        let mut out = Vec::with_capacity(items.len());
        for (i, &x) in items.iter().enumerate() {
            let at = if x < 0 { i128::from(x) + i128::from(n) } else { i128::from(x) };
            if at < 0 || at >= i128::from(n) {
                return Err(Error::new(
                    Code::IndexOutOfRange,
                    format!("index {x} (number {i} of {}) is out of bounds for an axis of {n}", items.len()),
                ));
            }
            out.push(at as u64);
        }
        Ok(Self::positions(out).on(n))
    }

    /// The places where a mask is true. Errors with `IndexOutOfRange` where its length is not `n`, the axis'.
    pub fn mask(mask: &[bool], n: u64) -> Result<Self> {
        check_mask(mask.len() as u64, n)?;
        Ok(Self::from_words(bitmap::pack(mask), 0, Some(n)))
    }

    /// The places where a packed mask of `len` bits is set, the lowest bit of the first word first; bits beyond are
    /// ignored. Errors with `IndexOutOfRange` where `len` is not `n`, the axis', or is not what the words hold.
    pub fn mask_bits(mut words: Vec<u64>, len: u64, n: u64) -> Result<Self> {
        check_mask(len, n)?;
        if words.len() as u64 != len.div_ceil(64) {
            return Err(Error::new(Code::IndexOutOfRange, "the mask has the wrong number of words")
                .expected(len.div_ceil(64).to_string())
                .found(words.len().to_string()));
        }
        if let Some(last) = words.last_mut().filter(|_| !len.is_multiple_of(64)) {
            *last &= (1 << (len % 64)) - 1;
        }
        Ok(Self::from_words(words, 0, Some(n)))
    }

    /// These positions, in this order, repeats included. The caller has checked them against the axis; see
    /// [`Index::with_axis`].
    pub fn positions(mut items: Vec<u64>) -> Self {
        if items.windows(2).all(|w| w[0] < w[1]) {
            return Self::from_sorted(items, None);
        }
        if items.windows(2).all(|w| w[0] > w[1]) {
            items.reverse();
            return Self::from_sorted(items, None).reverse();
        }
        Self::from_form(Form::List(Arc::new(List::new(items))), false, None)
    }

    pub(super) fn on(mut self, n: u64) -> Self {
        self.axis = Some(n);
        self
    }

    /// The other way round. For the forms that ascend.
    pub(super) fn reverse(self) -> Self {
        let reversed = !self.reversed;
        Self::from_form(self.form, reversed, self.axis)
    }

    /// From strictly ascending positions.
    pub(super) fn from_sorted(items: Vec<u64>, axis: Option<u64>) -> Self {
        let (Some(&first), Some(&last)) = (items.first(), items.last()) else {
            return Self::from_form(EMPTY, false, axis);
        };
        let len = items.len() as u64;
        if let Some(form) = evenly(items.iter().copied(), first, last, len) {
            return Self::from_form(form, false, axis);
        }
        let runs = 1 + items.windows(2).filter(|w| w[0] + 1 != w[1]).count() as u64;
        let form = match smallest(runs, len, first, last) {
            Smallest::Intervals => {
                let parts = items.chunk_by(|a, b| a + 1 == *b).map(|c| (c[0], c[c.len() - 1] + 1));
                Form::Intervals(Arc::new(Intervals::new(parts)))
            }
            Smallest::Bitmap => {
                let base = first / 64 * 64;
                let mut words = vec![0; ((last - base) / 64 + 1) as usize];
                for x in items {
                    words[((x - base) / 64) as usize] |= 1 << (x % 64);
                }
                Form::Bitmap { base, bits: Arc::new(Bits::new(words)) }
            }
            Smallest::Items => Form::Sorted(Arc::new(Items::new(items))),
        };
        Self::from_form(form, false, axis)
    }

    /// From ascending intervals that do not overlap; neighbours that touch are joined.
    pub(super) fn from_intervals(parts: impl Iterator<Item = (u64, u64)>, axis: Option<u64>) -> Self {
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (start, end) in parts.filter(|p| p.0 < p.1) {
            match joined.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => joined.push((start, end)),
            }
        }
        let (Some(&(first, _)), Some(&(_, end))) = (joined.first(), joined.last()) else {
            return Self::from_form(EMPTY, false, axis);
        };
        let runs = joined.len() as u64;
        let len = joined.iter().map(|p| p.1 - p.0).sum();
        if runs == 1 {
            return Self::from_form(Form::Range { start: first, step: 1, len }, false, axis);
        }
        match smallest(runs, len, first, end - 1) {
            Smallest::Intervals => {
                Self::from_form(Form::Intervals(Arc::new(Intervals::new(joined.into_iter()))), false, axis)
            }
            Smallest::Bitmap => {
                let base = first / 64 * 64;
                let mut words = vec![0; ((end - 1 - base) / 64 + 1) as usize];
                for (a, b) in joined {
                    bitmap::set_range(&mut words, a - base..b - base);
                }
                Self::from_words(words, base, axis)
            }
            Smallest::Items => Self::from_sorted(joined.into_iter().flat_map(|p| p.0..p.1).collect(), axis),
        }
    }

    /// From bits counted from `base`.
    pub(super) fn from_words(mut words: Vec<u64>, base: u64, axis: Option<u64>) -> Self {
        let (len, runs) = bitmap::count(&words);
        let (Some(from), Some(to)) =
            (words.iter().position(|w| *w != 0), words.iter().rposition(|w| *w != 0))
        else {
            return Self::from_form(EMPTY, false, axis);
        };
        let base = base + from as u64 * 64;
        words.truncate(to + 1);
        words.drain(..from);
        let first = base + u64::from(words[0].trailing_zeros());
        let last = base + words.len() as u64 * 64 - 1 - u64::from(words[words.len() - 1].leading_zeros());
        let bits = Bits::new(words);
        let form = evenly(bits.iter(false).map(|p| base + p), first, last, len).unwrap_or_else(|| {
            match smallest(runs, len, first, last) {
                Smallest::Intervals => {
                    let mut parts = Vec::with_capacity(runs as usize);
                    let walked = bits.runs(0..bits.len(), &mut |src, _, len| {
                        parts.push((base + src, base + src + len));
                        Ok(())
                    });
                    debug_assert!(walked.is_ok(), "collecting does not fail");
                    Form::Intervals(Arc::new(Intervals::new(parts.into_iter())))
                }
                Smallest::Bitmap => Form::Bitmap { base, bits: Arc::new(bits) },
                Smallest::Items => {
                    Form::Sorted(Arc::new(Items::new(bits.iter(false).map(|p| base + p).collect())))
                }
            }
        });
        Self::from_form(form, false, axis)
    }
}

impl Intervals {
    /// From intervals that are as they must be.
    pub(super) fn new(parts: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut len = 0;
        let parts = parts
            .map(|(start, end)| {
                let dst = len;
                len += end - start;
                (start, end, dst)
            })
            .collect();
        Self { parts, len }
    }
}

/// The range that these ascending positions are, if they are one.
fn evenly(mut items: impl Iterator<Item = u64>, first: u64, last: u64, len: u64) -> Option<Form> {
    if len == 1 {
        return Some(Form::Range { start: first, step: 1, len });
    }
    let step = (last - first) / (len - 1);
    if step * (len - 1) != last - first {
        return None;
    }
    let mut expected = first;
    let even = items.all(|x| {
        let same = x == expected;
        expected = expected.saturating_add(step);
        same
    });
    even.then_some(Form::Range { start: first, step, len })
}

fn check_mask(len: u64, n: u64) -> Result<()> {
    if len == n {
        return Ok(());
    }
    Err(Error::new(Code::IndexOutOfRange, "the mask does not have the length of the axis")
        .expected(n.to_string())
        .found(len.to_string()))
}

/// Takes ascending runs and keeps them in whichever form is smaller, without knowing them beforehand.
pub(super) enum Sink {
    Items(Vec<u64>),
    Bits { base: u64, words: Vec<u64> },
}

impl Sink {
    /// For at most `items` positions in `first..end`.
    pub(super) fn new(items: u64, first: u64, end: u64) -> Result<Self> {
        let base = first / 64 * 64;
        let words = (end - base).div_ceil(64);
        if items.min(words) > MAX_BYTES / 8 {
            return Err(Error::new(Code::MemoryLimit, "the selection is too large to be written down")
                .found(format!("{items} positions without a pattern"))
                .help("Select contiguous ranges, or fewer items"));
        }
        Ok(if items <= words {
            Self::Items(Vec::with_capacity(items as usize))
        } else {
            Self::Bits { base, words: vec![0; words as usize] }
        })
    }

    pub(super) fn push(&mut self, start: u64, len: u64) {
        match self {
            Self::Items(items) => items.extend(start..start + len),
            Self::Bits { base, words } if len == 1 => {
                words[((start - *base) / 64) as usize] |= 1 << (start % 64);
            }
            Self::Bits { base, words } => bitmap::set_range(words, start - *base..start - *base + len),
        }
    }

    pub(super) fn finish(self, axis: Option<u64>) -> Index {
        match self {
            Self::Items(items) => Index::from_sorted(items, axis),
            Self::Bits { base, words } => Index::from_words(words, base, axis),
        }
    }
}
