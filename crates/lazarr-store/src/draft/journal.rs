//! What is noted of a draft while it is written, so that a later writer takes it up.
//!
//! Of a local store, beside the draft `.out.zarr.lazarr-XXXX` stands the folder `.out.zarr.lazarr-XXXX-log` with the `journal`: lines that are
//! added one by one, each with a checksum. The first says which folder is meant (its inode: what an exchange has put under
//! the name of the draft is another one) and what is written; the others are the writer's own. A line is read up to the first
//! that is not whole. Who adds a line has brought to the disk what it speaks of: a line that is lost costs work, never data.
//! What a line refers to and is too large for one is a `note` beside the journal.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use lazarr_format::{Code, Error, Result};

use super::fault::{Fault, Op};
use super::local::{Value, remove_all};
use super::{ValueWriter, recover::Names};

/// What a draft is to become, as text: where it is taken up later, that is compared.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is written, in one line.
    pub text: String,
    /// Take up what was begun, and leave what is done where this writer ends before its end.
    pub resume: bool,
    /// Compares what was begun with this request: an error where they are not the same.
    pub differs: fn(begun: &str, now: &str) -> Result<()>,
}

/// What is noted of a draft. Keys are those of the draft.
pub trait Journal: Send + Sync + Debug {
    /// The lines that were found when the draft was taken up, in order.
    fn found(&self) -> &[String];

    /// Adds a line: what it speaks of is written. Without [`Journal::sync`] it may get lost.
    fn add(&self, text: &str) -> Result<()>;

    /// Brings all lines to the medium, and before them what they speak of.
    fn sync(&self) -> Result<()>;

    /// Whether what is finished stays, whatever happens; else lengths say nothing.
    fn syncs(&self) -> bool;

    /// The files below a key of the draft, by their keys from there on, and their bytes.
    fn files(&self, key: &str) -> Result<Vec<(String, u64)>>;

    /// Takes a file of the draft away.
    fn remove(&self, key: &str) -> Result<()>;

    /// Goes on with files that are not finished; `None` where that cannot be: then what is under way is begun again.
    fn points(&self) -> Option<&dyn Points> {
        None
    }
}

/// How what is not finished is gone on with.
pub trait Points {
    /// Hands over the first bytes of a file of the draft, piece by piece; false where it has fewer.
    fn read(&self, key: &str, bytes: u64, take: &mut dyn FnMut(&[u8])) -> Result<bool>;

    /// A new note, in the place of one that nothing speaks of.
    fn write_note(&self, number: u64) -> Result<Box<dyn ValueWriter>>;

    /// A note, to be read; `None` where it is gone.
    fn read_note(&self, number: u64) -> Option<Box<dyn Read>>;

    /// Takes a note away that nothing speaks of any more.
    fn drop_note(&self, number: u64) -> Result<()>;

    /// Goes on with a file of the draft behind its first bytes; what follows them is cut off.
    fn reopen(&self, key: &str, bytes: u64) -> Result<Box<dyn ValueWriter>>;
}

/// The journal of a draft in a directory.
#[derive(Debug)]
pub(super) struct LocalJournal {
    folder: PathBuf,
    root: PathBuf,
    fault: Fault,
    sync: bool,
    /// What was found when the draft was taken up.
    found: Vec<String>,
    file: Mutex<File>,
    /// Whether the names of its files are on the disk.
    named: AtomicBool,
}

/// So many bytes of a file are read at a time.
const PIECE: usize = 1 << 20;

/// A line, with its checksum.
pub(crate) fn line(text: &str) -> String {
    format!("{:08x} {text}\n", libdeflater::crc32(text.as_bytes()))
}

/// The whole lines of a journal, and where they end.
pub(crate) fn lines(bytes: &[u8]) -> (Vec<String>, u64) {
    let (mut found, mut end) = (Vec::new(), 0);
    for part in bytes.split_inclusive(|&b| b == b'\n') {
        let text = part.strip_suffix(b"\n").and_then(|l| std::str::from_utf8(l).ok());
        let Some((sum, text)) = text.and_then(|l| l.split_once(' ')) else { break };
        if format!("{:08x}", libdeflater::crc32(text.as_bytes())) != sum {
            break;
        }
        found.push(text.to_owned());
        end += part.len() as u64;
    }
    (found, end)
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir).map(|m| m.ino())
}

/// What a journal says is written; `None` where it is none, or not that of this draft.
fn request_of<'l>(lines: &'l [String], draft: &Path) -> Option<&'l str> {
    let (of, text) = lines.first()?.split_once(' ')?;
    (of.parse().ok() == inode(draft) && inode(draft).is_some()).then_some(text)
}

fn journal(log: &Path) -> PathBuf {
    log.join("journal")
}

/// Whether a draft can be taken up.
pub(super) fn is_resumable(draft: &Path, log: &Path) -> bool {
    let bytes = fs::read(journal(log)).unwrap_or_default();
    let (lines, _) = lines(&bytes);
    lines.len() > 1 && request_of(&lines, draft).is_some()
}

impl LocalJournal {
    /// Begins the journal of a draft that is empty.
    pub(super) fn begin(log: &Path, draft: &Path, request: &str, fault: &Fault, sync: bool) -> Result<Self> {
        fault.run(Op::MakeDir, log, || fs::create_dir(log))?;
        let path = journal(log);
        let file = fault.run(Op::Create, &path, || File::create_new(&path))?;
        let this = Self::of(log, draft, fault, sync, Vec::new(), file);
        this.add(&format!("{} {request}", inode(draft).unwrap_or(0)))?;
        Ok(this)
    }

