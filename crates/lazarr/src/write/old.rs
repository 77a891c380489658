//! Arrays of a store that grow: how they are cut and encoded, where that can be gone on with.

use lazarr_format::encode::{ArraySpec, Codecs, Compressor, Shuffle};
use lazarr_format::{ArrayMeta, DataType, KeyEncoding};
use serde_json::{Map, Value as Json, json};

use super::manifest::Tally;

/// An array as it stands.
pub(super) struct Old {
    pub(super) dtype: DataType,
    pub(super) shape: Vec<u64>,
    /// The inner chunk, the shard, the codecs: `None` where nobody writes such.
    pub(super) cutting: Option<(Vec<u64>, Option<Vec<u64>>, Codecs)>,
    pub(super) keys: KeyEncoding,
    pub(super) attributes: Map<String, Json>,
    /// Of the files that stay, where the array says what its files are.
    pub(super) stays: Tally,
}

impl Old {
    pub(super) fn new(array: &ArrayMeta, document: Option<&Json>) -> Self {
        let read = if array.zarr_format == 2 { v2 } else { v3 };
        let codecs = document.filter(|_| array.grid.is_none() && array.part.is_none()).and_then(read);
        let cutting = codecs.map(|codecs| {
            let shard = array.sharding.is_some().then(|| array.chunk_shape.clone());
            (array.inner_shape().to_vec(), shard, codecs)
        });
        let (attributes, stays) = (array.attributes.clone(), Tally::default());
        let (dtype, shape, keys) = (array.dtype.clone(), array.shape.clone(), array.keys);
        Self { dtype, shape, cutting, keys, attributes, stays }
    }

    /// Where a new file begins: of the rows before, every file stays.
    pub(super) fn start(&self) -> u64 {
        let Some((inner, shard, _)) = &self.cutting else { return 0 };
        let rows = self.shape.first().copied().unwrap_or(0);
        let outer = shard.as_ref().unwrap_or(inner).first().copied().unwrap_or(1).max(1);
        rows / outer * outer
    }

    /// The type of integers that stay as they are, where they can hold another type's.
    pub(super) fn holds(&self, need: &DataType) -> Option<DataType> {
        match (&self.dtype, need) {
            (DataType::Int(have), DataType::Int(need)) | (DataType::UInt(have), DataType::UInt(need))
                if have >= need =>
            {
                Some(self.dtype.clone())
            }
            _ => None,
        }
    }

    /// Whether an array that is written goes on where this one ends.
    pub(super) fn continues(&self, spec: &ArraySpec) -> bool {
        let Some((inner, shard, codecs)) = &self.cutting else { return false };
        self.dtype == spec.dtype
            && self.shape.get(1..) == spec.shape.get(1..)
            && (inner, shard, codecs) == (&spec.inner, &spec.shard, &spec.codecs)
    }
}

fn word<'j>(json: &'j Json, name: &str) -> Option<&'j str> {
    json.get(name)?.as_str()
}

fn level(json: &Json, name: &str, most: u8) -> Option<u8> {
    json.get(name)?.as_u64().and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= most)
}

const BLOSC: [&str; 6] = ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"];

fn blosc(json: &Json) -> Option<Compressor> {
    let name = word(json, "cname").filter(|n| BLOSC.contains(n))?.to_owned();
    let shuffle = match json.get("shuffle")? {
        Json::String(s) if s == "noshuffle" => Shuffle::None,
        Json::String(s) if s == "shuffle" => Shuffle::Bytes,
        Json::String(s) if s == "bitshuffle" => Shuffle::Bits,
        other => match other.as_u64()? {
            0 => Shuffle::None,
            1 => Shuffle::Bytes,
            2 => Shuffle::Bits,
            _ => return None,
        },
    };
    Some(Compressor::Blosc { name, level: level(json, "clevel", 9)?, shuffle })
}

