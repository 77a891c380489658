//! `.zarray`, `.zgroup`, `.zattrs`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::doc::Doc;
use super::fill::Source;
use super::{GroupMeta, Limits};
use crate::codec::{Chain, ChunkSpec};
use crate::{ArrayMeta, DataType, KeyEncoding, Result};

/// The group that a `.zgroup` and a `.zattrs` describe.
pub fn group_v2(
    path: &str,
    zgroup: &Map<String, Value>,
    attributes: Map<String, Value>,
    limits: &Limits,
) -> Result<GroupMeta> {
    Doc::new(path, ".zgroup", zgroup, limits).zarr_format(2)?;
    Ok(GroupMeta { attributes: Arc::new(attributes) })
}

/// The array that a `.zarray` and a `.zattrs` describe; `path` is its path in the store, without a leading slash.
///
/// Fields that are not known are ignored, as every v2 reader does.
pub fn array_v2(
    path: &str,
    zarray: &Map<String, Value>,
    attributes: Map<String, Value>,
    limits: &Limits,
) -> Result<ArrayMeta> {
    let doc = Doc::new(path, ".zarray", zarray, limits);
    doc.zarr_format(2)?;
    let shape = doc.sizes("shape", doc.get("shape"), 0)?;
    let chunk_shape = doc.chunk_sizes("chunks", doc.get("chunks"), &shape)?;
    let object = doc.object_dtype()?;
    let (dtype, big_endian) = doc.dtype_v2(doc.need("dtype", "a data type")?, object.as_ref())?;
    let fill = doc.fill(&dtype, doc.get("fill_value").unwrap_or(&Value::Null), Source::V2 { big_endian })?;
    match doc.get("order") {
        Some(Value::String(order)) if matches!(order.as_str(), "C" | "F") => {}
        other => return Err(doc.field("order", "\"C\" or \"F\"", other)),
    }
    let separator = match doc.get("dimension_separator") {
        None | Some(Value::Null) => '.',
        Some(Value::String(s)) if s == "." => '.',
        Some(Value::String(s)) if s == "/" => '/',
        other => return Err(doc.field("dimension_separator", "\"/\" or \".\"", other)),
    };
    doc.check_sizes(&shape, &chunk_shape, &chunk_shape, &dtype)?;
    let spec = ChunkSpec { shape: &chunk_shape, dtype: &dtype, fill: &fill };
    let chain = Chain::from_v2(zarray, big_endian, spec).map_err(|e| doc.place(e))?;
    let codec_name = chain.name();
    Ok(ArrayMeta {
        path: path.to_owned(),
        zarr_format: 2,
        shape,
        dtype,
        part: None,
        chunk_shape,
        grid: None,
        keys: KeyEncoding::V2 { separator },
        sharding: None,
        chain,
        fill,
        attributes,
        codec_name,
    })
}

impl Doc<'_> {
    /// What `|O` is: the filter that turns objects into bytes says it.
    fn object_dtype(&self) -> Result<Option<DataType>> {
        let filters = match self.get("filters") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) => list,
            other => return Err(self.field("filters", "null or a list of filters", other)),
        };
        Ok(filters.iter().find_map(|filter| match filter.get("id").and_then(Value::as_str)? {
            "vlen-utf8" => Some(DataType::String),
            "vlen-bytes" => Some(DataType::Bytes),
            _ => None,
        }))
    }
}
