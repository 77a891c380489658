//! Standard output, in one place: every line is escaped, since names come from stores that nobody vouches for.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use serde_json::Value;

use crate::exit::Failure;

/// Where results go.
pub(crate) struct Out<'w> {
    to: BufWriter<Box<dyn Write + 'w>>,
}

impl<'w> Out<'w> {
    pub(crate) fn new(to: impl Write + 'w) -> Self {
        Self { to: BufWriter::new(Box::new(to)) }
    }

    /// One line. Control characters in it, line ends too, are escaped.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let text = clean(text);
        self.to.write_all(text.trim_end().as_bytes())?;
        self.to.write_all(b"\n")?;
        Ok(())
    }

    /// A document, indented. Inside of strings JSON may hold characters that steer a terminal: they are escaped as JSON
    /// does it.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        self.json_text(&text)?;
        self.to.write_all(b"\n")?;
        Ok(())
    }

    /// A part of a document, see [`Out::json`].
    pub(crate) fn json_text(&mut self, text: &str) -> Result<(), Failure> {
        let mut safe = String::with_capacity(text.len());
        for c in text.chars() {
            if steers(c) && c != '\n' {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(safe, "\\u{unit:04x}");
                }
            } else {
                safe.push(c);
            }
        }
        Ok(self.to.write_all(safe.as_bytes())?)
    }

    /// What is no text for people: bytes as they are.
    pub(crate) fn raw(&mut self) -> &mut dyn Write {
        &mut self.to
    }

    /// Hands everything on.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        Ok(self.to.flush()?)
    }
}

/// Whether a character steers a terminal: control characters, and the marks that turn the direction of writing.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text that steers no terminal.
pub(crate) fn clean(text: &str) -> String {
    let text = lazarr::format::escape(text);
    if !text.chars().any(steers) {
        return text;
    }
    text.chars().map(|c| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}
