//! A file that appears whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::exit::Failure;

/// A file under another name beside its place, until it is whole. Dropped before, it is taken away.
pub(crate) struct Place {
    path: PathBuf,
    folder: PathBuf,
    file: NamedTempFile,
    force: bool,
}

impl Place {
    /// Refuses a file that is there, unless it may be replaced.
    pub(crate) fn new(path: &Path, force: bool) -> Result<Self, Failure> {
        if !force && fs::symlink_metadata(path).is_ok() {
            return Err(Failure::Usage(format!(
                "`{}` is there already: --force replaces it",
                path.display()
            )));
        }
        if path.is_dir() {
            return Err(Failure::Usage(format!("`{}` is a directory", path.display())));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let file = Self::temporary(&folder).map_err(plain).map_err(Failure::file(path))?;
        Ok(Self { path: path.to_owned(), folder, file, force })
    }

    fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
        let mut builder = Builder::new();
        builder.prefix(".lazarr-").suffix(".part");
        #[cfg(unix)]
        {
            // As any new file: the umask takes its share.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        builder.tempfile_in(folder)
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file as it is written.
    pub(crate) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Another file on the same disk, without a name.
    pub(crate) fn spool(&self) -> Result<File, Failure> {
        tempfile::tempfile_in(&self.folder).map_err(plain).map_err(Failure::file(&self.path))
    }

    /// Puts it in its place; its bytes.
    pub(crate) fn keep(self) -> Result<u64, Failure> {
        let Self { path, file, force, .. } = self;
        let done = || {
            file.as_file().sync_all()?;
            let bytes = file.as_file().metadata()?.len();
            if force {
                file.persist(&path).map_err(|e| e.error)?;
            } else {
                // Another may have come meanwhile.
                file.persist_noclobber(&path).map_err(|e| e.error)?;
            }
            Ok(bytes)
        };
        done().map_err(Failure::file(&path))
    }
}

/// The system's own words, without the temporary name that nobody asked for.
fn plain(e: io::Error) -> io::Error {
    let text = e.to_string();
    match text.split_once(" at path \"") {
        Some((own, _)) => io::Error::new(e.kind(), own.to_owned()),
        None => e,
    }
}
