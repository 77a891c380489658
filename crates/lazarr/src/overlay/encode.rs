//! Values as elements of a store in memory: then they are planned, selected, streamed and looked through as anything else.

use std::sync::Arc;

use lazarr_format::anndata::{Element, NullableKind, SparseFormat, build};
use lazarr_format::metadata::{Hierarchy, Limits};
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_store::MemoryStore;
use serde_json::{Map, Value as Json, json};

use crate::ledger::Budget;
use crate::value::{Dense, Strings, Table, Value};

/// Bytes of a chunk: small enough that a few rows cost little, large enough that all of them do.
const CHUNK_BYTES: u64 = 1 << 20;
/// Strings in a chunk.
const CHUNK_STRINGS: u64 = 1 << 15;

/// A value as an element, and the store that holds its arrays.
pub(crate) fn encode(value: &Value, budget: &Budget) -> Result<(MemoryStore, Element)> {
    let limits = Limits { nodes: usize::MAX, ..Limits::default() };
    // It is there twice until the caller lets go of his.
    let _held = budget.charge(value.bytes(), "values that are laid over a store")?;
    let mut encoder = Encoder { store: MemoryStore::default(), hierarchy: Hierarchy::new(3, &limits) };
    encoder.value("", value)?;
    let element = build(&encoder.hierarchy)?;
    Ok((encoder.store, element))
}

struct Encoder {
    store: MemoryStore,
    hierarchy: Hierarchy,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

fn encoding(kind: &str, version: &str) -> Map<String, Json> {
    let mut attributes = Map::new();
    attributes.insert("encoding-type".into(), kind.into());
    attributes.insert("encoding-version".into(), version.into());
    attributes
}

impl Encoder {
    fn value(&mut self, path: &str, value: &Value) -> Result<()> {
        match value {
            Value::Null => {
                let data = MetaOf { dtype: &DataType::Bool, shape: &[], rows: 1 };
                self.node(path, data.document("null", "0.1.0")?)
            }
            Value::Dense(d) if d.shape.is_empty() => self.dense(path, d, "numeric-scalar"),
            Value::Dense(d) => self.dense(path, d, "array"),
            Value::Strings(s) => self.strings(path, s),
            Value::Sparse(m) => {
                let mut attributes = encoding(
                    if m.format == SparseFormat::Csr { "csr_matrix" } else { "csc_matrix" },
                    "0.1.0",
                );
                attributes.insert("shape".into(), json!(m.shape));
                self.group(path, attributes)?;
                let index = DataType::Int(m.index_width);
                for (name, dtype, data) in [
                    ("data", &m.dtype, &m.data),
                    ("indices", &index, &m.indices),
                    ("indptr", &index, &m.indptr),
                ] {
                    let n = data.len() as u64 / dtype.item_size().unwrap_or(1).max(1) as u64;
                    self.fixed(&join(path, name), dtype, &[n], data.as_slice(), "array")?;
                }
                Ok(())
            }
            Value::Categorical { codes, categories, ordered } => {
                let mut attributes = encoding("categorical", "0.2.0");
                attributes.insert("ordered".into(), (*ordered).into());
                self.group(path, attributes)?;
                self.dense(&join(path, "codes"), codes, "array")?;
                self.value(&join(path, "categories"), categories)
            }
            Value::Nullable { values, mask, kind } => {
                let mut attributes = encoding(
                    match kind {
                        NullableKind::Integer => "nullable-integer",
                        NullableKind::Boolean => "nullable-boolean",
                        NullableKind::String { .. } => "nullable-string-array",
                    },
                    "0.1.0",
                );
                if let NullableKind::String { nan } = kind {
                    attributes.insert("na-value".into(), if *nan { "NaN" } else { "NA" }.into());
                }
                self.group(path, attributes)?;
                self.value(&join(path, "values"), values)?;
                self.fixed(&join(path, "mask"), &DataType::Bool, &mask.shape, mask.data.as_slice(), "array")
            }
            Value::Table(t) => self.table(path, t),
            Value::Awkward { form, length, rows: None, buffers } => {
                let mut attributes = encoding("awkward-array", "0.1.0");
                attributes.insert("form".into(), form.clone().into());
                attributes.insert("length".into(), (*length).into());
                self.group(path, attributes)?;
                buffers.iter().try_for_each(|(name, b)| self.value(&join(path, name), b))
            }
            Value::Awkward { .. } => {
                Err(Error::new(Code::Operation, "rows of an awkward array cannot be laid over a store"))
            }
            Value::Map(parts) => {
                self.group(path, encoding("dict", "0.1.0"))?;
                parts.iter().try_for_each(|(name, part)| self.value(&join(path, name), part))
            }
        }
    }

    fn table(&mut self, path: &str, t: &Table) -> Result<()> {
        let key = t.index_name.clone().unwrap_or_else(|| "_index".into());
        let mut attributes = encoding("dataframe", "0.2.0");
        attributes.insert("_index".into(), key.clone().into());
        let order: Vec<&String> = t.columns.iter().map(|(name, _)| name).collect();
        attributes.insert("column-order".into(), json!(order));
        self.group(path, attributes)?;
        let index = t.index.as_ref().ok_or_else(|| Error::new(Code::Operation, "a table has an index"))?;
        self.value(&join(path, &key), index)?;
        t.columns
            .iter()
            .filter(|(name, _)| *name != key)
            .try_for_each(|(name, c)| self.value(&join(path, name), c))
    }

    #[allow(clippy::needless_pass_by_value, reason = "made for it")]
    fn group(&mut self, path: &str, attributes: Map<String, Json>) -> Result<()> {
        self.node(path, json!({"zarr_format": 3, "node_type": "group", "attributes": attributes}))
    }

