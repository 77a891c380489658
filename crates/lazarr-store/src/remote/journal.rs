//! What is noted of a draft in a bucket, so that a later writer takes it up.
//!
//! One small value beside the data, [`LOG`], has the lines of a journal, each with a checksum; it is put anew each time, after
//! all that it speaks of is there. Elements that are finished are taken up; one that was under way is begun again, since no
//! object is gone on with.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lazarr_format::Result;

use super::far::{Far, guard};
use crate::draft::{Journal, Request, line, lines};

/// The key of the journal.
pub(super) const LOG: &str = ".lazarr-log";

/// The journal of a draft in a bucket.
pub(super) struct RemoteJournal {
    far: Arc<Far>,
    found: Vec<String>,
    /// Those that were found, and those that came since.
    lines: Mutex<Vec<String>>,
    /// So many of them are there.
    put: AtomicUsize,
}

impl RemoteJournal {
    /// The journal of what is written here: one that a writer of the same request has left, or a new one.
    ///
    /// Errors: what the request's `differs` says, where another was begun.
    pub(super) async fn find(far: &Arc<Far>, request: &Request, left: bool) -> Result<Self> {
        let options = &far.remote.options;
        let noted =
            if left { far.remote.repeat(LOG, || far.cloud.stated(LOG, options)).await? } else { None };
        let (mut found, _) = lines(&noted.map(|noted| noted.bytes).unwrap_or_default());
        match found.first() {
            Some(begun) => (request.differs)(begun, &request.text)?,
            None => found = vec![request.text.clone()],
        }
        let (all, put) = (Mutex::new(found.clone()), AtomicUsize::new(found.len()));
        found.remove(0);
        Ok(Self { far: far.clone(), found, lines: all, put })
    }

    /// Whether somebody has begun before.
    pub(super) fn takes_up(&self) -> bool {
        !self.found.is_empty()
    }

    /// Whether there is anything that is worth to be kept.
    pub(super) fn is_empty(&self) -> bool {
        guard(&self.lines).len() < 2
    }

    /// Takes away what is there below a key.
    pub(super) fn clear(&self, path: &str) -> Result<()> {
        let far = &self.far;
        let below =
            |key: &str| path.is_empty() || key.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        far.wait(far.clear_where(&|key| {
            key != LOG && below(key) && {
                far.unmark(key);
                true
            }
        }))
    }

    /// Puts all lines, after what they speak of.
    pub(super) async fn keep(&self) -> Result<()> {
        let (text, count) = {
            let lines = guard(&self.lines);
            (lines.iter().map(|text| line(text)).collect::<String>(), lines.len())
        };
        if count == self.put.load(SeqCst) {
            return Ok(());
        }
        // Lines that came before are there by now, or have failed.
        self.far.drain().await?;
        self.far.whole()?;
        self.far.put(LOG, Bytes::from(text)).await?;
        self.put.store(count, SeqCst);
        Ok(())
    }
}

impl Journal for RemoteJournal {
    fn found(&self) -> &[String] {
        &self.found
    }

    fn add(&self, text: &str) -> Result<()> {
        guard(&self.lines).push(text.to_owned());
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.far.wait(self.keep())
    }

    fn syncs(&self) -> bool {
        true
    }

    fn files(&self, key: &str) -> Result<Vec<(String, u64)>> {
        let far = &self.far;
        let found = far.wait(far.remote.repeat(key, || far.cloud.below(key, &far.remote.options)))?;
        // What is looked at stays, unless it is taken away.
        for (name, _) in &found {
            far.mark(&if key.is_empty() { name.clone() } else { format!("{key}/{name}") });
        }
        Ok(found)
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.far.unmark(key);
        self.far.wait(self.far.delete(&[key]))
    }
}

impl fmt::Debug for RemoteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteJournal({})", self.far.shown)
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
