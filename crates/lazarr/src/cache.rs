//! Shard indices that were read: kept by key, bounded in bytes, charged to the ledger.

use std::sync::{Arc, OnceLock};

use lazarr_plan::IndexState;
use quick_cache::sync::Cache;

use crate::ledger::Charge;

/// The indices of one store's shards.
pub(crate) struct IndexCache {
    /// Made for the first that is kept: a store that was only opened has none.
    cache: OnceLock<Cache<String, Arc<Entry>, ByBytes>>,
    bytes: u64,
}

struct Entry {
    state: IndexState,
    charge: Charge,
}

#[derive(Clone)]
struct ByBytes;

impl quick_cache::Weighter<String, Arc<Entry>> for ByBytes {
    fn weight(&self, key: &String, entry: &Arc<Entry>) -> u64 {
        key.len() as u64 + entry.charge.bytes() + 128
    }
}

impl IndexCache {
    /// A cache of at most this many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        Self { cache: OnceLock::new(), bytes }
    }

    pub(crate) fn get(&self, key: &str) -> Option<IndexState> {
        self.cache.get()?.get(key).map(|e| e.state.clone())
    }

    /// Keeps an index, unless all together would take more than `most` bytes: what is kept must not starve the call that
    /// pays for it. That a shard is absent is not kept: it may be written later.
    pub(crate) fn put(&self, key: &str, state: &IndexState, charge: Charge, most: u64) {
        if matches!(state, IndexState::Absent) {
            return;
        }
        let cache = self.cache.get_or_init(|| Cache::with_weighter(1024, self.bytes, ByBytes));
        if cache.weight() + charge.bytes() > most {
            return;
        }
        cache.insert(key.to_owned(), Arc::new(Entry { state: state.clone(), charge }));
    }

    pub(crate) fn forget(&self, key: &str) {
        if let Some(cache) = self.cache.get() {
            cache.remove(key);
        }
    }

    pub(crate) fn clear(&self) {
        if let Some(cache) = self.cache.get() {
            cache.clear();
        }
    }
}

impl std::fmt::Debug for IndexCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IndexCache({} indices)", self.cache.get().map_or(0, Cache::len))
    }
}
