//! A draft in a directory beside the store, and the swap.
//!
//! The draft of `out.zarr` is `.out.zarr.lazarr-XXXX`, in the same folder. Each file is brought to the disk when it ends, and
//! each directory before the swap. Then one rename makes it the store: into a free name where there is nothing, in exchange
//! for the old store where there is one. Where a file system has no exchange, a journal says what two renames are about to
//! do, and who opens the store next ends what was begun (`recover`).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lazarr_format::{Code, Error, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::fault::{Fault, Op, write_error};
use super::journal::{Journal, LocalJournal, Request};
use super::lock::Lock;
use super::recover::{self, Names};
use super::{Draft, Scratch, ValueWriter};

/// How a local store is written.
#[derive(Debug, Clone, Default)]
pub struct DraftOptions {
    /// Replace what is there.
    pub overwrite: bool,
    /// Bytes that will be written at least: less room is an error at once.
    pub expected: u64,
    /// Do not wait for the disk: fast, and not safe from a loss of power.
    pub no_sync: bool,
    /// What is written, where it can be taken up: then a journal is kept.
    pub request: Option<Request>,
    /// For tests: operations that fail.
    pub fault: Fault,
    /// For tests: behave as a file system that cannot exchange two names.
    pub no_exchange: bool,
}

/// A directory that becomes a store.
#[derive(Debug)]
pub struct LocalDraft {
    names: Names,
    /// Where it is written.
    pub(super) root: PathBuf,
    pub(super) options: DraftOptions,
    made: Mutex<BTreeSet<PathBuf>>,
    /// It began with files (of the old store, of a writer that was ended): one that is made takes the place of what has its
    /// name.
    pub(super) edits: bool,
    journal: Option<LocalJournal>,
    published: bool,
    // Last: given back when all is done.
    _lock: Lock,
}

impl LocalDraft {
    /// Begins a draft of the store at this path. Nothing is written there.
    ///
    /// Errors: `StoreExists` where something is there that is not to be replaced, or is no store; `Locked` where somebody
    /// writes it now; `NoSpace` where there is too little room.
    pub fn begin(path: &Path, options: DraftOptions) -> Result<Self> {
        let names = Names::of(path)?;
        let fault = options.fault.clone();
        fault.run(Op::MakeDir, &names.folder, || fs::create_dir_all(&names.folder))?;
        let lock = Lock::take(&names.lock(), &names.store, &fault)?;
        let sync = !options.no_sync;
        let wanted = options.request.as_ref().filter(|request| request.resume);
        // What a writer before has begun is ended, and what it has left is taken away, unless it is gone on with: nobody else
        // is at it.
        recover::end(&names, &fault)?;
        let journal = match wanted {
            Some(request) => {
                check_free(&names.store, options.overwrite)?;
                LocalJournal::find(&names, request, &fault, sync)?
            }
            None => None,
        };
        recover::clear(&names, &fault, &|draft| journal.as_ref().is_some_and(|j| j.root() == draft))?;
        check_free(&names.store, options.overwrite)?;
        let room = room(&names.folder);
        if room.is_some_and(|room| room < options.expected) {
            return Err(Error::new(
                Code::NoSpace,
                format!("there is too little room for `{}`", names.store.display()),
            )
            .expected(format!("about {} bytes", options.expected))
            .found(format!("{} bytes", room.unwrap_or(0)))
            .help("Make room, or write to another disk"));
        }
        if let Some(journal) = journal {
            let root = journal.root().to_owned();
            let made = Mutex::new(folders(&root)?);
            let journal = Some(journal);
            return Ok(Self {
                names,
                root,
                options,
                made,
                edits: true,
                journal,
                published: false,
                _lock: lock,
            });
        }
        let number = RandomState::new().hash_one(std::process::id());
        let root = names.draft(number);
        fault.run(Op::MakeDir, &root, || fs::create_dir(&root))?;
        let made = Mutex::new(BTreeSet::from([root.clone()]));
        let mut this =
            Self { names, root, options, made, edits: false, journal: None, published: false, _lock: lock };
        if let Some(request) = &this.options.request {
            let log = this.names.log(number);
            let begun = LocalJournal::begin(&log, &this.root, &request.text, &fault, sync);
            if begun.is_err() {
                let _ = remove_all(&log, &Fault::default());
            }
            this.journal = Some(begun?);
        }
        Ok(this)
    }

