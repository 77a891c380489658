//! The names that a group of AnnData's format may hold, for stores that cannot be listed.

use lazarr_format::metadata::{Hierarchy, Node};
use serde_json::{Map, Value};

/// The parts of an AnnData. Those before the last three are of every age.
const PARTS: [&str; 13] = [
    "X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns", "raw", "raw.X", "raw.var", "raw.varm",
];
const SPARSE: [&str; 3] = ["data", "indices", "indptr"];

/// The names that are worth asking for in this group, and whether there can be no others.
pub(super) fn names(hierarchy: &Hierarchy, group: &str) -> (Vec<String>, bool) {
    let attributes = |path: &str| match hierarchy.get(path) {
        Some(Ok(Node::Group(group))) => Some(group.attributes.clone()),
        _ => None,
    };
    let Some(own) = attributes(group) else { return (Vec::new(), true) };
    let fixed = |names: &[&str]| (names.iter().map(|&n| n.to_owned()).collect(), true);
    let (parent, name) = group.rsplit_once('/').unwrap_or(("", group));
    match own.get("encoding-type").and_then(Value::as_str).unwrap_or_default() {
        "anndata" => fixed(&PARTS[..10]),
        "raw" => fixed(&["X", "var", "varm"]),
        "csr_matrix" | "csc_matrix" => fixed(&SPARSE),
        "categorical" => fixed(&["codes", "categories"]),
        "awkward-array" => (buffers(&own), true),
        kind if kind.starts_with("nullable-") => fixed(&["values", "mask"]),
        "dict" => (Vec::new(), false),
        "dataframe" => (columns(&own), true),
        // Older forms, which say less of what they are.
        _ if own.contains_key("h5sparse_format") => fixed(&SPARSE),
        _ if own.contains_key("_index") || own.contains_key("column-order") => (columns(&own), true),
        _ if name == "__categories" => {
            (attributes(parent).map_or_else(Vec::new, |table| columns(&table)), true)
        }
        _ if group.is_empty() => (fixed(&PARTS).0, false),
        _ => (Vec::new(), false),
    }
}

/// What `_index` and `column-order` of a table name, and the categories of older tables.
fn columns(table: &Map<String, Value>) -> Vec<String> {
    let order = table.get("column-order").and_then(Value::as_array).into_iter().flatten();
    let names = table.get("_index").into_iter().chain(order).filter_map(Value::as_str);
    let older = table.get("encoding-version").and_then(Value::as_str) != Some("0.2.0");
    names.chain(older.then_some("__categories")).map(str::to_owned).collect()
}

/// The buffers that awkward's form names.
fn buffers(attributes: &Map<String, Value>) -> Vec<String> {
    let form = attributes.get("form").and_then(Value::as_str);
    let form = form.and_then(|f| serde_json::from_str::<Value>(f).ok());
    let mut names = Vec::new();
    let mut open: Vec<Value> = form.into_iter().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(map) => {
                let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
                let parts: &[&str] = match text("class") {
                    "NumpyArray" => &["data"],
                    "ListOffsetArray" => &["offsets"],
                    "ListArray" => &["starts", "stops"],
                    "ByteMaskedArray" | "BitMaskedArray" => &["mask"],
                    "IndexedArray" | "IndexedOptionArray" => &["index"],
                    "UnionArray" => &["tags", "index"],
                    _ => &[],
                };
                names.extend(parts.iter().map(|part| format!("{}-{part}", text("form_key"))));
                open.extend(map.into_iter().map(|(_, v)| v));
            }
            _ => {}
        }
    }
    names
}
