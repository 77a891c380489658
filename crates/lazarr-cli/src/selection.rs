//! What a person types to choose along an axis: `0:100`, `::2`, `5,3,3`, `@CD3D,CD8A`.

use std::str::FromStr;

use lazarr::{Index, Result, Step};

/// A selection along one axis, before the axis is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// `start:stop:step`.
    Slice(Option<i64>, Option<i64>, Option<i64>),
    /// Positions, in this order.
    Positions(Vec<i64>),
    /// Names, in this order.
    Names(Vec<String>),
}

const FORMS: &str = "expected a slice (0:100), positions (5,3,3) or names (@CD3D,CD8A)";

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Some(names) = text.strip_prefix('@') {
            return names_of(names).map(Self::Names);
        }
        let number = |part: &str| part.trim().parse::<i64>().map_err(|_| FORMS.to_owned());
        if text.contains(':') {
            let part = |p: &str| if p.trim().is_empty() { Ok(None) } else { number(p).map(Some) };
            let parts = text.split(':').map(part).collect::<std::result::Result<Vec<_>, _>>()?;
            return match parts[..] {
                [start, stop] => Ok(Self::Slice(start, stop, None)),
                [start, stop, step] if step != Some(0) => Ok(Self::Slice(start, stop, step)),
                [_, _, _] => Err("the step of a slice cannot be zero".to_owned()),
                _ => Err(FORMS.to_owned()),
            };
        }
        text.split(',').map(number).collect::<std::result::Result<_, _>>().map(Self::Positions)
    }
}

/// Names between commas; a backslash takes the next character as it is.
fn names_of(text: &str) -> std::result::Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, names.last_mut()) {
            (',', _) => names.push(String::new()),
            ('\\', Some(name)) => match chars.next() {
                Some(c @ (',' | '\\')) => name.push(c),
                _ => return Err("after a backslash expected a comma or a backslash".to_owned()),
            },
            (c, Some(name)) => name.push(c),
            (_, None) => {}
        }
    }
    if names.iter().any(String::is_empty) {
        return Err("a name is empty: expected @NAME or @NAME,NAME".to_owned());
    }
    Ok(names)
}

impl Selection {
    /// The step along an axis of `n` items; `None` where the length is not known before something is read.
    pub(crate) fn step(&self, n: Option<u64>) -> Result<Step> {
        Ok(match (self, n) {
            (Self::Slice(start, stop, step), Some(n)) => Step::Index(Index::slice(*start, *stop, *step, n)?),
            (Self::Slice(start, stop, step), None) => Step::Slice(*start, *stop, *step),
            (Self::Positions(items), Some(n)) => Step::Index(Index::ints(items, n)?),
            (Self::Positions(items), None) => Step::Ints(items.as_slice().into()),
            (Self::Names(names), _) => Step::Labels(names.as_slice().into()),
        })
    }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
