//! A catalog of any number of cells that is stored nowhere: its metadata is made when it is opened, its chunks when they
//! are read.
//!
//! Every item has a closed form ([`Simulated::row_start`], [`Simulated::code`], …), so that a test can say what a selection
//! of a hundred million cells must bring without holding them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use lazarr_format::{ByteRange, Code, DataType, Error, Profile, Result};
use lazarr_store::{Found, Listing, Reserve, Store, Version};
use serde_json::{Map, Value, json};

use crate::writer::Codec;

/// The size of a simulated catalog, and how it is laid out.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Rows.
    pub cells: u64,
    /// Columns.
    pub genes: u64,
    /// Stored values of a row, about; 64 or more.
    pub row: u64,
    /// Categories of `obs/cell_type`.
    pub types: u64,
    /// Items of an inner chunk of `X/data` and `X/indices`.
    pub values_chunk: u64,
    /// Items of an inner chunk of everything else.
    pub chunk: u64,
    /// Inner chunks of a shard; `None`: no shards.
    pub per_shard: Option<u64>,
    /// How chunks are compressed.
    pub codec: Codec,
    /// Indices as uint16, else int32.
    pub narrow: bool,
}

impl Catalog {
    /// 200,000 cells, 433 million stored values, in the layout that anndata writes: zstd, int32, inner chunks of 211,000
    /// elements, shards of a gigabyte.
    pub fn as_anndata() -> Self {
        Self {
            cells: 200_000,
            row: 2165,
            types: 40,
            values_chunk: 211_000,
            per_shard: Some(1185),
            ..Self::default()
        }
    }

    /// The same cells in annbatch's layout: lz4 inside of blosc, uint16, inner chunks of 139,000 elements.
    pub fn as_annbatch() -> Self {
        Self {
            values_chunk: 139_264,
            per_shard: Some(1795),
            codec: Codec::BloscLz4,
            narrow: true,
            ..Self::as_anndata()
        }
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            cells: 100_000_000,
            genes: 30_000,
            row: 200,
            types: 100,
            values_chunk: 1 << 18,
            chunk: 1 << 16,
            per_shard: None,
            codec: Codec::Zstd,
            narrow: false,
        }
    }
}

/// What the items of an array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Indptr,
    Data,
    Indices,
    Codes,
    Counts,
    /// Names: a prefix and the number of the row.
    Names(&'static str),
}

#[derive(Debug)]
struct Array {
    content: Content,
    dtype: DataType,
    len: u64,
    chunk: u64,
    per_shard: Option<u64>,
    /// Encoded chunks, where they repeat.
    templates: [OnceLock<Arc<[u8]>>; KINDS as usize],
    requests: AtomicU64,
    index_requests: AtomicU64,
}

/// Chunks of values, indices and codes repeat after so many.
const KINDS: u64 = 8;
/// Digits of the number in a name.
const DIGITS: usize = 10;

/// A store whose values are made when they are asked for; it counts what is.
#[derive(Debug)]
pub struct Simulated {
    catalog: Catalog,
    documents: BTreeMap<String, Vec<u8>>,
    arrays: BTreeMap<String, Array>,
    /// Encoded chunks that do not repeat, where they are kept.
    kept: Option<Kept>,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// Where inner chunks stand in their shard; none where one is absent.
type Places = Vec<Option<Range<u64>>>;

/// Encoded chunks, by array and number.
type Kept = Mutex<HashMap<(String, u64), Arc<[u8]>>>;

impl Simulated {
    /// A catalog. Each chunk is made anew whenever it is read.
    pub fn new(catalog: &Catalog) -> Arc<Self> {
        Arc::new(Self::made(catalog, None))
    }

    /// A catalog that keeps what it has made: its reads then cost a copy.
    pub fn keeping(catalog: &Catalog) -> Arc<Self> {
        Arc::new(Self::made(catalog, Some(Mutex::default())))
    }

