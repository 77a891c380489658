//! The nodes of a store by path.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::doc::Doc;
use super::{Limit, Limits, array_v2, group_v2, node_v3, parse_json, v3};
use crate::{ArrayRef, Code, Error, Fill, Result};

/// What is known of a group.
#[derive(Debug, Clone, Default)]
pub struct GroupMeta {
    /// Its user attributes.
    pub attributes: Arc<Map<String, Value>>,
}

/// A group or an array.
#[derive(Debug, Clone)]
pub enum Node {
    /// A group.
    Group(GroupMeta),
    /// An array.
    Array(ArrayRef),
}

#[derive(Debug)]
struct Entry {
    node: Result<Node, Arc<Error>>,
    /// The names of its children, in the order of the store.
    children: Vec<String>,
    /// Nothing in the store describes this group: it is only the parent of something.
    implicit: bool,
}

/// The nodes of a store by path, in the order of the store. A node whose metadata is broken is there as its error.
///
/// Paths have no leading slash; the root is the empty path.
#[derive(Debug)]
pub struct Hierarchy {
    nodes: IndexMap<String, Entry>,
    zarr_format: u8,
    consolidated: bool,
    limits: Limits,
    fill_bytes: usize,
}

/// Whether a root `zarr.json` holds the metadata of all nodes below it.
pub fn is_consolidated_v3(root: &Map<String, Value>) -> bool {
    v3::consolidated(root).is_some()
}

impl Hierarchy {
    /// No nodes yet; for the walk over a store that is not consolidated.
    pub fn new(zarr_format: u8, limits: &Limits) -> Self {
        Self { nodes: IndexMap::new(), zarr_format, consolidated: false, limits: *limits, fill_bytes: 0 }
    }

    /// All nodes of a v3 store from its root's `zarr.json`, see [`is_consolidated_v3`].
    ///
    /// Fails where the consolidated metadata as a whole is wrong: it is no object, a path leads elsewhere, there are too
    /// many nodes.
    pub fn from_consolidated_v3(root: &Map<String, Value>, limits: &Limits) -> Result<Self> {
        let mut out = Self { consolidated: true, ..Self::new(3, limits) };
        out.put("", node_v3("", root, limits))?;
        out.add_consolidated("", root)?;
        Ok(out)
    }

    /// The nodes in the consolidated metadata of the group at `base`, and of groups in it. Flat or nested, both are
    /// written.
    fn add_consolidated(&mut self, base: &str, group: &Map<String, Value>) -> Result<()> {
        let limits = self.limits;
        let Some(metadata) = v3::consolidated(group) else { return Ok(()) };
        let Value::Object(metadata) = metadata else {
            let doc = Doc::new(base, "zarr.json", group, &limits);
            return Err(doc.field(
                "consolidated_metadata.metadata",
                "an object of nodes by path",
                Some(metadata),
            ));
        };
        for (name, value) in metadata {
            let path = if base.is_empty() { name.clone() } else { format!("{base}/{name}") };
            check_path(&path)?;
            let node = match value {
                Value::Object(map) => node_v3(&path, map, &limits),
                other => Err(Error::new(Code::MetadataField, "the metadata of a node is not an object")
                    .element(&path)
                    .found(super::doc::describe(other))),
            };
            // What stands in the outer list is what a reader of the root sees.
            if self.nodes.get(&path).is_none_or(|entry| entry.implicit) {
                self.put(&path, node)?;
            }
            if let Value::Object(map) = value {
                self.add_consolidated(&path, map)?;
            }
        }
        Ok(())
    }

