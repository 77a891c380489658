//! A draft in a bucket: its values are put where they will be, and are no store before the documents of the root are there.
//!
//! An object store has neither renames nor locks. One writer at a time holds a [`Claim`]; the documents of the root are kept
//! back until [`Draft::publish`]. Of a store that is replaced these go first, before the first value is put, so that nobody
//! opens a mixture; what else is left of it goes before the new ones come.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lazarr_format::{Code, Error, Result};
use object_store::PutMode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::change::Change;
use super::claim::{Claim, LOCK, RENEW};
use super::cloud::CloudSource;
use super::put::Put;
use super::upload::{PART, Value};
use super::{RemoteStore, Source, runtime};
use crate::address::{StoreOptions, archive, redacted, scheme};
use crate::draft::{Draft, Halt, ValueWriter};

/// What makes a folder a store, in the order in which it is put.
const ROOT: [&str; 5] = [".zattrs", ".zmetadata", ".zgroup", ".zarray", "zarr.json"];
/// So many bytes may be on their way at once, and a value counts as so many at least.
const IN_FLIGHT: usize = 32 << 20;
const LEAST: usize = 1 << 20;
const UNIT: usize = 1 << 10;
/// So many keys are taken away together.
const BATCH: usize = 1000;
/// Clearing up takes no longer.
pub(super) const CLEARING: Duration = Duration::from_secs(30);
const RELEASING: Duration = Duration::from_secs(10);

/// Where a draft goes, shared with what is on its way there.
pub(super) struct Far {
    pub(super) remote: RemoteStore,
    pub(super) cloud: CloudSource,
    pub(super) shown: String,
    pub(super) halt: Halt,
    slots: Arc<Semaphore>,
    /// Why a value could not be put that its writer has ended with.
    failed: Mutex<Option<Error>>,
    /// Ends what is under way.
    pub(super) stop: watch::Sender<bool>,
    /// Hashes of all keys that were put, or may have been.
    pub(super) keys: Mutex<HashSet<u64>>,
    /// Of those, the ones that were there before.
    kept: Mutex<HashSet<u64>>,
}

/// Documents of the root, by their keys.
type Documents = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A prefix of a bucket that becomes a store.
pub struct RemoteDraft {
    pub(super) far: Arc<Far>,
    pub(super) claim: Arc<Claim>,
    /// Whether there is something that has to go: a store that is replaced, or what a dead writer left.
    replaces: bool,
    /// Whether values are put already.
    begun: Mutex<bool>,
    metadata: AtomicBool,
    pub(super) held: Documents,
    /// Of a store that is changed, not written.
    change: Option<Change>,
    published: bool,
}

impl RemoteDraft {
    /// Whether stores of this scheme are written here; others are an error that says so.
    fn accept(url: &str) -> Result<()> {
        let shown = redacted(url);
        let scheme = scheme(url).filter(|s| RemoteStore::knows(s));
        let error = match scheme.as_deref() {
            Some("http" | "https") => Error::new(Code::StoreUrl, "a web server cannot be written to")
                .help("Write to the bucket behind it, or to a path"),
            Some(_) if archive(url).is_some() => {
                Error::new(Code::StoreUrl, "archives are not written over a network")
                    .help("Write to a folder of the bucket")
            }
            Some(_) => return Ok(()),
            None => Error::new(Code::StoreUrl, format!("`{shown}` is not a URL that can be written to")),
        };
        Err(error.expected("a path, file://, s3://, gs:// or az://").found(shown))
    }

    /// Begins a draft of the store at this URL; where `halt` is told, nothing waits for the network any more.
    ///
    /// Errors: `StoreUrl` where it can be none; `StoreExists` where something is there that is not to be replaced, or is no
    /// store; `Locked` where somebody writes it now; those of the network.
    pub fn begin(url: &str, options: &StoreOptions, overwrite: bool, halt: &Halt) -> Result<Self> {
        let (remote, cloud) = Self::place(url, options)?;
        Self::over(remote, cloud, Some(overwrite), halt)
    }

