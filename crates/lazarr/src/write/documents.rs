//! The metadata of a store that is changed: what is there is kept, with all that others wrote into it.

use std::path::{Path, PathBuf};

use lazarr_format::encode::MANIFEST;
use lazarr_format::{Code, Error, Result};
use lazarr_store::draft::Draft;
use serde_json::{Map, Value as Json, json};

/// The documents under a draft's folder.
pub(super) struct Documents {
    root: PathBuf,
    pub(super) zarr_format: u8,
    /// The consolidated ones, where there are any, under the keys that they have there.
    consolidated: Option<Map<String, Json>>,
    changed: Vec<(String, Json)>,
}

fn parse(path: &Path) -> Result<Option<Json>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::new(Code::MetadataJson, format!("`{}` is no JSON", path.display())).source(e)
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::new(Code::StoreIo, format!("`{}` cannot be read", path.display())).source(e)),
    }
}

fn take(json: &Json, path: &[&str]) -> Option<Map<String, Json>> {
    path.iter().try_fold(json, |j, name| j.get(name))?.as_object().cloned()
}

impl Documents {
    pub(super) fn open(root: &Path, zarr_format: u8) -> Result<Self> {
        let consolidated = if zarr_format == 2 {
            parse(&root.join(".zmetadata"))?.and_then(|j| take(&j, &["metadata"]))
        } else {
            parse(&root.join("zarr.json"))?.and_then(|j| take(&j, &["consolidated_metadata", "metadata"]))
        };
        Ok(Self { root: root.to_owned(), zarr_format, consolidated, changed: Vec::new() })
    }

    fn key(path: &str, name: &str) -> String {
        if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
    }

    /// A document as it will be.
    fn current(&self, key: &str) -> Result<Option<Json>> {
        match self.changed.iter().rev().find(|(k, _)| k == key) {
            Some((_, document)) => Ok(Some(document.clone())),
            None => parse(&self.root.join(key)),
        }
    }

    /// The document of an array, as it stands.
    pub(super) fn array(&self, path: &str) -> Result<Option<Json>> {
        self.current(&Self::key(path, if self.zarr_format == 2 { ".zarray" } else { "zarr.json" }))
    }

    /// Whether a node is there.
    pub(super) fn has(&self, path: &str) -> bool {
        let names: &[&str] = if self.zarr_format == 2 { &[".zarray", ".zgroup"] } else { &["zarr.json"] };
        names
            .iter()
            .map(|name| Self::key(path, name))
            .any(|key| self.changed.iter().any(|(k, _)| *k == key) || self.root.join(key).is_file())
    }

    /// The attributes of a node, as they stand.
    pub(super) fn attributes(&self, path: &str) -> Result<Map<String, Json>> {
        let json = if self.zarr_format == 2 {
            self.current(&Self::key(path, ".zattrs"))?
        } else {
            self.current(&Self::key(path, "zarr.json"))?
                .and_then(|j| take(&j, &["attributes"]).map(Json::Object))
        };
        Ok(json.and_then(|j| j.as_object().cloned()).unwrap_or_default())
    }

    /// Other attributes for a node that is there.
    pub(super) fn set_attributes(&mut self, path: &str, attributes: Map<String, Json>) -> Result<()> {
        if self.zarr_format == 2 {
            self.changed.push((Self::key(path, ".zattrs"), Json::Object(attributes)));
            return Ok(());
        }
        let key = Self::key(path, "zarr.json");
        let Some(mut document) = self.current(&key)? else {
            return Err(Error::new(Code::StoreChanged, "the node is gone").element(path));
        };
        if let Some(fields) = document.as_object_mut() {
            fields.insert("attributes".into(), attributes.into());
        }
        self.changed.push((key, document));
        Ok(())
    }

