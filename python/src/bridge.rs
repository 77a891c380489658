//! Stores that are Python's: obstore, zarr, fsspec, any mapping. `lazarr._bridge` makes one interface of them.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use lazarr::format::{ByteRange, Profile, Version};
use lazarr::store::{Found, Listing, Reserve, Store, redacted};
use lazarr::{Code, Error, Result};
use pyo3::exceptions::{PyKeyboardInterrupt, PyPermissionError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Bytes, the length of the whole value, and its ETag, as far as they are known.
type Answer<'py> = (Bound<'py, PyBytes>, Option<u64>, Option<String>);

/// A store behind an object of `lazarr._bridge`.
pub(crate) struct Bridge {
    object: Py<PyAny>,
    name: String,
}

impl Bridge {
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { object: object.clone().unbind(), name: object.getattr("name")?.extract()? })
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bridge({})", self.name)
    }
}

/// What a Python exception says, as ours.
fn failed(py: Python<'_>, e: PyErr, key: &str) -> Error {
    if e.is_instance_of::<PyKeyboardInterrupt>(py) {
        e.restore(py);
        return Error::new(Code::Interrupted, "the read was stopped");
    }
    let code = if e.is_instance_of::<PyPermissionError>(py) {
        Code::Forbidden
    } else if e.is_instance_of::<PyTimeoutError>(py) {
        Code::Timeout
    } else {
        Code::StoreIo
    };
    let said = e.to_string();
    let words = said.split_whitespace().map(|w| if w.contains("://") { redacted(w) } else { w.to_owned() });
    let said: String = words.collect::<Vec<_>>().join(" ").chars().take(300).collect();
    Error::new(code, "the Python store failed").key(key).found(said)
}

impl Store for Bridge {
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
        let (start, end, last) = match *range {
            ByteRange::All => (None, None, None),
            ByteRange::Range(ref r) => (Some(r.start), Some(r.end), None),
            ByteRange::Suffix(n) => (None, None, Some(n)),
        };
        reserve(0)?;
        Python::attach(|py| {
            let got = self.object.bind(py).call_method1("get", (key, start, end, last));
            let got = got.map_err(|e| failed(py, e, key))?;
            if got.is_none() {
                return Ok(None);
            }
            let (bytes, total, tag) = got.extract::<Answer<'_>>().map_err(|e| failed(py, e, key))?;
            let bytes = bytes.as_bytes();
            let len = bytes.len() as u64;
            let short = |range: std::ops::Range<u64>| {
                Error::new(Code::ChunkLength, "the value ends before the bytes that are needed")
                    .key(key)
                    .range(range.clone())
                    .expected(format!("{} bytes", range.end - range.start))
                    .found(format!("{len} bytes"))
            };
            match range {
                ByteRange::Range(r) if len < r.end - r.start => return Err(short(r.clone())),
                ByteRange::Range(r) if len > r.end - r.start => return Err(more(key, len)),
                ByteRange::Suffix(n) if len > *n => return Err(more(key, len)),
                ByteRange::Suffix(n) if total.is_some_and(|t| len != t.min(*n)) => return Err(short(0..*n)),
                _ => {}
            }
            reserve(len)?;
            out.try_reserve_exact(bytes.len()).map_err(|e| {
                Error::new(Code::OutOfMemory, format!("{len} bytes could not be allocated")).source(e)
            })?;
            out.extend_from_slice(bytes);
            let mut hash = DefaultHasher::new();
            tag.hash(&mut hash);
            let total = total.or(matches!(range, ByteRange::All).then_some(len));
            Ok(Some(Found { total, version: Version(hash.finish()), cached: false }))
        })
    }

    fn size(&self, key: &str, wait: Reserve<'_>) -> Result<Option<u64>> {
        wait(0)?;
        Python::attach(|py| {
            let size = self.object.bind(py).call_method1("size", (key,));
            size.and_then(|s| s.extract()).map_err(|e| failed(py, e, key))
        })
    }

    fn list(&self, prefix: &str, wait: Reserve<'_>) -> Result<Option<Listing>> {
        wait(0)?;
        Python::attach(|py| {
            let names = self.object.bind(py).call_method1("names", (prefix,));
            let names: Option<(Vec<String>, Vec<String>)> =
                names.and_then(|s| s.extract()).map_err(|e| failed(py, e, prefix))?;
            Ok(names.map(|(mut folders, mut files)| {
                folders.sort_unstable();
                files.sort_unstable();
                Listing { folders, files }
            }))
        })
    }

    fn profile(&self) -> Profile {
        // Whatever lies behind it, each call takes the interpreter for a while.
        Profile { latency: 2e-3, bandwidth: 500e6, per_request: 2e-4, slots: 16, ..Profile::REMOTE }
    }
}

fn more(key: &str, len: u64) -> Error {
    Error::new(Code::StoreAnswer, "the Python store gave more bytes than were asked for")
        .key(key)
        .found(format!("{len} bytes"))
}
