//! What a writer that was ended has left: named, ended, taken away.
//!
//! Beside `out.zarr` there may be `.out.zarr.lazarr-XXXX` (a draft, or an old store that was exchanged for it),
//! `.out.zarr.lazarr-XXXX-log` (what is noted of the draft, so that it can be taken up: `journal`), `.out.zarr.lazarr-old` and `.out.zarr.lazarr-journal` (two renames under way), `.out.zarr.lazarr-lock`. While nobody
//! holds the lock, all but the journal can be taken away; the journal is ended first.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use lazarr_format::{Code, Error, Result};

use super::fault::{Fault, Op};
use super::journal::is_resumable;
use super::local::remove_all;
use super::lock::Lock;

/// The names around a store.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) store: PathBuf,
}

const MARK: &str = ".lazarr-";
const LOG: &str = "-log";

fn is_log(path: &Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.ends_with(LOG))
}

/// The draft of a log.
fn draft_of(log: &Path) -> Option<PathBuf> {
    log.file_name()?.to_str()?.strip_suffix(LOG).map(|name| log.with_file_name(name))
}

/// The log of a draft.
fn log_of(draft: &Path) -> Option<PathBuf> {
    draft.file_name()?.to_str().map(|name| draft.with_file_name(format!("{name}{LOG}")))
}

impl Names {
    fn beside(&self, what: &str) -> PathBuf {
        self.folder.join(format!(".{}{MARK}{what}", self.name))
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.beside("lock")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.beside("journal")
    }

    pub(super) fn old(&self) -> PathBuf {
        self.beside("old")
    }

    pub(super) fn draft(&self, number: u64) -> PathBuf {
        self.beside(&format!("{number:016x}"))
    }

    pub(super) fn log(&self, number: u64) -> PathBuf {
        self.beside(&format!("{number:016x}{LOG}"))
    }

    /// Drafts, each with the place of its log.
    pub(super) fn drafts(&self) -> Vec<(PathBuf, PathBuf)> {
        let logs = self.left().into_iter().filter(|path| is_log(path));
        logs.filter_map(|log| Some((draft_of(&log)?, log))).filter(|(draft, _)| draft.is_dir()).collect()
    }

    fn at(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_owned(), name: name.to_owned(), store: folder.join(name) }
    }

    fn of_store(path: &Path) -> Option<Self> {
        let path = std::path::absolute(path).ok()?;
        Some(Self::at(path.parent()?, path.file_name()?.to_str()?))
    }

    /// All that stands beside the store, but the lock.
    fn left(&self) -> Vec<PathBuf> {
        let prefix = format!(".{}{MARK}", self.name);
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .filter(|e| {
                e.file_name().to_str().and_then(|n| n.strip_prefix(&prefix)).is_some_and(|rest| {
                    let number = rest.strip_suffix(LOG).unwrap_or(rest);
                    rest == "old"
                        || rest == "journal"
                        || (number.len() == 16 && number.bytes().all(|b| b.is_ascii_hexdigit()))
                })
            })
            .map(|e| e.path())
            .collect();
        found.sort();
        found
    }
}

/// Puts a draft in the place of a store, by two renames that a journal announces.
pub(super) fn replace(
    names: &Names,
    draft: &Path,
    fault: &Fault,
    sync: &dyn Fn(&Path) -> Result<()>,
) -> Result<()> {
    let (journal, old) = (names.journal(), names.old());
    let text = draft.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
    let written = fault
        .run(Op::Create, &journal, || File::create(&journal))
        .and_then(|mut file| {
            fault.run(Op::Write, &journal, || file.write_all(text.as_bytes()))?;
            fault.sync(&journal, || file.sync_all())
        })
        .and_then(|()| sync(&names.folder))
        .and_then(|()| fault.run(Op::Rename, &old, || fs::rename(&names.store, &old)));
    if let Err(e) = written {
        let _ = fs::remove_file(&journal);
        return Err(e);
    }
    if let Err(e) = fault.run(Op::Rename, &names.store, || fs::rename(draft, &names.store)) {
        // Back, as it was. Where even that fails, the journal tells the next one.
        if fs::rename(&old, &names.store).is_ok() {
            let _ = fs::remove_file(&journal);
        }
        return Err(e);
    }
    let _ = sync(&names.folder);
    let _ = fs::remove_file(&journal);
    Ok(())
}

