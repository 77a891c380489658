//! Several stores as one: each stands under a name of its own, and one of them may be the rest.
//!
//! What reads a [`Store`] knows nothing of it: keys lead to their store by their first part, so that reads of several
//! stores are planned, counted, audited and bounded together.

use std::sync::Arc;

use lazarr_format::Result;

use crate::store::{ByteRange, Found, Listing, Profile, Reserve, Store};

/// A store that stands under a name in another.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The first part of its keys; without a slash.
    pub name: String,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Whether its bytes are in memory already: then reads of it are not counted.
    pub in_memory: bool,
}

/// Stores under names, over a store that has all other keys.
#[derive(Debug, Clone)]
pub struct JoinedStore {
    name: String,
    rest: Option<Arc<dyn Store>>,
    mounts: Arc<[Mount]>,
}

impl JoinedStore {
    /// These stores as one. `rest` has all keys that do not begin with one of their names.
    pub fn new(name: impl Into<String>, rest: Option<Arc<dyn Store>>, mounts: Vec<Mount>) -> Self {
        Self { name: name.into(), rest, mounts: mounts.into() }
    }

    /// The store of a key, its key there, and whether it is one in memory.
    fn of<'k>(&self, key: &'k str) -> (Option<&Arc<dyn Store>>, &'k str, bool) {
        let (first, below) = key.split_once('/').unwrap_or((key, ""));
        match self.mounts.iter().find(|mount| mount.name == first) {
            Some(mount) => (Some(&mount.store), below, mount.in_memory),
            None => (self.rest.as_ref(), key, false),
        }
    }

    /// What is read from afar, the store that is furthest first.
    fn furthest(&self) -> Option<&Arc<dyn Store>> {
        let mounted = self.mounts.iter().filter(|m| !m.in_memory).map(|m| &m.store);
        self.rest.iter().chain(mounted).max_by(|a, b| a.profile().latency.total_cmp(&b.profile().latency))
    }
}

impl Store for JoinedStore {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn names(&self) -> Vec<String> {
        self.rest.iter().chain(self.mounts.iter().map(|m| &m.store)).flat_map(|store| store.names()).collect()
    }

    fn stamps(&self, wait: Reserve<'_>) -> Result<Vec<(String, u64)>> {
        let mounted = self.mounts.iter().filter(|m| !m.in_memory).map(|m| &m.store);
        let mut all = Vec::new();
        for store in self.rest.iter().chain(mounted) {
            all.extend(store.stamps(wait)?);
        }
        Ok(all)
    }

    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        match self.of(key) {
            (Some(store), below, _) => store.get(below, range, reserve, out).map_err(|e| e.key(key)),
            (None, ..) => Ok(None),
        }
    }

    fn size(&self, key: &str, wait: Reserve<'_>) -> Result<Option<u64>> {
        match self.of(key) {
            (Some(store), below, _) => store.size(below, wait).map_err(|e| e.key(key)),
            (None, ..) => Ok(None),
        }
    }

    fn list(&self, prefix: &str, wait: Reserve<'_>) -> Result<Option<Listing>> {
        match self.of(prefix) {
            (Some(store), below, _) => store.list(below, wait),
            (None, ..) => Ok(Some(Listing::default())),
        }
    }

    fn for_call(&self) -> Option<Arc<dyn Store>> {
        let rest = self.rest.as_ref().map(|rest| rest.for_call().unwrap_or_else(|| rest.clone()));
        let mounts = self
            .mounts
            .iter()
            .map(|m| Mount { store: m.store.for_call().unwrap_or_else(|| m.store.clone()), ..m.clone() });
        Some(Arc::new(Self { name: self.name.clone(), rest, mounts: mounts.collect() }))
    }

    fn cached(&self, key: &str, range: &ByteRange) -> bool {
        let (store, below, _) = self.of(key);
        store.is_some_and(|store| store.cached(below, range))
    }

    fn profile(&self) -> Profile {
        let Some(furthest) = self.furthest() else { return Profile::LOCAL };
        let overhead = |store: &Arc<dyn Store>| store.profile().overhead;
        let all = self.rest.iter().chain(self.mounts.iter().map(|m| &m.store));
        Profile { overhead: all.map(overhead).max().unwrap_or(0), ..furthest.profile() }
    }

    fn distance(&self) -> (Profile, &'static str) {
        match self.furthest() {
            Some(store) => store.distance(),
            None => (self.profile(), "assumed"),
        }
    }

    fn in_memory(&self, key: &str) -> bool {
        match self.of(key) {
            (Some(store), below, in_memory) => in_memory || store.in_memory(below),
            (None, ..) => false,
        }
    }
}
