//! A directory as a store. Positioned reads only: a mapped file that shrinks would end the process.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use lazarr_format::{Code, Error, Result};

use crate::pread::read_at;
use crate::store::{ByteRange, Found, Listing, Profile, Reserve, Store, Version};

/// A directory of the local file system.
///
/// Symbolic links that stay in the directory are followed. Those that lead out of it are refused, unless
/// [`LocalStore::follow_links`] allows them; those that lead back to a folder they stand in, always.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    /// The directory without links.
    real: PathBuf,
    follow_links: bool,
    /// Folders in which no link was found that may not be followed.
    checked: Arc<RwLock<HashSet<String>>>,
    /// In the store of one call: files of which a part was read, by key. Looked at again at each read, so that a file that
    /// is changed in place is noticed; one that is replaced is read to the end as it was.
    open: Option<Open>,
}

/// Files that are kept open, by key.
type Open = Arc<RwLock<HashMap<String, Arc<File>>>>;

/// So many files are kept open during a call.
const OPEN: usize = 64;

/// So many checked folders are remembered.
const CHECKED: usize = 1 << 14;

impl LocalStore {
    /// Opens a directory. A path that does not exist is `StoreNotFound`; nothing else is looked at.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let not_found = |what: &str| {
            Error::new(Code::StoreNotFound, format!("{what} at `{}`", path.display())).help(
                "Check the path; a Zarr store is a directory (for an element of one: store.zarr/obsm/X_pca)",
            )
        };
        let meta = fs::metadata(path).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => not_found("there is nothing"),
            _ => io_error("the store cannot be looked at", &path.display().to_string(), e),
        })?;
        if !meta.is_dir() {
            return Err(not_found("there is a file, not a Zarr directory,"));
        }
        // Absolute, so that a later change of the working directory moves nothing.
        let root = std::path::absolute(path)
            .map_err(|e| io_error("the path cannot be made absolute", &path.display().to_string(), e))?;
        let real = fs::canonicalize(&root)
            .map_err(|e| io_error("the store cannot be looked at", &path.display().to_string(), e))?;
        Ok(Self { root, real, follow_links: false, checked: Arc::default(), open: None })
    }

    /// Whether links that lead out of the directory are followed.
    #[must_use]
    pub fn follow_links(mut self, follow: bool) -> Self {
        self.follow_links = follow;
        self.checked = Arc::default();
        self
    }

    /// The directory, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        let path = Path::new(key);
        if path.components().all(|c| matches!(c, Component::Normal(_))) && !key.contains('\0') {
            self.check_links(key)?;
            return Ok(self.root.join(path));
        }
        Err(Error::new(Code::StoreEscape, "the key leads out of the store").key(key))
    }
}

impl LocalStore {
    /// Refuses a key on whose way a link leads out of the store. One look at the value itself; its folders are looked at
    /// once.
    fn check_links(&self, key: &str) -> Result<()> {
        if let Some((folder, _)) = key.rsplit_once('/') {
            // From the nearest folder that was looked at: a walk looks at each folder once, however deep it goes.
            let known = {
                let checked = self.checked.read().unwrap_or_else(PoisonError::into_inner);
                let above = folder.rmatch_indices('/').map(|(end, _)| end);
                std::iter::once(folder.len()).chain(above).find(|&end| checked.contains(&folder[..end]))
            };
            if known != Some(folder.len()) {
                let ends = folder.match_indices('/').map(|(end, _)| end).chain([folder.len()]);
                for end in ends.filter(|&end| known.is_none_or(|k| end > k)) {
                    self.check_link(&folder[..end])?;
                }
                let mut checked = self.checked.write().unwrap_or_else(PoisonError::into_inner);
                if checked.len() >= CHECKED {
                    checked.clear();
                }
                checked.insert(folder.to_owned());
            }
        }
        self.check_link(key)
    }

    /// Looks at the last part of a key alone.
    fn check_link(&self, key: &str) -> Result<()> {
        let path = self.root.join(key);
        if !fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()) {
            return Ok(()); // what is wrong with it, reading will say
        }
        // A link to nothing is no absent value: something was meant to be there.
        let target =
            fs::canonicalize(&path).map_err(|e| io_error("the symbolic link cannot be followed", key, e))?;
        let escape = |what: &str| Error::new(Code::StoreEscape, what).key(key);
        if !self.follow_links && !target.starts_with(&self.real) {
            return Err(escape("the symbolic link leads out of the store")
                .help("Open the store with follow_links, if you trust where its links lead"));
        }
        let folders = key.match_indices('/').map(|(end, _)| &key[..end]).chain([""]);
        for folder in folders {
            if fs::canonicalize(self.root.join(folder)).is_ok_and(|f| f.starts_with(&target)) {
                return Err(escape("the symbolic link leads back to a folder that it stands in"));
            }
        }
        Ok(())
    }
}