/// Ends the two renames that a journal beside this path announces, where a writer was ended between them. Returns whether
/// there was something to do. Called before a store is opened that is not there.
pub fn recover(path: &Path) -> Result<bool> {
    let Some(names) = Names::of_store(path).filter(|n| n.journal().exists()) else { return Ok(false) };
    let fault = Fault::default();
    let lock = Lock::take(&names.lock(), &names.store, &fault)?;
    let done = end_journal(&names, &fault)?;
    drop(lock);
    Ok(done)
}

/// Who calls this holds the lock.
fn end_journal(names: &Names, fault: &Fault) -> Result<bool> {
    let journal = names.journal();
    let Ok(text) = fs::read_to_string(&journal) else { return Ok(false) };
    let mut done = false;
    if fs::symlink_metadata(&names.store).is_err() {
        // Both renames were about to happen: the draft was whole before the journal was written.
        let prefix = format!(".{}{MARK}", names.name);
        let draft = names.folder.join(&text);
        let is_ours = text.starts_with(&prefix) && !text.contains('/') && draft.is_dir();
        let from = if is_ours { draft } else { names.old() };
        if from.is_dir() {
            fault.run(Op::Rename, &names.store, || fs::rename(&from, &names.store))?;
            done = true;
        }
    }
    fault.run(Op::Remove, &journal, || fs::remove_file(&journal))?;
    Ok(done)
}

/// Ends what others have begun to exchange; the lock is held.
pub(super) fn end(names: &Names, fault: &Fault) -> Result<()> {
    end_journal(names, fault)?;
    // Never the last that there is of a store.
    if fs::symlink_metadata(&names.store).is_err() && names.old().is_dir() {
        fault.run(Op::Rename, &names.store, || fs::rename(names.old(), &names.store))?;
    }
    Ok(())
}

/// Clears what others have left, but the drafts that are kept, with their logs; the lock is held.
pub(super) fn clear(names: &Names, fault: &Fault, keep: &dyn Fn(&Path) -> bool) -> Result<()> {
    // Logs first: a draft that is half gone cannot be taken up.
    let (logs, rest): (Vec<_>, Vec<_>) = names.left().into_iter().partition(|path| is_log(path));
    for left in logs.into_iter().chain(rest) {
        if !keep(&draft_of(&left).unwrap_or_else(|| left.clone())) {
            remove_all(&left, fault)?;
        }
    }
    Ok(())
}

/// What stands in a folder beside a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The store that was written.
    pub store: PathBuf,
    /// What was left.
    pub path: PathBuf,
    /// Whether somebody writes that store now: then it is no leftover.
    pub busy: bool,
    /// Whether a later writer of the same can take it up.
    pub resumable: bool,
}

/// What dead writers have left of the store at this path, or of every store in this folder.
pub fn leftovers(path: &Path) -> Result<Vec<Left>> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut all = Vec::new();
    if let Some(names) = Names::of_store(&path) {
        all.push(names);
    }
    for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let store = name.to_str().and_then(|n| n.strip_prefix('.')).and_then(|n| n.rsplit_once(MARK));
        if let Some((store, _)) = store
            && !all.iter().any(|n| n.folder == path && n.name == store)
        {
            all.push(Names::at(&path, store));
        }
    }
    let left = all.into_iter().flat_map(|names| {
        let busy = Lock::is_held(&names.lock());
        let all = names.left().into_iter();
        // A log belongs to its draft.
        let all = all.filter(|path| draft_of(path).is_none_or(|draft| !draft.is_dir()));
        all.map(move |path| {
            let resumable = log_of(&path).is_some_and(|log| is_resumable(&path, &log));
            Left { store: names.store.clone(), path, busy, resumable }
        })
    });
    Ok(left.collect())
}

/// Ends what was begun and clears what dead writers have left, see [`leftovers`]. What a living one needs stays, and so does
/// what can be taken up, unless it is to be discarded. Returns what was there.
pub fn repair(path: &Path, discard: bool) -> Result<Vec<Left>> {
    let left = leftovers(path)?;
    let fault = Fault::default();
    let mut stores: Vec<_> = left.iter().filter(|l| !l.busy).map(|l| l.store.clone()).collect();
    stores.dedup();
    for store in stores {
        let Some(names) = Names::of_store(&store) else { continue };
        match Lock::take(&names.lock(), &names.store, &fault) {
            Ok(lock) => {
                end(&names, &fault)?;
                let resumable = |draft: &Path| log_of(draft).is_some_and(|log| is_resumable(draft, &log));
                clear(&names, &fault, &|draft| !discard && resumable(draft))?;
                drop(lock);
            }
            Err(e) if e.code() == Code::Locked => {}
            Err(e) => return Err(Error::new(Code::WriteIo, "the store cannot be repaired").source(e)),
        }
    }
    Ok(left)
}