    fn of(log: &Path, draft: &Path, fault: &Fault, sync: bool, found: Vec<String>, file: File) -> Self {
        let (folder, root, fault, file) = (log.to_owned(), draft.to_owned(), fault.clone(), Mutex::new(file));
        Self { folder, root, fault, sync, found, file, named: AtomicBool::new(false) }
    }

    /// The draft of a store that was begun with the same request, and its journal.
    ///
    /// Errors: what the request's `differs` says, where another was begun.
    pub(super) fn find(names: &Names, request: &Request, fault: &Fault, sync: bool) -> Result<Option<Self>> {
        let mut other = None;
        for (draft, log) in names.drafts() {
            let bytes = fs::read(journal(&log)).unwrap_or_default();
            let (found, end) = lines(&bytes);
            let Some(begun) = request_of(&found, &draft) else { continue };
            if let Err(e) = (request.differs)(begun, &request.text) {
                other = Some(e);
                continue;
            }
            let path = journal(&log);
            let file = fault.run(Op::Create, &path, || OpenOptions::new().append(true).open(&path))?;
            // A line that is not whole is not gone on with.
            fault.run(Op::Write, &path, || file.set_len(end))?;
            return Ok(Some(Self::of(&log, &draft, fault, sync, found, file)));
        }
        other.map_or(Ok(None), Err)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there is anything that is worth to be kept.
    pub(super) fn is_empty(&self) -> bool {
        fs::read(journal(&self.folder)).map_or(true, |bytes| lines(&bytes).0.len() < 2)
    }

    fn note(&self, number: u64) -> PathBuf {
        self.folder.join(format!("note-{number}"))
    }

    /// It is not needed any more.
    pub(super) fn clear(&self, fault: &Fault) -> Result<()> {
        remove_all(&self.folder, fault)
    }
}

impl Journal for LocalJournal {
    fn found(&self) -> &[String] {
        self.found.get(1..).unwrap_or_default()
    }

    fn add(&self, text: &str) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = line(text);
        self.fault.run(Op::Write, &journal(&self.folder), || file.write_all(whole.as_bytes()))
    }

    fn sync(&self) -> Result<()> {
        if !self.sync {
            return Ok(());
        }
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        self.fault.sync(&journal(&self.folder), || file.sync_all())?;
        if !self.named.swap(true, Relaxed) {
            self.fault.sync(&self.folder, || File::open(&self.folder)?.sync_all())?;
            if let Some(above) = self.folder.parent() {
                self.fault.sync(above, || File::open(above)?.sync_all())?;
            }
        }
        Ok(())
    }

    fn syncs(&self) -> bool {
        self.sync
    }

    fn files(&self, key: &str) -> Result<Vec<(String, u64)>> {
        let top = self.root.join(key);
        let mut out = Vec::new();
        let mut folders = vec![top.clone()];
        while let Some(folder) = folders.pop() {
            let failed = |e| read_error(&folder, e);
            let entries = match fs::read_dir(&folder) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.map_err(failed)?,
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let meta = entry.metadata().map_err(failed)?;
                let path = entry.path();
                if meta.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.strip_prefix(&top).ok().and_then(Path::to_str) {
                    out.push((name.to_owned(), meta.len()));
                }
            }
        }
        Ok(out)
    }

    fn remove(&self, key: &str) -> Result<()> {
        let path = self.root.join(key);
        self.fault.run(Op::Remove, &path, || fs::remove_file(&path))
    }

    fn points(&self) -> Option<&dyn Points> {
        Some(self)
    }
}

impl Points for LocalJournal {
    fn read(&self, key: &str, bytes: u64, take: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let path = self.root.join(key);
        let Ok(mut file) = File::open(&path) else { return Ok(false) };
        let mut piece = vec![0; PIECE.min(usize::try_from(bytes).unwrap_or(PIECE))];
        let mut left = bytes;
        while left > 0 {
            let most = piece.len().min(usize::try_from(left).unwrap_or(PIECE));
            let part = piece.get_mut(..most).unwrap_or_default();
            let n = file.read(part).map_err(|e| read_error(&path, e))?;
            if n == 0 {
                return Ok(false);
            }
            take(part.get(..n).unwrap_or_default());
            left -= n as u64;
        }
        Ok(true)
    }

    fn write_note(&self, number: u64) -> Result<Box<dyn ValueWriter>> {
        let path = self.note(number);
        let file = self.fault.run(Op::Create, &path, || File::create(&path))?;
        Ok(Box::new(Value { path, file, fault: self.fault.clone(), sync: self.sync }))
    }

    fn read_note(&self, number: u64) -> Option<Box<dyn Read>> {
        let file = File::open(self.note(number)).ok()?;
        Some(Box::new(file))
    }

    fn drop_note(&self, number: u64) -> Result<()> {
        let path = self.note(number);
        if !path.exists() {
            return Ok(());
        }
        self.fault.run(Op::Remove, &path, || fs::remove_file(&path))
    }

    fn reopen(&self, key: &str, bytes: u64) -> Result<Box<dyn ValueWriter>> {
        let (path, fault) = (self.root.join(key), self.fault.clone());
        let mut file = fault.run(Op::Create, &path, || OpenOptions::new().write(true).open(&path))?;
        fault.run(Op::Write, &path, || {
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0)).map(drop)
        })?;
        Ok(Box::new(Value { path, file, fault, sync: self.sync }))
    }
}

fn read_error(path: &Path, e: std::io::Error) -> Error {
    let what = format!("`{}`: what was begun cannot be looked at", path.display());
    Error::new(Code::WriteIo, what).help("Write afresh, without resume=True (--resume)").source(e)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