    /// Where it is written.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store that this becomes.
    pub(super) fn store(&self) -> &Path {
        &self.names.store
    }

    pub(super) fn make_folder(&self, folder: &Path) -> Result<()> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.contains(folder) {
            return Ok(());
        }
        self.options.fault.run(Op::MakeDir, folder, || fs::create_dir_all(folder))?;
        made.extend(folder.ancestors().take_while(|a| a.starts_with(&self.root)).map(Path::to_path_buf));
        Ok(())
    }

    fn place(&self, key: &str) -> Result<PathBuf> {
        let path = Path::new(key);
        let plain = path.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        if !plain || key.is_empty() || key.contains('\0') {
            return Err(Error::new(Code::StoreEscape, "the key leads out of the store").key(key));
        }
        Ok(self.root.join(path))
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        if self.options.no_sync {
            return Ok(());
        }
        self.options.fault.sync(folder, || File::open(folder)?.sync_all())
    }
}

/// A folder and those below it.
fn folders(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::from([root.to_owned()]);
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).map_err(|e| write_error(Op::Create, &folder, e))?;
        for path in entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()) {
            all.insert(path.clone());
            open.push(path);
        }
    }
    Ok(all)
}

/// Refuses to replace what is not to be replaced.
fn check_free(store: &Path, overwrite: bool) -> Result<()> {
    let Ok(meta) = fs::symlink_metadata(store) else { return Ok(()) };
    let error = |what: &str, help: &str| {
        Error::new(Code::StoreExists, format!("`{}` {what}", store.display())).help(help)
    };
    if !overwrite {
        return Err(error(
            "is there already",
            "Write to another path, or replace it with overwrite=True (--force)",
        ));
    }
    // What is replaced is a store, or an empty folder: never somebody's home.
    let known = ["zarr.json", ".zgroup", ".zarray", ".zattrs"];
    let is_store = known.iter().any(|name| store.join(name).is_file());
    let is_empty = || fs::read_dir(store).is_ok_and(|mut all| all.next().is_none());
    if !meta.is_dir() || !(is_store || is_empty()) {
        return Err(error("is there, and is no Zarr store: it is not replaced", "Write to another path"));
    }
    Ok(())
}

