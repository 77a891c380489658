//! The data types of v2 (numpy's) and v3 (named), from their JSON.

use serde_json::{Map, Value};

use super::doc::{Doc, describe};
use crate::{Code, DataType, Error, Field, MAX_ITEM, Result, TimeUnit};

impl Doc<'_> {
    fn dtype_error(&self, message: impl Into<String>, value: &Value) -> Error {
        self.error(Code::DataType, message).found(describe(value))
    }

    /// A v3 data type: a name, or a name with a configuration.
    pub(super) fn dtype_v3(&self, value: &Value) -> Result<DataType> {
        // Not `named`: the borrow of a nested type is shorter than the document's.
        let (name, configuration) = match value {
            Value::String(name) => (name.as_str(), None),
            Value::Object(map) => (
                map.get("name").and_then(Value::as_str).ok_or_else(|| {
                    self.field(
                        "data_type",
                        "a name, or an object with `name` and `configuration`",
                        Some(value),
                    )
                })?,
                map.get("configuration").and_then(Value::as_object),
            ),
            other => return Err(self.field("data_type", "a name or an object", Some(other))),
        };
        let dtype = match name {
            "bool" => DataType::Bool,
            "int8" => DataType::Int(1),
            "int16" => DataType::Int(2),
            "int32" => DataType::Int(4),
            "int64" => DataType::Int(8),
            "uint8" => DataType::UInt(1),
            "uint16" => DataType::UInt(2),
            "uint32" => DataType::UInt(4),
            "uint64" => DataType::UInt(8),
            "float16" => DataType::Float(2),
            "float32" => DataType::Float(4),
            "float64" => DataType::Float(8),
            "complex64" => DataType::Complex(8),
            "complex128" => DataType::Complex(16),
            "string" => DataType::String,
            "bytes" | "variable_length_bytes" => DataType::Bytes,
            "null_terminated_bytes" => DataType::FixedBytes(self.length_bytes(configuration, value)?),
            "raw_bytes" => DataType::Raw(self.length_bytes(configuration, value)?),
            "fixed_length_utf32" => match self.length_bytes(configuration, value)? {
                n if n % 4 == 0 => DataType::FixedUtf32(n / 4),
                n => {
                    return Err(self
                        .field("data_type", "a `length_bytes` that is a multiple of 4", Some(value))
                        .found(n.to_string()));
                }
            },
            "numpy.datetime64" => DataType::DateTime(self.time_unit(configuration, value)?),
            "numpy.timedelta64" => DataType::TimeDelta(self.time_unit(configuration, value)?),
            "struct" | "structured" => self.struct_v3(configuration, value)?,
            _ => match name.strip_prefix('r').and_then(|bits| bits.parse::<usize>().ok()) {
                Some(bits) if bits % 8 == 0 && bits / 8 <= MAX_ITEM => DataType::Raw(bits / 8),
                _ => {
                    return Err(self.dtype_error("the data type is not known", value).help(
                        "bool, integers, floats, complex, strings, bytes, numpy times and structs are read",
                    ));
                }
            },
        };
        self.not_empty(dtype, value)
    }

    /// Types of no bytes would make every length in the house ambiguous.
    fn not_empty(&self, dtype: DataType, value: &Value) -> Result<DataType> {
        match dtype.item_size() {
            Some(0) => Err(self.dtype_error("items of the data type have no bytes", value)),
            Some(n) if n > MAX_ITEM => Err(self
                .error(Code::MetadataLimit, "items of the data type are too large")
                .expected(format!("at most {MAX_ITEM} bytes"))
                .found(format!("{n} bytes"))),
            _ => Ok(dtype),
        }
    }

    fn length_bytes(&self, configuration: Option<&Map<String, Value>>, value: &Value) -> Result<usize> {
        let length = configuration.and_then(|c| c.get("length_bytes"));
        length.and_then(Value::as_u64).filter(|n| *n <= MAX_ITEM as u64).map(|n| n as usize).ok_or_else(
            || {
                self.field(
                    "data_type",
                    format!("a `length_bytes` of at most {MAX_ITEM}"),
                    length.or(Some(value)),
                )
            },
        )
    }

    fn time_unit(&self, configuration: Option<&Map<String, Value>>, value: &Value) -> Result<TimeUnit> {
        let unit = configuration.and_then(|c| c.get("unit")).and_then(Value::as_str);
        let scale = match configuration.and_then(|c| c.get("scale_factor")) {
            None => Some(1),
            Some(v) => v.as_u64().and_then(|n| u32::try_from(n).ok()),
        };
        unit.zip(scale).and_then(|(unit, scale)| TimeUnit::new(unit, scale)).ok_or_else(|| {
            self.field(
                "data_type",
                "a `unit` that numpy knows and a `scale_factor` of 1 or more",
                Some(value),
            )
        })
    }

    fn struct_v3(&self, configuration: Option<&Map<String, Value>>, value: &Value) -> Result<DataType> {
        let wrong = |found| self.field("data_type", "`fields`: a list of named data types", Some(found));
        let fields = configuration
            .and_then(|c| c.get("fields"))
            .and_then(Value::as_array)
            .ok_or_else(|| wrong(value))?;
        let mut out = Fields::default();
        for field in fields {
            let (name, dtype) = match field {
                // `struct`; the older `structured` has pairs.
                Value::Object(map) => (map.get("name"), map.get("data_type")),
                Value::Array(pair) if pair.len() == 2 => (pair.first(), pair.get(1)),
                other => return Err(wrong(other)),
            };
            let (Some(Value::String(name)), Some(dtype)) = (name, dtype) else { return Err(wrong(field)) };
            out.push(self, name, self.dtype_v3(dtype)?, field)?;
        }
        Ok(DataType::Struct(out.list))
    }

    /// A v2 data type, with `true` where its items are stored big-endian. `|O` is what `object` says: it depends on the
    /// filters.
    pub(super) fn dtype_v2(&self, value: &Value, object: Option<&DataType>) -> Result<(DataType, bool)> {
        let (dtype, order) = self.dtype_v2_ordered(value, object)?;
        Ok((dtype, order == Some(true)))
    }

    /// As [`Doc::dtype_v2`], with `None` for what has no byte order.
    fn dtype_v2_ordered(&self, value: &Value, object: Option<&DataType>) -> Result<(DataType, Option<bool>)> {
        let (dtype, order) = match value {
            Value::String(text) if matches!(text.as_str(), "|O" | "O" | "|O8") => match object {
                Some(dtype) => (dtype.clone(), None),
                None => {
                    return Err(self.dtype_error("arrays of Python objects cannot be read", value).help(
                        "only strings and bytes (the filters `vlen-utf8` and `vlen-bytes`) are read; rewrite the \
                         array with another type",
                    ));
                }
            },
            Value::String(text) => {
                let (dtype, big) = DataType::from_numpy_str(text).map_err(|e| self.place(e))?;
                let order = has_order(&dtype).then_some(big);
                (dtype, order)
            }
            Value::Array(fields) => self.struct_v2(fields)?,
            other => return Err(self.field("dtype", "a numpy type string or a list of fields", Some(other))),
        };
        Ok((self.not_empty(dtype, value)?, order))
    }

    fn struct_v2(&self, fields: &[Value]) -> Result<(DataType, Option<bool>)> {
        let mut out = Fields::default();
        let mut order: Option<bool> = None;
        for field in fields {
            let wrong = || self.field("dtype", "fields of a name and a type", Some(field));
            let parts = field.as_array().ok_or_else(wrong)?;
            let (Some(Value::String(name)), Some(dtype)) = (parts.first(), parts.get(1)) else {
                return Err(wrong());
            };
            match parts.get(2) {
                None => {}
                Some(Value::Array(shape)) if shape.is_empty() && parts.len() == 3 => {}
                Some(_) => {
                    return Err(
                        self.dtype_error(format!("the field `{name}` is an array in a struct"), field)
                    );
                }
            }
            let (dtype, field_order) = self.dtype_v2_ordered(dtype, None)?;
            match (order, field_order) {
                (Some(a), Some(b)) if a != b => {
                    return Err(
                        self.dtype_error("the fields of the struct have different byte orders", field)
                    );
                }
                _ => order = order.or(field_order),
            }
            out.push(self, name, dtype, field)?;
        }
        Ok((DataType::Struct(out.list), order))
    }
}

