//! Forms that older versions wrote and that are still read: elements without an encoding, tables of 0.7 and before,
//! what has moved since.
//!
//! What anndata decides from values is decided here from metadata alone: see [`categories_in_uns`].

#[cfg(test)]
#[path = "legacy_tests.rs"]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use super::axes::{mapping, matrix, table};
use super::{Builder, Place, broken, check_name, dict, leaves};
use crate::anndata::{Body, Categorical, DataFrame, Element, Raw, SparseFormat};
use crate::metadata::Node;
use crate::{ArrayMeta, ArrayRef, Code, DataType, Error, Field, Result};

/// An array without an encoding: as it is, but that bytes of fixed length inside of a store are text.
pub(super) fn array(place: &Place<'_>, array: &ArrayRef) -> Result<Body> {
    match array.dtype {
        DataType::FixedBytes(_) if !array.shape.is_empty() && !place.path.is_empty() => {
            Ok(Body::Strings(array.clone()))
        }
        _ => leaves::array(place, array),
    }
}

/// A group without an encoding: a sparse matrix of before 0.7, a whole AnnData at the root, else a mapping.
pub(super) fn group(place: &Place<'_>) -> Result<Body> {
    match place.attributes.get("h5sparse_format") {
        None if place.path.is_empty() && place.has("obs") && place.has("var") => super::axes::anndata(place),
        None => dict(place),
        Some(Value::String(name)) if name == "csr" => leaves::sparse(place, SparseFormat::Csr),
        Some(Value::String(name)) if name == "csc" => leaves::sparse(place, SparseFormat::Csc),
        Some(_) => Err(place.attribute_error("h5sparse_format", "csr or csc")),
    }
}

/// A column or the index of a `dataframe` 0.1.0: an array; a categorical where its attribute `categories` says where in
/// the table they are.
pub(super) fn series(place: &Place<'_>, name: &str) -> Element {
    let path = place.join(name);
    let mut element = place.builder.leaf(&path);
    let read = || -> Result<Option<Body>> {
        let Some(Ok(Node::Array(codes))) = place.builder.hierarchy.get(&path) else { return Ok(None) };
        let at = Place { builder: place.builder, path: &path, attributes: &codes.attributes };
        let Some(categories) = codes.attributes.get("categories") else { return Ok(None) };
        let Value::String(categories) = categories else {
            return Err(at.attribute_error("categories", "where the categories are"));
        };
        check_name(&at, "categories", categories)?;
        if !place.has(categories) {
            return Err(at.invalid(format!("its categories `{categories}` are missing")));
        }
        let categories = place.builder.leaf(&place.join(categories));
        let ordered =
            leaves::ordered(&Place { path: &categories.path, attributes: &categories.attributes, ..at })?;
        leaves::codes_and_categories(&at, codes.clone(), categories, ordered).map(Some)
    };
    match read() {
        Ok(None) => {}
        Ok(Some(body)) => element.body = body,
        Err(e) => element.body = Body::Broken(Arc::new(e.element(&path))),
    }
    element
}

/// A table as an array of structs, as it was before 0.7: the first field is the index.
pub(super) fn structured_table(path: &str, array: &ArrayMeta, fields: &[Field]) -> Result<Body> {
    let (&[len], Some((index, columns))) = (array.shape.as_slice(), fields.split_first()) else {
        return Err(Error::new(Code::EncodingInvalid, "a table of structs has one dimension")
            .found(format!("shape {:?}", array.shape)));
    };
    Ok(Body::DataFrame(Arc::new(DataFrame {
        index_key: index.name.clone(),
        index: text(field(path, array, index)),
        columns: columns.iter().map(|f| (f.name.clone(), field(path, array, f))).collect(),
        len,
    })))
}

/// A mapping as an array of structs, as `obsm` and `varm` were before 0.7: each field is an element.
pub(super) fn structured_mapping(path: &str, array: &ArrayMeta, fields: &[Field]) -> Body {
    Body::Dict(Arc::new(fields.iter().map(|f| (f.name.clone(), field(path, array, f))).collect()))
}

/// Names are text, however they are stored.
fn text(mut element: Element) -> Element {
    if let Body::Dense(array) = &element.body
        && matches!(array.dtype, DataType::FixedUtf32(_))
    {
        element.body = Body::Strings(array.clone());
    }
    element
}

