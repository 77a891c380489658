//! One writer at a time, in a place that has no locks: a small value beside the data says who writes, and is renewed while
//! they live.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lazarr_format::{Code, Error, Result};
use object_store::{PutMode, UpdateVersion};

use super::RemoteStore;
use super::cloud::CloudSource;
use super::put::{Put, Stated};

/// The key of the claim.
pub(super) const LOCK: &str = ".lazarr-lock";
/// It is renewed so often.
pub(super) const RENEW: Duration = Duration::from_secs(30);
/// Who has not renewed it for so long is dead. Clocks that differ by more are not let in by most stores.
const DEAD: i64 = 15 * 60;
/// What stands in the claim of a writer that has ended and could not clear what it left.
const LEFT: &[u8] = b"left";

/// The right to write here.
#[derive(Debug)]
pub(super) struct Claim {
    id: Bytes,
    version: Mutex<UpdateVersion>,
    /// Whether a writer before has ended and left something.
    pub(super) inherits: bool,
}

fn locked(shown: &str) -> Error {
    Error::new(Code::Locked, format!("another process writes `{shown}`")).help(
        "Wait until it has ended, or write elsewhere. One that was killed counts as ended after 15 minutes, or when \
         the folder is deleted, with `.lazarr-lock` in it",
    )
}

impl Claim {
    /// Takes the right, or is `Locked`.
    pub(super) async fn take(remote: &RemoteStore, cloud: &CloudSource, shown: &str) -> Result<Self> {
        let random = RandomState::new().hash_one(SystemTime::now());
        let id = Bytes::from(format!("{random:016x}"));
        let mut mode = PutMode::Create;
        // Who loses a race for a dead writer's claim looks once more.
        for _ in 0..3 {
            let inherits = !matches!(mode, PutMode::Create);
            if let Put::Done(version) = put(remote, cloud, &id, &mode).await? {
                return Ok(Self { id, version: Mutex::new(version), inherits });
            }
            mode = match stated(remote, cloud).await? {
                // A try before this one went well, and its answer was lost.
                Some(found) if found.bytes == id => {
                    return Ok(Self { id, version: Mutex::new(found.version), inherits });
                }
                Some(found) if found.bytes == LEFT || age(&found) > DEAD => PutMode::Update(found.version),
                Some(_) => return Err(locked(shown)),
                None => PutMode::Create,
            };
        }
        Err(locked(shown))
    }

    /// Says that the writer lives; `Locked` where another has taken it for dead.
    pub(super) async fn renew(&self, remote: &RemoteStore, cloud: &CloudSource, shown: &str) -> Result<()> {
        let known = self.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Put::Done(version) = put(remote, cloud, &self.id, &PutMode::Update(known)).await? {
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
            return Ok(());
        }
        self.check(remote, cloud, shown).await
    }

    /// `Locked` where another has taken the writer for dead.
    pub(super) async fn check(&self, remote: &RemoteStore, cloud: &CloudSource, shown: &str) -> Result<()> {
        match stated(remote, cloud).await? {
            Some(found) if found.bytes == self.id => {
                *self.version.lock().unwrap_or_else(PoisonError::into_inner) = found.version;
                Ok(())
            }
            _ => Err(locked(shown)),
        }
    }

    /// Gives the right back; `clear`: nothing is left that the next writer has to take away.
    pub(super) async fn release(&self, remote: &RemoteStore, cloud: &CloudSource, clear: bool) -> Result<()> {
        if !clear {
            let known = self.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return put(remote, cloud, &Bytes::from_static(LEFT), &PutMode::Update(known)).await.map(|_| ());
        }
        remote.repeat(LOCK, || async { cloud.delete(vec![cloud.path(LOCK)?], &remote.options).await }).await
    }
}

async fn put(remote: &RemoteStore, cloud: &CloudSource, bytes: &Bytes, mode: &PutMode) -> Result<Put> {
    remote.repeat(LOCK, || cloud.put(LOCK, bytes.clone(), mode.clone(), &remote.options)).await
}

async fn stated(remote: &RemoteStore, cloud: &CloudSource) -> Result<Option<Stated>> {
    remote.repeat(LOCK, || cloud.stated(LOCK, &remote.options)).await
}

fn age(found: &Stated) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_sub(found.changed)
}
