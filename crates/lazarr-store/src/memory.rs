//! A map as a store: for tests, and for stores that were made in memory.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lazarr_format::{Code, Error, Result};

use crate::store::{ByteRange, Found, Listing, Profile, Reserve, Store, Version};

/// Keys and values in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    values: BTreeMap<String, Arc<[u8]>>,
}

impl MemoryStore {
    /// Puts a value, in place of one that is there.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Arc<[u8]>>) {
        self.values.insert(key.into(), value.into());
    }

    /// Takes a value away.
    pub fn remove(&mut self, key: &str) -> Option<Arc<[u8]>> {
        self.values.remove(key)
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// A value.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(|v| &**v)
    }
}

impl Store for MemoryStore {
    fn name(&self) -> String {
        "memory".into()
    }

    fn stamps(&self, _: Reserve<'_>) -> Result<Vec<(String, u64)>> {
        let mut hash = DefaultHasher::new();
        self.values.hash(&mut hash);
        Ok(vec![(self.name(), hash.finish())])
    }

    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let total = value.len() as u64;
        let span = match *range {
            ByteRange::All => 0..total,
            ByteRange::Range(ref r) => r.clone(),
            ByteRange::Suffix(n) => total.saturating_sub(n)..total,
        };
        let Some(bytes) = value.get(span.start as usize..span.end as usize) else {
            return Err(Error::new(Code::ChunkLength, "the value ends before the bytes that are needed")
                .key(key)
                .range(span.clone())
                .expected(format!("at least {} bytes", span.end))
                .found(format!("{total} bytes")));
        };
        reserve(bytes.len() as u64)?;
        out.extend_from_slice(bytes);
        Ok(Some(Found { total: Some(total), version: Version(total), cached: false }))
    }

    fn size(&self, key: &str, _: Reserve<'_>) -> Result<Option<u64>> {
        Ok(self.values.get(key).map(|v| v.len() as u64))
    }

    fn list(&self, prefix: &str, _: Reserve<'_>) -> Result<Option<Listing>> {
        let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut listing = Listing::default();
        for key in self.values.range(start.clone()..).map(|(k, _)| k).take_while(|k| k.starts_with(&start)) {
            let (name, names) = match key[start.len()..].split_once('/') {
                Some((folder, _)) => (folder, &mut listing.folders),
                None => (&key[start.len()..], &mut listing.files),
            };
            if names.last().map(String::as_str) != Some(name) {
                names.push(name.to_owned());
            }
        }
        listing.folders.dedup();
        Ok(Some(listing))
    }

    fn profile(&self) -> Profile {
        Profile { latency: 1e-7, per_request: 1e-7, ..Profile::LOCAL }
    }
}
