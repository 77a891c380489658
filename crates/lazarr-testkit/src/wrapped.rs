//! A store that counts, waits, fails, and can be changed under its readers.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lazarr_format::{ByteRange, Code, Error, Profile, Result};
use lazarr_store::{Found, Listing, MemoryStore, Reserve, Store, Version};

/// A store in memory with bad manners. Versions are hashes of the values.
#[derive(Debug)]
pub struct Wrapped {
    inner: Mutex<MemoryStore>,
    reads: Mutex<Vec<(String, ByteRange)>>,
    listed: AtomicU64,
    wait: Mutex<Duration>,
    fail_at: AtomicU64,
    unlisted: AtomicBool,
}

impl Wrapped {
    /// With good manners so far.
    pub fn new(store: MemoryStore) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(store),
            reads: Mutex::default(),
            listed: AtomicU64::new(0),
            wait: Mutex::default(),
            fail_at: AtomicU64::new(u64::MAX),
            unlisted: AtomicBool::new(false),
        })
    }

    /// Every read so far, absent keys included.
    pub fn reads(&self) -> Vec<(String, ByteRange)> {
        self.reads.lock().unwrap().clone()
    }

    /// Number of reads so far.
    pub fn count(&self) -> u64 {
        self.reads.lock().unwrap().len() as u64
    }

    /// Number of listings so far.
    pub fn listed(&self) -> u64 {
        self.listed.load(SeqCst)
    }

    /// Every request waits so long.
    pub fn slow(&self, wait: Duration) {
        *self.wait.lock().unwrap() = wait;
    }

    /// The read with this number, counted from now, fails; `None`: no more.
    pub fn fail(&self, after: Option<u64>) {
        self.fail_at.store(after.map_or(u64::MAX, |n| self.count() + n), SeqCst);
    }

    /// From now on it cannot be listed, as a server of plain files cannot.
    pub fn unlist(&self) {
        self.unlisted.store(true, SeqCst);
    }

    /// Changes the store.
    pub fn change(&self, f: impl FnOnce(&mut MemoryStore)) {
        f(&mut self.inner.lock().unwrap());
    }

    fn pause(&self) {
        let wait = *self.wait.lock().unwrap();
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
    }
}

impl Store for Wrapped {
    fn name(&self) -> String {
        "memory".into()
    }

    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let number = {
            let mut reads = self.reads.lock().unwrap();
            reads.push((key.to_owned(), range.clone()));
            reads.len() as u64 - 1
        };
        self.pause();
        if number == self.fail_at.load(SeqCst) {
            return Err(Error::new(Code::StoreIo, "the disk is on fire").key(key));
        }
        let store = self.inner.lock().unwrap().clone();
        let found = store.get(key, range, reserve, out)?;
        Ok(found.map(|f| {
            let mut hash = DefaultHasher::new();
            store.value(key).hash(&mut hash);
            Found { version: Version(hash.finish()), ..f }
        }))
    }

    fn size(&self, key: &str, wait: Reserve<'_>) -> Result<Option<u64>> {
        self.pause();
        self.inner.lock().unwrap().size(key, wait)
    }

    fn list(&self, prefix: &str, wait: Reserve<'_>) -> Result<Option<Listing>> {
        self.listed.fetch_add(1, SeqCst);
        if self.unlisted.load(SeqCst) {
            return Ok(None);
        }
        self.inner.lock().unwrap().list(prefix, wait)
    }

    fn profile(&self) -> Profile {
        Profile { latency: 1e-7, per_request: 1e-7, ..Profile::LOCAL }
    }
}
