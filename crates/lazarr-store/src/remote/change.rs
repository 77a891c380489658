//! A store in a bucket that is changed in its place.
//!
//! The root's document, which has the metadata of all, is put last, and only where it is still as it was. Who reads by it
//! reads what was there until then: what comes before has keys that nothing had, or is a value that was there with more
//! behind it. What is not needed any more goes afterwards. See [`RemoteDraft::edit`].

use std::sync::Mutex;

use bytes::Bytes;
use lazarr_format::{Code, Error, Result};
use object_store::PutMode;
use tokio::time::timeout;

use super::cloud::CloudSource;
use super::draft::{CLEARING, RemoteDraft};
use super::far::{Far, guard, hash, wait};
use super::put::{Put, Stated};
use crate::address::StoreOptions;
use crate::draft::Halt;

/// The root's document: that of Zarr v3.
const ROOT: &str = "zarr.json";

/// What was there.
pub(super) struct Change {
    root: Bytes,
    /// Below these all goes that is not put anew.
    cleared: Mutex<Vec<String>>,
}

impl Change {
    pub(super) async fn of(far: &Far) -> Result<Self> {
        let Some(found) = stated(far).await? else {
            let (key, options) = (".zgroup", &far.remote.options);
            if far.remote.repeat(key, || far.cloud.size(key, options)).await?.is_some() {
                let what = format!("`{}` is of Zarr v2, and is not changed over a network", far.shown);
                return Err(
                    Error::new(Code::NotWritten, what).help("Write it anew as v3: lz.write, `lazarr write`")
                );
            }
            let what = format!("there is no store at `{}` that could be changed", far.shown);
            return Err(
                Error::new(Code::StoreNotFound, what).help("Write it first: lz.write, `lazarr write`")
            );
        };
        if above(&far.cloud, &far.remote.options).await {
            let what = format!("`{}` is a part of another store", far.shown);
            return Err(
                Error::new(Code::NotWritten, what).help("Name the whole store, and the part by its path")
            );
        }
        Ok(Self { root: found.bytes, cleared: Mutex::default() })
    }

    pub(super) fn clear(&self, path: &str) {
        guard(&self.cleared).push(path.to_owned());
    }
}

async fn stated(far: &Far) -> Result<Option<Stated>> {
    far.remote.repeat(ROOT, || far.cloud.stated(ROOT, &far.remote.options)).await
}

/// Whether the folder above is a group, as far as one may look.
async fn above(cloud: &CloudSource, options: &StoreOptions) -> bool {
    let Some((folder, _)) = cloud.folder.rsplit_once('/') else {
        return false;
    };
    let mut above = cloud.clone();
    above.folder = folder.to_owned();
    above.size(ROOT, options).await.is_ok_and(|size| size.is_some())
}

impl RemoteDraft {
    /// Begins to change the store at this URL; where `halt` is told, nothing waits for the network any more. Of what is put,
    /// nothing is read by who has the root's metadata, until [`publish`](crate::draft::Draft::publish): keys that are there
    /// may only be given what they have with more behind it.
    ///
    /// Errors: `StoreNotFound` where no store is there; `NotWritten` where it is of Zarr v2, or a part of another; those of
    /// [`begin`](Self::begin).
    pub fn edit(url: &str, options: &StoreOptions, halt: &Halt) -> Result<Self> {
        let (remote, cloud) = Self::place(url, options)?;
        Self::over(remote, cloud, None, None, halt)
    }

    pub(super) fn publish_change(&mut self, change: &Change) -> Result<()> {
        let far = &self.far;
        let held = std::mem::take(&mut *guard(&self.held));
        let Some((_, bytes)) = held.into_iter().rfind(|(key, _)| key == ROOT) else {
            return Err(Error::new(Code::Internal, "a store is changed without its root"));
        };
        let (bytes, options) = (Bytes::from(bytes), &far.remote.options);
        let changed = || {
            Error::new(
                Code::StoreChanged,
                format!("`{}` was changed by another program meanwhile", far.shown),
            )
            .key(ROOT)
            .help("It is as that program has left it: look at it, and do it again")
        };
        let version = far.wait(async {
            self.claim.check(&far.remote, &far.cloud, &far.shown).await?;
            let now = stated(far).await?.filter(|now| now.bytes == change.root);
            now.map(|now| now.version).ok_or_else(changed)
        })?;
        let mode = PutMode::Update(version);
        let put = far.wait(async {
            let act = || far.cloud.put(ROOT, bytes.clone(), mode.clone(), options);
            match far.remote.repeat_for(ROOT, bytes.len() as u64, act).await? {
                Put::Done(_) => Ok(true),
                // A try before may have gone well, and its answer was lost.
                Put::Taken => Ok(stated(far).await?.is_some_and(|found| found.bytes == bytes)),
            }
        });
        match put {
            Ok(true) => {}
            Ok(false) => return Err(changed()),
            Err(e) => {
                // It may be there: what it names has to stay.
                guard(&far.keys).clear();
                return Err(e.help("Whether the change was made is not known: open the store, and see"));
            }
        }
        let cleared = std::mem::take(&mut *guard(&change.cleared));
        if !cleared.is_empty() {
            let below = |key: &str| {
                cleared.iter().any(|path| key.strip_prefix(&**path).is_some_and(|r| r.starts_with('/')))
            };
            let gone = |key: &str| below(key) && !guard(&far.keys).contains(&hash(key));
            // What stays is in nobody's way.
            let _ = wait(async { Ok(timeout(CLEARING, far.clear_where(&gone)).await) });
        }
        Ok(())
    }
}
