//! Tests of strings, on their UTF-8 bytes: code points and bytes sort alike.

use std::collections::HashSet;

use lazarr_format::{Code, Error, Result};
use regex::bytes::{Regex, RegexBuilder};

use super::CmpOp;

/// A test of one string.
#[derive(Debug, Clone)]
pub(super) enum StrTest {
    /// `string op value`.
    Compare(CmpOp, String),
    /// One of these.
    OneOf(HashSet<Vec<u8>>),
    /// Begins with one of these.
    StartsWith(Vec<String>),
    /// Ends with one of these.
    EndsWith(Vec<String>),
    /// Contains a match.
    Match(Regex),
    /// Contains this, after both are put in upper case.
    Upper(String),
}

impl StrTest {
    /// `.str.contains`. `folds` is how pandas compares literals without case: by folding (its `str` types), or by putting
    /// both in upper case (`object`).
    pub(super) fn contains(pattern: &str, regex: bool, case: bool, folds: bool) -> Result<Self> {
        if !regex && !case && !folds {
            return Ok(Self::Upper(pattern.to_uppercase()));
        }
        let made = if regex { translate(pattern) } else { Ok(regex::escape(pattern)) };
        let made = made
            .and_then(|p| RegexBuilder::new(&p).case_insensitive(!case).build().map_err(|e| e.to_string()));
        made.map(Self::Match).map_err(|e| {
            let reason = e.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Error::new(Code::Expression, format!("the pattern `{pattern}` cannot be used: {reason}")).help(
                "Patterns are matched in linear time, so lookaround, backreferences and possessive repeats are not there. \
                 Use a simpler pattern, several joined with | or &, or regex=False to search for the text itself",
            )
        })
    }

    /// The answer for one string. Errors with `StringData` where it is not UTF-8 and that matters.
    pub(super) fn eval(&self, text: &[u8]) -> Result<bool> {
        Ok(match self {
            Self::Compare(op, value) => {
                let order = text.cmp(value.as_bytes());
                match op {
                    CmpOp::Eq => order.is_eq(),
                    CmpOp::Ne => order.is_ne(),
                    CmpOp::Lt => order.is_lt(),
                    CmpOp::Le => order.is_le(),
                    CmpOp::Gt => order.is_gt(),
                    CmpOp::Ge => order.is_ge(),
                }
            }
            Self::OneOf(values) => values.contains(text),
            Self::StartsWith(values) => values.iter().any(|v| text.starts_with(v.as_bytes())),
            Self::EndsWith(values) => values.iter().any(|v| text.ends_with(v.as_bytes())),
            Self::Match(regex) => regex.is_match(text),
            Self::Upper(value) => match std::str::from_utf8(text) {
                Ok(text) => text.to_uppercase().contains(value),
                Err(e) => return Err(Error::new(Code::StringData, "a string is not UTF-8").source(e)),
            },
        })
    }
}

/// A pattern of Python's `re` in the words of the regex crate, where they would read it differently.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    // Whether the last thing was a repeat (`*`, `+`, `?`, `{…}`): then `+` would make it possessive.
    let mut repeat = false;
    while let Some(c) = chars.next() {
        let was_repeat = std::mem::take(&mut repeat);
        match c {
            '\\' => match chars.next() {
                // Python has no word boundaries of these names: they are the signs themselves.
                Some(sign @ ('<' | '>')) => out.push(sign),
                Some('Z') => out.push_str("\\z"),
                Some(next) => out.extend(['\\', next]),
                None => return Err("it ends with a backslash".into()),
            },
            '*' | '+' | '?' | '}' => {
                if c == '+' && was_repeat {
                    return Err("it has a possessive repeat".into());
                }
                repeat = true;
                out.push(c);
            }
            '[' => {
                out.push('[');
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str("\\]");
                }
                // Inside, the crate knows nested classes and set operations, Python does not.
                loop {
                    match chars.next() {
                        None => return Err("a [ is not closed".into()),
                        Some(']') => break out.push(']'),
                        Some('\\') => {
                            out.push('\\');
                            out.extend(chars.next());
                        }
                        Some(sign @ ('[' | '&' | '~')) => out.extend(['\\', sign]),
                        Some(other) => out.push(other),
                    }
                }
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}