    /// All nodes of a v2 store from its `.zmetadata`.
    ///
    /// Fails as [`Hierarchy::from_consolidated_v3`] does.
    pub fn from_zmetadata(map: &Map<String, Value>, limits: &Limits) -> Result<Self> {
        let doc = Doc::new("", ".zmetadata", map, limits);
        match doc.get("zarr_consolidated_format") {
            Some(v) if v.as_u64() == Some(1) => {}
            other => return Err(doc.field("zarr_consolidated_format", "1", other)),
        }
        let metadata = match doc.get("metadata") {
            Some(Value::Object(metadata)) => metadata,
            other => return Err(doc.field("metadata", "an object of documents by key", other)),
        };
        // The documents of a node are apart from each other: gathered first, in the order of the first of each.
        let mut parts: IndexMap<&str, Parts<'_>> = IndexMap::new();
        for (key, value) in metadata {
            let (path, file) = key.rsplit_once('/').unwrap_or(("", key));
            if !matches!(file, ".zgroup" | ".zarray" | ".zattrs") {
                continue;
            }
            let part = parts.entry(path).or_default();
            match file {
                ".zgroup" => part.zgroup = Some(value),
                ".zarray" => part.zarray = Some(value),
                _ => part.zattrs = Some(value),
            }
        }
        let mut out = Self { consolidated: true, ..Self::new(2, limits) };
        for (path, part) in parts {
            out.put(path, part.node(path, limits))?;
        }
        Ok(out)
    }

    /// Adds the node that this `zarr.json` describes, or the error of it.
    ///
    /// Fails only where there can be no such node: the path is wrong, there are too many nodes. What is nested deeper than
    /// `json_depth` is the error of its ancestor at that depth; a walk need not go further.
    pub fn insert_v3(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        check_path(path)?;
        let key = key(path, "zarr.json");
        let node = parse_json(bytes, &key, &self.limits)
            .map_err(|e| e.element(path))
            .and_then(|map| node_v3(path, &map, &self.limits));
        self.put(path, node)
    }

    /// Adds the node that these documents describe, or the error of it. An array where there is a `.zarray`.
    ///
    /// Fails only where there can be no such node, as [`Hierarchy::insert_v3`].
    pub fn insert_v2(
        &mut self,
        path: &str,
        zgroup: Option<&[u8]>,
        zarray: Option<&[u8]>,
        zattrs: Option<&[u8]>,
    ) -> Result<()> {
        check_path(path)?;
        let parse = |bytes: Option<&[u8]>, file: &str| {
            bytes
                .map(|b| parse_json(b, &key(path, file), &self.limits).map(Value::Object))
                .transpose()
                .map_err(|e| e.element(path))
        };
        let node = (|| {
            let (zgroup, zarray) = (parse(zgroup, ".zgroup")?, parse(zarray, ".zarray")?);
            let zattrs = parse(zattrs, ".zattrs")?;
            let parts = Parts { zgroup: zgroup.as_ref(), zarray: zarray.as_ref(), zattrs: zattrs.as_ref() };
            parts.node(path, &self.limits)
        })();
        self.put(path, node)
    }

    /// Adds a node that could not be read.
    pub fn insert_error(&mut self, path: &str, error: Error) -> Result<()> {
        self.put(path, Err(error.element(path)))
    }

    fn put(&mut self, path: &str, node: Result<Node>) -> Result<()> {
        check_path(path)?;
        // What is nested too deeply is an error at the last group that is not.
        let last = path
            .match_indices('/')
            .nth(self.limits.json_depth.saturating_sub(1))
            .map(|(end, _)| &path[..end]);
        let too_deep = || {
            let depth = path.split('/').count() as u64;
            self.limits.exceeded(Limit::JsonDepth, "groups are nested too deeply below this one", Some(depth))
        };
        let (path, node) = last.map_or((path, node), |last| (last, Err(too_deep())));
        let node = node.and_then(|node| self.charge(node)).map_err(|e| Arc::new(e.element(path)));
        self.attach(path)?;
        if let Some(entry) = self.nodes.get_mut(path) {
            entry.node = node;
            entry.implicit = false;
        }
        Ok(())
    }

    /// Fill values are copied into memory; a few bytes of metadata may name large ones.
    fn charge(&mut self, node: Node) -> Result<Node> {
        if let Node::Array(array) = &node {
            let (Fill::Item(fill) | Fill::Vlen(fill)) = &array.fill;
            self.fill_bytes = self.fill_bytes.saturating_add(fill.len());
            if self.fill_bytes > self.limits.metadata_bytes {
                return Err(self.limits.exceeded(
                    Limit::MetadataBytes,
                    "the fill values of the store are too large altogether",
                    None,
                ));
            }
        }
        Ok(node)
    }

