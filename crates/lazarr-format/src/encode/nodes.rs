//! The documents of a hierarchy.

use serde_json::{Map, Value, json};

use super::ArraySpec;

/// Groups and arrays, in the order in which they are shown.
#[derive(Debug, Clone)]
pub struct Nodes {
    zarr_format: u8,
    list: Vec<(String, Node)>,
}

#[derive(Debug, Clone)]
enum Node {
    Group(Map<String, Value>),
    Array { document: Value, attributes: Map<String, Value> },
}

impl Nodes {
    /// None yet, of version 2 or 3.
    pub fn new(zarr_format: u8) -> Self {
        Self { zarr_format, list: Vec::new() }
    }

    /// Adds a group. The root has the empty path.
    pub fn group(&mut self, path: &str, attributes: Map<String, Value>) {
        self.list.push((path.to_owned(), Node::Group(attributes)));
    }

    /// Adds an array.
    pub fn array(&mut self, spec: &ArraySpec) {
        let document = if self.zarr_format == 2 { spec.v2() } else { spec.v3() };
        let attributes = spec.attributes.clone();
        self.list.push((spec.path.clone(), Node::Array { document, attributes }));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forgets all but the first.
    pub fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    /// The nodes from this one on, as JSON: for each its path, its document (`null` of a group) and its attributes.
    pub fn since(&self, first: usize) -> Vec<Value> {
        let one = |(path, node): &(String, Node)| match node {
            Node::Group(attributes) => json!([path, null, attributes]),
            Node::Array { document, attributes } => json!([path, document, attributes]),
        };
        self.list.iter().skip(first).map(one).collect()
    }

    /// Adds a node that [`Nodes::since`] gave; false where it is none.
    pub fn again(&mut self, node: &Value) -> bool {
        let Some([Value::String(path), document, Value::Object(attributes)]) =
            node.as_array().map(Vec::as_slice)
        else {
            return false;
        };
        let attributes = attributes.clone();
        let node = match document {
            Value::Null => Node::Group(attributes),
            document => Node::Array { document: document.clone(), attributes },
        };
        self.list.push((path.clone(), node));
        true
    }

    /// Takes over the nodes of another hierarchy.
    pub fn extend(&mut self, other: Self) {
        self.list.extend(other.list);
    }

    /// Keys and values of all documents, in the order in which they should be written: what makes the hierarchy visible, the
    /// root's own and the consolidated one, comes last.
    pub fn documents(&self) -> Vec<(String, Vec<u8>)> {
        let (root, rest): (Vec<_>, Vec<_>) = self.list.iter().partition(|(path, _)| path.is_empty());
        let mut out = Vec::new();
        let mut metadata = Map::new();
        for (path, node) in rest.into_iter().chain(root) {
            let key = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            if self.zarr_format == 2 {
                let (name, document, attributes) = match node {
                    Node::Group(attributes) => (".zgroup", json!({"zarr_format": 2}), attributes),
                    Node::Array { document, attributes } => (".zarray", document.clone(), attributes),
                };
                let attributes = Value::Object(attributes.clone());
                metadata.insert(key(".zattrs"), attributes.clone());
                metadata.insert(key(name), document.clone());
                out.push((key(".zattrs"), text(&attributes)));
                out.push((key(name), text(&document)));
                if path.is_empty() && name == ".zgroup" {
                    let all =
                        json!({"zarr_consolidated_format": 1, "metadata": std::mem::take(&mut metadata)});
                    out.push((".zmetadata".to_owned(), text(&all)));
                }
                continue;
            }
            let mut document = match node {
                Node::Group(attributes) => {
                    json!({"zarr_format": 3, "node_type": "group", "attributes": attributes})
                }
                Node::Array { document, .. } => document.clone(),
            };
            if !path.is_empty() {
                metadata.insert(path.clone(), document.clone());
            } else if let (Node::Group(_), Some(root)) = (node, document.as_object_mut()) {
                let all = json!({"kind": "inline", "must_understand": false, "metadata": std::mem::take(&mut metadata)});
                root.insert("consolidated_metadata".to_owned(), all);
            }
            out.push((key("zarr.json"), text(&document)));
        }
        out
    }
}

fn text(document: &Value) -> Vec<u8> {
    // `Display` of a value cannot fail.
    document.to_string().into_bytes()
}