    fn made(catalog: &Catalog, kept: Option<Kept>) -> Self {
        let mut sim = Self {
            catalog: catalog.clone(),
            documents: BTreeMap::new(),
            arrays: BTreeMap::new(),
            kept,
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        let (cells, genes, types) = (catalog.cells, catalog.genes, catalog.types);
        let nnz = sim.row_start(cells);
        let frame = |columns: &[&str]| json!({"_index": "_index", "column-order": columns});
        sim.group("", "anndata", "0.1.0", &json!({}));
        sim.group("obs", "dataframe", "0.2.0", &frame(&["cell_type", "n_genes"]));
        sim.array("obs/_index", Content::Names("cell_"), cells);
        sim.group("obs/cell_type", "categorical", "0.2.0", &json!({"ordered": false}));
        sim.array("obs/cell_type/codes", Content::Codes, cells);
        sim.array("obs/cell_type/categories", Content::Names("type_"), types);
        sim.array("obs/n_genes", Content::Counts, cells);
        sim.group("var", "dataframe", "0.2.0", &frame(&[]));
        sim.array("var/_index", Content::Names("gene_"), genes);
        sim.group("X", "csr_matrix", "0.1.0", &json!({"shape": [cells, genes]}));
        sim.array("X/data", Content::Data, nnz);
        sim.array("X/indices", Content::Indices, nnz);
        sim.array("X/indptr", Content::Indptr, cells + 1);
        let mut root: Value = serde_json::from_slice(&sim.documents["zarr.json"]).unwrap();
        let nodes = sim.documents.iter().filter(|(key, _)| *key != "zarr.json").map(|(key, text)| {
            let node: Value = serde_json::from_slice(text).unwrap();
            (key.trim_end_matches("/zarr.json").to_owned(), node)
        });
        root["consolidated_metadata"] =
            json!({"kind": "inline", "must_understand": false, "metadata": nodes.collect::<Map<_, _>>()});
        sim.documents.insert("zarr.json".into(), serde_json::to_vec(&root).unwrap());
        sim
    }

    fn group(&mut self, path: &str, kind: &str, version: &str, more: &Value) {
        let mut attributes = json!({"encoding-type": kind, "encoding-version": version});
        for (name, value) in more.as_object().unwrap() {
            attributes[name] = value.clone();
        }
        let node = json!({"zarr_format": 3, "node_type": "group", "attributes": attributes});
        let key = if path.is_empty() { "zarr.json".to_owned() } else { format!("{path}/zarr.json") };
        self.documents.insert(key, serde_json::to_vec(&node).unwrap());
    }

    fn array(&mut self, path: &str, content: Content, len: u64) {
        let catalog = &self.catalog;
        let (name, dtype, fill, kind) = match content {
            Content::Indptr => ("int64", DataType::Int(8), json!(0), "array"),
            Content::Data => ("float32", DataType::Float(4), json!(0.0), "array"),
            Content::Indices if catalog.narrow => ("uint16", DataType::UInt(2), json!(0), "array"),
            Content::Indices | Content::Counts => ("int32", DataType::Int(4), json!(0), "array"),
            Content::Codes => ("int8", DataType::Int(1), json!(0), "array"),
            Content::Names(_) => ("string", DataType::String, json!(""), "string-array"),
        };
        let values = matches!(content, Content::Data | Content::Indices);
        let chunk = if values { catalog.values_chunk } else { catalog.chunk.min(len.max(1)) };
        let mut codecs = vec![match content {
            Content::Names(_) => json!({"name": "vlen-utf8"}),
            _ => json!({"name": "bytes", "configuration": {"endian": "little"}}),
        }];
        match catalog.codec {
            Codec::None => {}
            Codec::Zstd => {
                codecs.push(json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}}));
            }
            Codec::BloscLz4 => codecs.push(json!({"name": "blosc", "configuration": {
                "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0,
                "typesize": dtype.item_size().unwrap_or(1)}})),
            other => panic!("a simulated catalog has no {other:?}"),
        }
        let mut shape = chunk;
        // One shard where all of an array fits into it.
        let per_shard = catalog.per_shard.map(|n| n.min(len.div_ceil(chunk).max(1)));
        if let Some(n) = per_shard {
            let index = json!([{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]);
            codecs = vec![json!({"name": "sharding_indexed", "configuration": {
                "chunk_shape": [chunk], "codecs": codecs, "index_codecs": index, "index_location": "end"}})];
            shape = chunk * n;
        }
        let node = json!({
            "zarr_format": 3, "node_type": "array", "shape": [len], "data_type": name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shape]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill, "codecs": codecs,
            "attributes": {"encoding-type": kind, "encoding-version": "0.2.0"},
        });
        self.documents.insert(format!("{path}/zarr.json"), serde_json::to_vec(&node).unwrap());
        let array = Array {
            content,
            dtype,
            len,
            chunk,
            per_shard,
            templates: Default::default(),
            requests: AtomicU64::new(0),
            index_requests: AtomicU64::new(0),
        };
        self.arrays.insert(path.to_owned(), array);
    }

    /// Where the stored values of a row start.
    pub fn row_start(&self, row: u64) -> u64 {
        row * self.catalog.row + (row.wrapping_mul(0x9e37_79b9) >> 3) % 64
    }

    /// The stored value at a place of `X/data`.
    pub fn value(&self, at: u64) -> f32 {
        let (chunk, i) = (at / self.catalog.values_chunk, at % self.catalog.values_chunk);
        ((i * 7 + chunk % KINDS) % 1000 + 1) as f32
    }

    /// The index at a place of `X/indices`.
    pub fn index(&self, at: u64) -> u64 {
        let (chunk, i) = (at / self.catalog.values_chunk, at % self.catalog.values_chunk);
        (i * 13 + chunk % KINDS * 101) % self.catalog.genes
    }

    /// The category of a row.
    pub fn code(&self, row: u64) -> u64 {
        let chunk = self.catalog.chunk.min(self.catalog.cells.max(1));
        scatter(row % chunk, row / chunk % KINDS) % self.catalog.types
    }

    /// The count of a row: below 10,000.
    pub fn count(&self, row: u64) -> i32 {
        let chunk = self.catalog.chunk.min(self.catalog.cells.max(1));
        (scatter(row % chunk, 77 + row / chunk % KINDS) % 10_000) as i32
    }

    /// The name of a row.
    pub fn name_of(&self, row: u64) -> String {
        format!("cell_{row:0DIGITS$}")
    }

    /// Reads so far, indices of shards included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Bytes given so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Reads of an array so far, without those of shard indices; and of these.
    pub fn requests_of(&self, path: &str) -> (u64, u64) {
        let array = &self.arrays[path];
        (array.requests.load(Relaxed), array.index_requests.load(Relaxed))
    }

    /// The shards of an array: where each of their inner chunks stands, and the bytes of the index.
    pub fn shards(&self, path: &str) -> Vec<(Places, u64)> {
        let array = &self.arrays[path];
        let Some(per) = array.per_shard else { return Vec::new() };
        let shards = 0..array.len.div_ceil(array.chunk * per);
        shards
            .map(|shard| {
                let places = self.places(path, array, shard, per);
                let ranges = places.into_iter().map(|p| p.map(|(a, b)| a..b)).collect();
                (ranges, 16 * per + 4)
            })
            .collect()
    }

    /// Items of an array, and of its inner chunks.
    pub fn grid(&self, path: &str) -> (u64, u64) {
        (self.arrays[path].len, self.arrays[path].chunk)
    }

    /// The bytes of a document.
    pub fn document(&self, key: &str) -> u64 {
        self.documents[key].len() as u64
    }

    /// An inner chunk of an array as it is stored.
    pub fn chunk(&self, path: &str, chunk: u64) -> Arc<[u8]> {
        self.encoded(path, &self.arrays[path], chunk)
    }

    fn raw(&self, array: &Array, chunk: u64) -> Vec<u8> {
        let (n, start) = (array.chunk, chunk * array.chunk);
        let kind = chunk % KINDS;
        match array.content {
            Content::Indptr => (start..start + n)
                .flat_map(|row| (if row < array.len { self.row_start(row) } else { 0 }).to_le_bytes())
                .collect(),
            Content::Data => (kind * n..kind * n + n).flat_map(|at| self.value(at).to_le_bytes()).collect(),
            Content::Indices if self.catalog.narrow => {
                (kind * n..kind * n + n).flat_map(|at| (self.index(at) as u16).to_le_bytes()).collect()
            }
            Content::Indices => {
                (kind * n..kind * n + n).flat_map(|at| (self.index(at) as i32).to_le_bytes()).collect()
            }
            Content::Codes => (kind * n..kind * n + n).map(|row| self.code(row) as u8).collect(),
            Content::Counts => {
                (kind * n..kind * n + n).flat_map(|row| self.count(row).to_le_bytes()).collect()
            }
            Content::Names(prefix) => {
                let mut out = Vec::with_capacity(4 + n as usize * (4 + prefix.len() + DIGITS));
                out.extend_from_slice(&(n as u32).to_le_bytes());
                let mut digits = format!("{start:0DIGITS$}").into_bytes();
                for row in start..start + n {
                    let padding = row >= array.len;
                    let len = if padding { 0 } else { prefix.len() + DIGITS };
                    out.extend_from_slice(&(len as u32).to_le_bytes());
                    if !padding {
                        out.extend_from_slice(prefix.as_bytes());
                        out.extend_from_slice(&digits);
                    }
                    count_up(&mut digits);
                }
                out
            }
        }
    }

    /// An encoded chunk.
    fn encoded(&self, path: &str, array: &Array, chunk: u64) -> Arc<[u8]> {
        let item = array.dtype.item_size().unwrap_or(1);
        let make = || Arc::from(self.catalog.codec.encode(&self.raw(array, chunk), item));
        if !matches!(array.content, Content::Indptr | Content::Names(_)) {
            return array.templates[(chunk % KINDS) as usize].get_or_init(make).clone();
        }
        let Some(kept) = &self.kept else { return make() };
        let key = (path.to_owned(), chunk);
        if let Some(bytes) = kept.lock().unwrap().get(&key) {
            return bytes.clone();
        }
        let bytes: Arc<[u8]> = make();
        kept.lock().unwrap().insert(key, bytes.clone());
        bytes
    }

    /// Where each chunk of a shard begins and ends.
    fn places(&self, path: &str, array: &Array, shard: u64, per: u64) -> Vec<Option<(u64, u64)>> {
        let chunks = array.len.div_ceil(array.chunk);
        let mut end = 0;
        (shard * per..(shard + 1) * per)
            .map(|chunk| {
                (chunk < chunks).then(|| {
                    let start = end;
                    end += self.encoded(path, array, chunk).len() as u64;
                    (start, end)
                })
            })
            .collect()
    }

    fn index_bytes(places: &[Option<(u64, u64)>]) -> Vec<u8> {
        let entry = |p: &Option<(u64, u64)>| p.map_or([u64::MAX; 2], |(a, b)| [a, b - a]);
        let mut out: Vec<u8> = places.iter().flat_map(entry).flat_map(u64::to_le_bytes).collect();
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// The array of a key, and the number of its chunk or shard.
    fn find(&self, key: &str) -> Option<(&str, &Array, u64)> {
        let (path, number) = key.rsplit_once("/c/")?;
        let (path, array) = self.arrays.get_key_value(path)?;
        let number: u64 = number.parse().ok()?;
        let grid = array.len.div_ceil(array.chunk * array.per_shard.unwrap_or(1));
        (number < grid).then_some((path.as_str(), array, number))
    }

    fn read(&self, key: &str, range: &ByteRange) -> Option<Result<(Vec<u8>, u64)>> {
        let cut = |bytes: &[u8]| {
            let total = bytes.len() as u64;
            let span = match *range {
                ByteRange::All => 0..total,
                ByteRange::Range(ref r) => r.clone(),
                ByteRange::Suffix(n) => total.saturating_sub(n)..total,
            };
            let found = bytes.get(span.start as usize..span.end as usize);
            found
                .map(|b| (b.to_vec(), total))
                .ok_or_else(|| Error::new(Code::ChunkLength, "too short").key(key))
        };
        if let Some(document) = self.documents.get(key) {
            return Some(cut(document));
        }
        let (path, array, number) = self.find(key)?;
        let Some(per) = array.per_shard else {
            array.requests.fetch_add(1, Relaxed);
            return Some(cut(&self.encoded(path, array, number)));
        };
        let places = self.places(path, array, number, per);
        let data = places.iter().flatten().map(|p| p.1).max().unwrap_or(0);
        let index = Self::index_bytes(&places);
        let total = data + index.len() as u64;
        let span = match *range {
            ByteRange::All => 0..total,
            ByteRange::Range(ref r) => r.clone(),
            ByteRange::Suffix(n) => total.saturating_sub(n)..total,
        };
        if span.start == data {
            array.index_requests.fetch_add(1, Relaxed);
        } else {
            array.requests.fetch_add(1, Relaxed);
        }
        if span.end > total {
            return Some(Err(Error::new(Code::ChunkLength, "too short").key(key)));
        }
        let mut out = Vec::with_capacity((span.end - span.start) as usize);
        let mut part = |bytes: &[u8], start: u64| {
            let (a, b) = (span.start.max(start), span.end.min(start + bytes.len() as u64));
            if a < b {
                out.extend_from_slice(&bytes[(a - start) as usize..(b - start) as usize]);
            }
        };
        for (i, place) in places.iter().enumerate() {
            if let Some((a, _)) = place.filter(|p| p.0 < span.end && p.1 > span.start) {
                part(&self.encoded(path, array, number * per + i as u64), a);
            }
        }
        part(&index, data);
        Some(Ok((out, total)))
    }
}