/// Fields of a packed struct while they are gathered.
#[derive(Default)]
struct Fields {
    list: Vec<Field>,
    names: std::collections::HashSet<String>,
    size: usize,
}

impl Fields {
    fn push(&mut self, doc: &Doc<'_>, name: &str, dtype: DataType, json: &Value) -> Result<()> {
        let Some(size) = dtype.item_size() else {
            return Err(doc.dtype_error(format!("the field `{name}` has a variable length"), json));
        };
        if !self.names.insert(name.to_owned()) {
            return Err(doc.dtype_error(format!("two fields of the struct are named `{name}`"), json));
        }
        let offset = self.size;
        self.size += size; // each is at most MAX_ITEM, and so is the sum after every step
        if self.size > MAX_ITEM {
            return Err(doc
                .error(Code::MetadataLimit, "items of the data type are too large")
                .expected(format!("at most {MAX_ITEM} bytes")));
        }
        self.list.push(Field { name: name.to_owned(), dtype, offset });
        Ok(())
    }
}

/// Whether items differ between byte orders.
fn has_order(dtype: &DataType) -> bool {
    match dtype {
        DataType::Int(n) | DataType::UInt(n) => *n > 1,
        DataType::Float(_)
        | DataType::Complex(_)
        | DataType::DateTime(_)
        | DataType::TimeDelta(_)
        | DataType::FixedUtf32(_) => true,
        DataType::Struct(fields) => fields.iter().any(|f| has_order(&f.dtype)),
        _ => false,
    }
}