    pub(super) fn place(url: &str, options: &StoreOptions) -> Result<(RemoteStore, CloudSource)> {
        Self::accept(url)?;
        // Nothing comes back while bytes are sent, and the time for these is bounded elsewhere.
        let patient = options.get("read_timeout").is_none().then_some(("read_timeout", "300"));
        let words = options.iter().filter(|(name, _)| !name.starts_with("cache_")).chain(patient);
        let remote = RemoteStore::open(url, &StoreOptions::new(words))?;
        let (Source::Cloud(cloud), _) = remote.source()? else {
            return Err(Error::new(Code::Internal, "a bucket is none"));
        };
        Ok((remote, cloud))
    }

    /// A new store, with whether it may replace one; without, a change of the one that is there.
    pub(super) fn over(
        remote: RemoteStore,
        cloud: CloudSource,
        overwrite: Option<bool>,
        halt: &Halt,
    ) -> Result<Self> {
        let far = Arc::new(Far {
            shown: remote.shown.clone(),
            remote,
            cloud,
            halt: halt.clone(),
            slots: Arc::new(Semaphore::new(IN_FLIGHT / UNIT)),
            failed: Mutex::default(),
            stop: watch::Sender::new(false),
            keys: Mutex::default(),
            kept: Mutex::default(),
        });
        let (claim, replaces, change) = far.wait(async {
            let look = async |inherits| match overwrite {
                Some(overwrite) => Ok((far.look(overwrite, inherits).await?, None)),
                None => Ok((false, Some(Change::of(&far).await?))),
            };
            // Before anything is put into a place that is not ours.
            look(None).await?;
            let claim = Claim::take(&far.remote, &far.cloud, &far.shown).await?;
            // Another may have published meanwhile.
            match look(Some(claim.inherits)).await {
                Ok((replaces, change)) => Ok((claim, replaces, change)),
                Err(e) => {
                    let _ = claim.release(&far.remote, &far.cloud, true).await;
                    Err(e)
                }
            }
        })?;
        let claim = Arc::new(claim);
        let (held, renewed) = (claim.clone(), far.clone());
        far.spawn(async move {
            loop {
                tokio::time::sleep(RENEW).await;
                match held.renew(&renewed.remote, &renewed.cloud, &renewed.shown).await {
                    Err(e) if e.code() == Code::Locked => return renewed.fail(e),
                    // The next one may go better; publishing looks once more.
                    _ => {}
                }
            }
        })?;
        let (begun, metadata) = (Mutex::default(), AtomicBool::new(false));
        let held = Arc::default();
        Ok(Self { far, claim, replaces, begun, metadata, held, change, published: false })
    }

    fn publish_new(&self) -> Result<()> {
        let far = &self.far;
        let mut held = std::mem::take(&mut *guard(&self.held));
        held.sort_by_key(|(key, _)| ROOT.iter().position(|name| name == key));
        far.wait(async {
            self.claim.check(&far.remote, &far.cloud, &far.shown).await?;
            if self.replaces {
                far.clear(false).await?;
            }
            for (key, bytes) in held {
                far.mark(&key);
                far.put_root(&key, bytes.into()).await?;
            }
            Ok(())
        })
    }

    /// Before the first value: what is replaced is no store any more.
    fn begin_once(&self) -> Result<()> {
        let mut begun = guard(&self.begun);
        if !std::mem::replace(&mut *begun, true) && self.replaces {
            self.far.wait(self.far.delete(&ROOT))?;
        }
        Ok(())
    }
}

pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn hash(key: &str) -> u64 {
    let mut hash = DefaultHasher::new();
    key.hash(&mut hash);
    hash.finish()
}

/// Each of what is waited for has its own deadline.
pub(super) fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    runtime::wait_for(&mut || Ok(()), future)
}

/// Clears up, and waits for it until [`Halt`] says not to: it goes on beside then, see
/// [`is_clearing`](runtime::is_clearing).
pub(super) fn clear_up(halt: &Halt, clearing: impl Future<Output = ()> + Send + 'static) {
    if let Ok(task) = runtime::clear(clearing) {
        let _ = runtime::wait_for(&mut || halt.check(), async { Ok(task.await) });
    }
}

