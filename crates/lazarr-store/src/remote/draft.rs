//! A draft in a bucket: its values are put where they will be, and are no store before the documents of the root are there.
//!
//! An object store has neither renames nor locks. One writer at a time holds a [`Claim`]; the documents of the root are kept
//! back until [`Draft::publish`]. Of a store that is replaced these go first, before the first value is put, so that nobody
//! opens a mixture; what else is left of it goes before the new ones come.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lazarr_format::{Code, Error, Result};
use tokio::time::timeout;

use super::change::Change;
use super::claim::{Claim, LOCK, RENEW};
use super::cloud::CloudSource;
use super::far::{Far, IN_FLIGHT, ROOT, There, clear_up, guard, wait};
use super::journal::{LOG, RemoteJournal};
use super::upload::{PART, Value};
use super::{RemoteStore, Source};
use crate::address::{StoreOptions, archive, redacted, scheme};
use crate::draft::{Draft, Halt, Journal, Request, ValueWriter};

/// Clearing up takes no longer.
pub(super) const CLEARING: Duration = Duration::from_secs(30);
const RELEASING: Duration = Duration::from_secs(10);

/// Documents of the root, by their keys.
type Documents = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A prefix of a bucket that becomes a store.
pub struct RemoteDraft {
    pub(super) far: Arc<Far>,
    pub(super) claim: Arc<Claim>,
    /// What has to go: a store that is replaced, or what a writer that was ended has left.
    there: There,
    /// Whether values are put already.
    begun: Mutex<bool>,
    metadata: AtomicBool,
    pub(super) held: Documents,
    /// Of a store that is changed, not written.
    change: Option<Change>,
    /// Of a store that is written so that it can be taken up.
    journal: Option<Arc<RemoteJournal>>,
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

    /// Begins a draft of the store at this URL; where `halt` is told, nothing waits for the network any more. With a request
    /// that resumes, what a writer of the same has finished is gone on with, and what is finished stays where this one ends
    /// before its end.
    ///
    /// Errors: `StoreUrl` where it can be none; `StoreExists` where something is there that is not to be replaced, or is no
    /// store; `Locked` where somebody writes it now; those of the network and of the request.
    pub fn begin(
        url: &str,
        options: &StoreOptions,
        overwrite: bool,
        request: Option<Request>,
        halt: &Halt,
    ) -> Result<Self> {
        let (remote, cloud) = Self::place(url, options)?;
        Self::over(remote, cloud, Some(overwrite), request, halt)
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
        request: Option<Request>,
        halt: &Halt,
    ) -> Result<Self> {
        let far = Arc::new(Far::new(remote, cloud, halt));
        let request = request.filter(|request| request.resume);
        let (claim, there, change, journal) = far.wait(async {
            let look = async |inherits| match overwrite {
                Some(overwrite) => Ok((far.look(overwrite, inherits).await?, None)),
                None => Ok((There::Nothing, Some(Change::of(&far).await?))),
            };
            // Before anything is put into a place that is not ours.
            look(None).await?;
            let claim = Claim::take(&far.remote, &far.cloud, &far.shown).await?;
            // Another may have published meanwhile.
            let found = async {
                let (there, change) = look(Some(claim.inherits)).await?;
                let journal = match &request {
                    Some(request) => Some(RemoteJournal::find(&far, request, there == There::Left).await?),
                    None => None,
                };
                Ok((there, change, journal.map(Arc::new)))
            };
            match found.await {
                Ok((there, change, journal)) => Ok((claim, there, change, journal)),
                Err(e) => {
                    // What a writer before has left stays the next one's.
                    let _ = claim.release(&far.remote, &far.cloud, !claim.inherits).await;
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
        Ok(Self { far, claim, there, begun, metadata, held, change, journal, published: false })
    }

    fn publish_new(&self) -> Result<()> {
        let far = &self.far;
        let mut held = std::mem::take(&mut *guard(&self.held));
        held.sort_by_key(|(key, _)| ROOT.iter().position(|name| name == key));
        far.wait(async {
            self.claim.check(&far.remote, &far.cloud, &far.shown).await?;
            if self.there != There::Nothing {
                far.clear(false).await?;
            } else if self.journal.is_some() {
                far.delete(&[LOG]).await?;
            }
            for (key, bytes) in held {
                far.mark(&key);
                far.put_root(&key, bytes.into()).await?;
            }
            Ok(())
        })
    }

    /// Before the first value: what is replaced is no store any more, and nothing is noted of what was begun.
    fn begin_once(&self) -> Result<()> {
        let mut begun = guard(&self.begun);
        if !std::mem::replace(&mut *begun, true) && self.there != There::Nothing {
            self.far.wait(self.far.delete(&ROOT))?;
            if !self.takes_up() {
                self.far.wait(self.far.delete(&[LOG]))?;
            }
        }
        Ok(())
    }

    fn takes_up(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.takes_up())
    }
}

impl Draft for RemoteDraft {
    fn create(&self, key: &str) -> Result<Box<dyn ValueWriter>> {
        self.far.check()?;
        self.far.cloud.path(key).map_err(|failure| failure.into_error(key, 1))?;
        if key.is_empty() || key == LOCK || key == LOG {
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
        if let Some(journal) = self.journal.as_ref().filter(|journal| journal.takes_up()) {
            journal.clear(path)?;
        }
        Ok(())
    }

    fn journal(&self) -> Option<&dyn Journal> {
        self.journal.as_deref().map(|journal| journal as &dyn Journal)
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
        let (far, claim, there) = (self.far.clone(), self.claim.clone(), self.there);
        let begun = *guard(&self.begun);
        let journal = self.journal.take().filter(|journal| !journal.is_empty());
        clear_up(&self.far.halt, async move {
            let clearing = async {
                // A put that is given up may be carried out all the same, after all is cleared: its answer is waited for.
                far.drain().await?;
                // Where another goes on, all that is here is theirs.
                claim.check(&far.remote, &far.cloud, &far.shown).await?;
                match &journal {
                    Some(journal) => journal.keep().await,
                    None if begun => far.clear(true).await,
                    None => Ok(()),
                }
            };
            let done = timeout(CLEARING, clearing).await;
            far.stop.send_replace(true);
            let cleared = match done {
                Ok(Err(e)) if e.code() == Code::Locked => return,
                done => done.is_ok_and(|done| done.is_ok()),
            };
            // What is left is gone on with by the next writer, or cleared.
            let stays = there == There::Left || (begun && there == There::Store) || journal.is_some();
            let clear = cleared && !stays;
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
pub(super) mod tests;