impl LocalStore {
    /// The file of a key, to be read; kept open in the store of one call, where `keep` says that it is read in parts.
    fn file(&self, key: &str, keep: bool) -> Result<Option<Arc<File>>> {
        let open = self.open.as_ref().filter(|_| keep);
        if let Some(open) = open
            && let Some(file) = open.read().unwrap_or_else(PoisonError::into_inner).get(key)
        {
            return Ok(Some(file.clone()));
        }
        let path = self.path(key)?;
        // A pipe is not opened: that would wait for somebody who writes to it.
        if fs::metadata(&path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
            return Err(Error::new(
                Code::StoreIo,
                "there is a pipe, a socket or a device where a value should be",
            )
            .key(key)
            .expected("a file"));
        }
        let file = match File::open(&path) {
            Ok(f) => Arc::new(f),
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(io_error("the file cannot be opened", key, e)),
        };
        if let Some(open) = open {
            let mut open = open.write().unwrap_or_else(PoisonError::into_inner);
            if open.len() >= OPEN {
                open.clear();
            }
            open.insert(key.to_owned(), file.clone());
        }
        Ok(Some(file))
    }
}

fn io_error(what: &str, key: &str, e: std::io::Error) -> Error {
    Error::new(Code::StoreIo, what.to_owned()).key(key).source(e)
}

fn is_absent(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(unix)]
fn version(meta: &fs::Metadata) -> Version {
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::os::unix::fs::MetadataExt;
    let mut h = DefaultHasher::new();
    (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()).hash(&mut h);
    Version(h.finish())
}

#[cfg(not(unix))]
fn version(meta: &fs::Metadata) -> Version {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut h = DefaultHasher::new();
    (meta.len(), meta.modified().ok()).hash(&mut h);
    Version(h.finish())
}

impl Store for LocalStore {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let Some(file) = self.file(key, *range != ByteRange::All)? else { return Ok(None) };
        let meta = file.metadata().map_err(|e| io_error("the file cannot be looked at", key, e))?;
        if meta.is_dir() {
            return Err(Error::new(Code::StoreIo, "there is a directory where a value should be").key(key));
        }
        let total = meta.len();
        let (start, end) = match *range {
            ByteRange::All => (0, total),
            ByteRange::Range(ref r) => (r.start, r.end),
            ByteRange::Suffix(n) => (total.saturating_sub(n), total),
        };
        if end > total || start > end {
            return Err(Error::new(Code::ChunkLength, "the file ends before the bytes that are needed")
                .key(key)
                .range(start..end)
                .expected(format!("at least {end} bytes"))
                .found(format!("{total} bytes")));
        }
        let len = end - start;
        reserve(len)?;
        let before = out.len();
        out.try_reserve_exact(len as usize).map_err(|e| {
            Error::new(Code::OutOfMemory, format!("{len} bytes could not be allocated")).source(e)
        })?;
        let got = read_at(&file, start, len as usize, out)
            .map_err(|e| io_error("the file cannot be read", key, e).range(start..end))?;
        if got as u64 != len {
            out.truncate(before);
            return Err(Error::new(Code::ChunkLength, "the file became shorter while it was read")
                .key(key)
                .range(start..end)
                .expected(format!("{len} bytes"))
                .found(format!("{got} bytes")));
        }
        Ok(Some(Found { total: Some(total), version: version(&meta), cached: false }))
    }

    fn size(&self, key: &str, _: Reserve<'_>) -> Result<Option<u64>> {
        match fs::metadata(self.path(key)?) {
            Ok(m) if m.is_file() => Ok(Some(m.len())),
            Ok(_) => Ok(None),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(io_error("the file cannot be looked at", key, e)),
        }
    }

    fn list(&self, prefix: &str, _: Reserve<'_>) -> Result<Option<Listing>> {
        let dir = if prefix.is_empty() { self.root.clone() } else { self.path(prefix)? };
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if is_absent(&e) => return Ok(Some(Listing::default())),
            Err(e) => return Err(io_error("the directory cannot be listed", prefix, e)),
        };
        let mut listing = Listing::default();
        for entry in entries {
            let entry = entry.map_err(|e| io_error("the directory cannot be listed", prefix, e))?;
            // A name that is not UTF-8 cannot be a key of a Zarr store.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind =
                entry.file_type().map_err(|e| io_error("the directory cannot be listed", prefix, e))?;
            let is_dir = if kind.is_symlink() { entry.path().is_dir() } else { kind.is_dir() };
            if is_dir { listing.folders.push(name) } else { listing.files.push(name) }
        }
        listing.folders.sort_unstable();
        listing.files.sort_unstable();
        Ok(Some(listing))
    }

    fn for_call(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Self { open: Some(Arc::default()), ..self.clone() }))
    }

    fn profile(&self) -> Profile {
        Profile::LOCAL
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
