//! Consolidated metadata, beside the documents that it was made from.

use lazarr_format::metadata::parse_json;
use lazarr_format::{ByteRange, Code, Error, Result};
use serde_json::{Map, Value};

use super::Report;
use crate::session::Session;

/// Names each node whose own document differs from what consolidated metadata says of it.
pub(super) fn compare(session: &Session, report: &mut Report) -> Result<()> {
    let mend = format!("`zarr.consolidate_metadata({:?})`", session.url());
    for (key, expected) in entries(session)? {
        let found = match document(session, &key) {
            Ok(Some(found)) => found,
            // What is not there, the list of files says.
            Ok(None) => continue,
            Err(e) if e.code() == Code::Interrupted => return Err(e),
            Err(e) => {
                report.error("", &e);
                continue;
            }
        };
        if plain(&found) != plain(&expected) {
            let path = key.rsplit_once('/').map_or("", |p| p.0);
            let message =
                format!("consolidated metadata differs from `{key}`; readers see the former: {mend}");
            report.notice("stale-metadata", path, Some(&key), message);
        }
    }
    Ok(())
}

/// The documents that are consolidated, by their keys.
fn entries(session: &Session) -> Result<Vec<(String, Map<String, Value>)>> {
    let key = if session.zarr_format() == 3 { "zarr.json" } else { ".zmetadata" };
    let Some(mut root) = document(session, key)? else { return Ok(Vec::new()) };
    let metadata = if session.zarr_format() == 3 {
        root.get_mut("consolidated_metadata").and_then(|c| c.get_mut("metadata"))
    } else {
        root.get_mut("metadata")
    };
    let Some(Value::Object(metadata)) = metadata.map(Value::take) else { return Ok(Vec::new()) };
    let documents = metadata.into_iter().filter_map(|(path, value)| match value {
        Value::Object(map) => Some((path, map)),
        _ => None,
    });
    if session.zarr_format() == 2 {
        return Ok(documents.collect());
    }
    Ok(documents.map(|(path, map)| (format!("{path}/zarr.json"), map)).collect())
}

fn document(session: &Session, key: &str) -> Result<Option<Map<String, Value>>> {
    let limits = &session.options().limits;
    let most = limits.metadata_bytes as u64;
    let mut bytes = Vec::new();
    let mut reserve = |n: u64| {
        if n <= most {
            return Ok(());
        }
        Err(Error::new(Code::MetadataLimit, "a metadata document is too large").key(key))
    };
    match session.io.get(key, &ByteRange::All, &mut reserve, &mut bytes)? {
        Some(_) => Ok(Some(parse_json(&bytes, key, limits)?)),
        None => Ok(None),
    }
}

/// A document without what only some writers add.
fn plain(document: &Map<String, Value>) -> Map<String, Value> {
    let mut out = document.clone();
    out.remove("consolidated_metadata");
    out.retain(|_, v| !v.is_null());
    if out.get("attributes").is_some_and(|a| a.as_object().is_some_and(Map::is_empty)) {
        out.remove("attributes");
    }
    out
}
