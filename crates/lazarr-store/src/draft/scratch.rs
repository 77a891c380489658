//! Room on a disk for what does not fit into memory while a store is written.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lazarr_format::{Code, Error, Result};

use super::fault::{Fault, Op};

/// A file without a name: it is gone when this is dropped, and when the process ends, however it ends.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    /// Where it was, for errors.
    path: PathBuf,
    fault: Fault,
    len: u64,
}

impl Scratch {
    /// A file in this folder.
    pub(super) fn begin(folder: &Path, fault: &Fault) -> Result<Self> {
        let path = folder.join(format!(".lazarr-scratch-{:016x}", RandomState::new().hash_one(folder)));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = fault.run(Op::Create, &path, || options.open(&path))?;
        fault.run(Op::Remove, &path, || fs::remove_file(&path))?;
        Ok(Self { file, path, fault: fault.clone(), len: 0 })
    }

    /// Puts bytes behind those that are there, and says where.
    ///
    /// Errors: `NoSpace`, `WriteIo`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<u64> {
        self.fault.run(Op::Write, &self.path, || self.file.write_all(bytes))?;
        let at = self.len;
        self.len += bytes.len() as u64;
        Ok(at)
    }

    /// Reads back what was written there.
    ///
    /// Errors: `WriteIo`.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(bytes, at).map_err(|e| {
            Error::new(Code::WriteIo, format!("`{}`: it cannot be read back", self.path.display())).source(e)
        })
    }

    /// Bytes that can still be written; `None` where nobody knows.
    pub fn room(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(&self.file).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
