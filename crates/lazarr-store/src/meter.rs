//! Counting what passes, and refusing what was not announced.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use lazarr_format::{Code, Error, Result};

use crate::store::ByteRange;

/// What a measured stretch of work really did. Shared by all threads that work for it.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    bytes: AtomicU64,
    absent: AtomicU64,
    cached: AtomicU64,
    cached_bytes: AtomicU64,
    checks: AtomicU64,
    chunks: AtomicU64,
    decoded: AtomicU64,
    filled: AtomicU64,
    ledger_peak: AtomicU64,
}

impl Meter {
    /// Requests made, answered with bytes or with "no such key".
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
    /// Bytes fetched.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
    /// Requests for keys that are not there.
    pub fn absent(&self) -> u64 {
        self.absent.load(Relaxed)
    }
    /// Of the requests, those whose bytes were on the local disk (`cache_dir`).
    pub fn cached(&self) -> u64 {
        self.cached.load(Relaxed)
    }
    /// Of the bytes, those that were on the local disk.
    pub fn cached_bytes(&self) -> u64 {
        self.cached_bytes.load(Relaxed)
    }
    /// Looks at whether a key is there, beside the requests: where a chunk of a consolidated store is absent, once for
    /// each array, whether the array itself still is.
    pub fn checks(&self) -> u64 {
        self.checks.load(Relaxed)
    }
    /// Inner chunks decoded.
    pub fn chunks(&self) -> u64 {
        self.chunks.load(Relaxed)
    }
    /// Bytes that came out of decoders.
    pub fn decoded(&self) -> u64 {
        self.decoded.load(Relaxed)
    }
    /// Inner chunks that are in no shard or key, and were filled.
    pub fn filled(&self) -> u64 {
        self.filled.load(Relaxed)
    }
    /// The most bytes that were charged at once.
    pub fn ledger_peak(&self) -> u64 {
        self.ledger_peak.load(Relaxed)
    }
    /// One chunk was decoded to this many bytes.
    pub fn add_chunk(&self, decoded: u64) {
        self.chunks.fetch_add(1, Relaxed);
        self.decoded.fetch_add(decoded, Relaxed);
    }
    /// One chunk was absent and filled.
    pub fn add_filled(&self) {
        self.filled.fetch_add(1, Relaxed);
    }
    /// This many bytes are charged now.
    pub fn see_ledger(&self, charged: u64) {
        self.ledger_peak.fetch_max(charged, Relaxed);
    }
    /// One look at whether a key is there.
    pub fn add_check(&self) {
        self.checks.fetch_add(1, Relaxed);
    }
    /// One request was answered from the local disk with this many bytes; it is counted as a request as well.
    pub fn add_cached(&self, bytes: u64) {
        self.cached.fetch_add(1, Relaxed);
        self.cached_bytes.fetch_add(bytes, Relaxed);
    }
    /// One request was answered with this many bytes.
    pub fn add_request(&self, bytes: u64, absent: bool) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.absent.fetch_add(u64::from(absent), Relaxed);
    }
}

/// The reads that a plan has named. Any other read is an `UnplannedRead`, and so is the same read a second time: a plan
/// names each read once.
#[derive(Debug, Default)]
pub struct Audit {
    /// Every named read, and whether it is still to come.
    reads: Mutex<HashMap<(String, ByteRange), bool>>,
}

impl Audit {
    /// Only these reads may happen, each once.
    pub fn new(reads: impl IntoIterator<Item = (String, ByteRange)>) -> Self {
        Self { reads: Mutex::new(reads.into_iter().map(|r| (r, true)).collect()) }
    }

    /// Takes one read off the list.
    pub fn check(&self, key: &str, range: &ByteRange) -> Result<()> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let what = match reads.get_mut(&(key.to_owned(), range.clone())) {
            Some(left) if *left => {
                *left = false;
                return Ok(());
            }
            Some(_) => "a read that the plan named once was made twice",
            None => "a read that no plan named",
        };
        Err(Error::new(Code::UnplannedRead, what).key(key).found(format!("{range:?}")))
    }

    /// The reads that were named and have not happened.
    pub fn left(&self) -> Vec<(String, ByteRange)> {
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        reads.iter().filter(|(_, left)| **left).map(|(read, _)| read.clone()).collect()
    }
}
