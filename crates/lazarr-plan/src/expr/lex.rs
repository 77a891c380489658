//! The words of a query.

use std::ops::Range;

use lazarr_format::{Code, Error, Result};

/// What a word is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name; in backticks it may hold anything.
    Name(String),
    /// `and`, `or`, `not`, `in`, `True`, `False`, `None`.
    Keyword(&'static str),
    Str(String),
    Int(i128),
    Float(f64),
    /// Operators, brackets, commas, dots.
    Symbol(&'static str),
}

/// A word and the bytes of the text that it takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    pub(super) token: Token,
    pub(super) at: Range<usize>,
}

const KEYWORDS: [&str; 7] = ["and", "or", "not", "in", "True", "False", "None"];
/// Longer ones first.
const SYMBOLS: [&str; 19] =
    ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "=", "&", "|", "~", "(", ")", "[", "]", ",", ".", "-"];

/// An error at a place of the text, which it shows.
pub(super) fn refuse(text: &str, at: usize, what: impl Into<String>) -> Error {
    let start = text[..at].char_indices().rev().nth(19).map_or(0, |(i, _)| i);
    let rest: String = text[at..].chars().take(20).collect();
    let place = text[..at].chars().count() + 1;
    let shown = format!("{}⟨here⟩{rest}", &text[start..at]);
    Error::new(Code::Expression, format!("the query is not understood: {}", what.into()))
        .found(format!("`{shown}`, at character {place}"))
}

/// Cuts a text into words.
pub(super) fn words(text: &str) -> Result<Vec<Word>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (token, end) = word(text, at, c)?;
        out.push(Word { token, at: at..end });
        at = end;
    }
    Ok(out)
}

fn word(text: &str, at: usize, c: char) -> Result<(Token, usize)> {
    if c == '`' {
        let Some(len) = text[at + 1..].find('`').filter(|&n| n > 0) else {
            return Err(refuse(text, at, "a name in backticks is empty or not closed"));
        };
        return Ok((Token::Name(text[at + 1..at + 1 + len].to_owned()), at + len + 2));
    }
    if c == '"' || c == '\'' {
        return string(text, at, c);
    }
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    if c.is_ascii_digit() || (c == '.' && digit(text[at + 1..].chars().next())) {
        return number(text, at);
    }
    if c.is_alphabetic() || c == '_' {
        let end =
            text[at..].find(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(text.len(), |n| at + n);
        let name = &text[at..end];
        let token = match KEYWORDS.iter().find(|k| **k == name) {
            Some(keyword) => Token::Keyword(keyword),
            None => Token::Name(name.to_owned()),
        };
        return Ok((token, end));
    }
    match SYMBOLS.iter().find(|s| text[at..].starts_with(**s)) {
        Some(symbol) => Ok((Token::Symbol(symbol), at + symbol.len())),
        None => Err(refuse(text, at, format!("`{c}` means nothing here"))
            .help("A name with unusual characters stands in backticks: `n-genes` > 500")),
    }
}

/// A string with Python's common escapes.
fn string(text: &str, at: usize, quote: char) -> Result<(Token, usize)> {
    let mut out = String::new();
    let mut chars = text[at + 1..].char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((Token::Str(out), at + i + 2)),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c @ ('\\' | '\'' | '"')) => out.push(c),
                _ => {
                    return Err(refuse(
                        text,
                        at + 1 + i,
                        "only \\n, \\t, \\r, \\\\, \\' and \\\" are escapes",
                    ));
                }
            },
            c => out.push(c),
        }
    }
    Err(refuse(text, at, "the string is not closed"))
}

fn number(text: &str, at: usize) -> Result<(Token, usize)> {
    let mut end = at;
    let mut float = false;
    let bytes = text.as_bytes();
    while let Some(&b) = bytes.get(end) {
        match b {
            b'0'..=b'9' | b'_' => {}
            b'.' => float = true,
            b'e' | b'E' => {
                float = true;
                if matches!(bytes.get(end + 1), Some(b'+' | b'-')) {
                    end += 1;
                }
            }
            _ => break,
        }
        end += 1;
    }
    let digits = text[at..end].replace('_', "");
    let bad = || refuse(text, at, format!("`{}` is not a number", &text[at..end]));
    if text[end..].starts_with(|c: char| c.is_alphanumeric()) {
        return Err(bad());
    }
    let token = if float {
        Token::Float(digits.parse().map_err(|_| bad())?)
    } else {
        Token::Int(digits.parse().map_err(|_| bad())?)
    };
    Ok((token, end))
}