/// One field as an element; bytes are text.
fn field(path: &str, array: &ArrayMeta, field: &Field) -> Element {
    let path = if path.is_empty() { field.name.clone() } else { format!("{path}/{}", field.name) };
    let Some(view) = array.field(field) else {
        let e = Error::new(Code::EncodingInvalid, "the array has no fields").element(&path);
        return broken(&path, Arc::new(e));
    };
    let body = match view.dtype {
        DataType::FixedBytes(_) => Body::Strings(Arc::new(view)),
        _ => Body::Dense(Arc::new(view)),
    };
    Element {
        path,
        encoding_type: String::new(),
        encoding_version: String::new(),
        body,
        attributes: Arc::default(),
    }
}

/// The `raw` of an AnnData: its group, or `raw.X`, `raw.var` and `raw.varm` beside X, as it was before 0.7.
pub(super) fn raw(place: &Place<'_>) -> Option<Arc<Raw>> {
    let parts: Vec<_> = place.builder.hierarchy.children(place.path);
    let old = parts.iter().find(|name| name.starts_with("raw."));
    let modern = modern_raw(place);
    match (modern, old) {
        (Some(_), Some(old)) => {
            let e = place.invalid("there are two forms of raw").expected("one of them");
            Some(broken_raw(&place.join("raw"), &Arc::new(e.found(format!("`raw` and `{old}`")))))
        }
        (None, Some(_)) if place.has("raw.X") => {
            let moved = |e: Element, name: &str| {
                rebase(e, &place.join(&format!("raw.{name}")), &place.join(&format!("raw/{name}")))
            };
            Some(Arc::new(Raw {
                x: matrix(place, "raw.X").map(|x| moved(x, "X")),
                var: moved(table(place, "raw.var"), "var"),
                varm: moved(mapping(place, "raw.varm"), "varm"),
            }))
        }
        (modern, _) => modern,
    }
}

/// The group `raw`; where it is broken, each of its parts is, so that it is there and says why.
fn modern_raw(place: &Place<'_>) -> Option<Arc<Raw>> {
    if !place.has("raw") {
        return None;
    }
    let element = place.child("raw");
    let e = match element.body {
        Body::Null => return None,
        Body::Raw(raw) => return Some(raw),
        // 0.7 wrote no encoding. An empty mapping is no raw.
        Body::Dict(children) if children.is_empty() => return None,
        Body::Dict(_) if element.encoding_type.is_empty() => {
            let at = Place { builder: place.builder, path: &element.path, attributes: &element.attributes };
            match super::axes::raw(&at) {
                Ok(Body::Raw(raw)) => return Some(raw),
                _ => return None,
            }
        }
        Body::Broken(e) => e,
        _ => {
            Arc::new(Error::new(Code::EncodingInvalid, "`raw` is not encoded as raw").element(&element.path))
        }
    };
    Some(broken_raw(&element.path, &e))
}

fn broken_raw(path: &str, e: &Arc<Error>) -> Arc<Raw> {
    let part = |name: &str| broken(&format!("{path}/{name}"), e.clone());
    Arc::new(Raw { x: Some(part("X")), var: part("var"), varm: part("varm") })
}

/// Whether the children of an AnnData with this name are part of its `raw`.
pub(super) fn is_raw_part(name: &str) -> bool {
    matches!(name, "raw.X" | "raw.var" | "raw.varm")
}

/// The element with another path: where the object has it, which is how views of it are named and saved. Its arrays
/// keep the paths of the store.
fn rebase(mut element: Element, from: &str, to: &str) -> Element {
    if let Some(rest) = element.path.strip_prefix(from) {
        element.path = format!("{to}{rest}");
    }
    let all = |children: &[(String, Element)]| {
        children.iter().map(|(name, e)| (name.clone(), rebase(e.clone(), from, to))).collect::<Vec<_>>()
    };
    element.body = match element.body {
        Body::Dict(children) => Body::Dict(Arc::new(all(&children))),
        Body::DataFrame(frame) => Body::DataFrame(Arc::new(DataFrame {
            index_key: frame.index_key.clone(),
            index: rebase(frame.index.clone(), from, to),
            columns: all(&frame.columns),
            len: frame.len,
        })),
        body => body,
    };
    element
}

