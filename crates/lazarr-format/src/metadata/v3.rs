//! `zarr.json`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::doc::Doc;
use super::fill::Source;
use super::{GroupMeta, Limits, Node};
use crate::codec::{Chain, ChunkSpec};
use crate::grid::Grid;
use crate::{ArrayMeta, Code, KeyEncoding, Result, Sharding};

const ARRAY_FIELDS: [&str; 12] = [
    "zarr_format",
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "fill_value",
    "codecs",
    "attributes",
    "storage_transformers",
    "dimension_names",
    "consolidated_metadata",
];
const GROUP_FIELDS: [&str; 4] = ["zarr_format", "node_type", "attributes", "consolidated_metadata"];

/// The group or array that a `zarr.json` describes.
pub fn node_v3(path: &str, map: &Map<String, Value>, limits: &Limits) -> Result<Node> {
    let doc = Doc::new(path, "zarr.json", map, limits);
    doc.zarr_format(3)?;
    match doc.get("node_type") {
        Some(Value::String(kind)) if kind == "array" => {
            Ok(Node::Array(Arc::new(array_v3(path, map, limits)?)))
        }
        Some(Value::String(kind)) if kind == "group" => {
            // An array that calls itself a group would be an empty group to most readers.
            if doc.get("shape").is_some() && doc.get("data_type").is_some() {
                return Err(doc.field(
                    "node_type",
                    "\"array\", since there are a shape and a data type",
                    doc.get("node_type"),
                ));
            }
            doc.known_fields(&GROUP_FIELDS)?;
            Ok(Node::Group(GroupMeta { attributes: Arc::new(doc.attributes()?) }))
        }
        other => Err(doc.field("node_type", "\"array\" or \"group\"", other)),
    }
}

/// The array that a `zarr.json` describes; `path` is its path in the store, without a leading slash.
pub fn array_v3(path: &str, map: &Map<String, Value>, limits: &Limits) -> Result<ArrayMeta> {
    let doc = Doc::new(path, "zarr.json", map, limits);
    doc.zarr_format(3)?;
    match doc.get("node_type") {
        Some(Value::String(kind)) if kind == "array" => {}
        other => return Err(doc.field("node_type", "\"array\"", other)),
    }
    doc.known_fields(&ARRAY_FIELDS)?;
    match doc.get("storage_transformers") {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) if list.is_empty() => {}
        Some(other) => return Err(doc.unsupported("storage transformers are not known", other)),
    }
    let shape = doc.sizes("shape", doc.get("shape"), 0)?;
    let dtype = doc.dtype_v3(doc.need("data_type", "a data type")?)?;
    let (chunk_shape, grid) = doc.chunk_grid(&shape)?;
    let keys = doc.chunk_keys()?;
    let fill = doc.fill(&dtype, doc.need("fill_value", "a fill value")?, Source::V3)?;
    let codecs = match doc.get("codecs") {
        Some(Value::Array(list)) if !list.is_empty() => list,
        other => return Err(doc.field("codecs", "a list of codecs", other)),
    };
    let (sharding, inner_codecs) = match doc.sharding(codecs, &chunk_shape)? {
        Some((sharding, inner)) => (Some(sharding), inner),
        None => (None, codecs.as_slice()),
    };
    if let Some(found) = codecs.first().filter(|_| grid.is_some() && sharding.is_some()) {
        return Err(doc.unsupported("shards on a rectilinear grid are not read", found));
    }
    let inner_shape = sharding.as_ref().map_or(&chunk_shape, |s| &s.inner_shape);
    doc.check_sizes(&shape, &chunk_shape, inner_shape, &dtype)?;
    let spec = ChunkSpec { shape: inner_shape, dtype: &dtype, fill: &fill };
    let chain = Chain::from_v3(inner_codecs, spec).map_err(|e| doc.place(e))?;
    if grid.is_some() && !chain.suits_any_shape() {
        let what = format!("`{}` is not decoded where chunks have several shapes", chain.name());
        let e = doc
            .error(Code::MetadataUnsupported, what)
            .expected("codecs that do not depend on the shape of a chunk");
        return Err(e.found("a rectilinear grid"));
    }
    let codec_name = if sharding.is_some() { format!("sharding({})", chain.name()) } else { chain.name() };
    let attributes = doc.attributes()?;
    Ok(ArrayMeta {
        path: path.to_owned(),
        zarr_format: 3,
        shape,
        dtype,
        part: None,
        chunk_shape,
        grid,
        keys,
        sharding,
        chain,
        fill,
        attributes,
        codec_name,
    })
}

impl<'a> Doc<'a> {
    /// Fields that are not known may only be there where they say that they need not be understood.
    fn known_fields(&self, known: &[&str]) -> Result<()> {
        for (name, value) in self.map {
            let ignorable = value.get("must_understand").and_then(Value::as_bool) == Some(false);
            if !ignorable && !known.contains(&name.as_str()) {
                return Err(self
                    .unsupported(format!("the field `{name}` must be understood and is not known"), value));
            }
        }
        Ok(())
    }

    fn attributes(&self) -> Result<Map<String, Value>> {
        match self.get("attributes") {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            other => Err(self.field("attributes", "an object", other)),
        }
    }

