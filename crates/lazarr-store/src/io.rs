//! The one door to a store.

use std::sync::Arc;

use lazarr_format::Result;

use crate::meter::{Audit, Meter};
use crate::store::{ByteRange, Found, Listing, Profile, Reserve, Store};

/// A store with its meter, and its audit where one is on. Cheap to clone; clones share both.
#[derive(Debug, Clone)]
pub struct Io {
    store: Arc<dyn Store>,
    meter: Arc<Meter>,
    audit: Option<Arc<Audit>>,
    unlisted: bool,
}

impl Io {
    /// A store with a fresh meter and no audit.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, meter: Arc::default(), audit: None, unlisted: false }
    }

    /// The same store, counted by this meter.
    #[must_use]
    pub fn with_meter(&self, meter: Arc<Meter>) -> Self {
        Self { meter, ..self.clone() }
    }

    /// The same store, in which only these reads may happen.
    #[must_use]
    pub fn with_audit(&self, audit: Arc<Audit>) -> Self {
        Self { audit: Some(audit), ..self.clone() }
    }

    /// The same store, as one that cannot list its keys.
    #[must_use]
    pub fn without_listing(&self) -> Self {
        Self { unlisted: true, ..self.clone() }
    }

    /// The same store for the time of one call, see [`Store::for_call`].
    #[must_use]
    pub fn for_call(&self) -> Self {
        Self { store: self.store.for_call().unwrap_or_else(|| self.store.clone()), ..self.clone() }
    }

    /// What has passed.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Reads bytes of a key to the end of `out`, see [`Store::get`].
    pub fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        if let Some(audit) = &self.audit {
            audit.check(key, range)?;
        }
        let before = out.len();
        let found = self.store.get(key, range, reserve, out)?;
        if !self.store.in_memory(key) {
            let bytes = (out.len() - before) as u64;
            self.meter.add_request(bytes, found.is_none());
            if found.is_some_and(|found| found.cached) {
                self.meter.add_cached(bytes);
            }
        }
        Ok(found)
    }

    /// Whether these bytes are on the local disk, see [`Store::cached`].
    pub fn cached(&self, key: &str, range: &ByteRange) -> bool {
        self.store.cached(key, range)
    }

    /// The length of a value, see [`Store::size`]. Counts as a request without bytes.
    pub fn size(&self, key: &str, wait: Reserve<'_>) -> Result<Option<u64>> {
        let size = self.store.size(key, wait)?;
        if !self.store.in_memory(key) {
            self.meter.add_request(0, size.is_none());
        }
        Ok(size)
    }

    /// Whether there is such a key. Reads no bytes, needs no plan; counted apart, see [`Meter::checks`].
    pub fn exists(&self, key: &str, wait: Reserve<'_>) -> Result<bool> {
        self.meter.add_check();
        Ok(self.store.size(key, wait)?.is_some())
    }

    /// The names below a prefix, see [`Store::list`].
    pub fn list(&self, prefix: &str, wait: Reserve<'_>) -> Result<Option<Listing>> {
        if self.unlisted { Ok(None) } else { self.store.list(prefix, wait) }
    }

    /// Whether reads of this key are not counted, see [`Store::in_memory`].
    pub fn in_memory(&self, key: &str) -> bool {
        self.store.in_memory(key)
    }

    /// How far the store is, see [`Store::distance`].
    pub fn distance(&self) -> (Profile, &'static str) {
        self.store.distance()
    }

    /// What reading costs here.
    pub fn profile(&self) -> Profile {
        self.store.profile()
    }
}
