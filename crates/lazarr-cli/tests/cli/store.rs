//! A small Zarr v3 store, written by hand: one chunk an array, no compression, no consolidated metadata.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A directory that becomes a store.
pub(crate) struct Store {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

fn encoding(name: &str, version: &str) -> Value {
    json!({ "encoding-type": name, "encoding-version": version })
}

fn with(mut attributes: Value, more: &[(&str, Value)]) -> Value {
    for (key, value) in more {
        attributes[*key] = value.clone();
    }
    attributes
}

fn le<T: Copy, const N: usize>(items: &[T], bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    items.iter().flat_map(|&x| bytes(x)).collect()
}

/// The vlen-utf8 codec: a count, then the length and the bytes of each item.
fn vlen(items: &[&str]) -> Vec<u8> {
    let mut out = (items.len() as u32).to_le_bytes().to_vec();
    for item in items {
        out.extend((item.len() as u32).to_le_bytes());
        out.extend(item.as_bytes());
    }
    out
}

impl Store {
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cells.zarr");
        fs::create_dir(&root).unwrap();
        Self { _dir: dir, root }
    }

    /// Five cells and four genes; csr X, obs with a categorical and a number, an embedding, a nested `uns`.
    pub(crate) fn cells() -> Self {
        let s = Self::empty();
        s.group("", &encoding("anndata", "0.1.0"));
        s.group("X", &with(encoding("csr_matrix", "0.1.0"), &[("shape", json!([5, 4]))]));
        s.array("X/data", "float32", &[6], &le(&[1f32, 2.5, 3.0, 4.0, 5.0, 1e-9], f32::to_le_bytes));
        s.array("X/indices", "int32", &[6], &le(&[0i32, 2, 3, 0, 1, 2], i32::to_le_bytes));
        s.array("X/indptr", "int32", &[6], &le(&[0i32, 2, 3, 3, 5, 6], i32::to_le_bytes));
        s.frame("obs", &["cell_type", "n_counts"]);
        s.strings("obs/_index", &["c0", "c1", "c2", "c3", "c4"]);
        s.group("obs/cell_type", &with(encoding("categorical", "0.2.0"), &[("ordered", json!(false))]));
        s.array("obs/cell_type/codes", "int8", &[5], &[0, 1, 0xff, 1, 0]);
        s.strings("obs/cell_type/categories", &["T cell", "B cell"]);
        s.array("obs/n_counts", "int64", &[5], &le(&[10i64, -2, 30, 4, 50], i64::to_le_bytes));
        s.frame("var", &[]);
        s.strings("var/_index", &["CD3D", "CD8A", "MS4A1", "NKG7"]);
        s.mapping("obsm");
        let pca = [0.5, -1.25, f64::NAN, 2.0 / 3.0, 1e12, 0.0, 3.0, 4.0, f64::INFINITY, 6.0];
        s.array("obsm/X_pca", "float64", &[5, 2], &le(&pca, f64::to_le_bytes));
        s.mapping("uns");
        s.array("uns/answer", "int64", &[], &42i64.to_le_bytes());
        s.string("uns/title", "red \u{1b}[31m and\nturned \u{202e}");
        s.mapping("uns/params");
        s.array("uns/params/flag", "bool", &[], &[1]);
        s.group("uns/odd", &encoding("of-tomorrow", "9.0"));
        s
    }

    pub(crate) fn path(&self) -> &str {
        self.root.to_str().unwrap()
    }

    /// What it is in.
    pub(crate) fn folder(&self) -> &str {
        self.root.parent().and_then(Path::to_str).unwrap()
    }

    /// Replaces a file of the store.
    pub(crate) fn write(&self, key: &str, bytes: &[u8]) {
        let path = self.root.join(key);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Takes a group out of the store.
    pub(crate) fn remove(&self, path: &str) {
        fs::remove_dir_all(self.root.join(path)).unwrap();
    }

    fn node(&self, path: &str, document: &Value) {
        let key = if path.is_empty() { "zarr.json".to_owned() } else { format!("{path}/zarr.json") };
        self.write(&key, document.to_string().as_bytes());
    }

    pub(crate) fn group(&self, path: &str, attributes: &Value) {
        self.node(path, &json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes }));
    }

    fn mapping(&self, path: &str) {
        self.group(path, &encoding("dict", "0.1.0"));
    }

    fn frame(&self, path: &str, columns: &[&str]) {
        let more = [("_index", json!("_index")), ("column-order", json!(columns))];
        self.group(path, &with(encoding("dataframe", "0.2.0"), &more));
    }

    fn document(
        &self,
        path: &str,
        dtype: &str,
        shape: &[u64],
        fill: &Value,
        codec: &Value,
        attributes: &Value,
    ) {
        self.node(
            path,
            &json!({
                "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": dtype,
                "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": shape } },
                "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
                "fill_value": fill, "codecs": [codec], "attributes": attributes,
            }),
        );
    }

    fn chunk(&self, path: &str, rank: usize, bytes: &[u8]) {
        self.write(&format!("{path}/c{}", "/0".repeat(rank)), bytes);
    }

    pub(crate) fn array(&self, path: &str, dtype: &str, shape: &[u64], bytes: &[u8]) {
        let fill = if dtype == "bool" { json!(false) } else { json!(0) };
        let name = if shape.is_empty() { "numeric-scalar" } else { "array" };
        let codec = json!({ "name": "bytes", "configuration": { "endian": "little" } });
        self.document(path, dtype, shape, &fill, &codec, &encoding(name, "0.2.0"));
        self.chunk(path, shape.len(), bytes);
    }

    fn strings(&self, path: &str, items: &[&str]) {
        let codec = json!({ "name": "vlen-utf8" });
        let shape = [items.len() as u64];
        self.document(path, "string", &shape, &json!(""), &codec, &encoding("string-array", "0.2.0"));
        self.chunk(path, 1, &vlen(items));
    }

    fn string(&self, path: &str, item: &str) {
        let codec = json!({ "name": "vlen-utf8" });
        self.document(path, "string", &[], &json!(""), &codec, &encoding("string", "0.2.0"));
        self.chunk(path, 0, &vlen(&[item]));
    }
}
