//! Text → JSON object.

use serde_json::{Map, Value};

use super::Limits;
use super::doc::describe;
use crate::{Code, Error, Result};

/// The JSON object in these bytes; `key` is named in the error.
///
/// Python's `json` writes the bare words `NaN`, `Infinity` and `-Infinity`, which are not JSON: they are taken as the
/// strings that Zarr means by them.
pub fn parse_json(bytes: &[u8], key: &str, limits: &Limits) -> Result<Map<String, Value>> {
    let bad = |message: &str| Error::new(Code::MetadataJson, message).key(key).expected("a JSON object");
    if bytes.len() > limits.metadata_bytes {
        return Err(Error::new(Code::MetadataLimit, "the metadata is too large")
            .key(key)
            .expected(format!("at most {} bytes", limits.metadata_bytes))
            .found(format!("{} bytes", bytes.len())));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(bad("the metadata is empty").found(format!("{} bytes", bytes.len())));
    }
    let parsed = serde_json::from_slice::<Value>(bytes).or_else(|e| match quote_bare_floats(bytes) {
        Some(quoted) => serde_json::from_slice::<Value>(&quoted),
        None => Err(e),
    });
    match parsed {
        Ok(value) => {
            check_depth(&value, limits.json_depth, key)?;
            match value {
                Value::Object(map) => Ok(map),
                other => Err(bad("the metadata is not an object").found(describe(&other))),
            }
        }
        Err(e) if e.is_eof() => {
            Err(bad("the metadata ends early").found(format!("{} bytes, truncated", bytes.len())).source(e))
        }
        Err(e) => Err(bad("the metadata is not JSON")
            .found(format!("{} bytes of something else", bytes.len()))
            .source(e)),
    }
}

fn check_depth(value: &Value, left: usize, key: &str) -> Result<()> {
    let too_deep = || Error::new(Code::MetadataLimit, "the metadata is nested too deeply").key(key);
    match value {
        Value::Array(items) => {
            let left = left.checked_sub(1).ok_or_else(too_deep)?;
            items.iter().try_for_each(|v| check_depth(v, left, key))
        }
        Value::Object(map) => {
            let left = left.checked_sub(1).ok_or_else(too_deep)?;
            map.values().try_for_each(|v| check_depth(v, left, key))
        }
        _ => Ok(()),
    }
}

/// The text with the bare words that Python writes put in quotes; `None` where there are none.
fn quote_bare_floats(bytes: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let (mut at, mut in_string, mut found) = (0, false, false);
    while let Some(&b) = bytes.get(at) {
        if !in_string && let Some(word) = WORDS.iter().find(|w| bytes[at..].starts_with(w)) {
            out.push(b'"');
            out.extend_from_slice(word);
            out.push(b'"');
            at += word.len();
            found = true;
            continue;
        }
        out.push(b);
        at += 1;
        match b {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                out.extend(bytes.get(at));
                at += 1;
            }
            _ => {}
        }
    }
    found.then_some(out)
}
