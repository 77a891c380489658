//! Text → JSON object.

use serde_json::{Map, Value};

use super::doc::describe;
use super::{Limit, Limits};
use crate::{Code, Error, Result};

/// The JSON object in these bytes; `key` is named in the error.
///
/// Python's `json` writes the bare words `NaN`, `Infinity` and `-Infinity`, which are not JSON: they are taken as the
/// strings that Zarr means by them.
pub fn parse_json(bytes: &[u8], key: &str, limits: &Limits) -> Result<Map<String, Value>> {
    let bad = |message: &str| Error::new(Code::MetadataJson, message).key(key).expected("a JSON object");
    if bytes.len() > limits.metadata_bytes {
        let e = limits.exceeded(Limit::MetadataBytes, "the metadata is too large", Some(bytes.len() as u64));
        return Err(e.key(key));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(bad("the metadata is empty").found(format!("{} bytes", bytes.len())));
    }
    let depth = depth(bytes);
    if depth > limits.json_depth {
        let e = limits.exceeded(Limit::JsonDepth, "the metadata is nested too deeply", Some(depth as u64));
        return Err(e.key(key));
    }
    let parsed = serde_json::from_slice::<Value>(bytes).or_else(|e| match quote_bare_floats(bytes) {
        Some(quoted) => serde_json::from_slice::<Value>(&quoted),
        None => Err(e),
    });
    match parsed {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(bad("the metadata is not an object").found(describe(&other))),
        Err(e) if e.is_eof() => {
            Err(bad("the metadata ends early").found(format!("{} bytes, truncated", bytes.len())).source(e))
        }
        Err(e) => Err(bad("the metadata is not JSON")
            .found(format!("{} bytes of something else", bytes.len()))
            .source(e)),
    }
}

/// What the metadata in this text may take in memory while a store is opened, in bytes, from above: about twice what nodes
/// take. Nothing is made of the text, nor will be where it is nested too deeply.
pub fn metadata_memory(bytes: &[u8], limits: &Limits) -> u64 {
    // As measured: a value and its copy, in arrays that had to grow; the least room of an array and of an object that is
    // not empty; a text beside its characters.
    const VALUE: u64 = 224;
    const ARRAY: u64 = 700;
    const OBJECT: u64 = 1200;
    const TEXT: u64 = 96;
    if depth(bytes) > limits.json_depth {
        return 0;
    }
    let mut all = 3 * bytes.len() as u64;
    let (mut in_string, mut escaped) = (false, false);
    for (k, b) in bytes.iter().enumerate() {
        let opens = |closing: u8| {
            let next = bytes[k + 1..].iter().find(|b| !b.is_ascii_whitespace());
            if next == Some(&closing) { 0 } else { VALUE + if closing == b']' { ARRAY } else { OBJECT } }
        };
        all += match b {
            _ if escaped => {
                escaped = false;
                0
            }
            b'\\' if in_string => {
                escaped = true;
                0
            }
            b'"' => {
                in_string = !in_string;
                TEXT / 2
            }
            b',' if !in_string => VALUE,
            b'[' if !in_string => opens(b']'),
            b'{' if !in_string => opens(b'}'),
            _ => 0,
        };
    }
    all
}

/// How deeply brackets are nested, outside of strings. Looked at before anything is made of the text: a parser takes
/// stack for each level.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut most) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for b in bytes {
        match b {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
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