fn room(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

impl Draft for LocalDraft {
    fn create(&self, key: &str) -> Result<Box<dyn ValueWriter>> {
        let path = self.place(key)?;
        if let Some(folder) = path.parent() {
            self.make_folder(folder)?;
        }
        let fault = self.options.fault.clone();
        // Its bytes belong to the old store too: the name is taken away, never the bytes.
        if self.edits && fs::symlink_metadata(&path).is_ok() {
            fault.run(Op::Remove, &path, || fs::remove_file(&path))?;
        }
        let file = fault.run(Op::Create, &path, || File::create_new(&path))?;
        Ok(Box::new(Value { path, file, fault, sync: !self.options.no_sync }))
    }

    fn clear(&self, key: &str) -> Result<()> {
        if key.is_empty() && self.edits {
            self.made.lock().unwrap_or_else(PoisonError::into_inner).retain(|f| *f == self.root);
            // The folder stays: the journal is that of this one.
            return self.options.fault.run(Op::Remove, &self.root, || {
                for entry in fs::read_dir(&self.root)? {
                    let path = entry?.path();
                    if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
                }
                Ok(())
            });
        }
        let path = self.place(key)?;
        if !self.edits || fs::symlink_metadata(&path).is_err() {
            return Ok(());
        }
        self.made.lock().unwrap_or_else(PoisonError::into_inner).retain(|f| !f.starts_with(&path));
        remove_all(&path, &self.options.fault)
    }

    fn room(&self) -> Option<u64> {
        room(&self.names.folder)
    }

    fn scratch(&self) -> Result<Scratch> {
        Scratch::begin(&self.root, &self.options.fault)
    }

    fn journal(&self) -> Option<&dyn Journal> {
        self.journal.as_ref().map(|journal| journal as &dyn Journal)
    }

    fn publish(&mut self) -> Result<()> {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for folder in made.iter().rev() {
            self.sync_folder(folder)?;
        }
        check_free(&self.names.store, self.options.overwrite)?;
        let (fault, store) = (self.options.fault.clone(), self.names.store.clone());
        if fs::symlink_metadata(&store).is_err() {
            fault.run(Op::Rename, &store, || rename_to_free(&self.root, &store))?;
            self.published = true;
            if let Some(journal) = &self.journal {
                let _ = journal.clear(&fault);
            }
            return self.sync_folder(&self.names.folder);
        }
        let exchanged = fault.run(Op::Rename, &store, || {
            if self.options.no_exchange {
                return Ok(false);
            }
            exchange(&self.root, &store)
        })?;
        if exchanged {
            // From here on the draft's name is that of the old store.
            self.published = true;
            self.sync_folder(&self.names.folder)?;
        } else {
            recover::replace(&self.names, &self.root, &fault, &|folder| self.sync_folder(folder))?;
            self.published = true;
        }
        // The new store stands: an old one that cannot be taken away is left to `repair`, and so is a journal, which is that
        // of another folder now.
        if let Some(journal) = &self.journal {
            let _ = journal.clear(&fault);
        }
        let _ = remove_all(&self.root, &fault);
        let _ = remove_all(&self.names.old(), &fault);
        Ok(())
    }
}

/// Fails where there is something.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // A file system without it: a folder is renamed onto nothing, or an empty folder, and else fails.
        Err(e) if lacks(e) => fs::rename(from, to),
        Err(e) => Err(e.into()),
    }
}

/// Exchanges two names; false where the file system cannot.
fn exchange(a: &Path, b: &Path) -> io::Result<bool> {
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(e) if lacks(e) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn lacks(e: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(e, Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)
}

/// Takes a folder away, with all that is in it; one that is not there is no error.
pub(super) fn remove_all(folder: &Path, fault: &Fault) -> Result<()> {
    if fs::symlink_metadata(folder).is_err() {
        return Ok(());
    }
    fault.run(Op::Remove, folder, || fs::remove_dir_all(folder))
}

impl Drop for LocalDraft {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        if let Some(journal) = &self.journal {
            if self.options.request.as_ref().is_some_and(|r| r.resume) && !journal.is_empty() {
                let _ = journal.sync();
                return;
            }
            let _ = journal.clear(&Fault::default());
        }
        let _ = remove_all(&self.root, &Fault::default());
    }
}

pub(super) struct Value {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) fault: Fault,
    pub(super) sync: bool,
}

impl ValueWriter for Value {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.fault.run(Op::Write, &self.path, || self.file.write_all(bytes))
    }

    fn sync(&mut self) -> Result<()> {
        if !self.sync {
            return Ok(());
        }
        self.fault.sync(&self.path, || self.file.sync_all())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.sync()
    }
}

impl Names {
    /// The names of the store at this path, and of what stands beside it while it is written.
    fn of(path: &Path) -> Result<Self> {
        let absolute = std::path::absolute(path).map_err(|e| write_error(Op::Create, path, e))?;
        // A link to a store is written where it leads to.
        let absolute = fs::canonicalize(&absolute).unwrap_or(absolute);
        let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name().and_then(|n| n.to_str()))
        else {
            return Err(Error::new(
                Code::StoreUrl,
                format!("`{}` cannot be the name of a store", path.display()),
            ));
        };
        Ok(Self { folder: folder.to_owned(), name: name.to_owned(), store: absolute.clone() })
    }
}