    /// Takes over a document that was made. What others wrote into the attributes of the node stays. Of an array that goes on,
    /// so does all but its length.
    pub(super) fn merge(&mut self, key: &str, made: &[u8], goes_on: &dyn Fn(&str) -> bool) -> Result<()> {
        let bad = |e| Error::new(Code::Internal, "a document is no JSON").source(e);
        let mut made: Json = serde_json::from_slice(made).map_err(bad)?;
        let path = key.rsplit_once('/').map_or("", |(path, _)| path);
        let with_old = |new: &Json, manifest_stays: bool| -> Result<Json> {
            let mut all = self.attributes(path)?;
            let had = all.contains_key(MANIFEST);
            for (name, value) in new.as_object().into_iter().flatten() {
                // An array of others does not say what its files are.
                if name != MANIFEST || had || !manifest_stays {
                    all.insert(name.clone(), value.clone());
                }
            }
            Ok(Json::Object(all))
        };
        let goes_on = goes_on(path);
        if key.ends_with(".zattrs") {
            made = with_old(&made, goes_on)?;
        } else if !key.ends_with(".zgroup") {
            let attributes = made.get("attributes").cloned();
            if goes_on && let (Some(mut old), Some(shape)) = (self.array(path)?, made.get("shape")) {
                if let Some(old) = old.as_object_mut() {
                    old.insert("shape".into(), shape.clone());
                }
                made = old;
            }
            if let (Some(new), 3) = (attributes, self.zarr_format) {
                let all = with_old(&new, goes_on)?;
                if let Some(made) = made.as_object_mut() {
                    made.insert("attributes".into(), all);
                }
            }
        }
        self.changed.push((key.to_owned(), made));
        Ok(())
    }

    /// A group that holds what is put into it.
    pub(super) fn group(&mut self, path: &str, attributes: Map<String, Json>) {
        if self.zarr_format == 2 {
            self.changed.push((Self::key(path, ".zattrs"), Json::Object(attributes)));
            self.changed.push((Self::key(path, ".zgroup"), json!({"zarr_format": 2})));
        } else {
            let group = json!({"zarr_format": 3, "node_type": "group", "attributes": attributes});
            self.changed.push((Self::key(path, "zarr.json"), group));
        }
    }

    /// What is below a path is gone.
    pub(super) fn removed(&mut self, path: &str) {
        let inside = |key: &str| key.strip_prefix(path).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        if let Some(all) = &mut self.consolidated {
            all.retain(|key, _| !inside(key));
        }
        self.changed.retain(|(key, _)| !inside(key));
    }

    /// Writes what changed, and last what makes it visible.
    pub(super) fn finish(mut self, draft: &dyn Draft) -> Result<()> {
        for (key, document) in &self.changed {
            draft.put(key, document.to_string().as_bytes())?;
            let Some(all) = &mut self.consolidated else { continue };
            let place = if self.zarr_format == 2 { key } else { key.trim_end_matches("/zarr.json") };
            let mut document = document.clone();
            // A group says there that what is below it stands beside it.
            let said = all.get(place).and_then(|old| old.get("consolidated_metadata")).cloned();
            if let (Some(said), Some(fields)) = (said, document.as_object_mut()) {
                fields.insert("consolidated_metadata".into(), said);
            }
            all.insert(place.to_owned(), document);
        }
        let Some(all) = self.consolidated else { return Ok(()) };
        let (key, field) = if self.zarr_format == 2 {
            (".zmetadata", None)
        } else {
            ("zarr.json", Some("consolidated_metadata"))
        };
        let Some(mut document) = parse(&self.root.join(key))? else {
            return Err(Error::new(Code::StoreChanged, "the consolidated metadata is gone"));
        };
        let inside = match field {
            Some(field) => document.get_mut(field),
            None => Some(&mut document),
        };
        if let Some(inside) = inside.and_then(Json::as_object_mut) {
            inside.insert("metadata".into(), Json::Object(all));
        }
        draft.put(key, document.to_string().as_bytes())
    }
}
