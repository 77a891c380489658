//! Hierarchy → typed tree: one table of readers, by kind of node, `encoding-type` and `encoding-version`.
//!
//! A reader looks at metadata alone. What contradicts itself becomes [`Body::Broken`] with its reason, and everything
//! beside it stays readable. Nothing is visited twice: the parts of a table are leaves ([`Builder::leaf`]), so that
//! names which lead into each other cannot multiply the work.

#![allow(clippy::unnecessary_wraps, reason = "all readers in the table have one signature")]

mod axes;
mod frame;
mod leaves;
mod legacy;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Body, Element};
use crate::metadata::{Hierarchy, Node, describe, is_plain_path};
use crate::{ArrayRef, Code, Error, Result};

/// The typed tree of the element at the root of the hierarchy: a whole AnnData, any other element, a plain group or a
/// plain Zarr array.
///
/// Fails only where nothing can be opened: there is no root, or the root itself is broken. Anything else that is wrong
/// is a [`Body::Broken`] in its place.
pub fn build(hierarchy: &Hierarchy) -> Result<Element> {
    if hierarchy.is_empty() {
        return Err(Error::new(Code::StoreNotFound, "there is no Zarr group or array"));
    }
    let root = Builder { hierarchy }.element("");
    match &root.body {
        Body::Broken(e) => Err(again(e)),
        _ => Ok(root),
    }
}

/// The shared error of a part as the error of the whole.
fn again(e: &Error) -> Error {
    let mut out = Error::new(e.code(), e.message());
    if let Some(element) = e.element_name() {
        out = out.element(element);
    }
    if let Some(key) = e.key_name() {
        out = out.key(key);
    }
    if let Some(range) = e.byte_range() {
        out = out.range(range);
    }
    if let Some(source) = std::error::Error::source(e) {
        out = out.source(source.to_string());
    }
    if let Some(help) = e.help_text() {
        out = out.help(help);
    }
    match e.expected_found() {
        (Some(x), Some(y)) => out.expected(x).found(y),
        (Some(x), None) => out.expected(x),
        (None, Some(y)) => out.found(y),
        (None, None) => out,
    }
}

