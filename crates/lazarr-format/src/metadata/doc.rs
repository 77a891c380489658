//! One metadata document while it is being read: its place, for errors, and its fields.

use serde_json::{Map, Value};

use super::Limits;
use crate::{Code, Error, Result};

/// The object of one node with the names that its errors carry.
pub(super) struct Doc<'a> {
    pub path: &'a str,
    pub key: String,
    pub map: &'a Map<String, Value>,
    pub limits: &'a Limits,
}

impl<'a> Doc<'a> {
    pub(super) fn new(path: &'a str, file: &str, map: &'a Map<String, Value>, limits: &'a Limits) -> Self {
        let key = if path.is_empty() { file.to_owned() } else { format!("{path}/{file}") };
        Self { path, key, map, limits }
    }

    pub(super) fn error(&self, code: Code, message: impl Into<String>) -> Error {
        self.place(Error::new(code, message))
    }

    /// Names element and key of an error that does not know them.
    pub(super) fn place(&self, error: Error) -> Error {
        error.element(self.path).key(&self.key)
    }

    /// The error of a field that does not hold what it must.
    pub(super) fn field(&self, field: &str, expected: impl Into<String>, found: Option<&Value>) -> Error {
        self.error(Code::MetadataField, format!("the field `{field}` is wrong"))
            .expected(expected)
            .found(found.map_or_else(|| "nothing".to_owned(), describe))
    }

    pub(super) fn unsupported(&self, message: impl Into<String>, found: &Value) -> Error {
        self.error(Code::MetadataUnsupported, message).found(describe(found))
    }

    pub(super) fn get(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field)
    }

    pub(super) fn need(&self, field: &str, expected: &str) -> Result<&'a Value> {
        self.get(field).ok_or_else(|| self.field(field, expected, None))
    }

    pub(super) fn zarr_format(&self, expected: u8) -> Result<()> {
        match self.get("zarr_format") {
            Some(v) if v.as_u64() == Some(u64::from(expected)) => Ok(()),
            Some(v) if v.is_u64() => Err(self
                .unsupported(format!("this format of Zarr is not known in `{}`", self.key), v)
                .expected(expected.to_string())),
            other => Err(self.field("zarr_format", expected.to_string(), other)),
        }
    }

    /// The name and the configuration of a v3 extension point: `"name"`, or `{"name", "configuration"}`.
    pub(super) fn named(
        &self,
        field: &str,
        value: &'a Value,
    ) -> Result<(&'a str, Option<&'a Map<String, Value>>)> {
        let wrong = |v| self.field(field, "a name, or an object with `name` and `configuration`", Some(v));
        match value {
            Value::String(name) => Ok((name, None)),
            Value::Object(map) => {
                let name = map.get("name").and_then(Value::as_str).ok_or_else(|| wrong(value))?;
                match map.get("configuration") {
                    None => Ok((name, None)),
                    Some(Value::Object(configuration)) => Ok((name, Some(configuration))),
                    Some(other) => Err(wrong(other)),
                }
            }
            other => Err(wrong(other)),
        }
    }
}

/// A JSON value in a few words, never longer than a line.
pub(crate) fn describe(value: &Value) -> String {
    const MAX: usize = 60;
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) if s.chars().count() > MAX => {
            format!("\"{}…\"", s.chars().take(MAX).collect::<String>())
        }
        Value::String(s) => format!("\"{s}\""),
        Value::Array(items) if items.len() <= 8 && items.iter().all(|i| i.is_number() || i.is_boolean()) => {
            format!("[{}]", items.iter().map(describe).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(map) => match map.get("name").or_else(|| map.get("id")) {
            Some(Value::String(name)) => {
                format!("an object named {}", describe(&Value::String(name.clone())))
            }
            _ => "an object".into(),
        },
    }
}