impl Far {
    /// Waits, until [`Halt`] says not to.
    pub(super) fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        runtime::wait_for(&mut || self.halt.check(), future)
    }

    /// Refuses to replace what is not to be replaced; whether there is something to replace. `inherits`: whether what is there
    /// without being a store is a dead writer's; `None` where that is not known yet.
    async fn look(&self, overwrite: bool, inherits: Option<bool>) -> Result<bool> {
        let options = &self.remote.options;
        let found = self.remote.repeat("", || self.cloud.list("", options)).await?;
        let is_store = found.files.iter().any(|name| ROOT.contains(&name.as_str()));
        let is_claimed = found.files.iter().any(|name| name == LOCK);
        let others = found.files.iter().filter(|name| *name != LOCK).count() + found.folders.len();
        let error = |what: &str, help: &str| {
            Error::new(Code::StoreExists, format!("`{}` {what}", self.shown)).help(help)
        };
        if is_store && !overwrite {
            return Err(error(
                "is there already",
                "Write to another place, or replace it with overwrite=True (--force)",
            ));
        }
        // Taking the claim says whose it is.
        let ours = inherits.unwrap_or(is_claimed);
        // Some stores list folders from which all has gone.
        let values = || self.cloud.keys(None, &|key| key != LOCK, 1, options);
        let holds = is_store || (others > 0 && !self.remote.repeat("", values).await?.0.is_empty());
        if !is_store && holds && !ours {
            return Err(error(
                "has something in it, and is no Zarr store: it is not replaced",
                "Write to another place",
            ));
        }
        Ok(holds)
    }

    /// Does something beside, until all is stopped.
    pub(super) fn spawn(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Result<tokio::task::JoinHandle<()>> {
        let mut stop = self.stop.subscribe();
        runtime::within(|| {
            tokio::spawn(async move {
                tokio::select! {
                    _ = stop.wait_for(|stopped| *stopped) => {}
                    () = future => {}
                }
            })
        })
    }

    pub(super) fn fail(&self, error: Error) {
        guard(&self.failed).get_or_insert(error);
    }

    /// What has failed meanwhile.
    pub(super) fn check(&self) -> Result<()> {
        guard(&self.failed).take().map_or(Ok(()), Err)
    }

    /// Waits until so many bytes may be on their way.
    pub(super) fn slot(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let units = (bytes.clamp(LEAST, IN_FLIGHT) / UNIT) as u32;
        let slots = self.slots.clone();
        self.wait(async { slots.acquire_many_owned(units).await.map_err(|_| ended()) })
    }

    /// Waits until nothing is on its way.
    async fn drain(&self) -> Result<()> {
        let all = self.slots.acquire_many((IN_FLIGHT / UNIT) as u32).await;
        all.map(drop).map_err(|_| ended())
    }

    pub(super) fn mark(&self, key: &str) {
        guard(&self.keys).insert(hash(key));
    }

    /// Puts a value, whatever is there.
    pub(super) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let (remote, len) = (&self.remote, bytes.len() as u64);
        let act = || self.cloud.put(key, bytes.clone(), PutMode::Overwrite, &remote.options);
        remote.repeat_for(key, len, act).await.map(drop)
    }

    /// Puts a document of the root where there is none.
    async fn put_root(&self, key: &str, bytes: Bytes) -> Result<()> {
        let (remote, len) = (&self.remote, bytes.len() as u64);
        let act = || self.cloud.put(key, bytes.clone(), PutMode::Create, &remote.options);
        if let Put::Taken = remote.repeat_for(key, len, act).await? {
            let found = remote.repeat(key, || self.cloud.stated(key, &remote.options)).await?;
            // A try before may have gone well, and its answer was lost.
            if found.is_none_or(|found| found.bytes != bytes) {
                guard(&self.keys).remove(&hash(key));
                let what = format!("another writer has put a store at `{}` meanwhile", self.shown);
                return Err(Error::new(Code::StoreExists, what).key(key).help("Write to another place"));
            }
        }
        Ok(())
    }

    async fn delete(&self, keys: &[&str]) -> Result<()> {
        let options = &self.remote.options;
        let act = || async {
            let paths = keys.iter().map(|key| self.cloud.path(key)).collect::<Result<_, _>>()?;
            self.cloud.delete(paths, options).await
        };
        self.remote.repeat(keys.first().copied().unwrap_or_default(), act).await
    }

    /// Takes note of a key that is there, and is put anew.
    async fn keep(&self, key: &str) -> Result<()> {
        let there = self.remote.repeat(key, || self.cloud.size(key, &self.remote.options)).await?;
        if there.is_some() {
            guard(&self.kept).insert(hash(key));
        }
        Ok(())
    }

    /// Takes away what was put here, or all else.
    async fn clear(&self, ours: bool) -> Result<()> {
        self.clear_where(&|key| {
            let put = guard(&self.keys).contains(&hash(key)) && !guard(&self.kept).contains(&hash(key));
            put == ours
        })
        .await
    }

    pub(super) async fn clear_where(&self, gone: &(dyn Fn(&str) -> bool + Sync)) -> Result<()> {
        let (remote, options) = (&self.remote, &self.remote.options);
        let wanted = |key: &str| key != LOCK && gone(key);
        let mut after = None;
        loop {
            let act = || self.cloud.keys(after.as_ref(), &wanted, BATCH, options);
            let (found, next) = remote.repeat("", act).await?;
            if !found.is_empty() {
                remote.repeat("", || self.cloud.delete(found.clone(), options)).await?;
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

fn ended() -> Error {
    Error::new(Code::Internal, "the writing has ended")
}

impl Draft for RemoteDraft {
    fn create(&self, key: &str) -> Result<Box<dyn ValueWriter>> {
        self.far.check()?;
        self.far.cloud.path(key).map_err(|failure| failure.into_error(key, 1))?;
        if key.is_empty() || key == LOCK {
            return Err(Error::new(Code::StoreEscape, "the key is none of a store").key(key));
        }
        if ROOT.contains(&key) {
            let (key, all) = (key.to_owned(), self.held.clone());
            return Ok(Box::new(Held { key, bytes: Vec::new(), all }));
        }
        self.begin_once()?;
        if self.change.is_some() {
            self.far.wait(self.far.keep(key))?;
        }
        let name = key.rsplit('/').next().unwrap_or(key);
        if ROOT.contains(&name) && !self.metadata.swap(true, SeqCst) {
            self.far.wait(self.far.drain())?;
        }
        Ok(Box::new(Value::new(self.far.clone(), key)))
    }

    fn clear(&self, path: &str) -> Result<()> {
        if let Some(change) = &self.change {
            change.clear(path);
        }
        Ok(())
    }

    fn holds(&self) -> [u64; 2] {
        [PART as u64, IN_FLIGHT as u64]
    }

    fn publish(&mut self) -> Result<()> {
        let far = &self.far;
        far.wait(far.drain())?;
        far.check()?;
        self.begin_once()?;
        match self.change.take() {
            Some(change) => self.publish_change(&change)?,
            None => self.publish_new()?,
        }
        let far = &self.far;
        self.published = true;
        far.stop.send_replace(true);
        // The store stands: a claim that stays is taken over as a dead writer's.
        let _ = wait(self.claim.release(&far.remote, &far.cloud, true));
        Ok(())
    }
}

impl Drop for RemoteDraft {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        let (far, claim, replaces) = (self.far.clone(), self.claim.clone(), self.replaces);
        let begun = *guard(&self.begun);
        clear_up(&self.far.halt, async move {
            let clearing = async {
                // A put that is given up may be carried out all the same, after all is cleared: its answer is waited for.
                far.drain().await?;
                // Where another goes on, all that is here is theirs.
                claim.check(&far.remote, &far.cloud, &far.shown).await?;
                if begun { far.clear(true).await } else { Ok(()) }
            };
            let done = timeout(CLEARING, clearing).await;
            far.stop.send_replace(true);
            let cleared = match done {
                Ok(Err(e)) if e.code() == Code::Locked => return,
                done => done.is_ok_and(|done| done.is_ok()),
            };
            // What is left of a store that was to be replaced is cleared by the next writer.
            let clear = cleared && !(begun && replaces);
            let _ = timeout(RELEASING, claim.release(&far.remote, &far.cloud, clear)).await;
        });
    }
}

impl fmt::Debug for RemoteDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteDraft({})", self.far.shown)
    }
}

/// A document of the root, kept back.
struct Held {
    key: String,
    bytes: Vec<u8>,
    all: Documents,
}

impl ValueWriter for Held {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        guard(&self.all).push((self.key, self.bytes));
        Ok(())
    }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