/// `uns/neighbors/distances` and `connectivities` stand in `obsp` since 0.7: matrices are moved there.
pub(super) fn move_neighbors(place: &Place<'_>, uns: &mut Element, obsp: &mut Element) {
    let (Body::Dict(outer), Body::Dict(pairs)) = (&uns.body, &obsp.body) else { return };
    let Some(at) = outer.iter().position(|(name, _)| name == "neighbors") else { return };
    let Body::Dict(inner) = &outer[at].1.body else { return };
    let moves = |name: &str, e: &Element| {
        matches!(name, "distances" | "connectivities")
            && matches!(e.body, Body::Sparse(_) | Body::Dense(_))
            && e.shape().is_some_and(|shape| shape.len() == 2)
    };
    let (moved, kept): (Vec<_>, Vec<_>) = inner.iter().cloned().partition(|(name, e)| moves(name, e));
    if moved.is_empty() {
        return;
    }
    let mut pairs = pairs.to_vec();
    for (name, mut element) in moved {
        element.path = place.join(&format!("obsp/{name}"));
        pairs.retain(|(other, _)| *other != name);
        pairs.push((name, element));
    }
    let mut outer = outer.to_vec();
    outer[at].1.body = Body::Dict(Arc::new(kept));
    uns.body = Body::Dict(Arc::new(outer));
    obsp.body = Body::Dict(Arc::new(pairs));
}

/// Before 0.7 a categorical column was its codes, and `uns["<column>_categories"]` its categories, whichever table the
/// column is in. Where both tables have such a column, anndata takes the tables whose codes fit the categories; here,
/// where no value is read, it is those whose integers have the width that pandas gives to so many categories, and both
/// where that does not tell.
pub(super) fn categories_in_uns(uns: &mut Element, tables: [&mut Element; 2]) {
    let Body::Dict(children) = &uns.body else { return };
    let mut kept = Vec::new();
    let mut tables = tables;
    for (key, categories) in children.iter() {
        let name = key.ends_with("_categories").then(|| key.replace("_categories", ""));
        let used = name.zip(one_dimension(categories)).is_some_and(|(name, (categories, count))| {
            let codes = tables.each_ref().map(|table| integer_column(table, &name));
            let usual = match count {
                0..=0x7f => 1,
                0x80..=0x7fff => 2,
                0x8000..=0x7fff_ffff => 4,
                _ => 8,
            };
            let fits = codes.each_ref().map(|c| c.as_ref().is_some_and(|c| c.dtype == DataType::Int(usual)));
            let tell = codes.iter().all(Option::is_some) && fits[0] != fits[1];
            let mut used = false;
            for ((table, codes), fits) in tables.iter_mut().zip(codes).zip(fits) {
                let Some(codes) = codes.filter(|_| fits || !tell) else { continue };
                let body = Categorical { codes, categories: categories.clone(), ordered: false };
                set_column(table, &name, &Body::Categorical(Arc::new(body)));
                used = true;
            }
            used
        });
        if !used {
            kept.push((key.clone(), categories.clone()));
        }
    }
    if kept.len() < children.len() {
        uns.body = Body::Dict(Arc::new(kept));
    }
}

/// Categories and how many there are; a single one may have been written as a scalar.
fn one_dimension(element: &Element) -> Option<(Element, u64)> {
    match (&element.body, element.shape().as_deref()) {
        (Body::Dense(_) | Body::Strings(_), Some(&[count])) => Some((element.clone(), count)),
        // In v2 the chunk of a scalar and the only chunk of one item have the same key.
        (Body::Scalar(a), Some([])) if a.zarr_format == 2 => {
            let array = Arc::new(ArrayMeta { shape: vec![1], chunk_shape: vec![1], ..(**a).clone() });
            let text = matches!(array.dtype, DataType::FixedBytes(_) | DataType::FixedUtf32(_))
                || array.dtype.is_vlen();
            let body = if text { Body::Strings(array) } else { Body::Dense(array) };
            Some((Element { body, ..element.clone() }, 1))
        }
        _ => None,
    }
}

fn integer_column(table: &Element, name: &str) -> Option<ArrayRef> {
    let Body::DataFrame(frame) = &table.body else { return None };
    match &frame.columns.iter().find(|(n, _)| n == name)?.1.body {
        Body::Dense(codes) if codes.dtype.is_integer() => Some(codes.clone()),
        _ => None,
    }
}

fn set_column(table: &mut Element, name: &str, body: &Body) {
    let Body::DataFrame(frame) = &table.body else { return };
    let columns = frame.columns.iter().map(|(n, e)| {
        let body = if n == name { body.clone() } else { e.body.clone() };
        (n.clone(), Element { body, ..e.clone() })
    });
    table.body = Body::DataFrame(Arc::new(DataFrame {
        index_key: frame.index_key.clone(),
        index: frame.index.clone(),
        columns: columns.collect(),
        len: frame.len,
    }));
}

/// Whether the tables of this AnnData are of before 0.7.
pub(super) fn has_structured_obs(builder: Builder<'_>, obs: &str) -> bool {
    matches!(builder.hierarchy.get(obs), Some(Ok(Node::Array(_))))
}