fn v2(document: &Json) -> Option<Codecs> {
    let flat = document.get("shape")?.as_array()?.len() <= 1;
    let row_order = word(document, "order") == Some("C") || flat;
    let separator = document.get("dimension_separator").and_then(Json::as_str).unwrap_or(".");
    let big = word(document, "dtype").is_some_and(|d| d.starts_with('>'));
    let filters = document.get("filters").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let text = [json!({"id": "vlen-utf8"}), json!({"id": "vlen-bytes"})];
    let plain = filters.is_empty() || (filters.len() == 1 && text.contains(&filters[0]));
    if !row_order || separator != "." || big || !plain || cfg!(target_endian = "big") {
        return None;
    }
    let (compressor, checksum) = match document.get("compressor") {
        None | Some(Json::Null) => (Compressor::None, false),
        Some(c) => {
            let sum = c.get("checksum").and_then(Json::as_bool).unwrap_or(false);
            match word(c, "id")? {
                "zstd" => (Compressor::Zstd { level: level(c, "level", 22)? }, sum),
                "gzip" => (Compressor::Gzip { level: level(c, "level", 9)? }, false),
                "blosc" => (blosc(c)?, false),
                _ => return None,
            }
        }
    };
    Some(Codecs { compressor, checksum })
}

fn v3(document: &Json) -> Option<Codecs> {
    let keys = document.get("chunk_key_encoding")?;
    let separator = keys.get("configuration").and_then(|c| c.get("separator")).and_then(Json::as_str);
    let written = match word(keys, "name")? {
        "default" => separator.unwrap_or("/") == "/",
        "v2" => separator.unwrap_or(".") == ".",
        _ => false,
    };
    let more = document.get("storage_transformers").and_then(Json::as_array).is_some_and(|t| !t.is_empty());
    if !written || more || cfg!(target_endian = "big") {
        return None;
    }
    let codecs = document.get("codecs")?.as_array()?;
    let [one] = codecs.as_slice() else { return chain(codecs) };
    if word(one, "name") != Some("sharding_indexed") {
        return chain(codecs);
    }
    let inside = one.get("configuration")?;
    let index = inside.get("index_codecs")?.as_array()?;
    let [bytes, sum] = index.as_slice() else { return None };
    let little = bytes.get("configuration").and_then(|c| word(c, "endian")) == Some("little");
    let at_end = inside.get("index_location").is_none_or(|l| l == "end");
    if !little || word(bytes, "name") != Some("bytes") || word(sum, "name") != Some("crc32c") || !at_end {
        return None;
    }
    chain(inside.get("codecs")?.as_array()?)
}

fn chain(codecs: &[Json]) -> Option<Codecs> {
    let (first, mut rest) = codecs.split_first()?;
    let big = first.get("configuration").and_then(|c| word(c, "endian")) == Some("big");
    if big || !matches!(word(first, "name")?, "bytes" | "vlen-utf8" | "vlen-bytes") {
        return None;
    }
    let mut out = Codecs { compressor: Compressor::None, checksum: false };
    if let Some((codec, after)) = rest.split_first() {
        let empty = json!({});
        let with = codec.get("configuration").unwrap_or(&empty);
        let found = match word(codec, "name")? {
            "zstd" => {
                out.checksum = with.get("checksum").and_then(Json::as_bool).unwrap_or(false);
                Some(Compressor::Zstd { level: level(with, "level", 22)? })
            }
            "gzip" => Some(Compressor::Gzip { level: level(with, "level", 9)? }),
            "blosc" => Some(blosc(with)?),
            _ => None,
        };
        if let Some(found) = found {
            (out.compressor, rest) = (found, after);
        }
    }
    let sums = matches!(out.compressor, Compressor::Zstd { .. } | Compressor::Gzip { .. });
    match rest {
        [] => Some(out),
        [sum] if word(sum, "name") == Some("crc32c") && !sums => Some(Codecs { checksum: true, ..out }),
        _ => None,
    }
}
