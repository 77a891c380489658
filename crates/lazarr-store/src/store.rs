//! What a store can do.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lazarr_format::Result;
pub use lazarr_format::{ByteRange, Profile, Version};

/// What was found under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The length of the whole value in bytes, where the store tells.
    pub total: Option<u64>,
    /// The state of the value that was read.
    pub version: Version,
    /// Whether the bytes were on the local disk, from an earlier read of a store that is far away.
    pub cached: bool,
}

/// The names directly below a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Names that have names below them, sorted.
    pub folders: Vec<String>,
    /// Names that have a value, sorted.
    pub files: Vec<String>,
}

/// Told how many (more) bytes a read is about to take, before memory for them is allocated; may refuse. While a read waits
/// for a network it is told 0, some dozens of times a second: an error then ends the wait.
pub type Reserve<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

/// Keys to bytes. Keys are relative paths with `/`, never with `..` or empty parts.
pub trait Store: Send + Sync + Debug {
    /// The store as a person would name it; never with a secret.
    fn name(&self) -> String;

    /// The names of all stores that this one reads.
    fn names(&self) -> Vec<String> {
        vec![self.name()]
    }

    /// What tells the state of each store that this one reads from another state of it: its name, and a hash of what stands at
    /// its root. Values that were changed in place are not noticed. `wait` is told 0 while it waits.
    fn stamps(&self, wait: Reserve<'_>) -> Result<Vec<(String, u64)>> {
        let mut hash = DefaultHasher::new();
        for key in ["zarr.json", ".zmetadata", ".zgroup", ".zarray"] {
            let mut bytes = Vec::new();
            if let Some(found) = self.get(key, &ByteRange::All, wait, &mut bytes)? {
                (key, bytes, found.version.0).hash(&mut hash);
                break;
            }
        }
        Ok(vec![(self.name(), hash.finish())])
    }

    /// Reads bytes of a key to the end of `out`. `None` where there is no such key. A value that is shorter than the
    /// range asked for is an error of code `ChunkLength`.
    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>>;

    /// The length of a value; `None` where there is no such key. `wait` is told 0 while it waits.
    fn size(&self, key: &str, wait: Reserve<'_>) -> Result<Option<u64>>;

    /// The names below a prefix (empty for the root); `None` where the store cannot list. `wait` is told 0 while it waits.
    fn list(&self, prefix: &str, wait: Reserve<'_>) -> Result<Option<Listing>>;

    /// The same store for the time of one call: it may keep files open that are read again. `None`: as it is.
    fn for_call(&self) -> Option<Arc<dyn Store>> {
        None
    }

    /// Whether these bytes are on the local disk, from an earlier read.
    fn cached(&self, _key: &str, _range: &ByteRange) -> bool {
        false
    }

    /// What reading costs here. Requests are merged by it: it does not change while the store is open.
    fn profile(&self) -> Profile;

    /// How far the store is as far as is known by now, for estimates, and where its latency is from (`given`, `measured`,
    /// `assumed`).
    fn distance(&self) -> (Profile, &'static str) {
        (self.profile(), "assumed")
    }

    /// Whether the bytes of this key (or of those below it) belong to the caller already, as values that were laid over a
    /// store do: reads of them are not counted.
    fn in_memory(&self, key: &str) -> bool {
        let _ = key;
        false
    }
}
