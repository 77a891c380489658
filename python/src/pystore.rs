//! A store that Python has: `lazarr._pystore` asks it for bytes. Each request takes the GIL for as long as the answer takes.

use std::sync::Arc;

use lazarr::store::{ByteRange, Found, Listing, Profile, Reserve, Store, Version};
use lazarr::{Code, Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// An object with `name`, `get`, `size` and `list`; see `lazarr._pystore.ZarrStore`.
#[derive(Debug)]
pub(crate) struct PyStore {
    object: Py<PyAny>,
    name: String,
}

impl PyStore {
    pub(crate) fn open(object: Py<PyAny>, name: String) -> Arc<dyn Store> {
        Arc::new(Self { object, name })
    }
}

fn failed(e: PyErr, key: &str) -> Error {
    Error::new(Code::StoreIo, "the store of Python raised an error").key(key).source(e)
}

impl Store for PyStore {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let ask = match range {
            ByteRange::All => (None, None, None),
            ByteRange::Range(r) => {
                reserve(r.end - r.start)?;
                (Some(r.start), Some(r.end), None)
            }
            ByteRange::Suffix(n) => (None, None, Some(*n)),
        };
        let wanted = match range {
            ByteRange::Range(r) => Some(r.end - r.start),
            _ => None,
        };
        Python::attach(|py| {
            let answer = self
                .object
                .bind(py)
                .call_method1("get", (key, ask.0, ask.1, ask.2))
                .map_err(|e| failed(e, key))?;
            if answer.is_none() {
                return Ok(None);
            }
            let bytes = answer.cast::<PyBytes>().map_err(|e| failed(e.into(), key))?.as_bytes();
            match wanted {
                Some(n) if n != bytes.len() as u64 => {
                    return Err(Error::new(
                        Code::ChunkLength,
                        "the value ends before the bytes that are needed",
                    )
                    .key(key)
                    .expected(format!("{n} bytes"))
                    .found(format!("{} bytes", bytes.len())));
                }
                Some(_) => {}
                None => reserve(bytes.len() as u64)?,
            }
            out.extend_from_slice(bytes);
            let total = (*range == ByteRange::All).then_some(bytes.len() as u64);
            Ok(Some(Found { total, version: Version::default() }))
        })
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        Python::attach(|py| {
            let answer = self.object.bind(py).call_method1("size", (key,));
            answer.and_then(|n| n.extract()).map_err(|e| failed(e, key))
        })
    }

    fn list(&self, prefix: &str) -> Result<Option<Listing>> {
        let found: Option<(Vec<String>, Vec<String>)> = Python::attach(|py| {
            let answer = self.object.bind(py).call_method1("list", (prefix,));
            answer.and_then(|names| names.extract()).map_err(|e| failed(e, prefix))
        })?;
        Ok(found.map(|(folders, files)| Listing { folders, files }))
    }

    fn profile(&self) -> Profile {
        // Way through the interpreter and an event loop, even where the bytes lie in memory.
        Profile { latency: 3e-4, bandwidth: 1e9, max_request: 8 << 20, slots: 8, ..Profile::LOCAL }
    }
}
