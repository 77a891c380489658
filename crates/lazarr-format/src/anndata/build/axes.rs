//! AnnData and raw: elements along two axes.

use std::sync::Arc;

use super::legacy;
use super::{Place, broken};
use crate::anndata::{AnnData, Body, Element, Raw};
use crate::{Code, DataType, Error, Result};

/// The children of an AnnData. Any other is kept as extra.
const PARTS: [&str; 10] = ["X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns", "raw"];

/// The lengths of leading axes that an element must have, as far as they are known.
type Axes<'a> = &'a [(&'static str, Option<u64>)];

pub(super) fn anndata(place: &Place<'_>) -> Result<Body> {
    let (mut obs, mut var) = (table(place, "obs"), table(place, "var"));
    let x = matrix(place, "X");
    let (layers, obsm, varm) = (mapping(place, "layers"), mapping(place, "obsm"), mapping(place, "varm"));
    let raw = legacy::raw(place);
    // The axes are as long as their tables. Where one is broken, the matrices tell, so that the rest stays readable.
    let matrices = || x.iter().chain(children(&layers));
    let n_obs = frame_len(&obs)
        .or_else(|| matrices().find_map(|e| axis(e, 0)))
        .or_else(|| raw.as_ref().and_then(|raw| raw.x.as_ref()).and_then(|e| axis(e, 0)))
        .or_else(|| children(&obsm).find_map(|e| axis(e, 0)));
    let n_vars = frame_len(&var)
        .or_else(|| matrices().find_map(|e| axis(e, 1)))
        .or_else(|| children(&varm).find_map(|e| axis(e, 0)));
    let (cells, genes) = (("obs", n_obs), ("var", n_vars));
    let raw = raw.map(|raw| {
        let x = raw.x.as_ref().map(|x| align(x.clone(), &[cells]));
        Arc::new(Raw { x, var: raw.var.clone(), varm: raw.varm.clone() })
    });
    let (mut uns, mut obsp) = (mapping(place, "uns"), mapping(place, "obsp"));
    if legacy::has_structured_obs(place.builder, &obs.path) {
        legacy::categories_in_uns(&mut uns, [&mut obs, &mut var]);
    }
    legacy::move_neighbors(place, &mut uns, &mut obsp);
    let is_part = |name: &str| PARTS.contains(&name) || (raw.is_some() && legacy::is_raw_part(name));
    let names = place.builder.hierarchy.children(place.path);
    let extra = names.into_iter().filter(|name| !is_part(name));
    let extra = extra.map(|name| (name.to_owned(), place.child(name))).collect();
    Ok(Body::AnnData(Arc::new(AnnData {
        x: x.map(|x| align(x, &[cells, genes])),
        obs,
        var,
        layers: align_all(layers, &[cells, genes]),
        obsm: align_all(obsm, &[cells]),
        varm: align_all(varm, &[genes]),
        obsp: align_all(obsp, &[cells, cells]),
        varp: align_all(mapping(place, "varp"), &[genes, genes]),
        uns,
        raw,
        n_obs: n_obs.unwrap_or(0),
        n_vars: n_vars.unwrap_or(0),
        extra,
    })))
}

/// `raw`: its rows are checked by the AnnData that it stands in.
pub(super) fn raw(place: &Place<'_>) -> Result<Body> {
    let (x, var, varm) = (matrix(place, "X"), table(place, "var"), mapping(place, "varm"));
    let n_vars = frame_len(&var).or_else(|| x.as_ref().and_then(|x| axis(x, 1)));
    Ok(Body::Raw(Arc::new(Raw {
        x: x.map(|x| align(x, &[("obs", None), ("raw/var", n_vars)])),
        var,
        varm: align_all(varm, &[("raw/var", n_vars)]),
    })))
}

/// A table that must be there.
pub(super) fn table(place: &Place<'_>, name: &str) -> Element {
    let path = place.join(name);
    if !place.has(name) {
        return broken(
            &path,
            Arc::new(place.invalid(format!("`{name}` is missing")).expected("a dataframe")),
        );
    }
    let mut element = place.child(name);
    if let Body::Dense(array) = &element.body
        && let DataType::Struct(fields) = &array.dtype
    {
        element.body = legacy::structured_table(&path, array, fields)
            .unwrap_or_else(|e| Body::Broken(Arc::new(e.element(&path))));
    }
    if !matches!(element.body, Body::DataFrame(_) | Body::Broken(_)) {
        let e = Error::new(Code::EncodingInvalid, format!("`{name}` is not a dataframe")).element(&path);
        element.body = Body::Broken(Arc::new(e.found(encoding(&element))));
    }
    element
}

/// A matrix that may be absent, or null.
pub(super) fn matrix(place: &Place<'_>, name: &str) -> Option<Element> {
    let element = place.has(name).then(|| place.child(name))?;
    (!matches!(element.body, Body::Null)).then_some(element)
}

/// A mapping; one that is absent or null is empty.
pub(super) fn mapping(place: &Place<'_>, name: &str) -> Element {
    let path = place.join(name);
    let empty = || Body::Dict(Arc::default());
    if !place.has(name) {
        return Element {
            path,
            encoding_type: "dict".into(),
            encoding_version: "0.1.0".into(),
            body: empty(),
            attributes: Arc::default(),
        };
    }
    let mut element = place.child(name);
    if let Body::Dense(array) = &element.body
        && let DataType::Struct(fields) = &array.dtype
    {
        element.body = legacy::structured_mapping(&path, array, fields);
    }
    match element.body {
        Body::Dict(_) | Body::Broken(_) => {}
        Body::Null => element.body = empty(),
        _ => {
            let e = Error::new(Code::EncodingInvalid, format!("`{name}` is not a mapping")).element(&path);
            element.body = Body::Broken(Arc::new(e.found(encoding(&element))));
        }
    }
    element
}

fn encoding(element: &Element) -> String {
    match element.encoding_type.as_str() {
        "" => "no encoding-type".into(),
        kind => format!("encoding-type `{kind}`"),
    }
}

fn frame_len(element: &Element) -> Option<u64> {
    match &element.body {
        Body::DataFrame(frame) => Some(frame.len),
        _ => None,
    }
}

fn axis(element: &Element, axis: usize) -> Option<u64> {
    element.shape()?.get(axis).copied()
}

fn children(element: &Element) -> impl Iterator<Item = &Element> {
    let children = match &element.body {
        Body::Dict(children) => children.as_slice(),
        _ => &[],
    };
    children.iter().map(|(_, e)| e)
}

fn align_all(mut mapping: Element, axes: Axes<'_>) -> Element {
    if let Body::Dict(children) = &mapping.body {
        mapping.body = Body::Dict(Arc::new(
            children.iter().map(|(name, e)| (name.clone(), align(e.clone(), axes))).collect(),
        ));
    }
    mapping
}

/// The element, or the error of its shape.
fn align(mut element: Element, axes: Axes<'_>) -> Element {
    let e = match (&element.body, element.shape()) {
        (Body::Broken(_), _) => return element,
        (_, Some(shape)) => {
            let fits = |(i, (_, n)): (usize, &(&str, Option<u64>))| {
                shape.get(i).is_some_and(|size| n.is_none_or(|n| n == *size))
            };
            if axes.iter().enumerate().all(fits) {
                return element;
            }
            let expected: Vec<_> = axes
                .iter()
                .map(|(name, n)| n.map_or_else(|| format!("any ({name})"), |n| format!("{n} ({name})")))
                .collect();
            Error::new(Code::Misaligned, "the element does not fit its axes")
                .expected(format!(
                    "a shape of [{}{}]",
                    expected.join(", "),
                    if axes.len() == 1 { ", …" } else { "" }
                ))
                .found(format!("{shape:?}"))
        }
        (_, None) => Error::new(Code::EncodingInvalid, "this element cannot stand along an axis")
            .expected("an array, a sparse matrix, a table")
            .found(encoding(&element)),
    };
    element.body = Body::Broken(Arc::new(e.element(&element.path)));
    element
}
