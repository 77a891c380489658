//! Where a draft in a bucket goes, and what of it is on its way.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lazarr_format::{Code, Error, Result};
use object_store::PutMode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::claim::LOCK;
use super::cloud::CloudSource;
use super::put::Put;
use super::{RemoteStore, runtime};
use crate::draft::Halt;

/// What makes a folder a store, in the order in which it is put.
pub(super) const ROOT: [&str; 5] = [".zattrs", ".zmetadata", ".zgroup", ".zarray", "zarr.json"];
/// So many bytes may be on their way at once, and a value counts as so many at least.
pub(super) const IN_FLIGHT: usize = 32 << 20;
const LEAST: usize = 1 << 20;
const UNIT: usize = 1 << 10;
/// So many keys are taken away together.
const BATCH: usize = 1000;

/// What is in the place of a draft before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    /// What a writer that was ended has left.
    Left,
    Store,
}

/// Where a draft goes, shared with what is on its way there.
pub(super) struct Far {
    pub(super) remote: RemoteStore,
    pub(super) cloud: CloudSource,
    pub(super) shown: String,
    pub(super) halt: Halt,
    slots: Arc<Semaphore>,
    /// Why a value could not be put that its writer has ended with.
    failed: Mutex<Option<Error>>,
    /// Whether there was one.
    broken: AtomicBool,
    /// Ends what is under way.
    pub(super) stop: watch::Sender<bool>,
    /// Hashes of all keys that were put, or may have been.
    pub(super) keys: Mutex<HashSet<u64>>,
    /// Of those, the ones that were there before.
    kept: Mutex<HashSet<u64>>,
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
    pub(super) fn new(remote: RemoteStore, cloud: CloudSource, halt: &Halt) -> Self {
        Self {
            shown: remote.shown.clone(),
            remote,
            cloud,
            halt: halt.clone(),
            slots: Arc::new(Semaphore::new(IN_FLIGHT / UNIT)),
            failed: Mutex::default(),
            broken: AtomicBool::new(false),
            stop: watch::Sender::new(false),
            keys: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Waits, until [`Halt`] says not to.
    pub(super) fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        runtime::wait_for(&mut || self.halt.check(), future)
    }

    /// Refuses to replace what is not to be replaced; what is there. `inherits`: whether what is there without being a store is
    /// a dead writer's; `None` where that is not known yet.
    pub(super) async fn look(&self, overwrite: bool, inherits: Option<bool>) -> Result<There> {
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
        Ok(if is_store {
            There::Store
        } else if holds {
            There::Left
        } else {
            There::Nothing
        })
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
        self.broken.store(true, SeqCst);
        guard(&self.failed).get_or_insert(error);
    }

    /// What has failed meanwhile.
    pub(super) fn check(&self) -> Result<()> {
        guard(&self.failed).take().map_or(Ok(()), Err)
    }

    /// An error where a value could not be put, at any time.
    pub(super) fn whole(&self) -> Result<()> {
        self.check()?;
        if self.broken.load(SeqCst) { Err(ended()) } else { Ok(()) }
    }

    /// Waits until so many bytes may be on their way.
    pub(super) fn slot(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let units = (bytes.clamp(LEAST, IN_FLIGHT) / UNIT) as u32;
        let slots = self.slots.clone();
        self.wait(async { slots.acquire_many_owned(units).await.map_err(|_| ended()) })
    }

    /// Waits until nothing is on its way.
    pub(super) async fn drain(&self) -> Result<()> {
        let all = self.slots.acquire_many((IN_FLIGHT / UNIT) as u32).await;
        all.map(drop).map_err(|_| ended())
    }

    pub(super) fn mark(&self, key: &str) {
        guard(&self.keys).insert(hash(key));
    }

    /// It is not put any more.
    pub(super) fn unmark(&self, key: &str) {
        guard(&self.keys).remove(&hash(key));
    }

    /// Puts a value, whatever is there.
    pub(super) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let (remote, len) = (&self.remote, bytes.len() as u64);
        let act = || self.cloud.put(key, bytes.clone(), PutMode::Overwrite, &remote.options);
        remote.repeat_for(key, len, act).await.map(drop)
    }

    /// Puts a document of the root where there is none.
    pub(super) async fn put_root(&self, key: &str, bytes: Bytes) -> Result<()> {
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

    pub(super) async fn delete(&self, keys: &[&str]) -> Result<()> {
        let options = &self.remote.options;
        let act = || async {
            let paths = keys.iter().map(|key| self.cloud.path(key)).collect::<Result<_, _>>()?;
            self.cloud.delete(paths, options).await
        };
        self.remote.repeat(keys.first().copied().unwrap_or_default(), act).await
    }

    /// Takes note of a key that is there, and is put anew.
    pub(super) async fn keep(&self, key: &str) -> Result<()> {
        let there = self.remote.repeat(key, || self.cloud.size(key, &self.remote.options)).await?;
        if there.is_some() {
            guard(&self.kept).insert(hash(key));
        }
        Ok(())
    }

    /// Takes away what was put here, or all else.
    pub(super) async fn clear(&self, ours: bool) -> Result<()> {
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
