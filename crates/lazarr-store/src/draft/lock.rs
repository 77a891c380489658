//! One writer at a time.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use lazarr_format::{Code, Error, Result};
use rustix::fs::{FlockOperation, flock};

use super::fault::{Fault, Op, write_error};

/// A lock on a file beside the store, held until it is dropped or the process ends, however it ends. The file stays while
/// somebody holds it.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock at once, or is `Locked`.
    pub(super) fn take(path: &Path, store: &Path, fault: &Fault) -> Result<Self> {
        loop {
            let file = fault.run(Op::Create, path, || {
                OpenOptions::new().create(true).truncate(false).write(true).open(path)
            })?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(Error::new(
                        Code::Locked,
                        format!("another process writes `{}`", store.display()),
                    )
                    .help("Wait until it has ended, or write to another path"));
                }
                Err(e) => return Err(write_error(Op::Create, path, e.into())),
            }
            // Who held it before may have taken the file away, and another may have made it anew.
            if is_same(&file, path) {
                return Ok(Self { path: path.to_owned(), _file: file });
            }
        }
    }

    /// Whether somebody holds it.
    pub(super) fn is_held(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| {
            matches!(
                flock(&file, FlockOperation::NonBlockingLockExclusive),
                Err(rustix::io::Errno::WOULDBLOCK)
            )
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still held: nobody else has taken it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(a), Ok(b)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}
