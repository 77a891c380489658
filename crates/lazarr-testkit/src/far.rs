//! A store that says it is far away.

use std::sync::Arc;

use lazarr_format::{ByteRange, Profile, Result};
use lazarr_store::{Found, Listing, Reserve, Store};

/// Another store, with the profile of one over a network; nothing waits.
#[derive(Debug)]
pub struct Far(pub Arc<dyn Store>, pub Profile);

impl Store for Far {
    fn name(&self) -> String {
        self.0.name()
    }

    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        self.0.get(key, range, reserve, out)
    }

    fn size(&self, key: &str, wait: Reserve<'_>) -> Result<Option<u64>> {
        self.0.size(key, wait)
    }

    fn list(&self, prefix: &str, wait: Reserve<'_>) -> Result<Option<Listing>> {
        self.0.list(prefix, wait)
    }

    fn profile(&self) -> Profile {
        self.1
    }
}