    /// The shape of chunks, the longest where they have several; then the grid too.
    fn chunk_grid(&self, shape: &[u64]) -> Result<(Vec<u64>, Option<Arc<Grid>>)> {
        let grid = self.need("chunk_grid", "a chunk grid")?;
        match self.named("chunk_grid", grid)? {
            ("regular", configuration) => {
                let sizes = configuration.and_then(|c| c.get("chunk_shape"));
                Ok((self.chunk_sizes("chunk_shape", sizes, shape)?, None))
            }
            ("rectilinear", configuration) => {
                match configuration.and_then(|c| c.get("kind")) {
                    Some(Value::String(kind)) if kind == "inline" => {}
                    Some(kind @ Value::String(_)) => {
                        let e = self.unsupported("this kind of rectilinear grid is not known", kind);
                        return Err(e.expected("\"inline\""));
                    }
                    other => return Err(self.field("kind", "\"inline\"", other)),
                }
                self.rectilinear(configuration.and_then(|c| c.get("chunk_shapes")), shape)
            }
            _ => {
                Err(self.unsupported("this chunk grid is not known", grid).expected("regular or rectilinear"))
            }
        }
    }

    fn chunk_keys(&self) -> Result<KeyEncoding> {
        let encoding = self.need("chunk_key_encoding", "a chunk key encoding")?;
        let (name, configuration) = self.named("chunk_key_encoding", encoding)?;
        let separator = |default| match configuration.and_then(|c| c.get("separator")) {
            None => Ok(default),
            Some(Value::String(s)) if s == "/" => Ok('/'),
            Some(Value::String(s)) if s == "." => Ok('.'),
            other => Err(self.field("separator", "\"/\" or \".\"", other)),
        };
        match name {
            "default" => Ok(KeyEncoding::Default { separator: separator('/')? }),
            "v2" => Ok(KeyEncoding::V2 { separator: separator('.')? }),
            _ => Err(self
                .unsupported("this chunk key encoding is not known", encoding)
                .expected("default or v2")),
        }
    }

    /// The sharding of the usual form, with the codecs of its inner chunks. Other uses of it (behind a transpose, before
    /// a compressor, with an index that is encoded otherwise) are left to the codecs, which decode such a shard whole.
    fn sharding(&self, codecs: &'a [Value], chunk_shape: &[u64]) -> Result<Option<(Sharding, &'a [Value])>> {
        let [codec] = codecs else { return Ok(None) };
        let ("sharding_indexed", configuration) = self.named("codecs", codec)? else { return Ok(None) };
        let configuration = configuration
            .ok_or_else(|| self.field("codecs", "a configuration of sharding_indexed", Some(codec)))?;
        let inner_shape = self.sizes("chunk_shape", configuration.get("chunk_shape"), 1)?;
        self.same_rank("chunk_shape", &inner_shape, chunk_shape)?;
        if chunk_shape.iter().zip(&inner_shape).any(|(chunk, inner)| chunk % inner != 0) {
            return Err(self
                .error(Code::MetadataField, "the inner chunks do not divide the shard")
                .expected(format!("divisors of {chunk_shape:?}"))
                .found(format!("{inner_shape:?}")));
        }
        let list = |field: &str| match configuration.get(field) {
            Some(Value::Array(list)) if !list.is_empty() => Ok(list.as_slice()),
            other => Err(self.field(field, "a list of codecs", other)),
        };
        let inner = list("codecs")?;
        let Some((index_big_endian, index_checksum)) = self.index_codecs(list("index_codecs")?)? else {
            return Ok(None);
        };
        let index_at_start = match configuration.get("index_location") {
            None => false,
            Some(Value::String(at)) if at == "end" => false,
            Some(Value::String(at)) if at == "start" => true,
            other => return Err(self.field("index_location", "\"start\" or \"end\"", other)),
        };
        Ok(Some((Sharding { inner_shape, index_at_start, index_checksum, index_big_endian }, inner)))
    }

    /// Byte order and checksum of a shard's index; `None` where it is encoded in a way that only the codecs know.
    fn index_codecs(&self, codecs: &'a [Value]) -> Result<Option<(bool, bool)>> {
        let Some(("bytes", configuration)) =
            codecs.first().map(|c| self.named("index_codecs", c)).transpose()?
        else {
            return Ok(None);
        };
        let big_endian = match configuration.and_then(|c| c.get("endian")) {
            Some(Value::String(e)) if e == "little" => false,
            Some(Value::String(e)) if e == "big" => true,
            other => return Err(self.field("index_codecs", "an `endian` of \"little\" or \"big\"", other)),
        };
        match &codecs[1..] {
            [] => Ok(Some((big_endian, false))),
            [one] if self.named("index_codecs", one)?.0 == "crc32c" => Ok(Some((big_endian, true))),
            _ => Ok(None),
        }
    }
}

/// What should be the object of consolidated metadata in a `zarr.json`, by path; `None` where there is none, or one of
/// another kind than is known, which need not be used.
pub(super) fn consolidated(map: &Map<String, Value>) -> Option<&Value> {
    let consolidated = map.get("consolidated_metadata")?.as_object()?;
    let inline = consolidated.get("kind").is_none_or(|kind| kind.as_str() == Some("inline"));
    inline.then(|| consolidated.get("metadata").unwrap_or(&Value::Null))
}
