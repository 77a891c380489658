//! Groups and arrays as keys and values, in the layout that is asked for.

use std::collections::BTreeMap;
use std::path::Path;

use lazarr_format::DataType;
use lazarr_store::MemoryStore;
use serde_json::{Map, Value, json};
use zarrs::array::{Codec as Codec3, CodecOptions};
use zarrs::metadata::v3::MetadataV3;

use crate::array::{Array, Items};
use crate::rng::Rng;

/// How chunks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// zstd.
    Zstd,
    /// zstd with its checksum.
    ZstdSum,
    /// blosc around lz4, bytes shuffled.
    BloscLz4,
    /// blosc around zstd, bits shuffled.
    BloscZstd,
    /// gzip.
    Gzip,
    /// crc32c alone (v3).
    Crc,
}

impl Codec {
    /// Every codec that a version of Zarr has.
    pub fn all(version: u8) -> &'static [Self] {
        let all =
            &[Self::None, Self::Zstd, Self::ZstdSum, Self::Gzip, Self::BloscLz4, Self::BloscZstd, Self::Crc];
        if version == 3 { all } else { &all[..6] }
    }

    /// Whether a checksum covers the items.
    pub fn has_checksum(self) -> bool {
        matches!(self, Self::ZstdSum | Self::Gzip | Self::Crc)
    }

    /// Compresses items of this size.
    pub(crate) fn encode(self, raw: &[u8], item: usize) -> Vec<u8> {
        compress(self, raw, item)
    }
}

/// How arrays are sharded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards {
    /// Inner chunks of a shard, along each axis.
    pub per_axis: u64,
    /// Whether the index stands first.
    pub index_at_start: bool,
    /// Whether the index has a checksum.
    pub checksum: bool,
    /// Bytes between inner chunks.
    pub gap: usize,
    /// Whether inner chunks stand in reverse order.
    pub reversed: bool,
}

/// How a store is laid out.
#[allow(clippy::struct_excessive_bools, reason = "each is a yes or no of the format")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// 2 or 3.
    pub version: u8,
    /// Shards (v3).
    pub shards: Option<Shards>,
    /// The codec of chunks.
    pub codec: Codec,
    /// Whether metadata is consolidated.
    pub consolidated: bool,
    /// `/` between the numbers of a key, else `.`.
    pub slash: bool,
    /// Items in Fortran's order.
    pub fortran: bool,
    /// Items big-endian.
    pub big_endian: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            version: 3,
            shards: None,
            codec: Codec::None,
            consolidated: true,
            slash: true,
            fortran: false,
            big_endian: false,
        }
    }
}

impl Layout {
    /// Any layout.
    pub fn random(rng: &mut Rng) -> Self {
        let version = if rng.once_in(3) { 2 } else { 3 };
        let shards = (version == 3 && rng.below(3) > 0).then(|| Shards {
            per_axis: rng.within(1..4),
            index_at_start: rng.once_in(2),
            checksum: rng.once_in(2),
            gap: rng.pick(&[0, 0, 3, 700, 5000]),
            reversed: rng.once_in(3),
        });
        Self {
            version,
            shards,
            codec: rng.pick(Codec::all(version)),
            consolidated: rng.below(3) > 0,
            slash: rng.once_in(2),
            fortran: rng.once_in(3),
            big_endian: rng.once_in(3),
        }
    }

    /// v3, two inner chunks a shard, the index at the end with its checksum.
    pub fn sharded() -> Self {
        let shards = Shards { per_axis: 2, index_at_start: false, checksum: true, gap: 0, reversed: false };
        Self { shards: Some(shards), ..Self::default() }
    }

    /// v2.
    pub fn v2() -> Self {
        Self { version: 2, slash: false, ..Self::default() }
    }
}

/// Writes groups and arrays.
#[derive(Debug, Clone)]
pub struct Writer {
    layout: Layout,
    values: BTreeMap<String, Vec<u8>>,
    nodes: Vec<(String, Value)>,
    arrays: BTreeMap<String, Array>,
}

