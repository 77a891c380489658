//! An index in a few words, for plans and messages.

use std::fmt;

use super::{Form, Index};

/// A number with thousands separated: `1,234,567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

impl fmt::Display for Index {
    /// `0:100`, `::2`, `1,000 in 37 intervals`, `25,000 of 1,000,000 (mask)`, `[5, 3, 3, …] (1,000)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = thousands(self.len());
        let turned = if self.reversed { ", reversed" } else { "" };
        match &self.form {
            Form::Range { len: 0, .. } => f.write_str("[]"),
            Form::Range { start, step: 1, len } if !self.reversed => write!(f, "{start}:{}", start + len),
            Form::Range { start, step, len } => {
                let last = start + step * (len - 1);
                let (minus, from, to) = if self.reversed {
                    let to = start.checked_sub(*step).map(|x| x.to_string());
                    ("-", (self.axis != Some(last + 1)).then_some(last), to)
                } else {
                    let to = last.checked_add(*step).filter(|end| self.axis.is_none_or(|n| *end < n));
                    ("", (*start != 0).then_some(*start), to.map(|x| x.to_string()))
                };
                let from = from.map(|x| x.to_string()).unwrap_or_default();
                write!(f, "{from}:{}:{minus}{step}", to.unwrap_or_default())
            }
            Form::Intervals(x) => write!(f, "{len} in {} intervals{turned}", thousands(x.parts.len() as u64)),
            Form::Bitmap { base, bits } => {
                let n = self.axis.unwrap_or(base + bits.len());
                write!(f, "{len} of {} (mask{turned})", thousands(n))
            }
            Form::Sorted(_) | Form::List(_) => {
                let many = self.len() > 6;
                let shown: Vec<_> =
                    self.iter().take(if many { 3 } else { 6 }).map(|x| x.to_string()).collect();
                write!(f, "[{}{}]", shown.join(", "), if many { ", …" } else { "" })?;
                if many { write!(f, " ({len})") } else { Ok(()) }
            }
        }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({self})")
    }
}
