//! How a run ends.

use std::io;
use std::path::{Path, PathBuf};

use lazarr::{Code, Error, Kind};

/// Why a run did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine says no.
    Engine(Error),
    /// The output could not be written.
    Output(io::Error),
    /// A file could not be written.
    File(PathBuf, io::Error),
    /// The command line does not fit.
    Usage(String),
    /// All that is wrong was printed; the code remains.
    Said(u8),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Engine(e)
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self::Output(e)
    }
}

/// 1 invalid data, 2 usage, 3 reading or writing failed, 130 stopped.
pub(crate) fn code_of(code: Option<Code>, kind: Kind) -> u8 {
    match (code, kind) {
        // What the next command line can do better.
        (
            Some(Code::StoreUrl | Code::MemoryLimit | Code::Layout | Code::StoreExists | Code::NotResumed),
            _,
        )
        | (_, Kind::Key | Kind::Index | Kind::Type) => 2,
        (_, Kind::NotFound | Kind::Io | Kind::Memory) => 3,
        (_, Kind::Interrupted) => 130,
        _ => 1,
    }
}

impl Failure {
    /// A file could not be written.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |e| Self::File(path, e)
    }

    /// The reader of the output has gone: nobody is left to tell.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// See [`code_of`].
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Output(_) | Self::File(..) => 3,
            Self::Usage(_) => 2,
            Self::Said(code) => *code,
            Self::Engine(e) => code_of(Some(e.code()), e.kind()),
        }
    }

    /// One sentence; none where all was said.
    pub(crate) fn sentence(&self) -> Option<String> {
        Some(match self {
            Self::Engine(e) => e.to_string(),
            Self::Output(e) => format!("the output could not be written: {e}"),
            Self::File(path, e) => format!("`{}` could not be written: {e}", path.display()),
            Self::Usage(text) => text.clone(),
            Self::Said(_) => return None,
        })
    }
}
