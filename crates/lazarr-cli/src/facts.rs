//! What is known of an element without reading it.

use lazarr::format::ArrayRef;
use lazarr::plan::{Amount, human_count};
use lazarr::{Body, Element, Error, decoded_bytes};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::out::Out;
use crate::table::{self, Align};

/// What an element is, in a word that programs can rely on.
pub(crate) fn kind(element: &Element) -> &'static str {
    match &element.body {
        Body::AnnData(_) => "anndata",
        Body::Raw(_) => "raw",
        Body::Dict(_) => "mapping",
        Body::Dense(_) => "array",
        Body::Strings(_) => "string-array",
        Body::Scalar(_) => "scalar",
        Body::Null => "null",
        Body::Sparse(s) if s.format.major_axis() == 0 => "csr_matrix",
        Body::Sparse(_) => "csc_matrix",
        Body::DataFrame(_) => "dataframe",
        Body::Categorical(_) => "categorical",
        Body::Nullable(_) => "nullable",
        Body::Awkward(_) => "awkward-array",
        Body::Broken(_) => "broken",
        _ => "unknown",
    }
}

/// The same for people, with the number that matters.
fn kind_text(element: &Element) -> String {
    let name = kind(element);
    match &element.body {
        Body::Sparse(s) => format!("{name}, {} stored", human_count(s.nnz())),
        Body::Dict(c) => format!("{name} of {}", human_count(c.len() as u64)),
        Body::Categorical(c) => match categories(&c.categories) {
            Some(n) => format!("{name} of {}", human_count(n)),
            None => name.into(),
        },
        _ => name.into(),
    }
}

fn categories(element: &Element) -> Option<u64> {
    element.shape()?.first().copied()
}

/// The array that stands for the element: values, codes, data.
fn main_array(element: &Element) -> Option<&ArrayRef> {
    match &element.body {
        Body::Dense(a) | Body::Strings(a) | Body::Scalar(a) => Some(a),
        Body::Sparse(s) => Some(&s.data),
        Body::Categorical(c) => Some(&c.codes),
        Body::Nullable(n) => Some(&n.values),
        _ => None,
    }
}

/// The type of an item, where there is one type.
pub(crate) fn dtype(element: &Element) -> Option<String> {
    match &element.body {
        Body::Categorical(c) => main_array(&c.categories).map(|a| a.dtype.to_string()),
        _ => main_array(element).map(|a| a.dtype.to_string()),
    }
}

/// `5 × 4`; empty for what has no shape.
pub(crate) fn shape_text(shape: &[u64]) -> String {
    shape.iter().map(|&n| human_count(n)).collect::<Vec<_>>().join(" × ")
}

/// Whether an element only holds others.
pub(crate) fn is_group(element: &Element) -> bool {
    matches!(element.body, Body::AnnData(_) | Body::Raw(_) | Body::Dict(_) | Body::DataFrame(_))
}

/// The element and all that is below it, parents first.
pub(crate) fn flatten(element: &Element) -> Vec<Element> {
    let mut out = Vec::new();
    let mut rest = vec![element.clone()];
    while let Some(element) = rest.pop() {
        rest.extend(element.children().into_iter().rev().map(|(_, child)| child));
        out.push(element);
    }
    out
}

/// An error for programs.
pub(crate) fn error_json(e: &Error) -> Value {
    json!({ "code": e.code().id(), "message": e.to_string() })
}

/// An amount for programs.
pub(crate) fn amount_json(amount: Amount) -> Value {
    serde_json::to_value(amount).unwrap_or_default()
}

fn shard_count(array: &ArrayRef) -> u64 {
    array.grid_shape().into_iter().fold(1, u64::saturating_mul)
}

/// `12 of 1,000 × 200`: how many, and the shape of one; `12 of up to …` on a rectilinear grid.
fn grid_text(count: u64, chunk: &[u64], rectilinear: bool) -> String {
    let count = human_count(count);
    let of = if rectilinear { "of up to" } else { "of" };
    if chunk.is_empty() { count } else { format!("{count} {of} {}", shape_text(chunk)) }
}

fn array_json(array: &ArrayRef) -> Value {
    let mut json = json!({
        "path": array.path,
        "shape": array.shape,
        "dtype": array.dtype.to_string(),
        "chunk_shape": array.inner_shape(),
        "chunks": array.inner_count(),
        "shard_shape": array.sharding.as_ref().map(|_| &array.chunk_shape),
        "shards": array.sharding.as_ref().map(|_| shard_count(array)),
        "codec": array.codec_name,
    });
    if array.grid.is_some() {
        json["rectilinear"] = json!(true);
    }
    json
}

/// An element for programs: what it is and the arrays that are its own.
pub(crate) fn json(element: &Element) -> Value {
    let (entries, arrays) = if is_group(element) {
        (Some(element.children().len()), Vec::new())
    } else {
        (None, element.arrays())
    };
    let nnz = match &element.body {
        Body::Sparse(s) => Some(s.nnz()),
        _ => None,
    };
    let count = match &element.body {
        Body::Categorical(c) => categories(&c.categories),
        _ => None,
    };
    let error = match &element.body {
        Body::Broken(e) => Some(error_json(e)),
        _ => None,
    };
    json!({
        "path": element.path,
        "kind": kind(element),
        "encoding_type": element.encoding_type,
        "encoding_version": element.encoding_version,
        "shape": element.shape(),
        "dtype": dtype(element),
        "nnz": nnz,
        "categories": count,
        "entries": entries,
        "decoded_bytes": amount_json(decoded_bytes(element)),
        "arrays": arrays.iter().map(array_json).collect::<Vec<_>>(),
        "error": error,
    })
}

/// Writes elements as a table, then what is wrong with those that cannot be read.
pub(crate) fn write_table(out: &mut Out<'_>, elements: &[Element]) -> Result<(), Failure> {
    let named = elements.iter().map(|e| (if e.path.is_empty() { "/" } else { &*e.path }, e));
    write_named(out, "element", &named.collect::<Vec<_>>())
}

/// The same under other names.
pub(crate) fn write_named(
    out: &mut Out<'_>,
    title: &str,
    elements: &[(&str, &Element)],
) -> Result<(), Failure> {
    let header = [title, "kind", "shape", "dtype", "chunks", "shards", "codec", "decoded"]
        .map(|h| (h.to_owned(), if h == "decoded" { Align::Right } else { Align::Left }));
    let rows: Vec<Vec<String>> = elements.iter().map(|(name, e)| table_row(name, e)).collect();
    table::write(out, &header, &rows)?;
    for (_, element) in elements {
        if let Body::Broken(e) = &element.body {
            out.line(&format!("cannot be read: {}", e.again().element(&*element.path)))?;
        }
    }
    Ok(())
}

fn table_row(name: &str, element: &Element) -> Vec<String> {
    let array = main_array(element);
    let chunks = array.map(|a| grid_text(a.inner_count(), a.inner_shape(), a.grid.is_some()));
    let shards =
        array.filter(|a| a.sharding.is_some()).map(|a| grid_text(shard_count(a), &a.chunk_shape, false));
    let decoded = match &element.body {
        Body::Broken(_) | Body::Null => String::new(),
        _ => decoded_bytes(element).bytes(),
    };
    vec![
        name.to_owned(),
        kind_text(element),
        shape_text(&element.shape().unwrap_or_default()),
        dtype(element).unwrap_or_default(),
        chunks.unwrap_or_default(),
        shards.unwrap_or_default(),
        array.map(|a| a.codec_name.clone()).unwrap_or_default(),
        decoded,
    ]
}
