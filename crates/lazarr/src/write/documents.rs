//! The metadata of a store that is changed: what is there is kept, with all that others wrote into it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lazarr_format::encode::MANIFEST;
use lazarr_format::{Code, Error, KeyEncoding, Result};
use lazarr_store::draft::Draft;
use lazarr_store::{ByteRange, LocalStore, MemoryStore, Store};
use serde_json::{Map, Value as Json, json};

use crate::session::Session;

/// Where documents stand.
enum Place {
    /// In a draft's folder, which has all of the store.
    Folder(PathBuf),
    /// In the store itself; all but the root's as the consolidated metadata has them.
    #[cfg_attr(
        not(feature = "remote"),
        allow(dead_code, reason = "only stores over a network are changed so")
    )]
    Store(Arc<Session>),
}

/// The documents of a store that is changed.
pub(super) struct Documents {
    place: Place,
    pub(super) zarr_format: u8,
    /// The consolidated ones, where there are any, under the keys that they have there.
    consolidated: Option<Map<String, Json>>,
    changed: Vec<(String, Json)>,
}

fn json_of(bytes: &[u8], name: &str) -> Result<Json> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::new(Code::MetadataJson, format!("`{name}` is no JSON")).source(e))
}

/// A document of a group, without what the consolidated metadata says of those below it.
fn alone(mut document: Json) -> Json {
    if let Some(fields) = document.as_object_mut() {
        fields.remove("consolidated_metadata");
    }
    document
}

fn parse(path: &Path) -> Result<Option<Json>> {
    match std::fs::read(path) {
        Ok(bytes) => json_of(&bytes, &path.display().to_string()).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::new(Code::StoreIo, format!("`{}` cannot be read", path.display())).source(e)),
    }
}

fn take(json: &Json, path: &[&str]) -> Option<Map<String, Json>> {
    path.iter().try_fold(json, |j, name| j.get(name))?.as_object().cloned()
}

impl Documents {
    /// Of a draft's folder.
    pub(super) fn open(root: &Path, zarr_format: u8) -> Result<Self> {
        Self::of(Place::Folder(root.to_owned()), zarr_format)
    }

    /// Of a store over a network, which is changed by its consolidated metadata.
    #[cfg(feature = "remote")]
    pub(super) fn of_store(session: &Arc<Session>) -> Result<Self> {
        let documents = Self::of(Place::Store(session.clone()), session.zarr_format())?;
        if documents.consolidated.is_none() {
            return Err(Error::new(
                Code::NotWritten,
                "over a network a store is changed by its consolidated metadata, and it has none",
            )
            .help("Consolidate it (zarr.consolidate_metadata), or write it anew: lz.write, `lazarr write`"));
        }
        Ok(documents)
    }

    fn of(place: Place, zarr_format: u8) -> Result<Self> {
        let mut documents = Self { place, zarr_format, consolidated: None, changed: Vec::new() };
        let (key, path): (_, &[&str]) = if zarr_format == 2 {
            (".zmetadata", &["metadata"])
        } else {
            ("zarr.json", &["consolidated_metadata", "metadata"])
        };
        documents.consolidated = documents.stored(key)?.and_then(|j| take(&j, path));
        Ok(documents)
    }

    /// A document as it is.
    fn stored(&self, key: &str) -> Result<Option<Json>> {
        match &self.place {
            Place::Folder(root) => parse(&root.join(key)),
            Place::Store(session) => {
                if let (Some(all), Some(path)) = (&self.consolidated, key.strip_suffix("/zarr.json")) {
                    return Ok(all.get(path).cloned().map(alone));
                }
                let mut bytes = Vec::new();
                let found = session.io.get(key, &ByteRange::All, &mut |_| Ok(()), &mut bytes)?;
                found.map(|_| json_of(&bytes, key)).transpose()
            }
        }
    }

    /// How the chunks of all arrays are spelled that are read until the change is seen.
    pub(super) fn keys(&self) -> HashMap<String, KeyEncoding> {
        let (Place::Store(_), Some(all)) = (&self.place, &self.consolidated) else { return HashMap::new() };
        let name =
            |document: &Json| document.get("chunk_key_encoding")?.get("name")?.as_str().map(str::to_owned);
        let usual = KeyEncoding::usual(self.zarr_format);
        let of = |name: String| if name == "v2" { usual.other() } else { usual };
        all.iter().filter_map(|(path, document)| Some((path.clone(), of(name(document)?)))).collect()
    }

    fn key(path: &str, name: &str) -> String {
        if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
    }

    /// A document as it will be.
    fn current(&self, key: &str) -> Result<Option<Json>> {
        match self.changed.iter().rev().find(|(k, _)| k == key) {
            Some((_, document)) => Ok(Some(document.clone())),
            None => self.stored(key),
        }
    }

    /// The document of an array, as it stands.
    pub(super) fn array(&self, path: &str) -> Result<Option<Json>> {
        self.current(&Self::key(path, if self.zarr_format == 2 { ".zarray" } else { "zarr.json" }))
    }

    /// Whether a node is there, readable or not.
    pub(super) fn has(&self, path: &str) -> bool {
        let names: &[&str] = if self.zarr_format == 2 { &[".zarray", ".zgroup"] } else { &["zarr.json"] };
        names.iter().map(|name| Self::key(path, name)).any(|key| !matches!(self.current(&key), Ok(None)))
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

    /// Writes what changed, and last what makes it visible; what that is then, to be looked at.
    pub(super) fn finish(mut self, draft: &dyn Draft) -> Result<Arc<dyn Store>> {
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
        let Some(all) = self.consolidated.take() else { return self.made(None) };
        let (key, field) = if self.zarr_format == 2 {
            (".zmetadata", None)
        } else {
            ("zarr.json", Some("consolidated_metadata"))
        };
        let Some(mut document) = self.stored(key)? else {
            return Err(Error::new(Code::StoreChanged, "the consolidated metadata is gone"));
        };
        let inside = match field {
            Some(field) => document.get_mut(field),
            None => Some(&mut document),
        };
        if let Some(inside) = inside.and_then(Json::as_object_mut) {
            inside.insert("metadata".into(), Json::Object(all));
        }
        let text = document.to_string();
        draft.put(key, text.as_bytes())?;
        self.made(Some((key, text)))
    }

    /// The store as it is now; over a network, its root alone.
    fn made(self, root: Option<(&str, String)>) -> Result<Arc<dyn Store>> {
        Ok(match self.place {
            Place::Folder(folder) => Arc::new(LocalStore::open(folder)?),
            Place::Store(_) => {
                let mut store = MemoryStore::default();
                if let Some((key, text)) = root {
                    store.insert(key, text.into_bytes());
                }
                Arc::new(store)
            }
        })
    }
}
