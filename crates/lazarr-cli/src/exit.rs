//! How a run ends.

use std::io;

use lazarr::{Code, Error, Kind};

/// Why a run did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine says no.
    Engine(Error),
    /// The output could not be written.
    Output(io::Error),
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

impl Failure {
    /// The reader of the output has gone: nobody is left to tell.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// 1 invalid data, 2 usage, 3 reading or writing failed.
    pub(crate) fn code(&self) -> u8 {
        let error = match self {
            Self::Output(_) => return 3,
            Self::Engine(e) => e,
        };
        match (error.code(), error.kind()) {
            // What the next command line can do better.
            (Code::StoreUrl | Code::MemoryLimit, _) | (_, Kind::Key | Kind::Index | Kind::Type) => 2,
            (_, Kind::NotFound | Kind::Io | Kind::Memory) => 3,
            _ => 1,
        }
    }

    /// One sentence.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Engine(e) => e.to_string(),
            Self::Output(e) => format!("the output could not be written: {e}"),
        }
    }
}
