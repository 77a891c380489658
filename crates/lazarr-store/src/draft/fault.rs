//! Each thing that a draft does to a disk passes here, so that tests can let the Nth of them fail.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use lazarr_format::{Code, Error, Result};

/// What is done to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// A directory is made.
    MakeDir,
    /// A file is made.
    Create,
    /// Bytes are written to a file.
    Write,
    /// A file or a directory is brought to the disk.
    Sync,
    /// A name is moved.
    Rename,
    /// A file or a directory is taken away.
    Remove,
}

/// Is asked before each operation; an error takes its place.
#[derive(Clone, Default)]
pub struct Fault {
    ask: Option<Ask>,
    no_sync: bool,
}

/// What is asked: the operation, and the path that it is done to.
type Ask = Arc<dyn Fn(Op, &Path) -> io::Result<()> + Send + Sync>;

impl Fault {
    /// Asks `ask` before each operation.
    pub fn new(ask: impl Fn(Op, &Path) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { ask: Some(Arc::new(ask)), no_sync: false }
    }

    /// The same; `Sync` is asked for, and not done. A test that asks a thousand times does not wait for a disk.
    #[must_use]
    pub fn without_sync(self) -> Self {
        Self { no_sync: true, ..self }
    }

    /// Does one operation; its error says what failed, and where.
    pub(super) fn run<T>(&self, op: Op, path: &Path, act: impl FnOnce() -> io::Result<T>) -> Result<T> {
        let asked = self.ask.as_ref().map_or(Ok(()), |ask| ask(op, path));
        asked.and_then(|()| act()).map_err(|e| write_error(op, path, e))
    }

    /// Brings to the disk.
    pub(super) fn sync(&self, path: &Path, act: impl FnOnce() -> io::Result<()>) -> Result<()> {
        self.run(Op::Sync, path, || if self.no_sync { Ok(()) } else { act() })
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ask.is_some() { "Fault(..)" } else { "Fault" })
    }
}

/// The error of a write that the system refused.
pub(super) fn write_error(op: Op, path: &Path, e: io::Error) -> Error {
    let full = matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if full {
        return Error::new(Code::NoSpace, format!("the disk became full at `{}`", path.display()))
            .help("Make room and write again; what was begun is taken away")
            .source(e);
    }
    let what = match op {
        Op::MakeDir => "the directory cannot be made",
        Op::Create => "the file cannot be made",
        Op::Write => "the file cannot be written",
        Op::Sync => "it cannot be brought to the disk",
        Op::Rename => "it cannot be moved to its place",
        Op::Remove => "it cannot be taken away",
    };
    Error::new(Code::WriteIo, format!("`{}`: {what}", path.display())).source(e)
}
