//! An array as it is to be written: its metadata, as text for both versions of Zarr.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::Codecs;
use crate::{DataType, KeyEncoding, TimeUnit};

/// The attribute of an array in which lazarr leaves what it wrote: how many files of how many bytes, and a checksum of them
/// all. Every chunk of such an array is stored, so that one that is absent was lost. Other readers ignore it.
pub const MANIFEST: &str = "lazarr";

/// An array that is written.
#[derive(Debug, Clone)]
pub struct ArraySpec {
    /// Its path, without a leading slash.
    pub path: String,
    /// Items along each axis.
    pub shape: Vec<u64>,
    /// What an item is.
    pub dtype: DataType,
    /// The shape of an inner chunk; no zeros.
    pub inner: Vec<u64>,
    /// The shape of a shard, a multiple of `inner`; `None` where chunks are not gathered.
    pub shard: Option<Vec<u64>>,
    /// How chunks are encoded.
    pub codecs: Codecs,
    /// How the keys of chunks are spelled.
    pub keys: KeyEncoding,
    /// The attributes.
    pub attributes: Map<String, Value>,
}

/// The byte order of items: the machine's own, so that nothing has to be swapped.
const ENDIAN: &str = if cfg!(target_endian = "big") { "big" } else { "little" };

impl ArraySpec {
    /// The shape of the unit of storage: of a shard, or a chunk.
    pub fn outer(&self) -> &[u64] {
        self.shard.as_ref().unwrap_or(&self.inner)
    }

    /// The key of a chunk (shard), in the store.
    pub fn key(&self, at: &[u64]) -> String {
        let key = self.keys.key(at);
        if self.path.is_empty() { key } else { format!("{}/{key}", self.path) }
    }

    /// `zarr.json`.
    pub fn v3(&self) -> Value {
        let item = self.dtype.item_size();
        let mut codecs = vec![match (&self.dtype, item) {
            (DataType::String, _) => json!({"name": "vlen-utf8", "configuration": {}}),
            (DataType::Bytes, _) => json!({"name": "vlen-bytes", "configuration": {}}),
            (_, Some(1)) => json!({"name": "bytes"}),
            _ => json!({"name": "bytes", "configuration": {"endian": ENDIAN}}),
        }];
        codecs.extend(self.codecs.v3(item.unwrap_or(1)));
        if self.shard.is_some() {
            codecs = vec![json!({"name": "sharding_indexed", "configuration": {
                "chunk_shape": self.inner, "codecs": codecs,
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
                "index_location": "end",
            }})];
        }
        let (keys, separator) = match self.keys {
            KeyEncoding::Default { separator } => ("default", separator),
            KeyEncoding::V2 { separator } => ("v2", separator),
        };
        json!({
            "zarr_format": 3, "node_type": "array", "shape": self.shape, "data_type": name_v3(&self.dtype),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": self.outer()}},
            "chunk_key_encoding": {"name": keys, "configuration": {"separator": separator}},
            "fill_value": fill_v3(&self.dtype), "codecs": codecs, "attributes": self.attributes,
            "storage_transformers": [],
        })
    }

    /// `.zarray`; the attributes are a document of their own.
    pub fn v2(&self) -> Value {
        let filters = match self.dtype {
            DataType::String => json!([{"id": "vlen-utf8"}]),
            DataType::Bytes => json!([{"id": "vlen-bytes"}]),
            _ => Value::Null,
        };
        let fill =
            if self.shape.is_empty() && !self.dtype.is_vlen() { Value::Null } else { fill_v2(&self.dtype) };
        json!({
            "zarr_format": 2, "shape": self.shape, "chunks": self.inner, "dtype": name_v2(&self.dtype),
            "compressor": self.codecs.v2(), "fill_value": fill, "order": "C", "filters": filters,
            "dimension_separator": ".",
        })
    }
}

fn name_v3(dtype: &DataType) -> Value {
    let time = |name: &str, unit: &TimeUnit| json!({"name": name, "configuration": {"unit": unit.unit, "scale_factor": unit.scale}});
    match dtype {
        DataType::DateTime(unit) => time("numpy.datetime64", unit),
        DataType::TimeDelta(unit) => time("numpy.timedelta64", unit),
        DataType::FixedBytes(n) => {
            json!({"name": "null_terminated_bytes", "configuration": {"length_bytes": n}})
        }
        DataType::Raw(n) => json!({"name": "raw_bytes", "configuration": {"length_bytes": n}}),
        DataType::FixedUtf32(n) => {
            json!({"name": "fixed_length_utf32", "configuration": {"length_bytes": 4 * n}})
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|f| json!({"name": f.name, "data_type": name_v3(&f.dtype)}));
            json!({"name": "struct", "configuration": {"fields": fields.collect::<Vec<_>>()}})
        }
        DataType::Bytes => json!("variable_length_bytes"),
        other => json!(other.to_string()),
    }
}

fn name_v2(dtype: &DataType) -> Value {
    match dtype {
        DataType::Struct(fields) => fields.iter().map(|f| json!([f.name, name_v2(&f.dtype)])).collect(),
        DataType::String | DataType::Bytes => json!("|O"),
        other => match other.numpy_str() {
            Some(text) if cfg!(target_endian = "big") => json!(text.replace('<', ">")),
            text => json!(text),
        },
    }
}

fn zeros(dtype: &DataType) -> String {
    BASE64.encode(vec![0; dtype.item_size().unwrap_or(0)])
}

fn fill_v3(dtype: &DataType) -> Value {
    match dtype {
        DataType::DateTime(_) | DataType::TimeDelta(_) => json!(i64::MIN),
        DataType::Raw(_) => json!(zeros(dtype)),
        DataType::FixedBytes(_) | DataType::Bytes => json!(""),
        DataType::Struct(fields) => {
            Value::Object(fields.iter().map(|f| (f.name.clone(), fill_v3(&f.dtype))).collect())
        }
        _ => fill(dtype),
    }
}

fn fill_v2(dtype: &DataType) -> Value {
    match dtype {
        DataType::DateTime(_) | DataType::TimeDelta(_) => Value::Null,
        DataType::Raw(_) | DataType::FixedBytes(_) | DataType::Struct(_) => json!(zeros(dtype)),
        DataType::Bytes => json!(""),
        _ => fill(dtype),
    }
}

fn fill(dtype: &DataType) -> Value {
    match dtype {
        DataType::Bool => json!(false),
        DataType::Int(_) | DataType::UInt(_) => json!(0),
        DataType::Float(_) => json!(0.0),
        DataType::Complex(_) => json!([0.0, 0.0]),
        _ => json!(""),
    }
}
