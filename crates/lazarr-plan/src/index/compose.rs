//! A view of a view: `result[i] = outer[inner[i]]`, without writing positions down where the forms allow it.
//!
//! Two ascending forms make an ascending one; one that is reversed reverses the result, and turns the positions of the
//! inner one round first. So only pairs of ascending forms are worked out here.

use std::sync::Arc;

use lazarr_format::{Code, Error, Result};

use super::bitmap::{self, Bits};
use super::build::Sink;
use super::list::Items;
use super::{Form, Index, Intervals};

impl Index {
    /// The index of a view of this view: `result[i] = self[inner[i]]`. Errors with `IndexOutOfRange` where `inner` goes
    /// beyond this index, and with `MemoryLimit` where the result has no pattern and would take gigabytes.
    pub fn compose(&self, inner: &Self) -> Result<Self> {
        let len = self.len();
        inner.check_axis(len)?;
        if inner.is_empty() {
            return Ok(Self::from_form(super::EMPTY, false, self.axis));
        }
        if !matches!(self.form, Form::List(_)) && !matches!(inner.form, Form::List(_)) {
            let turned = if self.reversed { mirror(&inner.form, len) } else { inner.form.clone() };
            let mut out = ascending(&self.form, &turned)?;
            out.axis = self.axis;
            return Ok(if self.reversed == inner.reversed { out } else { out.reverse() });
        }
        let mut items = Vec::with_capacity(inner.len() as usize);
        for i in inner {
            items.push(
                self.get(i)
                    .ok_or_else(|| Error::new(Code::Internal, "a checked position is out of range"))?,
            );
        }
        let mut out = Self::positions(items);
        out.axis = self.axis;
        Ok(out)
    }

    /// The same positions, ascending and each once: what is read where the index repeats or jumps.
    #[must_use]
    pub fn unique_sorted(&self) -> Self {
        let Form::List(list) = &self.form else {
            return Self::from_form(self.form.clone(), false, self.axis);
        };
        let mut items: Vec<u64> = (0..).map_while(|i| list.by_source(i)).map(|p| p.0).collect();
        items.dedup();
        Self::from_sorted(items, self.axis)
    }

    /// How to expand what was read with [`Index::unique_sorted`]:
    /// `self.unique_sorted().compose(&self.expansion())` is `self`.
    #[must_use]
    pub fn expansion(&self) -> Self {
        let len = self.len();
        let Form::List(list) = &self.form else {
            return Self::from_form(Form::Range { start: 0, step: 1, len }, self.reversed, Some(len));
        };
        let mut out = vec![0; len as usize];
        let (mut rank, mut last) = (0, None);
        for (src, dst) in (0..).map_while(|i| list.by_source(i)) {
            if last.is_some_and(|x| x != src) {
                rank += 1;
            }
            last = Some(src);
            out[dst as usize] = rank;
        }
        Self::positions(out).on(rank + u64::from(last.is_some()))
    }
}

/// `outer[inner]` of two ascending forms, `inner` within `outer` and not empty.
fn ascending(outer: &Form, inner: &Form) -> Result<Index> {
    match (outer, inner) {
        (_, Form::Range { start, step: 1, len }) => {
            Ok(Index::from_form(window(outer, *start, start + len), false, None).smaller())
        }
        (Form::Range { start, step: 1, .. }, _) => Ok(Index::from_form(shift(inner, *start), false, None)),
        (Form::Range { start, step, .. }, Form::Range { start: s, step: t, len }) => {
            // Both the step and the last position are below the last position of `outer`: no overflow, save for one item.
            let step = if *len == 1 { 1 } else { step * t };
            Ok(Index::from_form(
                Form::Range { start: start + outer_offset(outer, *s), step, len: *len },
                false,
                None,
            ))
        }
        (Form::Intervals(_), Form::Intervals(b)) => {
            let mut parts = Vec::new();
            for &(from, to, _) in &b.parts {
                places(outer, from, to, &mut |start, len| parts.push((start, start + len)));
            }
            Ok(Index::from_intervals(parts.into_iter(), None))
        }
        (Form::Bitmap { base, bits }, Form::Intervals(b)) => {
            let mut words = vec![0; bits.words().len()];
            for &(from, to, _) in &b.parts {
                if let (Some(x), Some(y)) = (bits.select(from), bits.select(to - 1)) {
                    bitmap::copy_range(&mut words, bits.words(), x..y + 1);
                }
            }
            Ok(Index::from_words(words, *base, None))
        }
        _ => {
            let (first, end) = (outer.get(0).unwrap_or(0), outer.end().unwrap_or(0));
            let mut sink = Sink::new(inner.len(), first, end)?;
            if let Form::Bitmap { base, bits } = outer {
                pick(*base, bits, &Index::from_form(inner.clone(), false, None), &mut sink);
            } else {
                inner.runs(0..u64::MAX, &mut |run| {
                    places(outer, run.src, run.src + run.len, &mut |start, len| sink.push(start, len));
                    Ok(())
                })?;
            }
            Ok(sink.finish(None))
        }
    }
}

fn outer_offset(outer: &Form, place: u64) -> u64 {
    match outer {
        Form::Range { step, .. } => step * place,
        _ => place,
    }
}

