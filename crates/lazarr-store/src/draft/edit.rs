//! A draft that begins as the store it will replace.
//!
//! Each file of the store has a second name in the draft, a hard link, which costs no bytes. What changes is a new file under
//! its name; no byte of a linked file is ever written, so that the old store stays whole until it is exchanged.

use std::fs::{self, File};
use std::path::Path;

use lazarr_format::{Code, Error, Result};

use super::fault::Op;
use super::local::{DraftOptions, LocalDraft};

impl LocalDraft {
    /// Begins a draft of the store at this path with all that is in it.
    ///
    /// Errors: `StoreNotFound` where no store is there; `NotWritten` where a part of it is a symbolic link, or it is itself a
    /// part of another store; those of [`LocalDraft::begin`].
    pub fn edit(path: &Path, options: DraftOptions) -> Result<Self> {
        if !fs::metadata(path).is_ok_and(|m| m.is_dir()) {
            let what = format!("there is no store at `{}` that could be changed", path.display());
            return Err(
                Error::new(Code::StoreNotFound, what).help("Write it first: lz.write, `lazarr write`")
            );
        }
        let mut draft = Self::begin(path, DraftOptions { overwrite: true, ..options })?;
        let above = draft.store().parent().unwrap_or(Path::new("/"));
        if [".zgroup", "zarr.json"].iter().any(|name| above.join(name).is_file()) {
            let what = format!("`{}` is a part of another store", path.display());
            return Err(
                Error::new(Code::NotWritten, what).help("Name the whole store, and the part by its path")
            );
        }
        draft.edits = true;
        let store = draft.store().to_owned();
        draft.link(&store, &draft.root.clone())?;
        Ok(draft)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let fault = &self.options.fault;
        let entries = fault.run(Op::Create, from, || fs::read_dir(from)?.collect::<Result<Vec<_>, _>>())?;
        for entry in entries {
            let (old, new) = (entry.path(), to.join(entry.file_name()));
            let kind = fault.run(Op::Create, &old, || entry.file_type())?;
            if kind.is_dir() {
                self.make_folder(&new)?;
                self.link(&old, &new)?;
            } else if kind.is_file() {
                fault.run(Op::Create, &new, || match fs::hard_link(&old, &new) {
                    // A file system without links, or a file that has as many as it can have.
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        fs::copy(&old, &new)?;
                        if self.options.no_sync { Ok(()) } else { File::open(&new)?.sync_all() }
                    }
                    done => done,
                })?;
            } else {
                let what = format!("`{}` is a link, or no file", old.display());
                return Err(
                    Error::new(Code::NotWritten, what).help("Write the store anew: lz.write, `lazarr write`")
                );
            }
        }
        Ok(())
    }
}
