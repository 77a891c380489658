//! A draft in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lazarr_format::Result;

use super::{Draft, ValueWriter};
use crate::MemoryStore;

/// Values in a map; the store is [`MemoryDraft::store`] once it is published.
#[derive(Debug, Default, Clone)]
pub struct MemoryDraft {
    values: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    published: Arc<Mutex<Option<MemoryStore>>>,
}

impl MemoryDraft {
    /// What was published.
    pub fn store(&self) -> Option<MemoryStore> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Draft for MemoryDraft {
    fn create(&self, key: &str) -> Result<Box<dyn ValueWriter>> {
        Ok(Box::new(Value { key: key.to_owned(), bytes: Vec::new(), values: self.values.clone() }))
    }

    fn publish(&mut self) -> Result<()> {
        let mut store = MemoryStore::default();
        for (key, value) in std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner)) {
            store.insert(key, value);
        }
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = Some(store);
        Ok(())
    }
}

struct Value {
    key: String,
    bytes: Vec<u8>,
    values: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl ValueWriter for Value {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).insert(self.key, self.bytes);
        Ok(())
    }
}