    #[allow(clippy::needless_pass_by_value, reason = "made for it")]
    fn node(&mut self, path: &str, document: Json) -> Result<()> {
        self.hierarchy.insert_v3(path, document.to_string().as_bytes())
    }

    fn dense(&mut self, path: &str, d: &Dense, kind: &str) -> Result<()> {
        self.fixed(path, &d.dtype, &d.shape, d.data.as_slice(), kind)
    }

    /// An array of items of fixed size, in chunks of rows.
    fn fixed(&mut self, path: &str, dtype: &DataType, shape: &[u64], bytes: &[u8], kind: &str) -> Result<()> {
        let item = dtype.item_size().unwrap_or(1).max(1) as u64;
        let row = shape.iter().skip(1).fold(item, |n, &k| n.saturating_mul(k)).max(1);
        let rows = (CHUNK_BYTES / row).clamp(1, shape.first().copied().unwrap_or(1).max(1));
        let version = "0.2.0";
        self.node(path, MetaOf { dtype, shape, rows }.document(kind, version)?)?;
        if shape.contains(&0) {
            return Ok(());
        }
        let chunk = usize::try_from(rows.saturating_mul(row)).unwrap_or(usize::MAX);
        for (k, part) in bytes.chunks(chunk).enumerate() {
            let mut part = part.to_vec();
            part.resize(chunk, 0); // the last is padded
            self.chunk(path, k, shape.len(), part);
        }
        Ok(())
    }

    fn strings(&mut self, path: &str, s: &Strings) -> Result<()> {
        let dtype = if s.utf8 { DataType::String } else { DataType::Bytes };
        let kind = match (s.shape.is_empty(), s.utf8) {
            (true, true) => "string",
            (true, false) => "bytes",
            (false, true) => "string-array",
            (false, false) => "array",
        };
        let row = s.shape.iter().skip(1).product::<u64>().max(1);
        let rows = (CHUNK_STRINGS / row).clamp(1, s.shape.first().copied().unwrap_or(1).max(1));
        self.node(path, MetaOf { dtype: &dtype, shape: &s.shape, rows }.document(kind, "0.2.0")?)?;
        let chunk = usize::try_from(rows * row).unwrap_or(usize::MAX).max(1);
        let n = s.len();
        for (k, first) in (0..n).step_by(chunk).enumerate() {
            let last = (first + chunk).min(n);
            let mut out = (chunk as u32).to_le_bytes().to_vec();
            for i in first..last {
                let text = s.get(i).unwrap_or_default();
                let len = u32::try_from(text.len())
                    .map_err(|_| Error::new(Code::Operation, "a string is longer than 4 GiB"))?;
                out.extend_from_slice(&len.to_le_bytes());
                out.extend_from_slice(text);
            }
            out.resize(out.len() + 4 * (chunk - (last - first)), 0);
            self.chunk(path, k, s.shape.len(), out);
        }
        Ok(())
    }

    fn chunk(&mut self, path: &str, k: usize, rank: usize, bytes: Vec<u8>) {
        let mut key = join(path, "c");
        for axis in 0..rank {
            key.push('/');
            key.push_str(&if axis == 0 { k } else { 0 }.to_string());
        }
        self.store.insert(key, Arc::<[u8]>::from(bytes));
    }
}

struct MetaOf<'a> {
    dtype: &'a DataType,
    shape: &'a [u64],
    rows: u64,
}

impl MetaOf<'_> {
    fn document(&self, kind: &str, version: &str) -> Result<Json> {
        let mut chunk: Vec<u64> = self.shape.iter().map(|&n| n.max(1)).collect();
        if let Some(first) = chunk.first_mut() {
            *first = self.rows.max(1);
        }
        let (name, fill, codec) = self.type_names()?;
        Ok(json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.shape,
            "data_type": name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill,
            "codecs": [codec],
            "attributes": encoding(kind, version),
        }))
    }

    /// Zarr's name of the type, its zero, and its codec.
    fn type_names(&self) -> Result<(Json, Json, Json)> {
        let little = json!({"name": "bytes", "configuration": {"endian": "little"}});
        let fixed = |name: &str, fill: Json| Ok((Json::from(name), fill, little.clone()));
        let time = |name: &str, u: &lazarr_format::TimeUnit| {
            let configuration = json!({"unit": u.unit, "scale_factor": u.scale});
            Ok((json!({"name": name, "configuration": configuration}), json!(0), little.clone()))
        };
        match self.dtype {
            DataType::Bool => fixed("bool", json!(false)),
            DataType::Int(n) => fixed(&format!("int{}", 8 * n), json!(0)),
            DataType::UInt(n) => fixed(&format!("uint{}", 8 * n), json!(0)),
            DataType::Float(n) => fixed(&format!("float{}", 8 * n), json!(0.0)),
            DataType::Complex(n) => fixed(&format!("complex{}", 8 * n), json!([0.0, 0.0])),
            DataType::DateTime(u) => time("numpy.datetime64", u),
            DataType::TimeDelta(u) => time("numpy.timedelta64", u),
            DataType::FixedUtf32(n) => Ok((
                json!({"name": "fixed_length_utf32", "configuration": {"length_bytes": 4 * n}}),
                json!(""),
                little,
            )),
            DataType::String => Ok((json!("string"), json!(""), json!({"name": "vlen-utf8"}))),
            DataType::Bytes => Ok((json!("variable_length_bytes"), json!(""), json!({"name": "vlen-bytes"}))),
            other => Err(Error::new(Code::Operation, "values of this type cannot be laid over a store")
                .expected("booleans, numbers, times or strings")
                .found(other.to_string())),
        }
    }
}