/// Walks the words of a mask and takes the ones whose places `inner` names.
fn pick(base: u64, bits: &Bits, inner: &Index, sink: &mut Sink) {
    let mut wanted = inner.iter();
    let Some(mut want) = wanted.next() else { return };
    let mut before = 0;
    for (i, &word) in bits.words().iter().enumerate() {
        let end = before + u64::from(word.count_ones());
        let mut word = word;
        while want < end {
            while before < want {
                word &= word - 1;
                before += 1;
            }
            sink.push(base + i as u64 * 64 + u64::from(word.trailing_zeros()), 1);
            match wanted.next() {
                Some(next) => want = next,
                None => return,
            }
        }
        before = end;
    }
}

/// The sources at the places `from..to` of an ascending form, as runs.
fn places(form: &Form, from: u64, to: u64, f: &mut dyn FnMut(u64, u64)) {
    match form {
        Form::Range { start, step: 1, .. } => f(start + from, to - from),
        Form::Range { start, step, .. } => (from..to).for_each(|i| f(start + step * i, 1)),
        Form::Intervals(x) => {
            let first = x.parts.partition_point(|p| p.2 <= from).saturating_sub(1);
            for &(start, end, dst) in x.parts[first..].iter().take_while(|p| p.2 < to) {
                let (a, b) = (from.max(dst), to.min(dst + (end - start)));
                f(start + (a - dst), b - a);
            }
        }
        _ => (from..to).filter_map(|i| form.get(i)).for_each(|src| f(src, 1)),
    }
}

/// The places `from..to` of an ascending form; at least one.
fn window(form: &Form, from: u64, to: u64) -> Form {
    if from == 0 && to == form.len() {
        return form.clone();
    }
    match form {
        Form::Range { start, step, .. } => Form::Range {
            start: start + step * from,
            step: if to - from == 1 { 1 } else { *step },
            len: to - from,
        },
        Form::Intervals(_) => {
            let mut parts = Vec::new();
            places(form, from, to, &mut |start, len| parts.push((start, start + len)));
            Form::Intervals(Arc::new(Intervals::new(parts.into_iter())))
        }
        Form::Bitmap { base, bits } => {
            let mut words = vec![0; bits.words().len()];
            if let (Some(x), Some(y)) = (bits.select(from), bits.select(to - 1)) {
                bitmap::copy_range(&mut words, bits.words(), x..y + 1);
            }
            Form::Bitmap { base: *base, bits: Arc::new(Bits::new(words)) }
        }
        Form::Sorted(x) => {
            let items = (from as usize..to as usize).map(|i| x.at(i)).collect();
            Form::Sorted(Arc::new(Items::new(items)))
        }
        Form::List(_) => form.clone(), // not ascending: never asked
    }
}

/// All sources moved up by `by`.
fn shift(form: &Form, by: u64) -> Form {
    match form {
        Form::Range { start, step, len } => Form::Range { start: start + by, step: *step, len: *len },
        Form::Intervals(x) => {
            Form::Intervals(Arc::new(Intervals::new(x.parts.iter().map(|p| (p.0 + by, p.1 + by)))))
        }
        Form::Bitmap { base, bits } => Form::Bitmap { base: base + by, bits: bits.clone() },
        Form::Sorted(x) => Form::Sorted(Arc::new(Items::new((0..x.len()).map(|i| x.at(i) + by).collect()))),
        Form::List(_) => form.clone(), // not ascending: never asked
    }
}

/// Every source `x` as `len - 1 - x`, ascending again.
fn mirror(form: &Form, len: u64) -> Form {
    match form {
        Form::Range { step, len: n, .. } => {
            Form::Range { start: form.end().map_or(0, |end| len - end), step: *step, len: *n }
        }
        Form::Intervals(x) => {
            let parts = x.parts.iter().rev().map(|p| (len - p.1, len - p.0));
            Form::Intervals(Arc::new(Intervals::new(parts)))
        }
        Form::Bitmap { base, bits } => {
            // The unused bits of the last word come first when turned; they may lie below zero, so they are shifted out.
            let mut words = bitmap::mirror(bits.words());
            let unused = words.first().map_or(0, |w| w.trailing_zeros());
            if unused > 0 {
                for i in 0..words.len() {
                    let next = words.get(i + 1).copied().unwrap_or(0);
                    words[i] = words[i] >> unused | next.checked_shl(64 - unused).unwrap_or(0);
                }
            }
            let base = len + u64::from(unused) - (base + bits.len());
            Form::Bitmap { base, bits: Arc::new(Bits::new(words)) }
        }
        Form::Sorted(x) => {
            Form::Sorted(Arc::new(Items::new((0..x.len()).rev().map(|i| len - 1 - x.at(i)).collect())))
        }
        Form::List(_) => form.clone(), // not ascending: never asked
    }
}

impl Index {
    /// The smallest form again, after a window of a larger one was taken.
    fn smaller(self) -> Self {
        match &self.form {
            Form::Range { .. } | Form::List(_) => self,
            Form::Intervals(x) => Self::from_intervals(x.parts.iter().map(|p| (p.0, p.1)), self.axis),
            Form::Bitmap { base, bits } => Self::from_words(bits.words().to_vec(), *base, self.axis),
            Form::Sorted(_) => Self::from_sorted(self.to_vec(), self.axis),
        }
    }
}