impl Writer {
    /// With no nodes yet.
    pub fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone(), values: BTreeMap::new(), nodes: Vec::new(), arrays: BTreeMap::new() }
    }

    /// The layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The arrays that were written, by path.
    pub fn arrays(&self) -> &BTreeMap<String, Array> {
        &self.arrays
    }

    /// Writes a group. The root is the empty path.
    pub fn group(&mut self, path: &str, attributes: Value) {
        if self.layout.version == 3 {
            let node = json!({"zarr_format": 3, "node_type": "group", "attributes": attributes});
            self.nodes.push((key(path, "zarr.json"), node));
        } else {
            self.nodes.push((key(path, ".zgroup"), json!({"zarr_format": 2})));
            self.nodes.push((key(path, ".zattrs"), attributes));
        }
    }

    /// Writes a group with an encoding.
    pub fn encoded(&mut self, path: &str, kind: &str, version: &str, more: &[(&str, Value)]) {
        let mut attributes = Map::new();
        attributes.insert("encoding-type".into(), json!(kind));
        attributes.insert("encoding-version".into(), json!(version));
        attributes.extend(more.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
        self.group(path, Value::Object(attributes));
    }

    /// Writes an array, in place of one that is there.
    pub fn array(&mut self, path: &str, array: &Array) {
        let sharded = self.layout.shards.filter(|_| self.layout.version == 3 && !array.shape.is_empty());
        self.values.retain(|k, _| !k.starts_with(&format!("{path}/")));
        self.nodes.retain(|(k, _)| !k.starts_with(&format!("{path}/")));
        let big = self.layout.big_endian && matches!(array.items, Items::Fixed(_));
        let fortran = self.layout.fortran && array.shape.len() > 1 && matches!(array.items, Items::Fixed(_));
        if self.layout.version == 3 {
            self.nodes.push((key(path, "zarr.json"), self.meta_v3(array, sharded, fortran, big)));
        } else {
            self.nodes.push((key(path, ".zarray"), self.meta_v2(array, fortran, big)));
            self.nodes.push((key(path, ".zattrs"), Value::Object(array.attributes.clone())));
        }
        self.arrays.insert(path.to_owned(), array.clone());
        let item = array.dtype.item_size().unwrap_or(1);
        let encoded =
            |at: &[u64]| array.chunk_bytes(at, fortran, big).map(|raw| self.layout.codec.encode(&raw, item));
        let mut made = Vec::new();
        match sharded {
            None => {
                for at in array.grid() {
                    made.extend(encoded(&at).map(|bytes| (key(path, &self.chunk_key(&at)), bytes)));
                }
            }
            Some(shards) => {
                let mut grouped: BTreeMap<Vec<u64>, Vec<Vec<u64>>> = BTreeMap::new();
                for at in array.grid() {
                    grouped.entry(at.iter().map(|i| i / shards.per_axis).collect()).or_default().push(at);
                }
                for (shard, inner) in grouped {
                    let entries = shards.per_axis.pow(shard.len() as u32) as usize;
                    let chunks = inner.iter().filter_map(|at| {
                        let number = at.iter().fold(0, |n, i| n * shards.per_axis + i % shards.per_axis);
                        Some((number as usize, encoded(at)?))
                    });
                    let mut chunks: Vec<_> = chunks.collect();
                    if chunks.is_empty() {
                        continue;
                    }
                    if shards.reversed {
                        chunks.reverse();
                    }
                    made.push((key(path, &self.chunk_key(&shard)), shard_bytes(shards, entries, &chunks)));
                }
            }
        }
        self.values.extend(made);
    }

    fn chunk_key(&self, at: &[u64]) -> String {
        let separator = if self.layout.slash { "/" } else { "." };
        let parts: Vec<String> = at.iter().map(u64::to_string).collect();
        match (self.layout.version, parts.is_empty()) {
            (3, true) => "c".into(),
            (3, false) => format!("c{separator}{}", parts.join(separator)),
            (_, true) => "0".into(),
            _ => parts.join(separator),
        }
    }

    fn meta_v3(&self, array: &Array, sharded: Option<Shards>, fortran: bool, big: bool) -> Value {
        let mut codecs = Vec::new();
        if fortran {
            let order: Vec<usize> = (0..array.shape.len()).rev().collect();
            codecs.push(json!({"name": "transpose", "configuration": {"order": order}}));
        }
        codecs.push(match &array.items {
            Items::Strings(_) => json!({"name": "vlen-utf8"}),
            Items::Fixed(_) => {
                json!({"name": "bytes", "configuration": {"endian": if big { "big" } else { "little" }}})
            }
        });
        codecs.extend(match self.layout.codec {
            Codec::None => None,
            Codec::Zstd => Some(json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}})),
            Codec::ZstdSum => Some(json!({"name": "zstd", "configuration": {"level": 1, "checksum": true}})),
            Codec::Gzip => Some(json!({"name": "gzip", "configuration": {"level": 1}})),
            Codec::BloscLz4 | Codec::BloscZstd => {
                let (cname, shuffle) = blosc_names(self.layout.codec);
                let item = array.dtype.item_size().unwrap_or(1);
                Some(json!({"name": "blosc", "configuration":
                    {"cname": cname, "clevel": 5, "shuffle": shuffle, "typesize": item, "blocksize": 0}}))
            }
            Codec::Crc => Some(json!({"name": "crc32c"})),
        });
        let mut chunk = array.chunk.clone();
        if let Some(s) = sharded {
            let mut index = vec![json!({"name": "bytes", "configuration": {"endian": "little"}})];
            if s.checksum {
                index.push(json!({"name": "crc32c"}));
            }
            codecs = vec![json!({"name": "sharding_indexed", "configuration": {
                "chunk_shape": array.chunk, "codecs": codecs, "index_codecs": index,
                "index_location": if s.index_at_start { "start" } else { "end" },
            }})];
            chunk = chunk.iter().map(|c| c * s.per_axis).collect();
        }
        let dtype = match &array.dtype {
            DataType::FixedUtf32(n) => {
                json!({"name": "fixed_length_utf32", "configuration": {"length_bytes": 4 * n}})
            }
            other => json!(other.to_string()),
        };
        json!({
            "zarr_format": 3, "node_type": "array", "shape": array.shape, "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": if self.layout.slash { "/" } else { "." }}},
            "fill_value": array.fill, "codecs": codecs, "attributes": array.attributes,
        })
    }

    fn meta_v2(&self, array: &Array, fortran: bool, big: bool) -> Value {
        let (dtype, filters) = match array.dtype.numpy_str() {
            Some(text) if big => (text.replace('<', ">"), Value::Null),
            Some(text) => (text, Value::Null),
            None => ("|O".into(), json!([{"id": "vlen-utf8"}])),
        };
        let compressor = match self.layout.codec {
            Codec::None | Codec::Crc => Value::Null,
            Codec::Zstd => json!({"id": "zstd", "level": 1}),
            Codec::ZstdSum => json!({"id": "zstd", "level": 1, "checksum": true}),
            Codec::Gzip => json!({"id": "gzip", "level": 1}),
            Codec::BloscLz4 => {
                json!({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0})
            }
            Codec::BloscZstd => {
                json!({"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 2, "blocksize": 0})
            }
        };
        json!({
            "zarr_format": 2, "shape": array.shape, "chunks": array.chunk, "dtype": dtype, "compressor": compressor,
            "fill_value": array.fill, "order": if fortran { "F" } else { "C" }, "filters": filters,
            "dimension_separator": if self.layout.slash { "/" } else { "." },
        })
    }

    /// Puts another document in place of a node's.
    pub fn replace_node(&mut self, key: &str, document: Value) {
        self.nodes.retain(|(k, _)| k != key);
        self.nodes.push((key.to_owned(), document));
    }

    /// Keys and values, metadata included.
    pub fn values(&self) -> BTreeMap<String, Vec<u8>> {
        let mut out = self.values.clone();
        let bytes = |v: &Value| serde_json::to_vec(v).unwrap();
        for (key, node) in &self.nodes {
            out.insert(key.clone(), bytes(node));
        }
        if !self.layout.consolidated {
            return out;
        }
        let mut metadata = Map::new();
        let plain = json!({"zarr_format": 3, "node_type": "group", "attributes": {}});
        if self.layout.version == 3 {
            for (key, node) in self.nodes.iter().filter(|(k, _)| k != "zarr.json") {
                metadata.insert(key.trim_end_matches("/zarr.json").to_owned(), node.clone());
            }
            let mut root = self.nodes.iter().find(|(k, _)| k == "zarr.json").map_or(plain, |n| n.1.clone());
            root["consolidated_metadata"] =
                json!({"kind": "inline", "must_understand": false, "metadata": metadata});
            out.insert("zarr.json".into(), bytes(&root));
        } else {
            metadata.extend(self.nodes.iter().cloned());
            let document = json!({"zarr_consolidated_format": 1, "metadata": metadata});
            out.insert(".zmetadata".into(), bytes(&document));
        }
        out
    }

    /// The store, in memory.
    pub fn store(&self) -> MemoryStore {
        let mut store = MemoryStore::default();
        for (key, value) in self.values() {
            store.insert(key, value);
        }
        store
    }

    /// The store, as files below a directory.
    pub fn write_to(&self, directory: &Path) -> std::io::Result<()> {
        for (key, value) in self.values() {
            let path = directory.join(key);
            std::fs::create_dir_all(path.parent().unwrap())?;
            std::fs::write(path, value)?;
        }
        Ok(())
    }
}

fn key(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// The names of the compressor and the shuffle.
fn blosc_names(codec: Codec) -> (&'static str, &'static str) {
    if codec == Codec::BloscLz4 { ("lz4", "shuffle") } else { ("zstd", "bitshuffle") }
}

fn compress(codec: Codec, raw: &[u8], item: usize) -> Vec<u8> {
    match codec {
        Codec::None => raw.to_vec(),
        Codec::Zstd | Codec::ZstdSum => {
            let mut context = zstd_safe::CCtx::create();
            let sum = zstd_safe::CParameter::ChecksumFlag(codec == Codec::ZstdSum);
            context.set_parameter(sum).unwrap();
            let mut out = Vec::with_capacity(zstd_safe::compress_bound(raw.len()));
            context.compress2(&mut out, raw).unwrap();
            out
        }
        Codec::Gzip => {
            let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
            let mut out = vec![0; compressor.gzip_compress_bound(raw.len())];
            let n = compressor.gzip_compress(raw, &mut out).unwrap();
            out.truncate(n);
            out
        }
        Codec::BloscLz4 | Codec::BloscZstd => {
            let (cname, shuffle) = blosc_names(codec);
            let configuration =
                json!({"cname": cname, "clevel": 5, "shuffle": shuffle, "typesize": item, "blocksize": 0});
            let metadata =
                MetadataV3::new_with_serializable_configuration("blosc".into(), &configuration).unwrap();
            let Codec3::BytesToBytes(codec) = Codec3::from_metadata(&metadata).unwrap() else {
                panic!("blosc turns bytes into bytes")
            };
            codec.encode(raw.into(), &CodecOptions::default()).unwrap().into_owned()
        }
        Codec::Crc => [raw, &crc32c::crc32c(raw).to_le_bytes()].concat(),
    }
}

fn shard_bytes(shards: Shards, entries: usize, chunks: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let index_bytes = 16 * entries + if shards.checksum { 4 } else { 0 };
    let mut index = vec![[u64::MAX; 2]; entries];
    let mut data = Vec::new();
    let base = if shards.index_at_start { index_bytes } else { 0 };
    for (number, bytes) in chunks {
        index[*number] = [(base + data.len()) as u64, bytes.len() as u64];
        data.extend_from_slice(bytes);
        data.resize(data.len() + shards.gap, 0xaa);
    }
    let mut head: Vec<u8> = index.iter().flatten().flat_map(|n| n.to_le_bytes()).collect();
    if shards.checksum {
        head.extend(crc32c::crc32c(&head).to_le_bytes());
    }
    if shards.index_at_start { [head, data].concat() } else { [data, head].concat() }
}