/// One reader: from a node of its encoding to the body of the element.
enum Reader {
    /// Of an array.
    Array(fn(&Place<'_>, &ArrayRef) -> Result<Body>),
    /// Of a group that is one value, made of arrays: it may be a column.
    Leaf(fn(&Place<'_>) -> Result<Body>),
    /// Of a group of elements.
    Tree(fn(&Place<'_>) -> Result<Body>),
}

/// The format of AnnData, as it is written today and as it was: elements without an encoding arrive at the last two rows.
const READERS: &[(&str, &str, Reader)] = &[
    ("anndata", "0.1.0", Reader::Tree(axes::anndata)),
    ("raw", "0.1.0", Reader::Tree(axes::raw)),
    ("dict", "0.1.0", Reader::Tree(dict)),
    ("dataframe", "0.2.0", Reader::Tree(frame::dataframe)),
    ("dataframe", "0.1.0", Reader::Tree(frame::dataframe_0_1)),
    ("csr_matrix", "0.1.0", Reader::Tree(leaves::csr)),
    ("csc_matrix", "0.1.0", Reader::Tree(leaves::csc)),
    ("awkward-array", "0.1.0", Reader::Tree(leaves::awkward)),
    ("categorical", "0.2.0", Reader::Leaf(leaves::categorical)),
    ("nullable-integer", "0.1.0", Reader::Leaf(leaves::nullable_integer)),
    ("nullable-boolean", "0.1.0", Reader::Leaf(leaves::nullable_boolean)),
    ("nullable-string-array", "0.1.0", Reader::Leaf(leaves::nullable_string)),
    ("array", "0.2.0", Reader::Array(leaves::array)),
    ("string-array", "0.2.0", Reader::Array(leaves::string_array)),
    ("rec-array", "0.2.0", Reader::Array(leaves::rec_array)),
    ("string", "0.2.0", Reader::Array(leaves::string)),
    ("bytes", "0.2.0", Reader::Array(leaves::bytes)),
    ("numeric-scalar", "0.2.0", Reader::Array(leaves::numeric_scalar)),
    ("null", "0.1.0", Reader::Array(leaves::null)),
    ("", "", Reader::Array(legacy::array)),
    ("", "", Reader::Tree(legacy::group)),
];

/// Reads elements out of a hierarchy.
#[derive(Clone, Copy)]
struct Builder<'a> {
    hierarchy: &'a Hierarchy,
}

/// Where a reader is: the path and the attributes of its node.
struct Place<'a> {
    builder: Builder<'a>,
    path: &'a str,
    attributes: &'a Map<String, Value>,
}

impl Builder<'_> {
    /// The element at this path, whatever it is.
    fn element(self, path: &str) -> Element {
        self.read(path, false)
    }

    /// The element at this path, where it may only be one value: an array, a categorical, a nullable array.
    fn leaf(self, path: &str) -> Element {
        self.read(path, true)
    }

    fn read(self, path: &str, leaf: bool) -> Element {
        let node = match self.hierarchy.get(path) {
            Some(Ok(node)) => node,
            Some(Err(e)) => return broken(path, e.clone()),
            None => {
                let e = Error::new(Code::EncodingInvalid, "there is no group or array").element(path);
                return broken(path, Arc::new(e));
            }
        };
        let attributes = match node {
            Node::Group(group) => group.attributes.clone(),
            Node::Array(array) => Arc::new(array.attributes.clone()),
        };
        let mut element = Element {
            path: path.to_owned(),
            encoding_type: String::new(),
            encoding_version: String::new(),
            body: Body::Null,
            attributes: attributes.clone(),
        };
        let place = Place { builder: self, path, attributes: &attributes };
        element.body = (|| {
            element.encoding_type = place.text_or_empty("encoding-type")?.into();
            element.encoding_version = place.text_or_empty("encoding-version")?.into();
            match (place.reader(node, &element.encoding_type, &element.encoding_version)?, node) {
                (Reader::Tree(_), _) if leaf => Err(place
                    .invalid("this cannot be a column, an index or categories")
                    .expected("an array, a categorical or a nullable array")
                    .found(if element.encoding_type.is_empty() {
                        "a group"
                    } else {
                        &element.encoding_type
                    })),
                (Reader::Array(read), Node::Array(array)) => read(&place, array),
                (Reader::Leaf(read) | Reader::Tree(read), _) => read(&place),
                (Reader::Array(_), Node::Group(_)) => {
                    Err(place.invalid("a group cannot be read as an array"))
                }
            }
        })()
        .unwrap_or_else(|e| Body::Broken(Arc::new(e.element(path))));
        element
    }
}

fn broken(path: &str, e: Arc<Error>) -> Element {
    Element {
        path: path.to_owned(),
        encoding_type: String::new(),
        encoding_version: String::new(),
        body: Body::Broken(e),
        attributes: Arc::default(),
    }
}

impl<'a> Place<'a> {
    fn reader(&self, node: &Node, kind: &str, version: &str) -> Result<&'static Reader> {
        let fits = |reader: &Reader| matches!(reader, Reader::Array(_)) == matches!(node, Node::Array(_));
        if let Some((_, _, reader)) = READERS.iter().find(|(k, v, r)| *k == kind && *v == version && fits(r))
        {
            return Ok(reader);
        }
        let known =
            |fitting: bool| READERS.iter().filter(move |(k, _, r)| *k == kind && (!fitting || fits(r)));
        if kind.is_empty() || known(false).next().is_none() {
            let e = Error::new(Code::EncodingUnknown, format!("the encoding-type `{kind}` is not known"));
            return Err(e.found(format!("version \"{version}\"")));
        }
        if known(true).next().is_none() {
            let (is, must) = match node {
                Node::Array(_) => ("an array", "a group"),
                Node::Group(_) => ("a group", "an array"),
            };
            return Err(self
                .invalid(format!("the encoding-type `{kind}` is on the wrong kind of node"))
                .expected(must)
                .found(is));
        }
        let versions: Vec<_> = known(true).map(|(_, v, _)| *v).collect();
        Err(Error::new(Code::EncodingUnknown, format!("this encoding-version of `{kind}` is not known"))
            .expected(versions.join(", "))
            .found(format!("\"{version}\"")))
    }

    /// An error of this element.
    fn invalid(&self, message: impl Into<String>) -> Error {
        Error::new(Code::EncodingInvalid, message).element(self.path)
    }

    fn attribute_error(&self, name: &str, expected: impl Into<String>) -> Error {
        let found = self.attributes.get(name).map_or_else(|| "nothing".to_owned(), describe);
        self.invalid(format!("the attribute `{name}` is wrong")).expected(expected).found(found)
    }

    fn text_or_empty(&self, name: &str) -> Result<&'a str> {
        match self.attributes.get(name) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.attribute_error(name, "a string")),
        }
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }

    fn has(&self, name: &str) -> bool {
        self.builder.hierarchy.get(&self.join(name)).is_some()
    }

    /// The element of this name below, whatever it is.
    fn child(&self, name: &str) -> Element {
        self.builder.element(&self.join(name))
    }

    /// The array of this name below, with any encoding or none.
    fn array(&self, name: &str) -> Result<ArrayRef> {
        match self.builder.hierarchy.get(&self.join(name)) {
            Some(Ok(Node::Array(array))) => Ok(array.clone()),
            Some(Ok(Node::Group(_))) => {
                Err(self.invalid(format!("`{name}` is wrong")).expected("an array").found("a group"))
            }
            Some(Err(e)) => Err(again(e)),
            None => Err(self.invalid(format!("`{name}` is missing"))),
        }
    }

    /// The array of this name below, which must have one dimension.
    fn array_1d(&self, name: &str) -> Result<ArrayRef> {
        let array = self.array(name)?;
        match array.shape.len() {
            1 => Ok(array),
            n => Err(self
                .invalid(format!("`{name}` is wrong"))
                .expected("one dimension")
                .found(format!("{n}"))),
        }
    }
}

/// A mapping: every child is an element.
fn dict(place: &Place<'_>) -> Result<Body> {
    let names = place.builder.hierarchy.children(place.path);
    Ok(Body::Dict(Arc::new(names.into_iter().map(|name| (name.to_owned(), place.child(name))).collect())))
}

/// Whether a name in an attribute stays inside of its group.
fn check_name(place: &Place<'_>, attribute: &str, name: &str) -> Result<()> {
    if is_plain_path(name) {
        return Ok(());
    }
    Err(place
        .invalid(format!("the attribute `{attribute}` names something outside of its group"))
        .expected("names of children")
        .found(describe(&Value::String(name.to_owned()))))
}