    /// Makes an entry at the path and at its parents, where there is none.
    fn attach(&mut self, path: &str) -> Result<()> {
        if self.nodes.contains_key(path) {
            return Ok(());
        }
        if let Some((parent, name)) =
            path.rsplit_once('/').or_else(|| (!path.is_empty()).then_some(("", path)))
        {
            self.attach(parent)?; // as deep as the path, which is bounded
            if let Some(entry) = self.nodes.get_mut(parent) {
                entry.children.push(name.to_owned());
            }
        }
        if self.nodes.len() >= self.limits.nodes {
            return Err(self
                .limits
                .exceeded(Limit::Nodes, "the store has too many groups and arrays", None)
                .element(path));
        }
        let node = Ok(Node::Group(GroupMeta::default()));
        self.nodes.insert(path.to_owned(), Entry { node, children: Vec::new(), implicit: true });
        Ok(())
    }

    /// The node at this path: `None` where there is none, an error where it is broken.
    pub fn get(&self, path: &str) -> Option<Result<&Node, &Arc<Error>>> {
        self.nodes.get(path).map(|entry| entry.node.as_ref())
    }

    /// The names of the children of this node, in the order of the store.
    pub fn children(&self, path: &str) -> Vec<&str> {
        self.nodes
            .get(path)
            .map_or_else(Vec::new, |entry| entry.children.iter().map(String::as_str).collect())
    }

    /// Every path with its node.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Result<&Node, &Arc<Error>>)> {
        self.nodes.iter().map(|(path, entry)| (path.as_str(), entry.node.as_ref()))
    }

    /// Whether nothing in the store describes this group: it is only the parent of something.
    pub fn is_implicit(&self, path: &str) -> bool {
        self.nodes.get(path).is_some_and(|entry| entry.implicit)
    }

    /// Number of nodes, groups that are only implied included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is not even a root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// 2 or 3.
    pub fn zarr_format(&self) -> u8 {
        self.zarr_format
    }

    /// Whether it came from consolidated metadata.
    pub fn consolidated(&self) -> bool {
        self.consolidated
    }

    /// The limits that it was read under; groups are nested at most `json_depth` deep.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The documents of a v2 node.
#[derive(Default)]
struct Parts<'a> {
    zgroup: Option<&'a Value>,
    zarray: Option<&'a Value>,
    zattrs: Option<&'a Value>,
}

impl Parts<'_> {
    fn node(&self, path: &str, limits: &Limits) -> Result<Node> {
        let object = |value: &Value, file: &str| match value {
            Value::Object(map) => Ok(map.clone()),
            other => Err(Error::new(Code::MetadataJson, "the metadata is not an object")
                .element(path)
                .key(key(path, file))
                .expected("a JSON object")
                .found(super::doc::describe(other))),
        };
        let attributes = self.zattrs.map_or_else(|| Ok(Map::new()), |v| object(v, ".zattrs"))?;
        match (self.zarray, self.zgroup) {
            (Some(zarray), _) => {
                Ok(Node::Array(Arc::new(array_v2(path, &object(zarray, ".zarray")?, attributes, limits)?)))
            }
            (None, Some(zgroup)) => {
                Ok(Node::Group(group_v2(path, &object(zgroup, ".zgroup")?, attributes, limits)?))
            }
            (None, None) => {
                Err(Error::new(Code::MetadataField, "there are attributes, but no array or group of them")
                    .element(path)
                    .expected("a `.zarray` or a `.zgroup`"))
            }
        }
    }
}

fn key(path: &str, file: &str) -> String {
    if path.is_empty() { file.to_owned() } else { format!("{path}/{file}") }
}

/// Whether a relative path stays below where it starts and has one spelling.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
}

fn check_path(path: &str) -> Result<()> {
    if !path.is_empty() && !is_plain_path(path) {
        return Err(Error::new(Code::StoreEscape, "the path of a node is not plain")
            .key(path.chars().take(200).collect::<String>())
            .expected("names between slashes, none of them empty, `.` or `..`")
            .found(format!("\"{}\"", path.chars().take(200).collect::<String>())));
    }
    Ok(())
}