/// Numbers without a pattern that a compressor would find.
fn scatter(i: u64, kind: u64) -> u64 {
    let x = (i + (kind << 32) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

/// The next number, in digits.
fn count_up(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}

impl Store for Simulated {
    fn name(&self) -> String {
        format!("simulated {} cells", self.catalog.cells)
    }

    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        self.requests.fetch_add(1, Relaxed);
        let Some(read) = self.read(key, range) else { return Ok(None) };
        let (bytes, total) = read?;
        reserve(bytes.len() as u64)?;
        self.bytes.fetch_add(bytes.len() as u64, Relaxed);
        if out.is_empty() {
            out.reserve(bytes.len());
        }
        out.extend_from_slice(&bytes);
        Ok(Some(Found { total: Some(total), version: Version(total), cached: false }))
    }

    fn size(&self, key: &str, _: Reserve<'_>) -> Result<Option<u64>> {
        if let Some(document) = self.documents.get(key) {
            return Ok(Some(document.len() as u64));
        }
        let Some((path, array, number)) = self.find(key) else { return Ok(None) };
        Ok(Some(match array.per_shard {
            None => self.encoded(path, array, number).len() as u64,
            Some(per) => {
                let places = self.places(path, array, number, per);
                places.iter().flatten().map(|p| p.1).max().unwrap_or(0) + 16 * per + 4
            }
        }))
    }

    fn list(&self, _: &str, _: Reserve<'_>) -> Result<Option<Listing>> {
        Ok(None)
    }

    fn profile(&self) -> Profile {
        Profile { latency: 1e-7, per_request: 1e-7, ..Profile::LOCAL }
    }
}
